//! Locking, prefaulting and scheduling, so that nothing causes a page fault or delays a thread while a scan runs. For the time
//! before a scan: these calls take long, and may allocate.

use crate::output::Output;
use crate::status::{Failure, Status, call, prepare_thread};
use core::ffi::c_void;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use rustix::mm::mlock;
use sonotrace::realtime::{Priority, Want, set_thread};

/// Stack that a call of this library uses at most, in bytes. A thread needs as much beyond what its own code uses.
pub const SONOTRACE_STACK_BYTES: usize = 32 * 1024;

/// Size of the smallest page.
const PAGE_BYTES: usize = 4096;

/// Locks the pages of some memory, and provides each of them, so that they cause no page fault from now on. For the
/// region of a session, for `sonotrace_model_data`, for the caller's own buffers. The memory's content does not change.
///
/// Returns `SONOTRACE_STATUS_MEMORY` if the system does not allow to lock it (`RLIMIT_MEMLOCK`, `CAP_IPC_LOCK`): all pages
/// are present nevertheless, but the system may take them away when memory is short. Any thread may call it.
///
/// # Safety
/// `start` is null or points to `bytes` bytes that can be read.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_memory_lock(start: *const c_void, bytes: usize) -> Status {
    call(|| {
        if start.is_null() {
            return Err(Failure::null("start"));
        }
        // SAFETY: `bytes` bytes that can be read, as the caller promises.
        unsafe { lock(start.cast_mut(), bytes) }
    })
}

/// Locks memory; if the system refuses, provides its pages.
///
/// # Safety
/// `start` points to `bytes` bytes that can be read.
unsafe fn lock(start: *mut c_void, bytes: usize) -> Result<(), Failure> {
    // SAFETY: locking does not change memory; a range that is not mapped is refused.
    let Err(error) = (unsafe { mlock(start, bytes) }) else { return Ok(()) };
    let first = start.cast::<u8>();
    for at in (0..bytes).step_by(PAGE_BYTES) {
        // SAFETY: inside the memory, as the caller promises.
        let place = unsafe { first.add(at) };
        // SAFETY: as above, and volatile, so that the page is touched.
        core::hint::black_box(unsafe { place.read_volatile() });
    }
    Err(Failure::new(
        Status::Memory,
        format_args!("cannot lock {bytes} bytes ({error}): raise RLIMIT_MEMLOCK or grant CAP_IPC_LOCK"),
    ))
}

/// Prepares the calling thread for a scan: provides and locks `stack_bytes` of its stack below the caller's frame, at
/// least `SONOTRACE_STACK_BYTES`, and the room for its error texts. Call it on each thread that calls this library, before
/// its loop.
///
/// Returns `SONOTRACE_STATUS_CONFIG` if the thread's stack is too small for that, and `SONOTRACE_STATUS_MEMORY` as
/// `sonotrace_memory_lock` does.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_thread_prepare(stack_bytes: usize) -> Status {
    call(|| {
        prepare_thread();
        let stack_bytes = stack_bytes.max(SONOTRACE_STACK_BYTES);
        let here = 0u8;
        let top = (&raw const here).addr();
        let left = top.saturating_sub(stack_end()?);
        // The calls below this one need some room themselves.
        let needed = stack_bytes.saturating_add(2 * PAGE_BYTES);
        if left < needed {
            return Err(Failure::new(
                Status::Config,
                format_args!("the thread has {left} bytes of stack left, {needed} are needed: give it more"),
            ));
        }
        touch_stack(top - stack_bytes);
        let lowest = core::ptr::with_exposed_provenance_mut::<c_void>(top - stack_bytes);
        // SAFETY: the thread's own stack, which was just written.
        unsafe { lock(lowest, stack_bytes) }
    })
}

/// Bit of `sonotrace_thread_realtime`: the priority was refused.
pub const SONOTRACE_REFUSED_PRIORITY: u32 = 1;
/// Bit of `sonotrace_thread_realtime`: the core was refused.
pub const SONOTRACE_REFUSED_CORE: u32 = 2;

/// Gives the calling thread `SCHED_FIFO` with a priority of 1 to 99, or leaves its policy as it is with 0, and pins it to a core, or
/// leaves its cores as they are with a negative number. For the rest of the thread's life, before its loop. Threads that compute for one
/// session must have the same priority, and a core each; the thread that commits frames a higher one. Interrupts that deliver frames
/// are at 50 with PREEMPT_RT: 40 is a good choice for the worker.
///
/// Returns `SONOTRACE_STATUS_REALTIME` if the system refused something. Then `refused`, which may be null, receives the
/// `SONOTRACE_REFUSED_` bits, the last error says how to obtain it, and the thread has what was granted. Returns
/// `SONOTRACE_STATUS_CONFIG`, and changes nothing, for another priority. Call `sonotrace_thread_prepare` too: it provides the thread's
/// stack.
///
/// # Safety
/// `refused` is null or points to room for a number.
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sonotrace_thread_realtime(priority: u32, core: i32, refused: *mut u32) -> Status {
    // SAFETY: null, or room for a number, as the caller promises.
    let mut refused = unsafe { Output::new(refused) };
    refused.set(0);
    call(|| {
        let wanted = match priority {
            0 => None,
            priority => Some(u8::try_from(priority).ok().and_then(Priority::new).ok_or_else(|| {
                let text = format_args!("`priority` is {priority}, allowed are 0 (unchanged) to 99");
                Failure::new(Status::Config, text)
            })?),
        };
        let warnings = set_thread(usize::try_from(core).ok(), wanted);
        let bit = |want, bit| if warnings.has(want) { bit } else { 0 };
        let bits = bit(Want::Priority, SONOTRACE_REFUSED_PRIORITY) | bit(Want::Core, SONOTRACE_REFUSED_CORE);
        refused.set(bits);
        match warnings.iter().next() {
            // The priority is the first one, and matters more.
            Some(first) => Err(Failure::new(Status::Realtime, first)),
            None => Ok(()),
        }
    })
}

/// The lowest address of the calling thread's stack.
fn stack_end() -> Result<usize, Failure> {
    let refuse = |_| Failure::new(Status::Memory, "the system does not say where the thread's stack is");
    let check = |code| if code == 0 { Ok(()) } else { Err(refuse(code)) };
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: it has no requirement.
    let thread = unsafe { libc::pthread_self() };
    // SAFETY: the calling thread, and room for its attributes.
    check(unsafe { libc::pthread_getattr_np(thread, attributes.as_mut_ptr()) })?;
    let (mut start, mut bytes) = (core::ptr::null_mut(), 0);
    // SAFETY: filled in above, and room for both.
    let found = check(unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &mut start, &mut bytes) });
    // SAFETY: filled in above, and destroyed once.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    found?;
    NonNull::new(start).map(|start| start.addr().get()).ok_or_else(|| refuse(0))
}

/// Writes to each page of the stack down to an address.
#[inline(never)]
fn touch_stack(lowest: usize) {
    // Not more than a page, so that each call touches at most one new page.
    let mut frame = [0u8; PAGE_BYTES / 2];
    core::hint::black_box(&mut frame);
    if (&raw const frame).addr() > lowest {
        touch_stack(lowest);
    }
    // After the call, so that it is not the last thing this function does and needs its own frame.
    core::hint::black_box(&frame);
}

/// Provides every page of the program's and its libraries' code, constants and variables, so that code that runs for the
/// first time in the middle of a scan causes no page fault. Call it once, after all libraries are loaded. Returns
/// `SONOTRACE_STATUS_MEMORY` if the system cannot do it (Linux before 5.14).
// SAFETY: the name begins with this library's prefix and is defined once.
#[unsafe(no_mangle)]
pub extern "C" fn sonotrace_program_prefault() -> Status {
    call(|| {
        sonotrace::region::prefault_program().map_err(|error| {
            Failure::new(Status::Memory, format_args!("cannot provide the program's pages: {error}"))
        })
    })
}
