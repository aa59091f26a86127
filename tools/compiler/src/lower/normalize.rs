//! Normalisations: LayerNorm, InstanceNorm, GroupNorm, RMSNorm. tract writes them out, except for a division by the root mean
//! square over a single axis. They are recognised by what they compute, not by who wrote them.

use super::{Lowering, Value};
use crate::error::CompileError;
use crate::view::View;
use sonotrace::format::PIECE_WORK_MAX;
use sonotrace::format::function::Unary;
use sonotrace::format::op::{Normalize, Statistics};
use std::collections::HashMap;
use tract_core::internal::*;
use tract_core::ops::binary::{BinMiniOp, TypedBinOp};
use tract_core::ops::element_wise::ElementWiseOp;
use tract_core::ops::math::{Add, Div, Mul, Sub};
use tract_core::ops::nn::{Reduce, Reducer, RmsNorm};

/// Largest relative error of a constant that stands for one over a number of elements.
const SHARE_TOLERANCE: f32 = 1e-6;

/// A node that computes the last step of a normalisation.
#[derive(Debug, Clone)]
pub(super) struct Normalisation {
    input: OutletId,
    axes: TVec<usize>,
    statistics: Statistics,
    epsilon: f32,
}

/// Finds the normalisations of a graph, by the node of their last step.
pub(super) fn find(model: &TypedModel) -> HashMap<usize, Normalisation> {
    model.nodes().iter().filter_map(|node| Some((node.id, normalisation(model, node)?))).collect()
}

/// `d / sqrt(mean(d * d) + epsilon)` of anything, or of `d = x - mean(x)`.
fn normalisation(model: &TypedModel, node: &TypedNode) -> Option<Normalisation> {
    let (divided, axes, epsilon) = match node.op_as::<RmsNorm>() {
        Some(op) => (node.inputs[0], tvec![op.axis], scalar(&op.eps)?),
        None => {
            by_root_mean_square(model, node).filter(|(input, axes, _)| is_allowed(model, *input, axes))?
        }
    };
    let less_mean = binary::<Sub>(model, divided).and_then(|node| {
        let (x, mean) = (node.inputs[0], node.inputs[1]);
        let (of, over) = mean_of(model, mean)?;
        (of == x && over == axes).then_some(x)
    });
    Some(match less_mean {
        Some(input) => Normalisation { input, axes, statistics: Statistics::MeanVariance, epsilon },
        None => Normalisation { input: divided, axes, statistics: Statistics::RootMeanSquare, epsilon },
    })
}

/// Whether the runtime computes a normalisation over these axes without a stop; if not, its steps stay apart.
fn is_allowed(model: &TypedModel, input: OutletId, axes: &[usize]) -> bool {
    let extents: Option<Vec<u64>> = model.outlet_fact(input).ok().and_then(|fact| {
        axes.iter().map(|&axis| fact.shape[axis].to_usize().ok().map(|extent| extent as u64)).collect()
    });
    let normalize = Normalize {
        statistics: Statistics::MeanVariance,
        kept_dims: 0,
        epsilon: 0.0,
        activation: Unary::COPY,
    };
    extents.is_some_and(|extents| {
        let elements = extents.into_iter().fold(1u64, u64::saturating_mul);
        let dims = u32::try_from(elements).map(|elements| [1, 1, 1, 1, 1, 1, 1, elements]);
        dims.is_ok_and(|dims| {
            sonotrace::format::Operation::from(normalize).piece_work(&dims) <= PIECE_WORK_MAX
        })
    })
}

/// What a node divides by the root of its mean square and epsilon, and the axes of that mean.
fn by_root_mean_square(model: &TypedModel, node: &TypedNode) -> Option<(OutletId, TVec<usize>, f32)> {
    let op = node.op_as::<TypedBinOp>()?;
    let [a, b] = *node.inputs else { return None };
    let (divided, variance) = if op.0.is::<Mul>() {
        either(a, b, |divided, factor| Some((divided, reciprocal_root(model, factor)?)))?
    } else if op.0.is::<Div>() {
        (a, function(model, b, "Sqrt")?)
    } else {
        return None;
    };
    let sum = binary::<Add>(model, variance)?;
    let (mean, epsilon) = either(sum.inputs[0], sum.inputs[1], |mean, epsilon| {
        Some((mean, number(model, epsilon).filter(|&epsilon| epsilon >= 0.0)?))
    })?;
    let (of, axes) = mean_of_squares(model, mean)?;
    (of == divided).then_some((divided, axes, epsilon))
}

/// `x` of `1 / sqrt(x)`.
fn reciprocal_root(model: &TypedModel, outlet: OutletId) -> Option<OutletId> {
    function(model, outlet, "Rsqrt").or_else(|| function(model, function(model, outlet, "Recip")?, "Sqrt"))
}

/// What is squared and averaged, and over which axes.
fn mean_of_squares(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, TVec<usize>)> {
    if let Some(op) = model.node(outlet.node).op_as::<Reduce>() {
        let is_of_squares = op.reducer == Reducer::MeanOfSquares;
        return is_of_squares.then(|| (model.node(outlet.node).inputs[0], op.axes.clone()));
    }
    let (squares, axes) = mean_of(model, outlet)?;
    let product = binary::<Mul>(model, squares).filter(|node| node.inputs[0] == node.inputs[1]);
    let of = product.map(|node| node.inputs[0]).or_else(|| function(model, squares, "Square"))?;
    Some((of, axes))
}

/// What is averaged, and over which axes: a sum times one over the number of its elements, or divided by that number.
fn mean_of(model: &TypedModel, outlet: OutletId) -> Option<(OutletId, TVec<usize>)> {
    let (sum, share) = match (binary::<Mul>(model, outlet), binary::<Div>(model, outlet)) {
        (Some(node), _) => {
            either(node.inputs[0], node.inputs[1], |sum, share| Some((sum, number(model, share)?)))?
        }
        (_, Some(node)) => (node.inputs[0], 1.0 / number(model, node.inputs[1])?),
        _ => return None,
    };
    let node = model.node(sum.node);
    let op = node.op_as::<Reduce>().filter(|op| op.reducer == Reducer::Sum)?;
    let of = node.inputs[0];
    let shape = &model.outlet_fact(of).ok()?.shape;
    let count: usize = op.axes.iter().map(|&axis| shape[axis].to_usize().ok()).product::<Option<usize>>()?;
    ((share * count as f32 - 1.0).abs() < SHARE_TOLERANCE).then(|| (of, op.axes.clone()))
}

/// The result for two values in one order or the other.
fn either<T>(a: OutletId, b: OutletId, find: impl Fn(OutletId, OutletId) -> Option<T>) -> Option<T> {
    find(a, b).or_else(|| find(b, a))
}

fn binary<T: BinMiniOp>(model: &TypedModel, outlet: OutletId) -> Option<&TypedNode> {
    let node = model.node(outlet.node);
    node.op_as::<TypedBinOp>()?.0.is::<T>().then_some(node)
}

/// The input of a function of this name.
fn function(model: &TypedModel, outlet: OutletId, name: &str) -> Option<OutletId> {
    let node = model.node(outlet.node);
    (node.op_as::<ElementWiseOp>()?.0.name() == name).then(|| node.inputs[0])
}

/// A constant whose elements are all the same number.
fn number(model: &TypedModel, outlet: OutletId) -> Option<f32> {
    scalar(&model.outlet_fact(outlet).ok()?.konst.as_ref()?.as_uniform()?)
}

fn scalar(tensor: &Tensor) -> Option<f32> {
    tensor.cast_to::<f32>().ok()?.to_plain_array_view::<f32>().ok()?.first().copied()
}

impl Lowering<'_> {
    pub(super) fn normalisation(
        &mut self,
        node: &TypedNode,
        found: &Normalisation,
    ) -> Result<View, CompileError> {
        let Some(Value::View(input)) = self.values.get(&found.input).cloned() else {
            return Err(self.unsupported(node, "it normalises a constant"));
        };
        let output = self.fresh(node, &input.dims.clone());
        let (statistics, epsilon, activation) = (found.statistics, found.epsilon, Unary::COPY);
        let operation = |kept_dims| Normalize { statistics, kept_dims, epsilon, activation }.into();
        self.over_axes(node, operation, &found.axes, &output, &input)?;
        Ok(output)
    }
}
