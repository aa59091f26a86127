//! The proof that a model can be run: every record's fields, every element that an operation can touch, and the plan.
//!
//! Independent of the planner that placed the tensors: this reads the finished file and believes none of it. Without
//! an allocator it cannot build tables, so the file states over which operations each tensor is live; every access is
//! held to that statement, and then stated lifetimes and places are compared pair by pair.

use super::format::{
    DIMS, Dtype, ELEMENTS_MAX, GoldenRole, Layout, NO_TENSOR, OPS_MAX, OpKind, OpRecord, OperandRecord,
    PORTS_MAX, PROGRAMS_MAX, PortRecord, ProgramRecord, SCALE_ROWS, Space, TENSOR_ALIGN, TENSOR_IS_INPUT,
    TENSORS_MAX, TensorRecord, conv, grid, map, norm, reduce,
};
use super::{Model, ModelError};
use crate::kernels;

pub(super) fn verify(model: &Model<'_>) -> Result<(), ModelError> {
    limit("programs", model.programs.len(), PROGRAMS_MAX)?;
    limit("ports", model.ports.len(), PORTS_MAX * PROGRAMS_MAX)?;
    limit("operations", model.ops.len(), OPS_MAX)?;
    limit("tensors", model.tensors.len(), TENSORS_MAX)?;
    names(model)?;
    for (index, tensor) in (0u32..).zip(model.tensors) {
        tensor_record(model, tensor).map_err(|problem| ModelError::Record {
            table: "tensor",
            index,
            problem,
        })?;
    }
    let (mut next_op, mut next_port) = (0u32, 0u32);
    for (index, program) in (0u32..).zip(model.programs) {
        let wrong = |problem| ModelError::Record { table: "program", index, problem };
        // Programs own consecutive ranges, so that each operation and port belongs to exactly one.
        if program.first_op != next_op || program.first_port != next_port || program.reserved != 0 {
            return Err(wrong("its operations or ports do not follow those of the program before"));
        }
        if program.op_count == 0 || program.input_count > PORTS_MAX || program.output_count > PORTS_MAX {
            return Err(wrong("has no operation, or more ports than allowed"));
        }
        next_op = next_op.checked_add(program.op_count).ok_or(wrong("operation count overflows"))?;
        next_port += program.input_count + program.output_count;
        if next_op as usize > model.ops.len() || next_port as usize > model.ports.len() {
            return Err(wrong("its operations or ports end behind their tables"));
        }
        ports(model, index, program)?;
        for (at, op) in (0u32..).zip(model.program_ops(program)) {
            operation(model, index, at, op).map_err(|problem| ModelError::Record {
                table: "operation",
                index: program.first_op + at,
                problem,
            })?;
        }
    }
    if next_op as usize != model.ops.len() || next_port as usize != model.ports.len() {
        return Err(ModelError::Record {
            table: "program",
            index: 0,
            problem: "operations or ports belong to no program",
        });
    }
    places(model)?;
    golden(model)?;
    conventions(model)
}

fn limit(what: &'static str, seen: usize, limit: u32) -> Result<(), ModelError> {
    if seen > limit as usize {
        return Err(ModelError::Limit { what, seen: seen as u64, limit: limit.into() });
    }
    Ok(())
}

fn names(model: &Model<'_>) -> Result<(), ModelError> {
    let programs = model.programs.iter().map(|p| ("program", p.name));
    let ports = model.ports.iter().map(|p| ("port", p.name));
    let ops = model.ops.iter().map(|o| ("operation", o.name));
    let tensors = model.tensors.iter().map(|t| ("tensor", t.name));
    let mut previous = ("", 0);
    for (table, name) in programs.chain(ports).chain(ops).chain(tensors) {
        previous = if previous.0 == table { (table, previous.1 + 1) } else { (table, 0) };
        let from = name.offset as usize;
        if from.checked_add(name.bytes as usize).is_none_or(|to| model.names.get(from..to).is_none()) {
            return Err(ModelError::Record {
                table,
                index: previous.1,
                problem: "its name lies outside the names",
            });
        }
    }
    Ok(())
}

/// A tensor on its own: known codes, aligned, inside its space, lifetime inside its program.
fn tensor_record(model: &Model<'_>, tensor: &TensorRecord) -> Result<(), &'static str> {
    let space = space_of(tensor).ok_or("unknown space")?;
    let dtype = dtype_of(tensor).ok_or("unknown element type")?;
    let layout = layout_of(tensor).ok_or("unknown layout")?;
    if tensor.elements == 0 || tensor.elements > ELEMENTS_MAX {
        return Err("has no element, or more than allowed");
    }
    if !tensor.offset.is_multiple_of(TENSOR_ALIGN) {
        return Err("does not start at a multiple of 64 bytes");
    }
    let end = tensor.offset.checked_add(tensor.elements * dtype.bytes()).ok_or("its end overflows")?;
    let room = match space {
        Space::Scratch => model.header.scratch_bytes,
        Space::FrameState => model.header.frame_state_bytes,
        Space::SessionState => model.header.session_state_bytes,
        Space::Weights => model.weights.len() as u64,
    };
    if end > room {
        return Err("ends behind its space");
    }
    if space != Space::Weights && (dtype != Dtype::F32 || layout != Layout::Strided) {
        return Err("only weights can be other than plain f32");
    }
    if layout == Layout::Panel16 && dtype == Dtype::I32 {
        return Err("panels hold floats or bytes");
    }
    if layout == Layout::Strided && dtype == Dtype::I8 {
        return Err("8-bit weights are not in panels");
    }
    if tensor.reserved != 0 || tensor.flags & !TENSOR_IS_INPUT != 0 {
        return Err("reserved fields are not zero");
    }
    if space != Space::Scratch {
        return if tensor.flags | tensor.program | tensor.first_op | tensor.last_op == 0 {
            Ok(())
        } else {
            Err("only scratch has a lifetime")
        };
    }
    let program = model.programs.get(tensor.program as usize).ok_or("belongs to no program")?;
    if tensor.first_op > tensor.last_op || tensor.last_op >= program.op_count {
        return Err("its lifetime is not within its program");
    }
    if tensor.flags == TENSOR_IS_INPUT {
        return if tensor.first_op == 0 { Ok(()) } else { Err("an input is live from the start") };
    }
    Ok(())
}

fn ports(model: &Model<'_>, index: u32, program: &ProgramRecord) -> Result<(), ModelError> {
    let (inputs, outputs) = (model.inputs(program), model.outputs(program));
    let check = |port: &PortRecord, input: bool| -> Result<(), &'static str> {
        let tensor = model.tensors.get(port.tensor as usize).ok_or("refers to no tensor")?;
        if port.rank as usize > DIMS {
            return Err("has more dimensions than allowed");
        }
        let (used, unused) = port.shape.split_at(port.rank as usize);
        if unused.iter().any(|&extent| extent != 0) {
            return Err("unused dimensions are not zero");
        }
        if product(used) != Some(tensor.elements) {
            return Err("its shape does not hold as many elements as its tensor");
        }
        match space_of(tensor) {
            Some(Space::Scratch) if tensor.program != index => Err("is scratch of another program"),
            Some(Space::Scratch) if input && tensor.flags != TENSOR_IS_INPUT => {
                Err("its tensor is not an input")
            }
            Some(Space::Scratch) if !input && tensor.last_op != program.op_count - 1 => {
                Err("its tensor is not live to the end")
            }
            Some(Space::Weights) | None => Err("lies in the weights"),
            Some(_) => Ok(()),
        }
    };
    for (offset, port) in (0u32..).zip(inputs.iter().chain(outputs)) {
        check(port, offset < program.input_count).map_err(|problem| ModelError::Record {
            table: "port",
            index: program.first_port + offset,
            problem,
        })?;
    }
    // An input tensor that no port fills would be read as garbage.
    let flagged = model.tensors.iter().filter(|t| t.flags == TENSOR_IS_INPUT && t.program == index).count();
    let filled = inputs.iter().filter(|p| model.tensors[p.tensor as usize].flags == TENSOR_IS_INPUT).count();
    let twice = inputs.iter().enumerate().any(|(i, a)| inputs[..i].iter().any(|b| a.tensor == b.tensor));
    if flagged != filled || twice {
        return Err(ModelError::Record {
            table: "program",
            index,
            problem: "its input tensors are not each filled by one port",
        });
    }
    Ok(())
}

fn space_of(tensor: &TensorRecord) -> Option<Space> {
    [Space::Scratch, Space::FrameState, Space::SessionState, Space::Weights]
        .into_iter()
        .find(|&space| space as u32 == tensor.space)
}

fn dtype_of(tensor: &TensorRecord) -> Option<Dtype> {
    [Dtype::F32, Dtype::F16, Dtype::I32, Dtype::I8].into_iter().find(|&dtype| dtype as u32 == tensor.dtype)
}

fn layout_of(tensor: &TensorRecord) -> Option<Layout> {
    [Layout::Strided, Layout::Panel16].into_iter().find(|&layout| layout as u32 == tensor.layout)
}

fn product(extents: &[u32]) -> Option<u64> {
    extents
        .iter()
        .try_fold(1u64, |product, &extent| product.checked_mul(extent.into()).filter(|&p| p <= ELEMENTS_MAX))
}

/// Whether an operand may be missing, and which types it may have.
#[derive(Clone, Copy, PartialEq)]
enum Need {
    /// The output: written, f32, not in the weights.
    Output,
    /// f32, or f16 in the weights.
    Float,
    /// f32 only.
    Plain,
    /// May be missing; else as `Float`.
    Optional,
    /// Index table in the weights.
    Index,
    /// Packed panels in the weights.
    Panel,
    /// Not used.
    None,
}

/// An operation on its own and in its program. `at` counts from the program's first.
fn operation(model: &Model<'_>, program: u32, at: u32, op: &OpRecord) -> Result<(), &'static str> {
    let kind = kernels::kind_of(op).ok_or("unknown kind")?;
    if op.dims.contains(&0) {
        return Err("a dimension is 0");
    }
    let rows = product(&op.dims).ok_or("iterates over more elements than allowed")?;
    if op.tiles == 0 || u64::from(op.tiles) > rows {
        return Err("tiles are not between 1 and the number of elements");
    }
    if op.kept_dims as usize > DIMS {
        return Err("keeps more dimensions than there are");
    }
    if op.floats.iter().any(|value| !value.is_finite()) {
        return Err("a parameter is not finite");
    }
    let needs = parameters(model, kind, op)?;
    writes_apart(kind, op)?;
    for (slot, (operand, need)) in op.operands.iter().zip(needs).enumerate() {
        if operand.tensor == NO_TENSOR {
            match need {
                Need::Optional | Need::None => continue,
                _ => return Err("an operand is missing"),
            }
        }
        if need == Need::None {
            return Err("has an operand too many");
        }
        let tensor = model.tensors.get(operand.tensor as usize).ok_or("an operand refers to no tensor")?;
        types(tensor, need)?;
        let reach = reach(kind, op, slot, tensor)?;
        if reach >= tensor.elements {
            return Err("an operand reaches behind its tensor");
        }
        if space_of(tensor) == Some(Space::Scratch) {
            lifetime(model, program, at, operand, tensor, need == Need::Output)?;
        }
        // Output and inputs may not share bytes; within scratch the lifetimes show it, in a state only this does.
        if need != Need::Output && operand.tensor == op.operands[0].tensor {
            return Err("reads the tensor that it writes");
        }
    }
    Ok(())
}

/// No two indices of an operation write the same element, so that tiles may run at the same time: taken from the
/// smallest stride up, each stride reaches beyond everything that the smaller ones span.
fn writes_apart(kind: OpKind, op: &OpRecord) -> Result<(), &'static str> {
    let is_written = |dim: usize| match kind {
        // Sums over dim 7 are not written apart.
        OpKind::MatMul | OpKind::Conv => dim != 7,
        OpKind::Reduce => dim < op.kept_dims as usize,
        _ => true,
    };
    let strides = &op.operands[0].strides;
    let mut spanned = 0u64;
    let mut previous = None;
    // Selection in order of stride, without a table: each turn takes the smallest not yet taken.
    for _ in 0..DIMS {
        let left = (0..DIMS)
            .filter(|&dim| is_written(dim) && op.dims[dim] > 1 && previous < Some((strides[dim], dim)));
        let Some(dim) = left.min_by_key(|&dim| (strides[dim], dim)) else { break };
        if u64::from(strides[dim]) <= spanned {
            return Err("writes an element twice");
        }
        spanned += u64::from(strides[dim]) * u64::from(op.dims[dim] - 1);
        previous = Some((strides[dim], dim));
    }
    Ok(())
}

fn types(tensor: &TensorRecord, need: Need) -> Result<(), &'static str> {
    let (space, dtype, layout) = (space_of(tensor), dtype_of(tensor), layout_of(tensor));
    let strided = layout == Some(Layout::Strided);
    match need {
        Need::Output if space == Some(Space::Weights) => Err("writes into the weights"),
        Need::Output | Need::Plain if dtype != Some(Dtype::F32) || !strided => {
            Err("an operand is not plain f32")
        }
        Need::Float | Need::Optional if dtype == Some(Dtype::I32) || !strided => {
            Err("an operand is not plain floats")
        }
        Need::Index if dtype != Some(Dtype::I32) || space != Some(Space::Weights) => {
            Err("an index table is not i32 in the weights")
        }
        Need::Panel if layout != Some(Layout::Panel16) => Err("weights are not in panels"),
        _ => Ok(()),
    }
}

/// The plan's statement about when a tensor is live holds for this access.
fn lifetime(
    model: &Model<'_>,
    program: u32,
    at: u32,
    operand: &OperandRecord,
    tensor: &TensorRecord,
    is_written: bool,
) -> Result<(), &'static str> {
    if tensor.program != program {
        return Err("touches scratch of another program");
    }
    if at < tensor.first_op || at > tensor.last_op {
        return Err("touches a tensor outside its stated lifetime");
    }
    if is_written || tensor.flags == TENSOR_IS_INPUT {
        return Ok(());
    }
    let ops = model.program_ops(&model.programs[program as usize]);
    if at == tensor.first_op || ops[tensor.first_op as usize].operands[0].tensor != operand.tensor {
        return Err("reads a tensor before anything wrote it");
    }
    Ok(())
}

/// Checks parameters and says what each operand must be.
fn parameters(model: &Model<'_>, kind: OpKind, op: &OpRecord) -> Result<[Need; 5], &'static str> {
    use Need::{Float, Index, None, Optional, Output, Panel, Plain};
    let needs = match kind {
        OpKind::Map => match map::inputs(op.function) {
            1 => [Output, Float, None, None, None],
            2 => [Output, Float, Float, None, None],
            3 => [Output, Float, Float, Float, None],
            _ => return Err("unknown function"),
        },
        OpKind::Reduce => {
            if !(reduce::SUM..=reduce::ARG_MAX).contains(&op.function) {
                return Err("unknown function");
            }
            [Output, Plain, None, None, None]
        }
        OpKind::Normalize => {
            if op.function != norm::MEAN_VARIANCE && op.function != norm::RMS {
                return Err("unknown function");
            }
            if op.floats[0] < 0.0 {
                return Err("epsilon is negative");
            }
            [Output, Plain, Optional, Optional, None]
        }
        OpKind::Softmax => [Output, Plain, None, None, None],
        OpKind::MatMul => {
            let weights =
                model.tensors.get(op.operands[2].tensor as usize).ok_or("an operand refers to no tensor")?;
            let is_panel = layout_of(weights) == Some(Layout::Panel16);
            if is_panel && op.dims[..5].iter().zip(&op.operands[2].strides).any(|(_, &stride)| stride != 0) {
                return Err("packed weights have no batch");
            }
            [Output, Plain, if is_panel { Panel } else { Plain }, Optional, None]
        }
        OpKind::Conv => [Output, Plain, Panel, Optional, None],
        OpKind::DepthwiseConv => [Output, Plain, Float, Optional, None],
        OpKind::Pool => {
            if ![reduce::SUM, reduce::MEAN, reduce::MAX].contains(&op.function) {
                return Err("unknown function");
            }
            [Output, Plain, None, None, None]
        }
        OpKind::Gather => [Output, Float, Index, None, None],
        OpKind::Resample => [Output, Plain, Index, Plain, None],
        OpKind::GridSample => {
            if ![grid::BORDER, grid::ZEROS].contains(&op.function) {
                return Err("unknown function");
            }
            [Output, Plain, Plain, None, None]
        }
    };
    if matches!(kind, OpKind::MatMul | OpKind::Conv | OpKind::DepthwiseConv)
        && !map::is_activation(op.function)
    {
        return Err("unknown activation");
    }
    if matches!(kind, OpKind::Conv | OpKind::DepthwiseConv | OpKind::Pool) {
        convolution(op)?;
    }
    if matches!(kind, OpKind::Conv | OpKind::DepthwiseConv | OpKind::Pool | OpKind::GridSample) {
        image_extents(op)?;
    }
    if matches!(kind, OpKind::MatMul | OpKind::Conv) {
        if kernels::gemm_tile_count(op) != Some(op.tiles) {
            return Err("tiles do not follow from the tile sizes");
        }
        if kernels::thread_scratch_elements(op).saturating_mul(4) > model.header.thread_scratch_bytes {
            return Err("needs more thread scratch than the header states");
        }
    } else if u64::from(op.tiles) > kernels::outer_rows(op) {
        return Err("more tiles than outermost rows");
    }
    Ok(needs)
}

/// Kernel, stride, dilation and padding are small enough that no position overflows.
fn convolution(op: &OpRecord) -> Result<(), &'static str> {
    let p = &op.params;
    let small =
        [conv::KERNEL_H, conv::KERNEL_W, conv::STRIDE_Y, conv::STRIDE_X, conv::DILATION_Y, conv::DILATION_X];
    if small.iter().any(|&at| p[at] == 0 || p[at] > 4096) {
        return Err("kernel, stride or dilation is not within 1..=4096");
    }
    if [conv::PAD_TOP, conv::PAD_LEFT].iter().any(|&at| (p[at] as i32).unsigned_abs() > 1 << 20) {
        return Err("padding is not within -1048576..=1048576");
    }
    Ok(())
}

/// An image and what is made of it are small enough that no position overflows.
fn image_extents(op: &OpRecord) -> Result<(), &'static str> {
    if [conv::IN_H, conv::IN_W].iter().any(|&at| op.params[at] == 0 || op.params[at] > 1 << 20) {
        return Err("input rows or columns are not within 1..=1048576");
    }
    if op.dims[1..4] != [1; 3] || (op.kind == OpKind::GridSample as u32 && op.dims[6] != 1) {
        return Err("a dimension that has no meaning is not 1");
    }
    if op.dims[4] > 1 << 20 || op.dims[5] > 1 << 20 {
        return Err("output rows or columns are more than 1048576");
    }
    Ok(())
}

/// The largest element index that an operand can reach.
fn reach(kind: OpKind, op: &OpRecord, slot: usize, tensor: &TensorRecord) -> Result<u64, &'static str> {
    const OVERFLOW: &str = "an operand's extent overflows";
    let operand = &op.operands[slot];
    let (dims, p) = (&op.dims, &op.params);
    // The extent of each stride, where it is not the dimension's own.
    let mut extents = *dims;
    let is_image = matches!(kind, OpKind::Conv | OpKind::DepthwiseConv | OpKind::Pool | OpKind::GridSample);
    if is_image && slot == 1 {
        (extents[4], extents[5]) = (p[conv::IN_H], p[conv::IN_W]);
    }
    if kind == OpKind::DepthwiseConv && slot == 2 {
        (extents[4], extents[5]) = (p[conv::KERNEL_H], p[conv::KERNEL_W]);
    }
    if layout_of(tensor) == Some(Layout::Panel16) {
        let (n, k) = match kind {
            OpKind::MatMul => (dims[6], Some(u64::from(dims[7]))),
            _ => (dims[6], product(&[dims[7], p[conv::KERNEL_H], p[conv::KERNEL_W]])),
        };
        let panels = u64::from(n).div_ceil(super::format::PANEL as u64);
        let scale_rows = if dtype_of(tensor) == Some(Dtype::I8) { SCALE_ROWS as u64 } else { 0 };
        let elements = k
            .and_then(|k| k.checked_add(scale_rows)?.checked_mul(panels * super::format::PANEL as u64))
            .ok_or(OVERFLOW)?;
        return if operand.offset == 0 { Ok(elements - 1) } else { Err("packed weights have an offset") };
    }
    let mut reach = u64::from(operand.offset);
    for (&extent, &stride) in extents.iter().zip(&operand.strides) {
        reach = reach.checked_add(u64::from(extent - 1) * u64::from(stride)).ok_or(OVERFLOW)?;
    }
    match (kind, slot) {
        (OpKind::Gather, 1) => {
            let (stride, length) = (p[0], p[1]);
            if length == 0 {
                return Err("gathers from an axis of length 0");
            }
            reach = reach.checked_add(u64::from(length - 1) * u64::from(stride)).ok_or(OVERFLOW)?;
        }
        (OpKind::Resample, 1) => {
            let (axis, length, stride) = (p[0] as usize, p[2], p[3]);
            if axis >= DIMS || p[1] == 0 || p[1] > 16 || length == 0 {
                return Err("axis, taps or length has no meaning");
            }
            if operand.strides[axis] != 0 {
                return Err("the resampled dimension has a stride of its own");
            }
            reach = reach.checked_add(u64::from(length - 1) * u64::from(stride)).ok_or(OVERFLOW)?;
        }
        (OpKind::GridSample, 2) => {
            reach = reach.checked_add(u64::from(p[grid::Y_STRIDE])).ok_or(OVERFLOW)?;
        }
        (OpKind::Resample, 2 | 3) => {
            let table = u64::from(dims[(p[0] as usize).min(DIMS - 1)]) * u64::from(p[1]);
            if operand.offset != 0 || operand.strides != [0; DIMS] {
                return Err("a resampling table is not plain");
            }
            reach = table - 1;
        }
        _ => {}
    }
    Ok(reach)
}

/// No two tensors that are live together share a byte, and every index table stays within its axis.
fn places(model: &Model<'_>) -> Result<(), ModelError> {
    let bytes = |tensor: &TensorRecord| {
        let length = tensor.elements * dtype_of(tensor).map_or(4, Dtype::bytes);
        (tensor.offset, tensor.offset + length)
    };
    for (second, b) in (0u32..).zip(model.tensors) {
        if space_of(b) == Some(Space::Weights) {
            continue; // Read only: may be shared.
        }
        let (b_from, b_to) = bytes(b);
        for (first, a) in (0u32..second).zip(model.tensors) {
            if a.space != b.space || a.program != b.program {
                continue;
            }
            let together =
                space_of(a) != Some(Space::Scratch) || (a.first_op <= b.last_op && b.first_op <= a.last_op);
            let (a_from, a_to) = bytes(a);
            if together && a_from < b_to && b_from < a_to {
                return Err(ModelError::Overlap { program: a.program, first, second });
            }
        }
    }
    for (index, op) in (0u32..).zip(model.ops) {
        let length = match kernels::kind_of(op) {
            Some(OpKind::Gather) => op.params[1],
            Some(OpKind::Resample) => op.params[2],
            _ => continue,
        };
        let table = &model.tensors[op.operands[2].tensor as usize];
        let content = &model.weights[table.offset as usize..][..table.elements as usize * 4];
        let within = |value: &i32| (0..i64::from(length)).contains(&i64::from(*value));
        if !bytemuck::cast_slice::<u8, i32>(content).iter().all(within) {
            return Err(ModelError::Record {
                table: "operation",
                index,
                problem: "an index is outside its axis",
            });
        }
    }
    Ok(())
}

fn golden(model: &Model<'_>) -> Result<(), ModelError> {
    for (index, record) in (0u32..).zip(model.golden) {
        let wrong = |problem| ModelError::Record { table: "golden tensor", index, problem };
        let program = model.programs.get(record.program as usize).ok_or(wrong("refers to no program"))?;
        let ports = program.input_count + program.output_count;
        if record.port >= ports {
            return Err(wrong("refers to no port"));
        }
        let is_input = record.port < program.input_count;
        let role = if is_input { GoldenRole::Input } else { GoldenRole::Output };
        if record.role != role as u32 {
            return Err(wrong("its role is not its port's"));
        }
        let port = &model.ports[(program.first_port + record.port) as usize];
        if record.elements != model.tensors[port.tensor as usize].elements {
            return Err(wrong("does not hold as many elements as its port"));
        }
        let end = (record.offset / 2).checked_add(record.elements);
        if record.offset % 2 != 0 || end.is_none_or(|end| end > model.golden_data.len() as u64) {
            return Err(wrong("lies outside the golden data"));
        }
        // Cases are runs of records: the self-test goes through them once, in order.
        if let Some(before) = (index as usize).checked_sub(1).map(|at| &model.golden[at])
            && (record.program, record.case) < (before.program, before.case)
        {
            return Err(wrong("is not in the order of programs and cases"));
        }
    }
    Ok(())
}

fn conventions(model: &Model<'_>) -> Result<(), ModelError> {
    let c = model.conventions;
    if (c.input_size, c.mask_size) != (model.header.input_size, model.header.mask_size) {
        return Err(ModelError::Record {
            table: "conventions",
            index: 0,
            problem: "sizes differ from the header's",
        });
    }
    let numbers = c.mean.is_finite() && c.std.is_finite();
    let sizes = c.input_size <= 4096
        && c.mask_size <= c.input_size
        && c.point_slots <= 1024
        && c.mask_candidates <= 64;
    if !numbers || !sizes || (c.input_size != 0 && c.std <= 0.0) {
        return Err(ModelError::Record {
            table: "conventions",
            index: 0,
            problem: "a value is outside its limits",
        });
    }
    Ok(())
}
