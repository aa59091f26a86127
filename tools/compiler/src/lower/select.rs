//! Gathering along an axis by constant indices.

use super::{CONSTANT_INDICES, Lowering};
use crate::error::CompileError;
use crate::graph::Op;
use crate::view::View;
use sonotrace::format::function::{BinaryFunction, Function, TernaryFunction};
use sonotrace::format::op;
use tract_core::internal::*;
use tract_core::ops::array::{Gather, GatherElements, OneHot};

impl Lowering<'_> {
    /// Constant indices, counted from the start of an axis of `length`.
    fn indices(&self, node: &TypedNode, length: usize) -> Result<(Vec<usize>, Vec<i64>), CompileError> {
        let Some(indices) = self.constant_input(node, 1) else {
            return Err(self.unsupported(node, format!("its indices are computed: {CONSTANT_INDICES}")));
        };
        let values = indices
            .cast_to::<i64>()
            .and_then(|cast| Ok(cast.to_plain_array_view::<i64>()?.iter().copied().collect::<Vec<i64>>()));
        let mut values = values.map_err(|problem| self.unsupported(node, format!("{problem:#}")))?;
        for value in &mut values {
            if *value < 0 {
                *value += length as i64;
            }
            if !(0..length as i64).contains(value) {
                return Err(self.unsupported(node, format!("index {value} is outside an axis of {length}")));
            }
        }
        Ok((indices.shape().to_vec(), values))
    }

    pub(super) fn gather(&mut self, node: &TypedNode, op: &Gather) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let (shape, indices) = self.indices(node, input.dims[op.axis])?;
        self.gathered(node, &input, op.axis, &indices, &shape)
    }

    /// `input` with `axis` replaced by the axes of `shape`, through `indices`. Evenly spaced indices give a slice.
    pub(super) fn gathered(
        &mut self,
        node: &TypedNode,
        input: &View,
        axis: usize,
        indices: &[i64],
        shape: &[usize],
    ) -> Result<View, CompileError> {
        let step = if indices.len() > 1 { indices[1] - indices[0] } else { 1 };
        let is_even = step > 0 && indices.windows(2).all(|pair| pair[1] - pair[0] == step);
        let mut dims = input.dims.clone();
        dims.splice(axis..=axis, shape.iter().copied());
        if indices.is_empty() {
            return Err(self.unsupported(node, "it has no index"));
        }
        if is_even {
            let slice = input.clone().sliced(axis, indices[0] as usize, step as usize, indices.len());
            return self.reshaped(node, &slice, &dims);
        }
        let values = indices.iter().map(|&index| index as i32).collect();
        let table = self.index_constant(node, shape, values);
        let output = self.fresh(node, &dims);
        let spread = |view: &View, own: &[usize]| {
            let mut strides = view.strides.clone();
            strides.splice(axis..=axis, own.iter().copied());
            View { tensor: view.tensor, offset: view.offset, dims: dims.clone(), strides }
        };
        let source = spread(input, &vec![0; shape.len()]);
        let mut strides = vec![0; dims.len()];
        strides[axis..axis + shape.len()].copy_from_slice(&table.strides);
        let index = View { tensor: table.tensor, offset: 0, dims: dims.clone(), strides };
        self.gather_op(node, &output, &source, &index, input.strides[axis], input.dims[axis])?;
        Ok(output)
    }

    pub(super) fn gather_elements(
        &mut self,
        node: &TypedNode,
        op: &GatherElements,
    ) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let length = input.dims[op.axis];
        let (shape, indices) = self.indices(node, length)?;
        let index = self.index_constant(node, &shape, indices.iter().map(|&index| index as i32).collect());
        let output = self.fresh(node, &shape);
        let mut source = input.clone();
        (source.dims, source.strides[op.axis]) = (shape, 0);
        self.gather_op(node, &output, &source, &index, input.strides[op.axis], length)?;
        Ok(output)
    }

    /// One value where an index equals the place along the new axis, another one elsewhere.
    pub(super) fn one_hot(&mut self, node: &TypedNode, op: &OneHot) -> Result<View, CompileError> {
        let shape = self.output_shape(node)?;
        let index = self.input(node, 0)?.with_axis(op.axis);
        let mut place = vec![1; shape.len()];
        place[op.axis] = op.dim;
        let equal = Function::Binary(BinaryFunction::Equal);
        let places = (0..op.dim).map(|at| at as f32).collect();
        let places = self.float_constant(node, &place, places);
        let mut is_hot = self.elementwise_of(node, equal, &[&index, &places])?;
        // Indices that are no argmax may count from the end.
        if self.model.node(node.inputs[0].node).op_as::<tract_core::ops::nn::Reduce>().is_none() {
            let from_end = (0..op.dim).map(|at| at as f32 - op.dim as f32).collect();
            let from_end = self.float_constant(node, &place, from_end);
            let other = self.elementwise_of(node, equal, &[&index, &from_end])?;
            let either = Function::Binary(BinaryFunction::Or);
            is_hot = self.elementwise_of(node, either, &[&is_hot, &other])?;
        }
        let value = |tensor: &Tensor| tensor.cast_to::<f32>().map(|cast| cast.into_owned());
        let problem = |problem: TractError| self.unsupported(node, format!("{problem:#}"));
        let (on, off) = (value(&op.on).map_err(problem)?, value(&op.off).map_err(problem)?);
        let [on, off] = [on, off].map(|value| self.float_values(node, &value));
        let (on, off) = (self.float_constant(node, &shape, on?), self.float_constant(node, &shape, off?));
        self.elementwise_of(node, Function::Ternary(TernaryFunction::Select), &[&is_hot, &on, &off])
    }

    fn gather_op(
        &mut self,
        node: &TypedNode,
        output: &View,
        source: &View,
        index: &View,
        stride: usize,
        length: usize,
    ) -> Result<(), CompileError> {
        let gather = op::Gather { axis_stride: stride as u32, axis_length: length as u32 };
        let mut op = Op::new(gather, &node.name);
        op.dims = self.place(node, &mut op.operands, &output.dims, &[output, source, index])?;
        self.ops.push(op);
        Ok(())
    }
}
