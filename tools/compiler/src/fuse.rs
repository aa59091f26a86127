//! Fuses operations: biases, residuals and activations go into the products before them, scales and offsets into normalisations,
//! and copies are removed.
//!
//! Most rules have one form. If an operation is the only reader of a tensor, the writers of that tensor can do its work,
//! and write its output directly. [`project`] computes their offsets and strides. A sum of products is found the other way
//! round: the sum reads what the product reads.

use crate::border::{compact, spread};
use crate::graph::{Home, Module, Op, Operand, Program};
use crate::panics;
use crate::view::{MapDim, TensorId, merge_dims, project};
use sonotrace::format::function::{BinaryFunction, Function, TernaryFunction, Unary, UnaryFunction};
use sonotrace::format::op::{Elementwise, Reduction};
use sonotrace::format::{DIMS, OpKind, Operation, PIECE_WORK_MAX};
use std::ops::Range;

/// Removes unread operations, then fuses until no rule applies.
pub fn fuse(module: &Module, program: &mut Program) {
    remove_unread(module, program);
    let mut at = 0;
    while at < program.ops.len() {
        panics::at(at);
        if let Some((writer, op)) = sum_of_products(module, program, at) {
            program.ops[at] = op;
            program.ops.remove(writer);
            at = 0;
            continue;
        }
        match fused(module, program, at) {
            Some(changes) => {
                for (writer, op) in changes {
                    program.ops[writer] = op;
                }
                program.ops.remove(at);
                // A changed writer may now be followed by another operation that can be fused.
                at = 0;
            }
            None => at += 1,
        }
    }
}

/// Removes operations whose results are neither read nor an output.
fn remove_unread(module: &Module, program: &mut Program) {
    loop {
        let is_needed = |op: &Op| {
            op.output().is_some_and(|output| {
                !matches!(module.tensors[output.tensor].home, Home::Scratch { .. })
                    || program.outputs.iter().any(|port| port.tensor == output.tensor)
                    || program
                        .ops
                        .iter()
                        .any(|reader| reader.inputs().any(|input| input.tensor == output.tensor))
            })
        };
        let needed: Vec<bool> = program.ops.iter().map(is_needed).collect();
        if needed.iter().all(|&needed| needed) {
            return;
        }
        let mut needed = needed.into_iter();
        program.ops.retain(|_| needed.next().unwrap_or(true));
    }
}

/// The changed writers that replace the operation at `at`.
fn fused(module: &Module, program: &Program, at: usize) -> Option<Vec<(usize, Op)>> {
    let op = &program.ops[at];
    let sources: &[usize] = match op.function()? {
        Function::Binary(BinaryFunction::Add | BinaryFunction::Mul) => &[1, 2],
        _ => &[1],
    };
    sources.iter().find_map(|&slot| fused_from(module, program, at, slot))
}

fn fused_from(module: &Module, program: &Program, at: usize, slot: usize) -> Option<Vec<(usize, Op)>> {
    let op = &program.ops[at];
    let (source, target) = (op.operands[slot].as_ref()?, op.operands[0].as_ref()?);
    let writers = private_writers(module, program, at, source.tensor)?;
    // State that this program reads must not be overwritten earlier than in the graph.
    let is_state = matches!(module.tensors[target.tensor].home, Home::State { .. });
    if is_state && program.ops.iter().any(|op| op.inputs().any(|input| input.tensor == target.tensor)) {
        return None;
    }
    let elements = module.tensors[source.tensor].elements;
    if source.offset != 0 {
        return None;
    }
    let through_op = |writer: &Op, other: &Operand| -> Option<Operand> {
        let output = writer.output()?;
        let walked: Vec<usize> =
            (0..DIMS).filter(|&dim| writer.dims[dim] != 1 && output.strides[dim] != 0).collect();
        let dims: Vec<(usize, usize)> =
            walked.iter().map(|&dim| (writer.dims[dim], output.strides[dim])).collect();
        let mapping: Vec<MapDim> = (0..DIMS)
            .map(|dim| MapDim { extent: op.dims[dim], from: source.strides[dim], to: other.strides[dim] })
            .collect();
        let (offset, projected) = project(output.offset, &dims, &mapping, elements)?;
        let mut strides = [0; DIMS];
        for (&dim, stride) in walked.iter().zip(projected) {
            strides[dim] = stride;
        }
        Some(Operand { tensor: other.tensor, offset: other.offset + offset, strides })
    };
    let other = match slot {
        1 => op.operands[2],
        _ => op.operands[1],
    };
    let mut changes = Vec::new();
    for &index in &writers {
        let mut writer = program.ops[index].clone();
        let has_any_dims = writer.function().is_some() || writer.operation.kept_dims().is_some();
        if has_any_dims {
            spread(&mut writer)?;
            let ends = |dim: usize| [source.strides[dim], source.strides[dim] * op.dims[dim]];
            split_dims(&mut writer, 0, &(0..DIMS).flat_map(ends).collect::<Vec<usize>>())?;
        }
        let addend = match &other {
            Some(other) => {
                if !is_ready(module, program, other.tensor, index) || other.tensor == target.tensor {
                    return None;
                }
                Some(through_op(&writer, other)?)
            }
            None => None,
        };
        let output = through_op(&writer, target)?;
        if writer.inputs().any(|input| input.tensor == output.tensor) {
            return None;
        }
        take_over(module, &mut writer, op, addend)?;
        writer.operands[0] = Some(output);
        if has_any_dims {
            merge(&mut writer);
            compact(&mut writer)?;
        }
        changes.push((index, writer));
    }
    Some(changes)
}

/// The sum at `at` of the products that another operation computes, and the index of that one.
fn sum_of_products(module: &Module, program: &Program, at: usize) -> Option<(usize, Op)> {
    let mut op = program.ops[at].clone();
    let Operation::Reduce(reduce) = &mut op.operation else { return None };
    reduce.reduction = match reduce.reduction {
        Reduction::Sum => Reduction::SumOfProducts,
        Reduction::Mean => Reduction::MeanOfProducts,
        _ => return None,
    };
    let source = op.operands[1]?;
    let &[index] = &*private_writers(module, program, at, source.tensor)? else { return None };
    let writer = &program.ops[index];
    if writer.function()? != Function::Binary(BinaryFunction::Mul) {
        return None;
    }
    let written = writer.output()?;
    // The factors must not be overwritten before the sum reads them.
    let factors = [writer.operands[1]?, writer.operands[2]?];
    let is_overwritten = |factor: &Operand| {
        program.ops[index..at]
            .iter()
            .any(|op| op.output().is_some_and(|output| output.tensor == factor.tensor))
    };
    if written.offset != 0 || factors.iter().any(is_overwritten) {
        return None;
    }
    let ends = |dim: usize| [written.strides[dim], written.strides[dim] * writer.dims[dim]];
    split_dims(&mut op, 1, &(0..DIMS).flat_map(ends).collect::<Vec<usize>>())?;
    let source = op.operands[1]?;
    let walked: Vec<usize> = (0..DIMS).filter(|&dim| op.dims[dim] != 1).collect();
    let dims: Vec<(usize, usize)> = walked.iter().map(|&dim| (op.dims[dim], source.strides[dim])).collect();
    let elements = module.tensors[source.tensor].elements;
    for (slot, factor) in [1, 2].into_iter().zip(factors) {
        let map = |dim: usize| MapDim {
            extent: writer.dims[dim],
            from: written.strides[dim],
            to: factor.strides[dim],
        };
        let map: Vec<MapDim> = (0..DIMS).map(map).collect();
        let (offset, projected) = project(source.offset, &dims, &map, elements)?;
        let mut strides = [0; DIMS];
        for (&dim, stride) in walked.iter().zip(projected) {
            strides[dim] = stride;
        }
        op.operands[slot] = Some(Operand { tensor: factor.tensor, offset: factor.offset + offset, strides });
    }
    merge(&mut op);
    Some((index, op))
}

/// Splits the dims of an operation that may have any, such as an element-wise one, where they cross some positions of an operand's
/// tensor: those that are kept and those that are reduced separately, and not the axis of a resampling.
pub fn split_dims(op: &mut Op, slot: usize, cuts: &[usize]) -> Option<()> {
    parts(op).into_iter().try_for_each(|part| split_in(op, slot, cuts, part))
}

/// The ranges of dims that are merged and split, each for itself.
fn parts(op: &Op) -> Vec<Range<usize>> {
    let kept = op.operation.kept_dims().unwrap_or(0) as usize;
    [0..kept, kept..DIMS].into_iter().filter(|range| !range.is_empty()).collect()
}

fn split_in(op: &mut Op, slot: usize, cuts: &[usize], range: Range<usize>) -> Option<()> {
    let mut cuts = cuts.to_vec();
    cuts.sort_unstable();
    let operand = op.operands[slot]?;
    let (mut dims, mut strides) = walked(op, range.clone());
    let first = range.end - dims.len();
    let mut placed = operand.strides[first..range.end].to_vec();
    let mut axis = resampled_axis(op).and_then(|axis| axis.checked_sub(first));
    let mut dim = 0;
    while dim < dims.len() {
        let (extent, stride) = (dims[dim], placed[dim]);
        // The innermost cut inside this dim; the outer part is examined next.
        let is_inside = |cut: usize| stride < cut && cut < stride * extent && cut.is_multiple_of(stride);
        let inner = cuts.iter().find(|&&cut| stride != 0 && is_inside(cut)).map(|cut| cut / stride);
        match inner.filter(|&inner| axis != Some(dim) && extent.is_multiple_of(inner)) {
            Some(inner) => {
                (dims[dim], placed[dim]) = (extent / inner, stride * inner);
                dims.insert(dim + 1, inner);
                placed.insert(dim + 1, stride);
                for operand in &mut strides {
                    let stride = operand[dim];
                    operand[dim] = stride * inner;
                    operand.insert(dim + 1, stride);
                }
                axis = axis.map(|axis| if axis > dim { axis + 1 } else { axis });
            }
            None => dim += 1,
        }
    }
    set_walked(op, range.clone(), &dims, &strides)?;
    if let (Operation::Resample(resample), Some(axis)) = (&mut op.operation, axis) {
        resample.axis = (range.end - dims.len() + axis) as u32;
    }
    Some(())
}

fn resampled_axis(op: &Op) -> Option<usize> {
    match op.operation {
        Operation::Resample(resample) => Some(resample.axis as usize),
        _ => None,
    }
}

/// Merges the dims of such an operation again.
pub fn merge(op: &mut Op) {
    // The axis of a resampling must stay by itself.
    if resampled_axis(op).is_some() {
        return;
    }
    for part in parts(op) {
        let (mut dims, mut strides) = walked(op, part.clone());
        merge_dims(&mut dims, &mut strides);
        // Merging never adds dims.
        let _ = set_walked(op, part, &dims, &strides);
    }
}

/// The dims of a range without leading dims of 1, and the operands' strides over them.
pub fn walked(op: &Op, range: Range<usize>) -> (Vec<usize>, Vec<Vec<usize>>) {
    let first = range.clone().find(|&dim| op.dims[dim] != 1).unwrap_or(range.end - 1);
    let range = first..range.end;
    let strides =
        op.operands.iter().flatten().map(|operand| operand.strides[range.clone()].to_vec()).collect();
    (op.dims[range].to_vec(), strides)
}

/// Sets the dims of a range, aligned to its end; none if they are too many.
pub fn set_walked(op: &mut Op, range: Range<usize>, dims: &[usize], strides: &[Vec<usize>]) -> Option<()> {
    let first = range.end.checked_sub(dims.len()).filter(|&first| first >= range.start)?;
    op.dims[range.clone()].fill(1);
    op.dims[first..range.end].copy_from_slice(dims);
    for (operand, strides) in op.operands.iter_mut().flatten().zip(strides) {
        operand.strides[range.clone()].fill(0);
        operand.strides[first..range.end].copy_from_slice(strides);
    }
    Some(())
}

/// The writers of a scratch tensor that only the operation at `at` reads, and only once.
pub fn private_writers(
    module: &Module,
    program: &Program,
    at: usize,
    tensor: TensorId,
) -> Option<Vec<usize>> {
    let is_scratch = matches!(module.tensors[tensor].home, Home::Scratch { input: false, .. });
    let is_output = program.outputs.iter().any(|port| port.tensor == tensor);
    let reads = program.ops.iter().flat_map(Op::inputs).filter(|input| input.tensor == tensor).count();
    if !is_scratch || is_output || reads != 1 {
        return None;
    }
    let writes = |op: &Op| op.output().is_some_and(|output| output.tensor == tensor);
    let writers: Vec<usize> = (0..at).filter(|&index| writes(&program.ops[index])).collect();
    // If a tensor is filled and then partly overwritten, its writers cannot be changed one by one.
    let is_simple = writers.len() == 1
        || writers.iter().all(|&index| {
            matches!(program.ops[index].operation.kind(), OpKind::Conv | OpKind::DepthwiseConv)
        })
        || writers.iter().all(|&index| program.ops[index].may_forward);
    (!writers.is_empty() && is_simple).then_some(writers)
}

/// Whether a tensor has its values before the operation at `index` runs.
fn is_ready(module: &Module, program: &Program, tensor: TensorId, index: usize) -> bool {
    if module.tensors[tensor].home == Home::Weights {
        return true;
    }
    let is_written = |op: &Op| op.output().is_some_and(|output| output.tensor == tensor);
    !program.ops[index..].iter().any(is_written)
        && (program.inputs.iter().any(|port| port.tensor == tensor)
            || program.ops[..index].iter().any(is_written))
}

/// Adds the work of `op` to `writer`.
fn take_over(module: &Module, writer: &mut Op, op: &Op, addend: Option<Operand>) -> Option<()> {
    use BinaryFunction as B;
    let kind = writer.operation.kind();
    let is_bare = writer.activation_mut().is_some_and(|activation| activation.is_copy());
    match (op.function()?, addend) {
        (Function::Unary(Unary::COPY), None) => {
            // The writer now writes a part that nothing else writes, as the copy did.
            writer.may_forward |= op.may_forward;
            op.may_forward.then_some(())
        }
        (Function::Binary(B::Mul), Some(scale)) if kind == OpKind::Normalize => {
            let is_first = is_bare && writer.operands[2].is_none() && writer.operands[3].is_none();
            is_first.then(|| writer.operands[2] = Some(scale))
        }
        (Function::Binary(B::Add), Some(addend)) if kind == OpKind::Normalize => {
            (is_bare && writer.operands[3].is_none()).then(|| writer.operands[3] = Some(addend))
        }
        (Function::Binary(B::Add), Some(addend)) if is_bare => {
            // The dims over which the bias and the residual may have strides.
            let allowed: [&[usize]; 2] = match kind {
                OpKind::MatMul => [&[0, 1, 2, 3, 4, 5, 6]; 2],
                OpKind::Conv => [&[1, 6], &[0, 1, 4, 5, 6]],
                _ => [&[6, 7], &[]],
            };
            let slot = [3, 4].into_iter().zip(allowed).find(|(slot, allowed)| {
                writer.operands[*slot].is_none()
                    && !allowed.is_empty()
                    && (0..DIMS).all(|dim| addend.strides[dim] == 0 || allowed.contains(&dim))
            });
            slot.map(|(slot, _)| writer.operands[slot] = Some(addend))
        }
        (Function::Binary(B::Add), Some(addend)) if writer.function() == Some(Function::Binary(B::Mul)) => {
            writer.operation = elementwise(Function::Ternary(TernaryFunction::MulAdd));
            writer.operands[3] = Some(addend);
            Some(())
        }
        (Function::Binary(B::Mul), Some(scale)) if kind == OpKind::Reduce => mean(module, writer, &scale),
        (Function::Binary(B::Min), Some(high)) => clamp(module, writer, &high),
        (Function::Unary(function), None) if is_bare => {
            writer.activation_mut().map(|activation| *activation = function)?;
            // Of a normalisation, the activation is a part of a piece that is computed without a stop.
            let is_allowed = writer.operation.piece_work(&writer.extents()) <= PIECE_WORK_MAX;
            (kind != OpKind::Normalize || is_allowed).then_some(())
        }
        _ => None,
    }
}

fn elementwise(function: Function) -> Operation {
    Elementwise { function }.into()
}

/// A sum divided by the number of its elements becomes a mean.
fn mean(module: &Module, writer: &mut Op, scale: &Operand) -> Option<()> {
    let &[scale] = module.floats(scale.tensor)? else { return None };
    let Operation::Reduce(reduce) = &mut writer.operation else { return None };
    let count: usize = writer.dims[reduce.kept_dims as usize..].iter().product();
    if (scale * count as f32 - 1.0).abs() > 1e-6 {
        return None;
    }
    reduce.reduction = match reduce.reduction {
        Reduction::Sum => Reduction::Mean,
        Reduction::SumOfSquares => Reduction::MeanOfSquares,
        Reduction::SumOfProducts => Reduction::MeanOfProducts,
        _ => return None,
    };
    Some(())
}

/// `min(max(a, low), high)` with constant bounds becomes one function, of an element-wise operation or a product.
fn clamp(module: &Module, writer: &mut Op, high: &Operand) -> Option<()> {
    let bound = |operand: &Operand| match module.floats(operand.tensor)? {
        &[value] if value.is_finite() => Some(value),
        _ => None,
    };
    let high = bound(high)?;
    let relu = Unary::plain(UnaryFunction::Relu);
    if let Some(activation) = writer.activation_mut() {
        return (*activation == relu).then(|| *activation = Unary::clamp(0.0, high));
    }
    let low = match writer.function()? {
        Function::Unary(function) if function == relu => 0.0,
        Function::Binary(BinaryFunction::Max) => bound(writer.operands[2].as_ref()?)?,
        _ => return None,
    };
    writer.operands[2] = None;
    writer.operation = elementwise(Function::Unary(Unary::clamp(low, high)));
    Some(())
}
