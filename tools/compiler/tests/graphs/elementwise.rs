//! Element-wise operations against tract.

use sonotrace_tests::onnx::{self, Onnx, count, float, int, text};

/// A graph that applies `op` to an input, or to its exponential if `op` needs positive values.
fn unary(op: &str, positive: bool, attributes: &[onnx::AttributeProto]) -> Onnx {
    let graph = Onnx::opset(20).input("x", &[2, 3, 7, 5]);
    let graph = if positive {
        graph.node("Exp", &["x"], &["a"], &[])
    } else {
        graph.node("Identity", &["x"], &["a"], &[])
    };
    graph.node(op, &["a"], &["y"], attributes).output("y")
}

#[test]
fn functions_of_one_input() {
    for op in [
        "Abs",
        "Neg",
        "Exp",
        "Sin",
        "Cos",
        "Tanh",
        "Sigmoid",
        "Erf",
        "Relu",
        "HardSwish",
        "HardSigmoid",
        "Floor",
        "Ceil",
        "Sign",
        "Softplus",
        "Softsign",
        "Elu",
        "Mish",
    ] {
        unary(op, false, &[]).agrees(op);
    }
    for op in ["Log", "Sqrt", "Reciprocal"] {
        unary(op, true, &[]).agrees(op);
    }
    unary("LeakyRelu", false, &[float("alpha", 0.1)]).agrees("LeakyRelu");
    unary("Gelu", false, &[text("approximate", "none")]).agrees("Gelu");
    unary("Gelu", false, &[text("approximate", "tanh")]).agrees("Gelu by tanh");
}

#[test]
fn rounding_goes_to_even() {
    Onnx::default()
        .input("x", &[64])
        .floats("eight", &[], &[8.0])
        .floats("half", &[], &[0.5])
        .node("Mul", &["x", "eight"], &["scaled"], &[])
        .node("Round", &["scaled"], &["whole"], &[])
        .node("Add", &["whole", "half"], &["between"], &[])
        .node("Round", &["between"], &["y"], &[])
        .output("y")
        .agrees("Round");
}

#[test]
fn gelu_as_pytorch_writes_it_becomes_one_function() {
    let compiled = Onnx::default()
        .input("x", &[4, 33])
        .floats("root", &[], &[std::f32::consts::SQRT_2])
        .floats("one", &[], &[1.0])
        .floats("half", &[], &[0.5])
        .node("Div", &["x", "root"], &["a"], &[])
        .node("Erf", &["a"], &["b"], &[])
        .node("Add", &["b", "one"], &["c"], &[])
        .node("Mul", &["x", "c"], &["d"], &[])
        .node("Mul", &["d", "half"], &["y"], &[])
        .output("y")
        .agrees("GELU");
    assert_eq!(count(&compiled, "elementwise"), 1);
}

#[test]
fn functions_of_two_inputs_broadcast() {
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"] {
        for (a, b) in
            [(&[2, 3, 4][..], &[2, 3, 4][..]), (&[2, 1, 4], &[3, 1]), (&[4], &[2, 3, 1]), (&[2, 3, 4], &[])]
        {
            Onnx::default()
                .input("x", a)
                .input("z", b)
                .node("Exp", &["x"], &["a"], &[])
                .node("Exp", &["z"], &["b"], &[])
                .node(op, &["a", "b"], &["y"], &[])
                .output("y")
                .agrees(&format!("{op} {a:?} {b:?}"));
        }
        Onnx::default()
            .input("x", &[2, 3, 4])
            .floats("w", &[3, 1], &[1.5, 2.0, 2.5])
            .node("Exp", &["x"], &["a"], &[])
            .node(op, &["w", "a"], &["y"], &[])
            .output("y")
            .agrees(&format!("{op} with a constant first"));
    }
}

#[test]
fn powers_of_constants() {
    for exponent in [2.0, 3.0, 0.5, -0.5, -1.0, 1.7] {
        Onnx::default()
            .input("x", &[40])
            .floats("e", &[], &[exponent])
            .node("Exp", &["x"], &["a"], &[])
            .node("Pow", &["a", "e"], &["y"], &[])
            .output("y")
            .agrees(&format!("Pow {exponent}"));
    }
}

#[test]
fn comparisons_and_logic_yield_zeros_and_ones() {
    for op in ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"] {
        Onnx::default()
            .input("x", &[5, 8])
            .input("z", &[1, 8])
            .node("Ceil", &["x"], &["a"], &[])
            .node("Ceil", &["z"], &["b"], &[])
            .node(op, &["a", "b"], &["c"], &[])
            .node("Not", &["c"], &["d"], &[])
            .node("Cast", &["c"], &["e"], &[int("to", onnx::FLOAT)])
            .node("Cast", &["d"], &["f"], &[int("to", onnx::FLOAT)])
            .floats("two", &[], &[2.0])
            .node("Mul", &["f", "two"], &["g"], &[])
            .node("Add", &["e", "g"], &["y"], &[])
            .output("y")
            .agrees(op);
    }
    for op in ["And", "Or", "Xor"] {
        Onnx::default()
            .input("x", &[5, 8])
            .input("z", &[5, 8])
            .floats("zero", &[], &[0.0])
            .node("Less", &["x", "zero"], &["a"], &[])
            .node("Less", &["z", "zero"], &["b"], &[])
            .node(op, &["a", "b"], &["c"], &[])
            .node("Where", &["c", "x", "z"], &["y"], &[])
            .output("y")
            .agrees(op);
    }
}

#[test]
fn a_mask_of_minus_infinity_is_kept() {
    let mask: Vec<f32> = (0..36).map(|at| if at % 6 > at / 6 { f32::NEG_INFINITY } else { 0.0 }).collect();
    Onnx::default()
        .input("x", &[2, 6, 6])
        .floats("mask", &[6, 6], &mask)
        .node("Add", &["x", "mask"], &["a"], &[])
        .node("Softmax", &["a"], &["y"], &[int("axis", -1)])
        .output("y")
        .agrees("causal softmax");
}

#[test]
fn a_clip_is_fused_into_a_product() {
    let compiled = Onnx::default()
        .input("x", &[1, 4, 6, 6])
        .weights("w", &[8, 4, 3, 3])
        .floats("low", &[], &[0.0])
        .floats("high", &[], &[6.0])
        .node("Conv", &["x", "w"], &["a"], &[onnx::ints("pads", &[1, 1, 1, 1])])
        .node("Clip", &["a", "low", "high"], &["y"], &[])
        .output("y")
        .agrees("ReLU6");
    assert_eq!((count(&compiled, "conv"), count(&compiled, "elementwise")), (1, 0));
}
