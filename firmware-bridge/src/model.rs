//! Model files.

use crate::output::Output;
use crate::status::{Failure, Status, call};
use core::ffi::{CStr, c_char};
use sonotrace::file::ModelFile;
use std::path::Path;

/// A mapped model file, opaque to C.
#[derive(Debug)]
pub struct MappedModel(ModelFile);

/// Maps a model file read-only, so that no process can change or truncate it while it is used. Call it before scanning:
/// it reads the file and allocates. Any number of sessions may share a model, and any thread may call this. Anything but
/// a regular file is refused at once. `model` receives null after a failure. The bytes stay where they are until
/// `sonotrace_model_unmap`. Returns `SONOTRACE_STATUS_FILE` if the file cannot be mapped; its content is only looked at by
/// `sonotrace_open`.
///
/// # Safety
/// `path` is null or NUL-terminated; `model` is null or points to room for a pointer.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_model_map(path: *const c_char, model: *mut *mut MappedModel) -> Status {
    // SAFETY: null, or room for a pointer, as the caller promises.
    let mut model = unsafe { Output::new(model) };
    model.set(core::ptr::null_mut());
    call(|| {
        if path.is_null() {
            return Err(Failure::null("path"));
        }
        model.required("model")?;
        // SAFETY: NUL-terminated, as the caller promises.
        let path = unsafe { CStr::from_ptr(path) };
        let path = path.to_str().map_err(|_| Failure::new(Status::File, "the path is not UTF-8"))?;
        let refuse =
            |error: std::io::Error| Failure::new(Status::File, format_args!("cannot map {path}: {error}"));
        // Looked at before it is opened: opening a FIFO waits for its writer, and a device may never end.
        if !std::fs::metadata(path).map_err(refuse)?.is_file() {
            return Err(Failure::new(
                Status::File,
                format_args!("cannot map {path}: it is not a regular file"),
            ));
        }
        let file = ModelFile::open(Path::new(path)).map_err(refuse)?;
        model.set(Box::into_raw(Box::new(MappedModel(file))));
        Ok(())
    })
}

/// The first byte of a mapped model; null for null.
///
/// # Safety
/// `model` is null or was made by `sonotrace_model_map` and not unmapped since.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_model_data(model: *const MappedModel) -> *const u8 {
    // SAFETY: null, or a mapped model, as the caller promises.
    unsafe { model.as_ref() }.map_or(core::ptr::null(), |model| model.0.bytes().as_ptr())
}

/// Bytes of a mapped model; 0 for null.
///
/// # Safety
/// As `sonotrace_model_data`.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_model_bytes(model: *const MappedModel) -> usize {
    // SAFETY: null, or a mapped model, as the caller promises.
    unsafe { model.as_ref() }.map_or(0, |model| model.0.bytes().len())
}

/// Unmaps a model. Null is allowed.
///
/// # Safety
/// `model` is null or was made by `sonotrace_model_map`; no session uses it any more, and it is unmapped once.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_model_unmap(model: *mut MappedModel) {
    if !model.is_null() {
        // SAFETY: made by `Box::into_raw` in `sonotrace_model_map`, and freed here once.
        drop(unsafe { Box::from_raw(model) });
    }
}
