//! Checks an operation: its parameters, every element that it can access and when, and that its tiles write disjoint
//! elements.

use crate::op::{Need, Operation, Refusal, panel_reach, product};
use crate::{
    DIMS, Dtype, ITERATIONS_MAX, Model, NO_TENSOR, OpRecord, OperandRecord, PIECE_WORK_MAX, TENSOR_IS_INPUT,
    TensorLayout, TensorRecord, TensorSpace,
};

/// Checks an operation of the program with this index; `at` counts from the program's first operation.
pub(super) fn check(model: &Model<'_>, program: u32, at: u32, op: &OpRecord) -> Result<(), Refusal> {
    if op.dims.contains(&0) {
        return Err("a dimension is 0");
    }
    if product(&op.dims) > ITERATIONS_MAX {
        return Err("iterates over more than 2^36 elements");
    }
    if op.floats.iter().any(|value| !value.is_finite()) {
        return Err("a parameter is not finite");
    }
    let operation = Operation::decode(op)?;
    if operation.piece_work(&op.dims) > PIECE_WORK_MAX {
        return Err(
            "its smallest piece takes more than 2^24 elementary operations: one row, window or sum is too large",
        );
    }
    if operation.scratch_bytes(&op.dims) > model.header.thread_scratch_bytes {
        return Err("needs more thread scratch than the header states");
    }
    writes_apart(&operation, op)?;
    for (slot, (operand, need)) in op.operands.iter().zip(operation.needs()).enumerate() {
        if operand.tensor == NO_TENSOR {
            match need {
                Need::AnyOrMissing | Need::None => continue,
                _ => return Err("an operand is missing"),
            }
        }
        if need == Need::None {
            return Err("has too many operands");
        }
        let tensor =
            model.tensors.get(operand.tensor as usize).ok_or("an operand refers to a missing tensor")?;
        types(tensor, need)?;
        if reach(&operation, op, slot, tensor)? >= tensor.elements {
            return Err("an operand reaches beyond its tensor");
        }
        let is_output = slot == 0;
        if tensor.space() != Some(TensorSpace::Weights) {
            if tensor.program != program {
                return Err("accesses a tensor of another program");
            }
            if tensor.space() == Some(TensorSpace::Scratch) {
                lifetime(model, program, at, operand, tensor, is_output)?;
            }
        }
        // Output and inputs must not share bytes: lifetimes ensure it in scratch, and the plan in a bank's copy.
        if !is_output && operand.tensor == op.operands[0].tensor {
            return Err("reads the tensor that it writes");
        }
    }
    Ok(())
}

/// Checks that no two indices of an operation write the same element, so that tiles may run at the same time: in
/// ascending order, each stride must exceed the span of all smaller ones.
fn writes_apart(operation: &Operation, op: &OpRecord) -> Result<(), Refusal> {
    let strides = &op.operands[0].strides;
    let mut spanned = 0u64;
    let mut previous = None;
    // Selection in order of stride, without a table: each pass takes the smallest remaining stride.
    for _ in 0..DIMS {
        let left = (0..DIMS)
            .filter(|&dim| operation.writes(dim) && op.dims[dim] > 1 && previous < Some((strides[dim], dim)));
        let Some(dim) = left.min_by_key(|&dim| (strides[dim], dim)) else { break };
        if u64::from(strides[dim]) <= spanned {
            return Err("writes an element twice");
        }
        spanned += u64::from(strides[dim]) * u64::from(op.dims[dim] - 1);
        previous = Some((strides[dim], dim));
    }
    Ok(())
}

fn types(tensor: &TensorRecord, need: Need) -> Result<(), Refusal> {
    let is_weights = tensor.space() == Some(TensorSpace::Weights);
    let is_panels = tensor.layout() == Some(TensorLayout::Panels);
    let dtype = tensor.dtype();
    match need {
        Need::Output | Need::AnyOutput if is_weights => Err("writes into the weights"),
        Need::Output | Need::F32 if dtype != Some(Dtype::F32) || is_panels => {
            Err("an operand is not strided f32")
        }
        Need::F32OrPanels if dtype != Some(Dtype::F32) && !is_panels => {
            Err("an operand is neither strided f32 nor panels")
        }
        Need::AnyOutput | Need::Any | Need::AnyOrMissing
            if matches!(dtype, Some(Dtype::I32 | Dtype::Bf16)) || is_panels =>
        {
            Err("an operand is not strided f32, f16 or i8")
        }
        Need::Index if dtype != Some(Dtype::I32) || !is_weights => {
            Err("an index table is not i32 in the weights")
        }
        Need::Panels | Need::PanelsOf(_) if !is_panels => Err("weights are not in panels"),
        Need::PanelsOf(of) if dtype != Some(of) => {
            Err("the weights of an int8 or bf16 product have another type")
        }
        Need::Panels | Need::F32OrPanels if dtype == Some(Dtype::Bf16) => {
            Err("bf16 weights of a product that does not compute in bf16")
        }
        _ => Ok(()),
    }
}

/// Returns the largest element index that an operand can reach.
fn reach(operation: &Operation, op: &OpRecord, slot: usize, tensor: &TensorRecord) -> Result<u64, Refusal> {
    if let Some(reach) = panel_reach(op, slot, operation, tensor)? {
        return Ok(reach);
    }
    let access = operation.access(op, slot)?;
    let operand = &op.operands[slot];
    let strided = access
        .extents
        .iter()
        .zip(&operand.strides)
        .try_fold(u64::from(operand.offset), |reach, (&extent, &stride)| {
            reach.checked_add(u64::from(extent - 1) * u64::from(stride))
        });
    strided.and_then(|reach| reach.checked_add(access.beyond)).ok_or("the reach of an operand overflows")
}

/// Checks this access against the stated lifetime of the tensor.
fn lifetime(
    model: &Model<'_>,
    program: u32,
    at: u32,
    operand: &OperandRecord,
    tensor: &TensorRecord,
    is_written: bool,
) -> Result<(), Refusal> {
    if at < tensor.first_op || at > tensor.last_op {
        return Err("accesses a tensor outside its stated lifetime");
    }
    if is_written || tensor.flags == TENSOR_IS_INPUT {
        return Ok(());
    }
    let ops = model.program_ops(&model.programs[program as usize]);
    if at == tensor.first_op || ops[tensor.first_op as usize].operands[0].tensor != operand.tensor {
        return Err("reads a tensor before it is written");
    }
    Ok(())
}
