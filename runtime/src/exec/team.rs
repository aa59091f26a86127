//! Threads that help to run an executor's operations.
//!
//! The executor's own thread opens an operation and claims tiles; helpers claim tiles of the same operation, each with its own
//! scratch. The result does not depend on which thread ran a tile: tiles write disjoint elements, and no sum spans two tiles. A
//! helper that the system deschedules delays the others by at most the tile that it has claimed.
//!
//! A helper looks for work for a while, then sleeps until the executor's next slice.

use crate::float_environment::ComputingEnvironment;
#[cfg(feature = "std")]
use crate::realtime::{Cores, Raised, Scheduling, Want, Warnings};
use core::cell::UnsafeCell;
use core::hint::spin_loop;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use sonotrace_kernels::claims::Claims;
use sonotrace_kernels::{BoundOp, Spaces};

/// Times that a helper looks for work before it sleeps: 0.25 ms on a Zen 4 core, longer than the gap between two operations.
const LOOKS: u32 = 10_000;

/// Times that the executor's thread looks for tiles in flight before it lets others run on its core: 0.1 ms on a Zen 4 core, as long
/// as a large tile takes.
const YIELD_AFTER: u32 = 4_000;

/// What threads need of the operating system.
#[cfg(feature = "std")]
mod system {
    use core::sync::atomic::AtomicU32;
    use rustix::thread::futex::{self, Flags};
    pub use std::thread::yield_now;

    /// Sleeps while `word` has this value. It may return early: the caller looks again.
    pub fn sleep_while(word: &AtomicU32, value: u32) {
        // An error is a signal, or a value that has changed already.
        let _ = futex::wait(word, Flags::PRIVATE, value, None);
    }

    /// Wakes all threads that sleep on `word`.
    pub fn wake_all(word: &AtomicU32) {
        // It fails only for an invalid address.
        let _ = futex::wake(word, Flags::PRIVATE, u32::MAX >> 1);
    }
}

/// Without an operating system, threads have cores of their own and do not sleep.
#[cfg(not(feature = "std"))]
mod system {
    use core::sync::atomic::AtomicU32;

    pub fn yield_now() {
        core::hint::spin_loop();
    }

    pub fn sleep_while(_: &AtomicU32, _: u32) {
        core::hint::spin_loop();
    }

    pub fn wake_all(_: &AtomicU32) {}
}

/// Calls a function when it is dropped.
struct Finally<F: FnMut()>(F);

impl<F: FnMut()> Drop for Finally<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// An operation and the memory that it runs in.
#[derive(Debug, Clone, Copy)]
struct Job<'m> {
    op: &'m BoundOp,
    spaces: Spaces,
}

/// What the executor and its helpers share.
#[derive(Debug, Default)]
pub(super) struct Board<'m> {
    claims: Claims,
    job: UnsafeCell<Option<Job<'m>>>,
    /// Counts slices; helpers sleep until it changes.
    slices: AtomicU32,
    sleeping: AtomicU32,
    /// Helpers inside [`Helper::run`].
    running: AtomicU32,
    is_shut_down: AtomicBool,
}

// SAFETY: `job` is written by the executor's thread, only while no tile is claimed or left to claim, and read by a thread that has
// claimed a tile; `Claims` orders the two. All else is atomic.
unsafe impl Sync for Board<'_> {}
// SAFETY: holds references to bound operations, and addresses whose use is guarded as above.
unsafe impl Send for Board<'_> {}

impl<'m> Board<'m> {
    /// Opens an operation, of which `tiles` tiles, the last ones in the order in which they are claimed, are left to run.
    ///
    /// # Safety
    /// Only the executor's thread calls this, after [`Self::close`]. `spaces` meet the conditions of [`BoundOp::run`] until then.
    pub unsafe fn open(&self, op: &'m BoundOp, spaces: &Spaces, tiles: u32) {
        // SAFETY: no tile is claimed or left to claim, so no other thread reads the job.
        unsafe { *self.job.get() = Some(Job { op, spaces: *spaces }) };
        self.claims.open(tiles);
    }

    /// Returns whether a tile is left to claim.
    pub fn has_tiles(&self) -> bool {
        self.claims.left() > 0
    }

    /// Claims a tile and runs it. Returns whether there was one. `scratch` is as [`BoundOp::run`] needs it.
    pub fn run_tile(&self, scratch: &mut [u8]) -> bool {
        let Some(left) = self.claims.claim() else { return false };
        // Dropped at the end, also if the tile panics: the executor's thread waits for it.
        let _finished = Finally(|| self.claims.finish());
        // SAFETY: this thread has claimed a tile, so the executor's thread does not write the job before it is finished.
        if let Some(job) = unsafe { &*self.job.get() } {
            let tile = job.op.tiles() - 1 - left;
            // SAFETY: the caller of `open` guarantees the spaces; each tile is claimed once.
            unsafe { job.op.run(&job.spaces, tile, scratch) };
        }
        true
    }

    /// Closes the operation that was opened with `opened` tiles, waits for the tiles that run on other threads, and returns the
    /// number of tiles that are left.
    pub fn close(&self, opened: u32) -> u32 {
        let left = self.claims.close();
        let mut looks = 0;
        while self.claims.finished() < opened - left {
            looks += 1;
            if looks < YIELD_AFTER {
                spin_loop();
            } else {
                // A helper that was woken on this thread's core cannot run while this thread spins.
                system::yield_now();
            }
        }
        left
    }

    /// Wakes helpers that sleep.
    pub fn wake(&self) {
        // Sequentially consistent, as in `sleep`: either a helper sees the new count, or this sees that it sleeps.
        self.slices.fetch_add(1, Ordering::SeqCst);
        if self.sleeping.load(Ordering::SeqCst) > 0 {
            system::wake_all(&self.slices);
        }
    }

    /// Makes helpers return, and waits until they have.
    pub fn shut_down(&self) {
        self.is_shut_down.store(true, Ordering::SeqCst);
        while self.running.load(Ordering::SeqCst) > 0 {
            self.wake();
            // Not only spinning: a helper of the same real-time priority on this core would never run.
            system::yield_now();
        }
    }

    fn sleep(&self, slice: u32) {
        self.sleeping.fetch_add(1, Ordering::SeqCst);
        if self.slices.load(Ordering::SeqCst) == slice {
            system::sleep_while(&self.slices, slice);
        }
        self.sleeping.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The part of a helper thread: runs tiles of an executor's operations.
#[derive(Debug)]
pub struct Helper<'m> {
    board: &'m Board<'m>,
    scratch: &'m mut [u8],
}

impl<'m> Helper<'m> {
    pub(super) fn new(board: &'m Board<'m>, scratch: &'m mut [u8]) -> Self {
        Self { board, scratch }
    }

    /// Runs tiles until the executor is dropped or dismisses its helpers. Call it on a thread of its own, with the real-time priority
    /// of the executor's thread, on another core (`realtime::set_thread`).
    pub fn run(self) {
        let _environment = ComputingEnvironment::enter();
        let Self { board, scratch } = self;
        board.running.fetch_add(1, Ordering::SeqCst);
        // Also if a tile panics: whoever drops the executor waits for it.
        let _stopped = Finally(|| {
            board.running.fetch_sub(1, Ordering::SeqCst);
        });
        while !board.is_shut_down.load(Ordering::SeqCst) {
            let slice = board.slices.load(Ordering::SeqCst);
            let mut looks = 0;
            while looks < LOOKS {
                if board.run_tile(scratch) {
                    looks = 0;
                } else {
                    looks += 1;
                    spin_loop();
                }
            }
            board.sleep(slice);
        }
    }
}

/// Runs `work` while each helper of an executor or a session, `owner`, runs on a thread of its own. `next` hands out the helpers,
/// `dismiss` ends them. All threads are on their cores, with their priority, before `work` begins; it gets what was refused.
#[cfg(feature = "std")]
pub(crate) fn with_helpers<'m, T, R>(
    owner: &mut T,
    scheduling: Scheduling,
    next: impl Fn(&mut T) -> Option<Helper<'m>>,
    dismiss: impl Fn(&mut T),
    work: impl FnOnce(&mut T, &Warnings) -> R,
) -> R {
    /// Dismisses the helpers also if `work` panics: the scope waits for their threads.
    struct Dismissing<'o, T, D: Fn(&mut T)>(&'o mut T, D);

    impl<T, D: Fn(&mut T)> Drop for Dismissing<'_, T, D> {
        fn drop(&mut self) {
            (self.1)(self.0);
        }
    }

    let mut warnings = Warnings::default();
    let cores = Cores::of(scheduling.pinning).unwrap_or_else(|warning| {
        warnings.add(warning);
        None
    });
    let mut raised = Raised::enter(scheduling.priority, &mut warnings);
    // If this thread was refused the priority, so would its helpers be.
    let priority = scheduling.priority.filter(|_| raised.is_raised());
    std::thread::scope(|scope| {
        let owner = Dismissing(owner, dismiss);
        let (ready, all_ready) = std::sync::mpsc::channel();
        let mut helpers = 0;
        while let Some(helper) = next(owner.0) {
            helpers += 1;
            let (at, cores, ready) = (helpers, cores.clone(), ready.clone());
            scope.spawn(move || {
                let mut warnings = Warnings::default();
                if let Some(cores) = cores {
                    warnings.note(cores.pin(at));
                }
                let raised = Raised::enter(priority, &mut warnings);
                crate::region::prefault_stack();
                // The receiver waits for every helper.
                let _ = ready.send(warnings);
                drop(ready);
                helper.run();
                drop(raised);
            });
        }
        drop(ready);
        let _unpinned = cores.map(|cores| {
            warnings.note(cores.pin(0));
            Finally(move || cores.unpin())
        });
        // Ends when every helper has sent its own.
        all_ready.iter().for_each(|others| warnings.merge(others));
        if warnings.has(Want::Priority) {
            // Above a helper that was refused it, this thread would keep that one from its core while it waits for it.
            raised.give_back();
        }
        work(owner.0, &warnings)
    })
}
