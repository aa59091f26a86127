//! Maps model files read-only, protected from changes and truncation while mapped.

use crate::realtime::{Want, Warning};
use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstatfs, memfd_create};
use std::fs::File;
use std::io;
use std::path::Path;

/// File systems whose format does not allow a file to change (`linux/magic.h`): squashfs, EROFS, ISO 9660, cramfs,
/// romfs.
const READ_ONLY_FORMATS: [u32; 5] = [0x7371_7368, 0xe0f5_e1e2, 0x9660, 0x28cd_3d45, 0x7275];

/// A mapped model file: its pages are present, and its bytes do not change as long as this value exists.
#[derive(Debug)]
pub struct ModelFile {
    map: Mmap,
    is_in_place: bool,
    locked: Result<(), Warning>,
}

impl ModelFile {
    /// Opens a model file. On a file system with a read-only format (squashfs, EROFS and the like, where a device keeps
    /// its models), maps the file itself. Elsewhere, maps a copy in memory that is sealed against writing and
    /// shrinking: a mount that is read-only here may be writable elsewhere, and truncating a mapped file ends the
    /// process with SIGBUS.
    ///
    /// # Errors
    /// The system's error.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // The type of the field differs between platforms; the magic numbers have 32 bits.
        let is_in_place = READ_ONLY_FORMATS.contains(&(fstatfs(&file)?.f_type as u32));
        let source = if is_in_place { file } else { sealed_copy(file)? };
        // A private mapping: Linux before 6.7 refuses to map a write-sealed file shared, even read-only.
        // SAFETY: the file cannot change or shrink while it is mapped: its file system does not allow it, or it is
        // sealed.
        let map = unsafe { MmapOptions::new().populate().map_copy_read_only(&source) }?;
        let locked = map.lock().map_err(|error| Warning::of(Want::LockedMemory, &error));
        Ok(Self { map, is_in_place, locked })
    }

    /// Returns the file's bytes, aligned to a page.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Returns whether the system locked the file into memory.
    ///
    /// # Errors
    /// [`Want::LockedMemory`] if it did not. The pages are present nevertheless.
    pub fn locked(&self) -> Result<(), Warning> {
        self.locked
    }

    /// Returns whether the file itself is mapped, not a sealed copy.
    pub fn is_in_place(&self) -> bool {
        self.is_in_place
    }
}

fn sealed_copy(mut file: File) -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("sonotrace-model", flags)?);
    io::copy(&mut file, &mut copy)?;
    fcntl_add_seals(&copy, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(copy)
}
