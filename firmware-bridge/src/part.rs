//! One side of a session, for one call at a time: a second thread gets an error and does not wait, and so does a call
//! from within the caller's clock.

use crate::status::{Failure, Status};
use core::cell::UnsafeCell;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one thread at a time may use.
#[derive(Debug)]
pub(crate) struct Part<T> {
    is_busy: AtomicBool,
    /// Not dropped with the part: [`Entered::into_value`] may have taken it out.
    value: UnsafeCell<ManuallyDrop<T>>,
}

// SAFETY: `enter` lends the value to one thread at a time, and a value that is Send may pass from thread to thread.
unsafe impl<T: Send> Sync for Part<T> {}

impl<T> Part<T> {
    #[cfg(test)]
    pub fn new(value: T) -> Self {
        Self { is_busy: AtomicBool::new(false), value: UnsafeCell::new(ManuallyDrop::new(value)) }
    }

    /// Writes a part to its place, without a copy of the value in between: it may be large, and the stack small.
    ///
    /// # Safety
    /// There is room for a part at `place`, aligned for it, which nothing else uses.
    pub unsafe fn write_at(place: *mut Self, value: T) {
        // SAFETY: a part of the place.
        let cell = unsafe { &raw mut (*place).value };
        // SAFETY: as above; a cell lies where its value does.
        unsafe { UnsafeCell::raw_get(cell).cast::<T>().write(value) };
        // SAFETY: as above.
        let is_busy = unsafe { &raw mut (*place).is_busy };
        // SAFETY: as above.
        unsafe { is_busy.write(AtomicBool::new(false)) };
    }

    /// Takes the part, unless another thread has it. Never waits.
    pub fn enter(&self, side: &'static str) -> Result<Entered<'_, T>, Failure> {
        // Acquire pairs with the Release in `drop`: this thread sees the writes of the last one.
        if self.is_busy.swap(true, Ordering::Acquire) {
            return Err(Failure::new(
                Status::Busy,
                format_args!("a call on the session's {side} side is in progress"),
            ));
        }
        Ok(Entered(self))
    }
}

/// The right to use a part, until dropped.
#[derive(Debug)]
pub(crate) struct Entered<'a, T>(&'a Part<T>);

impl<T> Entered<'_, T> {
    /// Takes the value out. The part stays taken for ever.
    pub fn into_value(self) -> T {
        // SAFETY: no other `Entered` exists, and none will: `self` is forgotten below, so `is_busy` stays true.
        let value = unsafe { self.0.value.get().read() };
        core::mem::forget(self);
        ManuallyDrop::into_inner(value)
    }

    /// Keeps the part taken for ever.
    pub fn keep(self) {
        core::mem::forget(self);
    }
}

impl<T> Deref for Entered<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `enter` changed `is_busy` from false to true, so there is no other `Entered`.
        unsafe { &*self.0.value.get() }
    }
}

impl<T> DerefMut for Entered<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as for `deref`; `&mut self` excludes another reference from this one.
        unsafe { &mut *self.0.value.get() }
    }
}

impl<T> Drop for Entered<'_, T> {
    fn drop(&mut self) {
        self.0.is_busy.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_enters_at_a_time() {
        let part = Part::new(3);
        let mut entered = part.enter("worker").expect("the part is free");
        assert_eq!(part.enter("worker").expect_err("the part is taken").status, Status::Busy);
        *entered += 1;
        drop(entered);
        assert_eq!(*part.enter("worker").expect("the part is free"), 4);
    }
}
