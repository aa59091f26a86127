//! Rings in memory that several parties map: each side has its own region over the same bytes, as two processes do.
#![cfg(not(loom))]

use sonotrace_hal::frame::{FRAME_MAGIC, FrameDescriptor};
use sonotrace_hal::overlay::{OVERLAY_MAGIC, Overlay};
use sonotrace_hal::ring::{
    ALIGN, FRAME_PAYLOAD_OFFSET, FrameRing, OverlayRing, RingError, SharedRegion, SlotRing, region_bytes,
};
use std::ptr::NonNull;
use std::thread;
#[cfg(feature = "std")]
use std::time::Duration;

/// Aligned memory that is reached only through regions made from one pointer.
struct Mapping {
    memory: *mut [u8],
    start: usize,
    bytes: usize,
}

// SAFETY: an address and sizes; the memory is accessed only through `Mapping::region`.
unsafe impl Sync for Mapping {}

impl Mapping {
    fn new(bytes: usize) -> Self {
        let memory = vec![0u8; bytes + ALIGN].into_boxed_slice();
        let start = memory.as_ptr().align_offset(ALIGN);
        Self { memory: Box::into_raw(memory), start, bytes }
    }

    /// A region as one party maps it.
    fn region(&self) -> SharedRegion<'_> {
        // SAFETY: `start` is inside the allocation.
        let start = unsafe { self.memory.cast::<u8>().add(self.start) };
        let region = NonNull::new(std::ptr::slice_from_raw_parts_mut(start, self.bytes)).expect("not null");
        // SAFETY: initialised, valid as long as `self`, and accessed only by rings; each test has created its ring
        // before a second party attaches.
        unsafe { SharedRegion::from_raw(region) }
    }

    /// The bytes, when all other parties are gone.
    fn exclusive(&mut self) -> &mut [u8] {
        // SAFETY: from `Box::into_raw`, and borrowed mutably: no region is left.
        let memory = unsafe { &mut *self.memory };
        &mut memory[self.start..self.start + self.bytes]
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: from `Box::into_raw`; no region outlives `self`.
        drop(unsafe { Box::from_raw(self.memory) });
    }
}

#[test]
fn frames_and_overlays_pass_between_two_parties() {
    const FRAMES: u64 = 10_000;
    let frame_memory = Mapping::new(FrameRing::region_bytes(3, 8).unwrap());
    let overlay_memory = Mapping::new(OverlayRing::region_bytes(3).unwrap());
    FrameRing::create_shared(frame_memory.region(), 3, 8).unwrap();
    OverlayRing::create_shared(overlay_memory.region(), 3).unwrap();
    let newest = thread::scope(|scope| {
        scope.spawn(|| {
            let mut frames = FrameRing::attach_shared(frame_memory.region()).unwrap().producer().unwrap();
            for seq in 1..=FRAMES {
                let descriptor = FrameDescriptor { seq, payload_bytes: 8, ..FrameDescriptor::blank() };
                let _ = frames.push(&descriptor, &seq.to_le_bytes()).unwrap();
            }
        });
        scope.spawn(|| {
            let mut frames = FrameRing::attach_shared(frame_memory.region()).unwrap().consumer().unwrap();
            let overlays = OverlayRing::attach_shared(overlay_memory.region()).unwrap();
            let mut overlays = overlays.producer().unwrap();
            let mut last = 0;
            while last < FRAMES {
                let Some((frame, superseded)) = frames.take_newest() else {
                    thread::yield_now();
                    continue;
                };
                let seq = frame.descriptor().seq;
                assert!(seq > last + u64::from(superseded), "{seq} after {last}");
                assert_eq!(frame.payload(), seq.to_le_bytes());
                last = seq;
                let _ = overlays.push(&Overlay { seq, ..Overlay::blank() }).unwrap();
            }
        });
        let mut overlays = OverlayRing::attach_shared(overlay_memory.region()).unwrap().consumer().unwrap();
        let mut last = 0;
        while last < FRAMES {
            match overlays.take() {
                Some(overlay) => {
                    assert!(overlay.seq > last);
                    last = overlay.seq;
                }
                None => thread::yield_now(),
            }
        }
        last
    });
    assert_eq!(newest, FRAMES);
    let counters = FrameRing::attach_shared(frame_memory.region()).unwrap().counters();
    assert_eq!((counters.committed, counters.faults), (FRAMES as u32, 0));
    assert_eq!(counters.committed, counters.evicted + counters.taken);
}

/// A consumer that sleeps until there is an overlay gets the last one, however the producer's commits fall between its steps. The time
/// limits are only there so that a lost wake-up fails the test.
#[test]
#[cfg(feature = "std")]
fn a_consumer_sleeps_until_there_is_an_overlay() {
    const OVERLAYS: u64 = 3_000;
    const FAILED: Duration = Duration::from_secs(60);
    let memory = Mapping::new(OverlayRing::region_bytes(2).unwrap());
    OverlayRing::create_shared(memory.region(), 2).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut overlays = OverlayRing::attach_shared(memory.region()).unwrap().producer().unwrap();
            for seq in 1..=OVERLAYS {
                let _ = overlays.push(&Overlay { seq, ..Overlay::blank() }).unwrap();
                match seq % 30 {
                    // The consumer falls asleep.
                    0 => thread::sleep(Duration::from_millis(1)),
                    at => (0..at * 20).for_each(|_| std::hint::spin_loop()),
                }
            }
        });
        let mut overlays = OverlayRing::attach_shared(memory.region()).unwrap().consumer().unwrap();
        let mut last = 0;
        while last < OVERLAYS {
            assert!(overlays.wait(FAILED), "no overlay after {last}");
            let seq = overlays.take().expect("what was waited for").seq;
            assert!(seq > last);
            last = seq;
        }
        for timeout in [Duration::ZERO, Duration::from_micros(1), Duration::from_millis(3)] {
            assert!(!overlays.wait(timeout), "nothing is queued");
        }
    });
    let mut producer = OverlayRing::attach_shared(memory.region()).unwrap().producer().unwrap();
    let _ = producer.push(&Overlay { seq: OVERLAYS + 1, ..Overlay::blank() }).unwrap();
    let mut overlays = OverlayRing::attach_shared(memory.region()).unwrap().consumer().unwrap();
    // An overlay that is there already, whatever the time; it stays there.
    assert!(overlays.wait(Duration::ZERO) && overlays.wait(Duration::MAX));
    assert_eq!(overlays.take().map(|overlay| overlay.seq), Some(OVERLAYS + 1));
}

/// A claim outlives the party that made it, until the ring is attached by one party alone.
#[test]
fn a_side_is_claimed_for_all_parties() {
    let mut memory = Mapping::new(region_bytes(1, 8).unwrap());
    let ring = SlotRing::create_shared(memory.region(), 7, 1, 8).unwrap();
    let other = SlotRing::attach_shared(memory.region(), 7).unwrap();
    let producer = ring.producer().unwrap();
    assert_eq!(other.producer().err(), Some(RingError::Claimed { side: "producer" }));
    drop(producer);
    let mut producer = other.producer().unwrap();
    let _ = producer.acquire().unwrap().commit();
    std::mem::forget(producer);
    assert_eq!(ring.producer().err(), Some(RingError::Claimed { side: "producer" }));
    let ring = SlotRing::attach(memory.exclusive(), 7).unwrap();
    assert_eq!(ring.queued(), 1);
    assert!(ring.producer().is_ok());
}

#[test]
fn rings_of_the_wrong_kind_are_refused() {
    let memory = Mapping::new(region_bytes(1, FRAME_PAYLOAD_OFFSET + 8).unwrap());
    assert!(matches!(FrameRing::attach_shared(memory.region()).err(), Some(RingError::Header { .. })));
    SlotRing::create_shared(memory.region(), OVERLAY_MAGIC, 1, 8).unwrap();
    assert!(matches!(FrameRing::attach_shared(memory.region()).err(), Some(RingError::Header { .. })));
    assert!(matches!(OverlayRing::attach_shared(memory.region()).err(), Some(RingError::SlotBytes { .. })));
    SlotRing::create_shared(memory.region(), FRAME_MAGIC, 1, FRAME_PAYLOAD_OFFSET).unwrap();
    assert!(matches!(FrameRing::attach_shared(memory.region()).err(), Some(RingError::SlotBytes { .. })));
}
