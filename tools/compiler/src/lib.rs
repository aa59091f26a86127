//! ONNX graphs to sonotrace model files.
//!
//! ```text
//! rewrite    what tract reads wrongly, or the runtime lacks, becomes other operations of ONNX
//! frontend   ONNX -> tract's decluttered model (never its optimized form)
//! lower      -> operation records over views: transposes, slices, broadcasts and most reshapes cost nothing
//! fuse       -> moves biases and activations into products, scales into normalisations, removes copies
//! fold       -> moves constant factors into weights, then fuses again
//! join       -> operations that are one loop written out become one
//! layout     -> orders the axes of tensors in memory as the kernels prefer, then fuses again
//! plan       -> places for all scratch tensors
//! storage    -> constants as f32, f16 or 8-bit integers, packed as the kernels read them
//! golden     -> cases for the self-test at start
//! write      -> the file, which the runtime then verifies with its own code
//! ```
//!
//! [`parity`] compares a compiled file with tract. No part of this crate is linked into a device.

mod banks;
mod border;
mod conventions;
mod error;
mod fold;
pub mod frontend;
mod fuse;
pub mod golden;
mod graph;
mod join;
mod layout;
mod lower;
mod panics;
pub mod parity;
mod passes;
mod plan;
mod provenance;
mod report;
mod rewrite;
mod run;
mod storage;
mod view;
mod write;

pub use error::CompileError;
pub use report::{ProgramReport, Report};
pub use run::run_compiled;
pub use storage::Weights;

use conventions::Conventions;
use frontend::Graph;
use graph::{Home, Module, Port, Program};
use sonotrace::format::{ELEMENTS_MAX, Model, ModelError, PAGE_BYTES};
use std::path::PathBuf;
use tract_core::internal::TypedModel;

/// Options of a compilation.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Storage of weights.
    pub weights: Weights,
    /// The network's conventions; without them no session can use the file.
    pub conventions: Option<PathBuf>,
    /// Golden cases to store; a program without cases gets one with generated values.
    pub golden: golden::Cases,
}

/// A compiled file.
#[derive(Debug)]
pub struct Compiled {
    /// The file's content.
    pub bytes: Vec<u8>,
    /// Report of the compilation.
    pub report: Report,
}

/// Compiles graphs into one model file: each program's name with its ONNX file. The same inputs give the same bytes.
///
/// # Errors
/// The problem, with its file, port or node.
pub fn compile(programs: &[(String, PathBuf)], options: &Options) -> Result<Compiled, CompileError> {
    let names: Vec<&str> = programs.iter().map(|(name, _)| name.as_str()).collect();
    passes::all(&names, || {
        let graphs: Result<Vec<Graph>, CompileError> =
            programs.iter().map(|(name, path)| frontend::load(name, path)).collect();
        compile_owned(graphs?, options)
    })
}

/// Compiles graphs that have already been read.
///
/// # Errors
/// As [`compile`].
pub fn compile_graphs(graphs: &[Graph], options: &Options) -> Result<Compiled, CompileError> {
    let names: Vec<&str> = graphs.iter().map(|graph| graph.program.as_str()).collect();
    // The copies share the constants.
    passes::all(&names, || compile_owned(graphs.to_vec(), options))
}

/// Compiles graphs, and frees at each step what the next ones do not need: the constants exist at most three times.
fn compile_owned(mut graphs: Vec<Graph>, options: &Options) -> Result<Compiled, CompileError> {
    for (at, graph) in graphs.iter().enumerate() {
        if graphs[..at].iter().any(|other| other.program == graph.program) {
            return Err(CompileError::Ports(format!("program {} is given twice", graph.program)));
        }
    }
    let conventions = options.conventions.as_deref().map(Conventions::load).transpose()?;
    let conventions_hash = match &options.conventions {
        Some(path) => {
            let text =
                std::fs::read(path).map_err(|source| CompileError::Read { path: path.clone(), source })?;
            Some(blake3::hash(&text).to_hex().to_string())
        }
        None => None,
    };
    let state = conventions.as_ref().and_then(|conventions| conventions.state.as_ref());
    let mut module = build(&graphs, state)?;
    check_elements(&module)?;
    let runs = golden::run_cases(&graphs, &options.golden)?;
    for graph in &mut graphs {
        graph.model = TypedModel::default();
    }
    let (weights, places) =
        passes::over_module("store", &mut module, |module| storage::store(module, options.weights))?;
    storage::choose_arithmetic(&mut module, options.weights, &places);
    let program_bytes: Vec<u64> =
        (0..module.programs.len()).map(|program| storage::program_bytes(&module, program, &places)).collect();
    let mut golden = golden::make(&runs, &program_bytes);
    let weight_bytes = weights.bytes as u64;
    let record = match &conventions {
        Some(conventions) => conventions.record(&module.programs)?,
        None => conventions::none(),
    };
    let tracking = match &conventions {
        Some(conventions) => conventions.tracking(&module.programs)?,
        None => None,
    };
    let provenance = provenance::text(&graphs, options, conventions_hash.as_deref());
    let write = |module: &mut Module, weights: &storage::Section, golden: &golden::Golden| {
        passes::over_module("write", module, |module| {
            write::write(&write::Contents {
                module,
                weights: (weights, &places),
                conventions: record,
                tracking,
                golden,
                provenance: &provenance,
            })
        })
    };
    let mut written = write(&mut module, &weights, &golden)?;
    if options.weights.rounds() {
        golden::compute_outputs(&mut golden, &written.bytes).map_err(|error| with_node(&module, error))?;
        written = write(&mut module, &weights, &golden)?;
    }
    drop(weights);
    verify(&mut written.bytes).map_err(|error| with_node(&module, error.into()))?;
    let report = report(&module, &program_bytes, &golden, &written, weight_bytes);
    Ok(Compiled { bytes: written.bytes, report })
}

/// Refuses tensors with more elements than the runtime allows, before a case is computed, which would take their memory.
fn check_elements(module: &Module) -> Result<(), CompileError> {
    for program in &module.programs {
        for op in &program.ops {
            let elements = op.output().map_or(0, |output| module.tensors[output.tensor].elements as u64);
            if elements > ELEMENTS_MAX {
                return Err(CompileError::Unsupported {
                    program: program.name.clone(),
                    node: op.name.clone(),
                    op: op.operation.kind().name().to_owned(),
                    reason: format!(
                        "its result has {elements} elements, at most {ELEMENTS_MAX} are possible"
                    ),
                });
            }
        }
    }
    Ok(())
}

/// The runtime's own verifier must accept the file. It reads from the start of a page, to which the file is moved for that: a copy
/// would take as much memory again.
fn verify(file: &mut Vec<u8>) -> Result<(), ModelError> {
    let page = PAGE_BYTES as usize;
    file.reserve_exact(page);
    let before = file.as_ptr().align_offset(page);
    file.splice(..0, std::iter::repeat_n(0, before));
    let result = Model::parse(&file[before..]).map(|_| ());
    file.drain(..before);
    result
}

/// Names the node of an operation that the runtime refuses.
fn with_node(module: &Module, error: CompileError) -> CompileError {
    let CompileError::Model(ModelError::Record { table: "operation", index, problem }) = error else {
        return error;
    };
    let mut ops = module.programs.iter().flat_map(|program| program.ops.iter().map(move |op| (program, op)));
    match ops.nth(index as usize) {
        Some((program, op)) => CompileError::Unsupported {
            program: program.name.clone(),
            node: op.name.clone(),
            op: op.operation.kind().name().to_owned(),
            reason: problem.to_owned(),
        },
        None => error,
    }
}

/// Lowers and fuses all programs.
fn build(graphs: &[Graph], state: Option<&banks::State>) -> Result<Module, CompileError> {
    let mut module = Module::default();
    let (states, slots) = banks::assign(&mut module, graphs, state)?;
    for (index, graph) in graphs.iter().enumerate() {
        let inputs: Vec<Port> = graph
            .inputs
            .iter()
            .map(|(name, shape)| {
                let home = Home::Scratch { program: index, input: true };
                let tensor = states.get(index, name);
                let tensor = tensor.unwrap_or_else(|| module.tensor(name, shape.iter().product(), home));
                Port { name: name.clone(), shape: shape.clone(), tensor }
            })
            .collect();
        let outputs: Vec<(String, Option<usize>)> =
            graph.outputs.iter().map(|(name, _)| (name.clone(), states.get(index, name))).collect();
        // Pushed before lowering, because errors about constants look up the program's name.
        module.programs.push(Program { name: graph.program.clone(), ..Program::default() });
        let (ops, outputs) =
            lower::lower(&mut module, index, &graph.program, &graph.model, &inputs, &outputs)?;
        let mut program =
            Program { name: graph.program.clone(), inputs, outputs, slots: slots[index].clone(), ops };
        passes::run(&mut module, index, &mut program)?;
        module.programs[index] = program;
    }
    Ok(module)
}

fn report(
    module: &Module,
    program_bytes: &[u64],
    golden: &golden::Golden,
    written: &write::Written,
    weight_bytes: u64,
) -> Report {
    let programs = module.programs.iter().zip(&written.scratch).enumerate();
    let programs = programs.map(|(index, (program, &(scratch_bytes, scratch_lower_bound_bytes)))| {
        let mut ops = std::collections::BTreeMap::new();
        for op in &program.ops {
            *ops.entry(op.operation.kind().name()).or_insert(0) += 1;
        }
        ProgramReport {
            name: program.name.clone(),
            macs: program.ops.iter().map(|op| op.operation.macs(&op.extents())).sum(),
            ops,
            scratch_bytes,
            scratch_lower_bound_bytes,
            weight_bytes: program_bytes[index],
            golden_bytes: golden.program_bytes(index),
        }
    });
    Report {
        programs: programs.collect(),
        file_bytes: written.header.file_bytes,
        weight_bytes,
        scratch_bytes: written.header.scratch_bytes,
        thread_scratch_bytes: written.header.thread_scratch_bytes,
        banks: module.banks.clone(),
    }
}
