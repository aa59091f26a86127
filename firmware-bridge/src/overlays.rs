//! Overlays and events out.

use crate::output::Output;
use crate::session::{BridgeSession, Display, call_on};
use crate::status::{Cut, Failure, Status, call};
use bytemuck::Zeroable;
use core::ffi::c_char;
use core::fmt::Write;
use core::time::Duration;
use sonotrace::hal::event::Event;
use sonotrace::hal::overlay::{OVERLAY_ABI_VERSION, OVERLAY_MAGIC, Overlay};

/// The next overlay, oldest first: `overlay` receives a pointer to it that is valid until the next `sonotrace_overlay_poll` or
/// `sonotrace_overlay_wait`, or the close; null after a failure. Display's side. Returns `SONOTRACE_STATUS_EMPTY` if there is
/// none. An overlay that is evicted before it is fetched is counted; its replies to prompts go to a later overlay.
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
        overlay.set(side.next()?.ok_or_else(|| Failure::new(Status::Empty, "no overlay is queued"))?);
        Ok(())
    })
}

/// As `sonotrace_overlay_poll`, but waits up to `timeout_ns` until there is an overlay. Display's side. Returns
/// `SONOTRACE_STATUS_TIMEOUT` if none came; a time of 0 does not wait. The thread sleeps meanwhile, and a step wakes it. A step never
/// waits for it. Until the call returns, `sonotrace_close` returns `SONOTRACE_STATUS_BUSY`.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `overlay` is null or points to room for a pointer.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_overlay_wait(
    session: *mut BridgeSession,
    timeout_ns: u64,
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
        // Before the wait, which a damaged position could keep from its end.
        side.ring.check()?;
        side.ring.wait(Duration::from_nanos(timeout_ns));
        overlay.set(side.next()?.ok_or_else(|| Failure::new(Status::Timeout, "no overlay came in time"))?);
        Ok(())
    })
}

impl Display {
    /// Takes the next overlay, if there is one.
    fn next(&mut self) -> Result<Option<*const Overlay>, Failure> {
        let Self { ring, heartbeat } = self;
        ring.check()?;
        let Some(next) = ring.take() else { return Ok(None) };
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
        Ok(Some(core::ptr::from_ref(next)))
    }
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
