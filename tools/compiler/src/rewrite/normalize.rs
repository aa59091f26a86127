//! Normalisations.

use super::fragment::{Fragment, find, int, ints};
use super::{Outcome, Rewritten, Rule, one};

pub(super) const RULES: &[Rule] = &[
    Rule::new("LRN", &[], local_response),
    Rule::new("BatchNormalization", &[], training)
        .only_if(|node, _| find(node, "training_mode").is_some_and(|mode| mode.i != 0)),
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

fn training(_: &mut Fragment<'_>) -> Rewritten {
    Err("training_mode is 1: export the network in evaluation mode".to_owned())
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
