//! Model files on disk: mapped read-only, and safe from being changed or cut short underneath.

use memmap2::{Mmap, MmapOptions};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

/// The bytes of a model file, mapped, present and unchangeable for as long as this lives.
#[derive(Debug)]
pub struct ModelFile {
    map: Mmap,
    is_in_place: bool,
}

impl ModelFile {
    /// Opens a model file. On a read-only file system (where a device keeps its models) it is mapped in place; else a
    /// copy in memory is made, sealed against writing and shrinking, and mapped: a file that another process cuts short
    /// would otherwise end this one with SIGBUS.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let is_in_place = is_on_read_only_file_system(&file)?;
        let source = if is_in_place { file } else { sealed_copy(file)? };
        // SAFETY: nobody can change or shorten the file while it is mapped: its file system is read-only, or it is
        // sealed.
        let map = unsafe { MmapOptions::new().populate().map(&source) }?;
        // Locking is a request; the demo and the doctor report whether limits allow it.
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

fn is_on_read_only_file_system(file: &File) -> io::Result<bool> {
    // SAFETY: statvfs is plain data, for which all zeros is a value.
    let mut status: libc::statvfs = unsafe { core::mem::zeroed() };
    // SAFETY: the descriptor is open, and the call fills the structure it is given.
    if unsafe { libc::fstatvfs(file.as_raw_fd(), &mut status) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(status.f_flag & libc::ST_RDONLY != 0)
}

fn sealed_copy(mut file: File) -> io::Result<File> {
    let name = CString::from(c"sonotrace-model");
    // SAFETY: the name is NUL-terminated and alive during the call.
    let descriptor =
        unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made and belongs to nobody else.
    let mut copy = unsafe { File::from_raw_fd(descriptor) };
    io::copy(&mut file, &mut copy)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE | libc::F_SEAL_SEAL;
    // SAFETY: the descriptor is open; sealing takes an integer.
    if unsafe { libc::fcntl(copy.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(copy)
}
