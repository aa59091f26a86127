//! Operations that move elements: padding, cropping, selecting by constants.

use super::fragment::{Fragment, find, int, signed, text};
use super::{Outcome, Rewritten, Rule, one};

pub(super) const RULES: &[Rule] = &[
    // Without a value, tract takes zeros of f64.
    Rule::new("ConstantOfShape", &[0], zeros).only_if(|node, _| find(node, "value").is_none()),
    Rule::new("Pad", &[1, 2, 3], pad),
    // tract panics on axes that are counted from the end or not in order.
    Rule::new("Squeeze", &[1], squeeze),
    Rule::new("CenterCropPad", &[1], center_crop_pad),
    Rule::new("Compress", &[1], compress),
    Rule::new("ReverseSequence", &[1], reverse_sequence),
    // tract counts tuples of indices from the front only.
    Rule::new("GatherND", &[1], counted_tuples),
    Rule::new("ScatterND", &[1], counted_tuples),
];

/// Axes counted from the front.
fn counted(axes: &[i64], rank: usize) -> Result<Vec<usize>, String> {
    let count = |&axis: &i64| {
        let counted = if axis < 0 { axis + rank as i64 } else { axis };
        usize::try_from(counted).ok().filter(|&axis| axis < rank)
    };
    axes.iter()
        .map(|axis| count(axis).ok_or_else(|| format!("axis {axis} of an input with {rank} axes")))
        .collect()
}

fn zeros(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.integers(0)?.ok_or("its shape is missing")?;
    let (zero, shape) = (f.number(0.0), f.list(&shape));
    one(f.op("Expand", &[&zero, &shape], &[]))
}

/// Padding: negative widths crop, and every mode but `constant` gathers along each axis.
fn pad(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let rank = shape.len();
    let widths = match f.ints("pads") {
        Some(widths) => widths,
        None => f.integers(1)?.ok_or("its widths are missing")?,
    };
    let axes = match f.integers(3)? {
        Some(axes) => counted(&axes, rank)?,
        None => (0..rank).collect(),
    };
    if widths.len() != 2 * axes.len() {
        return Err(format!("{} widths for {} axes", widths.len(), axes.len()));
    }
    let mode = f.text("mode", "constant");
    let is_scalar = f.known(2).is_none_or(|value| value.shape.is_empty());
    let is_plain = mode == "constant" && widths.iter().all(|&width| width >= 0) && !f.has(3) && is_scalar;
    if is_plain && f.opset >= 11 {
        return Ok(Outcome::AsIs);
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (at, &axis) in axes.iter().enumerate() {
        (before[axis], after[axis]) = (widths[at], widths[at + axes.len()]);
    }
    let mut x = f.input(0);
    if mode != "constant" {
        for axis in 0..rank {
            if (before[axis], after[axis]) == (0, 0) {
                continue;
            }
            let indices = border(&mode, shape[axis] as i64, before[axis], after[axis])?;
            let indices = f.list(&indices);
            x = f.op("Gather", &[&x, &indices], &[int("axis", axis as i64)]);
        }
        return one(x);
    }
    for axis in 0..rank {
        if before[axis] < 0 || after[axis] < 0 {
            let (start, end) = ((-before[axis]).max(0), shape[axis] as i64 + after[axis].min(0));
            if start >= end {
                return Err(format!("its negative widths leave nothing of axis {axis}"));
            }
            x = f.slice(&x, axis, start, end, 1);
        }
    }
    let widths: Vec<i64> = before.iter().chain(&after).map(|&width| width.max(0)).collect();
    if widths.iter().all(|&width| width == 0) {
        return one(f.op("Identity", &[&x], &[]));
    }
    let value = match f.numbers(2)? {
        Some(values) => values.first().copied().unwrap_or(0.0),
        None => f.float("value", 0.0),
    };
    let (widths, value) = (f.list(&widths), f.number(value));
    one(f.op("Pad", &[&x, &widths, &value], &[text("mode", "constant")]))
}

/// Indices along an axis with borders from its own elements.
fn border(mode: &str, length: i64, before: i64, after: i64) -> Result<Vec<i64>, String> {
    let period = (2 * (length - 1)).max(1);
    let inside = |at: i64| match mode {
        "edge" => Ok(at.clamp(0, length - 1)),
        "wrap" => Ok(at.rem_euclid(length)),
        "reflect" => {
            let at = at.rem_euclid(period);
            Ok(at.min(period - at))
        }
        _ => Err(format!("mode is {mode}, only constant, edge, reflect and wrap are supported")),
    };
    if before + after + length <= 0 {
        return Err("its negative widths leave nothing of an axis".to_owned());
    }
    (-before..length + after).map(inside).collect()
}

fn squeeze(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let axes = match find(f.node, "axes") {
        Some(axes) => Some(axes.ints.clone()),
        None => f.integers(1)?,
    };
    let Some(axes) = axes.filter(|axes| axes.len() > 1 || axes.iter().any(|&axis| axis < 0)) else {
        return Ok(Outcome::AsIs);
    };
    let mut axes = counted(&axes, shape.len())?;
    axes.sort_unstable();
    axes.dedup();
    if let Some(&axis) = axes.iter().find(|&&axis| shape[axis] != 1) {
        return Err(format!("axis {axis} has length {}, only axes of length 1 can be removed", shape[axis]));
    }
    let mut x = f.input(0);
    for axis in axes.into_iter().rev() {
        let axis = f.list(&signed(&[axis]));
        x = f.op("Squeeze", &[&x, &axis], &[]);
    }
    one(x)
}

fn center_crop_pad(f: &mut Fragment<'_>) -> Rewritten {
    let mut shape = f.shape(0)?;
    let wanted = f.integers(1)?.ok_or("its shape is missing")?;
    let axes = match f.ints("axes") {
        Some(axes) => counted(&axes, shape.len())?,
        None => (0..shape.len()).collect(),
    };
    if wanted.len() != axes.len() {
        return Err(format!("{} lengths for {} axes", wanted.len(), axes.len()));
    }
    let mut x = f.input(0);
    let (mut before, mut after) = (vec![0; shape.len()], vec![0; shape.len()]);
    for (&axis, &wanted) in axes.iter().zip(&wanted) {
        let length = shape[axis] as i64;
        if wanted < length {
            let start = (length - wanted) / 2;
            x = f.slice(&x, axis, start, start + wanted, 1);
            shape[axis] = wanted as usize;
        } else {
            (before[axis], after[axis]) = ((wanted - length) / 2, wanted - length - (wanted - length) / 2);
        }
    }
    let (widths, zero) = (f.list(&[before, after].concat()), f.number(0.0));
    one(f.op("Pad", &[&x, &widths, &zero], &[text("mode", "constant")]))
}

/// Elements or slices that a constant condition selects.
fn compress(f: &mut Fragment<'_>) -> Rewritten {
    let condition = f.integers(1)?.ok_or("its condition is missing")?;
    let selected: Vec<i64> =
        (0..).zip(&condition).filter(|(_, is_selected)| **is_selected != 0).map(|(at, _)| at).collect();
    if selected.is_empty() {
        return Err("its condition selects nothing".to_owned());
    }
    let shape = f.shape(0)?;
    let (mut x, indices) = (f.input(0), f.list(&selected));
    let axis = if find(f.node, "axis").is_some() {
        f.axis("axis", 0, shape.len())?
    } else {
        x = f.reshape(&x, &[shape.iter().product()]);
        0
    };
    one(f.op("Gather", &[&x, &indices], &[int("axis", axis as i64)]))
}

/// Constant tuples of indices, counted from the front.
fn counted_tuples(f: &mut Fragment<'_>) -> Rewritten {
    let Some(indices) = f.known(1).filter(|known| known.value.is_some()) else { return Ok(Outcome::AsIs) };
    let (data, shape) = (f.shape(0)?, indices.shape.clone());
    let tuples = f.integers(1)?.unwrap_or_default();
    let batch = usize::try_from(f.int("batch_dims", 0)).unwrap_or(0);
    let depth = shape.last().copied().unwrap_or(0);
    let axes = data.get(batch..batch + depth).filter(|axes| !axes.is_empty());
    let axes = axes.ok_or_else(|| format!("tuples of {depth} indices for an input {data:?}"))?;
    let mut changed = tuples.clone();
    for (at, index) in changed.iter_mut().enumerate() {
        let length = axes[at % depth] as i64;
        if !(-length..length).contains(index) {
            return Err(format!("index {index} is outside an axis of {length}"));
        }
        *index = index.rem_euclid(length);
    }
    if changed == tuples {
        return Ok(Outcome::AsIs);
    }
    let mut names: Vec<String> = (0..f.node.input.len()).map(|slot| f.input(slot)).collect();
    names[1] = f.indices(&shape, &changed);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (op, attributes) = (f.node.op_type.clone(), f.node.attribute.clone());
    one(f.op(&op, &names, &attributes))
}

/// The first elements of each sequence in reverse; their numbers are constant.
fn reverse_sequence(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let lengths = f.integers(1)?.ok_or("its lengths are missing")?;
    let (time, batch) = (f.axis("time_axis", 0, shape.len())?, f.axis("batch_axis", 1, shape.len())?);
    if time > 1 || batch > 1 || time == batch || lengths.len() != shape[batch] {
        return Err("only sequences along the first two axes are supported".to_owned());
    }
    let mut indices = Vec::new();
    for first in 0..shape[0] {
        for second in 0..shape[1] {
            let (at, sequence) = if time == 0 { (first, second) } else { (second, first) };
            let length = usize::try_from(lengths[sequence]).unwrap_or(0).min(shape[time]);
            let from = if at < length { length - 1 - at } else { at };
            let (row, column) = if time == 0 { (from, sequence) } else { (sequence, from) };
            indices.push((row * shape[1] + column) as i64);
        }
    }
    let (x, indices) = (f.input(0), f.list(&indices));
    let merged: Vec<usize> = std::iter::once(shape[0] * shape[1]).chain(shape[2..].iter().copied()).collect();
    let rows = f.reshape(&x, &merged);
    let rows = f.op("Gather", &[&rows, &indices], &[int("axis", 0)]);
    one(f.reshape(&rows, &shape))
}
