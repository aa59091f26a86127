//! Joins operations that are one loop written out: they differ only in the offsets of their operands, and these are the
//! positions of a walk. A correlation at several displacements, for example, becomes one operation with the displacements as
//! further dims.

use crate::fuse::{merge, set_walked, walked};
use crate::graph::{Op, Operand, Program};
use crate::panics;
use sonotrace::format::{DIMS, OpKind};
use std::cmp::Reverse;

/// Joins all such operations of a program.
pub fn join(program: &mut Program) {
    let mut first = 0;
    while first < program.ops.len() {
        panics::at(first);
        if let Some((members, op)) = loop_from(program, first) {
            // The last one's inputs are ready, and nothing before it reads the output.
            let (last, others) = members.split_at(members.len() - 1);
            let (last, others) = (others[0], last);
            program.ops[last] = op;
            for &member in others.iter().rev() {
                program.ops.remove(member);
            }
        } else {
            first += 1;
        }
    }
}

/// The operations that form a loop with the one at `first`, in order, and the loop.
fn loop_from(program: &Program, first: usize) -> Option<(Vec<usize>, Op)> {
    let op = &program.ops[first];
    if !matches!(op.operation.kind(), OpKind::Elementwise | OpKind::Reduce) {
        return None;
    }
    let members: Vec<usize> =
        (first..program.ops.len()).filter(|&at| differs_in_offsets(op, &program.ops[at])).collect();
    let last = *members.last().filter(|&&last| last != first)?;
    let touches_before_the_end = (first..last).filter(|at| !members.contains(at)).any(|at| {
        let other = &program.ops[at];
        let output = op.output().map(|output| output.tensor);
        let written = other.output().map(|output| output.tensor);
        other.inputs().any(|input| Some(input.tensor) == output)
            || op.operands.iter().flatten().any(|operand| Some(operand.tensor) == written)
    });
    if touches_before_the_end {
        return None;
    }
    let offsets_of =
        |&at: &usize| program.ops[at].operands.iter().flatten().map(|operand| operand.offset).collect();
    let mut offsets: Vec<Vec<usize>> = members.iter().map(offsets_of).collect();
    offsets.sort_unstable();
    Some((members, with_dims(op, &offsets[0], &walk_of(&offsets)?)?))
}

fn differs_in_offsets(a: &Op, b: &Op) -> bool {
    let place = |operand: &Option<Operand>| operand.as_ref().map(|operand| (operand.tensor, operand.strides));
    (a.operation, a.dims, a.may_forward) == (b.operation, b.dims, b.may_forward)
        && a.operands.each_ref().map(place) == b.operands.each_ref().map(place)
}

/// Extents and strides, per operand, of the walk whose positions these are, from the outermost dim; none if it is no walk.
fn walk_of(positions: &[Vec<usize>]) -> Option<Vec<(usize, Vec<usize>)>> {
    let [first, second, ..] = positions else { return Some(Vec::new()) };
    let step = |from: &[usize], to: &[usize]| -> Option<Vec<usize>> {
        from.iter().zip(to).map(|(from, to)| to.checked_sub(*from)).collect()
    };
    let steps = step(first, second)?;
    let is_step = |pair: &[Vec<usize>]| step(&pair[0], &pair[1]).as_ref() == Some(&steps);
    let extent = 1 + positions.windows(2).take_while(|pair| is_step(pair)).count();
    let rows = positions.chunks(extent);
    if rows.clone().any(|row| row.len() != extent || !row.windows(2).all(is_step)) {
        return None;
    }
    let starts: Vec<Vec<usize>> = rows.map(|row| row[0].clone()).collect();
    let mut dims = walk_of(&starts)?;
    dims.push((extent, steps));
    Some(dims)
}

/// The operation with further dims, in the order of the output's strides; none if they are too many.
fn with_dims(op: &Op, offsets: &[usize], added: &[(usize, Vec<usize>)]) -> Option<Op> {
    let mut op = op.clone();
    let end = op.operation.kept_dims().map_or(DIMS, |kept| kept as usize);
    let (mut dims, mut strides) = walked(&op, 0..end);
    for (extent, steps) in added {
        dims.push(*extent);
        strides.iter_mut().zip(steps).for_each(|(operand, step)| operand.push(*step));
    }
    let mut order: Vec<usize> = (0..dims.len()).filter(|&dim| dims[dim] != 1).collect();
    order.sort_by_key(|&dim| Reverse(strides[0][dim]));
    let sorted = |values: &[usize]| order.iter().map(|&dim| values[dim]).collect::<Vec<usize>>();
    let strides: Vec<Vec<usize>> = strides.iter().map(|operand| sorted(operand)).collect();
    set_walked(&mut op, 0..end, &sorted(&dims), &strides)?;
    for (operand, &offset) in op.operands.iter_mut().flatten().zip(offsets) {
        operand.offset = offset;
    }
    merge(&mut op);
    Some(op)
}
