//! `sonotrace compile`: compiles ONNX graphs to a model file.

use crate::heap::give_back_freed_blocks;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use sonotrace_compiler::{Options, Weights, compile};
use std::path::PathBuf;

/// Arguments of `compile`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A program and its graph; give it once for each program.
    #[arg(long = "program", value_name = "NAME=GRAPH.onnx", required = true, value_parser = program)]
    programs: Vec<(String, PathBuf)>,
    /// The network's conventions: normalisation, sizes, prompts. Sessions need them.
    #[arg(long, value_name = "FILE.json")]
    conventions: Option<PathBuf>,
    /// How weights are stored.
    #[arg(long, value_enum, default_value_t = Storage::F16)]
    weights: Storage,
    /// The model file to write.
    #[arg(short, long, value_name = "FILE.sono")]
    output: PathBuf,
}

/// Storage of weights.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Storage {
    /// Half precision.
    F16,
    /// Single precision.
    F32,
    /// 8-bit integers with a scale per output channel, for the weights of products.
    I8,
    /// As `i8`, and products with these weights compute in 8 bits: faster. The packaged model's outputs change by 0.4 to 2 %.
    Int8,
    /// bfloat16, in which products compute, too: half the memory of single precision, and fast on processors with dot products of
    /// bf16. Outputs change by some 0.5 %.
    Bf16,
}

impl From<Storage> for Weights {
    fn from(storage: Storage) -> Self {
        match storage {
            Storage::F16 => Self::F16,
            Storage::F32 => Self::F32,
            Storage::I8 => Self::I8,
            Storage::Int8 => Self::Int8,
            Storage::Bf16 => Self::Bf16,
        }
    }
}

/// Parses `NAME=GRAPH.onnx`.
///
/// # Errors
/// A text without a name or a graph.
pub fn program(text: &str) -> Result<(String, PathBuf)> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.into(), path.into())),
        _ => bail!("expected NAME=GRAPH.onnx, such as encoder=encoder.onnx"),
    }
}

/// Compiles, verifies and writes a model file, and prints a report.
///
/// # Errors
/// A graph that cannot be compiled, with the node's name; or a file that cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let options = Options {
        weights: arguments.weights.into(),
        conventions: arguments.conventions.clone(),
        ..Options::default()
    };
    give_back_freed_blocks();
    let compiled = compile(&arguments.programs, &options)?;
    std::fs::write(&arguments.output, &compiled.bytes)
        .with_context(|| format!("cannot write {}", arguments.output.display()))?;
    println!("{}", compiled.report);
    println!("wrote {}", arguments.output.display());
    Ok(())
}
