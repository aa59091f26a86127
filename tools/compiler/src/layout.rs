//! Orders the axes of scratch tensors in memory, so that kernels find the elements that they handle together side by side:
//! the channels of an image, the values of a token.
//!
//! Tensors that element-wise operations walk with the same strides change together. For each such group, every axis along which
//! a kernel works is tried as the innermost one, and the best order stays if it costs less than the one before.

use crate::fuse::{merge, split_dims};
use crate::graph::{Constant, Home, Module, Op, Operand, Program};
use crate::panics;
use crate::view::{MapDim, TensorId, dense_strides, project};
use sonotrace::format::op::{Conv, Need, Reduce, Reduction};
use sonotrace::format::{DIMS, OpKind, Operation};
use std::collections::{BTreeMap, BTreeSet};

/// Cost of an element whose neighbour lies elsewhere; adjacent elements cost 1.
const STRIDED_COST: usize = 4;

/// Extent of an axis in each tensor that has it.
type Axis = BTreeMap<TensorId, usize>;

/// Chooses orders for all scratch tensors of the program with this index that are no ports.
pub fn arrange(module: &mut Module, index: usize, program: &mut Program) {
    let groups = groups(module, program);
    let mut is_improved = true;
    while is_improved {
        is_improved = false;
        for group in &groups {
            while let Some(changes) = best(module, program, group) {
                for (at, op) in changes {
                    program.ops[at] = op;
                }
                is_improved = true;
            }
        }
    }
    for (at, op) in program.ops.iter_mut().enumerate() {
        panics::at(at);
        arrange_constants(module, index, op);
    }
}

/// Groups of tensors that element-wise operations walk with the same strides.
fn groups(module: &Module, program: &Program) -> Vec<Vec<TensorId>> {
    let is_free = |tensor: TensorId| {
        matches!(module.tensors[tensor].home, Home::Scratch { input: false, .. })
            && program.outputs.iter().all(|port| port.tensor != tensor)
    };
    let touched = program.ops.iter().flat_map(|op| op.operands.iter().flatten());
    let free: BTreeSet<TensorId> =
        touched.map(|operand| operand.tensor).filter(|&tensor| is_free(tensor)).collect();
    let mut groups: Vec<Vec<TensorId>> = free.iter().map(|&tensor| vec![tensor]).collect();
    for op in program.ops.iter().filter(|op| op.function().is_some()) {
        let Some(output) = op.output() else { continue };
        for input in op.inputs() {
            let is_same = input.strides == output.strides;
            let place = |tensor: TensorId| groups.iter().position(|group| group.contains(&tensor));
            if let (true, Some(a), Some(b)) = (is_same, place(input.tensor), place(output.tensor))
                && a != b
            {
                let joined = groups[b].clone();
                groups[a].extend(joined);
                groups.swap_remove(b);
            }
        }
    }
    groups
}

/// The changed operations with the best order of a group's tensors, if it is better than the present one.
fn best(module: &Module, program: &Program, group: &[TensorId]) -> Option<Vec<(usize, Op)>> {
    let touches = |op: &Op| op.operands.iter().flatten().any(|operand| group.contains(&operand.tensor));
    let touching: Vec<usize> = (0..program.ops.len()).filter(|&at| touches(&program.ops[at])).collect();
    // By stride: the extent of the axis in each tensor. One tensor may be a part of another: maps that are concatenated.
    let mut axes: BTreeMap<usize, Axis> = BTreeMap::new();
    for op in touching.iter().map(|&at| &program.ops[at]) {
        for (slot, operand) in operands(op).filter(|(_, operand)| group.contains(&operand.tensor)) {
            let Some(dim) = op.operation.vector_dim(slot) else { continue };
            let extent = extents(op, slot)[dim];
            let stride = operand.strides[dim];
            if extent > 1 && stride > 1 {
                axes.entry(stride).or_default();
            }
        }
    }
    for op in touching.iter().map(|&at| &program.ops[at]) {
        for (slot, operand) in operands(op).filter(|(_, operand)| group.contains(&operand.tensor)) {
            for (extent, stride) in extents(op, slot).into_iter().zip(operand.strides) {
                if let Some(axis) = axes.get_mut(&stride) {
                    let known = axis.entry(operand.tensor).or_insert(1);
                    *known = extent.max(*known);
                }
            }
        }
    }
    let cost = |at: usize, op: &Op| {
        panics::at(at);
        cost(module, op)
    };
    let mut least: usize = touching.iter().map(|&at| cost(at, &program.ops[at])).sum();
    let mut found = None;
    for (stride, axis) in axes {
        let changed: Option<Vec<(usize, Op)>> = touching
            .iter()
            .map(|&at| {
                panics::at(at);
                Some((at, arranged(module, &program.ops[at], stride, &axis)?))
            })
            .collect();
        let Some(changed) = changed else { continue };
        let total = changed.iter().map(|(at, op)| cost(*at, op)).sum();
        if total < least {
            (least, found) = (total, Some(changed));
        }
    }
    found
}

fn operands(op: &Op) -> impl Iterator<Item = (usize, &Operand)> {
    op.operands.iter().enumerate().filter_map(|(slot, operand)| Some((slot, operand.as_ref()?)))
}

/// Extents that an operand's strides are multiplied by.
fn extents(op: &Op, slot: usize) -> [usize; DIMS] {
    let extents = op.operation.operand_extents(&op.extents(), slot);
    extents.map_or(op.dims, |extents| extents.map(|extent| extent as usize))
}

/// Elements that an operation's operands take, those that are not adjacent counted several times. Constants do not count:
/// they are stored in the order that suits the operation.
fn cost(module: &Module, op: &Op) -> usize {
    let of = |(slot, operand): (usize, &Operand)| {
        if module.tensors[operand.tensor].constant.is_some() {
            return 0;
        }
        let extents = extents(op, slot);
        let elements: usize =
            (0..DIMS).filter(|&dim| operand.strides[dim] != 0).map(|dim| extents[dim]).product();
        let is_strided =
            op.operation.vector_dim(slot).is_some_and(|dim| extents[dim] > 1 && operand.strides[dim] > 1);
        elements * reads(op, slot) * if is_strided { STRIDED_COST } else { 1 }
    };
    operands(op).map(of).sum()
}

/// Times that an operation reads each element of an operand, next to: windows overlap.
fn reads(op: &Op, slot: usize) -> usize {
    match &op.operation {
        Operation::Conv(Conv { window, .. }) if slot == 1 => {
            let step = window.stride.iter().map(|&stride| stride as usize).product::<usize>();
            (window.taps() as usize).div_ceil(step.max(1))
        }
        _ => 1,
    }
}

/// The operation after the axis with this stride has become the innermost one of some tensors; none if strides cannot express it.
fn arranged(module: &Module, op: &Op, stride: usize, axis: &Axis) -> Option<Op> {
    let mut op = op.clone();
    let slots: Vec<(usize, usize)> =
        operands(&op).filter_map(|(slot, operand)| Some((slot, *axis.get(&operand.tensor)?))).collect();
    if has_any_dims(&op) {
        for &(slot, extent) in &slots {
            split_dims(&mut op, slot, &[stride, stride * extent])?;
        }
    }
    for (slot, extent) in slots {
        let extents = extents(&op, slot);
        let operand = op.operands[slot]?;
        let walked: Vec<usize> =
            (0..DIMS).filter(|&dim| extents[dim] != 1 && operand.strides[dim] != 0).collect();
        let mut axes: Vec<(usize, usize)> =
            walked.iter().map(|&dim| (extents[dim], operand.strides[dim])).collect();
        let computed = op.operation.computed_axis(slot);
        axes.extend(computed.map(|[length, stride]| (length as usize, stride as usize)));
        let elements = module.tensors[operand.tensor].elements;
        if !elements.is_multiple_of(extent * stride) {
            return None;
        }
        let outer = (extent * stride, elements / (extent * stride));
        let map = [
            MapDim { extent: stride, from: 1, to: extent },
            MapDim { extent, from: stride, to: 1 },
            MapDim { extent: outer.1, from: outer.0, to: outer.0 },
        ];
        let (offset, mut strides) = project(operand.offset, &axes, &map, elements)?;
        if computed.is_some() {
            op.operation.set_computed_stride(slot, strides.pop()? as u32);
        }
        let mut placed = [0; DIMS];
        for (dim, stride) in walked.into_iter().zip(strides) {
            placed[dim] = stride;
        }
        op.operands[slot] = Some(Operand { tensor: operand.tensor, offset, strides: placed });
    }
    sort_dims(&mut op);
    Some(op)
}

/// Whether dims may be split and merged.
fn has_any_dims(op: &Op) -> bool {
    matches!(op.operation.kind(), OpKind::Elementwise | OpKind::Resample)
        || op.operation.kept_dims().is_some()
}

/// Sorts the dims of an operation that may have them in any order by the strides of its output; those that are reduced, by the
/// strides of its input.
fn sort_dims(op: &mut Op) {
    let kept = match op.operation.kind() {
        OpKind::Elementwise | OpKind::Gather | OpKind::Resample => DIMS,
        // The index of the largest element depends on the order.
        _ if matches!(op.operation, Operation::Reduce(Reduce { reduction: Reduction::ArgMax, .. })) => return,
        _ => match op.operation.kept_dims() {
            Some(kept) => kept as usize,
            None => return,
        },
    };
    let (Some(output), Some(input)) = (op.operands[0], op.operands[1]) else { return };
    let mut order: [usize; DIMS] = std::array::from_fn(|dim| dim);
    order[..kept].sort_by_key(|&dim| (op.dims[dim] != 1, std::cmp::Reverse(output.strides[dim])));
    order[kept..].sort_by_key(|&dim| (op.dims[dim] != 1, std::cmp::Reverse(input.strides[dim])));
    op.dims = order.map(|dim| op.dims[dim]);
    for operand in op.operands.iter_mut().flatten() {
        operand.strides = order.map(|dim| operand.strides[dim]);
    }
    if let Operation::Resample(resample) = &mut op.operation {
        let place = order.iter().position(|&dim| dim == resample.axis as usize);
        resample.axis = place.map_or(resample.axis, |place| place as u32);
    }
    if has_any_dims(op) {
        merge(op);
    }
}

/// Stores the constants that an operation reads by strides in the order of its dims.
fn arrange_constants(module: &mut Module, index: usize, op: &mut Op) {
    for (slot, need) in op.operation.needs().into_iter().enumerate() {
        let Some(operand) = op.operands[slot] else { continue };
        let Some(Constant::Floats(values)) = &module.tensors[operand.tensor].constant else { continue };
        if !matches!(need, Need::Any | Need::AnyOrMissing) {
            continue;
        }
        let extents = extents(op, slot);
        let walked: Vec<usize> =
            (0..DIMS).filter(|&dim| extents[dim] != 1 && operand.strides[dim] != 0).collect();
        let dense = dense_strides(&walked.iter().map(|&dim| extents[dim]).collect::<Vec<usize>>());
        if walked.iter().zip(&dense).all(|(&dim, &stride)| operand.strides[dim] == stride) {
            continue;
        }
        let mut places = vec![operand.offset];
        for &dim in &walked {
            let along = |&from: &usize| (0..extents[dim]).map(move |i| from + i * operand.strides[dim]);
            places = places.iter().flat_map(along).collect();
        }
        let values = places.into_iter().map(|place| values[place]).collect();
        let tensor = module.constant(index, &op.name, Constant::Floats(values));
        let mut strides = [0; DIMS];
        for (dim, stride) in walked.into_iter().zip(dense) {
            strides[dim] = stride;
        }
        op.operands[slot] = Some(Operand { tensor, offset: 0, strides });
    }
    if op.function().is_some() {
        merge(op);
    }
}
