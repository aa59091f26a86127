//! A small model whose masks are noise: the most work for a contour that a network can cause.

use sonotrace_compiler::{CompileError, Options, Weights, compile_graphs, frontend};
use sonotrace_tests::onnx::{Onnx, int, ints};
use sonotrace_tests::still::Still;
use std::error::Error;

/// Side of the image and of the mask.
pub const SIDE: usize = 256;
/// Side of the embedding.
const EMBEDDING: usize = 16;
/// Point slots.
const POINTS: usize = 16;
/// The tracker. The segmenter's mask replaces the tracker's.
const STILL: Still =
    Still { input: SIDE, mask: SIDE, grid: EMBEDDING, points: POINTS, mean: 0.25, std: 0.2, trust: 1.0 };

/// Returns a logit for each pixel of a mask: three of five pixels are inside, at random.
pub fn logits() -> Vec<f32> {
    let logit = |at: u32| {
        let hash = (at ^ 0x9e37_79b9).wrapping_mul(0x7feb_352d);
        let hash = (hash ^ hash >> 15).wrapping_mul(0x846c_a68b);
        if (hash ^ hash >> 16) % 5 < 3 { 1.0 } else { -0.9 }
    };
    (0..(SIDE * SIDE) as u32).map(logit).collect()
}

/// Compiles the model. Whatever its inputs are, the mask is nearly [`logits`].
///
/// # Errors
/// Only for a defect, or if the conventions cannot be written to the folder for temporary files.
pub fn model() -> Result<Vec<u8>, Box<dyn Error>> {
    let conventions = std::env::temp_dir().join(format!("noise-conventions-{}.json", std::process::id()));
    std::fs::write(&conventions, STILL.conventions())?;
    let options =
        Options { weights: Weights::F16, conventions: Some(conventions.clone()), ..Options::default() };
    let compiled = compile_graphs(&[encoder()?, decoder()?, STILL.tracker(), STILL.memory()], &options);
    std::fs::remove_file(conventions)?;
    Ok(compiled?.bytes)
}

fn encoder() -> Result<frontend::Graph, CompileError> {
    let stride = (SIDE / EMBEDDING) as i64;
    Onnx::default()
        .input("image", &[1, 1, SIDE, SIDE])
        .weights("patch", &[4, 1, stride as usize, stride as usize])
        .node("Conv", &["image", "patch"], &["embedding"], &[ints("strides", &[stride, stride])])
        .output("embedding")
        .graph("encoder")
}

/// Adds to the noise a thousandth of the mean of all inputs, bounded by 1, because a model uses each of its inputs.
fn decoder() -> Result<frontend::Graph, CompileError> {
    let inputs: [(&str, &[usize]); 5] = [
        ("embedding", &[1, 4, EMBEDDING, EMBEDDING]),
        ("point_coords", &[1, POINTS, 2]),
        ("point_labels", &[1, POINTS]),
        ("mask_input", &[1, 1, SIDE, SIDE]),
        ("has_mask_input", &[1]),
    ];
    let graph = Onnx::default()
        .floats("noise", &[1, 1, SIDE, SIDE], &logits())
        .floats("thousandth", &[1], &[1e-3])
        .floats("quality", &[1, 1], &[0.9])
        .indices("one", &[1], &[1])
        .indices("grid", &[4], &[1, 1, 1, 1])
        .indices("pair", &[2], &[1, 1]);
    let graph = inputs.iter().fold(graph, |graph, (name, shape)| {
        let axes: Vec<i64> = (0..shape.len() as i64).collect();
        let (bounded, mean, flat) =
            (format!("{name}_bounded"), format!("{name}_mean"), format!("{name}_flat"));
        graph
            .input(name, shape)
            .node("Tanh", &[name], &[&bounded], &[])
            .node("ReduceMean", &[&bounded], &[&mean], &[ints("axes", &axes), int("keepdims", 0)])
            .node("Reshape", &[&mean, "one"], &[&flat], &[])
    });
    graph
        .node("Add", &["embedding_flat", "point_coords_flat"], &["sum_2"], &[])
        .node("Add", &["sum_2", "point_labels_flat"], &["sum_3"], &[])
        .node("Add", &["sum_3", "mask_input_flat"], &["sum_4"], &[])
        .node("Add", &["sum_4", "has_mask_input_flat"], &["sum_5"], &[])
        .node("Mul", &["sum_5", "thousandth"], &["little"], &[])
        .node("Reshape", &["little", "grid"], &["little_grid"], &[])
        .node("Add", &["noise", "little_grid"], &["masks"], &[])
        .node("Reshape", &["little", "pair"], &["little_pair"], &[])
        .node("Add", &["quality", "little_pair"], &["iou"], &[])
        .output("masks")
        .output("iou")
        .graph("decoder")
}
