//! `runtime/tests/data/disc.sono`, the small model of the runtime's tests: it is compiled from the two graphs here.
//!
//! The encoder is a patch embedding with a block of attention. The decoder draws a disc around the mean of its points:
//! around a click, or around the middle of a box, so that an object that is redrawn by its box stays in place. The tracker finds
//! each object where the memories have it: objects do not move. An object is absent where the frame shows nothing.

// Helpers of tests: a failure here fails the test.
#![allow(clippy::unwrap_used)]

use half::f16;
use sonotrace::format::AlignedBytes;
use sonotrace::format::{Model, OpKind, SectionKind};
use sonotrace_compiler::golden::Case;
use sonotrace_compiler::{Options, Weights, compile_graphs, frontend, parity};
use sonotrace_tests::onnx::{Onnx, float, int, ints, text};
use sonotrace_tests::still::Still;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Side of the image, pixels.
const INPUT: usize = 32;
/// Side of the mask.
const MASK: usize = 8;
/// Point slots.
const POINTS: usize = 16;
/// Radii of the four candidates' discs, image pixels.
const RADII: [f32; 4] = [7.0, 6.5, 7.5, 6.0];
/// The candidates' estimates of their own quality: the second is the best of those after the first.
const IOU: [f32; 4] = [0.90, 0.93, 0.91, 0.89];
/// The tracker: objects do not move.
const STILL: Still =
    Still { input: INPUT, mask: MASK, grid: MASK, points: POINTS, mean: 0.25, std: 0.2, trust: 0.25 };
/// Largest size of disc.sono.
const FILE_BYTES_MAX: usize = 96 * 1024;

/// `image` to `embedding`: patches of 4 x 4 pixels, GELU, one block of attention with four heads.
fn encoder() -> frontend::Graph {
    let graph = Onnx::default()
        .input("image", &[1, 1, INPUT, INPUT])
        .weights("patch", &[4, 1, 4, 4])
        .weights("patch_bias", &[4])
        .node("Conv", &["image", "patch", "patch_bias"], &["patches"], &[ints("strides", &[4, 4])])
        .floats("root", &[], &[std::f32::consts::SQRT_2])
        .floats("one", &[], &[1.0])
        .floats("half", &[], &[0.5])
        .node("Div", &["patches", "root"], &["over_root"], &[])
        .node("Erf", &["over_root"], &["erf"], &[])
        .node("Add", &["erf", "one"], &["erf_one"], &[])
        .node("Mul", &["patches", "erf_one"], &["doubled"], &[])
        .node("Mul", &["doubled", "half"], &["gelu"], &[])
        .indices("flat", &[3], &[1, 4, 64])
        .node("Reshape", &["gelu", "flat"], &["rows"], &[])
        .node("Transpose", &["rows"], &["tokens"], &[ints("perm", &[0, 2, 1])])
        .weights("norm_scale", &[4])
        .weights("norm_bias", &[4])
        .node(
            "LayerNormalization",
            &["tokens", "norm_scale", "norm_bias"],
            &["normed"],
            &[int("axis", -1), float("epsilon", 1e-5)],
        )
        .indices("heads", &[4], &[1, 64, 4, 2]);
    let graph = [("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])].iter().fold(
        graph,
        |graph, (name, perm)| {
            let (weights, wide, split) =
                (format!("w{name}"), format!("{name}_wide"), format!("{name}_split"));
            graph
                .weights(&weights, &[4, 8])
                .node("MatMul", &["normed", &weights], &[&wide], &[])
                .node("Reshape", &[&wide, "heads"], &[&split], &[])
                .node("Transpose", &[&split], &[name], &[ints("perm", perm)])
        },
    );
    let graph = graph
        .node("MatMul", &["q", "k"], &["scores"], &[])
        .node("Softmax", &["scores"], &["shares"], &[int("axis", -1)])
        .node("MatMul", &["shares", "v"], &["mixed"], &[])
        .node("Transpose", &["mixed"], &["merged"], &[ints("perm", &[0, 2, 1, 3])])
        .indices("join", &[3], &[1, 64, 8])
        .node("Reshape", &["merged", "join"], &["joined"], &[])
        .weights("wo", &[8, 4])
        .node("MatMul", &["joined", "wo"], &["projected"], &[])
        .node("Add", &["tokens", "projected"], &["summed"], &[])
        .node("Transpose", &["summed"], &["channels"], &[ints("perm", &[0, 2, 1])])
        .indices("square", &[4], &[1, 4, 8, 8])
        .node("Reshape", &["channels", "square"], &["embedding"], &[])
        .output("embedding");
    frontend::parse("encoder", Path::new("disc-encoder.onnx"), &graph.bytes()).unwrap()
}

/// Centres of the mask's cells in image pixels, x before y.
fn cells() -> Vec<f32> {
    let step = (INPUT / MASK) as f32;
    let centre = |at: usize| (at as f32 + 0.5) * step - 0.5;
    (0..MASK * MASK).flat_map(|cell| [centre(cell % MASK), centre(cell / MASK)]).collect()
}

/// `logit = (radius^2 - |cell - mean of the points|^2) / 16`, and a little of the embedding and of the mask before.
fn decoder() -> frontend::Graph {
    let squares = RADII.map(|radius| radius * radius);
    let graph = Onnx::default()
        .input("embedding", &[1, 4, MASK, MASK])
        .input("point_coords", &[1, POINTS, 2])
        .input("point_labels", &[1, POINTS])
        .input("mask_input", &[1, 1, MASK, MASK])
        .input("has_mask_input", &[1])
        // 1 for a point, 0 for a slot that is not used (label -1).
        .floats("zero", &[], &[0.0])
        .floats("one", &[], &[1.0])
        .node("Add", &["point_labels", "one"], &["raised"], &[])
        .node("Clip", &["raised", "zero", "one"], &["used"], &[])
        .indices("axis1", &[1], &[1])
        .indices("axis2", &[1], &[2])
        .node("ReduceSum", &["used", "axis1"], &["number"], &[int("keepdims", 1)])
        .node("Max", &["number", "one"], &["count"], &[])
        .node("Unsqueeze", &["used", "axis1"], &["row"], &[])
        .node("MatMul", &["row", "point_coords"], &["total"], &[])
        .node("Div", &["total", "count"], &["centre"], &[])
        .floats("cells", &[1, MASK * MASK, 2], &cells())
        .node("Sub", &["cells", "centre"], &["apart"], &[])
        .node("Mul", &["apart", "apart"], &["squared"], &[])
        .node("ReduceSum", &["squared", "axis2"], &["distance"], &[int("keepdims", 1)])
        .indices("square", &[4], &[1, 1, MASK as i64, MASK as i64])
        .node("Reshape", &["distance", "square"], &["map"], &[])
        .floats("radii", &[1, 4, 1, 1], &squares)
        .node("Sub", &["radii", "map"], &["disc"], &[])
        .floats("slope", &[], &[1.0 / 16.0])
        .node("Mul", &["disc", "slope"], &["logits"], &[])
        // Channels in an order that no stride gives: a gather.
        .indices("order", &[4], &[2, 0, 3, 1])
        .node("Gather", &["embedding", "order"], &["shuffled"], &[int("axis", 1)])
        .node("Tanh", &["shuffled"], &["bounded"], &[])
        // Then sampled at computed places, partly outside the image: a grid sampling.
        .indices("places", &[4], &[1, MASK as i64, MASK as i64, 2])
        .node("Mul", &["apart", "slope"], &["near"], &[])
        .node("Reshape", &["near", "places"], &["at"], &[])
        .node("GridSample", &["bounded", "at"], &["seen"], &[text("padding_mode", "border")])
        .floats("little", &[], &[1.0 / 64.0])
        .node("Mul", &["seen", "little"], &["texture"], &[])
        .node("Mul", &["mask_input", "has_mask_input"], &["before"], &[])
        .node("Mul", &["before", "little"], &["memory"], &[])
        .node("Add", &["logits", "texture"], &["textured"], &[])
        .node("Add", &["textured", "memory"], &["masks"], &[])
        .node("ReduceMean", &["bounded"], &["mean"], &[ints("axes", &[2, 3]), int("keepdims", 0)])
        .floats("slight", &[], &[1.0 / 256.0])
        .node("Mul", &["mean", "slight"], &["difference"], &[])
        .floats("quality", &[1, 4], &IOU)
        .node("Add", &["quality", "difference"], &["iou"], &[])
        .output("masks")
        .output("iou");
    frontend::parse("decoder", Path::new("disc-decoder.onnx"), &graph.bytes()).unwrap()
}

/// A click, and a box with the mask before.
fn decoder_cases() -> Vec<Case> {
    let case = |points: &[([f32; 2], f32)], has_mask: f32| {
        let (mut coords, mut labels) = (vec![0.0; 2 * POINTS], vec![-1.0; POINTS]);
        for (slot, (at, label)) in points.iter().enumerate() {
            coords[2 * slot..2 * slot + 2].copy_from_slice(at);
            labels[slot] = *label;
        }
        let wave = |elements: usize, step: f32| (0..elements).map(|at| (at as f32 * step).sin()).collect();
        Case::from([
            ("embedding".to_owned(), wave(4 * MASK * MASK, 0.37)),
            ("point_coords".to_owned(), coords),
            ("point_labels".to_owned(), labels),
            ("mask_input".to_owned(), wave(MASK * MASK, 0.91)),
            ("has_mask_input".to_owned(), vec![has_mask]),
        ])
    };
    vec![case(&[([12.5, 20.25], 1.0)], 0.0), case(&[([4.0, 6.0], 2.0), ([20.0, 18.0], 3.0)], 1.0)]
}

/// The file, compiled once for all tests.
fn compiled() -> &'static [u8] {
    static COMPILED: OnceLock<Vec<u8>> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("disc-conventions.json");
        std::fs::write(&path, STILL.conventions()).unwrap();
        let options = Options {
            weights: Weights::F16,
            conventions: Some(path),
            golden: [("decoder".to_owned(), decoder_cases())].into(),
        };
        compile_graphs(&[encoder(), decoder(), STILL.tracker(), STILL.memory()], &options).unwrap().bytes
    })
}

fn committed_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime/tests/data/disc.sono")
}

/// The content of a section.
fn section(file: &[u8], kind: SectionKind) -> &[u8] {
    let record = sonotrace::format::write::section_record(file, kind);
    &file[record.offset as usize..][..record.bytes as usize]
}

/// Golden outputs come from tract, whose order of summation depends on the machine: they may differ in f16's last bits.
fn golden_agree(a: &[u8], b: &[u8]) -> bool {
    let values = |bytes: &[u8]| -> Vec<f32> {
        bytes.chunks_exact(2).map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32()).collect()
    };
    let (a, b) = (values(section(a, SectionKind::GoldenData)), values(section(b, SectionKind::GoldenData)));
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= 2e-3 * a.abs().max(b.abs()).max(0.1))
}

#[test]
fn the_committed_file_matches_the_compiler() {
    let bytes = compiled();
    assert!(bytes.len() <= FILE_BYTES_MAX, "disc.sono is {} bytes, at most {FILE_BYTES_MAX}", bytes.len());
    if std::env::var_os("UPDATE_DISC").is_some() {
        std::fs::write(committed_path(), bytes).unwrap();
        return;
    }
    const UPDATE: &str = "UPDATE_DISC=1 cargo test -p sonotrace-compiler --test disc";
    let committed =
        std::fs::read(committed_path()).unwrap_or_else(|error| panic!("{error}: create it with {UPDATE}"));
    if committed == bytes {
        return;
    }
    assert_eq!(committed.len(), bytes.len(), "disc.sono has another length: update it with {UPDATE}");
    for &kind in SectionKind::ALL {
        let is_same = match kind {
            SectionKind::GoldenData => golden_agree(&committed, bytes),
            _ => section(&committed, kind) == section(bytes, kind),
        };
        assert!(is_same, "disc.sono differs in {kind:?}: update it with {UPDATE}");
    }
}

#[test]
fn it_agrees_with_tract() {
    let bytes = compiled();
    for graph in [encoder(), decoder(), STILL.tracker(), STILL.memory()] {
        for output in parity::outputs(bytes, &graph, None).unwrap() {
            assert!(output.relative_rms <= 2e-3, "{output:?}");
        }
    }
}

/// The runtime's tests rely on several kinds of operations, an index table, and the embedding kept per frame.
#[test]
fn it_has_the_operations_that_the_runtime_tests_need() {
    let bytes = compiled();
    let file = AlignedBytes::new(bytes);
    let model = Model::parse(file.bytes()).unwrap();
    for kind in [
        OpKind::Elementwise,
        OpKind::Reduce,
        OpKind::Normalize,
        OpKind::Softmax,
        OpKind::MatMul,
        OpKind::Conv,
        OpKind::Gather,
        OpKind::GridSample,
    ] {
        assert!(model.ops().iter().any(|op| op.kind == kind as u32), "{kind:?}");
    }
    let [features, memory, motion, shares] = model.header().banks() else { panic!("four banks") };
    let features = (features.copy_bytes, features.copies, features.per_kept_frame);
    // The anchor keeps one copy.
    assert_eq!(features, ((4 * MASK * MASK * 4) as u64, 1, 1));
    assert_eq!([memory, motion, shares].map(|bank| bank.copies), [6, 2, 2]);
    assert_eq!(model.tracking().map(|tracking| tracking.grid), Some(MASK as u32));
    let c = model.conventions();
    assert_eq!((c.input_size, c.mask_size, c.point_slots, c.mask_candidates), (32, 8, 16, 4));
    assert_eq!((c.mean, c.std), (0.25, 0.2));
}
