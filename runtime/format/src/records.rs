//! Records of the sections: fixed-layout, little-endian, used in place.
//!
//! An operation does not use shapes: it iterates over `dims`, and each operand has an offset and a stride per dimension
//! that give the position of its element. Transposes, slices, broadcasts and most reshapes therefore cost nothing: the
//! compiler folds them into strides.

use crate::{DIMS, OPERANDS, codes};
use bytemuck::{Pod, Zeroable};

/// A name: a span of the names section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct NameRef {
    /// Offset from the start of the section.
    pub offset: u32,
    /// Length in bytes.
    pub bytes: u32,
}

/// A program: a range of operations, with its inputs, outputs and slots.
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
    /// Number of slots.
    pub slot_count: u32,
    /// The slots; a run names a copy of a bank for each.
    pub slots: [SlotRecord; crate::SLOTS_MAX],
}

impl ProgramRecord {
    /// Returns the used slots.
    pub fn slots(&self) -> &[SlotRecord] {
        &self.slots[..(self.slot_count as usize).min(crate::SLOTS_MAX)]
    }
}

/// A slot of a program: the copy of a bank that holds some of its state tensors, chosen when a run begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct SlotRecord {
    /// Its name, such as `frame`, `previous`, `anchor`.
    pub name: NameRef,
    /// Index of the bank.
    pub bank: u32,
    /// 1 if an operation of the program writes to the slot; then no other slot may name the same copy.
    pub is_written: u32,
}

/// An input or output of a program: a dense row-major f32 tensor.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct PortRecord {
    /// Its name in the graph.
    pub name: NameRef,
    /// The tensor.
    pub tensor: u32,
    /// Number of used dimensions of `shape`.
    pub rank: u32,
    /// Shape in the graph.
    pub shape: [u32; DIMS],
}

codes! {
    /// Memory space of a tensor.
    pub enum TensorSpace {
        /// Shared by all programs; its content does not persist between runs.
        Scratch = 1 "scratch",
        /// A copy of a bank.
        State = 2 "state",
        /// In the file.
        Weights = 3 "weights",
    }
}

codes! {
    /// Type of a tensor's elements.
    pub enum Dtype {
        /// 32-bit float.
        F32 = 1 "f32",
        /// 16-bit float.
        F16 = 2 "f16",
        /// Signed 32-bit integer; index tables in the weights only.
        I32 = 3 "i32",
        /// Signed 8-bit integer.
        I8 = 4 "i8",
        /// The upper half of a 32-bit float (bfloat16); packed weights of products only.
        Bf16 = 5 "bf16",
    }
}

impl Dtype {
    /// Returns the bytes of an element.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::I8 => 1,
        }
    }
}

codes! {
    /// Arrangement of a tensor's elements.
    pub enum TensorLayout {
        /// The strides of each operand give the positions of the elements.
        Strided = 1 "strided",
        /// Packed weights of a product: [`crate::panels`].
        Panels = 2 "panels",
    }
}

/// [`TensorRecord::flags`]: a scratch tensor that the caller fills before the run.
pub const TENSOR_IS_INPUT: u32 = 1;

/// A tensor and its planned position. The plan states over which operations a scratch tensor is live. The verifier
/// checks every access against it, and that no two tensors that are live together share a byte.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct TensorRecord {
    /// A [`TensorSpace`].
    pub space: u32,
    /// A [`Dtype`].
    pub dtype: u32,
    /// A [`TensorLayout`].
    pub layout: u32,
    /// [`TENSOR_IS_INPUT`] or 0.
    pub flags: u32,
    /// Offset from the start of its space (of a state tensor: of the bank's copy), in bytes; a multiple of
    /// [`crate::TENSOR_ALIGN`].
    pub offset: u64,
    /// Number of elements; for packed weights see [`crate::panels`].
    pub elements: u64,
    /// Its name in the graph, for messages.
    pub name: NameRef,
    /// The program that a scratch or state tensor belongs to; 0 for weights.
    pub program: u32,
    /// State only: the slot of the program that it lies in.
    pub slot: u32,
    /// Scratch only: the first operation that writes it, counted from the program's first (0 for an input).
    pub first_op: u32,
    /// Scratch only: the last operation that accesses it (the program's last for an output).
    pub last_op: u32,
}

impl TensorRecord {
    /// Returns its space, if the code is known.
    pub const fn space(&self) -> Option<TensorSpace> {
        TensorSpace::from_code(self.space)
    }

    /// Returns its element type, if the code is known.
    pub const fn dtype(&self) -> Option<Dtype> {
        Dtype::from_code(self.dtype)
    }

    /// Returns its layout, if the code is known.
    pub const fn layout(&self) -> Option<TensorLayout> {
        TensorLayout::from_code(self.layout)
    }

    /// Returns the bytes of its elements (of packed weights as stored); 0 for an unknown type.
    pub fn bytes(&self) -> u64 {
        self.dtype().map_or(0, |dtype| self.elements.saturating_mul(dtype.bytes()))
    }
}

/// Positions of an operand's elements over the dims of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct OperandRecord {
    /// The tensor, or [`crate::NO_TENSOR`].
    pub tensor: u32,
    /// Position in the tensor of the element at index zero of every dimension.
    pub offset: u32,
    /// Elements from one index to the next, per dimension; 0 repeats the element.
    pub strides: [u32; DIMS],
}

/// Number of stored integer parameters of an operation. The operation's file in [`crate::op`] defines their meaning.
pub(crate) const PARAMS: usize = 12;

/// One operation of a program. [`crate::Operation`] is its typed form.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct OpRecord {
    /// An [`crate::OpKind`].
    pub kind: u32,
    /// Code of a function; its meaning depends on the kind.
    pub(crate) function: u32,
    /// Extents; at least 1 each.
    pub dims: [u32; DIMS],
    /// The output, then the inputs `a`, `b`, `c`, `d`.
    pub operands: [OperandRecord; OPERANDS],
    pub(crate) params: [u32; PARAMS],
    pub(crate) floats: [f32; 2],
    /// The graph's node, for messages.
    pub name: NameRef,
}

codes! {
    /// Role of a golden tensor.
    pub enum GoldenRole {
        /// Written to the port before the run.
        Input = 1 "input",
        /// Expected at the port after the run.
        Output = 2 "output",
    }
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
    /// Number of its case.
    pub case: u32,
    /// Offset from the start of the golden data, in bytes.
    pub offset: u64,
    /// Number of elements; equal to the port's.
    pub elements: u64,
}

/// Bound on the self-test's relative rms error, for a file whose weights and golden values are f16.
pub const GOLDEN_RELATIVE_RMS_MAX: f32 = 2e-3;
/// The same for a program with products in int8 or bf16. Sums of floats differ in their last bits between instruction sets; a value
/// that is then rounded the other way differs by a step, and so do more and more values behind it.
pub const GOLDEN_ROUNDED_RELATIVE_RMS_MAX: f32 = 2e-2;

/// Sizes and normalisation that a session uses with a SonoSAMLite file. All zero for a file that is not for sessions.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct ConventionsRecord {
    /// Side of the square input grid, pixels; 0 if the file is not for sessions.
    pub input_size: u32,
    /// Side of the mask logits.
    pub mask_size: u32,
    /// Point slots of the decoder.
    pub point_slots: u32,
    /// Number of masks that the decoder returns for a prompt. If there are several, the first is for prompts of several
    /// points, and the others are candidates for a single click, which is ambiguous. A single one serves all prompts.
    pub mask_candidates: u32,
    /// Grey level (0 to 1) that is subtracted.
    pub mean: f32,
    /// Divisor after the subtraction.
    pub std: f32,
}
