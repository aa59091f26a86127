//! Operations: one file each. To add one, write its file and add its line to the list below.

mod conv;
mod depthwise;
mod elementwise;
mod gather;
mod grid_sample;
mod matmul;
mod normalize;
mod pool;
mod product;
mod reduce;
mod resample;
mod softmax;
mod window;

pub use conv::Conv;
pub use depthwise::DepthwiseConv;
pub use elementwise::Elementwise;
pub use gather::Gather;
pub use grid_sample::{GridSample, Outside};
pub use matmul::MatMul;
pub use normalize::{Normalize, Statistics};
pub use pool::{Pool, PoolFunction};
pub use product::{Arithmetic, DYNAMIC_ELEMENTS_MAX, INT8_DEPTH_MAX, dynamic_columns};
pub use reduce::{Reduce, Reduction};
pub use resample::{RESAMPLE_TAPS_MAX, Resample};
pub use softmax::Softmax;
pub use window::Window;

use crate::panels::PanelShape;
use crate::{DIMS, Dtype, NameRef, OPERANDS, OpRecord, OperandRecord, TensorLayout, codes};

/// Reason for refusing an operation.
pub type Refusal = &'static str;

/// Approximate work of a tile of an operation that is not a product, in elementary operations: small enough to stop
/// between tiles, large enough to be worth claiming.
pub const TILE_WORK: u64 = 65_536;
/// Maximum multiply-accumulates of a tile of a product with portable kernels: 2 ms at 1 GMAC/s, a slow core. Kernels of instruction
/// sets that are faster have larger tiles.
pub const TILE_MACS_MAX: u64 = 2_000_000;

/// Requirement on an operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The output: f32, not in the weights.
    Output,
    /// The output: any float type or i8, not in the weights.
    AnyOutput,
    /// Strided f32, f16 or i8.
    Any,
    /// Strided f32, f16 or i8, or missing.
    AnyOrMissing,
    /// Strided f32.
    F32,
    /// Strided f32, or packed weights.
    F32OrPanels,
    /// Index table in the weights.
    Index,
    /// Packed weights.
    Panels,
    /// Packed weights of this type.
    PanelsOf(Dtype),
    /// Not used.
    None,
}

/// Elements that an operand reaches: at most `offset + sum over dims of (extent - 1) * stride + beyond`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Extent that each stride is multiplied by.
    pub extents: [u32; DIMS],
    /// Further elements that are reached by other means than strides.
    pub beyond: u64,
}

impl Access {
    /// Uses each dimension's extent, and nothing beyond.
    pub const fn of_dims(dims: &[u32; DIMS]) -> Self {
        Self { extents: *dims, beyond: 0 }
    }
}

/// Stored fields of an operation, without its dims and operands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Fields {
    function: u32,
    params: [u32; crate::records::PARAMS],
    floats: [f32; 2],
}

/// Definition of an operation in its file. `dims` are the extents that it iterates over.
pub(crate) trait Definition: Copy + Into<Operation> {
    /// Reads and checks the parameters.
    fn decode(record: &OpRecord) -> Result<Self, Refusal>;
    /// Returns the parameters as stored.
    fn encode(&self) -> Fields;
    /// Returns the requirement on each operand.
    fn needs(&self) -> [Need; OPERANDS];
    /// Returns the number of independent pieces of work: a tile is a run of them. For products: the rows of the result
    /// in all batches.
    fn units(&self, dims: &[u32; DIMS]) -> u64;
    /// Returns the approximate work of one unit, in elementary operations.
    fn unit_work(&self, dims: &[u32; DIMS]) -> u64;

    /// Returns the work of the smallest piece that a kernel computes without a stop, in elementary operations.
    fn piece_work(&self, dims: &[u32; DIMS]) -> u64 {
        self.unit_work(dims)
    }

    /// Returns the elements that an input reaches.
    fn access(&self, record: &OpRecord, _slot: usize) -> Result<Access, Refusal> {
        Ok(Access::of_dims(&record.dims))
    }
    /// Returns whether different indices of a dimension write different elements.
    fn writes(&self, _dim: usize) -> bool {
        true
    }
    /// Returns the dimension along which a kernel handles several elements of an operand together: it is fastest if they
    /// are adjacent.
    fn vector_dim(&self, _slot: usize) -> Option<usize> {
        None
    }
    /// Returns length and stride of an axis of an input along which positions are looked up or computed, not walked.
    fn computed_axis(&self, _slot: usize) -> Option<[u32; 2]> {
        None
    }
    /// Sets the stride of the computed axis.
    fn set_computed_stride(&mut self, _slot: usize, _stride: u32) {}
    /// Returns the number of multiply-accumulates.
    fn macs(&self, _dims: &[u32; DIMS]) -> u64 {
        0
    }
    /// Returns the scratch of a thread that runs a tile, bytes: the limit for every kernel.
    fn scratch_bytes(&self, _dims: &[u32; DIMS]) -> u64 {
        0
    }
    /// Returns the sizes of the packed weights.
    fn panels(&self, _dims: &[u32; DIMS]) -> Option<PanelShape> {
        None
    }
    /// Returns the arithmetic of its sums.
    fn arithmetic(&self) -> Arithmetic {
        Arithmetic::Float
    }
    /// Returns the length of the indexed axis; the entries of the index table are below it.
    fn index_limit(&self) -> Option<u32> {
        None
    }
    /// Returns the number of kept dims of an operation over trailing dims.
    fn kept_dims(&self) -> Option<u32> {
        None
    }
    /// Returns the name of the function or activation, for reports.
    fn function_name(&self) -> &'static str {
        ""
    }
}

/// The list of operations: code in the file, name in reports, type.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        codes! {
            /// Kind of an operation. The type of the same name defines its dims, operands and parameters.
            pub enum OpKind { $($(#[$doc])* $name = $code $text,)* }
        }

        /// An operation with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Operation { $($(#[$doc])* $name($name),)* }

        $(impl From<$name> for Operation {
            fn from(operation: $name) -> Self { Self::$name(operation) }
        })*

        impl Operation {
            /// Returns its kind.
            pub const fn kind(&self) -> OpKind {
                match self { $(Self::$name(_) => OpKind::$name,)* }
            }

            /// Reads the kind and the parameters of a record.
            ///
            /// # Errors
            /// An unknown kind, or a parameter outside its limits.
            pub fn decode(record: &OpRecord) -> Result<Self, Refusal> {
                match OpKind::from_code(record.kind).ok_or("unknown kind")? {
                    $(OpKind::$name => $name::decode(record).map(Self::$name),)*
                }
            }
        }

        /// Calls the definition of the operation's type.
        macro_rules! defined {
            ($operation:expr, $bound:ident => $call:expr) => {
                match $operation { $(Operation::$name($bound) => $call,)* }
            };
        }
    };
}

operations! {
    /// Element-wise function.
    Elementwise = 1 "elementwise",
    /// Reduction over the trailing dims.
    Reduce = 2 "reduce",
    /// Normalisation over the trailing dims.
    Normalize = 3 "normalize",
    /// Softmax over the trailing dims.
    Softmax = 4 "softmax",
    /// Matrix product.
    MatMul = 5 "matmul",
    /// Dense convolution.
    Conv = 6 "conv",
    /// Depthwise convolution.
    DepthwiseConv = 7 "depthwise_conv",
    /// Gathering along an axis by constant indices.
    Gather = 8 "gather",
    /// Resampling along an axis by tables.
    Resample = 9 "resample",
    /// Pooling over windows.
    Pool = 10 "pool",
    /// Bilinear sampling of an image at computed positions.
    GridSample = 11 "grid_sample",
}

impl Operation {
    /// Returns the requirement on each operand.
    pub fn needs(&self) -> [Need; OPERANDS] {
        defined!(self, op => op.needs())
    }

    /// Returns the number of independent pieces of work: a tile is a run of them. For products: the rows of the result
    /// in all batches.
    pub fn units(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.units(dims))
    }

    /// Returns the approximate work of one unit, in elementary operations.
    pub fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.unit_work(dims))
    }

    /// Returns the work of the smallest piece that a kernel computes without a stop, in elementary operations: of a product, of one row
    /// and one panel of columns.
    pub fn piece_work(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.piece_work(dims))
    }

    /// Returns the work of all units, in elementary operations.
    pub fn work(&self, dims: &[u32; DIMS]) -> u64 {
        self.units(dims).saturating_mul(self.unit_work(dims))
    }

    /// Returns the number of multiply-accumulates; 0 for an operation that is not a product.
    pub fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.macs(dims))
    }

    /// Returns the scratch of a thread that runs a tile, bytes: the limit for every kernel.
    pub fn scratch_bytes(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.scratch_bytes(dims))
    }

    /// Returns the sizes of its packed weights, if it is a product.
    pub fn panels(&self, dims: &[u32; DIMS]) -> Option<PanelShape> {
        defined!(self, op => op.panels(dims))
    }

    /// Returns the arithmetic of its sums.
    pub fn arithmetic(&self) -> Arithmetic {
        defined!(self, op => op.arithmetic())
    }

    /// Returns the number of kept dims of an operation over trailing dims; the others are summed, normalised or compared.
    pub fn kept_dims(&self) -> Option<u32> {
        defined!(self, op => op.kept_dims())
    }

    /// Returns the name of the function or activation, for reports; empty if there is none.
    pub fn function_name(&self) -> &'static str {
        defined!(self, op => op.function_name())
    }

    /// Returns the extents that the strides of an operand are multiplied by: those of the operation or, for an image, its
    /// own; `None` for an operand that the operation refuses.
    pub fn operand_extents(&self, dims: &[u32; DIMS], slot: usize) -> Option<[u32; DIMS]> {
        let record = self.record(*dims, bytemuck::Zeroable::zeroed(), NameRef { offset: 0, bytes: 0 });
        self.access(&record, slot).ok().map(|access| access.extents)
    }

    /// Returns the dimension along which a kernel handles several elements of an operand together: it is fastest if they
    /// are adjacent.
    pub fn vector_dim(&self, slot: usize) -> Option<usize> {
        defined!(self, op => op.vector_dim(slot))
    }

    /// Returns length and stride of an axis of an input along which positions are looked up or computed, not walked.
    pub fn computed_axis(&self, slot: usize) -> Option<[u32; 2]> {
        defined!(self, op => op.computed_axis(slot))
    }

    /// Sets the stride of the computed axis of an input.
    pub fn set_computed_stride(&mut self, slot: usize, stride: u32) {
        defined!(self, op => op.set_computed_stride(slot, stride));
    }

    pub(crate) fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        defined!(self, op => op.access(record, slot))
    }

    pub(crate) fn writes(&self, dim: usize) -> bool {
        defined!(self, op => op.writes(dim))
    }

    pub(crate) fn index_limit(&self) -> Option<u32> {
        defined!(self, op => op.index_limit())
    }

    /// Returns the record of this operation over `dims` and `operands`.
    pub fn record(&self, dims: [u32; DIMS], operands: [OperandRecord; OPERANDS], name: NameRef) -> OpRecord {
        let Fields { function, params, floats } = defined!(self, op => op.encode());
        OpRecord { kind: self.kind() as u32, function, dims, operands, params, floats, name }
    }
}

/// Returns the product of extents, saturating.
pub(crate) fn product(extents: &[u32]) -> u64 {
    extents.iter().fold(1u64, |product, &extent| product.saturating_mul(extent.into()))
}

/// Returns the reach of packed weights. Refuses an offset or strides of their operand.
pub(crate) fn panel_reach(
    record: &OpRecord,
    slot: usize,
    operation: &Operation,
    tensor: &crate::TensorRecord,
) -> Result<Option<u64>, Refusal> {
    if tensor.layout() != Some(TensorLayout::Panels) {
        return Ok(None);
    }
    let operand = &record.operands[slot];
    if operand.offset != 0 || operand.strides != [0; DIMS] {
        return Err("packed weights have an offset or strides");
    }
    let shape =
        operation.panels(&record.dims).ok_or("packed weights in an operation that is not a product")?;
    let dtype = tensor.dtype().ok_or("unknown element type")?;
    let elements = shape.elements(dtype).ok_or("packed weights overflow or are i32")?;
    Ok(Some(elements - 1))
}
