//! Values that are written to the caller: through pointers that may be null, and as far as the caller's header says.

use crate::status::Failure;
use bytemuck::Pod;

/// The caller's room for a value. It is written at the start of a call too, so that it has a value after a failure.
#[derive(Debug)]
pub(crate) struct Output<T> {
    place: *mut T,
    bytes: usize,
}

impl<T> Output<T> {
    /// Room for one value.
    ///
    /// # Safety
    /// `place` is null or points to room for a `T`, as long as this exists.
    pub unsafe fn new(place: *mut T) -> Self {
        Self { place, bytes: size_of::<T>() }
    }

    /// Room for as many bytes as the caller's header declares, which may be of another version.
    ///
    /// # Safety
    /// `place` is null or points to room for `bytes` bytes, as long as this exists.
    pub unsafe fn sized(place: *mut T, bytes: usize) -> Self {
        Self { place, bytes }
    }

    /// Refuses null.
    pub fn required(&self, name: &'static str) -> Result<(), Failure> {
        if self.place.is_null() { Err(Failure::null(name)) } else { Ok(()) }
    }

    /// Writes the whole value, if the pointer is not null and there is room.
    pub fn set(&mut self, value: T) {
        if !self.place.is_null() && self.bytes >= size_of::<T>() {
            // SAFETY: not null, and room for a `T`: either promised, or `bytes` says so. C aligns its own variables.
            unsafe { self.place.write(value) };
        }
    }

    /// Writes as many bytes of the value as there is room for, and zeros to the rest of the room.
    pub fn set_prefix(&mut self, value: &T)
    where
        T: Pod,
    {
        if self.place.is_null() {
            return;
        }
        // A header cannot declare more: a wrong size must not clear the caller's memory.
        let room = self.bytes.min(2 * size_of::<T>());
        let written = room.min(size_of::<T>());
        let place = self.place.cast::<u8>();
        // SAFETY: room for that many bytes, as `sized` requires.
        unsafe { place.copy_from_nonoverlapping(bytemuck::bytes_of(value).as_ptr(), written) };
        // SAFETY: inside the room.
        let rest = unsafe { place.add(written) };
        // SAFETY: the rest of the room.
        unsafe { rest.write_bytes(0, room - written) };
    }
}
