//! Operations that are written as others, against values that ONNX defines.

use sonotrace::exec::ExecutorConfig;
use sonotrace_compiler::run_compiled;
use sonotrace_tests::onnx::{Onnx, float, int, ints, text};
use tract_onnx::pb::AttributeProto;

/// The first output of a graph.
pub fn run(graph: &Onnx, inputs: &[Vec<f32>]) -> Vec<f32> {
    let compiled = graph.compile().unwrap_or_else(|error| panic!("{error}"));
    run_compiled(&compiled.bytes, "main", inputs, &ExecutorConfig::default()).unwrap().remove(0)
}

/// Asserts that values agree within rounding.
pub fn close(seen: &[f32], expected: &[f32]) {
    assert_eq!(seen.len(), expected.len(), "{seen:?}");
    for (seen, expected) in seen.iter().zip(expected) {
        assert!((seen - expected).abs() <= 2e-5 * expected.abs().max(1.0), "{seen} {expected}");
    }
}

/// One node with an input `x`, in an operator set.
fn node(opset: i64, op: &str, shape: &[usize], attributes: &[AttributeProto]) -> Onnx {
    Onnx::opset(opset).input("x", shape).node(op, &["x"], &["y"], attributes).output("y")
}

#[test]
fn functions_that_the_runtime_lacks() {
    type Case = (&'static str, fn(f64) -> f64, [f32; 4]);
    let functions: [Case; 9] = [
        ("Tan", f64::tan, [-1.4, -0.3, 0.0, 1.2]),
        ("Sinh", f64::sinh, [-4.0, -1e-3, 0.49, 5.0]),
        ("Cosh", f64::cosh, [-4.0, -1e-3, 0.49, 5.0]),
        ("Asinh", f64::asinh, [-40.0, -1e-3, 0.19, 5.0]),
        ("Acosh", f64::acosh, [1.0, 1.001, 2.0, 50.0]),
        ("Atanh", f64::atanh, [-0.99, -1e-3, 0.09, 0.7]),
        ("Atan", f64::atan, [-1e6, -0.5, 0.9999, 3.0]),
        ("Asin", f64::asin, [-1.0, -1e-3, 0.5, 1.0]),
        ("Acos", f64::acos, [-1.0, -1e-3, 0.5, 1.0]),
    ];
    for (op, function, values) in functions {
        let seen = run(&node(17, op, &[4], &[]), &[values.to_vec()]);
        close(&seen, &values.map(|value| function(value.into()) as f32));
    }
}

#[test]
fn activations_with_parameters() {
    let x = vec![-2.0, -0.5, 0.0, 1.5];
    let celu = |value: f32| value.max(0.0) + (0.5 * ((value / 0.5).exp() - 1.0)).min(0.0);
    let seen = run(&node(17, "Celu", &[4], &[float("alpha", 0.5)]), std::slice::from_ref(&x));
    close(&seen, &x.iter().map(|&value| celu(value)).collect::<Vec<_>>());
    let swish = |value: f32| value / (1.0 + (-2.0 * value).exp());
    let seen = run(&node(24, "Swish", &[4], &[float("alpha", 2.0)]), std::slice::from_ref(&x));
    close(&seen, &x.iter().map(|&value| swish(value)).collect::<Vec<_>>());
}

/// Networks with skip connections pad by what is missing, often nothing.
#[test]
fn padding_by_nothing_in_any_mode() {
    for mode in ["constant", "edge", "reflect", "wrap"] {
        let graph = Onnx::opset(19)
            .input("x", &[2, 3])
            .indices("widths", &[4], &[0; 4])
            .node("Relu", &["x"], &["a"], &[])
            .node("Pad", &["a", "widths"], &["b"], &[text("mode", mode)])
            .node("Neg", &["b"], &["y"], &[])
            .output("y");
        let seen = run(&graph, &[vec![1.0, 2.0, 3.0, 4.0, 5.0, -6.0]]);
        assert_eq!(seen, [-1.0, -2.0, -3.0, -4.0, -5.0, 0.0], "{mode}");
    }
}

/// Exporters draw window masks into such zeros.
#[test]
fn zeros_without_a_value_are_single_precision() {
    let graph = Onnx::default()
        .input("x", &[2, 3])
        .indices("shape", &[2], &[2, 3])
        .indices("row", &[1, 1], &[1])
        .floats("ones", &[1, 3], &[1.0; 3])
        .node("ConstantOfShape", &["shape"], &["zeros"], &[])
        .node("ScatterND", &["zeros", "row", "ones"], &["mask"], &[])
        .node("Add", &["x", "mask"], &["y"], &[])
        .output("y");
    let seen = run(&graph, &[vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]);
    assert_eq!(seen, [1.0, 2.0, 3.0, 5.0, 6.0, 7.0]);
}

#[test]
fn remainders_have_the_sign_of_the_divisor_or_of_the_dividend() {
    let graph = |fmod: i64| {
        let graph = Onnx::default().input("x", &[4]).input("d", &[4]);
        graph.node("Mod", &["x", "d"], &["y"], &[int("fmod", fmod)]).output("y")
    };
    let inputs = [vec![-4.0, 7.0, 5.5, -1.0], vec![3.0, -3.0, 2.0, f32::INFINITY]];
    close(&run(&graph(1), &inputs), &[-1.0, 1.0, 1.5, -1.0]);
    let seen = run(&graph(0), &inputs);
    close(&seen[..3], &[2.0, -2.0, 1.5]);
    assert_eq!(seen[3], f32::INFINITY);
}

#[test]
fn einsum_with_an_ellipsis_in_one_operand() {
    let graph = |equation: &str| {
        Onnx::default()
            .input("x", &[2, 3])
            .floats("w", &[2, 3], &[1.0, 0.0, -1.0, 2.0, 1.0, 0.0])
            .node("Einsum", &["x", "w"], &["y"], &[text("equation", equation)])
            .output("y")
    };
    let x = [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]];
    for equation in ["...c,oc->...o", "... c, o c -> ... o", "ac,oc"] {
        close(&run(&graph(equation), &x), &[-2.0, 4.0, -2.0, 13.0]);
    }
    // A linear layer on an image whose channels come last: the ellipsis stands for three axes of one operand.
    let image = Onnx::default()
        .input("x", &[1, 2, 2, 3])
        .floats("w", &[2, 3], &[1.0, 0.0, -1.0, 2.0, 1.0, 0.0])
        .node("Einsum", &["x", "w"], &["y"], &[text("equation", "...c,oc->...o")])
        .output("y");
    assert_eq!(image.graph("main").unwrap().outputs[0].1, [1, 2, 2, 2]);
    let pixels: Vec<f32> = (1..=12).map(|at| at as f32).collect();
    close(&run(&image, &[pixels]), &[-2.0, 4.0, -2.0, 13.0, -2.0, 22.0, -2.0, 31.0]);
}

#[test]
fn transposed_convolution_to_a_given_shape() {
    let graph = |shape: i64, pad: &str| {
        let attributes = [ints("output_shape", &[shape]), ints("strides", &[2]), text("auto_pad", pad)];
        Onnx::default()
            .input("x", &[1, 1, 3])
            .floats("w", &[1, 1, 3], &[1.0, 10.0, 100.0])
            .node("ConvTranspose", &["x", "w"], &["y"], &attributes)
            .output("y")
    };
    let x = [vec![1.0, 2.0, 3.0]];
    // In full it is 1, 10, 102, 20, 203, 30, 300.
    close(&run(&graph(6, "NOTSET"), &x), &[10.0, 102.0, 20.0, 203.0, 30.0, 300.0]);
    close(&run(&graph(6, "SAME_UPPER"), &x), &[1.0, 10.0, 102.0, 20.0, 203.0, 30.0]);
    close(&run(&graph(8, "NOTSET"), &x), &[1.0, 10.0, 102.0, 20.0, 203.0, 30.0, 300.0, 0.0]);
}

#[test]
fn blocks_of_pixels_become_channels() {
    let x = [(0..8).map(|at| at as f32).collect::<Vec<f32>>()];
    let graph =
        |mode: &str| node(13, "SpaceToDepth", &[1, 2, 2, 2], &[int("blocksize", 2), text("mode", mode)]);
    close(&run(&graph("DCR"), &x), &[0.0, 4.0, 1.0, 5.0, 2.0, 6.0, 3.0, 7.0]);
    close(&run(&graph("CRD"), &x), &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
}

#[test]
fn pads_of_every_mode_and_negative_ones() {
    let graph = |mode: &str, pads: &[i64]| {
        Onnx::opset(19)
            .input("x", &[4])
            .indices("p", &[2], pads)
            .node("Pad", &["x", "p"], &["y"], &[text("mode", mode)])
            .output("y")
    };
    let x = [vec![1.0, 2.0, 3.0, 4.0]];
    close(&run(&graph("constant", &[-1, 2]), &x), &[2.0, 3.0, 4.0, 0.0, 0.0]);
    close(&run(&graph("constant", &[-1, -1]), &x), &[2.0, 3.0]);
    close(&run(&graph("edge", &[1, -1]), &x), &[1.0, 1.0, 2.0, 3.0]);
    close(&run(&graph("reflect", &[2, 1]), &x), &[3.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0]);
    close(&run(&graph("wrap", &[1, 2]), &x), &[4.0, 1.0, 2.0, 3.0, 4.0, 1.0, 2.0]);
    let message = graph("constant", &[-2, -2]).compile().unwrap_err().to_string();
    assert!(message.contains("Pad_0") && message.contains("leave nothing"), "{message}");
}

#[test]
fn squeezed_axes_count_from_the_end_in_any_order() {
    for axes in [vec![-1, 1], vec![1, 3], vec![-3, -1], vec![3]] {
        let graph = Onnx::default()
            .input("x", &[2, 1, 2, 1])
            .indices("a", &[axes.len()], &axes)
            .node("Squeeze", &["x", "a"], &["y"], &[])
            .output("y");
        close(&run(&graph, &[vec![1.0, 2.0, 3.0, 4.0]]), &[1.0, 2.0, 3.0, 4.0]);
    }
}

#[test]
fn slices_go_backwards() {
    let graph = Onnx::default()
        .input("x", &[6])
        .indices("s", &[1], &[4])
        .indices("e", &[1], &[-7])
        .indices("a", &[1], &[0])
        .indices("t", &[1], &[-2])
        .node("Slice", &["x", "s", "e", "a", "t"], &["y"], &[])
        .output("y");
    close(&run(&graph, &[vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0]]), &[4.0, 2.0, 0.0]);
}

#[test]
fn nearest_resize_of_operator_set_10() {
    let graph = |scale: f32| {
        Onnx::opset(10)
            .input("x", &[1, 1, 1, 4])
            .floats("s", &[4], &[1.0, 1.0, 1.0, scale])
            .node("Resize", &["x", "s"], &["y"], &[text("mode", "nearest")])
            .output("y")
    };
    let x = [vec![1.0, 2.0, 3.0, 4.0]];
    close(&run(&graph(1.5), &x), &[1.0, 1.0, 2.0, 3.0, 3.0, 4.0]);
    close(&run(&graph(0.6), &x), &[1.0, 3.0]);
    close(&run(&graph(0.25), &x), &[1.0]);
}

#[test]
fn sampling_at_nearest_cubic_and_reflected_places() {
    let graph = |mode: &str, padding: &str| {
        let attributes = [text("mode", mode), text("padding_mode", padding), int("align_corners", 1)];
        Onnx::opset(20)
            .input("x", &[1, 1, 3, 3])
            .input("g", &[1, 1, 3, 2])
            .node("GridSample", &["x", "g"], &["y"], &attributes)
            .output("y")
    };
    let image: Vec<f32> = (0..9).map(|at| at as f32).collect();
    // Places (0.8, 1), (2, 0) and (2.6, 0) in pixels: the last one is outside.
    let inputs = [image, vec![-0.2, 0.0, 1.0, -1.0, 1.6, -1.0]];
    close(&run(&graph("nearest", "zeros"), &inputs), &[4.0, 2.0, 0.0]);
    close(&run(&graph("linear", "reflection"), &inputs), &[3.8, 2.0, 1.4]);
    close(&run(&graph("nearest", "reflection"), &inputs), &[4.0, 2.0, 1.0]);
    // With borders that repeat, cubic sampling at a pixel is that pixel.
    close(&run(&graph("cubic", "border"), &inputs)[1..2], &[2.0]);
}

#[test]
fn attention_masks_and_rows_without_keys() {
    let graph = |attributes: &[AttributeProto], mask: &[f32]| {
        Onnx::opset(23)
            .input("q", &[1, 1, 2, 1])
            .input("k", &[1, 1, 2, 1])
            .input("v", &[1, 1, 2, 1])
            .floats("m", &[2, 2], mask)
            .node("Attention", &["q", "k", "v", "m"], &["y"], attributes)
            .output("y")
    };
    let inputs = [vec![0.0, 0.0], vec![1.0, 2.0], vec![3.0, 5.0]];
    let excluded = f32::NEG_INFINITY;
    close(&run(&graph(&[], &[0.0; 4]), &inputs), &[4.0, 4.0]);
    close(&run(&graph(&[int("is_causal", 1)], &[0.0; 4]), &inputs), &[3.0, 4.0]);
    close(&run(&graph(&[], &[0.0, 0.0, excluded, excluded]), &inputs), &[4.0, 0.0]);
}

#[test]
fn hardmax_takes_the_first_of_equal_values() {
    let seen = run(&node(13, "Hardmax", &[2, 3], &[int("axis", 1)]), &[vec![1.0, 5.0, 5.0, 2.0, 0.0, 1.0]]);
    close(&seen, &[0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn pools_and_normalisations() {
    let seen = run(
        &node(18, "LpPool", &[1, 1, 3], &[ints("kernel_shape", &[2]), int("p", 2)]),
        &[vec![3.0, -4.0, 0.0]],
    );
    close(&seen, &[5.0, 4.0]);
    let attributes = [int("size", 3), float("alpha", 3.0), float("beta", 1.0), float("bias", 1.0)];
    let seen = run(&node(13, "LRN", &[1, 3, 1, 1], &attributes), &[vec![1.0, 2.0, 3.0]]);
    close(&seen, &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 14.0]);
}

#[test]
fn losses_with_constant_labels() {
    let graph = |reduction: &str| {
        Onnx::default()
            .input("x", &[2, 3])
            .indices("t", &[2], &[2, 0])
            .node("NegativeLogLikelihoodLoss", &["x", "t"], &["y"], &[text("reduction", reduction)])
            .output("y")
    };
    let x = [vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]];
    close(&run(&graph("none"), &x), &[-3.0, -4.0]);
    close(&run(&graph("mean"), &x), &[-3.5]);
}

#[test]
fn transforms_and_grids_are_products() {
    let dft = node(17, "DFT", &[1, 4, 1], &[int("axis", 1)]);
    close(&run(&dft, &[vec![1.0, 2.0, 3.0, 4.0]]), &[10.0, 0.0, -2.0, 2.0, -2.0, 0.0, -2.0, -2.0]);
    let grid = Onnx::opset(20)
        .input("x", &[1, 2, 3])
        .indices("s", &[4], &[1, 1, 1, 2])
        .node("AffineGrid", &["x", "s"], &["y"], &[])
        .output("y");
    close(&run(&grid, &[vec![1.0, 0.0, 0.25, 0.0, 1.0, 0.0]]), &[-0.25, 0.0, 0.75, 0.0]);
}

#[test]
fn constant_extremes_of_infinities_are_infinite() {
    let graph = Onnx::opset(18)
        .input("x", &[2])
        .floats("m", &[2, 2], &[f32::NEG_INFINITY, f32::NEG_INFINITY, 0.0, f32::NEG_INFINITY])
        .indices("a", &[1], &[-1])
        .node("ReduceMax", &["m", "a"], &["h"], &[int("keepdims", 0)])
        .node("Exp", &["h"], &["e"], &[])
        .floats("least", &[], &[f32::MIN])
        .node("Less", &["h", "least"], &["b"], &[])
        .node("Where", &["b", "x", "e"], &["y"], &[])
        .output("y");
    close(&run(&graph, &[vec![7.0, 8.0]]), &[7.0, 1.0]);
}
