//! A scan under RealtimeSanitizer: the code that runs for each frame, from the push of the frame to the take of the
//! overlay, does not allocate, lock or make a system call that can block.
//!
//! With `--cfg sonotrace_rtsan` and `-Zsanitizer=realtime` the functions of that path are marked nonblocking, and a
//! call from them to anything that may block ends the test; a canary checks that it does. Without these flags, these
//! are plain tests.
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]
#![allow(clippy::unwrap_used)]

mod common;
use common::{Memory, Scan, boxed, click, every_frame, frame, remove, samples};
use sonotrace::hal::clock::{Clock, ManualClock, SystemClock};
use sonotrace::hal::command::Prompt;
use sonotrace::hal::frame::{FrameDescriptor, flags};
use sonotrace::hal::overlay::Overlay;
use sonotrace::session::{DropReason, Poll, SessionConfig};

/// Runs one iteration of a device's loop: pushes a frame and prompts, polls until the outcome, takes the overlay.
/// Marked as a whole, so that code between the marked functions is checked, too.
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
fn run_frame<C: Clock>(
    scan: &mut Scan<'_, C>,
    descriptor: &FrameDescriptor,
    payload: &[u8],
    prompts: &[Prompt],
    overlay: &mut Overlay,
) -> Poll {
    let pushed = scan.frames.push(descriptor, payload);
    let is_queued = pushed.is_ok_and(|outcome| !outcome.evicted);
    for prompt in prompts {
        let is_accepted = scan.prompt(*prompt).is_ok();
        debug_assert!(is_accepted && is_queued);
    }
    let outcome = loop {
        match scan.session.poll() {
            Poll::Working => {}
            outcome => break outcome,
        }
    };
    if let Some(fetched) = scan.overlays.take() {
        *overlay = *fetched;
    }
    scan.overlays.release();
    while scan.events.take().is_some() {}
    outcome
}

/// Freezes the image, prompts on it, takes the update and resumes.
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
fn freeze<C: Clock>(scan: &mut Scan<'_, C>, prompt: &Prompt) -> bool {
    let is_frozen = scan.commands.set_frozen(true).is_ok() && scan.prompt(*prompt).is_ok();
    let is_updated = loop {
        match scan.session.poll() {
            Poll::Working => {}
            outcome => break matches!(outcome, Poll::Update(_)),
        }
    };
    let is_fetched = scan.overlays.take().is_some();
    scan.overlays.release();
    is_frozen && is_updated && is_fetched && scan.commands.set_frozen(false).is_ok()
}

/// Runs frames with prompts of every kind, bad frames, a lost object and another geometry.
fn scan_through<C: Clock>(scan: &mut Scan<'_, C>) {
    let payload = samples(&frame(1));
    let mut overlay = Overlay::blank();
    let mut objects_shown = 0;
    for seq in 1..=30 {
        let prompts: &[Prompt] = match seq {
            2 => &[click(1, -6.0, 12.0), click(9, 100.0, 0.0)],
            4 => &[boxed(2, [2.0, 20.0, 14.0, 34.0])],
            7 => &[click(1, -4.0, 12.0)],
            9 => &[Prompt { seq: 8, ..click(3, 8.0, 9.0) }, Prompt { seq: 1, ..click(4, 0.0, 9.0) }],
            20 => &[remove(2)],
            _ => &[],
        };
        let depth = if seq > 25 { 50.0 } else { common::FIELD_MM };
        let good = FrameDescriptor { last_depth_mm: depth, ..frame(seq) };
        let crc = FrameDescriptor { flags: flags::CRC_PRESENT, ..good };
        let dropped = |reason| Poll::Dropped { seq, reason };
        let (descriptor, expected) = match seq {
            12 => (FrameDescriptor { lines: 0, ..good }, dropped(DropReason::Malformed)),
            13 => (FrameDescriptor { t_acq_ns: 1, ..good }, dropped(DropReason::OutOfOrder)),
            14 => (FrameDescriptor { flags: flags::FROZEN, ..good }, dropped(DropReason::Frozen)),
            15 => (crc, dropped(DropReason::Malformed)),
            _ => (good, Poll::Overlay(seq)),
        };
        assert_eq!(run_frame(scan, &descriptor, &payload, prompts, &mut overlay), expected);
        objects_shown += overlay.objects().len();
    }
    assert!(objects_shown > 40, "{objects_shown}");
    assert!(freeze(scan, &click(1, -5.0, 13.0)));
    let counters = scan.session.counters();
    assert_eq!((counters.overlays, counters.prompts_served), (26, 6));
    assert_eq!((counters.prompts_refused, counters.prompts_too_old), (1, 1));
}

#[test]
fn a_scan_never_blocks() {
    let clock = ManualClock::new(0);
    let mut memory = Memory::of(&every_frame());
    scan_through(&mut memory.open(every_frame(), &clock));
}

#[test]
fn a_scan_with_the_system_clock_never_blocks() {
    // Slices of 50 us, so that runs are stopped and resumed.
    let config = SessionConfig { slice_ns: 50_000, ..every_frame() };
    let mut memory = Memory::of(&config);
    scan_through(&mut memory.open(config, SystemClock::start()));
}

/// Environment variable of the canary's process.
#[cfg(sonotrace_rtsan)]
const CANARY: &str = "SONOTRACE_REALTIME_CANARY";

#[cfg(sonotrace_rtsan)]
#[sanitize(realtime = "nonblocking")]
#[inline(never)]
fn allocates() -> usize {
    std::hint::black_box(vec![7u8; 100]).len()
}

/// The sanitizer is active: a marked function that allocates ends its process with a report.
#[cfg(sonotrace_rtsan)]
#[test]
fn a_marked_function_that_allocates_is_caught() {
    if std::env::var_os(CANARY).is_some() {
        allocates();
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_marked_function_that_allocates_is_caught", "--nocapture"])
        .env(CANARY, "1")
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "the canary was not caught: {report}");
    assert!(report.contains("RealtimeSanitizer"), "the canary ended for another reason: {report}");
}
