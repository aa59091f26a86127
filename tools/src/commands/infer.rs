//! `sonotrace infer`: runs one program of a model file on given arrays, for comparison with other frameworks.

use anyhow::{Context, Result, bail};
use clap::Args;
use npyz::WriterBuilder;
use sonotrace::exec::ExecutorConfig;
use sonotrace::format::{AlignedBytes, Model, PortRecord};
use sonotrace_compiler::run_compiled;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Arguments of `infer`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file.
    file: PathBuf,
    /// The program to run.
    program: String,
    /// An input port and its values, f32 in C order; give it once for each input.
    #[arg(long = "input", value_name = "NAME=FILE.npy", value_parser = input)]
    inputs: Vec<(String, PathBuf)>,
    /// Folder for the outputs, one file `NAME.npy` for each output port.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Parses `NAME=FILE.npy`.
fn input(text: &str) -> Result<(String, PathBuf)> {
    match text.split_once('=') {
        Some((name, path)) if !name.is_empty() && !path.is_empty() => Ok((name.into(), path.into())),
        _ => bail!("expected NAME=FILE.npy, such as image=image.npy"),
    }
}

/// Name and shape of a port.
#[derive(Debug)]
struct Port {
    name: String,
    shape: Vec<u64>,
}

impl Port {
    fn new(model: &Model<'_>, record: &PortRecord) -> Self {
        let shape = record.shape[..record.rank as usize].iter().map(|&extent| u64::from(extent)).collect();
        Self { name: model.name(record.name).to_owned(), shape }
    }
}

/// Runs a program and writes its outputs.
///
/// # Errors
/// A model file, program, input or array that is missing or does not fit, with what is expected; a file that cannot be
/// written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let bytes = std::fs::read(&arguments.file)
        .with_context(|| format!("cannot read {}", arguments.file.display()))?;
    let aligned = AlignedBytes::new(&bytes);
    let model = Model::parse(aligned.bytes()).with_context(|| arguments.file.display().to_string())?;
    let Some((_, record)) = model.program(&arguments.program) else {
        let programs: Vec<_> = model.programs().iter().map(|program| model.name(program.name)).collect();
        bail!(
            "{} has no program {}, it has: {}",
            arguments.file.display(),
            arguments.program,
            programs.join(", ")
        );
    };
    let ports = |records: &[PortRecord]| records.iter().map(|record| Port::new(&model, record)).collect();
    let (inputs, outputs): (Vec<Port>, Vec<Port>) =
        (ports(model.inputs(record)), ports(model.outputs(record)));
    let values = values_of(arguments, &inputs)?;
    let files = files_of(&outputs, &arguments.out)?;
    let results = run_compiled(&bytes, &arguments.program, &values, &ExecutorConfig::default())?;
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("cannot make the folder {}", arguments.out.display()))?;
    for ((port, file), values) in outputs.iter().zip(&files).zip(&results) {
        write(file, &port.shape, values).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{} {:?}: {}", port.name, port.shape, file.display());
    }
    Ok(())
}

/// The values of every input port, in the order of the ports.
fn values_of(arguments: &Arguments, ports: &[Port]) -> Result<Vec<Vec<f32>>> {
    let expected = || {
        let ports: Vec<_> = ports.iter().map(|port| format!("{} {:?}", port.name, port.shape)).collect();
        format!("program {} expects f32 arrays for: {}", arguments.program, ports.join(", "))
    };
    for (at, (name, _)) in arguments.inputs.iter().enumerate() {
        if !ports.iter().any(|port| port.name == *name) {
            bail!("there is no input {name}: {}", expected());
        }
        if arguments.inputs[..at].iter().any(|(earlier, _)| earlier == name) {
            bail!("input {name} is given twice: {}", expected());
        }
    }
    let values = ports.iter().map(|port| {
        let given = arguments.inputs.iter().find(|(name, _)| *name == port.name);
        let (_, path) = given.with_context(|| format!("input {} is missing: {}", port.name, expected()))?;
        read(path, &port.shape)
            .with_context(|| format!("input {}: {}: {}", port.name, path.display(), expected()))
    });
    values.collect()
}

/// Largest header of an array in bytes; NumPy writes 128.
const HEADER_BYTES_MAX: usize = 1024;

/// Reads an array of f32 with this shape.
fn read(path: &Path, shape: &[u64]) -> Result<Vec<f32>> {
    let bytes = std::fs::read(path).context("cannot be read")?;
    if !bytes.starts_with(b"\x93NUMPY") {
        bail!("it is not a .npy file: write it with numpy.save");
    }
    // npyz parses any Python literal, and needs hours for thirty opening brackets; a plain array has one.
    let header = &bytes[..bytes.len().min(HEADER_BYTES_MAX)];
    let end = header.iter().position(|&byte| byte == b'\n').unwrap_or(header.len());
    let brackets = header[..end].iter().filter(|&&byte| matches!(byte, b'(' | b'[' | b'{')).count();
    if brackets > 2 {
        bail!("its header is not that of a plain array: save it as float32");
    }
    let array = npyz::NpyFile::new(bytes.as_slice()).context("damaged .npy file")?;
    if array.shape() != shape {
        bail!("it has shape {:?}, expected {shape:?}", array.shape());
    }
    if array.order() != npyz::Order::C && shape.len() > 1 {
        bail!("it is in Fortran order: save numpy.ascontiguousarray(array)");
    }
    let dtype = array.dtype().descr();
    match array.try_data::<f32>() {
        Ok(data) => data.collect::<Result<_, _>>().context("damaged .npy file"),
        Err(_) => bail!("it has type {dtype}, expected float32: save array.astype(numpy.float32)"),
    }
}

/// The file of every output port. Characters that a file name cannot have everywhere become `_`.
fn files_of(ports: &[Port], out: &Path) -> Result<Vec<PathBuf>> {
    let mut taken = HashSet::new();
    let files = ports.iter().map(|port| {
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
        let plain: String =
            port.name.chars().map(|letter| if is_plain(letter) { letter } else { '_' }).collect();
        let name = format!("{plain}.npy");
        if !taken.insert(name.clone()) {
            bail!("two outputs would be written to {name}: rename {} in the graph", port.name);
        }
        Ok(out.join(name))
    });
    files.collect()
}

fn write(path: &Path, shape: &[u64], values: &[f32]) -> Result<()> {
    let mut bytes = Vec::new();
    let mut writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()?;
    Ok(std::fs::write(path, bytes)?)
}
