//! Overlays and events out.

use crate::output::Output;
use crate::session::{BridgeSession, Display, call_on};
use crate::status::{Cut, Failure, Status, call};
use bytemuck::Zeroable;
use core::ffi::c_char;
use core::fmt::Write;
use sonotrace::hal::event::Event;
use sonotrace::hal::overlay::{OVERLAY_ABI_VERSION, OVERLAY_MAGIC, Overlay};

/// The next overlay, oldest first: `overlay` receives a pointer to it that is valid until the next
/// `sonotrace_overlay_poll` or the close; null after a failure. Display's side. Returns `SONOTRACE_STATUS_EMPTY` if there
/// is none. An overlay that is evicted before it is fetched is counted; its replies to prompts go to a later overlay.
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
    // SAFETY: null, or room for a pointer, as the caller promises.
    let mut overlay = unsafe { Output::new(overlay) };
    overlay.set(core::ptr::null());
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        overlay.required("overlay")?;
        let mut side = session.overlays.enter("display's")?;
        let Display { ring, heartbeat } = &mut *side;
        ring.check()?;
        let next = ring.take().ok_or_else(|| Failure::new(Status::Empty, "no overlay is queued"))?;
        if (next.magic, next.abi_version) != (OVERLAY_MAGIC, OVERLAY_ABI_VERSION) {
            return Err(Failure::new(
                Status::Ring,
                "the overlay was overwritten: something writes into its ring",
            ));
        }
        // Each step commits at most one overlay.
        if next.heartbeat <= *heartbeat {
            return Err(Failure::new(
                Status::Ring,
                format_args!(
                    "the overlay of step {} comes after that of step {heartbeat}: something writes into its ring",
                    next.heartbeat
                ),
            ));
        }
        *heartbeat = next.heartbeat;
        overlay.set(core::ptr::from_ref(next));
        Ok(())
    })
}

/// The next event, oldest first; all fields are 0 after a failure. Log's side. Returns `SONOTRACE_STATUS_EMPTY` if
/// there is none. If the queue is full, its oldest event is evicted and counted in `events_lost`.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `event` is null or points to room for one.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_event_next(session: *mut BridgeSession, event: *mut Event) -> Status {
    // SAFETY: null, or room for one, as the caller promises.
    let mut event = unsafe { Output::new(event) };
    event.set(Event::zeroed());
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        event.required("event")?;
        let mut side = session.events.enter("log's")?;
        side.check()?;
        let next = side.take();
        event.set(next.ok_or_else(|| Failure::new(Status::Empty, "no event is queued"))?);
        Ok(())
    })
}

/// Writes an event as one line of NUL-terminated text, truncated to `text_bytes` (at least 1); empty after a failure.
/// Any thread may call it.
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
        if !text.is_null() && text_bytes > 0 {
            // SAFETY: not null, and room for `text_bytes` bytes, as the caller promises.
            unsafe { text.write(0) };
        }
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
