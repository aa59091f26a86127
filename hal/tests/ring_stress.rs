//! Two threads at full speed: every frame is either delivered or evicted, exactly once, and complete.
#![cfg(not(loom))]

use sonotrace_hal::ring::{ALIGN, SlotRing, region_bytes};
use std::thread;

const FRAMES: u32 = 1_000_000;
const SLOT_BYTES: usize = 64;
const CONTENT: u32 = 7;

/// Fills a slot with a frame's number, multiplied by a different factor in every word.
fn fill(bytes: &mut [u8], seq: u32) {
    for (at, word) in bytes.chunks_exact_mut(4).enumerate() {
        word.copy_from_slice(&seq.wrapping_mul(at as u32 * 2 + 1).to_le_bytes());
    }
}

/// The number of the frame in a slot. Panics if the slot is torn.
fn seq(bytes: &[u8]) -> u32 {
    let word = |at: usize| u32::from_le_bytes(bytes[4 * at..][..4].try_into().expect("four bytes"));
    let seq = word(0);
    for at in 1..bytes.len() / 4 {
        assert_eq!(word(at), seq.wrapping_mul(at as u32 * 2 + 1), "frame {seq} is torn at word {at}");
    }
    seq
}

fn stress(capacity: u32, newest: bool) {
    let needed = region_bytes(capacity, SLOT_BYTES).expect("sizes are possible");
    let mut memory = vec![0; needed + ALIGN];
    let start = memory.as_ptr().align_offset(ALIGN);
    let region = &mut memory[start..start + needed];
    // Positions wrap around half way.
    let ring =
        SlotRing::create_at(region, CONTENT, capacity, SLOT_BYTES, u32::MAX - FRAMES / 2).expect("it fits");
    let mut producer = ring.producer().expect("the only producer");
    let mut consumer = ring.consumer().expect("the only consumer");
    // How often each frame left the ring, at either side.
    let mut delivered = vec![0u8; FRAMES as usize + 1];
    let mut evicted = vec![0u8; FRAMES as usize + 1];
    let mut superseded_sum = 0;
    thread::scope(|scope| {
        let producing = scope.spawn(|| {
            for number in 1..=FRAMES {
                let mut slot = producer.acquire().expect("the producer always finds a slot");
                fill(slot.bytes_mut(), number);
                if slot.commit().evicted {
                    let mut slot = producer.acquire().expect("the evicted slot");
                    evicted[seq(slot.bytes_mut()) as usize] += 1;
                }
                // Let the consumer catch up at times, so that both full and empty queues occur.
                if number % 1024 == 0 {
                    thread::yield_now();
                }
            }
        });
        let mut last = 0;
        loop {
            let done = producing.is_finished();
            let taken = if newest { consumer.take_newest() } else { consumer.take().map(|bytes| (bytes, 0)) };
            match taken {
                Some((bytes, superseded)) => {
                    let number = seq(bytes);
                    assert!(number > last, "frame {number} after {last}");
                    last = number;
                    delivered[number as usize] += 1;
                    superseded_sum += superseded;
                }
                None if done => break,
                None => thread::yield_now(),
            }
        }
        assert_eq!(last, FRAMES, "the last frame is never evicted");
    });
    let counters = ring.counters();
    assert_eq!((counters.committed, counters.faults, ring.queued()), (FRAMES, 0, 0));
    assert_eq!(counters.committed, counters.evicted + counters.taken);
    let mut superseded = 0;
    for number in 1..=FRAMES as usize {
        match delivered[number] + evicted[number] {
            1 => (),
            0 if newest => superseded += 1,
            times => panic!("frame {number} left the ring {times} times"),
        }
    }
    assert_eq!(superseded, superseded_sum);
}

#[test]
fn every_frame_leaves_once_small_queue() {
    stress(1, false);
}

#[test]
fn every_frame_leaves_once_large_queue() {
    stress(6, false);
}

#[test]
fn every_frame_leaves_once_or_is_superseded() {
    stress(4, true);
}
