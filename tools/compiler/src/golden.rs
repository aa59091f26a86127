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
/// A program's golden values take at most one part in this many of the bytes of its weights, or [`BYTES_MIN`].
pub const WEIGHTS_PART: u64 = 10;
/// Golden values of any program may take so many bytes: those of an image of 512 x 512 with three channels and of a mask.
pub const BYTES_MIN: u64 = 2 << 20;
/// Bytes of a golden value.
const VALUE_BYTES: u64 = 2;

/// The golden sections.
#[derive(Debug, Default)]
pub struct Golden {
    /// The records.
    pub records: Vec<GoldenRecord>,
    /// The values, as f16 bits.
    pub values: Vec<u16>,
}

impl Golden {
    /// Bytes of the values of a program.
    pub fn program_bytes(&self, program: usize) -> u64 {
        let records = self.records.iter().filter(|record| record.program as usize == program);
        records.map(|record| record.elements * VALUE_BYTES).sum()
    }
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

/// The golden sections of all programs. `weight_bytes` are the programs' weights as stored. Cases of a program are left out from the
/// first that does not fit its limit: a program whose ports are large for its weights has none, and is not part of the self-test.
pub fn make(runs: &[Vec<Run>], weight_bytes: &[u64]) -> Golden {
    let mut golden = Golden::default();
    for (program, (runs, &weight_bytes)) in runs.iter().zip(weight_bytes).enumerate() {
        let mut left = BYTES_MIN.max(weight_bytes / WEIGHTS_PART) / VALUE_BYTES;
        for (number, run) in runs.iter().enumerate() {
            let Some(outputs) = chosen_outputs(run, &mut left) else { break };
            let mut add = |port: usize, role: GoldenRole, values: &[f32]| {
                golden.records.push(GoldenRecord {
                    program: program as u32,
                    port: port as u32,
                    role: role as u32,
                    case: number as u32,
                    offset: golden.values.len() as u64 * VALUE_BYTES,
                    elements: values.len() as u64,
                });
                golden.values.extend(values.iter().map(|&value| f16::from_f32(value).to_bits()));
            };
            for (port, values) in run.inputs.iter().enumerate() {
                add(port, GoldenRole::Input, values);
            }
            for port in outputs {
                add(run.inputs.len() + port, GoldenRole::Output, &run.outputs[port]);
            }
        }
    }
    golden
}

/// The outputs of a run to store, in order: the smallest, and others that are not large, as long as values are `left`. None if not
/// even the inputs and the smallest fit. Inputs must be stored as a whole.
fn chosen_outputs(run: &Run, left: &mut u64) -> Option<Vec<usize>> {
    let size = |port: usize| run.outputs[port].len() as u64;
    let mut sizes: Vec<usize> = (0..run.outputs.len()).filter(|&port| fits(&run.outputs[port])).collect();
    sizes.sort_by_key(|&port| size(port));
    let &smallest = sizes.first()?;
    let needed = run.inputs.iter().map(|values| values.len() as u64).sum::<u64>() + size(smallest);
    *left = left.checked_sub(needed)?;
    let mut chosen = vec![smallest];
    for &port in &sizes[1..] {
        if size(port) <= OUTPUT_ELEMENTS_MAX as u64
            && let Some(rest) = left.checked_sub(size(port))
        {
            *left = rest;
            chosen.push(port);
        }
    }
    chosen.sort_unstable();
    Some(chosen)
}

/// Whether all values are finite as f16.
fn fits(values: &[f32]) -> bool {
    values.iter().all(|&value| rounded(value).is_finite())
}

/// A case of a program: its inputs, rounded as in the file, and the outputs that tract computes.
#[derive(Debug)]
pub struct Run {
    inputs: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
}

/// Runs the cases of all programs with tract.
///
/// # Errors
/// An invalid case, or a failure of tract's run of it.
pub fn run_cases(graphs: &[Graph], cases: &Cases) -> Result<Vec<Vec<Run>>, CompileError> {
    if let Some(unknown) = cases.keys().find(|name| graphs.iter().all(|graph| graph.program != **name)) {
        return Err(CompileError::Ports(format!("golden cases for {unknown}: there is no such program")));
    }
    let run_all = |graph: &Graph| -> Result<Vec<Run>, CompileError> {
        match cases.get(&graph.program) {
            Some(cases) if !cases.is_empty() => {
                cases.iter().map(|case| run_case(graph, Some(case))).collect()
            }
            _ => Ok(vec![run_case(graph, None)?]),
        }
    };
    graphs.iter().map(run_all).collect()
}

fn run_case(graph: &Graph, case: Option<&Case>) -> Result<Run, CompileError> {
    let mut inputs = inputs_of(graph, case)?;
    let mut outputs = run_reference(graph, &inputs)?;
    let any_fits = |outputs: &[Vec<f32>]| outputs.iter().any(|values| fits(values));
    if case.is_none() && !any_fits(&outputs) {
        // Logarithms and roots of the generated values may not exist: positive ones from 1 on.
        for value in inputs.iter_mut().flatten() {
            *value = rounded(1.0 + value.abs());
        }
        outputs = run_reference(graph, &inputs)?;
    }
    if !any_fits(&outputs) {
        return Err(CompileError::Reference {
            program: graph.program.clone(),
            problem: "for the golden case, every output has a value that is not finite in f16".to_owned(),
        });
    }
    Ok(Run { inputs, outputs })
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
