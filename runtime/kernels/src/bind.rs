//! Binds a verified record: kernel, operands, tile grid.

use crate::arch::{Instructions, Isa, Work};
use crate::grid::UnitGrid;
use crate::memory::{Element, FloatSource, FloatTarget, Source, SpaceOf, Spaces, Target, Tile};
use crate::{
    conv, depthwise, elementwise, gather, grid_sample, matmul, normalize, pool, reduce, resample, softmax,
};
use half::{bf16, f16};
use sonotrace_format::op::{Arithmetic, TILE_WORK};
use sonotrace_format::panels::PanelShape;
use sonotrace_format::{
    DIMS, Dtype, Model, NO_TENSOR, OpRecord, Operation, TensorLayout, TensorRecord, TensorSpace,
};

/// Error of binding an operation. None occurs for a model that this build's verifier accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The record is invalid.
    Record(&'static str),
    /// No kernel supports the type of this operand.
    Operand {
        /// Index among the operands.
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
            Self::Operand { slot } => write!(f, "no kernel supports the type of operand {slot}"),
            Self::Scratch { needed, available } => {
                write!(f, "the kernel needs {needed} bytes of scratch, a thread has {available}")
            }
        }
    }
}

impl core::error::Error for BindError {}

/// Kernel of an operation.
pub(crate) trait Kernel: Sized {
    /// The typed operation.
    type Operation;

    /// Resolves everything that is the same for all tiles.
    fn bind(operation: &Self::Operation, binder: &Binder<'_>) -> Result<Self, BindError>;

    /// Returns the tile grid. A product has a grid of its own, in which each unit is a tile.
    fn grid(&self, binder: &Binder<'_>) -> UnitGrid {
        binder.unit_grid()
    }

    /// Runs one tile. Inlined, like all that it calls on elements, so that it is compiled for the instruction set.
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>);
}

/// A tile of a kernel.
struct TileOf<'a, K>(&'a K, Tile<'a>);

impl<K: Kernel> Work for TileOf<'_, K> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        self.0.run(isa, self.1);
    }
}

/// The list of kernels: the operation, and its kernel's type.
macro_rules! kernels {
    ($($operation:ident => $kernel:path,)*) => {
        /// A bound kernel.
        #[derive(Debug)]
        enum Bound { $($operation($kernel),)* }

        impl Bound {
            fn bind(operation: &Operation, binder: &Binder<'_>) -> Result<(Self, UnitGrid), BindError> {
                match operation {
                    $(Operation::$operation(operation) => {
                        let kernel = <$kernel as Kernel>::bind(operation, binder)?;
                        let grid = kernel.grid(binder);
                        Ok((Self::$operation(kernel), grid))
                    })*
                }
            }

            fn run(&self, instructions: Instructions, tile: Tile<'_>) {
                match self { $(Self::$operation(kernel) => instructions.run(TileOf(kernel, tile)),)* }
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

/// Tiles of a product for each of several threads: so that no thread waits long for the last tile.
const TILES_PER_THREAD: u64 = 3;
/// Smaller tiles are not worth claiming.
const TILE_MACS_MIN: u64 = 100_000;

/// Options for binding operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindOptions {
    /// Approximate work of a tile of an operation that is not a product, in elementary operations.
    pub tile_work: u64,
    /// Maximum multiply-accumulates of a tile of a product.
    pub tile_macs: u64,
    /// Instruction set of the kernels.
    pub instructions: Instructions,
    /// Threads that share the tiles: a product has several tiles for each, if it is large enough.
    pub threads: u32,
}

impl BindOptions {
    /// Returns the sizes of tiles for an instruction set and one thread.
    pub const fn of(instructions: Instructions) -> Self {
        Self { tile_work: TILE_WORK, tile_macs: instructions.tile_macs(), instructions, threads: 1 }
    }
}

impl Default for BindOptions {
    /// Returns those for the fastest instruction set.
    fn default() -> Self {
        Self::of(Instructions::best())
    }
}

/// An operation of a model, ready to run.
#[derive(Debug)]
pub struct BoundOp {
    bound: Bound,
    grid: UnitGrid,
    instructions: Instructions,
}

impl BoundOp {
    /// Binds an operation of a verified model.
    ///
    /// # Errors
    /// [`BindError`].
    pub fn bind(model: &Model<'_>, record: &OpRecord, options: &BindOptions) -> Result<Self, BindError> {
        let operation = Operation::decode(record).map_err(BindError::Record)?;
        let binder = Binder { model, record, operation, options: *options };
        let (bound, grid) = Bound::bind(&operation, &binder)?;
        Ok(Self { bound, grid, instructions: options.instructions })
    }

    /// Returns the number of tiles; at least 1.
    #[inline]
    pub fn tiles(&self) -> u32 {
        self.grid.tiles()
    }

    /// Returns the instruction set of its kernel.
    pub fn instructions(&self) -> Instructions {
        self.instructions
    }

    /// Runs one tile.
    ///
    /// # Safety
    /// * `spaces` are those of the model and program that the operation was bound for: as large as the model's header
    ///   states, aligned to 64 bytes, initialised and alive.
    /// * `tile` is below [`Self::tiles`], and no other thread runs it at the same time.
    /// * Until all tiles are done, only tiles of this operation access its output, and nothing writes what it reads. No
    ///   other slot names the copy of a slot that the program writes.
    ///
    /// # Panics
    /// If `scratch` is not aligned to 64 bytes, or too short for the operation.
    // Not inlined, so that the kernels are compiled in this crate and not once more in each that runs them.
    #[inline(never)]
    #[cfg_attr(sonotrace_rtsan, sanitize(realtime = "nonblocking"))]
    pub unsafe fn run(&self, spaces: &Spaces, tile: u32, scratch: &mut [u8]) {
        // SAFETY: guaranteed by the caller.
        self.bound.run(self.instructions, unsafe { Tile::new(spaces, self.grid.units_of(tile), scratch) });
    }
}

/// Model, record and options from which a kernel is bound.
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
    Bf16(Source<bf16>),
}

impl<'a> Binder<'a> {
    /// Returns the extents that the operation iterates over.
    pub fn dims(&self) -> &'a [u32; DIMS] {
        &self.record.dims
    }

    /// Returns the strides of an operand.
    pub fn strides(&self, slot: usize) -> [u32; DIMS] {
        self.record.operands[slot].strides
    }

    /// Returns the position of an operand's element at index zero.
    pub fn start(&self, slot: usize) -> usize {
        self.record.operands[slot].offset as usize
    }

    /// Returns the tile grid of an operation that is not a product.
    pub fn unit_grid(&self) -> UnitGrid {
        let (units, unit_work) = (self.operation.units(self.dims()), self.operation.unit_work(self.dims()));
        UnitGrid::new(units, unit_work, self.options.tile_work)
    }

    /// Returns the approximate work of a tile of an operation that is not a product.
    pub fn tile_work(&self) -> u64 {
        self.options.tile_work
    }

    /// Returns the maximum multiply-accumulates of a tile of a product that has so many in all.
    pub fn tile_macs(&self, all: u64) -> u64 {
        match self.options.threads {
            0 | 1 => self.options.tile_macs,
            threads => {
                self.options.tile_macs.min(all / (TILES_PER_THREAD * u64::from(threads))).max(TILE_MACS_MIN)
            }
        }
    }

    /// Returns the rows of a block of sums.
    pub fn block_rows(&self, arithmetic: Arithmetic) -> usize {
        self.options.instructions.rows(arithmetic)
    }

    /// Returns the bytes of an element of the packed rows of an int8 product.
    pub fn packed_bytes(&self) -> usize {
        self.options.instructions.packed_bytes()
    }

    /// Returns the sizes of the packed weights.
    pub fn panel_shape(&self) -> Option<PanelShape> {
        self.operation.panels(self.dims())
    }

    /// Returns the scratch of a tile by the operation's definition, bytes.
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

    /// Returns a strided f32 input.
    pub fn f32(&self, slot: usize) -> Result<Source<f32>, BindError> {
        self.source(slot, Dtype::F32, TensorLayout::Strided)
    }

    /// Returns an index table.
    pub fn i32(&self, slot: usize) -> Result<Source<i32>, BindError> {
        self.source(slot, Dtype::I32, TensorLayout::Strided)
    }

    /// Returns a strided input of any float type.
    pub fn floats(&self, slot: usize) -> Result<FloatSource, BindError> {
        let error = BindError::Operand { slot };
        match self.tensor(slot).and_then(TensorRecord::dtype).ok_or(error)? {
            Dtype::F32 => self.f32(slot).map(FloatSource::F32),
            Dtype::F16 => self.source(slot, Dtype::F16, TensorLayout::Strided).map(FloatSource::F16),
            Dtype::I8 => self.source(slot, Dtype::I8, TensorLayout::Strided).map(FloatSource::I8),
            Dtype::I32 | Dtype::Bf16 => Err(error),
        }
    }

    /// Returns an optional strided input.
    pub fn floats_if_any(&self, slot: usize) -> Result<Option<FloatSource>, BindError> {
        self.tensor(slot).map(|_| self.floats(slot)).transpose()
    }

    /// Returns packed weights; `None` if the operand is strided.
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
            Dtype::Bf16 => Panels::Bf16(self.source(slot, Dtype::Bf16, TensorLayout::Panels)?),
            Dtype::I32 => return Err(error),
        };
        Ok(Some(panels))
    }

    /// Returns the f32 output.
    pub fn output(&self) -> Result<Target<f32>, BindError> {
        self.target(Dtype::F32)
    }

    /// Returns the output of any float type.
    pub fn any_output(&self) -> Result<FloatTarget, BindError> {
        let error = BindError::Operand { slot: 0 };
        match self.tensor(0).and_then(TensorRecord::dtype).ok_or(error)? {
            Dtype::F32 => self.target(Dtype::F32).map(FloatTarget::F32),
            Dtype::F16 => self.target(Dtype::F16).map(FloatTarget::F16),
            Dtype::I8 => self.target(Dtype::I8).map(FloatTarget::I8),
            Dtype::I32 | Dtype::Bf16 => Err(error),
        }
    }
}
