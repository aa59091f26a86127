//! Limits of every ring.

/// Alignment of the region and of every slot: a cache line.
pub const ALIGN: usize = 64;
/// Maximum number of slots that a ring can queue.
pub const CAPACITY_MAX: u32 = 1024;
/// Largest region: addressable on 32-bit machines.
pub const REGION_BYTES_MAX: usize = i32::MAX as usize;
