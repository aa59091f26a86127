//! Any sequence of calls of the C interface: every call returns, and every frame is counted once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_ffi::commands::{BridgePrompt, sonotrace_prompt, sonotrace_set_frozen};
use sonotrace_ffi::config::Config;
use sonotrace_ffi::counters::BridgeCounters;
use sonotrace_ffi::frames::{BridgeFrameSlot, sonotrace_frame_acquire, sonotrace_frame_commit};
use sonotrace_ffi::overlays::{sonotrace_event_next, sonotrace_event_text, sonotrace_overlay_poll};
use sonotrace_ffi::session::{
    BridgeSession, sonotrace_close_sized, sonotrace_memory_required, sonotrace_open, sonotrace_step,
};
use sonotrace_ffi::status::Status;
use sonotrace_fuzz::Memory;
use sonotrace_hal::event::Event;
use sonotrace_hal::frame::FrameDescriptor;
use sonotrace_hal::overlay::{OBJECTS_MAX, Overlay};
use std::ptr::{null, null_mut};

#[repr(C, align(4096))]
struct Page<T: ?Sized>(T);

static MODEL: &Page<[u8]> = &Page(*include_bytes!("../../../runtime/tests/data/disc.sono"));

/// Size of a frame slot's payload.
const PAYLOAD_BYTES: u64 = 4096;
/// Largest memory of a session.
const MEMORY_MAX: usize = 1 << 20;

/// The input, read from front to back; zeros after its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (now, later) = self.0.split_at(N.min(self.0.len()));
        self.0 = later;
        let mut taken = [0; N];
        taken[..now.len()].copy_from_slice(now);
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take::<1>()[0]
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(self.take())
    }
}

/// A valid frame of one of the geometries.
fn good(kind: u8, seq: u64) -> FrameDescriptor {
    let linear = FrameDescriptor {
        seq,
        t_acq_ns: seq,
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
    };
    match kind % 5 {
        0 => linear,
        1 => FrameDescriptor { last_depth_mm: 60.0, ..linear },
        2 => FrameDescriptor {
            geometry: 2,
            apex_radius_mm: 30.0,
            first_angle_rad: -0.5,
            last_angle_rad: 0.5,
            ..linear
        },
        3 => FrameDescriptor { domain: 4, geometry: 5, ..linear },
        _ => FrameDescriptor {
            domain: 2,
            sample_type: 3,
            amplitude_law: 1,
            stride_bytes: 256,
            payload_bytes: 4096,
            ..linear
        },
    }
}

/// Opens a session in memory of exactly the size that it requires, if that is small.
fn open(config: &Config) -> Option<(*mut BridgeSession, Memory)> {
    let (mut bytes, mut align, mut session) = (0, 0, null_mut());
    let model = &MODEL.0;
    // SAFETY: all pointers are valid.
    let status =
        unsafe { sonotrace_memory_required(model.as_ptr(), model.len(), config, &mut bytes, &mut align) };
    if status != Status::Ok || bytes > MEMORY_MAX {
        return None;
    }
    let mut memory = Memory::new(bytes, align);
    // SAFETY: all pointers are valid; the caller keeps the memory until the session is closed.
    let status = unsafe {
        sonotrace_open(model.as_ptr(), model.len(), config, memory.as_mut_ptr(), bytes, &mut session)
    };
    assert_eq!(status, Status::Ok, "the memory that is required is enough");
    Some((session, memory))
}

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    let settings = bytes.byte();
    let config = Config {
        policy: 1 + u32::from(settings & 1),
        kept_frames: 1 + u32::from(settings >> 1 & 3),
        table_rows_per_frame: if settings & 8 == 0 { u32::MAX } else { 5 },
        slice_ns: if settings & 16 == 0 { 1 } else { 1 << 30 },
        display_width: 96,
        display_height: 72,
        payload_bytes: PAYLOAD_BYTES,
        ..Config::default()
    };
    let Some((session, _memory)) = open(&config) else { return };
    let (mut committed, mut refused, mut seq) = (0u64, 0u64, 0u64);
    while !bytes.0.is_empty() {
        match bytes.byte() % 8 {
            0 | 1 => {
                let mut slot =
                    BridgeFrameSlot { descriptor: null_mut(), payload: null_mut(), payload_capacity: 0 };
                // SAFETY: open, and `slot` is valid.
                assert_eq!(unsafe { sonotrace_frame_acquire(session, &mut slot) }, Status::Ok);
                let how = bytes.byte();
                seq = if how & 0x40 == 0 { seq + 1 } else { u64::from(bytes.byte()) };
                let mut descriptor = good(how, seq);
                for _ in 0..how >> 4 & 3 {
                    let at = usize::from(bytes.byte()) % (size_of::<FrameDescriptor>() / 4);
                    let words: &mut [u32] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut descriptor));
                    words[at] = bytes.word();
                }
                // SAFETY: this thread owns the slot until it is committed.
                unsafe { *slot.descriptor = descriptor };
                // SAFETY: open; null is allowed.
                match unsafe { sonotrace_frame_commit(session, null_mut()) } {
                    Status::Ok => committed += 1,
                    Status::Frame => refused += 1,
                    other => panic!("{other:?}"),
                }
            }
            2 => {
                let [kind, object, space, flags] = bytes.take();
                let place =
                    |bytes: &mut Bytes<'_>| [bytes.byte(), bytes.byte()].map(|at| f32::from(at) / 4.0 - 10.0);
                let prompt = BridgePrompt {
                    kind: u32::from(kind % 5),
                    object: u32::from(object % 14),
                    space: u32::from(space % 5),
                    is_positive: u32::from(flags & 1),
                    seq: if flags & 2 == 0 { 0 } else { seq.saturating_sub(u64::from(flags >> 4)) },
                    from: place(&mut bytes),
                    to: place(&mut bytes),
                };
                // SAFETY: open, and `prompt` is valid; null is allowed.
                let _ = unsafe { sonotrace_prompt(session, &prompt, null_mut()) };
            }
            3 => {
                let is_frozen = bytes.byte() & 1;
                // SAFETY: open.
                let _ = unsafe { sonotrace_set_frozen(session, is_frozen.into()) };
            }
            4 => {
                let mut overlay: *const Overlay = null();
                // SAFETY: open, and `overlay` is valid.
                if unsafe { sonotrace_overlay_poll(session, &mut overlay) } == Status::Ok {
                    // SAFETY: valid until the next call on this side.
                    check_overlay(unsafe { &*overlay });
                }
            }
            5 => {
                let (mut event, mut text) =
                    (Event { t_ns: 0, seq: 0, kind: 0, detail: 0, value: 0 }, [0u8; 80]);
                // SAFETY: open, and `event` is valid.
                if unsafe { sonotrace_event_next(session, &mut event) } == Status::Ok {
                    // SAFETY: both pointers are valid.
                    let status =
                        unsafe { sonotrace_event_text(&event, text.as_mut_ptr().cast(), text.len()) };
                    assert_eq!(status, Status::Ok);
                }
            }
            _ => {
                for _ in 0..bytes.byte() % 32 {
                    // SAFETY: open; null is allowed.
                    assert_eq!(unsafe { sonotrace_step(session, null_mut(), null_mut()) }, Status::Ok);
                }
            }
        }
    }
    let mut counters = BridgeCounters::default();
    // SAFETY: open, and closed once.
    let status = unsafe { sonotrace_close_sized(session, &mut counters, size_of::<BridgeCounters>()) };
    assert_eq!(status, Status::Ok);
    let dropped = counters.dropped_superseded
        + counters.dropped_malformed
        + counters.dropped_out_of_order
        + counters.dropped_frozen
        + counters.dropped_shut_down;
    assert_eq!((counters.overlays + dropped, counters.frames_refused), (committed, refused));
    assert_eq!(counters.malformed_by_field.iter().sum::<u64>(), counters.dropped_malformed);
});

/// Checks an overlay.
fn check_overlay(overlay: &Overlay) {
    assert!(overlay.object_count as usize <= OBJECTS_MAX);
    for object in overlay.objects() {
        assert_eq!(object.polygons_px().map(<[_]>::len).sum::<usize>(), object.points as usize);
        let points = object.contour_px().iter().chain(object.contour_mm());
        assert!(points.flatten().all(|value| value.is_finite()));
        assert!(object.area_mm2 >= 0.0 && object.perimeter_mm >= 0.0);
    }
}
