//! Shared by the fuzz targets: memory of an exact size, and the checks of every recording.

use sonotrace_hal::frame::flags::REPLAYED;
use sonotrace_replay::{Options, Recording, ReplayError, npy};
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::ptr::NonNull;

/// Zeroed memory of an exact size and alignment: the address sanitizer reports any access outside of it.
pub struct Memory {
    start: NonNull<u8>,
    layout: Layout,
}

impl Memory {
    /// # Panics
    /// If `align` is not a power of two.
    pub fn new(bytes: usize, align: usize) -> Self {
        let layout = Layout::from_size_align(bytes.max(1), align).expect("a valid alignment");
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) });
        Self { start: start.unwrap_or_else(|| handle_alloc_error(layout)), layout }
    }
}

impl Deref for Memory {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: allocated and initialised with this size, and borrowed from `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }
}

impl DerefMut for Memory {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// Checks a reader's result. An error names the file and can be printed. A recording has frames that the runtime
/// accepts, is within the memory limit, and is the same after it was written as `.npy` and read again.
pub fn check_recording(result: Result<Recording, ReplayError>, options: &Options) {
    let recording = match result {
        Ok(recording) => recording,
        Err(error) => {
            let text = error.to_string();
            assert!(text.starts_with("a."), "does not name the file: {text:?}");
            assert!(!text.contains(char::is_control), "contains control characters: {text:?}");
            return;
        }
    };
    let bytes: u64 = recording.frames.iter().map(|frame| frame.payload.len() as u64).sum();
    assert!(bytes <= options.bytes_max);
    for (seq, frame) in (1u64..).zip(&recording.frames) {
        frame.descriptor.check().expect("the descriptor of a frame is valid");
        frame.descriptor.check_payload(&frame.payload).expect("the payload of a frame is valid");
        assert_eq!((frame.descriptor.seq, frame.descriptor.flags & REPLAYED), (seq, REPLAYED));
    }
    let file = Path::new("a.npy");
    let frames = recording.frames.iter().map(|frame| (&frame.descriptor, frame.payload.as_slice()));
    let (npy, json) = npy::encode(file, frames).expect("frames of one file can be written");
    let again = npy::read(file, &npy, json.as_bytes(), options).expect("written frames can be read");
    assert_eq!(again.frames, recording.frames);
}
