//! Limits of a model file: of counts, of memory, and of the work that verifying and running it takes. A file is small compared with
//! what it can ask for, so that each of these is stated apart from its length.

/// Maximum number of elements of a tensor: offsets in bytes fit 32 bits.
pub const ELEMENTS_MAX: u64 = 1 << 30;
/// Maximum number of sections of a file.
pub const SECTIONS_MAX: u32 = 16;
/// Maximum number of programs of a file.
pub const PROGRAMS_MAX: u32 = 16;
/// Maximum number of tensors of a file: their places are compared pair by pair.
pub const TENSORS_MAX: u32 = 16_384;
/// Maximum number of operations of a file.
pub const OPS_MAX: u32 = 16_384;
/// Maximum number of inputs, and of outputs, of a program.
pub const PORTS_MAX: u32 = 32;
/// Maximum number of banks of persistent state.
pub const BANKS_MAX: usize = 8;
/// Maximum number of copies of a bank, without those for kept frames.
pub const COPIES_MAX: u32 = 64;
/// Maximum number of slots of a program.
pub const SLOTS_MAX: usize = 16;
/// Maximum size of a memory space, and of all spaces together, bytes.
pub const MEMORY_MAX: u64 = 1 << 32;

/// Maximum number of elements that an operation iterates over: the multiply-accumulates of a product without its kernel. The largest
/// products of a SAM ViT-B encoder at 1024 x 1024 have 1.3e10.
pub const ITERATIONS_MAX: u64 = 1 << 36;
/// Maximum work of the smallest piece that an operation computes without a stop, in elementary operations. It allows a sum over
/// 512 x 512 x 64 elements. With two to three nanoseconds an operation, which is an estimate for portable kernels, that takes 50 ms.
pub const PIECE_WORK_MAX: u64 = 1 << 24;
/// Maximum work of a program, in elementary operations: three times a SAM ViT-B encoder at 1024 x 1024.
pub const PROGRAM_WORK_MAX: u64 = 1 << 40;
/// Maximum work of the self-test, the golden cases of all programs together.
pub const SELF_TEST_WORK_MAX: u64 = 1 << 41;
/// Maximum number of golden tensors.
pub const GOLDEN_MAX: u32 = 1024;
/// Maximum length of the provenance text, bytes. It is read by people and tools, not by a session.
pub const PROVENANCE_BYTES_MAX: u32 = 1 << 16;
/// Maximum number of entries of index tables that are checked when a file is verified: a table counts once for each operation that
/// reads it.
pub const INDEX_CHECKS_MAX: u64 = 1 << 26;

/// Maximum side of a session's input grid, pixels: what frames can be sampled to.
pub const INPUT_SIZE_MAX: u32 = 2048;
/// Minimum side of a session's input grid and mask, pixels: smaller ones show no anatomy.
pub const INPUT_SIZE_MIN: u32 = 8;
/// Maximum number of point slots.
pub const POINT_SLOTS_MAX: u32 = 1024;
/// Maximum number of candidate masks.
pub const MASK_CANDIDATES_MAX: u32 = 64;
/// Largest magnitude of the mean that is subtracted from grey levels, which are within 0..1.
pub const MEAN_MAX: f32 = 1e3;
/// Smallest and largest standard deviation that grey levels are divided by.
pub const STD_RANGE: [f32; 2] = [1e-6, 1e6];

/// Maximum number of tokens along a side of a tracker's frame: with 1024 tokens, the comparison of two frames takes the time of a
/// network.
pub const GRID_MAX: u32 = 32;
/// Maximum number of cells along a side of a tracker's flow, of which a session keeps one for each kept frame.
pub const FLOW_SIDE_MAX: u32 = 512;
/// Maximum number of channels of a tracker's embedding or keys.
pub const CHANNELS_MAX: u32 = 4096;
/// Maximum interval of a tracker's memory, frames.
pub const INTERVAL_MAX: u32 = 1 << 16;
/// Largest magnitude of a weight of a regression.
pub const REGRESSION_MAX: f32 = 1e6;
