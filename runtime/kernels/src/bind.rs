//! From a verified record to a bound operation: kernel, operands, tile grid.

use crate::grid::UnitGrid;
use crate::memory::{Element, FloatSource, FloatTarget, Source, SpaceOf, Spaces, Target, Tile};
use crate::{
    conv, depthwise, elementwise, gather, grid_sample, matmul, normalize, pool, reduce, resample, softmax,
};
use half::f16;
use sonotrace_format::op::{TILE_MACS_MAX, TILE_WORK};
use sonotrace_format::panels::PanelShape;
use sonotrace_format::{
    DIMS, Dtype, Model, NO_TENSOR, OpRecord, Operation, TensorLayout, TensorRecord, TensorSpace,
};

/// Why an operation cannot be bound. None of it happens to a model that this build's verifier accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The record has no meaning.
    Record(&'static str),
    /// No kernel reads or writes this operand's type.
    Operand {
        /// Place among the operands.
        slot: usize,
    },
    /// The kernel needs more scratch than a thread has.
    Scratch {
        /// Bytes needed.
        needed: usize,
        /// Bytes of a thread's scratch.
        available: usize,
    },
}

impl core::fmt::Display for BindError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Record(problem) => f.write_str(problem),
            Self::Operand { slot } => write!(f, "no kernel takes the type of operand {slot}"),
            Self::Scratch { needed, available } => {
                write!(f, "the kernel needs {needed} bytes of scratch, a thread has {available}")
            }
        }
    }
}

impl core::error::Error for BindError {}

/// What an operation's file says of its kernel.
pub(crate) trait Kernel: Sized {
    /// The typed operation.
    type Operation;

    /// Resolves everything that is the same for all tiles.
    fn bind(operation: &Self::Operation, binder: &Binder<'_>) -> Result<Self, BindError>;

    /// Tiles that the work is cut into; 1 or more.
    fn tiles(&self) -> u32;

    /// Runs one tile.
    fn run(&self, tile: Tile<'_>);

    /// Its name in reports: `{instruction set}-{types}`.
    fn name(&self) -> &'static str {
        "portable-f32"
    }
}

/// The list of kernels: the operation, and its kernel's type.
macro_rules! kernels {
    ($($operation:ident => $kernel:path,)*) => {
        /// The kernel of an operation, bound.
        #[derive(Debug)]
        enum Bound { $($operation($kernel),)* }

        impl Bound {
            fn bind(operation: &Operation, binder: &Binder<'_>) -> Result<Self, BindError> {
                match operation {
                    $(Operation::$operation(operation) => {
                        <$kernel as Kernel>::bind(operation, binder).map(Self::$operation)
                    })*
                }
            }

            fn tiles(&self) -> u32 {
                match self { $(Self::$operation(kernel) => kernel.tiles(),)* }
            }

            fn name(&self) -> &'static str {
                match self { $(Self::$operation(kernel) => kernel.name(),)* }
            }

            #[inline]
            fn run(&self, tile: Tile<'_>) {
                match self { $(Self::$operation(kernel) => kernel.run(tile),)* }
            }
        }
    };
}

kernels! {
    Elementwise => elementwise::Elementwise,
    Reduce => reduce::Reduce,
    Normalize => normalize::Normalize,
    Softmax => softmax::Softmax,
    MatMul => matmul::MatMul,
    Conv => conv::Conv,
    DepthwiseConv => depthwise::DepthwiseConv,
    Gather => gather::Gather,
    Resample => resample::Resample,
    Pool => pool::Pool,
    GridSample => grid_sample::GridSample,
}

/// How operations are bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindOptions {
    /// Elementary operations of a tile, about, of operations that are no products.
    pub tile_work: u64,
    /// Multiply-accumulates that a tile of a product stays below.
    pub tile_macs: u64,
}

impl Default for BindOptions {
    /// [`TILE_WORK`] and [`TILE_MACS_MAX`].
    fn default() -> Self {
        Self { tile_work: TILE_WORK, tile_macs: TILE_MACS_MAX }
    }
}

/// An operation of a model, ready to run.
#[derive(Debug)]
pub struct BoundOp {
    bound: Bound,
    tiles: u32,
}

impl BoundOp {
    /// Binds an operation of a verified model.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(model: &Model<'_>, record: &OpRecord, options: &BindOptions) -> Result<Self, BindError> {
        let operation = Operation::decode(record).map_err(BindError::Record)?;
        let binder = Binder { model, record, operation, options: *options };
        let bound = Bound::bind(&operation, &binder)?;
        let tiles = bound.tiles();
        Ok(Self { bound, tiles })
    }

    /// Tiles that its work is cut into; 1 or more.
    #[inline]
    pub fn tiles(&self) -> u32 {
        self.tiles
    }

    /// The name of its kernel: `{instruction set}-{types}`.
    pub fn kernel_name(&self) -> &'static str {
        self.bound.name()
    }

    /// Runs one tile.
    ///
    /// # Safety
    /// * The spaces are those of the model and program that the operation was bound for: as large as its header says,
    ///   aligned to 64 bytes, initialised, alive.
    /// * `tile` is below [`Self::tiles`], and runs once at a time.
    /// * Until all tiles are done, nobody but tiles of this operation touches its output, and nobody writes what it reads; slots
    ///   that the program writes name copies of their own.
    /// * `scratch` is this thread's own, aligned to 64 bytes, with as many bytes as the model's header says.
    #[inline]
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub unsafe fn run(&self, spaces: &Spaces, tile: u32, scratch: &mut [u8]) {
        // SAFETY: as this function's caller promises.
        self.bound.run(unsafe { Tile::new(spaces, tile, scratch) });
    }
}

/// What a kernel is bound from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Binder<'a> {
    model: &'a Model<'a>,
    record: &'a OpRecord,
    operation: Operation,
    options: BindOptions,
}

/// Packed weights of a product.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Panels {
    F32(Source<f32>),
    F16(Source<f16>),
    I8(Source<i8>),
}

impl<'a> Binder<'a> {
    /// Extents that the operation iterates over.
    pub fn dims(&self) -> &'a [u32; DIMS] {
        &self.record.dims
    }

    /// Strides of an operand.
    pub fn strides(&self, slot: usize) -> [u32; DIMS] {
        self.record.operands[slot].strides
    }

    /// Element of an operand at index zero.
    pub fn start(&self, slot: usize) -> usize {
        self.record.operands[slot].offset as usize
    }

    /// The tile grid of an operation that is no product.
    pub fn unit_grid(&self) -> UnitGrid {
        let (units, unit_work) = (self.operation.units(self.dims()), self.operation.unit_work(self.dims()));
        UnitGrid::new(units, unit_work, self.options.tile_work)
    }

    /// Multiply-accumulates that a tile of a product stays below.
    pub fn tile_macs(&self) -> u64 {
        self.options.tile_macs
    }

    /// Sizes of the packed weights.
    pub fn panel_shape(&self) -> Option<PanelShape> {
        self.operation.panels(self.dims())
    }

    /// Scratch that the operation's definition grants a tile, bytes.
    pub fn scratch_bytes(&self) -> usize {
        self.operation.scratch_bytes(self.dims()).min(self.model.header().thread_scratch_bytes) as usize
    }

    fn tensor(&self, slot: usize) -> Option<&'a TensorRecord> {
        let tensor = self.record.operands[slot].tensor;
        if tensor == NO_TENSOR { None } else { self.model.tensors().get(tensor as usize) }
    }

    fn place(
        &self,
        slot: usize,
        dtype: Dtype,
        layout: TensorLayout,
    ) -> Result<(SpaceOf, usize, u32), BindError> {
        let error = BindError::Operand { slot };
        let tensor = self.tensor(slot).ok_or(error)?;
        if tensor.dtype() != Some(dtype) || tensor.layout() != Some(layout) {
            return Err(error);
        }
        let space = match tensor.space().ok_or(error)? {
            TensorSpace::Scratch => SpaceOf::Scratch,
            TensorSpace::Weights => SpaceOf::Weights,
            TensorSpace::State => SpaceOf::Slot(tensor.slot as u8),
        };
        Ok((space, tensor.offset as usize, tensor.elements as u32))
    }

    fn source<T: Element>(
        &self,
        slot: usize,
        dtype: Dtype,
        layout: TensorLayout,
    ) -> Result<Source<T>, BindError> {
        let (space, offset, elements) = self.place(slot, dtype, layout)?;
        Ok(Source::verified(space, offset, elements))
    }

    fn target<T: Element>(&self, dtype: Dtype) -> Result<Target<T>, BindError> {
        let (space, offset, elements) = self.place(0, dtype, TensorLayout::Strided)?;
        Ok(Target::verified(space, offset, elements))
    }

    /// A strided f32 input.
    pub fn f32(&self, slot: usize) -> Result<Source<f32>, BindError> {
        self.source(slot, Dtype::F32, TensorLayout::Strided)
    }

    /// An index table.
    pub fn i32(&self, slot: usize) -> Result<Source<i32>, BindError> {
        self.source(slot, Dtype::I32, TensorLayout::Strided)
    }

    /// A strided input of any float type.
    pub fn floats(&self, slot: usize) -> Result<FloatSource, BindError> {
        let error = BindError::Operand { slot };
        match self.tensor(slot).and_then(TensorRecord::dtype).ok_or(error)? {
            Dtype::F32 => self.f32(slot).map(FloatSource::F32),
            Dtype::F16 => self.source(slot, Dtype::F16, TensorLayout::Strided).map(FloatSource::F16),
            Dtype::I8 => self.source(slot, Dtype::I8, TensorLayout::Strided).map(FloatSource::I8),
            Dtype::I32 => Err(error),
        }
    }

    /// A strided input that may be missing.
    pub fn floats_if_any(&self, slot: usize) -> Result<Option<FloatSource>, BindError> {
        self.tensor(slot).map(|_| self.floats(slot)).transpose()
    }

    /// Packed weights; none if the operand is strided.
    pub fn panels(&self, slot: usize) -> Result<Option<Panels>, BindError> {
        let error = BindError::Operand { slot };
        let tensor = self.tensor(slot).ok_or(error)?;
        if tensor.layout() != Some(TensorLayout::Panels) {
            return Ok(None);
        }
        let panels = match tensor.dtype().ok_or(error)? {
            Dtype::F32 => Panels::F32(self.source(slot, Dtype::F32, TensorLayout::Panels)?),
            Dtype::F16 => Panels::F16(self.source(slot, Dtype::F16, TensorLayout::Panels)?),
            Dtype::I8 => Panels::I8(self.source(slot, Dtype::I8, TensorLayout::Panels)?),
            Dtype::I32 => return Err(error),
        };
        Ok(Some(panels))
    }

    /// The f32 output.
    pub fn output(&self) -> Result<Target<f32>, BindError> {
        self.target(Dtype::F32)
    }

    /// The output of any float type.
    pub fn any_output(&self) -> Result<FloatTarget, BindError> {
        let error = BindError::Operand { slot: 0 };
        match self.tensor(0).and_then(TensorRecord::dtype).ok_or(error)? {
            Dtype::F32 => self.target(Dtype::F32).map(FloatTarget::F32),
            Dtype::F16 => self.target(Dtype::F16).map(FloatTarget::F16),
            Dtype::I8 => self.target(Dtype::I8).map(FloatTarget::I8),
            Dtype::I32 => Err(error),
        }
    }
}
