//! Resampling, one axis after the other, with tables that are computed by the graph's own operation.
//!
//! Every kind of Resize (any mode, any coordinate rule) is linear and separable. So its weights along an axis are its
//! response to unit vectors along that axis, and no rule is implemented a second time. The tables are then compared
//! with the operation on other values; a form that is not linear is refused.

use super::Lowering;
use crate::error::CompileError;
use crate::graph::Op;
use crate::view::{View, dense_strides};
use sonotrace::format::function::{BinaryFunction, Function};
use sonotrace::format::op::{RESAMPLE_TAPS_MAX, Resample};
use std::ops::Range;
use tract_core::internal::*;

/// Most taps of an operation.
const TAPS_MAX: usize = RESAMPLE_TAPS_MAX as usize;

/// Whether a node resamples: tract has several operations for it, one private to its ONNX part.
pub(super) fn is_resize(node: &TypedNode) -> bool {
    matches!(&*node.op.name(), "Resize" | "NearestUpsample" | "OnnxResize")
}

/// Weights along an axis: `[outputs][inputs]`.
struct AxisWeights {
    axis: usize,
    inputs: usize,
    outputs: usize,
    values: Vec<f32>,
}

impl Lowering<'_> {
    pub(super) fn resize(&mut self, node: &TypedNode) -> Result<View, CompileError> {
        let mut view = self.input(node, 0)?;
        let (from, to) = (view.dims.clone(), self.output_shape(node)?);
        let mut all = Vec::new();
        for axis in (0..from.len()).filter(|&axis| from[axis] != to[axis]) {
            all.push(self.axis_weights(node, &from, &to, axis)?);
        }
        self.check_weights(node, &from, &to, &all)?;
        for weights in &all {
            view = self.resample(node, &view, weights)?;
        }
        Ok(view)
    }

    /// The node's response to an input.
    fn response(&self, node: &TypedNode, shape: &[usize], values: &[f32]) -> Result<Vec<f32>, CompileError> {
        let problem = |problem: TractError| {
            self.unsupported(node, format!("its weights cannot be computed: {problem:#}"))
        };
        let mut inputs = tvec![Tensor::from_shape(shape, values).map_err(problem)?.into_tvalue()];
        for slot in 1..node.inputs.len() {
            let constant = self.constant_input(node, slot);
            inputs.push(
                constant
                    .ok_or_else(|| self.unsupported(node, "only constant sizes are supported"))?
                    .into_tvalue(),
            );
        }
        let turn = TurnState::default();
        let outputs = node.op.eval(&turn.context(SessionId::NONE, usize::MAX), inputs).map_err(problem)?;
        Ok(outputs[0].to_plain_array_view::<f32>().map_err(problem)?.iter().copied().collect())
    }

    /// Weights along an axis. Positions along the axes that keep their length are independent, so each of them gets
    /// another unit vector.
    fn axis_weights(
        &self,
        node: &TypedNode,
        from: &[usize],
        to: &[usize],
        axis: usize,
    ) -> Result<AxisWeights, CompileError> {
        let (inputs, outputs) = (from[axis], to[axis]);
        let (from_strides, to_strides) = (dense_strides(from), dense_strides(to));
        let elements: usize = from.iter().product();
        let kept: Vec<usize> = (0..from.len()).filter(|&other| from[other] == to[other]).collect();
        let lanes: usize = kept.iter().map(|&other| from[other]).product();
        let lane = |at: usize| {
            kept.iter().fold(0, |lane, &other| lane * from[other] + at / from_strides[other] % from[other])
        };
        let mut values = vec![0.0; outputs * inputs];
        for first in (0..inputs).step_by(lanes) {
            let unit: Vec<f32> = (0..elements)
                .map(|at| if at / from_strides[axis] % inputs == first + lane(at) { 1.0 } else { 0.0 })
                .collect();
            let response = self.response(node, from, &unit)?;
            for number in 0..lanes.min(inputs - first) {
                // The first place of the lane: index 0 along all other resampled axes.
                let mut rest = number;
                let mut at = 0;
                for &other in kept.iter().rev() {
                    at += rest % from[other] * to_strides[other];
                    rest /= from[other];
                }
                for output in 0..outputs {
                    values[output * inputs + first + number] = response[at + output * to_strides[axis]];
                }
            }
        }
        Ok(AxisWeights { axis, inputs, outputs, values })
    }

    /// Compares the tables with the operation on values that are not unit vectors.
    fn check_weights(
        &self,
        node: &TypedNode,
        from: &[usize],
        to: &[usize],
        all: &[AxisWeights],
    ) -> Result<(), CompileError> {
        let mut shape = from.to_vec();
        let mut values: Vec<f32> = (0..from.iter().product::<usize>())
            .map(|at| ((at * 37 + 11) % 101) as f32 / 50.0 - 1.0)
            .collect();
        let expected = self.response(node, from, &values)?;
        for weights in all {
            let inner: usize = shape[weights.axis + 1..].iter().product();
            let mut next = vec![0.0; values.len() / weights.inputs * weights.outputs];
            for (block, next) in values
                .chunks_exact(weights.inputs * inner)
                .zip(next.chunks_exact_mut(weights.outputs * inner))
            {
                for (row, next) in
                    weights.values.chunks_exact(weights.inputs).zip(next.chunks_exact_mut(inner))
                {
                    for (input, &weight) in row.iter().enumerate().filter(|(_, weight)| **weight != 0.0) {
                        next.iter_mut()
                            .zip(&block[input * inner..])
                            .for_each(|(to, from)| *to += weight * from);
                    }
                }
            }
            values = next;
            shape[weights.axis] = weights.outputs;
        }
        let is_same = shape == to && values.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4);
        if !is_same {
            return Err(self.unsupported(node, "it is not linear, or its axes depend on each other"));
        }
        Ok(())
    }

    /// Resamples along an axis: in parts if an output needs more taps than an operation has, as where a large image is averaged
    /// to a small one.
    fn resample(
        &mut self,
        node: &TypedNode,
        view: &View,
        weights: &AxisWeights,
    ) -> Result<View, CompileError> {
        let rows = weights.values.chunks_exact(weights.inputs);
        let used: Vec<Vec<usize>> =
            rows.map(|row| (0..row.len()).filter(|&at| row[at] != 0.0).collect()).collect();
        let taps = used.iter().map(Vec::len).max().unwrap_or(1).max(1);
        let mut sum: Option<View> = None;
        for first in (0..taps).step_by(TAPS_MAX) {
            let part = self.resample_part(node, view, weights, &used, first..taps.min(first + TAPS_MAX))?;
            sum = Some(match sum {
                None => part,
                Some(before) => {
                    let sum = self.fresh(node, &part.dims);
                    let add = Function::Binary(BinaryFunction::Add);
                    self.elementwise_into(node, add, &sum, &[&before, &part])?;
                    sum
                }
            });
        }
        sum.ok_or_else(|| self.unsupported(node, "it has no output"))
    }

    /// The part of a resampling of some of the taps of each output; `used` are the inputs of each output.
    fn resample_part(
        &mut self,
        node: &TypedNode,
        view: &View,
        weights: &AxisWeights,
        used: &[Vec<usize>],
        part: Range<usize>,
    ) -> Result<View, CompileError> {
        let taps = part.len();
        let (mut indices, mut factors) = (Vec::new(), Vec::new());
        for (row, used) in weights.values.chunks_exact(weights.inputs).zip(used) {
            for tap in part.clone() {
                // A missing tap repeats the first one, with weight 0.
                indices.push(used.get(tap).or(used.first()).copied().unwrap_or(0) as i32);
                factors.push(used.get(tap).map_or(0.0, |&at| row[at]));
            }
        }
        let mut dims = view.dims.clone();
        dims[weights.axis] = weights.outputs;
        let output = self.fresh(node, &dims);
        let table = self.index_constant(node, &[weights.outputs, taps], indices).tensor;
        let factors = self.module.constant(self.program, &node.name, crate::graph::Constant::Floats(factors));
        let mut source = view.clone();
        source.dims = dims.clone();
        let step = std::mem::replace(&mut source.strides[weights.axis], 0);
        self.resample_op(
            node,
            &output,
            &source,
            weights.axis,
            [taps, weights.inputs, step],
            [table, factors],
        )?;
        Ok(output)
    }

    fn resample_op(
        &mut self,
        node: &TypedNode,
        output: &View,
        source: &View,
        axis: usize,
        [taps, length, step]: [usize; 3],
        [table, factors]: [usize; 2],
    ) -> Result<(), CompileError> {
        let resample = |axis: usize| Resample {
            axis: axis as u32,
            taps: taps as u32,
            input_length: length as u32,
            input_stride: step as u32,
        };
        let mut op = Op::new(resample(0), &node.name);
        // A third operand, with a stride along the resampled axis only, keeps this axis from being merged.
        let mut marker =
            View { tensor: table, offset: 0, dims: output.dims.clone(), strides: vec![0; output.dims.len()] };
        marker.strides[axis] = 1;
        op.dims = self.place(node, &mut op.operands, &output.dims, &[output, source, &marker])?;
        let placed = op.operands[2].map(|operand| operand.strides);
        let dim = placed.and_then(|strides| strides.iter().position(|&stride| stride == 1));
        // An axis that is resampled to length 1 was merged away; any other dim of length 1 stands for it.
        let dim = dim.or_else(|| op.dims.iter().position(|&extent| extent == 1));
        let dim = dim.ok_or_else(|| self.unsupported(node, "it has more than 8 dimensions"))?;
        for (slot, tensor) in [(2, table), (3, factors)] {
            op.operands[slot] = Some(crate::graph::Operand { tensor, offset: 0, strides: [0; 8] });
        }
        op.operation = resample(dim).into();
        self.ops.push(op);
        Ok(())
    }
}
