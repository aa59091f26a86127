//! Compares every program with the golden vectors of its graph: inputs, and outputs that ONNX Runtime computed in f32.

use npyz::NpyFile;
use sonotrace::exec::ExecutorConfig;
use sonotrace::format::AlignedBytes;
use sonotrace_compiler::parity::relative_rms;
use sonotrace_compiler::run_compiled;
use sonotrace_compiler::{Options, Weights, compile_graphs, frontend};
use std::fs::File;
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// An array of a golden file, stored as f16 or f32.
fn values(archive: &mut ZipArchive<File>, name: &str) -> Option<Vec<f32>> {
    let entry = match archive.by_name(&format!("{name}.npy")) {
        Err(ZipError::FileNotFound) => return None,
        entry => entry.expect("the archive can be read"),
    };
    let file = NpyFile::new(entry).expect("an array");
    let halves = matches!(file.dtype(), npyz::DType::Plain(kind) if kind.size_field() == 2);
    Some(if halves {
        let values: Vec<half::f16> = file.into_vec().expect("an array of f16");
        values.into_iter().map(half::f16::to_f32).collect()
    } else {
        file.into_vec().expect("an array of f32")
    })
}

/// Compiles one graph with each storage of weights, and runs all cases of its golden file: the names of a case begin with one
/// of `prefixes`.
fn check(graph: &Path, golden: &Path, prefixes: &[&str]) {
    let loaded = [frontend::load("program", graph).expect("the graph is read")];
    for (weights, limit) in [(Weights::F32, 1e-4), (Weights::F16, 2e-3)] {
        let options = Options { weights, ..Options::default() };
        let compiled = compile_graphs(&loaded, &options).expect("the graph compiles");
        check_file(&compiled.bytes, (graph, golden), prefixes, (weights, limit));
    }
}

fn check_file(
    file: &[u8],
    (graph, golden): (&Path, &Path),
    prefixes: &[&str],
    (weights, limit): (Weights, f64),
) {
    let program = "program";
    let aligned = AlignedBytes::new(file);
    let model = sonotrace::format::Model::parse(aligned.bytes()).expect("the file is sound");
    let (_, record) = model.program(program).expect("the program is there");
    let mut archive = File::open(golden).map(|file| ZipArchive::new(file).expect("an archive"));
    let archive = archive.as_mut().expect("the golden file opens");
    for prefix in prefixes {
        let inputs: Vec<Vec<f32>> = model
            .inputs(record)
            .iter()
            .map(|port| {
                let name = format!("{prefix}in_{}", model.name(port.name));
                values(archive, &name).unwrap_or_else(|| panic!("{name} is not in {}", golden.display()))
            })
            .collect();
        let outputs =
            run_compiled(file, program, &inputs, &ExecutorConfig::default()).expect("the program runs");
        let mut compared = 0;
        for (port, seen) in model.outputs(record).iter().zip(&outputs) {
            let name = format!("{prefix}out_{}", model.name(port.name));
            let Some(expected) = values(archive, &name) else { continue };
            let error = relative_rms(seen, &expected);
            println!("{} {name} {weights:?}: {error:.2e}", graph.display());
            assert!(error <= limit, "{} {name}: {error} is more than {limit}", graph.display());
            compared += 1;
        }
        assert!(compared > 0, "{} has no output for {prefix}", golden.display());
    }
}

#[test]
fn programs_reproduce_the_golden_vectors() {
    let Some(models) = sonotrace_tests::folder("SONOTRACE_MODELS") else { return };
    let (lite, deaot) = (models.join("sonosamlite-start"), models.join("deaot_t"));
    let golden = lite.join("golden.npz");
    check(&lite.join("encoder.onnx"), &golden, &["encoder0_", "encoder1_", "encoder2_"]);
    check(&lite.join("decoder.onnx"), &golden, &["decoder0_", "decoder1_", "decoder2_"]);
    check(&deaot.join("step_l4.onnx"), &deaot.join("step_l4.golden.npz"), &[""]);
    check(&deaot.join("memory.onnx"), &deaot.join("memory.golden.npz"), &[""]);
}
