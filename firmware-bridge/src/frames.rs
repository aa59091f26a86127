//! The acquisition side: frames in.

use crate::output::Output;
use crate::session::{BridgeSession, call_on};
use crate::status::{Failure, Status, call};
use core::sync::atomic::Ordering;
use sonotrace::hal::clock::Clock;
use sonotrace::hal::frame::FrameDescriptor;

/// A slot to fill with a frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BridgeFrameSlot {
    /// The descriptor. It still describes the slot's last frame: start from `sonotrace_frame_descriptor_init`.
    pub descriptor: *mut FrameDescriptor,
    /// Room for the samples, on a multiple of 64 bytes.
    pub payload: *mut u8,
    /// Size of that room in bytes: the configuration's `payload_bytes`.
    pub payload_capacity: usize,
}

/// Bytes behind each slot's samples that nobody may write: a commit finds a frame that is longer than its slot.
pub(crate) const GUARD_BYTES: usize = 64;
/// The content of those bytes.
const GUARD: [u8; GUARD_BYTES] = *b"the samples of a frame end before here; keep within the capacity";

/// Sets magic and version of a descriptor and the size that the caller's header gives it, and zeroes the rest. Called
/// by `sonotrace_frame_descriptor_init` of the header. Any thread may call it.
///
/// # Safety
/// `descriptor` is null or points to room for `descriptor_bytes` bytes.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_frame_descriptor_sized(
    descriptor: *mut FrameDescriptor,
    descriptor_bytes: usize,
) -> Status {
    call(|| {
        if descriptor.is_null() {
            return Err(Failure::null("descriptor"));
        }
        let blank = FrameDescriptor {
            descriptor_bytes: u16::try_from(descriptor_bytes).unwrap_or(u16::MAX),
            ..FrameDescriptor::blank()
        };
        // SAFETY: room for `descriptor_bytes` bytes, as the caller promises.
        unsafe { Output::sized(descriptor, descriptor_bytes) }.set_prefix(&blank);
        Ok(())
    })
}

/// Checks a descriptor by the rules for all sessions. (A commit also checks it against its session: the slot's size,
/// the amplitude tables, the display.) Returns `SONOTRACE_STATUS_FRAME` if a field is invalid; the last error's text
/// names the field. Any thread may call it.
///
/// # Safety
/// `descriptor` is null or points to one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_frame_descriptor_check(descriptor: *const FrameDescriptor) -> Status {
    call(|| {
        if descriptor.is_null() {
            return Err(Failure::null("descriptor"));
        }
        // SAFETY: not null, and points to one, as the caller promises; any bytes are a descriptor.
        let descriptor = unsafe { descriptor.read() };
        descriptor.check().map(drop).map_err(|error| Failure::new(Status::Frame, error))
    })
}

/// Acquires the slot to fill next. Never waits. Acquisition's side. The slot is the caller's until it is committed;
/// until then, each acquire returns the same slot. After a failure all fields of `slot` are null or 0.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `slot` is null or points to room for one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_frame_acquire(
    session: *mut BridgeSession,
    slot: *mut BridgeFrameSlot,
) -> Status {
    // SAFETY: null, or room for one, as the caller promises.
    let mut slot = unsafe { Output::new(slot) };
    slot.set(BridgeFrameSlot {
        descriptor: core::ptr::null_mut(),
        payload: core::ptr::null_mut(),
        payload_capacity: 0,
    });
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        slot.required("slot")?;
        let mut acquisition = session.acquisition.enter("acquisition")?;
        acquisition.frames.check()?;
        let is_acquired = acquisition.is_acquired;
        let mut filling = acquisition.frames.acquire()?;
        let descriptor: *mut FrameDescriptor = filling.descriptor_mut();
        let (payload, guard) = split_guard(filling.payload_mut())?;
        if is_acquired {
            check_guard(guard, payload.len())?;
        }
        *guard = GUARD;
        let acquired =
            BridgeFrameSlot { descriptor, payload: payload.as_mut_ptr(), payload_capacity: payload.len() };
        // Until it is committed, the slot stays with this side.
        acquisition.is_acquired = true;
        slot.set(acquired);
        Ok(())
    })
}

/// Reports samples that were written past a slot's capacity. From then on the session accepts no frames.
fn check_guard(guard: &[u8; GUARD_BYTES], capacity: usize) -> Result<(), Failure> {
    if *guard == GUARD {
        return Ok(());
    }
    Err(Failure::new(
        Status::Ring,
        format_args!(
            "samples were written past the slot's {capacity} bytes, other memory may be damaged: close the session"
        ),
    ))
}

/// Splits a slot's room into the part for samples and the guard behind it.
fn split_guard(room: &mut [u8]) -> Result<(&mut [u8], &mut [u8; GUARD_BYTES]), Failure> {
    room.split_last_chunk_mut()
        .ok_or_else(|| Failure::new(Status::Ring, "a slot of the frame ring has no room"))
}

/// Queues the acquired frame and sets its `t_enqueue_ns` from the session's clock, with one call of it. Never waits:
/// if the queue is full, its oldest frame is evicted and counted, and `evicted`, which may be null, receives 1 (else 0).
/// Acquisition's side.
///
/// A frame that the session cannot use is refused with `SONOTRACE_STATUS_FRAME`; the last error's text names the field,
/// the limit and the value, and `frames_refused` counts it. The slot stays acquired: correct the descriptor and commit
/// again, or fill the slot with the next frame. Only the samples' checksum is checked later, by the step that takes the
/// frame. If samples were written past `payload_capacity`, the call returns `SONOTRACE_STATUS_RING`, and from then on the
/// session accepts no frames: memory behind them may be damaged.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `evicted` is null or points to room for a number.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_frame_commit(session: *mut BridgeSession, evicted: *mut u32) -> Status {
    // SAFETY: null, or room for a number, as the caller promises.
    let mut evicted = unsafe { Output::new(evicted) };
    evicted.set(0);
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        let mut acquisition = session.acquisition.enter("acquisition")?;
        if !acquisition.is_acquired {
            return Err(Failure::new(Status::Frame, "no frame was acquired since the last commit"));
        }
        acquisition.frames.check()?;
        let rules = acquisition.rules;
        let mut filled = acquisition.frames.acquire()?;
        let (payload, guard) = split_guard(filled.payload_mut())?;
        let capacity = payload.len();
        check_guard(guard, capacity)?;
        if let Err(error) = rules.check(filled.descriptor_mut(), capacity) {
            // Relaxed: a number that publishes nothing.
            session.frames_refused.fetch_add(1, Ordering::Relaxed);
            return Err(Failure::new(Status::Frame, error));
        }
        filled.descriptor_mut().t_enqueue_ns = session.clock.now_ns();
        let outcome = filled.commit();
        acquisition.is_acquired = false;
        evicted.set(outcome.evicted.into());
        Ok(())
    })
}
