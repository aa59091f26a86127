//! `sonotrace inspect`: what a model file holds.

use crate::chosen::Chosen;
use anyhow::Result;
use clap::Args;
use sonotrace::exec::MemoryLayout;
use sonotrace::kernels;
use sonotrace::model::Model;
use sonotrace::model::format::{OpKind, PortRecord, Space, conv};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `inspect`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The model file; without it, the embedded model.
    file: Option<PathBuf>,
    /// List every operation with its place in memory.
    #[arg(long)]
    ops: bool,
}

/// Prints sections, programs, memory plan, operations and provenance of a model.
///
/// # Errors
/// A file that cannot be read, or is refused.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = Chosen::open(arguments.file.as_deref())?;
    let bytes = chosen.bytes();
    let model = Model::parse(bytes)?;
    print!("{}", describe(&model, bytes.len(), arguments.ops)?);
    Ok(())
}

/// The text that `inspect` prints.
fn describe(model: &Model<'_>, file_bytes: usize, with_ops: bool) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let header = model.header();
    let layout = MemoryLayout::new(header, 1)?;
    writeln!(text, "file            {file_bytes:>12} bytes, format version {}", header.version)?;
    writeln!(text, "weights         {:>12} bytes", model.weights().len())?;
    writeln!(text, "scratch         {:>12} bytes, shared by all programs", header.scratch_bytes)?;
    writeln!(text, "thread scratch  {:>12} bytes", header.thread_scratch_bytes)?;
    writeln!(text, "session state   {:>12} bytes", header.session_state_bytes)?;
    writeln!(text, "frame state     {:>12} bytes for each kept frame", header.frame_state_bytes)?;
    writeln!(text, "executor memory {:>12} bytes with one kept frame", layout.required().bytes)?;
    let c = model.conventions();
    if c.input_size > 0 {
        writeln!(
            text,
            "conventions     input {0} x {0}, mask {1} x {1}, {2} point slots, {3} candidates, mean {4:.4}, std {5:.4}",
            c.input_size, c.mask_size, c.point_slots, c.mask_candidates, c.mean, c.std
        )?;
    }
    for program in model.programs() {
        let ops = model.program_ops(program);
        let macs: u64 = ops.iter().map(macs).sum();
        writeln!(
            text,
            "\nprogram {}: {} operations, {:.3} GMAC",
            model.name(program.name),
            ops.len(),
            macs as f64 / 1e9
        )?;
        for (direction, ports) in [("in ", model.inputs(program)), ("out", model.outputs(program))] {
            for port in ports {
                writeln!(text, "  {direction} {:<16} {}", model.name(port.name), shape(model, port))?;
            }
        }
        let mut kinds = BTreeMap::<String, u32>::new();
        for op in ops {
            *kinds.entry(kernels::kind_of(op).map_or("?".into(), |kind| format!("{kind:?}"))).or_default() +=
                1;
        }
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(text, "  ops {}", kinds.join(", "))?;
        for (at, op) in ops.iter().enumerate().filter(|_| with_ops) {
            let out = &model.tensors()[op.operands[0].tensor as usize];
            writeln!(
                text,
                "  {at:>4} {:<14} dims {:?} tiles {:<4} out {} at {}+{}  {}",
                kernels::kind_of(op).map_or("?".into(), |kind| format!("{kind:?}")),
                op.dims,
                op.tiles,
                space(out.space),
                out.offset,
                out.elements * 4,
                model.name(op.name)
            )?;
        }
    }
    writeln!(text, "\ngolden tensors  {}", model.golden().len())?;
    writeln!(text, "provenance      {}", model.provenance())?;
    Ok(text)
}

/// Multiplications of an operation's product; 0 for any other.
fn macs(op: &sonotrace::model::format::OpRecord) -> u64 {
    let d = op.dims.map(u64::from);
    let taps = u64::from(op.params[conv::KERNEL_H]) * u64::from(op.params[conv::KERNEL_W]);
    match kernels::kind_of(op) {
        Some(OpKind::MatMul) => d.iter().product(),
        Some(OpKind::Conv | OpKind::DepthwiseConv) => d.iter().product::<u64>() * taps,
        _ => 0,
    }
}

fn shape(model: &Model<'_>, port: &PortRecord) -> String {
    let shape: Vec<_> = port.shape[..port.rank as usize].iter().map(ToString::to_string).collect();
    let place = space(model.tensors()[port.tensor as usize].space);
    format!("[{}] in {place}", shape.join(", "))
}

fn space(code: u32) -> &'static str {
    match code {
        code if code == Space::Scratch as u32 => "scratch",
        code if code == Space::FrameState as u32 => "frame state",
        code if code == Space::SessionState as u32 => "session state",
        _ => "weights",
    }
}
