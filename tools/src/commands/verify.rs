//! `sonotrace verify`: compares a model file with its ONNX graphs, which tract runs.

use super::compile::{Storage, program};
use anyhow::{Context, Result, bail};
use clap::Args;
use sonotrace::format::AlignedBytes;
use sonotrace::format::Model;
use sonotrace_compiler::parity::{Parity, layers, outputs};
use sonotrace_compiler::{Options, frontend};
use std::path::PathBuf;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file.
    file: PathBuf,
    /// A program and its graph; give it once for each program to verify.
    #[arg(long = "program", value_name = "NAME=GRAPH.onnx", required = true, value_parser = program)]
    programs: Vec<(String, PathBuf)>,
    /// Largest relative rms error; 2e-3 fits f16 weights, 1e-4 fits f32, 5e-2 fits int8.
    #[arg(long, default_value_t = 2e-3)]
    tolerance: f64,
    /// Also compare every node of the graphs, worst first.
    #[arg(long)]
    layers: bool,
    /// Storage of weights for `--layers`, which compiles the graphs again.
    #[arg(long, value_enum, default_value_t = Storage::F16)]
    weights: Storage,
}

/// Nodes listed by `--layers`.
const LAYERS_SHOWN: usize = 20;

/// Compares every output of every named program with tract's.
///
/// # Errors
/// A file or graph that cannot be used, or an output beyond the tolerance.
pub fn run(arguments: &Arguments) -> Result<()> {
    let bytes = std::fs::read(&arguments.file)
        .with_context(|| format!("cannot read {}", arguments.file.display()))?;
    let aligned = AlignedBytes::new(&bytes);
    Model::parse(aligned.bytes())?;
    println!(
        "{:<12} {:<40} {:>10} {:>12} {:>12}",
        "program", "output", "elements", "relative rms", "largest"
    );
    let mut beyond = 0;
    for (name, path) in &arguments.programs {
        let graph = frontend::load(name, path)?;
        for parity in outputs(&bytes, &graph, None)? {
            // Written so that NaN counts as beyond.
            let is_within = parity.relative_rms <= arguments.tolerance;
            beyond += usize::from(!is_within);
            print(&parity);
        }
        if arguments.layers {
            let options = Options { weights: arguments.weights.into(), ..Options::default() };
            layers(&graph, &options, None)?.iter().take(LAYERS_SHOWN).for_each(print);
        }
    }
    if beyond > 0 {
        bail!("{beyond} outputs are beyond the tolerance of {}", arguments.tolerance);
    }
    println!("all outputs are within {}", arguments.tolerance);
    Ok(())
}

fn print(parity: &Parity) {
    println!(
        "{:<12} {:<40} {:>10} {:>12.3e} {:>12.3e}",
        parity.program, parity.name, parity.elements, parity.relative_rms, parity.max_abs
    );
}
