//! One call of `poll` works for its slice and at most one piece of work longer, for any frame. The clock is read before
//! each piece and advances by 1 at each reading, so its readings count the pieces. A stopped clock ends each call, too.

use crate::common::{
    Memory, QUEUED, SLOT_PAYLOAD_BYTES, Scan, boxed, click, disc, disc_model, every_frame, frame,
};
use core::sync::atomic::{AtomicU64, Ordering};
use sonotrace::hal::clock::{Clock, ManualClock};
use sonotrace::hal::frame::{Domain, FrameDescriptor, GeometryKind, LAW_LINEAR, SampleType, TgcPoint, flags};
use sonotrace::hal::ring::RingSizes;
use sonotrace::region::Region;
use sonotrace::session::{Poll, SessionConfig, memory_required};

/// A clock that advances by 1 at each reading.
#[derive(Default)]
struct CountingClock(AtomicU64);

impl Clock for CountingClock {
    fn now_ns(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

impl CountingClock {
    fn reads(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Other readings of the clock in a call than those between pieces: at its start, around each stage, for events and the
/// overlay.
const OTHER_READS: u64 = 40;

/// Returns a polar frame of 512 lines of 2048 samples with a checksum.
fn large_polar(seq: u64) -> FrameDescriptor {
    let bytes = 512 * 2048;
    FrameDescriptor {
        lines: 512,
        samples: 2048,
        stride_bytes: 2048,
        payload_bytes: bytes,
        flags: flags::CRC_PRESENT,
        ..frame(seq)
    }
}

/// Returns the same as IQ, with a pending gain curve.
fn large_iq(seq: u64) -> FrameDescriptor {
    let mut descriptor = FrameDescriptor {
        domain: Domain::PolarIq as u32,
        sample_type: SampleType::I16Pair as u32,
        amplitude_law: LAW_LINEAR,
        stride_bytes: 4 * 2048,
        payload_bytes: 4 * 512 * 2048,
        flags: flags::CRC_PRESENT | flags::TGC_PENDING,
        tgc_points: 8,
        ..large_polar(seq)
    };
    for (at, point) in (0u8..).zip(&mut descriptor.tgc[..8]) {
        *point = TgcPoint { depth_mm: 5.0 * f32::from(at), gain_db: f32::from(at) };
    }
    descriptor
}

/// Returns a picture of 4096 x 1024 pixels.
fn large_picture(seq: u64) -> FrameDescriptor {
    FrameDescriptor {
        domain: Domain::ScanConverted as u32,
        geometry: GeometryKind::RasterUnknown as u32,
        lines: 1024,
        samples: 4096,
        stride_bytes: 4096,
        payload_bytes: 1024 * 4096,
        flags: flags::CRC_PRESENT,
        ..frame(seq)
    }
}

/// Processes a frame with a click and a box on it. Returns the maximum readings of the clock in one call, and all
/// readings.
fn reads(descriptor: &FrameDescriptor, slice_ns: u64) -> (u64, u64) {
    let clock = CountingClock::default();
    let config = SessionConfig { slice_ns, ..every_frame() };
    let bytes = descriptor.payload_bytes as usize;
    let sizes = RingSizes { payload_bytes: bytes, ..QUEUED };
    let mut rings = sizes.region_bytes().unwrap().map(|bytes| Region::new(bytes).unwrap());
    let mut memory = Region::new(memory_required(disc(), &config).unwrap().bytes).unwrap();
    let rings = rings.each_mut().map(Region::as_mut_slice);
    let mut scan = Scan::open(disc_model(), rings, &sizes, memory.as_mut_slice(), config, &clock).unwrap();
    let payload: Vec<u8> =
        (0..descriptor.payload_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut descriptor = *descriptor;
    if descriptor.flags & flags::CRC_PRESENT != 0 {
        descriptor.crc32 = crc32fast::hash(&payload);
    }
    let _ = scan.frames.push(&descriptor, &payload).unwrap();
    let is_plane = descriptor.domain != Domain::ScanConverted as u32;
    let [at, edge] = if is_plane { [20.0, 12.0] } else { [500.0, 300.0] };
    scan.prompt(click(1, if is_plane { 0.0 } else { at }, at)).unwrap();
    scan.prompt(boxed(2, [edge - 11.0, edge, edge, edge + 11.0])).unwrap();
    let mut longest = 0;
    let begun = clock.reads();
    loop {
        let before = clock.reads();
        let poll = scan.session.poll();
        longest = longest.max(clock.reads() - before);
        if poll != Poll::Working {
            assert_eq!(poll, Poll::Overlay(descriptor.seq));
            return (longest, clock.reads() - begun);
        }
    }
}

#[test]
fn a_call_works_for_its_slice_and_one_piece() {
    let kinds = [
        ("small", frame(1), 100),
        ("polar", large_polar(1), 800),
        ("IQ with pending gain", large_iq(1), 800),
        // A pixel of the 32 x 32 input reads 256 x 64 of its pixels.
        ("picture", large_picture(1), 400),
    ];
    for (name, descriptor, pieces_min) in kinds {
        for slice_ns in [1, 10, 100] {
            let (longest, all) = reads(&descriptor, slice_ns);
            println!("{name}, slice of {slice_ns}: longest call {longest} reads, {all} in all");
            assert!(longest <= slice_ns + OTHER_READS, "{name}: {longest} reads in a slice of {slice_ns}");
            assert!(all >= pieces_min, "{name}: {all} reads, the work is not split into pieces");
        }
    }
}

/// The result for a frame does not depend on the slices.
#[test]
fn the_slice_does_not_change_the_overlay() {
    let overlay = |slice_ns| {
        let config = SessionConfig { slice_ns, ..every_frame() };
        let (clock, mut memory) = (ManualClock::new(0), Memory::of(&config));
        let mut scan = memory.open(config, &clock);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        scan.push(&frame(1));
        loop {
            clock.advance_ns(1);
            match scan.session.poll() {
                Poll::Working => {}
                poll => break assert_eq!(poll, Poll::Overlay(1)),
            }
        }
        let overlay = scan.overlays.take().unwrap();
        let object = overlay.objects()[0];
        (object.contour_px().to_vec(), object.contour_mm().to_vec(), object.area_mm2, object.confidence)
    };
    assert_eq!(overlay(1), overlay(1_000_000));
}

/// A stopped clock.
#[derive(Default)]
struct StoppedClock(CountingClock);

impl Clock for StoppedClock {
    fn now_ns(&self) -> u64 {
        self.0.now_ns();
        5
    }
}

/// With a stopped clock, each call ends after a bounded number of pieces, and the frame still gets its overlay.
#[test]
fn a_stopped_clock_ends_every_call() {
    let config = SessionConfig { slice_ns: 1_000_000, ..every_frame() };
    let (clock, mut memory) = (StoppedClock::default(), Memory::of(&config));
    let mut scan = memory.open(config, &clock);
    for object in 1..=4 {
        scan.prompt(click(object, -12.0 + 6.0 * object as f32, 20.0)).unwrap();
    }
    let mut descriptor = frame(1);
    descriptor.payload_bytes = SLOT_PAYLOAD_BYTES as u32;
    (descriptor.samples, descriptor.stride_bytes) = (512, 512);
    scan.push(&descriptor);
    let (mut polls, mut longest) = (1, 0);
    loop {
        let before = clock.0.reads();
        let poll = scan.session.poll();
        longest = longest.max(clock.0.reads() - before);
        if poll != Poll::Working {
            break;
        }
        polls += 1;
    }
    // The encoder and four decodes have about 200 tiles.
    assert!(polls >= 10 && longest <= 16 + OTHER_READS, "{polls} calls, the longest with {longest} reads");
    assert_eq!(scan.session.counters().overlays, 1);
}
