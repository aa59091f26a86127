//! Operations that only move or repeat elements.

use super::Lowering;
use crate::error::CompileError;
use crate::view::View;
use tract_core::internal::*;
use tract_core::ops::array::{Pad, PadMode, Slice, Tile, TypedConcat};
use tract_core::ops::downsample::Downsample;

impl Lowering<'_> {
    fn fixed(&self, node: &TypedNode, dim: &TDim) -> Result<usize, CompileError> {
        dim.to_usize().map_err(|_| self.unsupported(node, format!("{dim} is not a fixed number")))
    }

    /// The view in another shape, after a dense copy if strides cannot express it.
    pub(super) fn reshaped(
        &mut self,
        node: &TypedNode,
        view: &View,
        shape: &[usize],
    ) -> Result<View, CompileError> {
        if let Some(reshaped) = view.reshaped(shape) {
            return Ok(reshaped);
        }
        let copy = self.copied(node, view)?;
        copy.reshaped(shape)
            .ok_or_else(|| self.unsupported(node, format!("{:?} cannot become {shape:?}", view.dims)))
    }

    pub(super) fn axis_op(&mut self, node: &TypedNode, op: &AxisOp) -> Result<View, CompileError> {
        let view = self.input(node, 0)?;
        match op {
            AxisOp::Add(axis) => Ok(view.with_axis(*axis)),
            AxisOp::Rm(axis) => Ok(view.without_axis(*axis)),
            AxisOp::Move(from, to) => Ok(view.with_axis_moved(*from, *to)),
            AxisOp::Reshape(..) => {
                let shape = self.output_shape(node)?;
                self.reshaped(node, &view, &shape)
            }
        }
    }

    pub(super) fn slice(&mut self, node: &TypedNode, op: &Slice) -> Result<View, CompileError> {
        let (start, end) = (self.fixed(node, &op.start)?, self.fixed(node, &op.end)?);
        Ok(self.input(node, 0)?.sliced(op.axis, start, 1, end.saturating_sub(start)))
    }

    pub(super) fn downsample(&mut self, node: &TypedNode, op: &Downsample) -> Result<View, CompileError> {
        let (count, input) = (self.output_shape(node)?[op.axis], self.input(node, 0)?);
        if let Ok(step) = usize::try_from(op.stride) {
            return Ok(input.sliced(op.axis, op.modulo, step, count));
        }
        // Strides of views do not descend: backwards it is a gather, from the last element on.
        let last = input.dims[op.axis] as i64 - 1;
        let indices: Vec<i64> = (0..count as i64).map(|at| last + at * op.stride as i64).collect();
        if indices.iter().any(|index| *index < op.modulo as i64) {
            return Err(self.unsupported(node, "its steps leave its input"));
        }
        self.gathered(node, &input, op.axis, &indices, &[count])
    }

    pub(super) fn broadcast(&mut self, node: &TypedNode) -> Result<View, CompileError> {
        let shape = self.output_shape(node)?;
        let mut view = self.input(node, 0)?;
        while view.dims.len() < shape.len() {
            view = view.with_axis(0);
        }
        view.broadcast(&shape)
            .ok_or_else(|| self.unsupported(node, "its input cannot be broadcast to its shape"))
    }

    /// Repeats whole axes, each by a new axis of stride 0 before it.
    pub(super) fn tile(&mut self, node: &TypedNode, op: &Tile) -> Result<View, CompileError> {
        let mut view = self.input(node, 0)?;
        for (axis, times) in op.multipliers.iter().enumerate().rev() {
            let times = self.fixed(node, times)?;
            view.dims.insert(axis, times);
            view.strides.insert(axis, 0);
        }
        let shape = self.output_shape(node)?;
        self.reshaped(node, &view, &shape)
    }

    pub(super) fn concat(&mut self, node: &TypedNode, op: &TypedConcat) -> Result<View, CompileError> {
        let output = self.fresh(node, &self.output_shape(node)?);
        let mut start = 0;
        for slot in 0..node.inputs.len() {
            let part = self.input(node, slot)?;
            let count = part.dims[op.axis];
            if count != 0 {
                self.copy_into(node, &output.clone().sliced(op.axis, start, 1, count), &part, true)?;
            }
            start += count;
        }
        Ok(output)
    }

    /// Constant, edge or mirrored borders: the borders first, then the inside.
    pub(super) fn pad(&mut self, node: &TypedNode, op: &Pad) -> Result<View, CompileError> {
        let input = self.input(node, 0)?;
        let PadMode::Constant(value) = &op.mode else {
            return self.pad_from_inside(node, op, &input);
        };
        let output = self.fresh(node, &self.output_shape(node)?);
        let value = self.float_values(node, value)?;
        let filling = self.float_constant(node, &output.dims, value);
        self.copy_into(node, &output, &filling, false)?;
        let mut inside = output.clone();
        for (axis, &(before, _)) in op.pads.iter().enumerate() {
            inside = inside.sliced(axis, before, 1, input.dims[axis]);
        }
        self.copy_into(node, &inside, &input, false)?;
        Ok(output)
    }

    /// Borders that repeat or mirror the inside: a gather along each axis that has borders.
    fn pad_from_inside(&mut self, node: &TypedNode, op: &Pad, input: &View) -> Result<View, CompileError> {
        let mut view = input.clone();
        for (axis, &(before, after)) in op.pads.iter().enumerate() {
            if before + after == 0 {
                continue;
            }
            let length = view.dims[axis] as i64;
            let inside = |at: i64| match op.mode {
                PadMode::Edge => at.clamp(0, length - 1),
                _ if at < 0 => -at,
                _ if at >= length => 2 * (length - 1) - at,
                _ => at,
            };
            let indices: Vec<i64> = (-(before as i64)..length + after as i64).map(inside).collect();
            if indices.iter().any(|at| !(0..length).contains(at)) {
                return Err(self.unsupported(node, "its borders are wider than the inside that they mirror"));
            }
            view = self.gathered(node, &view, axis, &indices, &[indices.len()])?;
        }
        Ok(view)
    }
}
