//! Runs a program of a compiled file.

use crate::error::CompileError;
use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::{AlignedBytes, Model};

/// Runs a program of a model file with our executor. Takes values by input port, returns values by output port.
///
/// # Errors
/// A file that the runtime refuses, or without such a program.
pub fn run_compiled(
    file: &[u8],
    program: &str,
    inputs: &[Vec<f32>],
    config: &ExecutorConfig,
) -> Result<Vec<Vec<f32>>, CompileError> {
    let file = AlignedBytes::new(file);
    let model = Model::parse(file.bytes())?;
    let mut region = AlignedBytes::zeroed(memory_required(file.bytes(), config)?.bytes);
    let problem = |problem: sonotrace::exec::ExecError| CompileError::Executor(problem.to_string());
    let Some((index, record)) = model.program(program) else {
        return Err(CompileError::Ports(format!("the model file has no program {program}")));
    };
    let (input_count, output_count) = (record.input_count as usize, record.output_count as usize);
    if input_count != inputs.len() {
        return Err(CompileError::Ports(format!(
            "program {program}: the model file has {input_count} inputs, the graph {}",
            inputs.len()
        )));
    }
    let mut executor = Executor::new(model, *config, region.bytes_mut()).map_err(problem)?;
    executor.begin_apart(index).map_err(problem)?;
    for (port, values) in inputs.iter().enumerate() {
        let to = executor.input_mut(port);
        if to.len() != values.len() {
            return Err(CompileError::Ports(format!(
                "program {program}: input {port} has {} elements in the model file, {} in the graph",
                to.len(),
                values.len()
            )));
        }
        to.copy_from_slice(values);
    }
    executor.finish();
    Ok((0..output_count).map(|port| executor.output(port).to_vec()).collect())
}
