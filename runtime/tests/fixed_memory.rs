//! A session uses only the memory that it was opened with: exactly the stated size, without page faults and without
//! allocations.
#![allow(clippy::unwrap_used)]

#[path = "common/allocations.rs"]
mod allocations;
mod common;
use common::{Memory, QUEUED, Scan, boxed, click, disc, disc_model, every_frame, frame, remove};
use sonotrace::exec::{ExecError, Executor, ExecutorConfig, ExecutorLayout};
use sonotrace::format::ModelError;
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::command::Prompt;
use sonotrace::hal::overlay::State;
use sonotrace::region::{Region, prefault_stack};
use sonotrace::session::{Poll, SessionConfig, SessionError, memory_parts, memory_required};

/// Returns this thread's calls to the allocator, freeing included, and its page faults, both since it started.
fn calls_and_faults() -> (u64, u64) {
    // SAFETY: rusage is plain data, for which all zeros are a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call writes only to the given structure.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) }, 0);
    (allocations::calls(), (usage.ru_minflt + usage.ru_majflt) as u64)
}

/// Checks a number of page faults. Not on aarch64: there the tests also run under qemu, where the emulator's faults are
/// counted.
fn assert_faults(what: &str, seen: u64, expected: std::ops::RangeInclusive<u64>) {
    if cfg!(not(target_arch = "aarch64")) {
        assert!(expected.contains(&seen), "page faults {what}: {seen}, expected {expected:?}");
    }
}

fn region(bytes: usize) -> Region {
    Region::new(bytes).unwrap()
}

fn rings() -> [Region; 4] {
    QUEUED.region_bytes().unwrap().map(region)
}

/// Opens a scan over the small model.
fn open_in<'m>(
    rings: &'m mut [Region; 4],
    memory: &'m mut [u8],
    config: SessionConfig<'m>,
    clock: &'m ManualClock,
) -> Result<Scan<'m, &'m ManualClock>, SessionError> {
    Scan::open(disc_model(), rings.each_mut().map(Region::as_mut_slice), &QUEUED, memory, config, clock)
}

/// Opens a session in `memory` and drops it.
fn opens_in(
    rings: &mut [Region; 4],
    memory: &mut [u8],
    config: SessionConfig<'_>,
) -> Result<(), SessionError> {
    open_in(rings, memory, config, &ManualClock::new(0)).map(|_| ())
}

#[test]
fn exactly_the_stated_memory_is_enough() {
    for kept_frames in [1, 2, 7] {
        let config = SessionConfig { kept_frames, ..every_frame() };
        let needed = memory_required(disc(), &config).unwrap();
        let (mut rings, mut memory) = (rings(), region(needed.bytes));
        assert_eq!(memory.bytes(), needed.bytes);
        let clock = ManualClock::new(0);
        let mut scan = open_in(&mut rings, memory.as_mut_slice(), config, &clock).unwrap();
        assert_eq!(scan.session.memory(), needed);
        scan.prompt(click(1, 0.0, 20.0)).unwrap();
        assert_eq!(scan.overlay_of(&frame(1)).objects().len(), 1);
        assert_eq!(scan.session.memory(), needed);
    }
}

#[test]
fn one_byte_less_is_refused_with_the_size_needed() {
    let needed = memory_required(disc(), &every_frame()).unwrap().bytes;
    let mut memory = region(needed);
    let error = opens_in(&mut rings(), &mut memory.as_mut_slice()[..needed - 1], every_frame()).unwrap_err();
    assert_eq!(error, SessionError::RegionTooSmall { seen: needed - 1, needed });
    assert!(error.to_string().contains(&needed.to_string()), "{error}");
}

/// Returns the end of each part of the memory, and checks that the parts add up to the whole.
fn boundaries(config: &SessionConfig<'_>) -> Vec<usize> {
    let mut end = 0;
    let parts = memory_parts(disc(), config).unwrap();
    let ends: Vec<usize> = parts
        .iter()
        .map(|(_, bytes)| {
            end += bytes;
            end
        })
        .collect();
    let whole = memory_required(disc(), config).unwrap();
    assert!(end <= whole.bytes && whole.bytes - end < parts.len() * whole.align, "{end} of {}", whole.bytes);
    ends
}

/// Sizes from nothing to enough, also those at which one more part fits: each error states the size needed.
#[test]
fn a_region_that_grows_is_refused_until_it_is_enough() {
    let config = every_frame();
    let needed = memory_required(disc(), &config).unwrap().bytes;
    let mut memory = region(needed + 4096);
    let mut sizes: Vec<usize> = (0..needed).step_by(64).chain((0..needed).step_by(4096)).collect();
    sizes.extend(boundaries(&config).iter().flat_map(|&end| [end.saturating_sub(1), end, end + 1]));
    sizes.extend([1, 63, needed - 64, needed - 1, needed, needed + 1, needed + 4096]);
    sizes.sort_unstable();
    sizes.dedup();
    let (mut rings, mut refused) = (rings(), 0);
    for seen in sizes {
        match opens_in(&mut rings, &mut memory.as_mut_slice()[..seen], config) {
            Ok(()) => assert!(seen >= needed, "opened in {seen} bytes"),
            Err(error) => {
                assert_eq!(error, SessionError::RegionTooSmall { seen, needed });
                refused += 1;
            }
        }
    }
    assert!(refused > needed / 64);
}

/// The same for the executor alone.
#[test]
fn an_executor_s_region_that_grows_is_refused_until_it_is_enough() {
    let model = disc_model();
    for threads in [1, 2, 5] {
        let config = ExecutorConfig { kept_frames: 3, threads, ..ExecutorConfig::default() };
        let needed = ExecutorLayout::new(model.header(), &config).unwrap().required().bytes;
        let mut memory = region(needed);
        for seen in (0..needed).step_by(64).chain([needed - 1]) {
            let error = Executor::new(model, config, &mut memory.as_mut_slice()[..seen]).unwrap_err();
            assert_eq!(error, ExecError::RegionTooSmall { seen, needed });
        }
        assert!(Executor::new(model, config, memory.as_mut_slice()).unwrap().self_test().is_ok());
    }
}

#[test]
fn a_misaligned_region_is_refused() {
    let needed = memory_required(disc(), &every_frame()).unwrap();
    let mut memory = region(needed.bytes + needed.align);
    for by in 1..needed.align {
        let error = opens_in(&mut rings(), &mut memory.as_mut_slice()[by..by + needed.bytes], every_frame())
            .unwrap_err();
        assert_eq!(error, SessionError::RegionMisaligned { needed: needed.align });
    }
    assert_eq!(opens_in(&mut rings(), &mut memory.as_mut_slice()[needed.align..], every_frame()), Ok(()));
}

#[test]
fn an_invalid_number_of_kept_frames_is_refused() {
    for kept_frames in [0, 65, u32::MAX] {
        let config = SessionConfig { kept_frames, ..every_frame() };
        let expected =
            ModelError::Limit { what: "kept_frames (at least 1)", seen: kept_frames.into(), limit: 64 };
        assert_eq!(memory_required(disc(), &config).unwrap_err(), expected);
        assert_eq!(opens_in(&mut rings(), &mut [], config).unwrap_err(), SessionError::Model(expected));
    }
}

/// Runs a scan with clicks, boxes, corrections, removals, prompts on kept and on old frames, a lost object and a change
/// of depth. Returns the number of objects shown.
fn scan_frames(scan: &mut Scan<'_, &ManualClock>, clock: &ManualClock, payload: &[u8], count: u64) -> u64 {
    let mut shown = 0;
    for seq in 1..=count {
        clock.advance_ns(20_000_000);
        let prompts = match seq % 50 {
            3 => [Some(click(1, -5.0, 12.0)), Some(boxed(2, [0.0, 18.0, 15.0, 33.0]))],
            9 => [Some(click(1, -3.0, 13.0)), Some(click(3, 100.0, 100.0))],
            20 => [Some(Prompt { seq: seq - 1, ..click(4, 8.0, 8.0) }), None],
            23 => [Some(Prompt { seq: seq - 9, ..click(5, 8.0, 8.0) }), None],
            40 => [Some(remove(1)), Some(remove(4))],
            _ => [None, None],
        };
        for prompt in prompts.into_iter().flatten() {
            scan.prompt(prompt).unwrap();
        }
        let mut descriptor = frame(seq);
        if seq % 200 >= 190 {
            descriptor.last_depth_mm = 50.0;
        }
        let _ = scan.frames.push(&descriptor, payload).unwrap();
        while scan.session.poll() == Poll::Working {}
        let overlay = scan.overlays.take().unwrap();
        assert_eq!(overlay.seq, seq);
        shown += overlay.objects().iter().filter(|object| object.state != State::Lost as u32).count() as u64;
    }
    shown
}

/// Frames of the long scan; fewer on aarch64, where the tests also run under qemu.
const LONG_SCAN: u64 = if cfg!(target_arch = "aarch64") { 300 } else { 3000 };

/// No call to the allocator and no page fault (so no growth either) over 3000 frames after the session is open. A
/// rehearsal before it loads the program's own code, which the system loads on first use.
#[test]
fn a_scan_neither_allocates_nor_faults() {
    let on_its_own_thread = || {
        let clock = ManualClock::new(0);
        let payload = common::samples(&frame(1));
        let mut rehearsal = Memory::of(&every_frame());
        assert!(scan_frames(&mut rehearsal.open(every_frame(), &clock), &clock, &payload, 200) > 0);
        let needed = memory_required(disc(), &every_frame()).unwrap().bytes;
        let (mut rings, mut memory) = (rings(), region(needed));
        prefault_stack();
        let mut scan = open_in(&mut rings, memory.as_mut_slice(), every_frame(), &clock).unwrap();
        let (calls, faults) = calls_and_faults();
        let shown = scan_frames(&mut scan, &clock, &payload, LONG_SCAN);
        let (calls_after, faults_after) = calls_and_faults();
        assert!(shown > LONG_SCAN, "{shown} objects on {LONG_SCAN} frames");
        assert_eq!(scan.session.counters().overlays, LONG_SCAN);
        assert_eq!(scan.session.memory().bytes, needed);
        assert_eq!(calls_after - calls, 0, "calls to the allocator");
        assert_faults("of the scan", faults_after - faults, 0..=0);
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(on_its_own_thread).unwrap().join().unwrap();
}

/// The counters detect an allocation, and (not under emulation) a fault.
#[test]
fn the_counters_see_an_allocation_and_a_fault() {
    let (calls, _) = calls_and_faults();
    drop(std::hint::black_box(Box::new(7)));
    assert_eq!(calls_and_faults().0 - calls, 2);
    let (_, faults) = calls_and_faults();
    let fresh = std::hint::black_box(vec![1u8; 16 << 20]);
    let (_, faults_after) = calls_and_faults();
    drop(fresh);
    // With pages of 2 MiB there are few.
    assert_faults("of fresh memory", faults_after - faults, 4..=u64::MAX);
}
