//! Foreign writes into a ring's memory are reported, on both sides, and not taken for content.

#![cfg(not(loom))]

use core::ptr::NonNull;
use sonotrace_hal::overlay::Overlay;
use sonotrace_hal::ring::{ALIGN, OverlayRing, RingError, SharedRegion};

/// Memory that starts on a multiple of [`ALIGN`].
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u32; ALIGN / 4]);

/// Words of the control block: header, producer's words, consumer's words, the ready queue's read position.
const HEADER: core::ops::Range<usize> = 0..16;
const PRODUCER: usize = 16;
const CONSUMER: usize = 32;
const SHARED: usize = 48;

#[test]
fn every_word_that_steers_a_ring_is_checked() {
    let bytes = OverlayRing::region_bytes(4).expect("a valid capacity");
    let mut memory = vec![Line([0; ALIGN / 4]); bytes.div_ceil(ALIGN)];
    let first = memory.as_mut_ptr().cast::<u32>();
    let region = NonNull::slice_from_raw_parts(NonNull::new(first.cast::<u8>()).expect("memory"), bytes);
    // SAFETY: initialised memory that outlives the ring; the test is the only one that writes it besides the handles.
    let ring = OverlayRing::create_shared(unsafe { SharedRegion::from_raw(region) }, 4).expect("a ring");
    let (mut producer, mut consumer) =
        (ring.producer().expect("unclaimed"), ring.consumer().expect("unclaimed"));
    let flip = |word: usize, bits: u32| {
        // SAFETY: inside the region.
        let place = unsafe { first.add(word) };
        // SAFETY: aligned, as long as the region, and accessed as an atomic by the ring too.
        let place = unsafe { core::sync::atomic::AtomicU32::from_ptr(place) };
        place.fetch_xor(bits, core::sync::atomic::Ordering::Relaxed);
    };
    for round in 0..20 {
        assert!(producer.check().is_ok() && consumer.check().is_ok(), "round {round}");
        for bits in [1 << 31, 0x5a5a_5a5a, 1 << 20] {
            let steering = HEADER
                // claimed, write position of the ready queue, read position of the free queue, spare; faults.
                .chain([0, 1, 2, 3, 6].map(|word| PRODUCER + word))
                // claimed, write position of the free queue, held; faults.
                .chain([0, 1, 2, 4].map(|word| CONSUMER + word))
                .chain([SHARED]);
            for word in steering {
                flip(word, bits);
                let seen = (producer.check(), consumer.check());
                flip(word, bits);
                let is_reported = |seen: &Result<(), RingError>| {
                    matches!(seen, Err(RingError::Header { .. } | RingError::Damaged { .. }))
                };
                assert!(is_reported(&seen.0) || is_reported(&seen.1), "word {word}: {seen:?}");
                let is_seen_by_both = HEADER.contains(&word) || word == SHARED;
                assert!(!is_seen_by_both || (is_reported(&seen.0) && is_reported(&seen.1)), "word {word}");
            }
        }
        // Another state of the ring: more queued, evictions, takes.
        let _ = producer.push(&Overlay { seq: round, ..Overlay::blank() }).expect("a slot");
        if round % 3 == 2 {
            assert!(consumer.take().is_some());
        }
    }
}

/// Whoever takes as many as are queued, as a poll does, takes at most what the ring holds, wherever a position was moved.
#[test]
fn a_damaged_position_does_not_queue_more_than_the_ring_holds() {
    let bytes = OverlayRing::region_bytes(4).expect("a valid capacity");
    let mut memory = vec![Line([0; ALIGN / 4]); bytes.div_ceil(ALIGN)];
    let first = memory.as_mut_ptr().cast::<u32>();
    let region = NonNull::slice_from_raw_parts(NonNull::new(first.cast::<u8>()).expect("memory"), bytes);
    // SAFETY: initialised memory that outlives the ring; the test is the only one that writes it besides the handles.
    let ring = OverlayRing::create_shared(unsafe { SharedRegion::from_raw(region) }, 4).expect("a ring");
    let mut producer = ring.producer().expect("unclaimed");
    let mut consumer = ring.consumer().expect("unclaimed");
    for seq in 0..3 {
        let _ = producer.push(&Overlay { seq, ..Overlay::blank() }).expect("a slot");
    }
    assert_eq!(consumer.backlog(), 3);
    // SAFETY: inside the region.
    let place = unsafe { first.add(SHARED) };
    // SAFETY: aligned, as long as the region, and accessed as an atomic by the ring too.
    let position = unsafe { core::sync::atomic::AtomicU32::from_ptr(place) };
    for by in [1, 2, 100, 1 << 20, 1 << 30, 1 << 31, u32::MAX] {
        position.fetch_sub(by, core::sync::atomic::Ordering::Relaxed);
        let backlog = consumer.backlog();
        assert!(backlog <= 4, "{backlog} are queued in a ring of 4");
        for _ in 0..backlog {
            let _ = consumer.take();
        }
    }
}

/// A write that runs over the memory in front of a ring hits the header first.
#[test]
fn a_write_from_the_memory_before_is_reported() {
    let bytes = OverlayRing::region_bytes(2).expect("a valid capacity");
    for length in 1..=bytes.min(4096) {
        let mut memory = vec![Line([0; ALIGN / 4]); bytes.div_ceil(ALIGN)];
        let first = memory.as_mut_ptr().cast::<u8>();
        let region = NonNull::slice_from_raw_parts(NonNull::new(first).expect("memory"), bytes);
        // SAFETY: as above.
        let ring = OverlayRing::create_shared(unsafe { SharedRegion::from_raw(region) }, 2).expect("a ring");
        let (producer, consumer) = (ring.producer().expect("unclaimed"), ring.consumer().expect("unclaimed"));
        // SAFETY: inside the region; no handle is in a call.
        unsafe { first.write_bytes(0x5a, length) };
        assert!(producer.check().is_err() && consumer.check().is_err(), "{length} bytes");
    }
}
