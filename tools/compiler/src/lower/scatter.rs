//! Scattering and gathering by constant index tuples.
//!
//! The tensor is seen as rows: its first axes, which the tuples index, and the axes behind them. If the places of the
//! updates are evenly spaced along each of their axes, scattering is a copy of the tensor and a strided copy of the updates.
//! Else it is a few such copies, or one gather from the tensor and the updates together.

use super::{CONSTANT_INDICES, Lowering, Value};
use crate::error::CompileError;
use crate::view::{View, dense_strides};
use sonotrace::format::function::{BinaryFunction, Function};
use std::collections::{HashMap, HashSet};
use tract_core::internal::*;
use tract_core::ops::array::{GatherNd, ScatterElements, ScatterNd, ScatterReduction};

/// Most copies of one scattering; with more pieces it is a gather.
const COPIES_MAX: usize = 16;

/// Rows of a tensor that are evenly spaced along several axes.
#[derive(Debug, PartialEq)]
struct Spaced {
    start: usize,
    /// Rows from one index to the next, for each axis.
    steps: Vec<usize>,
}

/// Places of `shape` as an evenly spaced block; none if they are not, or descend.
fn spaced(places: &[usize], shape: &[usize]) -> Option<Spaced> {
    let strides = dense_strides(shape);
    let start = *places.first()?;
    let mut steps = Vec::with_capacity(shape.len());
    for (&extent, &stride) in shape.iter().zip(&strides) {
        steps.push(if extent == 1 { 0 } else { places.get(stride)?.checked_sub(start)? });
    }
    let is_even = places.iter().enumerate().all(|(at, &place)| {
        let offset: usize = strides
            .iter()
            .zip(shape)
            .zip(&steps)
            .map(|((stride, extent), step)| at / stride % extent * step)
            .sum();
        place == start + offset
    });
    is_even.then_some(Spaced { start, steps })
}

impl Lowering<'_> {
    /// Constant indices, of any integer type.
    fn index_values(&self, node: &TypedNode, slot: usize) -> Result<(Vec<usize>, Vec<i64>), CompileError> {
        let Some(Value::Constant(indices)) = self.values.get(&node.inputs[slot]) else {
            return Err(self.unsupported(node, format!("its indices are computed: {CONSTANT_INDICES}")));
        };
        let values = indices
            .cast_to::<i64>()
            .and_then(|cast| Ok(cast.to_plain_array_view::<i64>()?.iter().copied().collect::<Vec<i64>>()));
        let values = values.map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        Ok((indices.shape().to_vec(), values))
    }

    /// The row of each tuple of indices into `axes`.
    fn rows(&self, node: &TypedNode, tuples: &[i64], axes: &[usize]) -> Result<Vec<usize>, CompileError> {
        let strides = dense_strides(axes);
        let row = |tuple: &[i64]| {
            let mut row = 0;
            for ((&index, &length), &stride) in tuple.iter().zip(axes).zip(&strides) {
                let counted = if index < 0 { index + length as i64 } else { index };
                if !(0..length as i64).contains(&counted) {
                    return Err(
                        self.unsupported(node, format!("index {index} is outside an axis of {length}"))
                    );
                }
                row += counted as usize * stride;
            }
            Ok(row)
        };
        tuples.chunks_exact(axes.len()).map(row).collect()
    }

    pub(super) fn gather_nd(&mut self, node: &TypedNode, op: &GatherNd) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let (mut shape, mut tuples) = self.index_values(node, 1)?;
        let depth = shape.pop().unwrap_or(0);
        if depth == 0 || tuples.is_empty() {
            return Err(self.unsupported(node, "it has no index"));
        }
        let indexed = op.batch_dims + depth;
        if op.batch_dims > 0 {
            // Tuples with the indices of their batch in front.
            let batch = &input.dims[..op.batch_dims];
            let per_batch = tuples.len() / depth / batch.iter().product::<usize>().max(1);
            let strides = dense_strides(batch);
            let full = tuples.chunks_exact(depth).enumerate().flat_map(|(at, tuple)| {
                let number = at / per_batch.max(1);
                let own =
                    strides.iter().zip(batch).map(move |(stride, extent)| (number / stride % extent) as i64);
                own.chain(tuple.iter().copied())
            });
            tuples = full.collect();
        }
        let rows = self.rows(node, &tuples, &input.dims[..indexed])?;
        let dims: Vec<usize> = shape.iter().chain(&input.dims[indexed..]).copied().collect();
        let flat = self.flat_rows(node, &input, indexed)?;
        if let Some(block) = spaced(&rows, &shape) {
            let mut strides: Vec<usize> = block.steps.iter().map(|step| step * flat.strides[0]).collect();
            strides.extend_from_slice(&flat.strides[1..]);
            let offset = flat.offset + block.start * flat.strides[0];
            return Ok(View { tensor: flat.tensor, offset, dims, strides });
        }
        let rows: Vec<i64> = rows.into_iter().map(|row| row as i64).collect();
        let gathered = self.gathered(node, &flat, 0, &rows, &[rows.len()])?;
        self.reshaped(node, &gathered, &dims)
    }

    /// The view with its first `indexed` axes as one.
    fn flat_rows(&mut self, node: &TypedNode, view: &View, indexed: usize) -> Result<View, CompileError> {
        let rows: usize = view.dims[..indexed].iter().product();
        let shape: Vec<usize> = std::iter::once(rows).chain(view.dims[indexed..].iter().copied()).collect();
        self.reshaped(node, view, &shape)
    }

    pub(super) fn scatter_nd(&mut self, node: &TypedNode, op: &ScatterNd) -> Result<View, CompileError> {
        let (data, updates) = (self.input(node, 0)?, self.input(node, 2)?);
        let (mut shape, tuples) = self.index_values(node, 1)?;
        let depth = shape.pop().unwrap_or(0);
        if depth == 0 || depth > data.dims.len() {
            return Err(self.unsupported(node, format!("its tuples have {depth} indices")));
        }
        let rows = self.rows(node, &tuples, &data.dims[..depth])?;
        self.scattered(node, op.reduction, &data, depth, &updates, &shape, &rows)
    }

    pub(super) fn scatter_elements(
        &mut self,
        node: &TypedNode,
        op: &ScatterElements,
    ) -> Result<View, CompileError> {
        let (data, updates) = (self.input(node, 0)?, self.input(node, 2)?);
        let (shape, indices) = self.index_values(node, 1)?;
        let strides = dense_strides(&shape);
        // Axes in front of which the indices are the same, and which the updates cover, need no index.
        let behind = (0..shape.len())
            .rev()
            .take_while(|&axis| {
                axis != op.axis
                    && shape[axis] == data.dims[axis]
                    && (0..indices.len()).all(|at| {
                        indices[at] == indices[at - at / strides[axis] % shape[axis] * strides[axis]]
                    })
            })
            .count();
        let indexed = shape.len() - behind;
        let step: usize = shape[indexed..].iter().product();
        let tuples = (0..indices.len()).step_by(step.max(1)).flat_map(|at| {
            let own = (0..indexed).map(move |axis| (axis, at));
            own.map(
                |(axis, at)| {
                    if axis == op.axis { indices[at] } else { (at / strides[axis] % shape[axis]) as i64 }
                },
            )
            .collect::<Vec<i64>>()
        });
        let tuples: Vec<i64> = tuples.collect();
        let rows = self.rows(node, &tuples, &data.dims[..indexed])?;
        self.scattered(node, op.reduction, &data, indexed, &updates, &shape[..indexed], &rows)
    }

    /// `data` with `updates` at `rows` of its first `indexed` axes. The updates have the axes of `shape`, then those of a row.
    #[allow(clippy::too_many_arguments)]
    fn scattered(
        &mut self,
        node: &TypedNode,
        reduction: ScatterReduction,
        data: &View,
        indexed: usize,
        updates: &View,
        shape: &[usize],
        rows: &[usize],
    ) -> Result<View, CompileError> {
        let function = match reduction {
            ScatterReduction::None => None,
            ScatterReduction::Add => Some(BinaryFunction::Add),
            ScatterReduction::Mul => Some(BinaryFunction::Mul),
            ScatterReduction::Min => Some(BinaryFunction::Min),
            ScatterReduction::Max => Some(BinaryFunction::Max),
        };
        let distinct: HashSet<usize> = rows.iter().copied().collect();
        if distinct.len() != rows.len() {
            return self.in_rounds(node, reduction, data, indexed, updates, rows);
        }
        let output = self.fresh(node, &data.dims);
        if rows.is_empty() {
            self.copy_into(node, &output, data, true)?;
            return Ok(output);
        }
        let row_dims = &data.dims[indexed..];
        let pieces = pieces(rows, shape);
        if pieces.len() > COPIES_MAX {
            return self.merged(node, function, data, indexed, updates, rows);
        }
        let data = self.flat_rows(node, data, indexed)?;
        let to = self.flat_rows(node, &output, indexed)?;
        self.copy_into(node, &to, &data, false)?;
        let mut updates = updates.clone();
        if pieces.len() > 1 || shape.is_empty() {
            let flat: Vec<usize> = std::iter::once(rows.len()).chain(row_dims.iter().copied()).collect();
            updates = self.reshaped(node, &updates, &flat)?;
        }
        for (first, count, block) in pieces {
            let is_whole = count == rows.len()
                && !shape.is_empty()
                && updates.dims.len() == shape.len() + row_dims.len();
            let from = if is_whole { updates.clone() } else { updates.clone().sliced(0, first, 1, count) };
            let at_rows = |view: &View| {
                let mut strides: Vec<usize> = block.steps.iter().map(|step| step * view.strides[0]).collect();
                strides.extend_from_slice(&view.strides[1..]);
                let offset = view.offset + block.start * view.strides[0];
                View { tensor: view.tensor, offset, dims: from.dims.clone(), strides }
            };
            let target = at_rows(&to);
            match function {
                None => self.copy_into(node, &target, &from, false)?,
                Some(function) => {
                    let before = at_rows(&data);
                    self.elementwise_into(node, Function::Binary(function), &target, &[&before, &from])?;
                }
            }
        }
        Ok(output)
    }

    /// Several updates of one place: with a reduction one after the other, each round with at most one of a place; without one,
    /// the last update of each place.
    fn in_rounds(
        &mut self,
        node: &TypedNode,
        reduction: ScatterReduction,
        data: &View,
        indexed: usize,
        updates: &View,
        rows: &[usize],
    ) -> Result<View, CompileError> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        let mut rounds: Vec<Vec<usize>> = Vec::new();
        for (at, &row) in rows.iter().enumerate() {
            let round = counts.entry(row).or_default();
            if *round == rounds.len() {
                rounds.push(Vec::new());
            }
            rounds[*round].push(at);
            *round += 1;
        }
        if reduction == ScatterReduction::None {
            let mut last: HashMap<usize, usize> = HashMap::new();
            rows.iter().enumerate().for_each(|(at, &row)| {
                last.insert(row, at);
            });
            rounds = vec![(0..rows.len()).filter(|at| last[&rows[*at]] == *at).collect()];
        }
        if rounds.len() > COPIES_MAX {
            let reason = format!("{} updates of one place, the limit is {COPIES_MAX}", rounds.len());
            return Err(self.unsupported(node, reason));
        }
        let flat: Vec<usize> =
            std::iter::once(rows.len()).chain(data.dims[indexed..].iter().copied()).collect();
        let updates = self.reshaped(node, updates, &flat)?;
        let mut result = data.clone();
        for round in rounds {
            let places: Vec<usize> = round.iter().map(|&at| rows[at]).collect();
            let taken: Vec<i64> = round.iter().map(|&at| at as i64).collect();
            let own = self.gathered(node, &updates, 0, &taken, &[taken.len()])?;
            result = self.scattered(node, reduction, &result, indexed, &own, &[places.len()], &places)?;
        }
        Ok(result)
    }

    /// A gather from the rows of `data` and of `updates`, written one after the other.
    fn merged(
        &mut self,
        node: &TypedNode,
        function: Option<BinaryFunction>,
        data: &View,
        indexed: usize,
        updates: &View,
        rows: &[usize],
    ) -> Result<View, CompileError> {
        let dims = data.dims.clone();
        let data = self.flat_rows(node, data, indexed)?;
        let mut row_shape = data.dims.clone();
        row_shape[0] = rows.len();
        let mut updates = self.reshaped(node, updates, &row_shape)?;
        if let Some(function) = function {
            let places: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
            let before = self.gathered(node, &data, 0, &places, &[places.len()])?;
            let combined = self.fresh(node, &row_shape);
            self.elementwise_into(node, Function::Binary(function), &combined, &[&before, &updates])?;
            updates = combined;
        }
        let mut both = data.dims.clone();
        both[0] += rows.len();
        let source = self.fresh(node, &both);
        self.copy_into(node, &source.clone().sliced(0, 0, 1, data.dims[0]), &data, true)?;
        self.copy_into(node, &source.clone().sliced(0, data.dims[0], 1, rows.len()), &updates, true)?;
        let mut table: Vec<i64> = (0..data.dims[0] as i64).collect();
        for (at, &row) in rows.iter().enumerate() {
            table[row] = (data.dims[0] + at) as i64;
        }
        let gathered = self.gathered(node, &source, 0, &table, &[table.len()])?;
        self.reshaped(node, &gathered, &dims)
    }
}

/// Evenly spaced pieces of places: all of them as one block, or else runs of the flat list. First place, count, block.
fn pieces(rows: &[usize], shape: &[usize]) -> Vec<(usize, usize, Spaced)> {
    let is_distinct = |block: &Spaced| {
        // Steps that overlap would write a place twice.
        let mut axes: Vec<(usize, usize)> = block
            .steps
            .iter()
            .copied()
            .zip(shape.iter().copied())
            .filter(|&(_, extent)| extent != 1)
            .collect();
        axes.sort_unstable();
        let mut reach = 1;
        axes.into_iter().all(|(step, extent)| {
            let is_clear = step >= reach;
            reach += step * (extent - 1);
            is_clear
        })
    };
    if let Some(block) = spaced(rows, shape).filter(|block| !shape.is_empty() && is_distinct(block)) {
        return vec![(0, rows.len(), block)];
    }
    let mut pieces = Vec::new();
    let mut first = 0;
    while first < rows.len() {
        let step = rows.get(first + 1).and_then(|next| next.checked_sub(rows[first])).unwrap_or(0);
        let mut count = 1;
        while step > 0 && first + count < rows.len() && rows[first + count] == rows[first] + count * step {
            count += 1;
        }
        pieces.push((
            first,
            count,
            Spaced { start: rows[first], steps: vec![step * usize::from(count > 1)] },
        ));
        first += count;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_places_are_found() {
        assert_eq!(spaced(&[5, 6, 9, 10], &[2, 2]), Some(Spaced { start: 5, steps: vec![4, 1] }));
        assert_eq!(spaced(&[5, 6, 9, 11], &[2, 2]), None);
        assert_eq!(spaced(&[5, 4], &[2]), None, "strides do not descend");
        assert_eq!(pieces(&[5, 6, 9, 10], &[2, 2]).len(), 1);
        assert_eq!(pieces(&[3, 3], &[2]).len(), 2, "a place that is written twice is two pieces");
        assert_eq!(pieces(&[0, 2, 4, 9, 1], &[5]).iter().map(|piece| piece.1).collect::<Vec<_>>(), [3, 1, 1]);
    }
}
