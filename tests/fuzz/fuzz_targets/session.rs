//! A device that does anything, through the C interface: every call answers, and every frame is accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_ffi::commands::{Prompt, sonotrace_prompt, sonotrace_set_frozen};
use sonotrace_ffi::config::Config;
use sonotrace_ffi::frames::{FrameSlot, sonotrace_frame_acquire, sonotrace_frame_commit};
use sonotrace_ffi::overlays::{sonotrace_event_next, sonotrace_event_text, sonotrace_overlay_poll};
use sonotrace_ffi::session::{
    Counters, Session, sonotrace_close, sonotrace_memory_required, sonotrace_open, sonotrace_step,
};
use sonotrace_ffi::status::Status;
use sonotrace_hal::event::Event;
use sonotrace_hal::frame::FrameDescriptor;
use sonotrace_hal::overlay::{OBJECTS_MAX, Overlay};
use std::ptr::{null, null_mut};

#[repr(C, align(4096))]
struct Page<T: ?Sized>(T);

static MODEL: &Page<[u8]> = &Page(*include_bytes!("../../../runtime/tests/data/disc.sono"));

/// Most bytes of samples in a frame.
const PAYLOAD_BYTES: u64 = 4096;

/// Bytes that are taken one after another; zeros once they are used up.
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

/// A good frame of one of the geometries.
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

fn open(config: &Config, region: &mut [u64]) -> Option<*mut Session> {
    let (mut bytes, mut align, mut session) = (0, 0, null_mut());
    let model = &MODEL.0;
    // SAFETY: all point to what they say.
    let status =
        unsafe { sonotrace_memory_required(model.as_ptr(), model.len(), config, &mut bytes, &mut align) };
    if status != Status::Ok || bytes + align > 8 * region.len() {
        return None;
    }
    let memory = region.as_mut_ptr().cast::<u8>();
    let memory = memory.wrapping_add(memory.align_offset(align));
    // SAFETY: all point to what they say; the region outlives the session.
    let status = unsafe { sonotrace_open(model.as_ptr(), model.len(), config, memory, bytes, &mut session) };
    (status == Status::Ok).then_some(session)
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
    let mut region = vec![0u64; 1 << 17];
    let Some(session) = open(&config, &mut region) else { return };
    let (mut committed, mut seq) = (0u64, 0u64);
    while !bytes.0.is_empty() {
        match bytes.byte() % 8 {
            0 | 1 => {
                let mut slot = FrameSlot { descriptor: null_mut(), payload: null_mut(), payload_capacity: 0 };
                // SAFETY: open, and room for a slot.
                assert_eq!(unsafe { sonotrace_frame_acquire(session, &mut slot) }, Status::Ok);
                let how = bytes.byte();
                seq = if how & 0x40 == 0 { seq + 1 } else { u64::from(bytes.byte()) };
                let mut descriptor = good(how, seq);
                for _ in 0..how >> 4 & 3 {
                    let at = usize::from(bytes.byte()) % (size_of::<FrameDescriptor>() / 4);
                    let words: &mut [u32] = bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(&mut descriptor));
                    words[at] = bytes.word();
                }
                // SAFETY: the slot is this thread's until it is committed.
                unsafe { *slot.descriptor = descriptor };
                // SAFETY: open; null is allowed.
                assert_eq!(unsafe { sonotrace_frame_commit(session, null_mut()) }, Status::Ok);
                committed += 1;
            }
            2 => {
                let [kind, object, space, flags] = bytes.take();
                let place =
                    |bytes: &mut Bytes<'_>| [bytes.byte(), bytes.byte()].map(|at| f32::from(at) / 4.0 - 10.0);
                let prompt = Prompt {
                    kind: u32::from(kind % 5),
                    object: u32::from(object % 14),
                    space: u32::from(space % 5),
                    is_positive: u32::from(flags & 1),
                    seq: if flags & 2 == 0 { 0 } else { seq.saturating_sub(u64::from(flags >> 4)) },
                    from: place(&mut bytes),
                    to: place(&mut bytes),
                };
                // SAFETY: open, and a prompt; null is allowed.
                let _ = unsafe { sonotrace_prompt(session, &prompt, null_mut()) };
            }
            3 => {
                let is_frozen = bytes.byte() & 1;
                // SAFETY: open.
                let _ = unsafe { sonotrace_set_frozen(session, is_frozen.into()) };
            }
            4 => {
                let mut overlay: *const Overlay = null();
                // SAFETY: open, and room for a pointer.
                if unsafe { sonotrace_overlay_poll(session, &mut overlay) } == Status::Ok {
                    // SAFETY: valid until the next call on this side.
                    look_at(unsafe { &*overlay });
                }
            }
            5 => {
                let (mut event, mut text) =
                    (Event { t_ns: 0, seq: 0, kind: 0, detail: 0, value: 0 }, [0u8; 80]);
                // SAFETY: open, and room for one.
                if unsafe { sonotrace_event_next(session, &mut event) } == Status::Ok {
                    // SAFETY: both point to what they say.
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
    let mut counters = Counters::default();
    // SAFETY: open, and closed once.
    assert_eq!(unsafe { sonotrace_close(session, &mut counters) }, Status::Ok);
    let dropped = counters.dropped_superseded
        + counters.dropped_malformed
        + counters.dropped_out_of_order
        + counters.dropped_frozen
        + counters.dropped_shut_down;
    assert_eq!(counters.overlays + dropped, committed);
});

/// What has to hold of every overlay.
fn look_at(overlay: &Overlay) {
    assert!(overlay.object_count as usize <= OBJECTS_MAX);
    for object in overlay.objects() {
        assert_eq!(object.rings_px().map(<[_]>::len).sum::<usize>(), object.points as usize);
        let points = object.contour_px().iter().chain(object.contour_mm());
        assert!(points.flatten().all(|value| value.is_finite()));
        assert!(object.area_mm2 >= 0.0 && object.perimeter_mm >= 0.0);
    }
}
