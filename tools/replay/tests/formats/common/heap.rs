//! An allocator that knows how much memory each thread has at most: whether a small file unpacks to a large one does not show in
//! what is read.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // Constant and without a destructor, so that the allocator itself can read and write it. Bytes now, and the most so far.
    static BYTES: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

/// The system's allocator with a sum of each thread's bytes.
struct Summing;

fn add(bytes: isize) {
    // A thread that is ending has no sum any more.
    let _ = BYTES.try_with(|sum| {
        let (now, most) = sum.get();
        sum.set((now + bytes, most.max(now + bytes)));
    });
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Summing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: the caller keeps alloc's contract, and System's is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        add(-(layout.size() as isize));
        // SAFETY: the pointer came from System, as all memory allocated here does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size() as isize);
        // SAFETY: as for alloc.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        add(bytes as isize - layout.size() as isize);
        // SAFETY: as for dealloc and alloc.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

#[global_allocator]
static SUMMING: Summing = Summing;

/// What a function returns, and the most bytes of memory that this thread had in it beyond what it had before.
pub fn most_bytes<R>(of: impl FnOnce() -> R) -> (R, usize) {
    let before = BYTES.get().0;
    BYTES.set((before, before));
    let result = of();
    (result, BYTES.get().1.abs_diff(before))
}
