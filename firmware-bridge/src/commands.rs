//! The user's side: prompts and freezing.

use crate::output::Output;
use crate::session::{BridgeSession, call_on};
use crate::status::{Failure, Status};
use sonotrace::hal::command::{COMMAND_ABI_VERSION, COMMAND_MAGIC, Command, CommandRecord};

/// A click.
pub const SONOTRACE_PROMPT_CLICK: u32 = 1;
/// A box around the object.
pub const SONOTRACE_PROMPT_BOX: u32 = 2;
/// Stop tracking this object.
pub const SONOTRACE_PROMPT_REMOVE: u32 = 3;
/// Points are in the probe's plane: millimetres, or source pixels where the scale is unknown.
pub const SONOTRACE_SPACE_PLANE: u32 = 1;
/// Points are sample (x) and line (y) of the frame; for a picture its column and row.
pub const SONOTRACE_SPACE_LINE_SAMPLE: u32 = 2;
/// Points are pixels of the declared display.
pub const SONOTRACE_SPACE_DISPLAY: u32 = 3;

/// A prompt of the user.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct BridgePrompt {
    /// `SONOTRACE_PROMPT_CLICK`, `_BOX` or `_REMOVE`.
    pub kind: u32,
    /// The device's number for the object, from 1. A new number starts a new object; a known number corrects that
    /// object.
    pub object: u32,
    /// Sequence number of the frame that was on the screen; 0 for the next frame (on a frozen image: the one shown).
    pub seq: u64,
    /// `SONOTRACE_SPACE_PLANE`, `_LINE_SAMPLE` or `_DISPLAY`. Not used for a removal.
    pub space: u32,
    /// For a click: 1 on the object, 0 outside it.
    pub is_positive: u32,
    /// Position of a click, or one corner of a box: x, y. A click and the middle of a box must lie in the field of view.
    pub from: [f32; 2],
    /// The opposite corner of a box: x, y.
    pub to: [f32; 2],
}

/// Queues a prompt. `ticket`, which may be null, receives the prompt's number, from 1; 0 after a failure. Exactly one
/// fetched overlay replies to the prompt, with the same number. User's side.
///
/// Returns `SONOTRACE_STATUS_PROMPT` if no session could serve it: an unknown kind or space, object 0, coordinates that are
/// not finite. Returns `SONOTRACE_STATUS_FULL` if `commands_queued` prompts and calls of `sonotrace_set_frozen` wait for a
/// step.
///
/// # Safety
/// `session` comes from `sonotrace_open`; `prompt` is null or points to one, `ticket` is null or points to room for
/// a number.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_prompt(
    session: *mut BridgeSession,
    prompt: *const BridgePrompt,
    ticket: *mut u32,
) -> Status {
    // SAFETY: null, or room for a number, as the caller promises.
    let mut ticket = unsafe { Output::new(ticket) };
    ticket.set(0);
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if prompt.is_null() {
            return Err(Failure::null("prompt"));
        }
        // SAFETY: not null, and points to one, as the caller promises.
        let BridgePrompt { kind, object, seq, space, is_positive, from, to } = unsafe { prompt.read() };
        let record = CommandRecord {
            magic: COMMAND_MAGIC,
            abi_version: COMMAND_ABI_VERSION,
            kind,
            ticket: 0,
            seq,
            object,
            // Ignored for a removal.
            space: if kind == SONOTRACE_PROMPT_REMOVE { SONOTRACE_SPACE_PLANE } else { space },
            is_positive,
            reserved: 0,
            from,
            to,
        };
        let prompt = match record.check()? {
            Command::Prompt { prompt, .. } => prompt,
            Command::Freeze | Command::Resume => {
                return Err(Failure::new(Status::Prompt, format_args!("prompt kind {kind} is unknown")));
            }
        };
        let mut side = session.commands.enter("user's")?;
        side.check()?;
        ticket.set(side.prompt(prompt)?);
        Ok(())
    })
}

/// Reports that the image is frozen (1) or live again (0). Frames that arrive while it is frozen are dropped and
/// counted; prompts are served on the frame that is shown. User's side. Returns `SONOTRACE_STATUS_FULL` as
/// `sonotrace_prompt` does, and `SONOTRACE_STATUS_CONFIG` for any other number.
///
/// # Safety
/// `session` comes from `sonotrace_open`.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
#[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
pub unsafe extern "C" fn sonotrace_set_frozen(session: *mut BridgeSession, is_frozen: u32) -> Status {
    // SAFETY: as this function's caller promises.
    let session = unsafe { BridgeSession::behind(session) };
    call_on(session, |session| {
        if is_frozen > 1 {
            return Err(Failure::new(
                Status::Config,
                format_args!("`is_frozen` is {is_frozen}, allowed are 0 (live) and 1 (frozen)"),
            ));
        }
        let mut side = session.commands.enter("user's")?;
        side.check()?;
        side.set_frozen(is_frozen == 1)?;
        Ok(())
    })
}
