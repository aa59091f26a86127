//! This runtime as a worker of an interleaved comparison with other engines.
//!
//! `peer_worker MODEL.onnx INPUTS THREADS [WEIGHTS [INSTRUCTIONS]]` compiles the graph, in the form that ships (`int8`) unless
//! WEIGHTS is `f32`, `f16` or `i8`, for the processor's fastest instruction set unless another is named. INPUTS is a text
//! file with a line for each input: `NAME f32 SHAPE FILE`, the file with raw little-endian values.
//!
//! Threads are pinned, as those of other engines are. Prints `READY` and the milliseconds of loading. Then it obeys lines from the standard input: `run N` prints N latencies in
//! milliseconds, `dump FILE` writes the outputs (a line with the shape, then the values), `quit` ends.

use sonotrace::exec::{Executor, ExecutorConfig, memory_required};
use sonotrace::format::{AlignedBytes, Model, PortRecord};
use sonotrace::kernels::arch::Instructions;
use sonotrace::realtime::Pinning;
use sonotrace_benches::instructions_named;
use sonotrace_compiler::{Options, Weights, compile};
use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

const USAGE: &str = "expected: peer_worker MODEL.onnx INPUTS THREADS [f32|f16|bf16|i8|int8 [INSTRUCTIONS]]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [graph, inputs, threads, options @ ..] = &*arguments else { return Err(USAGE.into()) };
    let threads = threads.parse().map_err(|error| format!("{threads} threads: {error}; {USAGE}"))?;
    let weights = match options.first().map(String::as_str) {
        None | Some("int8") => Weights::Int8,
        Some("i8") => Weights::I8,
        Some("bf16") => Weights::Bf16,
        Some("f16") => Weights::F16,
        Some("f32") => Weights::F32,
        Some(other) => return Err(format!("weights {other}: {USAGE}").into()),
    };
    let instructions = match options.get(1) {
        Some(name) => instructions_named(name)?,
        None => Instructions::best(),
    };
    let inputs = read_inputs(Path::new(inputs))?;
    let started = Instant::now();
    let programs = [("program".to_owned(), PathBuf::from(graph))];
    let compiled = compile(&programs, &Options { weights, ..Options::default() })?;
    let file = AlignedBytes::new(&compiled.bytes);
    let model = Model::parse(file.bytes())?;
    let config = ExecutorConfig { instructions, threads, ..ExecutorConfig::default() };
    let mut region = AlignedBytes::zeroed(memory_required(file.bytes(), &config)?.bytes);
    let mut executor = Executor::new(model, config, region.bytes_mut())?;
    let program = model.programs()[0];
    let values: Vec<&[f32]> = model
        .inputs(&program)
        .iter()
        .map(|port| {
            let name = model.name(port.name);
            inputs.get(name).map(Vec::as_slice).ok_or_else(|| format!("no values for the input {name}"))
        })
        .collect::<Result<_, _>>()?;
    executor.with_helpers(Pinning::CoreEach, |executor, _| obey(executor, &values, started))
}

/// Obeys lines from the standard input.
fn obey(executor: &mut Executor<'_>, values: &[&[f32]], started: Instant) -> Result<(), Box<dyn Error>> {
    let model = *executor.model();
    let program = model.programs()[0];
    let mut out = std::io::stdout().lock();
    writeln!(out, "READY {:.2}", started.elapsed().as_secs_f64() * 1e3)?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["run", count] => {
                for at in 0..count.parse::<u32>()? {
                    let started = Instant::now();
                    run(executor, values)?;
                    let before = if at == 0 { "" } else { " " };
                    write!(out, "{before}{:.4}", started.elapsed().as_secs_f64() * 1e3)?;
                }
                writeln!(out)?;
            }
            ["dump", path] => {
                run(executor, values)?;
                let mut file = std::fs::File::create(path)?;
                for (at, port) in model.outputs(&program).iter().enumerate() {
                    writeln!(file, "{}", shape(port))?;
                    file.write_all(bytemuck::cast_slice(executor.output(at)))?;
                    writeln!(file)?;
                }
                writeln!(out, "ok")?;
            }
            _ => break,
        }
        out.flush()?;
    }
    Ok(())
}

/// Runs the program; like the other workers', a run includes the copying of inputs.
fn run(executor: &mut Executor<'_>, values: &[&[f32]]) -> Result<(), Box<dyn Error>> {
    executor.begin_apart(0)?;
    for (port, values) in values.iter().enumerate() {
        let to = executor.input_mut(port);
        if to.len() != values.len() {
            return Err(format!("input {port} has {} elements, not {}", to.len(), values.len()).into());
        }
        to.copy_from_slice(values);
    }
    executor.finish();
    Ok(())
}

fn shape(port: &PortRecord) -> String {
    port.shape[..port.rank as usize].iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

/// Reads the values of each input.
fn read_inputs(listing: &Path) -> Result<HashMap<String, Vec<f32>>, Box<dyn Error>> {
    let text = std::fs::read_to_string(listing).map_err(|error| format!("{}: {error}", listing.display()))?;
    let mut inputs = HashMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let [name, "f32", _, path] = *line.split_whitespace().collect::<Vec<_>>() else {
            return Err(format!("{}: expected NAME f32 SHAPE FILE, found {line}", listing.display()).into());
        };
        let bytes = std::fs::read(path).map_err(|error| format!("{path}: {error}"))?;
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        inputs.insert(name.to_owned(), values);
    }
    Ok(inputs)
}
