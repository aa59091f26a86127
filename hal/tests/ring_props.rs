//! The rings against a simple model; regions of every size and alignment; arbitrary bytes as headers.
#![cfg(not(loom))]

use proptest::prelude::*;
use sonotrace_hal::frame::FrameDescriptor;
use sonotrace_hal::overlay::Overlay;
use sonotrace_hal::ring::{
    ALIGN, CAPACITY_MAX, FRAME_PAYLOAD_OFFSET, FrameRing, OverlayRing, REGION_BYTES_MAX, RingError, SlotRing,
    region_bytes,
};
use std::collections::VecDeque;

const CONTENT: u32 = 7;

/// Memory with an aligned region.
struct Memory {
    bytes: Vec<u8>,
    start: usize,
}

impl Memory {
    fn new(len: usize) -> Self {
        let bytes = vec![0xA5; len + ALIGN];
        let start = bytes.as_ptr().align_offset(ALIGN);
        Self { bytes, start }
    }

    fn region(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + len]
    }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Acquire, write, commit.
    Commit,
    /// Acquire, write, drop.
    Abandon,
    Take,
    TakeNewest,
    Release,
    DropProducer,
    DropConsumer,
    /// Lose both handles, as when a process ends, and attach again.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => Just(Step::Commit),
        2 => Just(Step::Abandon),
        4 => Just(Step::Take),
        2 => Just(Step::TakeNewest),
        2 => Just(Step::Release),
        1 => Just(Step::DropProducer),
        1 => Just(Step::DropConsumer),
        1 => Just(Step::Restart),
    ]
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

proptest! {
    #[test]
    fn behaves_as_a_queue_that_drops_its_oldest(
        capacity in 1u32..=8,
        position in prop_oneof![Just(0), Just(u32::MAX - 3), any::<u32>()],
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let needed = region_bytes(capacity, 8).unwrap();
        let mut memory = Memory::new(needed);
        SlotRing::create_at(memory.region(needed), CONTENT, capacity, 8, position).unwrap();
        let mut model = VecDeque::new();
        let (mut committed, mut evicted, mut taken, mut written) = (0u32, 0u32, 0u32, 0u64);
        // A restart ends an iteration of the outer loop.
        for run in steps.split_inclusive(|step| matches!(step, Step::Restart)) {
            let ring = SlotRing::attach(memory.region(needed), CONTENT).unwrap();
            let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
            let mut held = None;
            for step in run {
                match step {
                    Step::Commit | Step::Abandon => {
                        written += 1;
                        let mut slot = producer.acquire().unwrap();
                        slot.bytes_mut().copy_from_slice(&written.to_le_bytes());
                        if matches!(step, Step::Commit) {
                            model.push_back(written);
                            committed += 1;
                            let oldest = (model.len() > capacity as usize).then(|| model.pop_front()).flatten();
                            evicted += u32::from(oldest.is_some());
                            prop_assert_eq!(slot.commit().evicted, oldest.is_some());
                            if let Some(oldest) = oldest {
                                prop_assert_eq!(number(producer.acquire().unwrap().bytes_mut()), oldest);
                            }
                        } else {
                            prop_assert_eq!(number(producer.acquire().unwrap().bytes_mut()), written);
                        }
                    }
                    Step::Take => {
                        held = model.pop_front();
                        taken += u32::from(held.is_some());
                        prop_assert_eq!(consumer.take().map(number), held);
                    }
                    Step::TakeNewest => {
                        taken += model.len() as u32;
                        let expected = model.back().map(|newest| (*newest, model.len() as u32 - 1));
                        model.clear();
                        held = expected.map(|(newest, _)| newest);
                        let seen = consumer.take_newest().map(|(bytes, superseded)| (number(bytes), superseded));
                        prop_assert_eq!(seen, expected);
                    }
                    Step::Release => {
                        held = None;
                        consumer.release();
                    }
                    Step::DropProducer => {
                        drop(producer);
                        producer = ring.producer().unwrap();
                    }
                    Step::DropConsumer => {
                        held = None;
                        drop(consumer);
                        consumer = ring.consumer().unwrap();
                    }
                    Step::Restart => (),
                }
                prop_assert_eq!(consumer.held().map(number), held);
                prop_assert_eq!(consumer.backlog() as usize, model.len());
                prop_assert_eq!(producer.backlog() as usize, model.len());
                let counters = ring.counters();
                prop_assert_eq!((counters.committed, counters.evicted, counters.taken), (committed, evicted, taken));
                prop_assert_eq!(committed, evicted + taken + ring.queued());
                prop_assert_eq!(counters.faults, 0);
            }
            std::mem::forget((producer, consumer));
        }
    }

    #[test]
    fn needs_exactly_the_stated_bytes(capacity in 1u32..=40, slot_bytes in 1usize..5000) {
        let needed = region_bytes(capacity, slot_bytes).unwrap();
        let mut memory = Memory::new(needed);
        let small = SlotRing::create(memory.region(needed - 1), CONTENT, capacity, slot_bytes).err();
        prop_assert_eq!(small, Some(RingError::RegionTooSmall { needed, given: needed - 1 }));
        let ring = SlotRing::create(memory.region(needed), CONTENT, capacity, slot_bytes).unwrap();
        prop_assert_eq!((ring.capacity(), ring.slot_bytes()), (capacity, slot_bytes));
        let mut producer = ring.producer().unwrap();
        let mut consumer = ring.consumer().unwrap();
        for _ in 0..2 * capacity + 4 {
            let mut slot = producer.acquire().unwrap();
            prop_assert_eq!(slot.bytes_mut().len(), slot_bytes);
            prop_assert_eq!(slot.bytes_mut().as_ptr().align_offset(ALIGN), 0);
            slot.bytes_mut().fill(1);
            let _ = slot.commit();
            prop_assert_eq!(consumer.take().unwrap(), &vec![1; slot_bytes][..]);
        }
        drop((producer, consumer));
        let small = SlotRing::attach(memory.region(needed - 1), CONTENT).err();
        prop_assert_eq!(small, Some(RingError::RegionTooSmall { needed, given: needed - 1 }));
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let mut memory = Memory::new(bytes.len());
        memory.region(bytes.len()).copy_from_slice(&bytes);
        prop_assert!(SlotRing::attach(memory.region(bytes.len()), CONTENT).is_err());
    }

    /// A ring with damaged words is refused, or works.
    #[test]
    fn damaged_words_are_refused_or_harmless(
        capacity in 1u32..=5,
        commits in 0usize..9,
        damage in prop::collection::vec((64usize..512, any::<u8>()), 1..6),
    ) {
        let needed = region_bytes(capacity, 4).unwrap();
        let mut memory = Memory::new(needed);
        let ring = SlotRing::create(memory.region(needed), CONTENT, capacity, 4).unwrap();
        let mut producer = ring.producer().unwrap();
        for _ in 0..commits {
            let _ = producer.acquire().unwrap().commit();
        }
        drop(producer);
        for (at, value) in damage {
            if let Some(byte) = memory.region(needed).get_mut(at) {
                *byte = value;
            }
        }
        if let Ok(ring) = SlotRing::attach(memory.region(needed), CONTENT) {
            let mut producer = ring.producer().unwrap();
            let mut consumer = ring.consumer().unwrap();
            for number in 0..20u32 {
                let mut slot = producer.acquire().unwrap();
                slot.bytes_mut().copy_from_slice(&number.to_le_bytes());
                let _ = slot.commit();
                if number % 3 == 0 {
                    prop_assert!(consumer.take().is_some());
                }
            }
            let (newest, _) = consumer.take_newest().unwrap();
            prop_assert_eq!(newest, &19u32.to_le_bytes()[..]);
            let counters = ring.counters();
            prop_assert_eq!(counters.committed, counters.evicted.wrapping_add(counters.taken));
        }
    }
}

#[test]
fn any_flipped_bit_of_the_header_is_refused() {
    let needed = region_bytes(3, 100).unwrap();
    let mut memory = Memory::new(needed);
    SlotRing::create(memory.region(needed), CONTENT, 3, 100).unwrap();
    for bit in 0..64 * 8 {
        memory.region(needed)[bit / 8] ^= 1 << (bit % 8);
        assert!(SlotRing::attach(memory.region(needed), CONTENT).is_err(), "bit {bit}");
        memory.region(needed)[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(SlotRing::attach(memory.region(needed), CONTENT).is_ok());
}

#[test]
fn a_misaligned_region_is_refused() {
    let needed = region_bytes(1, 8).unwrap();
    let mut memory = Memory::new(needed + ALIGN);
    for by in 1..ALIGN {
        let region = &mut memory.region(needed + ALIGN)[by..];
        assert_eq!(SlotRing::create(region, CONTENT, 1, 8).err(), Some(RingError::Misaligned { by }));
    }
}

#[test]
fn impossible_sizes_are_refused() {
    assert_eq!(region_bytes(0, 8), Err(RingError::Capacity { seen: 0 }));
    assert_eq!(region_bytes(CAPACITY_MAX + 1, 8), Err(RingError::Capacity { seen: CAPACITY_MAX + 1 }));
    assert!(matches!(region_bytes(1, 0), Err(RingError::SlotBytes { seen: 0, .. })));
    assert!(matches!(region_bytes(1, usize::MAX), Err(RingError::SlotBytes { .. })));
    assert!(matches!(region_bytes(1, REGION_BYTES_MAX), Err(RingError::TooLarge { .. })));
    assert!(matches!(FrameRing::region_bytes(1, usize::MAX), Err(RingError::SlotBytes { .. })));
    assert!(region_bytes(CAPACITY_MAX, 8).is_ok());
}

#[test]
fn each_side_is_claimed_once_at_a_time() {
    let needed = region_bytes(1, 8).unwrap();
    let mut memory = Memory::new(needed);
    let ring = SlotRing::create(memory.region(needed), CONTENT, 1, 8).unwrap();
    let (producer, consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    assert_eq!(ring.producer().err(), Some(RingError::Claimed { side: "producer" }));
    assert_eq!(ring.consumer().err(), Some(RingError::Claimed { side: "consumer" }));
    drop(producer);
    assert!(ring.producer().is_ok());
    assert!(ring.consumer().is_err());
    drop(consumer);
    assert!(ring.consumer().is_ok());
}

#[test]
fn a_ring_of_other_content_is_refused() {
    let needed = OverlayRing::region_bytes(1).unwrap();
    let mut memory = Memory::new(needed);
    OverlayRing::create(memory.region(needed), 1).unwrap();
    let refused = FrameRing::attach(memory.region(needed)).err();
    assert!(matches!(refused, Some(RingError::Header { field: "content", .. })), "{refused:?}");
    assert!(OverlayRing::attach(memory.region(needed)).is_ok());
}

#[test]
fn frames_pass_with_their_samples() {
    let needed = FrameRing::region_bytes(2, 100).unwrap();
    let mut memory = Memory::new(needed);
    let ring = FrameRing::create(memory.region(needed), 2, 100).unwrap();
    assert_eq!(ring.payload_capacity(), 100);
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    let descriptor = |seq, payload_bytes| FrameDescriptor { seq, payload_bytes, ..FrameDescriptor::blank() };

    for seq in 1..=3u64 {
        let evicted = producer.push(&descriptor(seq, 3), &[seq as u8; 3]).unwrap().evicted;
        assert_eq!(evicted, seq == 3);
    }
    let view = consumer.take().unwrap();
    assert_eq!((view.descriptor(), view.payload()), (&descriptor(2, 3), &[2; 3][..]));
    assert_eq!(consumer.held().unwrap().payload(), &[2; 3]);
    let (view, superseded) = consumer.take_newest().unwrap();
    assert_eq!((view.descriptor().seq, superseded), (3, 0));
    assert!(consumer.take().is_none());
    assert!(consumer.held().is_none());

    let refused = producer.push(&descriptor(4, 101), &[0; 101]);
    assert_eq!(refused, Err(RingError::PayloadTooLarge { given: 101, capacity: 100 }));
    let refused = producer.push(&descriptor(4, 4), &[0; 3]);
    assert_eq!(refused, Err(RingError::PayloadShort { announced: 4, given: 3 }));
    assert_eq!(ring.counters().committed, 3);

    // If a descriptor announces more than a slot holds, the payload is what the slot holds, and its check refuses it.
    let mut slot = producer.acquire().unwrap();
    *slot.descriptor_mut() = descriptor(5, 1000);
    assert_eq!(slot.payload_mut().len(), 100);
    assert!(!slot.commit().evicted);
    let view = consumer.take().unwrap();
    assert_eq!(view.payload().len(), 100);
    assert!(view.descriptor().check_payload(view.payload()).is_err());
}

#[test]
fn a_frame_ring_without_room_for_samples_is_refused() {
    let content = sonotrace_hal::frame::FRAME_MAGIC;
    let needed = region_bytes(1, FRAME_PAYLOAD_OFFSET).unwrap();
    let mut memory = Memory::new(needed);
    SlotRing::create(memory.region(needed), content, 1, FRAME_PAYLOAD_OFFSET).unwrap();
    assert!(matches!(FrameRing::attach(memory.region(needed)).err(), Some(RingError::SlotBytes { .. })));
}

#[test]
fn overlays_pass() {
    let needed = OverlayRing::region_bytes(2).unwrap();
    let mut memory = Memory::new(needed);
    let ring = OverlayRing::create(memory.region(needed), 2).unwrap();
    let (mut producer, mut consumer) = (ring.producer().unwrap(), ring.consumer().unwrap());
    for seq in 1..=4 {
        let mut slot = producer.acquire().unwrap();
        *slot.overlay_mut() = Overlay { seq, ..Overlay::blank() };
        assert_eq!(slot.commit().evicted, seq > 2);
    }
    let (newest, superseded) = consumer.take_newest().unwrap();
    assert_eq!((newest.seq, superseded), (4, 1));
    assert!(!producer.push(&Overlay { seq: 5, ..Overlay::blank() }).unwrap().evicted);
    assert_eq!(consumer.take().unwrap().seq, 5);
    let counters = ring.counters();
    assert_eq!((counters.committed, counters.evicted, counters.taken), (5, 2, 3));
}
