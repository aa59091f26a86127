//! Invalid calls return a status and a text, and have no other effect.
#![allow(clippy::unwrap_used)]
// One SAFETY comment covers all calls of a list.
#![allow(clippy::multiple_unsafe_ops_per_block)]

use sonotrace::hal::event::Event;
use sonotrace::hal::frame::{FrameDescriptor, FrameField};
use sonotrace::region::Region;
use sonotrace_ffi::commands::{BridgePrompt, sonotrace_prompt, sonotrace_set_frozen};
use sonotrace_ffi::config::{Config, SONOTRACE_ABI_VERSION, sonotrace_config_sized};
use sonotrace_ffi::counters::BridgeCounters;
use sonotrace_ffi::frames::{
    BridgeFrameSlot, sonotrace_frame_acquire, sonotrace_frame_commit, sonotrace_frame_descriptor_check,
    sonotrace_frame_descriptor_sized,
};
use sonotrace_ffi::memory::sonotrace_memory_lock;
use sonotrace_ffi::model::{
    sonotrace_model_bytes, sonotrace_model_data, sonotrace_model_map, sonotrace_model_unmap,
};
use sonotrace_ffi::overlays::{
    sonotrace_event_next, sonotrace_event_text, sonotrace_overlay_poll, sonotrace_overlay_wait,
};
use sonotrace_ffi::session::{
    BridgeSession, Step, sonotrace_close_sized, sonotrace_counters_sized, sonotrace_memory_required,
    sonotrace_open, sonotrace_step,
};
use sonotrace_ffi::status::{Status, sonotrace_last_error};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

#[repr(C, align(4096))]
struct Page<T: ?Sized>(T);

static MODEL: &Page<[u8]> = &Page(*include_bytes!("../../runtime/tests/data/disc.sono"));

fn text() -> String {
    // SAFETY: the text ends in NUL and is this thread's own.
    unsafe { CStr::from_ptr(sonotrace_last_error()) }.to_str().unwrap().to_owned()
}

fn config() -> Config {
    Config { payload_bytes: 8192, ..Config::default() }
}

/// As the header's function of this name.
///
/// # Safety
/// As `sonotrace_counters_sized`.
unsafe fn sonotrace_counters(session: *const BridgeSession, counters: *mut BridgeCounters) -> Status {
    // SAFETY: as this function's caller promises.
    unsafe { sonotrace_counters_sized(session, counters, size_of::<BridgeCounters>()) }
}

/// As the header's function of this name.
///
/// # Safety
/// As `sonotrace_close_sized`.
unsafe fn sonotrace_close(session: *mut BridgeSession, counters: *mut BridgeCounters) -> Status {
    // SAFETY: as this function's caller promises.
    unsafe { sonotrace_close_sized(session, counters, size_of::<BridgeCounters>()) }
}

/// As the header's function of this name.
///
/// # Safety
/// As `sonotrace_frame_descriptor_sized`.
unsafe fn sonotrace_frame_descriptor_init(descriptor: *mut FrameDescriptor) -> Status {
    // SAFETY: as this function's caller promises.
    unsafe { sonotrace_frame_descriptor_sized(descriptor, size_of::<FrameDescriptor>()) }
}

fn required(model: &[u8], config: &Config) -> Result<(usize, usize), (Status, String)> {
    let (mut bytes, mut align) = (0, 0);
    // SAFETY: all pointers are valid.
    let status =
        unsafe { sonotrace_memory_required(model.as_ptr(), model.len(), config, &mut bytes, &mut align) };
    if status == Status::Ok { Ok((bytes, align)) } else { Err((status, text())) }
}

/// A frame of a linear probe that the session can use.
fn good_frame() -> FrameDescriptor {
    FrameDescriptor {
        domain: 1,
        sample_type: 1,
        geometry: 1,
        lines: 16,
        samples: 64,
        stride_bytes: 64,
        payload_bytes: 1024,
        left_mm: -20.0,
        right_mm: 20.0,
        last_depth_mm: 40.0,
        amplitude_law: 2,
        law_range_db: 60.0,
        speed_of_sound_m_s: 1540.0,
        ..FrameDescriptor::blank()
    }
}

/// An open session in memory of its own.
struct Opened {
    session: *mut BridgeSession,
    _region: Region,
}

fn open() -> Opened {
    let (bytes, _) = required(&MODEL.0, &config()).unwrap();
    let mut region = Region::new(bytes).unwrap();
    let (memory, mut session) = (region.as_mut_slice(), null_mut());
    // SAFETY: all pointers are valid, and stay so as long as the session.
    let status = unsafe {
        sonotrace_open(MODEL.0.as_ptr(), MODEL.0.len(), &config(), memory.as_mut_ptr(), bytes, &mut session)
    };
    assert_eq!(status, Status::Ok, "{}", text());
    Opened { session, _region: region }
}

/// What is refused when a session is opened is refused when its memory is computed, with the same status and text; both
/// leave their outputs zero.
#[test]
fn invalid_settings_are_named() {
    let refused = |change: fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        let (status, text) = required(&MODEL.0, &config).unwrap_err();
        let mut region = Region::new(1 << 20).unwrap();
        let memory = region.as_mut_slice();
        let mut session = memory.as_mut_ptr().cast();
        // SAFETY: all pointers are valid.
        let opened = unsafe {
            sonotrace_open(
                MODEL.0.as_ptr(),
                MODEL.0.len(),
                &config,
                memory.as_mut_ptr(),
                memory.len(),
                &mut session,
            )
        };
        assert_eq!((opened, self::text(), session), (status, text.clone(), null_mut()));
        (status, text)
    };
    let setting = |change| {
        let (status, text) = refused(change);
        assert_eq!(status, Status::Config, "{text}");
        text
    };
    assert!(setting(|c| c.policy = 3).contains("`policy` is 3"));
    assert!(setting(|c| c.checks_per_frame = 11).contains("`checks_per_frame` is 11"));
    assert!(setting(|c| c.correct_lost = 2).contains("`correct_lost` is 2"));
    assert!(setting(|c| c.reserved = 1).contains("`reserved` is 1"));
    assert!(setting(|c| c.display_width = 0).contains("`display_height` is 480"));
    assert!(setting(|c| c.display_width = 16_385).contains("`display width` is 16385"));
    assert!(setting(|c| c.display_height = u32::MAX).contains("`display height` is 4294967295"));
    assert!(setting(|c| c.vendor_table_count = 65).contains("`vendor_table_count` is 65"));
    assert!(setting(|c| c.frames_queued = 0).contains("ring capacity is 0"));
    assert!(setting(|c| c.commands_queued = 5000).contains("ring capacity is 5000"));
    assert!(setting(|c| c.payload_bytes = u64::MAX).contains("bytes"));
    assert!(setting(|c| c.slice_ns = 0).contains("`slice_ns` is 0"));
    assert!(setting(|c| c.budget_ns = 0).contains("`budget_ns` is 0"));
    assert!(setting(|c| c.table_rows_per_frame = 0).contains("`table_rows_per_frame` is 0"));
    assert!(setting(|c| c.attention_below = f32::NAN).contains("`attention_below` is NaN"));
    assert!(setting(|c| c.absent_from = 0.0).contains("`absent_from` is 0"));
    let version = |change| {
        let (status, text) = refused(change);
        assert_eq!(status, Status::Version, "{text}");
        text
    };
    assert!(version(|c| c.config_bytes += 8).contains("`config_bytes` is"));
    assert!(version(|c| c.config_bytes -= 4).contains("`config_bytes` is"));
    assert!(version(|c| c.config_bytes = 24).contains("`config_bytes` is 24"));
    assert!(version(|c| c.abi_version = 1).contains("has version 1"));
    assert!(version(|c| c.descriptor_bytes -= 8).contains("`descriptor_bytes` is"));
    assert!(version(|c| c.frame_slot_bytes += 8).contains("`frame_slot_bytes` is"));
    assert!(version(|c| c.prompt_bytes -= 8).contains("`prompt_bytes` is"));
    assert!(version(|c| c.overlay_bytes -= 8).contains("`overlay_bytes` is"));
    assert!(version(|c| c.event_bytes += 8).contains("`event_bytes` is"));
    let mut config = config();
    config.vendor_table_count = 1;
    assert_eq!(required(&MODEL.0, &config).unwrap_err().0, Status::NullPointer);
}

#[test]
fn invalid_models_are_refused() {
    assert_eq!(required(&MODEL.0[..4095], &config()).unwrap_err().0, Status::Model);
    assert_eq!(required(b"not a model", &config()).unwrap_err().0, Status::Model);
    let mut damaged = MODEL.0.to_vec();
    // The first section starts after the head.
    damaged[4096] ^= 1;
    let (bytes, _) = required(&damaged, &config()).unwrap();
    let mut region = Region::new(bytes).unwrap();
    let mut session = null_mut();
    // Page-aligned, as a mapped file is.
    let mut aligned = Region::new(damaged.len()).unwrap();
    aligned.as_mut_slice().copy_from_slice(&damaged);
    let model = aligned.as_mut_slice();
    // SAFETY: all pointers are valid.
    let status = unsafe {
        sonotrace_open(
            model.as_ptr(),
            model.len(),
            &config(),
            region.as_mut_slice().as_mut_ptr(),
            bytes,
            &mut session,
        )
    };
    assert_eq!((status, session), (Status::Model, null_mut()));
    assert!(text().contains("hash"), "{}", text());
}

#[test]
fn null_is_refused_everywhere() {
    let opened = open();
    let session = opened.session;
    let mut mapped = null_mut();
    // SAFETY: null is allowed by all of them.
    let statuses = unsafe {
        [
            sonotrace_config_sized(null_mut(), 0, SONOTRACE_ABI_VERSION),
            sonotrace_memory_lock(null(), 1),
            sonotrace_memory_required(null(), 0, &config(), &mut 0, &mut 0),
            sonotrace_memory_required(MODEL.0.as_ptr(), MODEL.0.len(), null(), &mut 0, &mut 0),
            sonotrace_memory_required(MODEL.0.as_ptr(), MODEL.0.len(), &config(), null_mut(), &mut 0),
            sonotrace_open(MODEL.0.as_ptr(), MODEL.0.len(), &config(), null_mut(), 0, &mut null_mut()),
            sonotrace_open(MODEL.0.as_ptr(), MODEL.0.len(), &config(), null_mut(), 0, null_mut()),
            sonotrace_step(null_mut(), null_mut(), null_mut()),
            sonotrace_frame_acquire(
                null_mut(),
                &mut BridgeFrameSlot { descriptor: null_mut(), payload: null_mut(), payload_capacity: 0 },
            ),
            sonotrace_frame_acquire(session, null_mut()),
            sonotrace_frame_commit(null_mut(), null_mut()),
            sonotrace_frame_descriptor_init(null_mut()),
            sonotrace_frame_descriptor_check(null()),
            sonotrace_prompt(session, null(), null_mut()),
            sonotrace_prompt(null_mut(), &BridgePrompt::default(), null_mut()),
            sonotrace_set_frozen(null_mut(), 1),
            sonotrace_overlay_poll(session, null_mut()),
            sonotrace_overlay_poll(null_mut(), &mut null()),
            sonotrace_overlay_wait(session, 0, null_mut()),
            sonotrace_overlay_wait(null_mut(), 0, &mut null()),
            sonotrace_event_next(session, null_mut()),
            sonotrace_event_text(null(), null_mut(), 0),
            sonotrace_counters(session, null_mut()),
            sonotrace_counters(null(), &mut BridgeCounters::default()),
            sonotrace_close(null_mut(), null_mut()),
            sonotrace_model_map(null(), &mut mapped),
            sonotrace_model_map(c"x".as_ptr(), null_mut()),
        ]
    };
    assert!(statuses.iter().all(|status| *status == Status::NullPointer), "{statuses:?}");
    // SAFETY: null is allowed.
    unsafe { sonotrace_model_unmap(null_mut()) };
    // SAFETY: null is allowed.
    assert!(unsafe { sonotrace_model_data(null()) }.is_null());
    // SAFETY: null is allowed.
    assert_eq!(unsafe { sonotrace_model_bytes(null()) }, 0);
    // SAFETY: open, and closed once.
    assert_eq!(unsafe { sonotrace_close(session, null_mut()) }, Status::Ok);
}

#[test]
fn a_missing_file_is_named() {
    let mut model = null_mut();
    // SAFETY: NUL-terminated, and room for a pointer.
    let status = unsafe { sonotrace_model_map(c"/nowhere/at/all.sono".as_ptr(), &mut model) };
    assert_eq!((status, model), (Status::File, null_mut()));
    assert!(text().contains("/nowhere/at/all.sono"), "{}", text());
    // SAFETY: as above.
    let status = unsafe { sonotrace_model_map(c"\xff".as_ptr(), &mut model) };
    assert_eq!(status, Status::File);
}

#[test]
fn calls_on_a_closed_session_are_refused() {
    let opened = open();
    let mut counters = BridgeCounters::default();
    // SAFETY: open, and closed once.
    assert_eq!(unsafe { sonotrace_close(opened.session, &mut counters) }, Status::Ok);
    assert_eq!(counters, BridgeCounters::default());
    // SAFETY: the session's region still exists.
    let again = unsafe {
        [
            sonotrace_close(opened.session, null_mut()),
            sonotrace_step(opened.session, null_mut(), null_mut()),
            sonotrace_set_frozen(opened.session, 1),
            sonotrace_frame_commit(opened.session, null_mut()),
            sonotrace_counters(opened.session, &mut counters),
        ]
    };
    assert_eq!(again, [Status::NotASession; 5]);
}

#[test]
fn invalid_frames_and_prompts_are_refused_and_the_scan_continues() {
    let opened = open();
    let session = opened.session;
    // SAFETY: open; null is allowed.
    assert_eq!(unsafe { sonotrace_frame_commit(session, null_mut()) }, Status::Frame);
    assert!(text().contains("acquired"), "{}", text());
    let mut slot = BridgeFrameSlot { descriptor: null_mut(), payload: null_mut(), payload_capacity: 0 };
    // SAFETY: open, and room for a slot.
    assert_eq!(unsafe { sonotrace_frame_acquire(session, &mut slot) }, Status::Ok);
    assert_eq!(slot.payload_capacity, 8192);
    // SAFETY: the slot is this thread's until it is committed.
    assert_eq!(unsafe { sonotrace_frame_descriptor_init(slot.descriptor) }, Status::Ok);
    // SAFETY: as above.
    assert_eq!(unsafe { sonotrace_frame_descriptor_check(slot.descriptor) }, Status::Frame);
    assert!(text().contains("`domain` is 0"), "{}", text());
    let mut evicted = 9;
    // SAFETY: open, and room for a number.
    assert_eq!(unsafe { sonotrace_frame_commit(session, &mut evicted) }, Status::Frame);
    assert!(text().contains("`domain` is 0"), "{}", text());
    assert_eq!(evicted, 0);
    // The slot is still acquired: only the samples' checksum is left to the step.
    // SAFETY: as above.
    unsafe { *slot.descriptor = FrameDescriptor { flags: 1 << 4, crc32: 1, seq: 5, ..good_frame() } };
    // SAFETY: open, and room for a number.
    assert_eq!(unsafe { sonotrace_frame_commit(session, &mut evicted) }, Status::Ok);
    let (mut step, mut seq) = (Step::Working, 7);
    while step == Step::Working {
        // SAFETY: open, and room for both.
        assert_eq!(unsafe { sonotrace_step(session, &mut step, &mut seq) }, Status::Ok);
    }
    assert_eq!((step, seq), (Step::Dropped, 5));
    let mut counters = BridgeCounters::default();
    // SAFETY: open, and room for them.
    assert_eq!(unsafe { sonotrace_counters(session, &mut counters) }, Status::Ok);
    assert_eq!((counters.dropped_malformed, counters.frames_refused), (1, 1));
    assert_eq!(counters.malformed_by_field[FrameField::Crc32 as usize], 1);

    let good = BridgePrompt { kind: 1, object: 1, space: 1, is_positive: 1, ..BridgePrompt::default() };
    let prompt = |prompt: BridgePrompt| {
        let mut ticket = 0;
        // SAFETY: open, and all pointers are valid.
        (unsafe { sonotrace_prompt(session, &prompt, &mut ticket) }, ticket)
    };
    for bad in [
        BridgePrompt { kind: 0, ..good },
        // Freezing is not a prompt.
        BridgePrompt { kind: 4, ..good },
        BridgePrompt { object: 0, ..good },
        BridgePrompt { space: 9, ..good },
        BridgePrompt { is_positive: 2, ..good },
        BridgePrompt { from: [f32::NAN, 0.0], ..good },
    ] {
        assert_eq!(prompt(bad), (Status::Prompt, 0), "{bad:?}");
    }
    assert_eq!(prompt(good), (Status::Ok, 1));
    for ticket in 2..=16 {
        assert_eq!(prompt(good), (Status::Ok, ticket));
    }
    assert_eq!(prompt(good).0, Status::Full);

    let mut overlay = null();
    // SAFETY: open, and room for a pointer.
    assert_eq!(unsafe { sonotrace_overlay_poll(session, &mut overlay) }, Status::Empty);
    assert!(overlay.is_null());
    let mut event: Event = bytemuck::Zeroable::zeroed();
    let mut line = [0x55u8; 24];
    // SAFETY: open, and room for one.
    assert_eq!(unsafe { sonotrace_event_next(session, &mut event) }, Status::Ok);
    // SAFETY: both pointers are valid.
    assert_eq!(unsafe { sonotrace_event_text(&event, line.as_mut_ptr().cast(), line.len()) }, Status::Ok);
    assert_eq!(CStr::from_bytes_with_nul(&line).unwrap().to_str().unwrap().len(), 23, "cut to the room");
    // SAFETY: open, and closed once.
    assert_eq!(unsafe { sonotrace_close(session, &mut counters) }, Status::Ok);
    assert_eq!(counters.prompts_unanswered, 16);
}

/// Each side of a session on its own thread: frames and prompts in, overlays out, while it steps.
#[test]
fn sides_may_be_on_different_threads() {
    const FRAMES: u64 = 300;
    #[derive(Clone, Copy)]
    struct Handle(*mut BridgeSession);
    // SAFETY: each side of a session may be used by one thread, as in this test.
    unsafe impl Send for Handle {}
    let opened = open();
    let handle = Handle(opened.session);
    let frame = good_frame();
    let overlays = std::thread::scope(|scope| {
        let acquisition = scope.spawn(move || {
            let Handle(session) = { handle };
            for seq in 1..=FRAMES {
                let mut slot =
                    BridgeFrameSlot { descriptor: null_mut(), payload: null_mut(), payload_capacity: 0 };
                // SAFETY: open; this is the only thread on this side.
                assert_eq!(unsafe { sonotrace_frame_acquire(session, &mut slot) }, Status::Ok);
                // SAFETY: the slot is this thread's until it is committed.
                unsafe { *slot.descriptor = FrameDescriptor { seq, t_acq_ns: seq, ..frame } };
                // SAFETY: as above.
                assert_eq!(unsafe { sonotrace_frame_commit(session, null_mut()) }, Status::Ok);
                std::thread::yield_now();
            }
        });
        let user = scope.spawn(move || {
            let Handle(session) = { handle };
            let click = BridgePrompt {
                kind: 1,
                object: 1,
                space: 1,
                is_positive: 1,
                from: [0.0, 20.0],
                ..BridgePrompt::default()
            };
            let mut accepted = 0;
            while accepted < 20 {
                // SAFETY: open; this is the only thread on this side.
                match unsafe { sonotrace_prompt(session, &click, null_mut()) } {
                    Status::Ok => accepted += 1,
                    Status::Full => std::thread::yield_now(),
                    other => panic!("{other:?}: {}", text()),
                }
            }
        });
        let display = scope.spawn(move || {
            let Handle(session) = { handle };
            let (mut overlay, mut last, mut count) = (null(), 0, 0u64);
            while last < FRAMES {
                // SAFETY: open; this is the only thread on this side.
                if unsafe { sonotrace_overlay_wait(session, 1_000_000_000, &mut overlay) } == Status::Ok {
                    // SAFETY: valid until the next call on this side.
                    let seq = unsafe { &*overlay }.seq;
                    assert!(seq >= last);
                    // A prompt that arrives while no frame is queued is answered on an update of the last overlay.
                    count += u64::from(seq > last);
                    last = seq;
                }
            }
            count
        });
        let Handle(session) = { handle };
        while !(display.is_finished() && user.is_finished()) {
            // SAFETY: open; this is the only thread on this side.
            assert_eq!(unsafe { sonotrace_step(session, null_mut(), null_mut()) }, Status::Ok);
        }
        acquisition.join().unwrap();
        user.join().unwrap();
        display.join().unwrap()
    });
    let mut counters = BridgeCounters::default();
    // SAFETY: open, and closed once.
    assert_eq!(unsafe { sonotrace_close(opened.session, &mut counters) }, Status::Ok);
    assert_eq!(counters.overlays + counters.dropped_superseded, FRAMES);
    assert!(overlays <= counters.overlays && overlays + counters.overlays_unfetched >= counters.overlays);
    assert_eq!(counters.prompts_served + counters.prompts_unanswered, 20);
    // The display stops at the last frame's overlay, and may leave those of later prompts.
    assert!(counters.answers_undelivered <= counters.prompts_served);
}
