//! Checks the memory plan: no two tensors that are live together share a byte, and every index is within its axis.

use crate::{INDEX_CHECKS_MAX, Model, ModelError, Operation, TENSOR_ALIGN, TensorRecord, TensorSpace};

pub(super) fn tensors_apart(model: &Model<'_>) -> Result<(), ModelError> {
    let end = |tensor: &TensorRecord| tensor.offset + tensor.bytes();
    for (second, b) in (0u32..).zip(model.tensors) {
        if b.space() == Some(TensorSpace::Weights) {
            continue; // Read-only: may be shared.
        }
        for (first, a) in (0u32..second).zip(model.tensors) {
            // `Executor::begin` checks that two slots do not name the same copy.
            if (a.space, a.program, a.slot) != (b.space, b.program, b.slot) {
                continue;
            }
            let is_scratch = a.space() == Some(TensorSpace::Scratch);
            let together = !is_scratch || (a.first_op <= b.last_op && b.first_op <= a.last_op);
            if together && a.offset < end(b) && b.offset < end(a) {
                return Err(ModelError::Overlap { program: a.program, first, second });
            }
        }
    }
    Ok(())
}

/// Checks that the header asks for no more memory than the tensors and operations need.
pub(super) fn memory(model: &Model<'_>) -> Result<(), ModelError> {
    let end_of = |is_of: &dyn Fn(&TensorRecord) -> bool| {
        let ends =
            model.tensors.iter().filter(|tensor| is_of(tensor)).map(|tensor| tensor.offset + tensor.bytes());
        ends.max().unwrap_or(0).next_multiple_of(TENSOR_ALIGN)
    };
    let limit =
        |what, seen, limit| if seen > limit { Err(ModelError::Limit { what, seen, limit }) } else { Ok(()) };
    let scratch = end_of(&|tensor| tensor.space() == Some(TensorSpace::Scratch));
    limit("scratch in bytes (end of the last tensor)", model.header.scratch_bytes, scratch)?;
    for (bank, record) in (0u32..).zip(model.header.banks()) {
        let is_of = |tensor: &TensorRecord| {
            let slots =
                model.programs.get(tensor.program as usize).map_or(&[][..], |program| program.slots());
            tensor.space() == Some(TensorSpace::State)
                && slots.get(tensor.slot as usize).is_some_and(|slot| slot.bank == bank)
        };
        limit("copy of a bank in bytes (end of its last tensor)", record.copy_bytes, end_of(&is_of))?;
    }
    let scratch_of = |op| Operation::decode(op).map_or(0, |operation| operation.scratch_bytes(&op.dims));
    let most = model.ops.iter().map(scratch_of).max().unwrap_or(0);
    let most = most.checked_next_multiple_of(TENSOR_ALIGN).unwrap_or(u64::MAX);
    limit("thread scratch in bytes (most of an operation)", model.header.thread_scratch_bytes, most)
}

pub(super) fn index_tables(model: &Model<'_>) -> Result<(), ModelError> {
    let mut checked = 0u64;
    for (index, op) in (0u32..).zip(model.ops) {
        let wrong = |problem| ModelError::Record { table: "operation", index, problem };
        let Some(limit) = Operation::decode(op).map_err(wrong)?.index_limit() else { continue };
        let table = &model.tensors[op.operands[2].tensor as usize];
        checked += table.elements;
        if checked > INDEX_CHECKS_MAX {
            let what = "entries of index tables, over all operations that read them,";
            return Err(ModelError::Limit { what, seen: checked, limit: INDEX_CHECKS_MAX });
        }
        let content = &model.weights[table.offset as usize..][..table.bytes() as usize];
        // The largest, because that is faster than to stop at the first; a negative index is very large without its sign.
        let indices = bytemuck::cast_slice::<u8, i32>(content).iter();
        if indices.fold(0, |most: u32, index| most.max(index.cast_unsigned())) >= limit {
            return Err(wrong("an index is outside its axis"));
        }
    }
    Ok(())
}
