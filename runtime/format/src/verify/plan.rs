//! Checks the memory plan: no two tensors that are live together share a byte, and every index is within its axis.

use crate::{Model, ModelError, Operation, TensorRecord, TensorSpace};

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

pub(super) fn index_tables(model: &Model<'_>) -> Result<(), ModelError> {
    for (index, op) in (0u32..).zip(model.ops) {
        let wrong = |problem| ModelError::Record { table: "operation", index, problem };
        let Some(limit) = Operation::decode(op).map_err(wrong)?.index_limit() else { continue };
        let table = &model.tensors[op.operands[2].tensor as usize];
        let content = &model.weights[table.offset as usize..][..table.bytes() as usize];
        let is_within = |value: &i32| (0..i64::from(limit)).contains(&i64::from(*value));
        if !bytemuck::cast_slice::<u8, i32>(content).iter().all(is_within) {
            return Err(wrong("an index is outside its axis"));
        }
    }
    Ok(())
}
