//! Normalisations with their scale, shift and activation are one operation each.

use sonotrace_tests::onnx::{AttributeProto, Onnx, count, float, int, ints};

/// The name of an activation, and how a graph writes it from `n` to `y`.
type Activation = (&'static str, fn(Onnx) -> Onnx);

const ACTIVATIONS: [Activation; 6] = [
    ("none", |graph| graph.node("Identity", &["n"], &["y"], &[])),
    ("relu", |graph| graph.node("Relu", &["n"], &["y"], &[])),
    ("leaky relu", |graph| graph.node("LeakyRelu", &["n"], &["y"], &[float("alpha", 0.01)])),
    ("prelu with one slope", |graph| {
        graph.floats("slope", &[1], &[0.25]).node("PRelu", &["n", "slope"], &["y"], &[])
    }),
    ("silu", |graph| graph.node("Sigmoid", &["n"], &["gate"], &[]).node("Mul", &["n", "gate"], &["y"], &[])),
    ("relu6", |graph| {
        graph.floats("low", &[], &[0.0]).floats("high", &[], &[6.0]).node(
            "Clip",
            &["n", "low", "high"],
            &["y"],
            &[],
        )
    }),
];

/// A node that normalises `x` to `n`, with random scales and shifts.
fn normal(opset: i64, op: &str, shape: &[usize], scales: usize, attributes: &[AttributeProto]) -> Onnx {
    Onnx::opset(opset).input("x", shape).weights("gamma", &[scales]).weights("beta", &[scales]).node(
        op,
        &["x", "gamma", "beta"],
        &["n"],
        attributes,
    )
}

/// GroupNorm as PyTorch exports it: InstanceNorm of groups, then a scale and a shift for each channel.
fn written_out(batch: usize, channels: usize, groups: usize) -> Onnx {
    let shape = [batch, channels, 4, 5];
    let shape_of = |shape: &[usize]| shape.iter().map(|&extent| extent as i64).collect::<Vec<i64>>();
    Onnx::default()
        .input("x", &shape)
        .indices("grouped", &[3], &[0, groups as i64, -1])
        .indices("back", &[4], &shape_of(&shape))
        .floats("ones", &[groups], &vec![1.0; groups])
        .floats("zeros", &[groups], &vec![0.0; groups])
        .weights("gamma", &[channels, 1, 1])
        .weights("beta", &[channels, 1, 1])
        .node("Reshape", &["x", "grouped"], &["g"], &[])
        .node("InstanceNormalization", &["g", "ones", "zeros"], &["normal"], &[])
        .node("Reshape", &["normal", "back"], &["r"], &[])
        .node("Mul", &["r", "gamma"], &["scaled"], &[])
        .node("Add", &["scaled", "beta"], &["n"], &[])
}

/// InstanceNorm in single operations.
fn decomposed() -> Onnx {
    Onnx::opset(13)
        .input("x", &[2, 6, 4, 5])
        .weights("gamma", &[6, 1, 1])
        .weights("beta", &[6, 1, 1])
        .floats("two", &[], &[2.0])
        .floats("eps", &[], &[1e-5])
        .node("ReduceMean", &["x"], &["mean"], &[ints("axes", &[2, 3])])
        .node("Sub", &["x", "mean"], &["d"], &[])
        .node("Pow", &["d", "two"], &["square"], &[])
        .node("ReduceMean", &["square"], &["variance"], &[ints("axes", &[2, 3])])
        .node("Add", &["variance", "eps"], &["sum"], &[])
        .node("Sqrt", &["sum"], &["root"], &[])
        .node("Div", &["d", "root"], &["normal"], &[])
        .node("Mul", &["normal", "gamma"], &["scaled"], &[])
        .node("Add", &["scaled", "beta"], &["n"], &[])
}

#[test]
fn a_normalisation_with_its_activation_is_one_operation() {
    let groups = |opset, batch, scales| {
        normal(opset, "GroupNormalization", &[batch, 6, 4, 5], scales, &[int("num_groups", 3)])
    };
    let forms = [
        ("InstanceNorm", normal(17, "InstanceNormalization", &[1, 6, 4, 5], 6, &[])),
        ("InstanceNorm, two images", normal(17, "InstanceNormalization", &[2, 6, 4, 5], 6, &[])),
        ("InstanceNorm, one axis", normal(17, "InstanceNormalization", &[2, 6, 20], 6, &[])),
        ("InstanceNorm, decomposed", decomposed()),
        ("GroupNorm 18", groups(18, 1, 3)),
        ("GroupNorm 18, two images", groups(18, 2, 3)),
        ("GroupNorm 21", groups(21, 1, 6)),
        ("GroupNorm 21, two images", groups(21, 2, 6)),
        (
            "GroupNorm 21, one group",
            normal(21, "GroupNormalization", &[1, 6, 4, 5], 6, &[int("num_groups", 1)]),
        ),
        ("GroupNorm, written out", written_out(1, 6, 3)),
        ("GroupNorm, written out, two images", written_out(2, 6, 3)),
        ("GroupNorm, written out, one group", written_out(1, 6, 1)),
    ];
    for (at, (form, graph)) in forms.into_iter().enumerate() {
        for (activation, add) in ACTIVATIONS {
            // Every form with two of the activations, and the first one with all.
            if at > 0 && at % ACTIVATIONS.len() != 0 && !matches!(activation, "relu" | "silu") {
                continue;
            }
            let what = format!("{form}, {activation}");
            let compiled = add(graph.clone()).output("y").agrees(&what);
            assert_eq!(compiled.report.programs[0].ops, [("normalize", 1)].into(), "{what}");
        }
    }
}

/// The kernels have no function of a slope for each channel.
#[test]
fn slopes_of_channels_stay_apart() {
    let compiled = normal(17, "InstanceNormalization", &[1, 6, 4, 5], 6, &[])
        .weights("slope", &[6, 1, 1])
        .node("PRelu", &["n", "slope"], &["y"], &[])
        .output("y")
        .agrees("PRelu with a slope for each channel");
    assert_eq!(count(&compiled, "normalize"), 1);
}

/// A block of a network: axes may have another order in memory than in the graph.
#[test]
fn a_normalisation_between_convolutions_is_one_operation() {
    for (norm, scales, attributes) in
        [("InstanceNormalization", 16, vec![]), ("GroupNormalization", 16, vec![int("num_groups", 4)])]
    {
        let compiled = Onnx::opset(21)
            .input("image", &[1, 3, 16, 16])
            .weights("first", &[16, 3, 3, 3])
            .weights("second", &[8, 16, 3, 3])
            .weights("gamma", &[scales])
            .weights("beta", &[scales])
            .node("Conv", &["image", "first"], &["x"], &[ints("pads", &[1; 4])])
            .node(norm, &["x", "gamma", "beta"], &["n"], &attributes)
            .node("LeakyRelu", &["n"], &["a"], &[])
            .node("Conv", &["a", "second"], &["y"], &[ints("pads", &[1; 4])])
            .output("y")
            .agrees(norm);
        assert_eq!(compiled.report.programs[0].ops, [("conv", 2), ("normalize", 1)].into(), "{norm}");
    }
}

/// What follows an activation is no part of the normalisation.
#[test]
fn a_scale_behind_an_activation_stays_behind_it() {
    let compiled = normal(17, "InstanceNormalization", &[1, 6, 4, 5], 6, &[])
        .node("Relu", &["n"], &["a"], &[])
        .weights("factor", &[6, 1, 1])
        .node("Mul", &["a", "factor"], &["y"], &[])
        .output("y")
        .agrees("a scale behind an activation");
    assert_eq!(compiled.report.programs[0].ops, [("elementwise", 1), ("normalize", 1)].into());
}

/// The runtime bounds what an operation computes without a stop: a normalisation over more elements stays in single operations,
/// which take less in one piece.
#[test]
fn a_normalisation_that_is_too_large_for_one_operation_stays_apart() {
    let compiled = normal(21, "GroupNormalization", &[1, 6, 1024, 1024], 6, &[int("num_groups", 1)])
        .output("n")
        .compile()
        .unwrap();
    assert_eq!(count(&compiled, "normalize"), 0, "{:?}", compiled.report.programs[0].ops);
}
