//! Operations on images: pooling, transposed convolution, blocks of pixels.

use super::fragment::{Fragment, find, int, ints};
use super::{Outcome, Rewritten, Rule, one};
use tract_onnx::pb::AttributeProto;

pub(super) const RULES: &[Rule] = &[
    // tract pads as if the shape were not given.
    Rule::new("ConvTranspose", &[], conv_transpose).only_if(|node, _| find(node, "output_shape").is_some()),
    Rule::new("MaxPool", &[], pool),
    Rule::new("AveragePool", &[], pool),
    Rule::new("LpPool", &[], lp_pool),
    // tract swaps blocks and channels, and ignores the mode.
    Rule::new("SpaceToDepth", &[], space_to_depth),
];

/// Attributes of the node, except some.
fn kept(f: &Fragment<'_>, dropped: &[&str]) -> Vec<AttributeProto> {
    f.node.attribute.iter().filter(|attribute| !dropped.contains(&attribute.name.as_str())).cloned().collect()
}

/// The padding that gives the wanted shape; where even no padding is too little, the rest is added at the end.
fn conv_transpose(f: &mut Fragment<'_>) -> Rewritten {
    let (input, kernel) = (f.shape(0)?, f.shape(1)?);
    let rank = input.len().saturating_sub(2);
    let mut wanted = f.ints("output_shape").unwrap_or_default();
    if wanted.len() == rank + 2 {
        wanted.drain(..2);
    }
    let list = |name: &str, default: i64| f.ints(name).unwrap_or_else(|| vec![default; rank]);
    let (strides, dilations, added) = (list("strides", 1), list("dilations", 1), list("output_padding", 0));
    if [wanted.len(), strides.len(), dilations.len(), added.len(), kernel.len() - 2] != [rank; 5] {
        return Err(format!("output_shape is {wanted:?}, its input has {rank} spatial axes"));
    }
    let is_upper = f.text("auto_pad", "NOTSET") == "SAME_UPPER";
    let (mut before, mut after, mut rest) = (Vec::new(), Vec::new(), Vec::new());
    for axis in 0..rank {
        let full = strides[axis] * (input[axis + 2] as i64 - 1)
            + added[axis]
            + (kernel[axis + 2] as i64 - 1) * dilations[axis]
            + 1;
        let total = (full - wanted[axis]).max(0);
        let (smaller, larger) = (total / 2, total - total / 2);
        before.push(if is_upper { smaller } else { larger });
        after.push(if is_upper { larger } else { smaller });
        rest.push(added[axis] + (wanted[axis] - full).max(0));
    }
    let mut attributes = kept(f, &["output_shape", "auto_pad", "pads", "output_padding"]);
    attributes.push(ints("pads", &[before, after].concat()));
    attributes.push(ints("output_padding", &rest));
    let names: Vec<String> = (0..f.node.input.len()).map(|slot| f.input(slot)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    one(f.op("ConvTranspose", &names, &attributes))
}

fn pool(f: &mut Fragment<'_>) -> Rewritten {
    kernel(f)?;
    Ok(Outcome::AsIs)
}

/// The extents of the kernel. tract takes any input for one with axes of images and channels, and reads past its shape.
fn kernel(f: &Fragment<'_>) -> Result<Vec<i64>, String> {
    let kernel = f.ints("kernel_shape").ok_or("kernel_shape is missing")?;
    let axes = f.shape(0)?.len();
    if axes != kernel.len() + 2 {
        return Err(format!("kernel_shape is {kernel:?}, its input has {axes} axes"));
    }
    Ok(kernel)
}

/// The root of the sum of powers: the mean over the whole kernel, times its size.
fn lp_pool(f: &mut Fragment<'_>) -> Rewritten {
    let power = f.int("p", 2);
    let kernel = kernel(f)?;
    let mut attributes = kept(f, &["p"]);
    attributes.push(int("count_include_pad", 1));
    let size: i64 = kernel.iter().product();
    let [power_of, root, size] = [power as f32, 1.0 / power as f32, size as f32].map(|value| f.number(value));
    let x = f.input(0);
    let x = f.op("Abs", &[&x], &[]);
    let raised = if power == 1 { x } else { f.op("Pow", &[&x, &power_of], &[]) };
    let mean = f.op("AveragePool", &[&raised], &attributes);
    let sum = f.op("Mul", &[&mean, &size], &[]);
    one(if power == 1 { sum } else { f.op("Pow", &[&sum, &root], &[]) })
}

fn space_to_depth(f: &mut Fragment<'_>) -> Rewritten {
    let [batch, channels, rows, columns] = f.shape(0)?[..] else {
        return Err(format!("its input has shape {:?}, expected 4 axes", f.shape(0)?));
    };
    let block = usize::try_from(f.int("blocksize", 0)).unwrap_or(0);
    if block == 0 || !rows.is_multiple_of(block) || !columns.is_multiple_of(block) {
        return Err(format!("blocksize is {block}, it must divide {rows} and {columns}"));
    }
    let x = f.input(0);
    let apart = f.reshape(&x, &[batch, channels, rows / block, block, columns / block, block]);
    let order = match &*f.text("mode", "DCR") {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        mode => return Err(format!("mode is {mode}, only DCR and CRD are supported")),
    };
    let turned = f.transpose(&apart, &order);
    one(f.reshape(&turned, &[batch, channels * block * block, rows / block, columns / block]))
}
