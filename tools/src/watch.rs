//! Counts a thread's allocations and page faults, with a counting allocator and the system's page-fault counter.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    // Constant and without a destructor, so that reading it from inside the allocator allocates nothing.
    static IS_WATCHED: Cell<bool> = const { Cell::new(false) };
}

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator with a count of the calls of watched threads. A program installs it with
/// `#[global_allocator]`.
#[derive(Debug)]
pub struct CountingAllocator;

fn count() {
    // A thread that is ending has no flag any more, and is not watched.
    if IS_WATCHED.try_with(Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps alloc's contract, and System's is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the pointer came from System, as everything allocated here does.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as for alloc.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count();
        // SAFETY: as for dealloc and alloc.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}

/// Counts of a thread while it was watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Calls to the allocator, freeing included. Meaningful only if [`CountingAllocator`] is installed.
    pub allocations: u64,
    /// Minor and major page faults.
    pub page_faults: u64,
}

/// Runs `work` on this thread and counts its allocations and page faults. Threads watched at the same time add to the
/// same count of allocations.
pub fn watch<T>(work: impl FnOnce() -> T) -> (T, Seen) {
    // Both counters are read once before, so that their own first use is not counted.
    let _ = (page_faults(), IS_WATCHED.with(Cell::get));
    let (allocations, faults) = (ALLOCATIONS.load(Ordering::Relaxed), page_faults());
    IS_WATCHED.with(|flag| flag.set(true));
    let result = work();
    IS_WATCHED.with(|flag| flag.set(false));
    let seen = Seen {
        allocations: ALLOCATIONS.load(Ordering::Relaxed) - allocations,
        page_faults: page_faults().saturating_sub(faults),
    };
    (result, seen)
}

/// Page faults of the calling thread so far.
fn page_faults() -> u64 {
    // SAFETY: rusage is plain data, for which all zeros is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the call fills the structure.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    if result == 0 { (usage.ru_minflt + usage.ru_majflt) as u64 } else { 0 }
}
