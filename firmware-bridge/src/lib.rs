//! The C interface of sonotrace.
//!
//! Names begin with `sonotrace_`. Strings that are handed out live as long as the library.

use core::ffi::{CStr, c_char};

/// The version as C text, made from the crate's own at compile time.
const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version holds no NUL"),
};

/// The library's version, `major.minor.patch`, as NUL-terminated ASCII that lives for ever.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_version() -> *const c_char {
    VERSION.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_the_runtimes() {
        // SAFETY: the pointer is to a constant that ends in NUL.
        let seen = unsafe { CStr::from_ptr(sonotrace_version()) };
        assert_eq!(seen.to_str(), Ok(sonotrace::VERSION));
    }
}
