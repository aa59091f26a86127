//! The caller's memory: raw bytes that are split into parts, each written before it is used.
//!
//! A region may be uninitialised and its pages missing. Each part is zeroed or filled before it is used; from then on
//! its bytes are initialised and its pages present.

use bytemuck::Pod;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::NonNull;

/// Memory that is exclusively borrowed for `'m`, initialised or not.
#[derive(Debug)]
pub struct RawRegion<'m> {
    start: NonNull<u8>,
    bytes: usize,
    _borrow: PhantomData<&'m mut [MaybeUninit<u8>]>,
}

// SAFETY: owns its memory like a `&mut [MaybeUninit<u8>]` does, which is Send.
unsafe impl Send for RawRegion<'_> {}
// SAFETY: a shared reference gives access only to the size and the address.
unsafe impl Sync for RawRegion<'_> {}

impl<'m> From<&'m mut [u8]> for RawRegion<'m> {
    /// Wraps initialised memory. It stays initialised: nothing here writes an uninitialised byte.
    fn from(memory: &'m mut [u8]) -> Self {
        Self { bytes: memory.len(), start: NonNull::from(memory).cast(), _borrow: PhantomData }
    }
}

impl<'m> From<&'m mut [MaybeUninit<u8>]> for RawRegion<'m> {
    fn from(memory: &'m mut [MaybeUninit<u8>]) -> Self {
        Self { bytes: memory.len(), start: NonNull::from(memory).cast(), _borrow: PhantomData }
    }
}

impl<'m> RawRegion<'m> {
    /// Wraps memory that another language allocated.
    ///
    /// # Safety
    /// The `bytes` bytes from `start` on are one allocation, valid and exclusively borrowed for `'m`; they may be
    /// uninitialised.
    pub unsafe fn from_raw(start: NonNull<u8>, bytes: usize) -> Self {
        Self { start, bytes, _borrow: PhantomData }
    }

    /// Returns the size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns whether it starts at a multiple of `align`.
    pub fn is_aligned_to(&self, align: usize) -> bool {
        self.start.align_offset(align) == 0
    }

    /// Splits off the first `bytes` bytes.
    ///
    /// # Panics
    /// If the region has fewer.
    pub fn take(&mut self, bytes: usize) -> Self {
        assert!(bytes <= self.bytes, "{bytes} bytes taken from a region of {}", self.bytes);
        let part = Self { start: self.start, bytes, _borrow: PhantomData };
        // SAFETY: at most the end of the region (asserted above).
        self.start = unsafe { self.start.add(bytes) };
        self.bytes -= bytes;
        part
    }

    /// Zeroes the region and returns it as a slice; bytes after the last whole element are not used.
    ///
    /// # Panics
    /// If the start is not aligned for `T`.
    pub fn zeroed<T: Pod>(self) -> &'m mut [T] {
        assert!(self.is_aligned_to(align_of::<T>()));
        // SAFETY: the region is exclusively borrowed, and zeros may be written to uninitialised memory.
        unsafe { self.start.write_bytes(0, self.bytes) };
        let count = self.bytes / size_of::<T>();
        // SAFETY: inside the region, aligned (asserted above), zeroed above, and any bits are a valid value of `Pod`
        // data; exclusively borrowed for 'm.
        unsafe { core::slice::from_raw_parts_mut(self.start.cast().as_ptr(), count) }
    }

    /// Fills the region with `count` elements, which `make` creates by index, and returns them. They are never dropped.
    ///
    /// # Errors
    /// The first error of `make`.
    ///
    /// # Panics
    /// If the elements do not fit, or the start is not aligned for `T`.
    pub fn filled<T: Send, E>(
        self,
        count: usize,
        mut make: impl FnMut(usize) -> Result<T, E>,
    ) -> Result<&'m mut [T], E> {
        const { assert!(!core::mem::needs_drop::<T>()) };
        let needed = count.checked_mul(size_of::<T>());
        assert!(self.is_aligned_to(align_of::<T>()) && needed.is_some_and(|needed| needed <= self.bytes));
        let first: NonNull<T> = self.start.cast();
        for index in 0..count {
            let element = make(index)?;
            // SAFETY: inside the region (asserted above).
            let place = unsafe { first.add(index) };
            // SAFETY: inside and aligned (asserted above), exclusively borrowed.
            unsafe { place.write(element) };
        }
        // SAFETY: all `count` elements were written by the loop.
        Ok(unsafe { core::slice::from_raw_parts_mut(first.as_ptr(), count) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_zero() {
        let mut memory = [MaybeUninit::<u64>::uninit(); 16];
        let bytes: &mut [MaybeUninit<u8>] = {
            let start = memory.as_mut_ptr().cast::<MaybeUninit<u8>>();
            // SAFETY: the same memory; `MaybeUninit` bytes need no initialisation.
            unsafe { core::slice::from_raw_parts_mut(start, 128) }
        };
        let mut region = RawRegion::from(bytes);
        let (first, second) = (region.take(64).zeroed::<u32>(), region.take(32).zeroed::<f32>());
        assert_eq!((first.len(), second.len(), region.bytes()), (16, 8, 32));
        assert!(first.iter().all(|&word| word == 0) && second.iter().all(|&value| value == 0.0));
        first.fill(7);
        second.fill(1.0);
        assert!(first.iter().all(|&word| word == 7));
        let made = region.take(16).filled(4, |index| Ok::<_, ()>(index as u32)).expect("nothing fails");
        assert_eq!(made, [0, 1, 2, 3]);
        assert_eq!(region.filled(2, |index| if index == 1 { Err("no") } else { Ok(index) }), Err("no"));
    }
}
