//! The first page of a model file: header and section table.

use crate::{
    BANKS_MAX, CHANNELS_MAX, COPIES_MAX, FILE_VERSION, FLOW_SIDE_MAX, GRID_MAX, INPUT_SIZE_MAX, MEMORY_MAX,
    ModelError, NameRef, OPS_MAX, TENSOR_ALIGN, codes,
};
use bytemuck::{Pod, Zeroable};

/// First eight bytes of a model file.
pub const FILE_MAGIC: [u8; 8] = *b"SONOFILE";
/// Size of the first page, which holds header and section table.
pub const HEAD_BYTES: usize = 4096;

codes! {
    /// Content of a section. Each kind occurs exactly once in a file, in this order.
    pub enum SectionKind {
        /// `[ProgramRecord]`.
        Programs = 1 "programs",
        /// `[PortRecord]`: inputs and outputs of programs.
        Ports = 2 "ports",
        /// `[OpRecord]`.
        Ops = 3 "operations",
        /// `[TensorRecord]`.
        Tensors = 4 "tensors",
        /// UTF-8 names, referred to by offset and length.
        Names = 5 "names",
        /// Weights and constant tables, addressed by `TensorRecord::offset`.
        Weights = 6 "weights",
        /// `ConventionsRecord`: sizes and normalisation that a session uses.
        Conventions = 7 "conventions",
        /// `[GoldenRecord]`: inputs and expected outputs of the self-test.
        Golden = 8 "golden",
        /// Values of the golden tensors, f16.
        GoldenData = 9 "golden data",
        /// `[TrackingRecord]`, one or none: how a session follows objects.
        Tracking = 10 "tracking",
        /// JSON: origin of graphs, weights and tools, with their hashes.
        Provenance = 11 "provenance",
    }
}

/// A bank: persistent state in several copies of one layout. A run names a copy for each slot of its program, so that
/// accepting or abandoning a frame changes indices and copies nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct BankRecord {
    /// Bytes of one copy; a multiple of [`TENSOR_ALIGN`].
    pub copy_bytes: u64,
    /// Number of copies, whatever the configuration of the session.
    pub copies: u32,
    /// 1 if there is one more copy for each kept frame, else 0.
    pub per_kept_frame: u32,
    /// Its name.
    pub name: NameRef,
}

impl BankRecord {
    /// Returns the number of copies in a session that keeps the features of `kept_frames` frames.
    pub const fn copies(&self, kept_frames: u32) -> u32 {
        self.copies + self.per_kept_frame * kept_frames
    }
}

/// The file's first bytes. `head_hash` covers the whole first page, section hashes included, with that field set to
/// zero.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// [`FILE_MAGIC`].
    pub magic: [u8; 8],
    /// [`FILE_VERSION`].
    pub version: u32,
    /// Entries of the section table after this header: one for each of [`SectionKind::ALL`].
    pub section_count: u32,
    /// Length of the file, bytes.
    pub file_bytes: u64,
    /// Scratch shared by all programs, bytes: the maximum over the programs.
    pub scratch_bytes: u64,
    /// Scratch of each thread that runs tiles, bytes: the maximum over the operations.
    pub thread_scratch_bytes: u64,
    /// Number of operations of all programs.
    pub op_count: u32,
    /// Number of used banks; the others are zero.
    pub bank_count: u32,
    /// Persistent state.
    pub banks: [BankRecord; BANKS_MAX],
    /// The conventions' `input_size`, so that the head alone determines how much memory a session needs.
    pub input_size: u32,
    /// The conventions' `mask_size`.
    pub mask_size: u32,
    /// Tokens along a side of a frame; 0 if the file has no tracker.
    pub grid: u32,
    /// Channels of the embedding of each token.
    pub embedding_channels: u32,
    /// Channels of the tracker's key of each token.
    pub key_channels: u32,
    /// Cells along a side of the tracker's flow.
    pub flow_side: u32,
    /// BLAKE3 of the first [`HEAD_BYTES`] with this field zero.
    pub head_hash: [u8; 32],
}

impl FileHeader {
    /// Returns the used banks.
    pub fn banks(&self) -> &[BankRecord] {
        &self.banks[..(self.bank_count as usize).min(BANKS_MAX)]
    }
}

/// Position of a section.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct SectionRecord {
    /// A [`SectionKind`].
    pub kind: u32,
    /// Layout version of its content; 1.
    pub layout: u32,
    /// Offset from the start of the file; a multiple of [`crate::PAGE_BYTES`].
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
}

const _: () = assert!(
    size_of::<FileHeader>() + SectionKind::ALL.len() * size_of::<SectionRecord>() <= HEAD_BYTES,
    "header and section table fit the first page"
);

/// Reads the header of a file from its first [`HEAD_BYTES`], and checks magic, version, hash and limits. The header
/// determines how much memory a model needs.
///
/// # Errors
/// The first rule that is violated.
pub fn read_header(head: &[u8]) -> Result<FileHeader, ModelError> {
    let seen = head.len() as u64;
    let head: &[u8; HEAD_BYTES] =
        head.get(..HEAD_BYTES).and_then(|head| head.try_into().ok()).ok_or(ModelError::TooShort { seen })?;
    let mut header = FileHeader::zeroed();
    let header_bytes = size_of::<FileHeader>();
    bytemuck::bytes_of_mut(&mut header).copy_from_slice(&head[..header_bytes]);
    if header.magic != FILE_MAGIC {
        return Err(ModelError::Magic);
    }
    if header.version != FILE_VERSION {
        return Err(ModelError::Version { seen: header.version });
    }
    if head_hash(head) != header.head_hash {
        return Err(ModelError::Hash { what: "header" });
    }
    check_limits(&header)?;
    Ok(header)
}

/// Computes the hash of the first page with the field `head_hash` set to zero.
pub(crate) fn head_hash(head: &[u8; HEAD_BYTES]) -> [u8; 32] {
    let header_bytes = size_of::<FileHeader>();
    let mut hasher = blake3::Hasher::new();
    hasher.update(&head[..header_bytes - 32]);
    hasher.update(&[0; 32]);
    hasher.update(&head[header_bytes..]);
    *hasher.finalize().as_bytes()
}

fn check_limits(header: &FileHeader) -> Result<(), ModelError> {
    let wrong = |problem| ModelError::Record { table: "header", index: 0, problem };
    for (what, seen, limit) in [
        ("number of operations", header.op_count, OPS_MAX),
        ("number of banks", header.bank_count, BANKS_MAX as u32),
        ("input_size in pixels", header.input_size, INPUT_SIZE_MAX),
        ("mask_size in pixels (input_size)", header.mask_size, header.input_size),
        ("tokens along a side", header.grid, GRID_MAX),
        ("channels of the embedding", header.embedding_channels, CHANNELS_MAX),
        ("channels of a key", header.key_channels, CHANNELS_MAX),
        ("cells of the flow along a side", header.flow_side, FLOW_SIDE_MAX),
    ] {
        if seen > limit {
            return Err(ModelError::Limit { what, seen: seen.into(), limit: limit.into() });
        }
    }
    let (used, unused) = header.banks.split_at(header.bank_count as usize);
    if unused.iter().any(|bank| *bank != BankRecord::zeroed()) {
        return Err(wrong("an unused bank is not zero"));
    }
    let sizes = [
        ("scratch in bytes", header.scratch_bytes),
        ("thread scratch in bytes", header.thread_scratch_bytes),
    ];
    for (what, seen) in
        sizes.into_iter().chain(used.iter().map(|bank| ("copy of a bank in bytes", bank.copy_bytes)))
    {
        if seen > MEMORY_MAX {
            return Err(ModelError::Limit { what, seen, limit: MEMORY_MAX });
        }
        if seen % TENSOR_ALIGN != 0 {
            return Err(wrong("a memory size is not a multiple of 64"));
        }
    }
    for bank in used {
        if bank.copies > COPIES_MAX {
            let (what, limit) = ("number of copies of a bank", COPIES_MAX.into());
            return Err(ModelError::Limit { what, seen: bank.copies.into(), limit });
        }
        if bank.per_kept_frame > 1 || bank.copies + bank.per_kept_frame == 0 {
            return Err(wrong("a bank has no copy, or per_kept_frame is not 0 or 1"));
        }
    }
    Ok(())
}
