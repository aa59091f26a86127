//! Memory for a scan: mapped once, locked and touched before the first frame, so that no page fault comes later.

use std::io;
use std::ptr::NonNull;

/// An anonymous private mapping, zeroed, every page present, and locked where the system allows it.
#[derive(Debug)]
pub struct Region {
    start: NonNull<u8>,
    bytes: usize,
    is_locked: bool,
}

// SAFETY: a region is plain memory that this value alone owns.
unsafe impl Send for Region {}

impl Region {
    /// A region of `bytes`, aligned to a page. Every page is touched; locking is tried, and [`Region::is_locked`] says
    /// whether it was granted (`RLIMIT_MEMLOCK` decides).
    ///
    /// # Errors
    /// The system's, if it has no such memory; `InvalidInput` for 0 bytes.
    pub fn new(bytes: usize) -> io::Result<Self> {
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a region of 0 bytes was asked for"));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE;
        // SAFETY: asks for new memory at an address of the system's choice; touches none that exists.
        let start = unsafe { libc::mmap(core::ptr::null_mut(), bytes, protection, kind, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(|| {
            io::Error::new(io::ErrorKind::OutOfMemory, "the system mapped a region at address 0")
        })?;
        // SAFETY: the range is the mapping just made.
        let is_locked = unsafe { libc::mlock(start.as_ptr().cast(), bytes) } == 0;
        let mut region = Self { start, bytes, is_locked };
        // A write to each page makes it this process's own, whatever populating left out.
        for page in region.as_mut_slice().chunks_mut(4096) {
            page[0] = 0;
        }
        Ok(region)
    }

    /// The memory.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is readable, writable, `bytes` long, and owned by this value, which is borrowed.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether the system locked it into memory.
    pub fn is_locked(&self) -> bool {
        self.is_locked
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and is not used after this.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Stack that a session's thread will not outgrow: the deepest call of a step needs a tenth of it.
const STACK_BYTES: usize = 256 * 1024;

/// Touches the calling thread's stack to a depth that no step of a session exceeds, so that none of its pages is
/// missing later. To be called on the session's thread before its loop; the thread has at least 512 KiB of stack.
#[inline(never)]
pub fn prefault_stack() {
    let mut stack = [0u8; STACK_BYTES];
    // Kept from being optimised away, and read back so that no page is left out.
    for page in std::hint::black_box(&mut stack).chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&stack);
}
