//! Memory for a scan: mapped, locked and touched before the first frame, so that it causes no page fault later.

use crate::realtime::{Want, Warning};
use memmap2::{MmapMut, MmapOptions};
use rustix::mm::{Advice, madvise};
use std::io;

/// An anonymous private mapping, zeroed, with every page present, and locked if the system allows it.
#[derive(Debug)]
pub struct Region {
    map: MmapMut,
    locked: Result<(), Warning>,
}

impl Region {
    /// Maps a region of `bytes`, aligned to a page, and touches every page. Tries to lock it; [`Region::locked`]
    /// returns whether the system allowed it (`RLIMIT_MEMLOCK`).
    ///
    /// # Errors
    /// The system's error if it cannot provide the memory; `InvalidInput` for 0 bytes.
    pub fn new(bytes: usize) -> io::Result<Self> {
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a region cannot have 0 bytes"));
        }
        let mut map = MmapOptions::new().len(bytes).populate().map_anon()?;
        let locked = map.lock().map_err(|error| Warning::of(Want::LockedMemory, &error));
        // Write to each page, so that it is present and private even if `populate` left it out.
        for page in map.chunks_mut(4096) {
            page[0] = 0;
        }
        Ok(Self { map, locked })
    }

    /// Maps a region of each size.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn each<const COUNT: usize>(bytes: [usize; COUNT]) -> io::Result<[Self; COUNT]> {
        let regions = bytes.into_iter().map(Self::new).collect::<io::Result<Vec<Self>>>()?;
        Ok(regions.try_into().expect("as many regions as sizes"))
    }

    /// Maps a region and copies `bytes` into it, such as a model file that was not mapped.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn holding(bytes: &[u8]) -> io::Result<Self> {
        let mut region = Self::new(bytes.len())?;
        region.as_mut_slice().copy_from_slice(bytes);
        Ok(region)
    }

    /// Returns the memory.
    pub fn as_slice(&self) -> &[u8] {
        &self.map
    }

    /// Returns the memory for writing.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.map
    }

    /// Returns the size in bytes.
    pub fn bytes(&self) -> usize {
        self.map.len()
    }

    /// Returns whether the system locked the region into memory.
    ///
    /// # Errors
    /// [`Want::LockedMemory`] if it did not. The pages are present nevertheless.
    pub fn locked(&self) -> Result<(), Warning> {
        self.locked
    }
}

/// Stack depth that a session's thread does not exceed: the deepest call of a step needs a tenth of it.
pub const STACK_BYTES: usize = 256 * 1024;

/// Touches the calling thread's stack to a depth that no step of a session exceeds, so that the stack causes no page
/// fault later. Call it on the session's thread before its loop; the thread needs at least 512 KiB of stack.
#[inline(never)]
pub fn prefault_stack() {
    let mut stack = [0u8; STACK_BYTES];
    // `black_box` keeps the compiler from removing the writes.
    for page in std::hint::black_box(&mut stack).chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&stack);
}

/// Maps every page of the program's code, constants and static variables into memory, so that code that runs for the
/// first time in the middle of a scan causes no page fault. Call it once before the scan.
///
/// # Errors
/// The system's error: Linux before 5.14 cannot do this, and refuses it.
pub fn prefault_program() -> io::Result<()> {
    for line in std::fs::read_to_string("/proc/self/maps")?.lines() {
        // `start-end permissions offset device inode path`; libraries and the program have a path.
        let mut fields = line.split_ascii_whitespace();
        let (Some(range), Some(permissions), true) = (fields.next(), fields.next(), line.contains(" /"))
        else {
            continue;
        };
        let advice = match permissions {
            "r-xp" | "r--p" => Advice::LinuxPopulateRead,
            "rw-p" => Advice::LinuxPopulateWrite,
            _ => continue,
        };
        let address = |text: &str| usize::from_str_radix(text, 16).map_err(io::Error::other);
        let (start, end) = range.split_once('-').ok_or(io::ErrorKind::InvalidData)?;
        let (start, end) = (address(start)?, address(end)?);
        // SAFETY: populating a mapping does not change its content; one that was unmapped meanwhile gives an error.
        unsafe { madvise(std::ptr::with_exposed_provenance_mut(start), end - start, advice) }?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_prefaulted_where_the_system_can() {
        match prefault_program() {
            Ok(()) => {}
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{error}"),
        }
    }
}
