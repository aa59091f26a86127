//! Operations: one file each. To add one, write its file and add its line to the list below.

mod conv;
mod depthwise;
mod elementwise;
mod gather;
mod grid_sample;
mod matmul;
mod normalize;
mod pool;
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
pub use reduce::{Reduce, Reduction};
pub use resample::{RESAMPLE_TAPS_MAX, Resample};
pub use softmax::Softmax;
pub use window::Window;

use crate::panels::PanelShape;
use crate::{DIMS, NameRef, OPERANDS, OpRecord, OperandRecord, TensorLayout, codes};

/// Why an operation is refused.
pub type Refusal = &'static str;

/// Elementary operations of a tile, about, of operations that are no products: small enough to stop between, large enough to
/// be worth claiming.
pub const TILE_WORK: u64 = 65_536;
/// Multiply-accumulates that a tile of a product stays below: 2 ms at 1 GMAC/s, the portable kernel on a slow core.
pub const TILE_MACS_MAX: u64 = 2_000_000;

/// What an operand must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// The output: written, not in the weights, f32.
    Output,
    /// The output: written, not in the weights, any float type or i8.
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
    /// Not used.
    None,
}

/// Which elements an operand's strides reach: `offset + sum over dims of (extent - 1) * stride + beyond`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The extent that each stride is multiplied with.
    pub extents: [u32; DIMS],
    /// Elements behind that which are reached by other means.
    pub beyond: u64,
}

impl Access {
    /// Each dimension's own extent, and nothing beyond.
    pub const fn of_dims(dims: &[u32; DIMS]) -> Self {
        Self { extents: *dims, beyond: 0 }
    }
}

/// How an operation is stored, beside its dims and operands.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Fields {
    function: u32,
    params: [u32; crate::records::PARAMS],
    floats: [f32; 2],
}

/// What an operation's file says of it. `dims` are the extents that it iterates over.
pub(crate) trait Definition: Copy + Into<Operation> {
    /// Reads and checks the parameters.
    fn decode(record: &OpRecord) -> Result<Self, Refusal>;
    /// The parameters as stored.
    fn encode(&self) -> Fields;
    /// What each operand must be.
    fn needs(&self) -> [Need; OPERANDS];
    /// Independent pieces of work: a tile is a run of them (of products: rows of the result, of all batches).
    fn units(&self, dims: &[u32; DIMS]) -> u64;
    /// Elementary operations of one unit, about.
    fn unit_work(&self, dims: &[u32; DIMS]) -> u64;

    /// Which elements an input's strides reach.
    fn access(&self, record: &OpRecord, _slot: usize) -> Result<Access, Refusal> {
        Ok(Access::of_dims(&record.dims))
    }
    /// Whether two indices of a dimension write two elements.
    fn writes(&self, _dim: usize) -> bool {
        true
    }
    /// Multiply-accumulates.
    fn macs(&self, _dims: &[u32; DIMS]) -> u64 {
        0
    }
    /// Scratch of a thread that runs a tile, bytes: what a kernel may use, whichever it is.
    fn scratch_bytes(&self, _dims: &[u32; DIMS]) -> u64 {
        0
    }
    /// Sizes of the packed weights.
    fn panels(&self, _dims: &[u32; DIMS]) -> Option<PanelShape> {
        None
    }
    /// Length of the axis that the entries of the index table must stay below.
    fn index_limit(&self) -> Option<u32> {
        None
    }
    /// The function or activation, for reports.
    fn function_name(&self) -> &'static str {
        ""
    }
}

/// The list of operations: code in the file, name in reports, type.
macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $code:literal $text:literal,)*) => {
        codes! {
            /// What an operation does. The type of the same name says what its dims, operands and parameters mean.
            pub enum OpKind { $($(#[$doc])* $name = $code $text,)* }
        }

        /// An operation with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Operation { $($(#[$doc])* $name($name),)* }

        $(impl From<$name> for Operation {
            fn from(operation: $name) -> Self { Self::$name(operation) }
        })*

        impl Operation {
            /// Its kind.
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

        /// Calls the definition of whichever operation it is.
        macro_rules! defined {
            ($operation:expr, $bound:ident => $call:expr) => {
                match $operation { $(Operation::$name($bound) => $call,)* }
            };
        }
    };
}

operations! {
    /// Element by element.
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
    /// Convolution of each channel by itself.
    DepthwiseConv = 7 "depthwise_conv",
    /// Gathering along an axis by constant indices.
    Gather = 8 "gather",
    /// Resampling along an axis by tables.
    Resample = 9 "resample",
    /// Pooling over windows.
    Pool = 10 "pool",
    /// Sampling between the pixels of an image at computed places.
    GridSample = 11 "grid_sample",
}

impl Operation {
    /// What each operand must be.
    pub fn needs(&self) -> [Need; OPERANDS] {
        defined!(self, op => op.needs())
    }

    /// Independent pieces of work: a tile is a run of them (of products: rows of the result, of all batches).
    pub fn units(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.units(dims))
    }

    /// Elementary operations of one unit, about.
    pub fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.unit_work(dims))
    }

    /// Multiply-accumulates; 0 for what is no product.
    pub fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.macs(dims))
    }

    /// Scratch of a thread that runs a tile, bytes: what a kernel may use, whichever it is.
    pub fn scratch_bytes(&self, dims: &[u32; DIMS]) -> u64 {
        defined!(self, op => op.scratch_bytes(dims))
    }

    /// Sizes of its packed weights, if it is a product.
    pub fn panels(&self, dims: &[u32; DIMS]) -> Option<PanelShape> {
        defined!(self, op => op.panels(dims))
    }

    /// The function or activation, for reports; empty if there is none.
    pub fn function_name(&self) -> &'static str {
        defined!(self, op => op.function_name())
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

    /// The record of this operation over `dims` and `operands`.
    pub fn record(&self, dims: [u32; DIMS], operands: [OperandRecord; OPERANDS], name: NameRef) -> OpRecord {
        let Fields { function, params, floats } = defined!(self, op => op.encode());
        OpRecord { kind: self.kind() as u32, function, dims, operands, params, floats, name }
    }
}

/// Product of extents.
pub(crate) fn product(extents: &[u32]) -> u64 {
    extents.iter().fold(1u64, |product, &extent| product.saturating_mul(extent.into()))
}

/// Refuses packed weights whose operand is not plain, and gives their reach.
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
    let shape = operation.panels(&record.dims).ok_or("packed weights of no product")?;
    let dtype = tensor.dtype().ok_or("unknown element type")?;
    let elements = shape.elements(dtype).ok_or("packed weights overflow, or are indices")?;
    Ok(Some(elements - 1))
}
