//! Graphs that cannot be compiled give errors that name the cause.

use serde_json::{Value, json};
use sonotrace::format::{AlignedBytes, EVIDENCE, EVIDENCE_NAMES, Model};
use sonotrace_compiler::{CompileError, Options, Weights, compile, compile_graphs};
use sonotrace_tests::onnx::{self, AttributeProto, Dim, Onnx, int, ints, text};
use std::path::PathBuf;

fn message(graph: &Onnx) -> String {
    graph.compile().expect_err("this graph cannot be compiled").to_string()
}

fn assert_names(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{message:?} does not name {part:?}");
    }
}

#[test]
fn a_missing_operation_is_named_with_its_node() {
    let graph = Onnx::default()
        .input("x", &[4, 6])
        .node("Relu", &["x"], &["a"], &[])
        .node("CumSum", &["a", "axis"], &["y"], &[])
        .indices("axis", &[], &[1])
        .output("y");
    assert_names(&message(&graph), &["main", "CumSum_1", "not supported"]);
    let unknown = Onnx::default().input("x", &[4]).node("Bernoulli", &["x"], &["y"], &[]).output("y");
    assert_names(&message(&unknown), &["Bernoulli_0", "operation Bernoulli ", "evaluation mode"]);
}

/// What the runtime's verifier refuses is named, too.
#[test]
fn work_that_the_runtime_refuses_is_named_with_its_node() {
    let graph = Onnx::default()
        .input("x", &[1, 1])
        .indices("shape", &[2], &[4097, 4097])
        .node("Expand", &["x", "shape"], &["e"], &[])
        .node("ReduceMean", &["e"], &["y"], &[int("keepdims", 0)])
        .output("y");
    assert_names(
        &message(&graph),
        &["program main: node ReduceMean_1", "operation reduce", "smallest piece"],
    );
}

/// Before a case is computed, which would take the memory of the tensor.
#[test]
fn a_tensor_that_is_too_large_is_named_with_its_node() {
    let graph = Onnx::default()
        .input("x", &[1, 40_000])
        .input("z", &[40_000, 1])
        .node("Add", &["x", "z"], &["a"], &[])
        .node("ReduceMax", &["a"], &["y"], &[ints("axes", &[0]), int("keepdims", 0)])
        .output("y");
    let words =
        ["node Add_0", "operation elementwise", "1600000000 elements, at most 1073741824 are possible"];
    assert_names(&message(&graph), &words);
}

/// What stays refused says how to export the network instead.
#[test]
fn refusals_of_what_depends_on_values_name_the_rewrite() {
    let assignment = Onnx::default()
        .input("x", &[2, 3])
        .floats("zero", &[], &[0.0])
        .node("Greater", &["x", "zero"], &["mask"], &[])
        .node("NonZero", &["mask"], &["places"], &[])
        .node("Transpose", &["places"], &["tuples"], &[ints("perm", &[1, 0])])
        .node("GatherND", &["x", "tuples"], &["updates"], &[])
        .node("ScatterND", &["x", "tuples", "updates"], &["y"], &[])
        .output("y");
    assert_names(&message(&assignment), &["GatherND_3", "torch.where(mask, new, old)", "dynamo=True"]);
    let size = Onnx::default()
        .input("x", &[2, 3])
        .node("NonZero", &["x"], &["places"], &[])
        .node("Cast", &["places"], &["y"], &[int("to", onnx::FLOAT)])
        .output("y");
    assert_names(&message(&size), &["NonZero_0", "dynamo=True", "crop and resize outside the graph"]);
    let suppression = Onnx::default()
        .input("boxes", &[1, 6, 4])
        .input("scores", &[1, 1, 6])
        .node("NonMaxSuppression", &["boxes", "scores"], &["kept"], &[])
        .node("Cast", &["kept"], &["y"], &[int("to", onnx::FLOAT)])
        .output("y");
    assert_names(&message(&suppression), &["NonMaxSuppression_0", "outside the graph"]);
    let region = Onnx::default()
        .input("x", &[1, 3, 8, 8])
        .input("boxes", &[1, 4])
        .indices("batch", &[1], &[0])
        .node(
            "RoiAlign",
            &["x", "boxes", "batch"],
            &["y"],
            &[int("output_height", 4), int("output_width", 4)],
        )
        .output("y");
    assert_names(&message(&region), &["RoiAlign_0", "crop and resize outside the graph"]);
    let topk = Onnx::default()
        .input("x", &[2, 8])
        .indices("k", &[1], &[3])
        .node("TopK", &["x", "k"], &["values", "places"], &[])
        .node("ScatterElements", &["x", "places", "values"], &["y"], &[int("axis", 1)])
        .output("y");
    assert_names(&message(&topk), &["TopK_0", "select outside the graph"]);
    let argmax = Onnx::default()
        .input("x", &[2, 8])
        .node("ArgMax", &["x"], &["places"], &[int("axis", 1)])
        .node("GatherElements", &["x", "places"], &["y"], &[int("axis", 1)])
        .output("y");
    assert_names(&message(&argmax), &["GatherElements_1", "indices are computed", "outside the graph"]);
}

#[test]
fn volumes_are_refused_with_a_rewrite() {
    let rewrite = "run it slice by slice";
    let volume = || Onnx::default().input("x", &[1, 3, 4, 4, 4]);
    let conv = volume().weights("w", &[4, 3, 3, 3, 3]).node("Conv", &["x", "w"], &["y"], &[]).output("y");
    assert_names(&message(&conv), &["Conv_0", rewrite]);
    let deconv = volume()
        .weights("w", &[3, 4, 2, 2, 2])
        .node("ConvTranspose", &["x", "w"], &["y"], &[ints("strides", &[2, 2, 2])])
        .output("y");
    assert_names(&message(&deconv), &["ConvTranspose_0", rewrite]);
    let pool = volume().node("MaxPool", &["x"], &["y"], &[ints("kernel_shape", &[2, 2, 2])]).output("y");
    assert_names(&message(&pool), &["MaxPool_0", rewrite]);
}

#[test]
fn computed_weights_indices_and_integers_are_refused() {
    let conv = Onnx::default()
        .input("x", &[1, 3, 8, 8])
        .input("w", &[4, 3, 3, 3])
        .node("Conv", &["x", "w"], &["y"], &[])
        .output("y");
    assert_names(&message(&conv), &["Conv_0", "constant"]);
    let gather = Onnx::default()
        .input("x", &[5, 3])
        .node("Cast", &["x"], &["i"], &[int("to", onnx::INT64)])
        .node("GatherElements", &["x", "i"], &["y"], &[int("axis", 0)])
        .output("y");
    assert_names(&message(&gather), &["Cast_0", "it computes integers", "make indices constant"]);
    let batch = Onnx::default()
        .input("x", &[1, 3, 8, 8, 8])
        .weights("w", &[4, 3, 3, 3, 3])
        .node("Conv", &["x", "w"], &["y"], &[])
        .output("y");
    assert_names(&message(&batch), &["Conv_0", "spatial axes"]);
}

/// tract would compute something else, and for a number without axes never end.
#[test]
fn axes_that_an_input_does_not_have_are_refused() {
    let normal = ["x", "w"];
    for (op, axis, inputs) in [
        ("Softmax", 2, &["x"][..]),
        ("Softmax", -3, &["x"]),
        ("LogSoftmax", 7, &["x"]),
        ("LayerNormalization", 2, &normal),
        ("LayerNormalization", -3, &normal),
        ("ScatterElements", 2, &["x", "i", "x"]),
    ] {
        let graph = Onnx::default()
            .input("x", &[2, 3])
            .weights("w", &[3])
            .indices("i", &[2, 3], &[0; 6])
            .node(op, inputs, &["y"], &[int("axis", axis)])
            .output("y");
        let name = format!("{op}_0");
        assert_names(&message(&graph), &[&name, &format!("axis is {axis}, its input has 2 axes")]);
    }
    let number =
        Onnx::default().input("x", &[]).weights("w", &[]).node("LayerNormalization", &normal, &["y"], &[]);
    assert_names(&message(&number.output("y")), &["LayerNormalization_0", "its input has 0 axes"]);
}

/// tract would broadcast them.
#[test]
fn scales_of_another_number_of_channels_are_refused() {
    for (opset, op, scales, told) in [
        (17, "InstanceNormalization", 1, "6 channels"),
        (17, "InstanceNormalization", 4, "6 channels"),
        (18, "GroupNormalization", 6, "2 groups"),
        (21, "GroupNormalization", 1, "6 channels"),
    ] {
        let attributes = if op == "GroupNormalization" { vec![int("num_groups", 2)] } else { vec![] };
        let graph = Onnx::opset(opset)
            .input("x", &[1, 6, 4, 4])
            .weights("w", &[scales])
            .node(op, &["x", "w", "w"], &["y"], &attributes)
            .output("y");
        assert_names(
            &message(&graph),
            &[&format!("{op}_0"), &format!("its scale has shape [{scales}]"), told],
        );
    }
}

/// tract would read past the shape of an input with one axis.
#[test]
fn weights_of_a_batch_normalisation_are_held_to_its_channels() {
    let of_set = |opset: i64, shape: &[usize], weights: [usize; 4], attributes: &[AttributeProto]| {
        let names = ["w", "b", "m", "v"];
        let graph =
            names.iter().zip(weights).fold(Onnx::opset(opset).input("x", shape), |graph, (name, count)| {
                graph.floats(name, &[count], &vec![0.5; count])
            });
        graph.node("BatchNormalization", &["x", "w", "b", "m", "v"], &["y"], attributes).output("y")
    };
    let normal = |shape: &[usize], weights: [usize; 4]| of_set(17, shape, weights, &[]);
    for (shape, weights, told) in [
        (&[][..], [1; 4], "its input has 0 axes"),
        (&[5], [3; 4], "its scale has shape [3], its input has 1 channels"),
        (&[2, 3, 4], [1; 4], "its scale has shape [1], its input has 3 channels"),
        (&[2, 3, 4], [3, 1, 3, 3], "its bias has shape [1], its input has 3 channels"),
        (&[2, 3, 4], [3, 3, 4, 3], "its mean has shape [4], its input has 3 channels"),
        (&[2, 3, 4], [3, 3, 3, 1], "its variance has shape [1], its input has 3 channels"),
    ] {
        assert_names(&message(&normal(shape, weights)), &["BatchNormalization_0", told]);
    }
    for shape in [&[5][..], &[4, 1], &[2, 1, 3]] {
        normal(shape, [1; 4]).agrees("one channel");
    }
    // A node in training is refused. In operator sets before 7, it trains unless it says that it does not.
    let learns = of_set(17, &[2, 3, 4], [3; 4], &[int("training_mode", 1)]);
    assert_names(&message(&learns), &["BatchNormalization_0", "training_mode is 1"]);
    assert_names(&message(&of_set(6, &[2, 3, 4], [3; 4], &[])), &["BatchNormalization_0", "is_test is 0"]);
    of_set(6, &[2, 3, 4], [3; 4], &[int("is_test", 1)]).agrees("evaluation, operator set 6");
}

#[test]
fn kernels_beyond_their_input_and_steps_of_zero_are_refused() {
    let image = || Onnx::default().input("x", &[1, 2, 4, 4]).weights("w", &[2, 2, 3, 3]);
    let kernel = |side: i64| ints("kernel_shape", &[side, side]);
    for op in ["MaxPool", "AveragePool"] {
        let large = image().node(op, &["x"], &["y"], &[kernel(9)]).output("y");
        let words = "its kernel reaches over 9 elements of an axis of 4";
        assert_names(&message(&large), &[&format!("{op}_0"), words]);
        image().node(op, &["x"], &["y"], &[kernel(4)]).output("y").agrees("a kernel as large as its input");
    }
    for op in ["MaxPool", "AveragePool", "LpPool"] {
        for shape in [&[][..], &[3], &[2, 3], &[2, 3, 4, 4]] {
            let flat =
                Onnx::default().input("x", shape).node(op, &["x"], &["y"], &[ints("kernel_shape", &[1])]);
            let words = format!("kernel_shape is [1], its input has {} axes", shape.len());
            assert_names(&message(&flat.output("y")), &[&format!("{op}_0"), &words]);
        }
        let line =
            Onnx::default().input("x", &[2, 3, 4]).node(op, &["x"], &["y"], &[ints("kernel_shape", &[2])]);
        line.output("y").agrees("a kernel over one axis");
    }
    let still = image().node("ConvTranspose", &["x", "w"], &["y"], &[ints("strides", &[0, 0])]).output("y");
    assert_names(&message(&still), &["ConvTranspose_0", "a stride or dilation is 0"]);
    // What only fails when tract computes a case is named, too.
    let empty = image().node("AveragePool", &["x"], &["y"], &[kernel(0)]).output("y");
    assert_names(&message(&empty), &["program main: node AveragePool_0", "not supported"]);
}

#[test]
fn unsupported_samplings_are_refused() {
    for (attribute, expected) in [
        (text("mode", "lanczos"), "mode is lanczos, only linear, nearest and cubic are supported"),
        (text("padding_mode", "wrap"), "wrap"),
    ] {
        let graph = Onnx::default()
            .input("x", &[1, 2, 5, 7])
            .input("places", &[1, 3, 4, 2])
            .node("GridSample", &["x", "places"], &["y"], &[attribute])
            .output("y");
        assert_names(&message(&graph), &["GridSample_0", expected]);
    }
}

#[test]
fn dynamic_shapes_are_refused_with_the_input_s_name() {
    let graph = Onnx::default()
        .typed_input("tokens", onnx::FLOAT, &[Dim::DimParam("batch".into()), Dim::DimValue(6)])
        .node("Relu", &["tokens"], &["y"], &[])
        .output("y");
    let error = graph.compile().unwrap_err();
    assert!(matches!(error, CompileError::DynamicShape { .. }), "{error}");
    assert_names(&error.to_string(), &["tokens", "batch, 6"]);
}

#[test]
fn ports_of_other_types_are_refused() {
    for (dtype, name) in [(onnx::DOUBLE, "double"), (onnx::INT64, "int64"), (onnx::BOOL, "bool")] {
        let graph = Onnx::default()
            .typed_input("labels", dtype, &[Dim::DimValue(6)])
            .node("Cast", &["labels"], &["y"], &[int("to", onnx::FLOAT)])
            .output("y");
        let error = graph.compile().unwrap_err();
        assert!(matches!(error, CompileError::PortType { .. }), "{error}");
        assert_names(&error.to_string(), &["labels", name]);
    }
}

#[test]
fn damaged_files_are_refused_with_their_path() {
    let bytes = Onnx::default()
        .input("x", &[4])
        .weights("w", &[4])
        .node("Add", &["x", "w"], &["y"], &[])
        .output("y")
        .bytes();
    let path = std::env::temp_dir().join(format!("sonotrace-compiler-refusals-{}.onnx", std::process::id()));
    let program = [("main".to_owned(), path.clone())];
    for length in 1..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let error = compile(&program, &Options::default()).expect_err("a truncated graph cannot be compiled");
        assert!(!error.to_string().is_empty());
    }
    std::fs::write(&path, b"no protobuf at all").unwrap();
    assert_names(
        &compile(&program, &Options::default()).unwrap_err().to_string(),
        &[&path.display().to_string()],
    );
    std::fs::remove_file(&path).unwrap();
    let missing = compile(&[("main".to_owned(), PathBuf::from("/nowhere/at-all.onnx"))], &Options::default());
    assert_names(&missing.unwrap_err().to_string(), &["/nowhere/at-all.onnx"]);
}

#[test]
fn weights_that_cannot_be_stored_are_refused() {
    let product = |value: f32| {
        let mut values = [0.5; 32];
        values[7] = value;
        Onnx::default()
            .input("x", &[3, 4])
            .floats("w", &[4, 8], &values)
            .node("MatMul", &["x", "w"], &["a"], &[])
            .node("Sigmoid", &["a"], &["y"], &[])
            .output("y")
    };
    for value in [f32::NAN, f32::INFINITY] {
        assert_names(&message(&product(value)), &["main", "MatMul_0", "a weight is"]);
    }
    let large = product(1e5);
    assert!(large.compile().is_ok());
    let f16 = Options { weights: Weights::F16, ..Options::default() };
    let error = compile_graphs(&[large.graph("main").unwrap()], &f16).unwrap_err();
    assert_names(&error.to_string(), &["MatMul_0", "100000", "65504"]);
}

#[test]
fn states_must_match() {
    let writer = |program: &str| {
        let graph = Onnx::default()
            .input("image", &[4, 6])
            .node("Relu", &["image"], &["feature"], &[])
            .output("feature");
        graph.graph(program).unwrap()
    };
    let reader = |shape: &[usize]| {
        let graph =
            Onnx::default().input("feature", shape).node("Exp", &["feature"], &["y"], &[]).output("y");
        graph.graph("reader").unwrap()
    };
    let options = Options::default();
    let twice = compile_graphs(&[writer("a"), writer("b"), reader(&[4, 6])], &options).unwrap_err();
    assert_names(&twice.to_string(), &["feature", "both a and b"]);
    let same = compile_graphs(&[writer("a"), writer("a")], &options).unwrap_err();
    assert_names(&same.to_string(), &["a is given twice"]);
    // Another shape is another tensor: nothing is shared.
    let apart = compile_graphs(&[writer("a"), reader(&[6, 4])], &options).unwrap();
    assert!(apart.report.banks.is_empty());
    let shared = compile_graphs(&[writer("a"), reader(&[4, 6])], &options).unwrap();
    assert_eq!(shared.report.banks[0].copy_bytes, 128);
}

#[test]
fn conventions_are_checked() {
    let path =
        std::env::temp_dir().join(format!("sonotrace-compiler-conventions-{}.json", std::process::id()));
    let compile_with = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let graph = Onnx::default()
            .input("image", &[1, 1, 16, 16])
            .weights("w", &[4, 1, 3, 3])
            .node("Conv", &["image", "w"], &["masks"], &[ints("pads", &[1; 4]), ints("strides", &[2, 2])])
            .output("masks");
        let options = Options { conventions: Some(path.clone()), ..Options::default() };
        compile_graphs(&[graph.graph("decoder").unwrap()], &options)
    };
    let text = |input: &str, std: f32| {
        format!(r#"{{"input": {input}, "mean": 0.25, "std": {std}, "prompts": {{"points": 16}}}}"#)
    };
    compile_with(&text("[1, 1, 16, 16]", 0.5)).unwrap();
    for (content, part) in [
        (text("[1, 1, 16, 17]", 0.5), "square"),
        (text("[16, 16]", 0.5), "[1, 1, side, side]"),
        (text("[1, 1, 16, 16]", 0.0), "std 0"),
        ("{".to_owned(), "EOF"),
        (r#"{"input": [1, 1, 16, 16]}"#.to_owned(), "mean"),
    ] {
        assert_names(&compile_with(&content).unwrap_err().to_string(), &["conventions", part]);
    }
    let with_state = |state: &str| {
        compile_with(&text("[1, 1, 16, 16]", 0.5).replace("0.25,", &format!(r#"0.25, "state": {state},"#)))
    };
    let bank = |tensors: &str| format!(r#"{{"banks": {{"kept": {{"tensors": {tensors}}}}}}}"#);
    let banks = with_state(&bank(r#"["masks"]"#)).unwrap().report.banks;
    let seen: Vec<_> = banks.iter().map(|bank| (bank.name.as_str(), bank.copy_bytes, bank.copies)).collect();
    assert_eq!(seen, [("kept", 4 * 4 * 8 * 8, 1)]);
    let refused =
        |state: &str, parts: &[&str]| assert_names(&with_state(state).unwrap_err().to_string(), parts);
    refused(&bank(r#"["nothing"]"#), &["state nothing"]);
    refused(&bank(r#"["masks", "masks"]"#), &["masks", "twice"]);
    let port = r#"{"banks": {"kept": {"tensors": ["masks"]}}, "ports": {"image": "masks@before"}}"#;
    refused(port, &["state masks", "decoder", "[1, 4, 8, 8]", "[1, 1, 16, 16]"]);
    refused(&port.replace("masks@before", "masks"), &["image", "TENSOR@SLOT"]);
    refused(&port.replace("masks@before", "other@before"), &["image", "other@before"]);
    std::fs::remove_file(&path).unwrap();
}

/// How a session follows objects comes from the conventions, with the weights of evidence in the runtime's order.
#[test]
fn tracking_comes_from_the_conventions() {
    let path = std::env::temp_dir().join(format!("sonotrace-compiler-tracking-{}.json", std::process::id()));
    let compile_with = |conventions: &Value| {
        std::fs::write(&path, conventions.to_string()).unwrap();
        let graph = Onnx::default()
            .input("image", &[1, 1, 16, 16])
            .weights("w", &[4, 1, 3, 3])
            .node("Conv", &["image", "w"], &["masks"], &[ints("pads", &[1; 4]), ints("strides", &[2, 2])])
            .node("Relu", &["masks"], &["embedding"], &[])
            .node("Sigmoid", &["masks"], &["key"], &[])
            .indices("cells", &[4], &[1, 2, 8, 16])
            .node("Reshape", &["masks", "cells"], &["folded"], &[])
            .node(
                "MaxPool",
                &["folded"],
                &["flow"],
                &[ints("kernel_shape", &[1, 2]), ints("strides", &[1, 2])],
            )
            .output("masks")
            .output("embedding")
            .output("key")
            .output("flow");
        let options = Options { conventions: Some(path.clone()), ..Options::default() };
        compile_graphs(&[graph.graph("decoder").unwrap()], &options)
    };
    // Names in another order than the runtime's.
    let names: Vec<&str> = EVIDENCE_NAMES.iter().rev().copied().collect();
    let regression = |first: f32| {
        let weights: Vec<f32> = (0..EVIDENCE).map(|at| first + at as f32).collect();
        json!({"weights": weights, "bias": -first})
    };
    let whole = json!({
        "input": [1, 1, 16, 16], "mean": 0.25, "std": 0.5, "prompts": {"points": 16},
        "tracker": {"tokens": 16, "kept_every": 4, "anchored_every": 8, "anchor_dice": 0.75, "trust": 0.25, "memory": "a text"},
        "confidence": {
            "evidence": names, "right": regression(0.0), "trusted": regression(100.0), "absent": regression(200.0),
            "flagged_below": 0.375, "gate": {"lost_below": 0.5, "found_from": 0.875, "held_frames": 7}
        }
    });
    let file = AlignedBytes::new(&compile_with(&whole).unwrap().bytes);
    let model = Model::parse(file.bytes()).unwrap();
    let header = model.header();
    let sizes = [header.grid, header.embedding_channels, header.key_channels, header.flow_side];
    assert_eq!(sizes, [4, 16, 16, 8]);
    let t = *model.tracking().unwrap();
    assert_eq!((t.grid, t.kept_every, t.anchored_every, t.held_frames), (4, 4, 8, 7));
    assert_eq!(
        [t.anchor_dice, t.trust, t.lost_below, t.found_from, t.flagged_below],
        [0.75, 0.25, 0.5, 0.875, 0.375]
    );
    for (regression, first) in t.regressions.iter().zip([0.0, 100.0, 200.0]) {
        let expected = std::array::from_fn(|at| first + (EVIDENCE - 1 - at) as f32);
        assert_eq!((regression.weights, regression.bias), (expected, -first));
    }
    // Without confidence, or without a tracker, no session can follow objects; the file is a file.
    for part in ["tracker", "confidence"] {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(part);
        let file = AlignedBytes::new(&compile_with(&without).unwrap().bytes);
        let model = Model::parse(file.bytes()).unwrap();
        assert!(model.tracking().is_none() && model.header().grid == 0, "{part}");
    }
    for (pointer, value, told) in [
        ("/tracker/tokens", json!(15), "a square number"),
        ("/tracker/tokens", json!(9), "no output embedding"),
        ("/tracker/kept_every", json!(0), "an interval"),
        ("/tracker/trust", json!(1.5), "not within 0..=1"),
        ("/confidence/evidence/3", json!("taste"), "no evidence `"),
        ("/confidence/evidence", json!(["iou"]), "1 names"),
        ("/confidence/right/weights", json!([1.0]), "1 weights"),
        ("/confidence/right/bias", json!(1e9), "a weight of a regression"),
        ("/confidence/gate/found_from", json!(0.25), "found again below"),
        ("/confidence/gate/lost_below", json!(-0.25), "not within 0..=1"),
    ] {
        let mut wrong = whole.clone();
        *wrong.pointer_mut(pointer).unwrap() = value;
        let error = compile_with(&wrong).unwrap_err().to_string();
        assert!(error.contains(told), "{pointer}: {error}");
    }
}
