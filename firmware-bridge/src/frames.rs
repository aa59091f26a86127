//! The acquisition side: frames in.

use crate::session::{BridgeSession, call_on};
use crate::status::{Failure, Status, call};
use sonotrace::hal::clock::Clock;
use sonotrace::hal::frame::FrameDescriptor;

/// A slot to fill with a frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct BridgeFrameSlot {
    /// The descriptor. It still describes the slot's last frame: start from `sonotrace_frame_descriptor_init`.
    pub descriptor: *mut FrameDescriptor,
    /// Room for the samples.
    pub payload: *mut u8,
    /// Size of that room in bytes.
    pub payload_capacity: usize,
}

/// Sets magic, version and size of a descriptor, and zeroes the rest.
///
/// # Safety
/// `descriptor` is null or points to room for one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_frame_descriptor_init(descriptor: *mut FrameDescriptor) -> Status {
    call(|| {
        if descriptor.is_null() {
            return Err(Failure::null("descriptor"));
        }
        // SAFETY: not null, and room for one, as the caller promises.
        unsafe { descriptor.write(FrameDescriptor::blank()) };
        Ok(())
    })
}

/// Checks a descriptor as the session does. Returns `SONOTRACE_STATUS_FRAME` if a field is invalid; the last error's
/// text names the field.
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

/// Acquires the slot to fill next. Never waits. The slot is the caller's until it is committed; until then, each
/// acquire returns the same slot.
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
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if slot.is_null() {
            return Err(Failure::null("slot"));
        }
        let mut acquisition = session.acquisition.enter("acquisition")?;
        let mut filling = acquisition.frames.acquire()?;
        let descriptor: *mut FrameDescriptor = filling.descriptor_mut();
        let payload = filling.payload_mut();
        let acquired =
            BridgeFrameSlot { descriptor, payload: payload.as_mut_ptr(), payload_capacity: payload.len() };
        // Until it is committed, the slot stays with this side.
        acquisition.is_acquired = true;
        // SAFETY: not null, and room for one, as the caller promises.
        unsafe { slot.write(acquired) };
        Ok(())
    })
}

/// Queues the acquired frame and sets its `t_enqueue_ns` from the session's clock. Never waits: if the queue is full,
/// its oldest frame is evicted and counted, and `evicted`, which may be null, receives 1. The session checks the
/// descriptor when it takes the frame, and counts an invalid one as malformed.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `evicted` is null or points to room for a number.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_frame_commit(session: *mut BridgeSession, evicted: *mut u32) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        let mut acquisition = session.acquisition.enter("acquisition")?;
        if !core::mem::replace(&mut acquisition.is_acquired, false) {
            return Err(Failure::new(Status::Frame, "no frame was acquired since the last commit"));
        }
        let mut filled = acquisition.frames.acquire()?;
        filled.descriptor_mut().t_enqueue_ns = session.clock.now_ns();
        let outcome = filled.commit();
        if !evicted.is_null() {
            // SAFETY: not null, and room for a number, as the caller promises.
            unsafe { evicted.write(outcome.evicted.into()) };
        }
        Ok(())
    })
}
