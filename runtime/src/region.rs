//! Memory for a scan: mapped once, locked and touched before the first frame, so that no page fault comes later.

use memmap2::{MmapMut, MmapOptions};
use std::io;

/// An anonymous private mapping, zeroed, every page present, and locked where the system allows it.
#[derive(Debug)]
pub struct Region {
    map: MmapMut,
    is_locked: bool,
}

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
        let mut map = MmapOptions::new().len(bytes).populate().map_anon()?;
        let is_locked = map.lock().is_ok();
        // A write to each page makes it this process's own, whatever populating left out.
        for page in map.chunks_mut(4096) {
            page[0] = 0;
        }
        Ok(Self { map, is_locked })
    }

    /// A region that holds a copy of `bytes`, such as a model file that was not mapped.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn holding(bytes: &[u8]) -> io::Result<Self> {
        let mut region = Self::new(bytes.len())?;
        region.as_mut_slice().copy_from_slice(bytes);
        Ok(region)
    }

    /// The memory.
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// The memory, to be written.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Size in bytes.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Whether the system locked it into memory.
    pub fn is_locked(&self) -> bool {
        self.is_locked
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
