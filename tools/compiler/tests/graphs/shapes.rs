//! Shape operations, reductions, normalisation and resampling against tract.

use sonotrace_tests::onnx::{self, Onnx, count, float, int, ints, text};

#[test]
fn transposes_slices_and_splits_cost_nothing() {
    let compiled = Onnx::default()
        .input("x", &[2, 6, 5, 4])
        .indices("starts", &[2], &[1, -4])
        .indices("ends", &[2], &[6, 1000])
        .indices("axes", &[2], &[1, 2])
        .indices("steps", &[2], &[2, 1])
        .indices("one", &[1], &[1])
        .node("Transpose", &["x"], &["t"], &[ints("perm", &[0, 2, 1, 3])])
        .node("Transpose", &["t"], &["u"], &[ints("perm", &[0, 2, 1, 3])])
        .node("Slice", &["u", "starts", "ends", "axes", "steps"], &["s"], &[])
        .node("Split", &["s"], &["p", "q"], &[int("axis", 3)])
        .node("Unsqueeze", &["p", "one"], &["r"], &[])
        .node("Squeeze", &["r", "one"], &["v"], &[])
        .node("Mul", &["v", "q"], &["y"], &[])
        .output("y")
        .agrees("views");
    assert_eq!(count(&compiled, "elementwise"), 1);
}

#[test]
fn reshapes_copy_only_if_necessary() {
    let graph = |perm: &[i64]| {
        Onnx::default()
            .input("x", &[2, 6, 4])
            .indices("shape", &[2], &[8, 6])
            .node("Relu", &["x"], &["a"], &[])
            .node("Transpose", &["a"], &["t"], &[ints("perm", perm)])
            .node("Reshape", &["t", "shape"], &["r"], &[])
            .node("Exp", &["r"], &["y"], &[])
            .output("y")
    };
    assert_eq!(count(&graph(&[0, 1, 2]).agrees("straight"), "elementwise"), 2);
    graph(&[1, 2, 0]).agrees("permuted");
    graph(&[2, 0, 1]).agrees("permuted the other way");
}

#[test]
fn concatenations_are_written_in_place() {
    let compiled = Onnx::default()
        .input("x", &[2, 3, 4])
        .weights("w", &[2, 2, 4])
        .node("Exp", &["x"], &["a"], &[])
        .node("Tanh", &["x"], &["b"], &[])
        .node("Concat", &["a", "w", "b"], &["c"], &[int("axis", 1)])
        .node("Concat", &["c", "c"], &["y"], &[int("axis", 2)])
        .output("y")
        .agrees("Concat");
    // Exp, Tanh, the constant, and one copy of the tensor that is used twice, to both places.
    assert_eq!(count(&compiled, "elementwise"), 4);
}

#[test]
fn expand_tile_and_gather() {
    Onnx::default()
        .input("x", &[3, 1, 4])
        .indices("shape", &[4], &[2, 3, 5, 4])
        .indices("times", &[4], &[1, 2, 1, 3])
        .node("Expand", &["x", "shape"], &["a"], &[])
        .node("Tile", &["a", "times"], &["y"], &[])
        .output("y")
        .agrees("Expand, Tile");
    for (shape, indices) in [
        (&[][..], &[2][..]),
        (&[3], &[0, 2, 4]),
        (&[4], &[3, 0, -1, 3]),
        (&[2, 2], &[4, 1, 1, 0]),
        (&[2, 2], &[1, 2, 3, 4]),
    ] {
        for axis in 0..3 {
            Onnx::default()
                .input("x", &[5, 5, 5])
                .indices("i", shape, indices)
                .node("Gather", &["x", "i"], &["y"], &[int("axis", axis)])
                .output("y")
                .agrees(&format!("Gather {indices:?} axis {axis}"));
        }
    }
    let indices: Vec<i64> = (0..24).map(|at| (at * 5 + 3) % 7 - 3).collect();
    Onnx::default()
        .input("x", &[2, 3, 4])
        .indices("i", &[2, 3, 4], &indices.iter().map(|at| at.clamp(&-4, &3)).copied().collect::<Vec<_>>())
        .node("GatherElements", &["x", "i"], &["y"], &[int("axis", 2)])
        .output("y")
        .agrees("GatherElements");
}

#[test]
fn borders() {
    for mode in ["constant", "reflect", "edge"] {
        Onnx::default()
            .input("x", &[2, 3, 4])
            .indices("pads", &[6], &[0, 1, 2, 0, 2, 1])
            .floats("value", &[], &[1.5])
            .node("Exp", &["x"], &["a"], &[])
            .node("Pad", &["a", "pads", "value"], &["y"], &[text("mode", mode)])
            .output("y")
            .agrees(mode);
    }
}

#[test]
fn space_and_depth() {
    Onnx::default()
        .input("x", &[1, 8, 4, 6])
        .node("DepthToSpace", &["x"], &["a"], &[int("blocksize", 2)])
        .node("SpaceToDepth", &["a"], &["b"], &[int("blocksize", 2)])
        .node("Flatten", &["b"], &["y"], &[int("axis", 2)])
        .output("y")
        .agrees("DepthToSpace, SpaceToDepth, Flatten");
}

#[test]
fn reductions() {
    for op in [
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceSumSquare",
        "ReduceLogSumExp",
    ] {
        for axes in [&[1][..], &[-1], &[1, 2], &[0, 2]] {
            for keep in [0, 1] {
                Onnx::opset(13)
                    .input("x", &[3, 4, 5])
                    .node(op, &["x"], &["y"], &[ints("axes", axes), int("keepdims", keep)])
                    .output("y")
                    .agrees(&format!("{op} {axes:?} keep {keep}"));
            }
        }
    }
    Onnx::default()
        .input("x", &[3, 4, 5])
        .indices("axes", &[2], &[0, 1])
        .node("ReduceSum", &["x", "axes"], &["y"], &[int("keepdims", 0)])
        .output("y")
        .agrees("ReduceSum");
    Onnx::default()
        .input("x", &[3, 7, 5])
        .node("ArgMax", &["x"], &["i"], &[int("axis", 1), int("keepdims", 0)])
        .node("Cast", &["i"], &["y"], &[int("to", onnx::FLOAT)])
        .output("y")
        .agrees("ArgMax");
}

#[test]
fn softmax_over_any_axis() {
    for axis in [0, 1, -1] {
        Onnx::default()
            .input("x", &[3, 7, 5])
            .node("Softmax", &["x"], &["y"], &[int("axis", axis)])
            .output("y")
            .agrees(&format!("Softmax {axis}"));
    }
}

#[test]
fn layer_norm_is_one_operation_fused_or_decomposed() {
    let fused = Onnx::default()
        .input("x", &[2, 9, 24])
        .weights("w", &[24])
        .weights("b", &[24])
        .node("LayerNormalization", &["x", "w", "b"], &["y"], &[int("axis", -1), float("epsilon", 1e-6)])
        .output("y")
        .agrees("LayerNormalization");
    let decomposed = Onnx::opset(13)
        .input("x", &[2, 9, 24])
        .weights("w", &[24])
        .weights("b", &[24])
        .floats("two", &[], &[2.0])
        .floats("eps", &[], &[1e-6])
        .node("ReduceMean", &["x"], &["m"], &[ints("axes", &[-1])])
        .node("Sub", &["x", "m"], &["d"], &[])
        .node("Pow", &["d", "two"], &["s"], &[])
        .node("ReduceMean", &["s"], &["v"], &[ints("axes", &[-1])])
        .node("Add", &["v", "eps"], &["ve"], &[])
        .node("Sqrt", &["ve"], &["sd"], &[])
        .node("Div", &["d", "sd"], &["n"], &[])
        .node("Mul", &["n", "w"], &["nw"], &[])
        .node("Add", &["nw", "b"], &["y"], &[])
        .output("y")
        .agrees("LayerNorm, decomposed");
    for compiled in [fused, decomposed] {
        assert_eq!(compiled.report.programs[0].ops, [("normalize", 1)].into());
    }
}

#[test]
fn other_normalisations() {
    Onnx::default()
        .input("x", &[2, 3, 4, 5])
        .weights("w", &[3, 4, 5])
        .weights("b", &[3, 4, 5])
        .node("LayerNormalization", &["x", "w", "b"], &["y"], &[int("axis", 1)])
        .output("y")
        .agrees("LayerNormalization over several axes");
    Onnx::default()
        .input("x", &[2, 6, 4, 5])
        .weights("w", &[6])
        .weights("b", &[6])
        .node("InstanceNormalization", &["x", "w", "b"], &["y"], &[])
        .output("y")
        .agrees("InstanceNormalization");
    Onnx::default()
        .input("x", &[1, 6, 4, 5])
        .indices("groups", &[3], &[1, 3, -1])
        .indices("back", &[4], &[1, 6, 4, 5])
        .floats("ones", &[3], &[1.0; 3])
        .floats("zeros", &[3], &[0.0; 3])
        .weights("w", &[6, 1, 1])
        .weights("b", &[6, 1, 1])
        .node("Reshape", &["x", "groups"], &["g"], &[])
        .node("InstanceNormalization", &["g", "ones", "zeros"], &["n"], &[])
        .node("Reshape", &["n", "back"], &["r"], &[])
        .node("Mul", &["r", "w"], &["s"], &[])
        .node("Add", &["s", "b"], &["y"], &[])
        .output("y")
        .agrees("GroupNorm");
    Onnx::default()
        .input("x", &[2, 6, 4, 5])
        .weights("w", &[6])
        .weights("b", &[6])
        .weights("m", &[6])
        .floats("v", &[6], &[0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
        .node("BatchNormalization", &["x", "w", "b", "m", "v"], &["y"], &[])
        .output("y")
        .agrees("BatchNormalization");
    // RMSNorm, as models write it.
    Onnx::opset(13)
        .input("x", &[2, 9, 24])
        .weights("w", &[24])
        .floats("two", &[], &[2.0])
        .floats("eps", &[], &[1e-6])
        .node("Pow", &["x", "two"], &["s"], &[])
        .node("ReduceMean", &["s"], &["v"], &[ints("axes", &[-1])])
        .node("Add", &["v", "eps"], &["ve"], &[])
        .node("Sqrt", &["ve"], &["sd"], &[])
        .node("Div", &["x", "sd"], &["n"], &[])
        .node("Mul", &["n", "w"], &["y"], &[])
        .output("y")
        .agrees("RMSNorm");
}

#[test]
fn samplings_at_computed_places() {
    for padding in ["border", "zeros"] {
        for align in [0, 1] {
            // Places go well beyond the image.
            for reach in [0.9, 1.7] {
                let attributes = [text("padding_mode", padding), int("align_corners", align)];
                let compiled = Onnx::default()
                    .input("x", &[2, 19, 5, 7])
                    .input("places", &[2, 3, 4, 2])
                    .floats("reach", &[1], &[reach])
                    .node("Mul", &["places", "reach"], &["far"], &[])
                    .node("GridSample", &["x", "far"], &["y"], &attributes)
                    .output("y")
                    .agrees(&format!("GridSample {padding} {align} {reach}"));
                assert_eq!(count(&compiled, "grid_sample"), 1);
            }
        }
    }
}

#[test]
fn samplings_read_and_write_views() {
    // Image and places transposed, one channel, a row of pixels, and a constant for each.
    Onnx::default()
        .input("x", &[5, 7, 3, 1])
        .input("places", &[2, 1, 6, 4])
        .node("Transpose", &["x"], &["image"], &[ints("perm", &[3, 2, 0, 1])])
        .node("Transpose", &["places"], &["at"], &[ints("perm", &[1, 2, 3, 0])])
        .node("GridSample", &["image", "at"], &["s"], &[])
        .node("Concat", &["s", "s"], &["y"], &[int("axis", 3)])
        .output("y")
        .agrees("GridSample of views");
    for (constant, shape, other, other_shape) in
        [("x", [1, 1, 1, 9], "places", [1, 1, 4, 2]), ("places", [1, 3, 2, 2], "x", [1, 2, 6, 1])]
    {
        Onnx::default()
            .weights(constant, &shape)
            .input(other, &other_shape)
            .node("GridSample", &["x", "places"], &["y"], &[])
            .output("y")
            .agrees("GridSample of a constant");
    }
}

#[test]
fn resizes_of_all_modes() {
    for (mode, nearest) in [
        ("linear", ""),
        ("cubic", ""),
        ("nearest", "floor"),
        ("nearest", "ceil"),
        ("nearest", "round_prefer_floor"),
    ] {
        for rule in ["half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"] {
            for scales in [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.5, 3.0], [1.0, 1.0, 0.5, 1.0]] {
                let mut attributes = vec![text("mode", mode), text("coordinate_transformation_mode", rule)];
                if !nearest.is_empty() {
                    attributes.push(text("nearest_mode", nearest));
                }
                Onnx::opset(13)
                    .input("x", &[1, 3, 6, 4])
                    .floats("scales", &[4], &scales)
                    .node("Resize", &["x", "", "scales"], &["y"], &attributes)
                    .output("y")
                    .agrees(&format!("Resize {mode} {nearest} {rule} {scales:?}"));
            }
        }
    }
    Onnx::opset(13)
        .input("x", &[1, 3, 6, 4])
        .indices("sizes", &[4], &[1, 3, 9, 11])
        .node(
            "Resize",
            &["x", "", "", "sizes"],
            &["y"],
            &[text("mode", "linear"), text("coordinate_transformation_mode", "align_corners")],
        )
        .output("y")
        .agrees("Resize to sizes");
    Onnx::opset(18)
        .input("x", &[1, 3, 12, 9])
        .indices("sizes", &[4], &[1, 3, 5, 4])
        .node("Resize", &["x", "", "", "sizes"], &["y"], &[text("mode", "linear"), int("antialias", 1)])
        .output("y")
        .agrees("Resize with antialiasing");
}

/// As where a thumbnail is averaged from an image: more taps than an operation has.
#[test]
fn resizes_with_many_taps_are_computed_in_parts() {
    for (mode, from, to) in [("linear", [1, 2, 80, 3], [1, 2, 4, 3]), ("cubic", [1, 2, 80, 66], [1, 2, 5, 6])]
    {
        let compiled = Onnx::opset(18)
            .input("x", &from)
            .indices("sizes", &[4], &to)
            .node("Resize", &["x", "", "", "sizes"], &["y"], &[text("mode", mode), int("antialias", 1)])
            .output("y")
            .agrees(&format!("Resize {mode} with antialias"));
        assert!(count(&compiled, "resample") > 1, "{:?}", compiled.report.programs[0].ops);
    }
}
