//! Reductions that tract computes wrongly for constants.

use super::fragment::{Fragment, find};
use super::{Outcome, Rewritten, Rule, one};
use crate::view::dense_strides;
use tract_onnx::prelude::Datum;

// For nothing but infinities tract returns the largest or smallest finite number, and folds it into the graph.
pub(super) const RULES: &[Rule] =
    &[Rule::new("ReduceMax", &[1], constant_extreme), Rule::new("ReduceMin", &[1], constant_extreme)];

/// The extreme of a constant that has infinities.
fn constant_extreme(f: &mut Fragment<'_>) -> Rewritten {
    let is_constant =
        f.known(0).is_some_and(|known| known.value.is_some() && known.dtype == f32::datum_type());
    if !is_constant {
        return Ok(Outcome::AsIs);
    }
    let (shape, values) = (f.shape(0)?, f.numbers(0)?.unwrap_or_default());
    if values.iter().all(|value| value.is_finite()) {
        return Ok(Outcome::AsIs);
    }
    let rank = shape.len();
    let axes = match find(f.node, "axes") {
        Some(axes) => axes.ints.clone(),
        None => f.integers(1)?.unwrap_or_default(),
    };
    let counted = axes.iter().map(|&axis| if axis < 0 { axis + rank as i64 } else { axis } as usize);
    let mut axes: Vec<usize> = counted.collect();
    if axes.is_empty() && f.int("noop_with_empty_axes", 0) == 0 {
        axes = (0..rank).collect();
    }
    let (is_max, keeps) = (f.node.op_type == "ReduceMax", f.int("keepdims", 1) != 0);
    let reduced: Vec<usize> =
        (0..rank).map(|axis| if axes.contains(&axis) { 1 } else { shape[axis] }).collect();
    let (from, to) = (dense_strides(&shape), dense_strides(&reduced));
    let start = if is_max { f32::NEG_INFINITY } else { f32::INFINITY };
    let mut extremes = vec![start; reduced.iter().product()];
    for (at, &value) in values.iter().enumerate() {
        let kept = (0..rank).filter(|axis| reduced[*axis] != 1);
        let place: usize = kept.map(|axis| at / from[axis] % shape[axis] * to[axis]).sum();
        let extreme = &mut extremes[place];
        let is_beyond = if is_max { value > *extreme } else { value < *extreme };
        if is_beyond || value.is_nan() {
            *extreme = value;
        }
    }
    let kept = (0..rank).filter(|axis| keeps || !axes.contains(axis)).map(|axis| reduced[axis]);
    let kept: Vec<usize> = kept.collect();
    let constant = f.floats(&kept, &extremes);
    one(f.op("Identity", &[&constant], &[]))
}
