//! Frames in.

use crate::session::{Session, call_on};
use crate::status::{Failure, Status, call};
use sonotrace::hal::clock::Clock;
use sonotrace::hal::frame::FrameDescriptor;

/// A slot to fill with a frame.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct FrameSlot {
    /// The descriptor, as the slot's last frame left it: begin with `sonotrace_frame_descriptor_init`.
    pub descriptor: *mut FrameDescriptor,
    /// Room for the samples.
    pub payload: *mut u8,
    /// Bytes of that room.
    pub payload_capacity: usize,
}

/// Fills in magic, version and size of a descriptor, and zero everywhere else.
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

/// Checks a descriptor as the session will: `SONOTRACE_STATUS_FRAME`, and in the last error's text the field that does not
/// hold.
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

/// The slot to fill next, at once: it is the caller's until it is committed. Until then, each acquire gives the same.
///
/// # Safety
/// `session` was given by `sonotrace_open`; `slot` is null or points to room for one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_frame_acquire(session: *mut Session, slot: *mut FrameSlot) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { Session::behind(session) };
    call_on(session, |session| {
        if slot.is_null() {
            return Err(Failure::null("slot"));
        }
        let mut acquisition = session.acquisition.enter("acquisition")?;
        let mut filling = acquisition.frames.acquire()?;
        let descriptor: *mut FrameDescriptor = filling.descriptor_mut();
        let payload = filling.payload_mut();
        let handed = FrameSlot { descriptor, payload: payload.as_mut_ptr(), payload_capacity: payload.len() };
        // Not committed, the slot stays with this side.
        acquisition.is_acquired = true;
        // SAFETY: not null, and room for one, as the caller promises.
        unsafe { slot.write(handed) };
        Ok(())
    })
}

/// Queues the frame that was acquired; its `t_enqueue_ns` is filled in by the session's clock. Never waits: where the
/// session is behind, the oldest frame that waits is given back (`evicted`, which may be null, then receives 1) and
/// counted. A descriptor is checked when the frame's turn comes, and counted as malformed if it does not hold.
///
/// # Safety
/// `session` was given by `sonotrace_open`; `evicted` is null or points to room for a number.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_frame_commit(session: *mut Session, evicted: *mut u32) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { Session::behind(session) };
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
