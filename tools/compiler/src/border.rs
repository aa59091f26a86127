//! The border between the dims that an operation keeps and those that it reduces or normalises: each part has room for further
//! dims only where dims of 1 are on its side.

use crate::fuse::{set_walked, walked};
use crate::graph::Op;
use sonotrace::format::{DIMS, Operation};
use std::ops::Range;

/// Gives both parts room, so that their dims can be split. Operations without kept dims stay as they are.
pub fn spread(op: &mut Op) -> Option<()> {
    let Some(kept) = op.operation.kept_dims() else { return Some(()) };
    let [kept, inner] = [0..kept as usize, kept as usize..DIMS].map(|part| part_of(op, part).0.len());
    move_to(op, kept + (DIMS - kept - inner) / 2)
}

/// Moves the dims together again: the last ones are the others.
pub fn compact(op: &mut Op) -> Option<()> {
    let Some(kept) = op.operation.kept_dims() else { return Some(()) };
    let inner = part_of(op, kept as usize..DIMS).0.len();
    move_to(op, DIMS - inner)
}

/// Extents and strides of a part, as [`walked`].
fn part_of(op: &Op, part: Range<usize>) -> (Vec<usize>, Vec<Vec<usize>>) {
    if part.is_empty() { (Vec::new(), vec![Vec::new(); op.operands.len()]) } else { walked(op, part) }
}

fn move_to(op: &mut Op, border: usize) -> Option<()> {
    let old = op.operation.kept_dims()? as usize;
    let parts = [0..old, old..DIMS].map(|part| part_of(op, part));
    match &mut op.operation {
        Operation::Normalize(op) => op.kept_dims = border as u32,
        Operation::Reduce(op) => op.kept_dims = border as u32,
        Operation::Softmax(op) => op.kept_dims = border as u32,
        _ => return None,
    }
    for (part, (dims, strides)) in [0..border, border..DIMS].into_iter().zip(parts) {
        set_walked(op, part, &dims, &strides)?;
    }
    Some(())
}
