//! Errors in C: a status from every call, and a text for the last failure of each thread.

use core::ffi::{CStr, c_char};
use core::fmt::{Display, Write};
use sonotrace::format::ModelError;
use sonotrace::hal::command::CommandError;
use sonotrace::hal::ring::RingError;
use sonotrace::session::SessionError;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Result of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// Success.
    Ok = 0,
    /// Nothing is queued.
    Empty = 1,
    /// A pointer is null.
    NullPointer = 2,
    /// The handle does not refer to an open session.
    NotASession = 3,
    /// A call on the same side of the session is in progress; for a close, a call on any side.
    Busy = 4,
    /// A setting is invalid.
    Config = 5,
    /// The model file is refused.
    Model = 6,
    /// The file cannot be opened.
    File = 7,
    /// The region is too small or misaligned.
    Region = 8,
    /// The session cannot be opened with this model, or failed its self-test.
    Session = 9,
    /// A frame was committed without being acquired, or the session cannot use it.
    Frame = 10,
    /// A prompt is invalid.
    Prompt = 11,
    /// The queue of prompts is full: try again after a step.
    Full = 12,
    /// The memory of a ring is damaged: a frame is longer than its slot, or something else writes into the region.
    Ring = 13,
    /// A defect of this library ended the call. The session is poisoned.
    Panic = 14,
    /// A defect ended an earlier call on this session: it can only be closed.
    Poisoned = 15,
    /// The caller was compiled against the header of another version of this library.
    Version = 16,
    /// The system refused to lock memory or to provide pages.
    Memory = 17,
    /// The time of a call that waits is over.
    Timeout = 18,
    /// The system refused a real-time priority or a core: the thread works on without it.
    Realtime = 19,
}

/// Longest text of a failure, in bytes.
const TEXT_BYTES: usize = 240;

/// A failure: its text is the thread's last error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub status: Status,
}

impl Failure {
    /// Makes a failure and stores its text, truncated, as this thread's last error. `Status::Empty` and `Status::Timeout` are no
    /// errors and store no text.
    pub fn new(status: Status, text: impl Display) -> Self {
        if !matches!(status, Status::Empty | Status::Timeout) {
            LAST_ERROR.with_borrow_mut(|kept| kept.write(text));
        }
        Self { status }
    }

    pub fn null(name: &'static str) -> Self {
        Self::new(Status::NullPointer, format_args!("`{name}` is null"))
    }
}

/// UTF-8 text of bounded length that always ends in NUL.
struct CText([u8; TEXT_BYTES + 1]);

impl CText {
    fn write(&mut self, text: impl Display) {
        self.0.fill(0);
        // Text that does not fit is left out.
        let _ = write!(Cut::new(&mut self.0), "{text}");
    }
}

/// Truncates text to the room, less one byte for a NUL after it.
pub(crate) struct Cut<'a> {
    room: &'a mut [u8],
    used: usize,
}

impl<'a> Cut<'a> {
    pub fn new(room: &'a mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// Bytes written so far.
    pub fn used(&self) -> usize {
        self.used
    }
}

impl Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for character in text.chars() {
            let end = self.used + character.len_utf8();
            if end >= self.room.len() {
                return Err(core::fmt::Error);
            }
            character.encode_utf8(&mut self.room[self.used..end]);
            self.used = end;
        }
        Ok(())
    }
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        Self::new(Status::Model, error)
    }
}

impl From<RingError> for Failure {
    fn from(error: RingError) -> Self {
        Self::new(Status::Ring, error)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        let status = match error {
            SessionError::Model(_) => Status::Model,
            SessionError::Setting { .. } => Status::Config,
            SessionError::RegionTooSmall { .. } | SessionError::RegionMisaligned { .. } => Status::Region,
            _ => Status::Session,
        };
        Self::new(status, error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        let status = match error {
            CommandError::Full { .. } => Status::Full,
            CommandError::NoFreeSlot => Status::Ring,
            _ => Status::Prompt,
        };
        Self::new(status, error)
    }
}

thread_local! {
    // Constant, so that the first use allocates nothing.
    static LAST_ERROR: RefCell<CText> = const { RefCell::new(CText([0; TEXT_BYTES + 1])) };
}

/// Runs the body of a call and catches a panic.
pub(crate) fn call(body: impl FnOnce() -> Result<(), Failure>) -> Status {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(failure)) => failure.status,
        Err(_) => {
            let text = "a defect of the library ended the call";
            Failure::new(Status::Panic, text).status
        }
    }
}

/// Touches this thread's text, so that the first failure neither allocates it nor faults.
pub(crate) fn prepare_thread() {
    LAST_ERROR.with_borrow_mut(|kept| {
        core::hint::black_box(&mut kept.0);
    });
}

/// The text of this thread's last failed call: what is wrong, the limit, the value seen. NUL-terminated UTF-8, empty if
/// no call has failed; valid until the next failure on this thread.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|kept| kept.0.as_ptr().cast::<c_char>())
}

/// The name of a status, in lower case: static NUL-terminated ASCII.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_status_name(status: u32) -> *const c_char {
    const NAMES: [&CStr; 20] = [
        c"ok",
        c"empty",
        c"null pointer",
        c"not a session",
        c"busy",
        c"config",
        c"model",
        c"file",
        c"region",
        c"session",
        c"frame",
        c"prompt",
        c"full",
        c"ring",
        c"panic",
        c"poisoned",
        c"version",
        c"memory",
        c"timeout",
        c"realtime",
    ];
    NAMES.get(status as usize).copied().unwrap_or(c"unknown").as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_error() -> String {
        // SAFETY: the text ends in NUL and is this thread's own.
        unsafe { CStr::from_ptr(sonotrace_last_error()) }.to_str().expect("text").to_owned()
    }

    #[test]
    fn failures_are_reported_on_their_own_thread() {
        assert_eq!(last_error(), "");
        assert_eq!(call(|| Err(Failure::null("config"))), Status::NullPointer);
        assert_eq!(last_error(), "`config` is null");
        std::thread::spawn(|| assert_eq!(last_error(), "")).join().expect("no failure there");
        assert_eq!(call(|| Ok(())), Status::Ok);
        assert_eq!(last_error(), "`config` is null", "success leaves the text");
    }

    #[test]
    fn long_texts_are_truncated_and_panics_are_caught() {
        let long = "é".repeat(1000);
        assert_eq!(call(|| Err(Failure::new(Status::Config, &long))), Status::Config);
        assert_eq!(last_error(), "é".repeat(TEXT_BYTES / 2));
        std::panic::set_hook(Box::new(|_| {}));
        assert_eq!(call(|| panic!("on purpose")), Status::Panic);
        let _ = std::panic::take_hook();
        assert!(last_error().contains("defect"));
    }

    #[test]
    fn every_status_has_a_name() {
        let name = |status| {
            // SAFETY: names are constants that end in NUL.
            unsafe { CStr::from_ptr(sonotrace_status_name(status)) }.to_str().expect("ASCII")
        };
        assert_eq!(
            (name(Status::Ok as u32), name(Status::Realtime as u32), name(20)),
            ("ok", "realtime", "unknown")
        );
    }
}
