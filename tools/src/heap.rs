//! What the system's allocator keeps of freed memory.

/// Blocks of at least this size are mapped one by one, and given back when they are freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const MAPPED_BYTES: libc::c_int = 1 << 17;

/// Makes the allocator give large freed blocks back at once.
///
/// glibc raises this threshold to the size of a block that is freed, up to 32 MB. Blocks below it come from the heap, of which only
/// the end is given back. A compilation frees many blocks of some MB: with the tensors of a ViT-B it would keep half as much again
/// as it needs.
pub fn give_back_freed_blocks() {
    // SAFETY: the call sets a number of the allocator; no other thread runs at the start of a command.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED_BYTES) };
}
