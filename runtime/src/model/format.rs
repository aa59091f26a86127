//! The layout of a model file (`.sono`): fixed little-endian records, mapped read-only and used in place.
//!
//! ```text
//! page 0      FileHeader, then the section table (SectionRecord x section_count)
//! page n ...  sections, each starting on a page: programs, ports, operations, tensors, names, weights, ...
//! ```
//!
//! A program is a list of [`OpRecord`]s over [`TensorRecord`]s whose places were planned when it was compiled. An
//! operation does not see shapes as such: it iterates over `dims`, and each operand says with an offset and a stride
//! per dimension where its element lies. Transposes, slices, broadcasts and most reshapes therefore cost nothing: the
//! compiler folds them into strides.

use bytemuck::{Pod, Zeroable};

/// First eight bytes of a model file.
pub const FILE_MAGIC: [u8; 8] = *b"SONOFILE";
/// Version of this layout.
pub const FILE_VERSION: u32 = 1;
/// Sections start at multiples of this.
pub const PAGE_BYTES: u64 = 4096;
/// Header and section table lie within this many bytes.
pub const HEAD_BYTES: usize = 4096;
/// Tensors start at multiples of this, in the file and in memory.
pub const TENSOR_ALIGN: u64 = 64;
/// Most dimensions that an operation iterates over.
pub const DIMS: usize = 8;
/// Operands of an operation: the output, then up to four inputs.
pub const OPERANDS: usize = 5;
/// Integer parameters of an operation.
pub const PARAMS: usize = 16;
/// Output channels in a panel of packed weights.
pub const PANEL: usize = 16;
/// Operand slot that is not used.
pub const NO_TENSOR: u32 = u32::MAX;
/// Largest element count of a tensor.
pub const ELEMENTS_MAX: u64 = 1 << 30;
/// Most sections, programs, tensors and operations of a file.
pub const SECTIONS_MAX: u32 = 16;
/// Most programs of a file.
pub const PROGRAMS_MAX: u32 = 16;
/// Most tensors of a file.
pub const TENSORS_MAX: u32 = 16_384;
/// Most operations of a file.
pub const OPS_MAX: u32 = 16_384;
/// Most inputs and outputs of a program.
pub const PORTS_MAX: u32 = 32;
/// Largest scratch, state and thread-scratch sizes that a file may ask for.
pub const MEMORY_MAX: u64 = 1 << 32;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum SectionKind {
    /// `[ProgramRecord]`.
    Programs = 1,
    /// `[PortRecord]`: inputs and outputs of programs.
    Ports = 2,
    /// `[OpRecord]`.
    Ops = 3,
    /// `[TensorRecord]`.
    Tensors = 4,
    /// UTF-8 names, each found by offset and length.
    Names = 5,
    /// Weights and constant tables, addressed by `TensorRecord::offset`.
    Weights = 6,
    /// `ConventionsRecord`: how a session feeds the programs.
    Conventions = 7,
    /// `[GoldenRecord]`: which stored tensors the self-test feeds and expects.
    Golden = 8,
    /// Values of the golden tensors, f16.
    GoldenData = 9,
    /// JSON: where graphs, weights and tools came from, with their hashes.
    Provenance = 10,
}

impl SectionKind {
    /// All kinds, in file order. Each stands exactly once in a file.
    pub const ALL: [Self; 10] = [
        Self::Programs,
        Self::Ports,
        Self::Ops,
        Self::Tensors,
        Self::Names,
        Self::Weights,
        Self::Conventions,
        Self::Golden,
        Self::GoldenData,
        Self::Provenance,
    ];
}

/// The file's first bytes. `head_hash` covers the whole first page with that field zero, section hashes included.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct FileHeader {
    /// [`FILE_MAGIC`].
    pub magic: [u8; 8],
    /// [`FILE_VERSION`].
    pub version: u32,
    /// Entries of the section table behind this header: all of [`SectionKind::ALL`].
    pub section_count: u32,
    /// Length of the file.
    pub file_bytes: u64,
    /// Shared scratch: the largest that any program needs.
    pub scratch_bytes: u64,
    /// Scratch of each thread that runs tiles.
    pub thread_scratch_bytes: u64,
    /// Persistent state that exists once a session.
    pub session_state_bytes: u64,
    /// Persistent state that exists once per kept frame (features).
    pub frame_state_bytes: u64,
    /// The conventions' `input_size`, so that the head alone tells how much memory a session needs.
    pub input_size: u32,
    /// The conventions' `mask_size`.
    pub mask_size: u32,
    /// BLAKE3 of the first [`HEAD_BYTES`] with this field zero.
    pub head_hash: [u8; 32],
}

/// Where a section lies.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct SectionRecord {
    /// A [`SectionKind`].
    pub kind: u32,
    /// Layout version of its content; 1.
    pub layout: u32,
    /// From the start of the file; a multiple of [`PAGE_BYTES`].
    pub offset: u64,
    /// Length.
    pub bytes: u64,
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
}

/// A name: a span of the names section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct NameRef {
    /// From the start of the section.
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// A program: a range of operations, with its inputs and outputs.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct ProgramRecord {
    /// Its name, such as `encoder`.
    pub name: NameRef,
    /// First operation.
    pub first_op: u32,
    /// Number of operations.
    pub op_count: u32,
    /// First input port; outputs follow the inputs.
    pub first_port: u32,
    /// Number of inputs.
    pub input_count: u32,
    /// Number of outputs.
    pub output_count: u32,
    /// Zero.
    pub reserved: u32,
}

/// An input or output of a program: a dense row-major f32 tensor.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct PortRecord {
    /// Its name in the graph.
    pub name: NameRef,
    /// The tensor.
    pub tensor: u32,
    /// Dimensions of `shape` that count.
    pub rank: u32,
    /// Shape in the graph.
    pub shape: [u32; DIMS],
}

/// Which space a tensor lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Space {
    /// Scratch, shared by all programs; holds nothing between runs.
    Scratch = 1,
    /// Persistent, one copy per kept frame.
    FrameState = 2,
    /// Persistent, once a session.
    SessionState = 3,
    /// In the file.
    Weights = 4,
}

/// Type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Dtype {
    /// 32-bit float.
    F32 = 1,
    /// 16-bit float; in the weights only.
    F16 = 2,
    /// Signed 32-bit integer; index tables in the weights only.
    I32 = 3,
    /// Signed 8-bit integer; panels in the weights only, which carry their scales.
    I8 = 4,
}

impl Dtype {
    /// Bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 => 2,
            Self::I8 => 1,
        }
    }
}

/// How a tensor's elements are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Layout {
    /// Plain: operand strides say where elements are.
    Strided = 1,
    /// Weights of a matrix product: `[ceil(n / 16)][k][16]`, the last panel filled up with zeros. Of 8-bit weights each
    /// panel begins with the f32 scales of its 16 columns, in [`SCALE_ROWS`] rows of bytes.
    Panel16 = 2,
}

/// Rows of a panel of 8-bit weights that its scales take.
pub const SCALE_ROWS: usize = 4;

/// [`TensorRecord::flags`]: a scratch tensor that the caller fills before the run.
pub const TENSOR_IS_INPUT: u32 = 1;

/// A tensor and its planned place. The plan says over which operations a scratch tensor is live; the verifier holds
/// every access to it, and then that no two tensors that are live together share a byte.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct TensorRecord {
    /// A [`Space`].
    pub space: u32,
    /// A [`Dtype`].
    pub dtype: u32,
    /// A [`Layout`].
    pub layout: u32,
    /// [`TENSOR_IS_INPUT`] or 0.
    pub flags: u32,
    /// From the start of its space, in bytes; a multiple of [`TENSOR_ALIGN`].
    pub offset: u64,
    /// Elements.
    pub elements: u64,
    /// Its name in the graph, for messages.
    pub name: NameRef,
    /// The program that a scratch tensor belongs to; 0 for other spaces.
    pub program: u32,
    /// Scratch only, counted from the program's first operation: the first that writes it (0 for an input).
    pub first_op: u32,
    /// Scratch only: the last that touches it (the program's last for an output).
    pub last_op: u32,
    /// Zero.
    pub reserved: u32,
}

/// Where the elements of one operand lie while an operation iterates over its dims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OperandRecord {
    /// The tensor, or [`NO_TENSOR`].
    pub tensor: u32,
    /// Element of the tensor at index zero of every dimension.
    pub offset: u32,
    /// Elements from one index to the next, per dimension; 0 repeats.
    pub strides: [u32; DIMS],
}

/// What an operation does. See `OpKind` for the meaning of dims, operands and parameters of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum OpKind {
    /// `out = f(a [, b [, c]])`, element by element over all 8 dims (unused dims are 1).
    Map = 1,
    /// `out = reduce(a)` over the trailing dims: the first `params[0]` dims are kept, the others reduced (their strides
    /// in `out` are 0).
    Reduce = 2,
    /// `out = (a - mean) / sqrt(variance + floats[0]) * b + c` over the trailing dims, kept dims as in `Reduce`;
    /// `b` and `c` may be missing. With function [`norm::RMS`] the mean is not taken off.
    Normalize = 3,
    /// `out = softmax(a)` over the trailing dims, kept dims as in `Reduce`.
    Softmax = 4,
    /// `out[batch.., m, n] = act(sum over k of a[batch.., m, k] * b[batch.., k, n] + c[batch.., m, n])`: dims
    /// `[b0, b1, b2, b3, b4, m, n, k]`. `b` is strided f32, or Panel16 weights (then without batch; its strides are
    /// ignored and its offset is 0). `c` may be missing; its stride over k is 0. `params[0]`, `params[1]`: rows and
    /// columns of a tile, columns a multiple of 16.
    MatMul = 5,
    /// Dense convolution, a matrix product whose rows are gathered: dims
    /// `[batch, 1, 1, 1, out_h, out_w, out_channels, in_channels]`. `a` (the image) has strides over batch (0), row (4),
    /// column (5) and channel (7); `out` over batch (0), row (4), column (5) and channel (6); `c`, a bias that may be
    /// missing, over dim 6. `b` is Panel16 with `k = (in_channel * kernel_h + ky) * kernel_w + kx`, offset 0. Input
    /// pixel of output `(y, x)` and kernel `(ky, kx)`: `y * stride_y + ky * dilation_y - pad_top`, likewise across;
    /// zero outside. Parameters: [`conv`]; function: the activation.
    Conv = 6,
    /// Convolution with as many groups as input channels, each with `multiplier` outputs: dims
    /// `[batch, 1, 1, 1, out_h, out_w, groups, multiplier]`. `a` has strides over batch (0), row (4), column (5) and
    /// group (6); `out` over batch, row, column, group and multiplier (7); the strided weights `b` over kernel row (4),
    /// kernel column (5), group (6) and multiplier (7); `c`, a bias that may be missing, over 6 and 7. Parameters and
    /// function as `Conv`, without tile sizes.
    DepthwiseConv = 7,
    /// `out[.., i, ..] = a[.., index[i], ..]`: `b` is an I32 table in the weights with strides over all dims; the
    /// element of `a` is at its strided position plus `index * params[0]`; `params[1]` is the axis length that
    /// indices stay below. Serves Gather and GatherElements alike.
    Gather = 8,
    /// Resampling along one dimension: `out[.., i, ..] = sum over t of w[i, t] * a[.., index[i, t], ..]`, dimension
    /// `params[0]`, `params[1]` taps, input length `params[2]`, input stride `params[3]`; `b` is the I32 index table
    /// and `c` the f32 weight table, both `[dims[params[0]]][taps]`; `a`'s stride over that dimension is 0.
    Resample = 9,
    /// Pooling: dims and `a`, `out` as `DepthwiseConv` (multiplier 1), parameters as `Conv`; function is a [`reduce`].
    Pool = 10,
    /// `out[batch, y, x, channel]`: an image sampled between its pixels at computed places (ONNX GridSample, bilinear).
    /// Dims `[batch, 1, 1, 1, out_h, out_w, 1, channels]`. `a`, the image, has strides over batch (0), row (4), column
    /// (5) and channel (7), with rows and columns as in [`conv`]; `b`, the places, over batch, row and column, x first
    /// and y [`grid::Y_STRIDE`] behind it; `out` over batch, row, column and channel. Pixel of a place `x`:
    /// `floats[0] * x + floats[1]`; of `y`: `floats[2] * y + floats[3]`. Function: a [`grid`].
    GridSample = 11,
}

/// Element-wise functions of [`OpKind::Map`], and activations of the products.
pub mod map {
    /// `a`.
    pub const COPY: u32 = 0;
    /// `a + b`.
    pub const ADD: u32 = 1;
    /// `a - b`.
    pub const SUB: u32 = 2;
    /// `a * b`.
    pub const MUL: u32 = 3;
    /// `a / b`.
    pub const DIV: u32 = 4;
    /// The larger.
    pub const MAX: u32 = 5;
    /// The smaller.
    pub const MIN: u32 = 6;
    /// `a` to the power `b`.
    pub const POW: u32 = 7;
    /// 1 where equal, else 0.
    pub const EQ: u32 = 8;
    /// 1 where `a < b`, else 0.
    pub const LT: u32 = 9;
    /// 1 where `a <= b`, else 0.
    pub const LE: u32 = 10;
    /// `b` where `a` is not 0, else `c`.
    pub const SELECT: u32 = 11;
    /// 1 where both are not 0.
    pub const AND: u32 = 12;
    /// 1 where either is not 0.
    pub const OR: u32 = 13;
    /// `a * b + c`.
    pub const MUL_ADD: u32 = 14;
    /// `-a`.
    pub const NEG: u32 = 32;
    /// `|a|`.
    pub const ABS: u32 = 33;
    /// `e^a`.
    pub const EXP: u32 = 34;
    /// Natural logarithm.
    pub const LN: u32 = 35;
    /// Square root.
    pub const SQRT: u32 = 36;
    /// `1 / sqrt(a)`.
    pub const RSQRT: u32 = 37;
    /// `1 / a`.
    pub const RECIP: u32 = 38;
    /// `a * a`.
    pub const SQUARE: u32 = 39;
    /// Sine.
    pub const SIN: u32 = 40;
    /// Cosine.
    pub const COS: u32 = 41;
    /// Hyperbolic tangent.
    pub const TANH: u32 = 42;
    /// `1 / (1 + e^-a)`.
    pub const SIGMOID: u32 = 43;
    /// Gauss error function.
    pub const ERF: u32 = 44;
    /// `a * (1 + erf(a / sqrt 2)) / 2`.
    pub const GELU: u32 = 45;
    /// GELU by its tanh approximation.
    pub const GELU_TANH: u32 = 46;
    /// `a * sigmoid(a)`.
    pub const SILU: u32 = 47;
    /// `max(a, 0)`.
    pub const RELU: u32 = 48;
    /// 1 where `a` is 0, else 0.
    pub const NOT: u32 = 49;
    /// Largest whole number not above.
    pub const FLOOR: u32 = 50;
    /// Smallest whole number not below.
    pub const CEIL: u32 = 51;
    /// Nearest whole number, ties to even.
    pub const ROUND: u32 = 52;
    /// `min(max(a, floats[0]), floats[1])`.
    pub const CLAMP: u32 = 53;
    /// `a * min(max(a / 6 + 1 / 2, 0), 1)`.
    pub const HARD_SWISH: u32 = 54;
    /// `a` where positive, else `floats[0] * a`.
    pub const LEAKY_RELU: u32 = 55;
    /// -1, 0 or 1.
    pub const SIGN: u32 = 56;

    /// Inputs that a function takes; 0 for an unknown one.
    pub const fn inputs(function: u32) -> usize {
        match function {
            COPY | NEG..=SIGN => 1,
            ADD..=LE | AND | OR => 2,
            SELECT | MUL_ADD => 3,
            _ => 0,
        }
    }

    /// Whether the function may stand as an activation behind a product.
    pub const fn is_activation(function: u32) -> bool {
        inputs(function) == 1
    }
}

/// Functions of [`OpKind::Reduce`] and [`OpKind::Pool`].
pub mod reduce {
    /// Sum.
    pub const SUM: u32 = 1;
    /// Arithmetic mean. Pooling counts the cells inside the image if `params[8]` is 0, the whole kernel if 1.
    pub const MEAN: u32 = 2;
    /// Largest.
    pub const MAX: u32 = 3;
    /// Smallest; not for pooling.
    pub const MIN: u32 = 4;
    /// Product; not for pooling.
    pub const PRODUCT: u32 = 5;
    /// Mean of squares; not for pooling.
    pub const MEAN_OF_SQUARES: u32 = 6;
    /// Sum of squares; not for pooling.
    pub const SUM_OF_SQUARES: u32 = 7;
    /// Index of the first largest, as a float; not for pooling.
    pub const ARG_MAX: u32 = 8;
}

/// Functions and parameters of [`OpKind::GridSample`].
pub mod grid {
    /// Outside the image lies what is at its border.
    pub const BORDER: u32 = 1;
    /// Outside the image all is 0.
    pub const ZEROS: u32 = 2;
    /// Place in the parameters: elements from a place's x to its y.
    pub const Y_STRIDE: usize = 0;
}

/// Functions of [`OpKind::Normalize`].
pub mod norm {
    /// Mean taken off, divided by the standard deviation (LayerNorm, InstanceNorm, GroupNorm).
    pub const MEAN_VARIANCE: u32 = 1;
    /// Divided by the root of the mean square.
    pub const RMS: u32 = 2;
}

/// Places in the parameters of [`OpKind::Conv`], [`OpKind::DepthwiseConv`] and [`OpKind::Pool`]; the input's rows and
/// columns of [`OpKind::GridSample`] too.
pub mod conv {
    /// Output pixels of a tile (`Conv`).
    pub const TILE_M: usize = 0;
    /// Output channels of a tile (`Conv`); a multiple of 16.
    pub const TILE_N: usize = 1;
    /// Kernel rows.
    pub const KERNEL_H: usize = 2;
    /// Kernel columns.
    pub const KERNEL_W: usize = 3;
    /// Rows from one output to the next.
    pub const STRIDE_Y: usize = 4;
    /// Columns from one output to the next.
    pub const STRIDE_X: usize = 5;
    /// Rows between kernel rows.
    pub const DILATION_Y: usize = 6;
    /// Columns between kernel columns.
    pub const DILATION_X: usize = 7;
    /// For mean pooling: whether cells outside the image count.
    pub const COUNT_OUTSIDE: usize = 8;
    /// Input rows.
    pub const IN_H: usize = 9;
    /// Input columns.
    pub const IN_W: usize = 10;
    /// Rows of zeros above, as an `i32`'s bits (negative crops).
    pub const PAD_TOP: usize = 11;
    /// Columns of zeros to the left, as an `i32`'s bits.
    pub const PAD_LEFT: usize = 12;
}

/// One operation of a program.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct OpRecord {
    /// An [`OpKind`].
    pub kind: u32,
    /// A function of [`map`], [`reduce`], [`norm`] or [`grid`], by kind; the activation of products.
    pub function: u32,
    /// Pieces the work is cut into, each run by one thread; 1 or more. Products are cut by their tile sizes, and this
    /// must agree; all other kinds cut their outermost rows into this many nearly equal runs.
    pub tiles: u32,
    /// Dims of `Reduce`, `Normalize`, `Softmax` that are kept; 0 otherwise.
    pub kept_dims: u32,
    /// Extents; at least 1 each.
    pub dims: [u32; DIMS],
    /// The output, then the inputs `a`, `b`, `c`, `d`.
    pub operands: [OperandRecord; OPERANDS],
    /// By kind.
    pub params: [u32; PARAMS],
    /// By kind.
    pub floats: [f32; 4],
    /// The graph's node, for messages.
    pub name: NameRef,
}

/// Role of a golden tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum GoldenRole {
    /// Fed to the port before the run.
    Input = 1,
    /// Expected of the port after it.
    Output = 2,
}

/// One stored tensor of the self-test, as f16. Cases of a program are numbered from 0.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct GoldenRecord {
    /// Index of the program.
    pub program: u32,
    /// Index of the port among the program's ports.
    pub port: u32,
    /// A [`GoldenRole`].
    pub role: u32,
    /// Zero: the case it belongs to.
    pub case: u32,
    /// From the start of the golden data, in bytes.
    pub offset: u64,
    /// Elements, as many as the port has.
    pub elements: u64,
}

/// Bound on the self-test's relative rms error, for a file whose weights are f16 and its golden values too.
pub const GOLDEN_RELATIVE_RMS_MAX: f32 = 2e-3;

/// How a session feeds the programs of a SonoSAMLite file. All zero for a file that no session can use.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ConventionsRecord {
    /// Side of the square input grid, pixels; 0 if the file is not for sessions.
    pub input_size: u32,
    /// Side of the mask logits.
    pub mask_size: u32,
    /// Point slots of the decoder.
    pub point_slots: u32,
    /// Masks that the decoder gives for a prompt. Of several, the first serves several points, the others are candidates
    /// for a single click, which leaves open how much is meant; a single one serves all.
    pub mask_candidates: u32,
    /// Grey level (0 to 1) taken off.
    pub mean: f32,
    /// Divisor afterwards.
    pub std: f32,
}
