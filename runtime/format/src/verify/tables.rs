//! Checks the records other than operations: names, tensors, programs with their ports and slots, golden values,
//! conventions.

use super::operation;
use crate::{
    DIMS, Dtype, ELEMENTS_MAX, GoldenRole, INPUT_SIZE_MIN, MASK_CANDIDATES_MAX, MEAN_MAX, Model, ModelError,
    Operation, POINT_SLOTS_MAX, PORTS_MAX, PROGRAM_WORK_MAX, PortRecord, ProgramRecord, SELF_TEST_WORK_MAX,
    SLOTS_MAX, STD_RANGE, SlotRecord, TENSOR_ALIGN, TENSOR_IS_INPUT, TensorLayout, TensorRecord, TensorSpace,
};
use bytemuck::Zeroable;

pub(super) fn names(model: &Model<'_>) -> Result<(), ModelError> {
    let banks = model.header.banks().iter().map(|bank| ("bank", bank.name));
    let programs = model.programs.iter().map(|p| ("program", p.name));
    let ports = model.ports.iter().map(|p| ("port", p.name));
    let ops = model.ops.iter().map(|o| ("operation", o.name));
    let tensors = model.tensors.iter().map(|t| ("tensor", t.name));
    let mut previous = ("", 0);
    for (table, name) in banks.chain(programs).chain(ports).chain(ops).chain(tensors) {
        previous = if previous.0 == table { (table, previous.1 + 1) } else { (table, 0) };
        let from = name.offset as usize;
        if from.checked_add(name.bytes as usize).is_none_or(|to| model.names.get(from..to).is_none()) {
            let problem = "its name lies outside the names section";
            return Err(ModelError::Record { table, index: previous.1, problem });
        }
    }
    Ok(())
}

pub(super) fn tensors(model: &Model<'_>) -> Result<(), ModelError> {
    for (index, tensor) in (0u32..).zip(model.tensors) {
        check_tensor(model, tensor).map_err(|problem| ModelError::Record {
            table: "tensor",
            index,
            problem,
        })?;
    }
    Ok(())
}

/// Checks a tensor on its own: known codes, aligned, inside its space, lifetime inside its program.
fn check_tensor(model: &Model<'_>, tensor: &TensorRecord) -> Result<(), &'static str> {
    let space = tensor.space().ok_or("unknown space")?;
    let dtype = tensor.dtype().ok_or("unknown element type")?;
    let layout = tensor.layout().ok_or("unknown layout")?;
    if tensor.elements == 0 || tensor.elements > ELEMENTS_MAX {
        return Err("has no element, or more than allowed");
    }
    if !tensor.offset.is_multiple_of(TENSOR_ALIGN) {
        return Err("does not start at a multiple of 64 bytes");
    }
    let program = model.programs.get(tensor.program as usize).ok_or("belongs to a missing program")?;
    let room = match space {
        TensorSpace::Scratch => model.header.scratch_bytes,
        TensorSpace::State => {
            let slot = program.slots().get(tensor.slot as usize).ok_or("its program has no such slot")?;
            model
                .header
                .banks()
                .get(slot.bank as usize)
                .ok_or("its slot refers to a missing bank")?
                .copy_bytes
        }
        TensorSpace::Weights => model.weights.len() as u64,
    };
    let end = tensor.offset.checked_add(tensor.bytes()).ok_or("its end overflows")?;
    if end > room {
        return Err("ends beyond its memory space");
    }
    if space != TensorSpace::Weights && (dtype == Dtype::I32 || layout != TensorLayout::Strided) {
        return Err("only weights can be panels or indices");
    }
    if layout == TensorLayout::Panels && dtype == Dtype::I32 {
        return Err("panels cannot hold i32");
    }
    if tensor.flags & !TENSOR_IS_INPUT != 0 {
        return Err("an unknown flag is set");
    }
    if space != TensorSpace::Scratch {
        let is_plain = tensor.flags | tensor.first_op | tensor.last_op == 0;
        return if is_plain { Ok(()) } else { Err("has flags or a lifetime outside scratch") };
    }
    if tensor.first_op > tensor.last_op || tensor.last_op >= program.op_count {
        return Err("its lifetime is not within its program");
    }
    if tensor.flags == TENSOR_IS_INPUT && tensor.first_op != 0 {
        return Err("an input is not live from the start");
    }
    Ok(())
}

pub(super) fn programs(model: &Model<'_>) -> Result<(), ModelError> {
    let (mut next_op, mut next_port) = (0u32, 0u32);
    for (index, program) in (0u32..).zip(model.programs) {
        let wrong = |problem| ModelError::Record { table: "program", index, problem };
        // Programs own consecutive ranges, so that each operation and port belongs to exactly one.
        if program.first_op != next_op || program.first_port != next_port {
            return Err(wrong("its operations or ports do not follow those of the previous program"));
        }
        if program.op_count == 0 || program.input_count > PORTS_MAX || program.output_count > PORTS_MAX {
            return Err(wrong("has no operation, or more ports than allowed"));
        }
        next_op = next_op.checked_add(program.op_count).ok_or(wrong("operation count overflows"))?;
        next_port += program.input_count + program.output_count;
        if next_op as usize > model.ops.len() || next_port as usize > model.ports.len() {
            return Err(wrong("its operations or ports end beyond their tables"));
        }
        slots(model, index, program).map_err(wrong)?;
        ports(model, index, program)?;
        for (at, op) in (0u32..).zip(model.program_ops(program)) {
            let record = program.first_op + at;
            operation::check(model, index, at, op).map_err(|problem| ModelError::Record {
                table: "operation",
                index: record,
                problem,
            })?;
        }
        let work = work(model, program);
        if work > PROGRAM_WORK_MAX {
            let what = "elementary operations of a program";
            return Err(ModelError::Limit { what, seen: work, limit: PROGRAM_WORK_MAX });
        }
    }
    if next_op as usize != model.ops.len() || next_port as usize != model.ports.len() {
        let problem = "operations or ports belong to no program";
        return Err(ModelError::Record { table: "program", index: 0, problem });
    }
    Ok(())
}

/// Returns the work of a checked program, in elementary operations.
fn work(model: &Model<'_>, program: &ProgramRecord) -> u64 {
    let ops = model.program_ops(program).iter();
    ops.filter_map(|op| Some(Operation::decode(op).ok()?.work(&op.dims))).fold(0, u64::saturating_add)
}

/// Checks that each slot names a bank, and that its `is_written` is right.
fn slots(model: &Model<'_>, index: u32, program: &ProgramRecord) -> Result<(), &'static str> {
    if program.slot_count as usize > SLOTS_MAX {
        return Err("has more slots than allowed");
    }
    let (used, unused) = program.slots.split_at(program.slot_count as usize);
    if unused.iter().any(|slot| *slot != SlotRecord::zeroed()) {
        return Err("an unused slot is not zero");
    }
    for (at, slot) in (0u32..).zip(used) {
        if slot.bank as usize >= model.header.banks().len() {
            return Err("a slot refers to a missing bank");
        }
        let from = slot.name.offset as usize;
        if from.checked_add(slot.name.bytes as usize).is_none_or(|to| model.names.get(from..to).is_none()) {
            return Err("the name of a slot lies outside the names section");
        }
        let is_in_slot = |tensor: &TensorRecord| {
            tensor.space() == Some(TensorSpace::State) && (tensor.program, tensor.slot) == (index, at)
        };
        let is_written = model
            .program_ops(program)
            .iter()
            .any(|op| model.tensors.get(op.operands[0].tensor as usize).is_some_and(is_in_slot));
        if slot.is_written != u32::from(is_written) {
            return Err("is_written of a slot is wrong");
        }
    }
    Ok(())
}

fn ports(model: &Model<'_>, index: u32, program: &ProgramRecord) -> Result<(), ModelError> {
    let (inputs, outputs) = (model.inputs(program), model.outputs(program));
    for (offset, port) in (0u32..).zip(inputs.iter().chain(outputs)) {
        check_port(model, index, program, port, offset < program.input_count).map_err(|problem| {
            ModelError::Record { table: "port", index: program.first_port + offset, problem }
        })?;
    }
    // An input tensor that no port fills would be read uninitialised.
    let flagged = model.tensors.iter().filter(|t| t.flags == TENSOR_IS_INPUT && t.program == index).count();
    let filled = inputs.iter().filter(|port| model.tensor_of(port).flags == TENSOR_IS_INPUT).count();
    let twice = inputs.iter().enumerate().any(|(i, a)| inputs[..i].iter().any(|b| a.tensor == b.tensor));
    if flagged != filled || twice {
        let problem = "an input tensor is not filled by exactly one port";
        return Err(ModelError::Record { table: "program", index, problem });
    }
    Ok(())
}

fn check_port(
    model: &Model<'_>,
    index: u32,
    program: &ProgramRecord,
    port: &PortRecord,
    is_input: bool,
) -> Result<(), &'static str> {
    let tensor = model.tensors.get(port.tensor as usize).ok_or("refers to a missing tensor")?;
    if port.rank as usize > DIMS {
        return Err("has more dimensions than allowed");
    }
    let (used, unused) = port.shape.split_at(port.rank as usize);
    if unused.iter().any(|&extent| extent != 0) {
        return Err("unused dimensions are not zero");
    }
    if crate::op::product(used) != tensor.elements {
        return Err("its number of elements differs from its tensor's");
    }
    if tensor.dtype() != Some(Dtype::F32) {
        return Err("its tensor is not f32");
    }
    match tensor.space() {
        Some(TensorSpace::Weights) | None => Err("lies in the weights"),
        Some(_) if tensor.program != index => Err("its tensor belongs to another program"),
        Some(TensorSpace::Scratch) if is_input && tensor.flags != TENSOR_IS_INPUT => {
            Err("its tensor is not an input")
        }
        Some(TensorSpace::Scratch) if !is_input && tensor.last_op != program.op_count - 1 => {
            Err("its tensor is not live to the end")
        }
        Some(_) => Ok(()),
    }
}

pub(super) fn golden(model: &Model<'_>) -> Result<(), ModelError> {
    let mut self_test_work = 0u64;
    for (index, record) in (0u32..).zip(model.golden) {
        let wrong = |problem| ModelError::Record { table: "golden tensor", index, problem };
        let program =
            model.programs.get(record.program as usize).ok_or(wrong("refers to a missing program"))?;
        let ports = program.input_count + program.output_count;
        if record.port >= ports {
            return Err(wrong("refers to a missing port"));
        }
        let is_input = record.port < program.input_count;
        let role = if is_input { GoldenRole::Input } else { GoldenRole::Output };
        if record.role != role as u32 {
            return Err(wrong("its role does not match its port"));
        }
        let port = &model.ports[(program.first_port + record.port) as usize];
        if record.elements != model.tensor_of(port).elements {
            return Err(wrong("its number of elements differs from its port's"));
        }
        let end = (record.offset / 2).checked_add(record.elements);
        if record.offset % 2 != 0 || end.is_none_or(|end| end > model.golden_data.len() as u64) {
            return Err(wrong("lies outside the golden data"));
        }
        // The records of a case are consecutive: the self-test reads them once, in order.
        let before = (index as usize).checked_sub(1).map(|at| &model.golden[at]);
        let before = before.map(|before| (before.program, before.case, before.port));
        if before.is_some_and(|before| (record.program, record.case, record.port) <= before) {
            return Err(wrong("is not in the order of programs, cases and ports, or there twice"));
        }
        if before.is_none_or(|(program, case, _)| (program, case) != (record.program, record.case)) {
            self_test_work = self_test_work.saturating_add(work(model, program));
        }
        if self_test_work > SELF_TEST_WORK_MAX {
            let what = "elementary operations of the self-test";
            return Err(ModelError::Limit { what, seen: self_test_work, limit: SELF_TEST_WORK_MAX });
        }
    }
    Ok(())
}

pub(super) fn conventions(model: &Model<'_>) -> Result<(), ModelError> {
    let c = model.conventions;
    let wrong = |problem| ModelError::Record { table: "conventions", index: 0, problem };
    if (c.input_size, c.mask_size) != (model.header.input_size, model.header.mask_size) {
        return Err(wrong("sizes differ from the header's"));
    }
    let counts = c.point_slots <= POINT_SLOTS_MAX && c.mask_candidates <= MASK_CANDIDATES_MAX;
    if !counts {
        return Err(wrong("has more than 1024 point slots or 64 candidate masks"));
    }
    if c.mean.is_nan() || c.mean.abs() > MEAN_MAX {
        return Err(wrong("the mean of grey levels, which are within 0..1, is not within -1000..1000"));
    }
    let is_for_sessions = c.input_size != 0;
    if !is_for_sessions {
        let is_plain = c.std.is_finite() && c.mask_size == 0;
        return if is_plain {
            Ok(())
        } else {
            Err(wrong("has a mask size or a standard deviation without an input size"))
        };
    }
    if c.input_size < INPUT_SIZE_MIN || c.mask_size < INPUT_SIZE_MIN {
        return Err(wrong("the input or the mask is smaller than 8 x 8"));
    }
    if !(STD_RANGE[0]..=STD_RANGE[1]).contains(&c.std) {
        return Err(wrong("the standard deviation of grey levels is not within 1e-6..1e6"));
    }
    Ok(())
}
