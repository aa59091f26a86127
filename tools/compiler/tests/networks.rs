//! The networks that the project starts from: all compile, and agree with tract.
//!
//! `SONOTRACE_MODELS` names the folder with `sonosamlite-start/` and `deaot_t/`. Without it these tests print that they
//! are skipped, or fail if `SONOTRACE_NO_SKIP` is set.

// Helpers of tests: a failure here fails the test.
#![allow(clippy::unwrap_used)]

use sonotrace::format::AlignedBytes;
use sonotrace_compiler::{Options, Weights, compile_graphs, frontend, parity};
use std::path::PathBuf;

/// Bound on the relative rms error with f32 weights.
const F32_RMS_MAX: f64 = 1e-4;
/// Bound with f16 weights.
const F16_RMS_MAX: f64 = 2e-3;

fn models() -> Option<PathBuf> {
    let folder = std::env::var_os("SONOTRACE_MODELS").map(PathBuf::from);
    if folder.is_none() {
        assert!(
            std::env::var_os("SONOTRACE_NO_SKIP").is_none(),
            "SONOTRACE_MODELS must name the folder of networks"
        );
        println!("skipped: SONOTRACE_MODELS is not set");
    }
    folder
}

fn graphs(folder: &std::path::Path) -> Vec<frontend::Graph> {
    [
        ("encoder", "sonosamlite-start/encoder.onnx"),
        ("decoder", "sonosamlite-start/decoder.onnx"),
        ("step", "deaot_t/step_l4.onnx"),
        ("memory", "deaot_t/memory.onnx"),
    ]
    .map(|(name, file)| frontend::load(name, &folder.join(file)).unwrap())
    .to_vec()
}

#[test]
fn all_networks_compile_into_one_file_and_agree_with_tract() {
    let Some(folder) = models() else { return };
    let graphs = graphs(&folder);
    let conventions = Some(folder.join("sonosamlite-start/conventions.json"));
    for (weights, bound) in [(Weights::F32, F32_RMS_MAX), (Weights::F16, F16_RMS_MAX)] {
        let options = Options { weights, conventions: conventions.clone(), ..Options::default() };
        let compiled = compile_graphs(&graphs, &options).unwrap();
        println!("{}: {}", weights.name(), compiled.report);
        for graph in &graphs {
            for output in parity::outputs(&compiled.bytes, graph, None).unwrap() {
                println!(
                    "{} {} {}: {:.2e}",
                    weights.name(),
                    output.program,
                    output.name,
                    output.relative_rms
                );
                assert!(output.relative_rms <= bound, "{output:?}");
            }
        }
        for program in &compiled.report.programs {
            assert!(program.scratch_bytes >= program.scratch_lower_bound_bytes);
        }
    }
}

#[test]
fn the_golden_cases_pass_and_the_same_inputs_give_the_same_file() {
    let Some(folder) = models() else { return };
    let graphs = &graphs(&folder)[..2];
    let options = Options {
        weights: Weights::F16,
        conventions: Some(folder.join("sonosamlite-start/conventions.json")),
        ..Options::default()
    };
    let compiled = compile_graphs(graphs, &options).unwrap();
    assert_eq!(compiled.bytes, compile_graphs(graphs, &options).unwrap().bytes);
    let file = AlignedBytes::new(&compiled.bytes);
    let model = sonotrace::format::Model::parse(file.bytes()).unwrap();
    let conventions = model.conventions();
    assert_eq!((conventions.input_size, conventions.mask_size), (256, 64));
    assert_eq!((conventions.point_slots, conventions.mask_candidates), (16, 4));
    let config = sonotrace::exec::ExecutorConfig::default();
    let required = sonotrace::exec::memory_required(file.bytes(), &config).unwrap();
    let mut region = AlignedBytes::zeroed(required.bytes);
    let mut executor = sonotrace::exec::Executor::new(model, config, region.bytes_mut()).unwrap();
    let worst = executor.self_test().unwrap();
    println!("self-test: {worst:.2e}");
    // The embedding passes from the encoder to the decoder in a bank with a copy for each kept frame.
    let banks: Vec<_> =
        model.header().banks().iter().map(|b| (b.copy_bytes, b.copies, b.per_kept_frame)).collect();
    assert_eq!(banks, [(256 * 16 * 16 * 4, 0, 1)]);
}
