//! Normalisations.

use super::fragment::{Fragment, int, ints};
use super::{Outcome, Rewritten, Rule, one};

pub(super) const RULES: &[Rule] = &[
    Rule::new("LRN", &[], local_response),
    Rule::new("BatchNormalization", &[], batch),
    Rule::new("GroupNormalization", &[], groups),
    Rule::new("InstanceNormalization", &[], of_channels),
];

/// Divides by a power of the mean square over neighbouring channels.
fn local_response(f: &mut Fragment<'_>) -> Rewritten {
    let shape = f.shape(0)?;
    let size = f.int("size", 1);
    let channels = *shape.get(1).ok_or("its input has no axis of channels")?;
    let (alpha, beta, bias) = (f.float("alpha", 1e-4), f.float("beta", 0.75), f.float("bias", 1.0));
    let x = f.input(0);
    let squares = f.op("Mul", &[&x, &x], &[]);
    // Channels as rows of an image with one channel.
    let rows = f.reshape(&squares, &[shape[0], 1, channels, shape[2..].iter().product()]);
    let pads = ints("pads", &[(size - 1) / 2, 0, size / 2, 0]);
    let window =
        [ints("kernel_shape", &[size, 1]), ints("strides", &[1, 1]), pads, int("count_include_pad", 1)];
    let mean = f.op("AveragePool", &[&rows], &window);
    let mean = f.reshape(&mean, &shape);
    // The sum is divided by the size, which the mean over the whole window already is.
    let [alpha, beta, bias] = [alpha, -beta, bias].map(|value| f.number(value));
    let base = f.op("Mul", &[&mean, &alpha], &[]);
    let base = f.op("Add", &[&base, &bias], &[]);
    let factor = f.op("Pow", &[&base, &beta], &[]);
    one(f.op("Mul", &[&x, &factor], &[]))
}

/// A factor and a term for each channel. tract reads past the shape of an input with one axis.
fn batch(f: &mut Fragment<'_>) -> Rewritten {
    if f.int("training_mode", 0) != 0 {
        return Err("training_mode is 1: export the network in evaluation mode".to_owned());
    }
    if f.opset < 7 && f.int("is_test", 0) == 0 {
        return Err("is_test is 0: export the network in evaluation mode".to_owned());
    }
    let shape = f.shape(0)?;
    if shape.is_empty() {
        return Err("its input has 0 axes".to_owned());
    }
    // "The op also accepts single dimension input of size N in which case C is assumed to be 1" (the standard).
    let channels = shape.get(1).copied().unwrap_or(1);
    for (slot, name) in (1..).zip(["scale", "bias", "mean", "variance"]) {
        let given = f.shape(slot)?;
        if given != [channels] {
            return Err(format!("its {name} has shape {given:?}, its input has {channels} channels"));
        }
    }
    let epsilon = f.float("epsilon", 1e-5);
    let epsilon = f.number(epsilon);
    let [x, scale, bias, mean, variance] = [0, 1, 2, 3, 4].map(|slot| f.input(slot));
    let deviation = f.op("Add", &[&variance, &epsilon], &[]);
    let deviation = f.op("Sqrt", &[&deviation], &[]);
    let factor = f.op("Div", &[&scale, &deviation], &[]);
    let term = f.op("Mul", &[&mean, &factor], &[]);
    let term = f.op("Sub", &[&bias, &term], &[]);
    let places = vec![1; shape.len().saturating_sub(2)];
    let of_channels = [&[channels], &places[..]].concat();
    let [factor, term] = [factor, term].map(|value| f.reshape(&value, &of_channels));
    let scaled = f.op("Mul", &[&x, &factor], &[]);
    one(f.op("Add", &[&scaled, &term], &[]))
}

fn of_channels(f: &mut Fragment<'_>) -> Rewritten {
    let channels = *f.shape(0)?.get(1).ok_or("its input has no axis of channels")?;
    with_scales(f, channels, "channels")
}

/// Up to operator set 20, a scale is for a group.
fn groups(f: &mut Fragment<'_>) -> Rewritten {
    if f.opset > 20 {
        return of_channels(f);
    }
    with_scales(f, usize::try_from(f.int("num_groups", 0)).unwrap_or(0), "groups")
}

/// tract broadcasts scales and shifts of another number of elements.
fn with_scales(f: &mut Fragment<'_>, count: usize, unit: &str) -> Rewritten {
    for (slot, name) in (1..f.node.input.len()).zip(["scale", "bias"]) {
        let given = f.shape(slot)?;
        if given != [count] {
            return Err(format!("its {name} has shape {given:?}, its input has {count} {unit}"));
        }
    }
    Ok(Outcome::AsIs)
}
