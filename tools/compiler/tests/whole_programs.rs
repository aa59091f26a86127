//! Whole programs: state between them, golden cases, random graphs, node-by-node parity.

// Helpers of tests: a failure here fails the test.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::op::{Arithmetic, TILE_MACS_MAX};
use sonotrace::format::{AlignedBytes, Model, Operation, PROVENANCE_BYTES_MAX};
use sonotrace::kernels::arch::Instructions;
use sonotrace::kernels::{BindOptions, BoundOp};
use sonotrace_compiler::golden::{BYTES_MIN, Case, made_up};
use sonotrace_compiler::parity::Parity;
use sonotrace_compiler::{Compiled, Options, Weights, compile_graphs, frontend, parity};
use sonotrace_tests::onnx::{self, Onnx, RMS_MAX, count, ints};

fn writer() -> frontend::Graph {
    let graph = Onnx::default()
        .input("image", &[1, 2, 6, 6])
        .weights("w", &[3, 2, 3, 3])
        .node("Conv", &["image", "w"], &["feature"], &[ints("pads", &[1; 4])])
        .output("feature");
    graph.graph("writer").unwrap()
}

fn reader() -> frontend::Graph {
    let graph = Onnx::default()
        .input("feature", &[1, 3, 6, 6])
        .input("gain", &[1])
        .node("Mul", &["feature", "gain"], &["a"], &[])
        .node("Sigmoid", &["a"], &["y"], &[])
        .output("y");
    graph.graph("reader").unwrap()
}

/// One program writes a feature, another reads it, on two kept frames at once.
#[test]
fn state_passes_from_program_to_program_within_its_frame() {
    let compiled = compile_graphs(&[writer(), reader()], &Options::default()).unwrap();
    let file = AlignedBytes::new(&compiled.bytes);
    let model = Model::parse(file.bytes()).unwrap();
    let config = ExecutorConfig { kept_frames: 2, ..ExecutorConfig::default() };
    let mut region = AlignedBytes::zeroed(memory_required(file.bytes(), &config).unwrap().bytes);
    let mut executor = Executor::new(model, config, region.bytes_mut()).unwrap();
    let (writes, reads) = (executor.program("writer").unwrap(), executor.program("reader").unwrap());
    let images = [made_up(0, 72), made_up(5, 72)];
    for (copy, image) in (0..).zip(&images) {
        executor.begin(writes, &[copy]).unwrap();
        executor.input_mut(0).copy_from_slice(image);
        executor.finish();
    }
    for (copy, image) in (0..).zip(&images) {
        executor.begin(reads, &[copy]).unwrap();
        executor.input_mut(1).fill(0.5);
        executor.finish();
        let feature = frontend::run_reference(&writer(), std::slice::from_ref(image)).unwrap().remove(0);
        let expected = frontend::run_reference(&reader(), &[feature, vec![0.5]]).unwrap();
        assert!(parity::relative_rms(executor.output(0), &expected[0]) <= RMS_MAX);
    }
}

#[test]
fn given_golden_cases_are_stored_and_pass() {
    let case =
        |gain: f32| Case::from([("feature".to_owned(), made_up(3, 108)), ("gain".to_owned(), vec![gain])]);
    let options =
        Options { golden: [("reader".to_owned(), vec![case(0.25), case(2.0)])].into(), ..Options::default() };
    let compiled = compile_graphs(&[writer(), reader()], &options).unwrap();
    let file = AlignedBytes::new(&compiled.bytes);
    let model = Model::parse(file.bytes()).unwrap();
    // One input and one output of the writer, two inputs and one output for each case of the reader.
    assert_eq!(model.golden().len(), 2 + 2 * 3);
    let mut region =
        AlignedBytes::zeroed(memory_required(file.bytes(), &ExecutorConfig::default()).unwrap().bytes);
    assert!(
        Executor::new(model, ExecutorConfig::default(), region.bytes_mut()).unwrap().self_test().unwrap()
            < 1e-3
    );
    let missing = Options { golden: [("reader".to_owned(), vec![Case::new()])].into(), ..Options::default() };
    let error = compile_graphs(&[reader()], &missing).unwrap_err().to_string();
    assert!(error.contains("feature"), "{error}");
}

#[test]
fn the_file_is_reproducible_and_has_its_provenance() {
    let compile = || compile_graphs(&[writer(), reader()], &Options::default()).unwrap().bytes;
    let bytes = compile();
    assert_eq!(bytes, compile(), "the same inputs give the same bytes");
    let file = AlignedBytes::new(&bytes);
    let provenance = Model::parse(file.bytes()).unwrap().provenance();
    let json: serde_json::Value = serde_json::from_str(provenance).unwrap();
    assert_eq!(json["programs"][0]["graph"], "test.onnx");
    assert_eq!(json["programs"][0]["blake3"].as_str().unwrap().len(), 64);
    assert_eq!(json["programs"][0]["opsets"][0]["version"], 17);
    assert_eq!(json["options"]["weights"], "f32");
}

/// What training wrote into the graphs is in the file, once for programs of the same weights.
#[test]
fn the_file_carries_the_record_of_training() {
    let graph = |program: &str, record: Option<&str>| {
        let graph = Onnx::default().input("x", &[1, 4]).node("Relu", &["x"], &["y"], &[]).output("y");
        let graph = match record {
            Some(record) => graph.metadata("producer", "none").metadata("sonotrace.provenance", record),
            None => graph,
        };
        graph.graph(program)
    };
    let record = r#"{"use": "not for commercial use", "data": {"sha256": "ab"}}"#;
    let other = r#"{"use": "not known"}"#;
    let programs = [("a", Some(record)), ("b", None), ("c", Some(other)), ("d", Some(record))];
    let graphs: Vec<_> = programs.iter().map(|&(name, record)| graph(name, record).unwrap()).collect();
    let file = AlignedBytes::new(&compile_graphs(&graphs, &Options::default()).unwrap().bytes);
    let text = Model::parse(file.bytes()).unwrap().provenance();
    let json: serde_json::Value = serde_json::from_str(text).unwrap();
    let training = json["training"].as_array().unwrap();
    assert_eq!(training.len(), 2);
    assert_eq!(training[0]["programs"], serde_json::json!(["a", "d"]));
    assert_eq!(training[0]["record"]["data"]["sha256"], "ab");
    assert_eq!(training[1]["record"]["use"], "not known");

    let without = compile_graphs(&[graph("a", None).unwrap()], &Options::default()).unwrap();
    let file = AlignedBytes::new(&without.bytes);
    assert!(!Model::parse(file.bytes()).unwrap().provenance().contains("training"));

    let error = graph("a", Some("{")).unwrap_err().to_string();
    assert!(error.contains("test.onnx") && error.contains("sonotrace.provenance is not JSON"), "{error}");
    let long = format!("\"{}\"", "x".repeat(PROVENANCE_BYTES_MAX as usize));
    let error =
        compile_graphs(&[graph("a", Some(&long)).unwrap()], &Options::default()).unwrap_err().to_string();
    assert!(error.contains("provenance in bytes is") && error.contains("the limit is 65536"), "{error}");
}

#[test]
fn every_node_can_be_compared() {
    let layers = parity::layers(&reader(), &Options::default(), None).unwrap();
    for node in ["Mul_0", "Sigmoid_1"] {
        assert!(layers.iter().any(|layer| layer.name == node), "{layers:?}");
    }
    assert!(layers.iter().all(|layer| layer.relative_rms <= RMS_MAX), "{layers:?}");
    assert!(layers.is_sorted_by(|a, b| a.relative_rms >= b.relative_rms), "the worst comes first");
}

#[test]
fn an_input_that_is_an_output_and_an_output_twice() {
    let graph = Onnx::default()
        .input("x", &[3, 4])
        .node("Relu", &["x"], &["a"], &[])
        .node("Identity", &["x"], &["b"], &[])
        .node("Identity", &["a"], &["c"], &[]);
    graph.output("a").output("b").output("c").agrees("ports");
}

/// A tile of a product stays below its limit for any depth of the sums.
#[test]
fn tiles_are_bounded() {
    let compiled = Onnx::default()
        .input("x", &[300, 5000])
        .weights("w", &[5000, 200])
        .node("MatMul", &["x", "w"], &["y"], &[])
        .output("y")
        .agrees("deep product");
    let tiles_with = |compiled: &Compiled, options: &BindOptions| {
        let file = AlignedBytes::new(&compiled.bytes);
        let model = Model::parse(file.bytes()).unwrap();
        BoundOp::bind(&model, &model.ops()[0], options).unwrap().tiles()
    };
    let tiles = |compiled: &Compiled| tiles_with(compiled, &BindOptions::default());
    assert_eq!(count(&compiled, "matmul"), 1);
    for instructions in Instructions::available() {
        let options = BindOptions::of(instructions);
        let least = (300 * 200 * 5000u64).div_ceil(options.tile_macs);
        assert!(u64::from(tiles_with(&compiled, &options)) >= least, "{options:?}");
    }
    // A slow core has no more than portable code.
    assert_eq!(BindOptions::of(Instructions::portable()).tile_macs, TILE_MACS_MAX);
    let long = Onnx::default()
        .input("x", &[1 << 20])
        .node("Exp", &["x"], &["y"], &[])
        .output("y")
        .agrees("long row");
    assert_eq!(tiles(&long), 128);
}

/// A step of a random graph over the values made so far.
#[derive(Debug, Clone)]
enum Step {
    Unary(usize, usize),
    Add(usize, usize),
    Transpose(usize, usize),
    Reshape(usize, usize),
    Concat(usize, usize),
    Slice(usize, usize, usize),
    Product(usize),
    Norm(usize),
    Conv(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let pick = 0usize..64;
    let step = prop_oneof![
        (pick.clone(), 0usize..5).prop_map(|(a, f)| Step::Unary(a, f)),
        (pick.clone(), pick.clone()).prop_map(|(a, b)| Step::Add(a, b)),
        (pick.clone(), 0usize..6).prop_map(|(a, p)| Step::Transpose(a, p)),
        (pick.clone(), 0usize..6).prop_map(|(a, s)| Step::Reshape(a, s)),
        (pick.clone(), 0usize..3).prop_map(|(a, axis)| Step::Concat(a, axis)),
        (pick.clone(), 0usize..3, 0usize..2).prop_map(|(a, axis, start)| Step::Slice(a, axis, start)),
        pick.clone().prop_map(Step::Product),
        pick.clone().prop_map(Step::Norm),
        pick.prop_map(Step::Conv),
    ];
    prop::collection::vec(step, 3..14)
}

/// Permutations of three axes: every value has three, so that most steps fit most values.
const PERMUTATIONS: [[i64; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

fn random_graph(steps: &[Step]) -> Onnx {
    let mut graph = Onnx::opset(13).input("v0", &[2, 6, 4]);
    let mut shapes: Vec<Vec<usize>> = vec![vec![2, 6, 4]];
    for (at, step) in steps.iter().enumerate() {
        let (name, constant) = (format!("v{}", shapes.len()), format!("k{at}"));
        let of = |pick: usize| pick % shapes.len();
        let value = |pick: usize| format!("v{}", of(pick));
        let (a, shape) = match *step {
            Step::Unary(a, _) | Step::Transpose(a, _) | Step::Reshape(a, _) | Step::Add(a, _) => {
                (value(a), shapes[of(a)].clone())
            }
            Step::Concat(a, _) | Step::Slice(a, ..) | Step::Product(a) | Step::Norm(a) | Step::Conv(a) => {
                (value(a), shapes[of(a)].clone())
            }
        };
        let total: usize = shape.iter().product();
        let mut next = shape.clone();
        graph = match *step {
            Step::Unary(_, f) => {
                graph.node(["Relu", "Tanh", "Sigmoid", "Neg", "Abs"][f], &[&a], &[&name], &[])
            }
            Step::Add(_, b) if shapes[of(b)] == shape => graph.node("Add", &[&a, &value(b)], &[&name], &[]),
            Step::Add(..) => {
                let bias = &shape[2..];
                graph.weights(&constant, bias).node("Add", &[&constant, &a], &[&name], &[])
            }
            Step::Transpose(_, p) => {
                next = PERMUTATIONS[p].iter().map(|&axis| shape[axis as usize]).collect();
                graph.node("Transpose", &[&a], &[&name], &[ints("perm", &PERMUTATIONS[p])])
            }
            Step::Reshape(_, s) => {
                let rows = [2, 3, 4, 6, 8, 12][s];
                if total.is_multiple_of(rows * 2) {
                    next = vec![rows, 2, total / rows / 2];
                }
                let sizes: Vec<i64> = next.iter().map(|&extent| extent as i64).collect();
                graph.indices(&constant, &[3], &sizes).node("Reshape", &[&a, &constant], &[&name], &[])
            }
            Step::Concat(_, axis) if total < 400 => {
                next[axis] *= 2;
                let attributes = [onnx::int("axis", axis as i64)];
                graph
                    .node("Exp", &[&a], &[&constant], &[])
                    .node("Sigmoid", &[&constant], &[&format!("{constant}s")], &[])
                    .node("Concat", &[&a, &format!("{constant}s")], &[&name], &attributes)
            }
            Step::Slice(_, axis, start) if shape[axis] > 1 => {
                next[axis] = shape[axis] / 2;
                let start = if start == 0 { 0 } else { (shape[axis] - next[axis]) as i64 };
                graph
                    .indices(&constant, &[1], &[start])
                    .indices(&format!("{constant}e"), &[1], &[start + next[axis] as i64])
                    .indices(&format!("{constant}a"), &[1], &[axis as i64])
                    .node(
                        "Slice",
                        &[&a, &constant, &format!("{constant}e"), &format!("{constant}a")],
                        &[&name],
                        &[],
                    )
            }
            Step::Product(_) => {
                next[2] = 5;
                let scaled = format!("{constant}p");
                graph
                    .weights(&constant, &[shape[2], 5])
                    .node("MatMul", &[&a, &constant], &[&scaled], &[])
                    .node("Tanh", &[&scaled], &[&name], &[])
            }
            Step::Norm(_) => graph.node("Softmax", &[&a], &[&name], &[onnx::int("axis", 1)]),
            Step::Conv(_) => {
                next[1] = 3;
                graph
                    .weights(&constant, &[3, shape[1], 3])
                    .node("Conv", &[&a, &constant], &[&format!("{constant}c")], &[ints("pads", &[1, 1])])
                    .node("Tanh", &[&format!("{constant}c")], &[&name], &[])
            }
            Step::Concat(..) | Step::Slice(..) => graph.node("Identity", &[&a], &[&name], &[]),
        };
        shapes.push(next);
    }
    let last = format!("v{}", shapes.len() - 1);
    let middle = format!("v{}", shapes.len() / 2);
    let graph = graph.node("Neg", &[&middle], &["middle"], &[]);
    graph.output(&last).output("middle")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// For random graphs, the results agree with tract and the runtime's verifier accepts the file.
    #[test]
    fn random_graphs_agree(steps in steps()) {
        let graph = random_graph(&steps).graph("main").unwrap();
        let compiled = compile_graphs(std::slice::from_ref(&graph), &Options::default())
            .map_err(|error| TestCaseError::fail(format!("{error}\n{}", onnx::dump(&graph))))?;
        for output in parity::outputs(&compiled.bytes, &graph, None).unwrap() {
            prop_assert!(output.relative_rms <= RMS_MAX, "{:?}\n{}", output, onnx::dump(&graph));
        }
    }
}

/// `channels` channels of `depth` weights each: integers up to 127 times the scale of the channel.
fn weights_of_8_bits(channels: usize, depth: usize) -> Vec<f32> {
    let weight = |channel: usize, at: usize| {
        let integer = if at == 0 { 127 } else { (channel * 37 + at * 53) as i32 % 255 - 127 };
        integer as f32 * (0.001 + 0.0007 * channel as f32)
    };
    (0..channels).flat_map(|channel| (0..depth).map(move |at| weight(channel, at))).collect()
}

/// A graph compiled with 8-bit weights, and its difference from tract in f32.
fn in_8_bits(graph: Onnx) -> (Compiled, Vec<Parity>) {
    let graph = graph.graph("main").unwrap();
    let options = Options { weights: Weights::I8, ..Options::default() };
    let compiled = compile_graphs(std::slice::from_ref(&graph), &options).unwrap();
    let outputs = parity::outputs(&compiled.bytes, &graph, None).unwrap();
    (compiled, outputs)
}

/// Weights that fit 8 bits are stored exactly; others are off by up to half a step of their channel's scale.
#[test]
fn weights_of_8_bits_are_stored_exactly() {
    let graph = Onnx::default()
        .input("image", &[1, 3, 7, 9])
        .floats("w", &[21, 3, 3, 3], &weights_of_8_bits(21, 27))
        .node("Conv", &["image", "w"], &["feature"], &[ints("pads", &[1; 4])])
        .node("Transpose", &["feature"], &["tokens"], &[ints("perm", &[0, 2, 3, 1])])
        .floats("m", &[40, 21], &weights_of_8_bits(40, 21))
        .node("Transpose", &["m"], &["mt"], &[ints("perm", &[1, 0])])
        .node("MatMul", &["tokens", "mt"], &["y"], &[])
        .output("y");
    let (compiled, outputs) = in_8_bits(graph);
    for output in outputs {
        assert!(output.relative_rms <= RMS_MAX, "{output:?}");
    }
    // Panels of 16 channels: four rows of scales, four of sums, and 27 and 21 inputs, padded to multiples of 4.
    assert_eq!(compiled.report.programs[0].weight_bytes, (2 * (8 + 28) + 3 * (8 + 24)) * 16);
    let rough = Onnx::default()
        .input("x", &[3, 40])
        .weights("w", &[40, 24])
        .node("MatMul", &["x", "w"], &["y"], &[])
        .output("y");
    for output in in_8_bits(rough).1 {
        assert!((RMS_MAX..0.02).contains(&output.relative_rms), "{output:?}");
    }
}

/// A product over a concatenation becomes one product per part. Each part keeps the scale of the whole row, although
/// the row's largest weight (127 steps) is in another part.
#[test]
fn weights_of_8_bits_stay_exact_in_parts() {
    let [first, second] = [13, 24];
    let graph = Onnx::default()
        .input("a", &[1, first, 7, 9])
        .input("b", &[1, second, 7, 9])
        .node("Concat", &["a", "b"], &["ab"], &[onnx::int("axis", 1)])
        .floats("w", &[21, first + second, 1, 1], &weights_of_8_bits(21, first + second))
        .node("Conv", &["ab", "w"], &["y"], &[])
        .output("y");
    for output in in_8_bits(graph).1 {
        assert!(output.relative_rms <= RMS_MAX, "{output:?}");
    }
}

/// With `Weights::Int8` and `Weights::Bf16`, matrix products compute in these types, close to f32, and the self-test passes on every
/// instruction set.
#[test]
fn rounded_products_are_close_to_f32() {
    let graph = Onnx::default()
        .input("x", &[3, 21, 64])
        .weights("w1", &[64, 96])
        .weights("w2", &[96, 39])
        .node("MatMul", &["x", "w1"], &["a"], &[])
        .node("Relu", &["a"], &["b"], &[])
        .node("MatMul", &["b", "w2"], &["c"], &[])
        .node("Transpose", &["c"], &["d"], &[ints("perm", &[0, 2, 1])])
        .node("MatMul", &["c", "d"], &["y"], &[])
        .output("y")
        .graph("perceptron")
        .unwrap();
    // One step of 127 of the largest value of a row is more than the error of f16 weights; that of bf16 is 2^-9 of each value.
    for (weights, kinds, errors) in [
        (Weights::Int8, [Arithmetic::Int8, Arithmetic::DynamicInt8], 1e-3..3e-2),
        (Weights::Bf16, [Arithmetic::Bf16, Arithmetic::DynamicBf16], 1e-3..1e-2),
    ] {
        let options = Options { weights, ..Options::default() };
        let compiled = compile_graphs(std::slice::from_ref(&graph), &options).unwrap();
        let file = AlignedBytes::new(&compiled.bytes);
        let model = Model::parse(file.bytes()).unwrap();
        let seen: Vec<_> = model.ops().iter().map(|op| Operation::decode(op).unwrap().arithmetic()).collect();
        assert_eq!(seen, [kinds[0], kinds[0], kinds[1]]);
        let parity = &parity::outputs(&compiled.bytes, &graph, None).unwrap()[0];
        assert!(errors.contains(&parity.relative_rms), "{parity:?}");
        for instructions in Instructions::available() {
            let config = ExecutorConfig { instructions, ..ExecutorConfig::default() };
            let mut region = AlignedBytes::zeroed(memory_required(file.bytes(), &config).unwrap().bytes);
            Executor::new(model, config, region.bytes_mut()).unwrap().self_test().unwrap();
        }
    }
}

/// A graph that has no weights, with images of this side as its input and its larger output.
fn image(side: usize) -> frontend::Graph {
    Onnx::default()
        .input("image", &[1, 1, side, side])
        .node("Relu", &["image"], &["large"], &[])
        .node("GlobalAveragePool", &["image"], &["small"], &[])
        .output("large")
        .output("small")
        .graph("main")
        .unwrap()
}

/// Golden tensors by port, their bytes, and the text of the report.
fn golden_of(side: usize, cases: usize) -> (Vec<u32>, u64, String) {
    let cases = (0..cases).map(|at| Case::from([("image".to_owned(), made_up(at, side * side))])).collect();
    let options = Options { golden: [("main".to_owned(), cases)].into(), ..Options::default() };
    let compiled = compile_graphs(&[image(side)], &options).unwrap();
    let file = AlignedBytes::new(&compiled.bytes);
    let golden = Model::parse(file.bytes()).unwrap().golden();
    let bytes = golden.iter().map(|record| record.elements * 2).sum();
    assert_eq!(bytes, compiled.report.programs[0].golden_bytes);
    (golden.iter().map(|record| record.port).collect(), bytes, compiled.report.to_string())
}

#[test]
fn golden_cases_take_a_part_of_the_weights_or_two_megabytes() {
    // A small image: the input and both outputs.
    assert_eq!(golden_of(64, 0).0, [0, 1, 2]);
    // A large one: only its smaller output.
    assert_eq!(golden_of(512, 1).0, [0, 2]);
    // The first three of five cases fit.
    let (ports, bytes, text) = golden_of(512, 5);
    assert_eq!(ports, [0, 2, 0, 2, 0, 2]);
    assert!(bytes <= BYTES_MIN && !text.contains("no golden case"), "{bytes} bytes: {text}");
    // A larger image than any case may have: a file without a case, and a note.
    let (ports, bytes, text) = golden_of(1032, 0);
    assert!(ports.is_empty() && bytes == 0, "{ports:?}");
    assert!(text.contains("main: no golden case, the self-test leaves it out"), "{text}");
}

/// With weights of 34 MB, an input of 2 MB is less than a tenth of them.
#[test]
fn golden_cases_may_be_larger_with_large_weights() {
    let graph = |hidden: usize| {
        Onnx::default()
            .input("x", &[1032, 1024])
            .weights("w", &[1024, hidden])
            .node("ReduceMean", &["x"], &["mean"], &[ints("axes", &[0])])
            .node("MatMul", &["mean", "w"], &["y"], &[])
            .output("y")
            .compile()
            .unwrap()
    };
    let golden = |hidden: usize| graph(hidden).report.programs[0].golden_bytes;
    assert_eq!([golden(16), golden(8192)], [0, (1032 * 1024 + 8192) * 2]);
}
