//! Compares a compiled file with tract, by output and by node.

use crate::error::CompileError;
use crate::frontend::{Graph, run_reference};
use crate::golden::{Case, inputs_of};
use crate::run::run_compiled;
use crate::{Options, compile_graphs};
use sonotrace::exec::ExecutorConfig;
use sonotrace::format::PORTS_MAX;
use tract_core::internal::{Datum, OutletId, TypedModel};

/// Difference of two results.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Parity {
    /// The program.
    pub program: String,
    /// The output, or the graph's node.
    pub name: String,
    /// Elements compared.
    pub elements: usize,
    /// Root mean square of the difference over that of the reference.
    pub relative_rms: f64,
    /// Largest difference.
    pub max_abs: f64,
}

/// Root mean square of `seen - expected` over that of `expected` (or over 1e-12, if that is larger).
pub fn relative_rms(seen: &[f32], expected: &[f32]) -> f64 {
    let mean = |sum: f64| (sum / expected.len().max(1) as f64).sqrt();
    let difference = seen.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    let reference = expected.iter().map(|&b| f64::from(b).powi(2)).sum();
    mean(difference) / mean(reference).max(1e-12)
}

/// Compares every output of a graph's program in a model file with tract's. Inputs are those of `case`, or generated.
///
/// # Errors
/// A file, graph or case that do not fit together.
pub fn outputs(file: &[u8], graph: &Graph, case: Option<&Case>) -> Result<Vec<Parity>, CompileError> {
    let inputs = inputs_of(graph, case)?;
    let seen = run_compiled(file, &graph.program, &inputs, &ExecutorConfig::default())?;
    let expected = run_reference(graph, &inputs)?;
    if seen.len() != expected.len() {
        return Err(CompileError::Ports(format!(
            "program {}: the model file has {} outputs, the graph {}",
            graph.program,
            seen.len(),
            expected.len()
        )));
    }
    let names = graph.outputs.iter().map(|(name, _)| name.clone());
    names
        .zip(seen)
        .zip(expected)
        .map(|((name, seen), expected)| compared(graph, name, &seen, &expected))
        .collect()
}

fn compared(graph: &Graph, name: String, seen: &[f32], expected: &[f32]) -> Result<Parity, CompileError> {
    if seen.len() != expected.len() {
        return Err(CompileError::Ports(format!(
            "program {}: {name} has {} elements in the model file, {} in the graph",
            graph.program,
            seen.len(),
            expected.len()
        )));
    }
    let difference = seen.iter().zip(expected).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs());
    Ok(Parity {
        program: graph.program.clone(),
        name,
        elements: seen.len(),
        relative_rms: relative_rms(seen, expected),
        max_abs: difference.fold(0.0, f64::max),
    })
}

/// Compares every node's result, the worst first. The graph is compiled again with nodes as outputs, a portion at a
/// time. Errors add up from node to node, as in the whole program. A node that is fused with the next one in the real
/// program is an operation of its own here.
///
/// # Errors
/// As [`outputs`] and [`crate::compile`].
pub fn layers(graph: &Graph, options: &Options, case: Option<&Case>) -> Result<Vec<Parity>, CompileError> {
    let inputs = inputs_of(graph, case)?;
    let probes = probes(&graph.model);
    let mut all = Vec::new();
    for portion in probes.chunks(PORTS_MAX as usize) {
        let mut probed = graph.clone();
        let outlets: Vec<OutletId> = portion.iter().map(|(outlet, ..)| *outlet).collect();
        probed.outputs = portion.iter().map(|(_, name, shape)| (name.clone(), shape.clone())).collect();
        probed.model.select_output_outlets(&outlets).map_err(|problem| CompileError::Reference {
            program: graph.program.clone(),
            problem: format!("{problem:#}"),
        })?;
        let compiled = compile_graphs(
            std::slice::from_ref(&probed),
            &Options { weights: options.weights, ..Options::default() },
        )?;
        let seen = run_compiled(&compiled.bytes, &graph.program, &inputs, &ExecutorConfig::default())?;
        let expected = run_reference(&probed, &inputs)?;
        for (((_, name, _), seen), expected) in portion.iter().zip(seen).zip(expected) {
            all.push(compared(graph, name.clone(), &seen, &expected)?);
        }
    }
    all.sort_by(|a, b| b.relative_rms.total_cmp(&a.relative_rms));
    Ok(all)
}

/// Every node with one f32 or boolean result that is neither a constant nor an input.
fn probes(model: &TypedModel) -> Vec<(OutletId, String, Vec<usize>)> {
    let is_input =
        |id: usize| model.input_outlets().is_ok_and(|inputs| inputs.iter().any(|outlet| outlet.node == id));
    let nodes = model.eval_order().unwrap_or_default();
    let probe = |id: usize| {
        let node = model.node(id);
        let [output] = &*node.outputs else { return None };
        let is_number =
            output.fact.datum_type == f32::datum_type() || output.fact.datum_type == bool::datum_type();
        let shape = output.fact.shape.as_concrete()?.to_vec();
        (is_number && output.fact.konst.is_none() && !is_input(id))
            .then(|| (node.id.into(), node.name.clone(), shape))
    };
    nodes.into_iter().filter_map(probe).collect()
}
