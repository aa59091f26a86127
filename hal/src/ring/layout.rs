//! The layout of a ring in its region: control block, cells of the ready queue, cells of the free queue, slots.
//!
//! Offsets are from the region's start, and all parts start on a multiple of [`ALIGN`]. Three numbers (content, capacity,
//! slot size) determine the layout, so that a header is checked by computing it again.

use super::error::RingError;
use super::limits::{ALIGN, CAPACITY_MAX, REGION_BYTES_MAX};

/// First word of every ring, `SNTR` in memory order.
pub const RING_MAGIC: u32 = u32::from_le_bytes(*b"SNTR");
/// Version of the layout and of the protocol.
pub const RING_ABI_VERSION: u32 = 2;

/// Words of the header: one cache line.
pub const HEADER_WORDS: usize = 16;
/// Bytes of the control block: header, producer's words, consumer's words, the ready queue's read position.
pub const CONTROL_BYTES: usize = 4 * ALIGN;

/// Names of the header's words, in order.
pub const HEADER_NAMES: [&str; HEADER_WORDS] = [
    "magic",
    "abi_version",
    "content",
    "capacity",
    "slot_bytes",
    "slot_stride",
    "slot_count",
    "ready_offset",
    "ready_cells",
    "free_offset",
    "free_cells",
    "slots_offset",
    "region_bytes",
    "header_crc32",
    "reserved0",
    "reserved1",
];

/// Sizes and offsets of one ring, in bytes, and its counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingLayout {
    /// What the slots hold: a magic number of the caller's choice.
    pub content: u32,
    /// Slots that can be queued.
    pub capacity: u32,
    /// Usable bytes of a slot.
    pub slot_bytes: u32,
    /// Distance from one slot to the next.
    pub slot_stride: u32,
    /// Slots: `capacity`, one held and one being filled.
    pub slot_count: u32,
    /// Offset of the ready queue's cells.
    pub ready_offset: u32,
    /// Number of cells of the ready queue: a power of two.
    pub ready_cells: u32,
    /// Offset of the free queue's cells.
    pub free_offset: u32,
    /// Number of cells of the free queue: a power of two.
    pub free_cells: u32,
    /// Offset of the slots.
    pub slots_offset: u32,
    /// Size of the region.
    pub region_bytes: u32,
}

fn aligned(bytes: u64) -> u64 {
    bytes.next_multiple_of(ALIGN as u64)
}

impl RingLayout {
    /// The layout of a ring that queues `capacity` slots of `slot_bytes`.
    pub fn new(content: u32, capacity: u32, slot_bytes: usize) -> Result<Self, RingError> {
        if capacity == 0 || capacity > CAPACITY_MAX {
            return Err(RingError::Capacity { seen: capacity });
        }
        // Limited first, so that nothing below overflows: 1026 slots of 2 GiB are 2^41 bytes.
        if slot_bytes == 0 || slot_bytes > REGION_BYTES_MAX {
            return Err(RingError::SlotBytes {
                seen: slot_bytes as u64,
                least: 1,
                most: REGION_BYTES_MAX as u64,
            });
        }
        let slot_count = capacity + 2;
        let ready_cells = (capacity + 1).next_power_of_two();
        let free_cells = slot_count.next_power_of_two();
        let slot_stride = aligned(slot_bytes as u64);
        let ready_offset = CONTROL_BYTES as u64;
        let free_offset = aligned(ready_offset + 4 * u64::from(ready_cells));
        let slots_offset = aligned(free_offset + 4 * u64::from(free_cells));
        let region_bytes = slots_offset + u64::from(slot_count) * slot_stride;
        if region_bytes > REGION_BYTES_MAX as u64 {
            return Err(RingError::TooLarge { needed: region_bytes });
        }
        Ok(Self {
            content,
            capacity,
            slot_bytes: slot_bytes as u32,
            slot_stride: slot_stride as u32,
            slot_count,
            ready_offset: ready_offset as u32,
            ready_cells,
            free_offset: free_offset as u32,
            free_cells,
            slots_offset: slots_offset as u32,
            region_bytes: region_bytes as u32,
        })
    }

    /// The header of this layout.
    pub fn header(&self) -> [u32; HEADER_WORDS] {
        let mut words = [
            RING_MAGIC,
            RING_ABI_VERSION,
            self.content,
            self.capacity,
            self.slot_bytes,
            self.slot_stride,
            self.slot_count,
            self.ready_offset,
            self.ready_cells,
            self.free_offset,
            self.free_cells,
            self.slots_offset,
            self.region_bytes,
            0,
            0,
            0,
        ];
        // A checksum of the words before it. Only this finds a wrong slot size that needs the same stride.
        let (checked, rest) = words.split_at_mut(13);
        let mut crc = crc32fast::Hasher::new();
        checked.iter().for_each(|word| crc.update(&word.to_le_bytes()));
        rest[0] = crc.finalize();
        words
    }

    /// The layout of a header, if every word of it is what this build would write.
    pub fn from_header(seen: &[u32; HEADER_WORDS], content: u32) -> Result<Self, RingError> {
        let [magic, version, _, capacity, slot_bytes, ..] = *seen;
        for (field, seen, expected) in
            [("magic", magic, RING_MAGIC), ("abi_version", version, RING_ABI_VERSION)]
        {
            if seen != expected {
                return Err(RingError::Header { field, seen, expected });
            }
        }
        let layout = Self::new(content, capacity, slot_bytes as usize)?;
        for ((field, seen), expected) in HEADER_NAMES.iter().zip(*seen).zip(layout.header()) {
            if seen != expected {
                return Err(RingError::Header { field, seen, expected });
            }
        }
        Ok(layout)
    }
}
