//! Overlays and events out.

use crate::session::{BridgeSession, call_on};
use crate::status::{Cut, Failure, Status, call};
use core::ffi::c_char;
use core::fmt::Write;
use sonotrace::hal::event::Event;
use sonotrace::hal::overlay::Overlay;

/// The next overlay, oldest first: `overlay` receives a pointer to it that is valid until the next call on this side.
/// Returns `SONOTRACE_STATUS_EMPTY`, and null, if there is none.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `overlay` is null or points to room for a pointer.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_overlay_poll(
    session: *mut BridgeSession,
    overlay: *mut *const Overlay,
) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if overlay.is_null() {
            return Err(Failure::null("overlay"));
        }
        let mut side = session.overlays.enter("display's")?;
        let next = side.take().map(core::ptr::from_ref);
        // SAFETY: not null, and room for a pointer, as the caller promises.
        unsafe { overlay.write(next.unwrap_or(core::ptr::null())) };
        next.map(drop).ok_or_else(|| Failure::new(Status::Empty, "no overlay is queued"))
    })
}

/// The next event, oldest first. Returns `SONOTRACE_STATUS_EMPTY` if there is none.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `event` is null or points to room for one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_event_next(session: *mut BridgeSession, event: *mut Event) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if event.is_null() {
            return Err(Failure::null("event"));
        }
        let next = session.events.enter("log's")?.take();
        let next = next.ok_or_else(|| Failure::new(Status::Empty, "no event is queued"))?;
        // SAFETY: not null, and room for one, as the caller promises.
        unsafe { event.write(next) };
        Ok(())
    })
}

/// Writes an event as one line of NUL-terminated text, truncated to `text_bytes` (at least 1).
///
/// # Safety
/// `event` is null or points to one, `text` is null or points to room for `text_bytes` bytes.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_event_text(
    event: *const Event,
    text: *mut c_char,
    text_bytes: usize,
) -> Status {
    call(|| {
        if event.is_null() || text.is_null() || text_bytes == 0 {
            return Err(Failure::null(if event.is_null() { "event" } else { "text" }));
        }
        // SAFETY: not null, and points to one, as the caller promises; any bytes are an event.
        let event = unsafe { event.read() };
        // SAFETY: not null, and room for `text_bytes` bytes, as the caller promises.
        let room = unsafe { core::slice::from_raw_parts_mut(text.cast::<u8>(), text_bytes) };
        let mut cut = Cut::new(room);
        // Text that does not fit is left out.
        let _ = write!(cut, "{event}");
        let end = cut.used();
        room[end] = 0;
        Ok(())
    })
}
