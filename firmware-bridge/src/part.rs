//! One side of a session, for one thread at a time: a second thread gets an error and does not wait.

use crate::status::{Failure, Status};
use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A value that one thread at a time may use.
#[derive(Debug)]
pub(crate) struct Part<T> {
    is_busy: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: `enter` lends the value to one thread at a time, and a value that is Send may pass from thread to thread.
unsafe impl<T: Send> Sync for Part<T> {}

impl<T> Part<T> {
    pub fn new(value: T) -> Self {
        Self { is_busy: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Takes the part, unless another thread has it. Never waits.
    pub fn enter(&self, side: &'static str) -> Result<Entered<'_, T>, Failure> {
        // Acquire pairs with the Release in `drop`: this thread sees the writes of the last one.
        if self.is_busy.swap(true, Ordering::Acquire) {
            return Err(Failure::new(
                Status::Busy,
                format_args!("another thread is in a call on the session's {side} side"),
            ));
        }
        Ok(Entered(self))
    }

    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }
}

/// The right to use a part, until dropped.
#[derive(Debug)]
pub(crate) struct Entered<'a, T>(&'a Part<T>);

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
        assert_eq!(part.into_inner(), 4);
    }
}
