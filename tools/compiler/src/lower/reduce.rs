//! Reductions, softmax.

use super::Lowering;
use crate::error::CompileError;
use crate::graph::{Op, operands_at};
use crate::view::{View, merge_dims};
use sonotrace::format::function::{BinaryFunction, Function};
use sonotrace::format::op::{self, Reduction};
use sonotrace::format::{DIMS, Operation};
use tract_core::internal::*;
use tract_core::ops::nn::{Reduce, Reducer, Softmax, SoftmaxKind};

/// Whether a reduction yields an index.
pub(super) fn is_arg(op: &Reduce) -> bool {
    matches!(op.reducer, Reducer::ArgMax(_) | Reducer::ArgMin(_))
}

/// The function of two elements that reduces them.
fn of_pair(reduction: Reduction) -> Option<BinaryFunction> {
    match reduction {
        Reduction::Sum => Some(BinaryFunction::Add),
        Reduction::Product => Some(BinaryFunction::Mul),
        Reduction::Max => Some(BinaryFunction::Max),
        Reduction::Min => Some(BinaryFunction::Min),
        _ => None,
    }
}

impl Lowering<'_> {
    pub(super) fn reduce(&mut self, node: &TypedNode, op: &Reduce) -> Result<View, CompileError> {
        let reduction = match op.reducer {
            Reducer::Sum => Reduction::Sum,
            Reducer::Max | Reducer::Any => Reduction::Max,
            Reducer::Min | Reducer::All => Reduction::Min,
            Reducer::Prod => Reduction::Product,
            Reducer::MeanOfSquares => Reduction::MeanOfSquares,
            Reducer::ArgMax(false) if op.axes.len() == 1 => Reduction::ArgMax,
            _ => return Err(self.unsupported(node, "the runtime has no such reduction")),
        };
        let input = self.input(node, 0)?;
        if let (&[axis], Some(function)) = (&*op.axes, of_pair(reduction))
            && input.dims[axis] == 2
        {
            let [first, second] = [0, 1].map(|at| input.clone().sliced(axis, at, 1, 1));
            return self.elementwise_of(node, Function::Binary(function), &[&first, &second]);
        }
        let mut dims = input.dims.clone();
        op.axes.iter().for_each(|&axis| dims[axis] = 1);
        let output = self.fresh(node, &dims);
        let mut repeated = output.clone();
        for &axis in &op.axes {
            (repeated.dims[axis], repeated.strides[axis]) = (input.dims[axis], 0);
        }
        let operation = |kept_dims| op::Reduce { reduction, kept_dims }.into();
        self.over_axes(node, operation, &op.axes, &repeated, &input)?;
        Ok(output)
    }

    pub(super) fn softmax(&mut self, node: &TypedNode, op: &Softmax) -> Result<View, CompileError> {
        if op.kind != SoftmaxKind::Softmax || op.quant_output_dt.is_some() {
            return Err(self.unsupported(node, "only plain f32 softmax is supported"));
        }
        let input = self.input(node, 0)?;
        let output = self.fresh(node, &input.dims.clone());
        self.over_axes(node, |kept_dims| op::Softmax { kept_dims }.into(), &op.axes, &output, &input)?;
        Ok(output)
    }

    /// An operation whose kept dims come first and whose other dims, the `axes`, come last.
    pub(super) fn over_axes(
        &mut self,
        node: &TypedNode,
        operation: impl Fn(u32) -> Operation,
        axes: &[usize],
        output: &View,
        input: &View,
    ) -> Result<(), CompileError> {
        let (mut kept, mut inner): (Vec<usize>, Vec<usize>) =
            (0..input.dims.len()).partition(|axis| !axes.contains(axis));
        kept.sort_by_key(|&axis| std::cmp::Reverse(output.strides[axis]));
        // An index depends on the order of the axes; all other reductions may iterate in memory order.
        let is_index =
            matches!(operation(0), Operation::Reduce(op::Reduce { reduction: Reduction::ArgMax, .. }));
        if !is_index {
            inner.sort_by_key(|&axis| std::cmp::Reverse(input.strides[axis]));
        }
        let group = |axes: &[usize]| {
            let mut dims: Vec<usize> = axes.iter().map(|&axis| input.dims[axis]).collect();
            let mut strides: Vec<Vec<usize>> =
                [output, input].map(|view| axes.iter().map(|&axis| view.strides[axis]).collect()).to_vec();
            merge_dims(&mut dims, &mut strides);
            if dims.is_empty() {
                dims.push(1);
                strides.iter_mut().for_each(|operand| operand.push(0));
            }
            (dims, strides)
        };
        let (kept_dims, kept_strides) = group(&kept);
        let (inner_dims, inner_strides) = group(&inner);
        let start = DIMS - inner_dims.len();
        if kept_dims.len() > start {
            return Err(self.unsupported(node, "it has more than 8 dimensions that cannot be merged"));
        }
        let mut op = Op::new(operation(start as u32), &node.name);
        op.dims[start - kept_dims.len()..start].copy_from_slice(&kept_dims);
        op.dims[start..].copy_from_slice(&inner_dims);
        let outer = operands_at(&[output, input], &kept_strides, start);
        let tail = operands_at(&[output, input], &inner_strides, DIMS);
        for (slot, (mut operand, tail)) in outer.into_iter().zip(tail).enumerate() {
            operand.strides[start..].copy_from_slice(&tail.strides[start..]);
            op.operands[slot] = Some(operand);
        }
        self.ops.push(op);
        Ok(())
    }
}
