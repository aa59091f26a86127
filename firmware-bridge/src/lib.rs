//! The C interface of sonotrace, for device firmware.
//!
//! Names begin with `sonotrace_`. The header adds functions of a few lines to those of this crate: they pass the sizes
//! of structures as the caller was compiled with them. A session lives in memory that the caller provides
//! ([`memory_required`] returns the size) and starts no thread. Each of its sides may be used by one thread at a time:
//! acquisition
//! ([`frame_acquire`](frames::sonotrace_frame_acquire), [`frame_commit`](frames::sonotrace_frame_commit)), the worker
//! ([`step`](session::sonotrace_step)), and the user's ([`prompt`](commands::sonotrace_prompt), freezing), the
//! display's ([`overlay_poll`](overlays::sonotrace_overlay_poll), [`overlay_wait`](overlays::sonotrace_overlay_wait)) and the
//! log's ([`event_next`](overlays::sonotrace_event_next)); any thread may read the counters. A second thread on one side gets
//! `BUSY`, never undefined behaviour. No call waits for another, but for `overlay_wait`.
//!
//! Every function that can fail returns a [`Status`]; [`sonotrace_last_error`](status::sonotrace_last_error) then
//! gives the reason, with the limit and the value seen. No panic leaves the library.
//!
//! * [`config`]: settings; [`model`]: model files; [`session`]: memory, opening, stepping, closing.
//! * [`frames`], [`commands`], [`overlays`]: the calls of the other sides.
//! * [`memory`]: locking, prefaulting, priority and cores, before a scan.
//! * [`status`]: status codes and error texts; `part`: the sides, each for one call at a time; `output`: values for the
//!   caller; `published`: the counters.
//!
//! [`memory_required`]: session::sonotrace_memory_required
//! [`Status`]: status::Status

#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

use core::ffi::{CStr, c_char};

pub mod commands;
pub mod config;
pub mod counters;
pub mod frames;
pub mod memory;
pub mod model;
mod output;
pub mod overlays;
mod part;
mod published;
pub mod session;
pub mod status;

/// The version as C text, made from the crate's version at compile time.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version contains no NUL"),
};

/// The library's version, `major.minor.patch`, as static NUL-terminated ASCII.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The library's `SONOTRACE_ABI_VERSION`; a caller compares it with that of its header.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_abi_version() -> u32 {
    config::SONOTRACE_ABI_VERSION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_matches_the_runtime() {
        // SAFETY: the pointer is to a constant that ends in NUL.
        let seen = unsafe { CStr::from_ptr(sonotrace_version()) };
        assert_eq!(seen.to_str(), Ok(sonotrace::VERSION));
    }
}
