//! Model files on disk: mapped read-only, and safe from being changed or truncated while mapped.

use memmap2::{Mmap, MmapOptions};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstatfs, memfd_create};
use std::fs::File;
use std::io;
use std::path::Path;

/// File systems whose format has no way to change a file (`linux/magic.h`): squashfs, EROFS, ISO 9660, cramfs, romfs.
const READ_ONLY_BY_NATURE: [u32; 5] = [0x7371_7368, 0xe0f5_e1e2, 0x9660, 0x28cd_3d45, 0x7275];

/// The bytes of a model file: mapped, present, and unchangeable for as long as this lives.
#[derive(Debug)]
pub struct ModelFile {
    map: Mmap,
    is_in_place: bool,
}

impl ModelFile {
    /// Opens a model file. On a file system that is read-only by nature (squashfs, EROFS and the like, where a device keeps its
    /// models) the file itself is mapped. Elsewhere a copy in memory is made, sealed against writing and shrinking, and mapped: a
    /// mount that is read-only here may be written to elsewhere, and truncating a mapped file ends the process with SIGBUS.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        // The type of the field differs between platforms; the magic numbers have 32 bits.
        let is_in_place = READ_ONLY_BY_NATURE.contains(&(fstatfs(&file)?.f_type as u32));
        let source = if is_in_place { file } else { sealed_copy(file)? };
        // A private mapping: Linux before 6.7 refuses to map a write-sealed file shared, even read-only.
        // SAFETY: nobody can change or shorten the file while it is mapped: its file system cannot, or it is sealed.
        let map = unsafe { MmapOptions::new().populate().map_copy_read_only(&source) }?;
        // A request only: whoever opens a session reports whether limits allow locked memory.
        let _ = map.lock();
        Ok(Self { map, is_in_place })
    }

    /// The file's bytes, aligned to a page.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Whether the file itself is mapped, not a sealed copy.
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
