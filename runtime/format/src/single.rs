//! A model file of one operation over constants: for tests and benchmarks of kernels.

use crate::write::assemble;
use crate::{
    AlignedBytes, BankRecord, ConventionsRecord, DIMS, Dtype, FileHeader, NO_TENSOR, NameRef, OPERANDS,
    OperandRecord, Operation, PortRecord, ProgramRecord, SlotRecord, TENSOR_ALIGN, TensorLayout,
    TensorRecord, TensorSpace,
};
use bytemuck::{Zeroable, bytes_of, cast_slice};
use std::vec::Vec;

/// A constant operand.
#[derive(Debug, Clone)]
pub struct Constant {
    /// Its elements, as stored.
    pub bytes: Vec<u8>,
    /// Their type.
    pub dtype: Dtype,
    /// Their arrangement.
    pub layout: TensorLayout,
    /// Position of the element at index zero.
    pub offset: u32,
    /// Strides over the dims.
    pub strides: [u32; DIMS],
}

impl Constant {
    /// Creates a strided f32 constant.
    pub fn f32(values: &[f32], strides: [u32; DIMS]) -> Self {
        Self::strided(cast_slice(values), Dtype::F32, strides)
    }

    /// Creates an index table.
    pub fn indices(values: &[i32], strides: [u32; DIMS]) -> Self {
        Self::strided(cast_slice(values), Dtype::I32, strides)
    }

    /// Creates a strided constant of any type.
    pub fn strided(bytes: &[u8], dtype: Dtype, strides: [u32; DIMS]) -> Self {
        Self { bytes: bytes.to_vec(), dtype, layout: TensorLayout::Strided, offset: 0, strides }
    }

    /// Creates packed weights.
    pub fn panels(bytes: &[u8], dtype: Dtype) -> Self {
        Self { bytes: bytes.to_vec(), dtype, layout: TensorLayout::Panels, offset: 0, strides: [0; DIMS] }
    }
}

/// A dense output of an operation.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    /// Number of elements.
    pub elements: u64,
    /// Their type.
    pub dtype: Dtype,
    /// Strides over the dims.
    pub strides: [u32; DIMS],
}

impl Output {
    /// Creates an f32 output.
    pub fn f32(elements: u64, strides: [u32; DIMS]) -> Self {
        Self { elements, dtype: Dtype::F32, strides }
    }
}

/// Writes a file with one program `op` of one operation, with constant inputs and the output at the start of scratch.
/// The file is not verified. (An output that is not f32 is not a port; the program then has no port.)
pub fn file_of(
    operation: &Operation,
    dims: [u32; DIMS],
    output: Output,
    inputs: &[Option<Constant>],
) -> AlignedBytes {
    let name = NameRef { offset: 0, bytes: 2 };
    let mut weights: Vec<u8> = Vec::new();
    let mut tensors = Vec::from([TensorRecord {
        space: TensorSpace::Scratch as u32,
        dtype: output.dtype as u32,
        layout: TensorLayout::Strided as u32,
        elements: output.elements,
        name,
        ..TensorRecord::zeroed()
    }]);
    let none = OperandRecord { tensor: NO_TENSOR, offset: 0, strides: [0; DIMS] };
    let mut operands = [none; OPERANDS];
    operands[0] = OperandRecord { tensor: 0, offset: 0, strides: output.strides };
    for (operand, input) in operands[1..].iter_mut().zip(inputs) {
        let Some(input) = input else { continue };
        *operand =
            OperandRecord { tensor: tensors.len() as u32, offset: input.offset, strides: input.strides };
        weights.resize(weights.len().next_multiple_of(TENSOR_ALIGN as usize), 0);
        tensors.push(TensorRecord {
            space: TensorSpace::Weights as u32,
            dtype: input.dtype as u32,
            layout: input.layout as u32,
            offset: weights.len() as u64,
            elements: input.bytes.len() as u64 / input.dtype.bytes(),
            name,
            ..TensorRecord::zeroed()
        });
        weights.extend_from_slice(&input.bytes);
    }
    let is_port = output.dtype == Dtype::F32 && output.elements <= u32::MAX.into();
    let mut shape = [0; DIMS];
    shape[0] = output.elements as u32;
    let port = PortRecord { name, tensor: 0, rank: 1, shape };
    let program = ProgramRecord {
        name,
        first_op: 0,
        op_count: 1,
        first_port: 0,
        input_count: 0,
        output_count: is_port.into(),
        slot_count: 0,
        slots: [SlotRecord::zeroed(); crate::SLOTS_MAX],
    };
    let aligned = |bytes: u64| bytes.next_multiple_of(TENSOR_ALIGN);
    let header = FileHeader {
        scratch_bytes: aligned(output.elements * output.dtype.bytes()),
        thread_scratch_bytes: aligned(operation.scratch_bytes(&dims)),
        op_count: 1,
        banks: [BankRecord::zeroed(); crate::BANKS_MAX],
        ..FileHeader::zeroed()
    };
    let op = operation.record(dims, operands, name);
    let ports = if is_port { bytes_of(&port) } else { &[] };
    AlignedBytes::new(&assemble(
        header,
        [
            bytes_of(&program),
            ports,
            bytes_of(&op),
            cast_slice(&tensors),
            b"op",
            &weights,
            bytes_of(&ConventionsRecord::zeroed()),
            &[],
            &[],
            &[],
            b"{}",
        ],
    ))
}
