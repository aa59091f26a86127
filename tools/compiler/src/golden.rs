//! Golden cases: inputs, and the outputs that tract computes for them in f32, both stored as f16 in the file. For programs in
//! int8: the outputs of the portable kernels, because tract's differ by more than a self-test may allow.

use crate::error::CompileError;
use crate::frontend::{Graph, run_reference};
use crate::run::run_compiled;
use half::f16;
use sonotrace::exec::ExecutorConfig;
use sonotrace::format::{AlignedBytes, GoldenRecord, GoldenRole, Model};
use sonotrace::kernels::arch::Instructions;
use std::collections::HashMap;

/// Inputs of one case: values by port name.
pub type Case = HashMap<String, Vec<f32>>;
/// Cases to store, by program. A program without cases gets one with generated values.
pub type Cases = HashMap<String, Vec<Case>>;

/// Outputs with more elements are left out, unless no output would be left.
pub const OUTPUT_ELEMENTS_MAX: usize = 65_536;

/// The golden sections.
#[derive(Debug, Default)]
pub struct Golden {
    /// The records.
    pub records: Vec<GoldenRecord>,
    /// The values, as f16 bits.
    pub values: Vec<u16>,
}

/// Smooth values within -1..1 that differ between ports and between elements.
pub fn made_up(port: usize, elements: usize) -> Vec<f32> {
    let phase = port as f32 * 1.7 + 0.3;
    (0..elements)
        .map(|at| {
            let x = at as f32;
            0.5 * (x * 0.013 + phase).sin()
                + 0.3 * (x * 0.171 + 2.0 * phase).sin()
                + 0.2 * (x * 1.37 + 3.0 * phase).cos()
        })
        .collect()
}

/// A value, rounded as in the file.
pub fn rounded(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}

/// The inputs of a case in the order of the graph's ports, rounded as in the file.
///
/// # Errors
/// [`CompileError::Ports`]: a port without values, with too few or too many, or with one that is not finite in f16.
pub fn inputs_of(graph: &Graph, case: Option<&Case>) -> Result<Vec<Vec<f32>>, CompileError> {
    let mut inputs = Vec::new();
    for (port, (name, shape)) in graph.inputs.iter().enumerate() {
        let elements: usize = shape.iter().product();
        let values = match case {
            Some(case) => case.get(name).cloned().ok_or_else(|| {
                CompileError::Ports(format!("golden case of {}: no values for input {name}", graph.program))
            })?,
            None => made_up(port, elements),
        };
        if values.len() != elements {
            return Err(CompileError::Ports(format!(
                "golden case of {}: input {name} has {} values, expected {elements}",
                graph.program,
                values.len()
            )));
        }
        let values: Vec<f32> = values.into_iter().map(rounded).collect();
        if values.iter().any(|value| !value.is_finite()) {
            return Err(CompileError::Ports(format!(
                "golden case of {}: input {name} has a value that is not finite in f16",
                graph.program
            )));
        }
        inputs.push(values);
    }
    Ok(inputs)
}

/// The golden sections of all programs.
///
/// # Errors
/// An invalid case, or a failure of tract's run of it.
pub fn make(graphs: &[Graph], cases: &Cases) -> Result<Golden, CompileError> {
    if let Some(unknown) = cases.keys().find(|name| graphs.iter().all(|graph| graph.program != **name)) {
        return Err(CompileError::Ports(format!("golden cases for {unknown}: there is no such program")));
    }
    let mut golden = Golden::default();
    for (program, graph) in graphs.iter().enumerate() {
        let given: Vec<Option<&Case>> = match cases.get(&graph.program) {
            Some(cases) if !cases.is_empty() => cases.iter().map(Some).collect(),
            _ => vec![None],
        };
        for (number, case) in given.into_iter().enumerate() {
            let mut inputs = inputs_of(graph, case)?;
            let mut outputs = run_reference(graph, &inputs)?;
            let fits = |values: &[f32]| values.iter().all(|&value| rounded(value).is_finite());
            if case.is_none() && !outputs.iter().any(|values| fits(values)) {
                // Logarithms and roots of the generated values may not exist: positive ones from 1 on.
                for value in inputs.iter_mut().flatten() {
                    *value = rounded(1.0 + value.abs());
                }
                outputs = run_reference(graph, &inputs)?;
            }
            let mut add = |port: usize, role: GoldenRole, values: &[f32]| {
                golden.records.push(GoldenRecord {
                    program: program as u32,
                    port: port as u32,
                    role: role as u32,
                    case: number as u32,
                    offset: golden.values.len() as u64 * 2,
                    elements: values.len() as u64,
                });
                golden.values.extend(values.iter().map(|&value| f16::from_f32(value).to_bits()));
            };
            for (port, values) in inputs.iter().enumerate() {
                add(port, GoldenRole::Input, values);
            }
            let smallest = outputs.iter().filter(|values| fits(values)).map(Vec::len).min();
            let Some(smallest) = smallest else {
                return Err(CompileError::Reference {
                    program: graph.program.clone(),
                    problem: "for the golden case, every output has a value that is not finite in f16"
                        .to_owned(),
                });
            };
            for (port, values) in outputs.iter().enumerate() {
                if fits(values) && values.len() <= OUTPUT_ELEMENTS_MAX.max(smallest) {
                    add(inputs.len() + port, GoldenRole::Output, values);
                }
            }
        }
    }
    Ok(golden)
}

/// Replaces the outputs by those of the portable kernels for the programs of `file`.
///
/// # Errors
/// An executor's refusal.
pub fn compute_outputs(golden: &mut Golden, file: &[u8]) -> Result<(), CompileError> {
    let aligned = AlignedBytes::new(file);
    let model = Model::parse(aligned.bytes())?;
    let config = ExecutorConfig { instructions: Instructions::portable(), ..ExecutorConfig::default() };
    let range = |record: &GoldenRecord| {
        let first = (record.offset / 2) as usize;
        first..first + record.elements as usize
    };
    for case in golden.records.chunk_by(|a, b| (a.program, a.case) == (b.program, b.case)) {
        let program = &model.programs()[case[0].program as usize];
        let (inputs, outputs): (Vec<&GoldenRecord>, Vec<_>) =
            case.iter().partition(|record| record.role == GoldenRole::Input as u32);
        let inputs: Vec<Vec<f32>> = inputs
            .iter()
            .map(|record| {
                golden.values[range(record)].iter().map(|&bits| f16::from_bits(bits).to_f32()).collect()
            })
            .collect();
        let seen = run_compiled(file, model.name(program.name), &inputs, &config)?;
        for record in outputs {
            let values = &seen[(record.port - program.input_count) as usize];
            let to = &mut golden.values[range(record)];
            to.iter_mut().zip(values).for_each(|(to, &value)| *to = f16::from_f32(value).to_bits());
        }
    }
    Ok(())
}
