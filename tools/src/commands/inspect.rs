//! `sonotrace inspect`: prints the contents of a model file.

use crate::chosen::Chosen;
use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use sonotrace::exec::{Executor, ExecutorConfig, ExecutorLayout};
use sonotrace::format::{
    Dtype, Model, OpRecord, OperandRecord, Operation, PortRecord, ProgramRecord, TensorLayout, TensorSpace,
};
use sonotrace::kernels::arch::Instructions;
use sonotrace::region::Region;
use sonotrace_replay::shown_text;
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
    /// Print sizes, programs and provenance as JSON.
    #[arg(long, conflicts_with = "ops")]
    json: bool,
}

/// Prints sections, programs, memory plan, operations and provenance of a model.
///
/// # Errors
/// A file that cannot be read, or is refused.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = Chosen::open(arguments.file.as_deref())?;
    let bytes = chosen.bytes();
    let model = Model::parse(bytes)?;
    if arguments.json {
        println!("{:#}", as_json(&model, bytes.len()));
        return Ok(());
    }
    print!("{}", describe(&model, bytes.len(), arguments.ops)?);
    Ok(())
}

/// The provenance as JSON. A file whose text is none has it as a text.
fn provenance(model: &Model<'_>) -> Value {
    serde_json::from_str(model.provenance()).unwrap_or_else(|_| model.provenance().into())
}

fn as_json(model: &Model<'_>, file_bytes: usize) -> Value {
    let programs: Vec<Value> = model
        .programs()
        .iter()
        .map(|program| {
            let ops = model.program_ops(program);
            let operations = ops.iter().filter_map(|op| Some((op, Operation::decode(op).ok()?)));
            let macs: u64 = operations.map(|(op, operation)| operation.macs(&op.dims)).sum();
            json!({"name": model.name(program.name), "operations": ops.len(), "macs": macs})
        })
        .collect();
    let header = model.header();
    json!({
        "file_bytes": file_bytes,
        "version": header.version,
        "weight_bytes": model.weights().len(),
        "scratch_bytes": header.scratch_bytes,
        "programs": programs,
        "provenance": provenance(model),
    })
}

/// Where the weights come from, as training wrote it. Texts are shown without control characters: the file may be anybody's.
fn training(provenance: &Value) -> String {
    let Some(records) = provenance["training"].as_array() else {
        return "training        no provenance: the graphs have no record of their weights\n".to_owned();
    };
    let text = |value: &Value| value.as_str().map_or_else(|| "not known".to_owned(), shown_text);
    let mut lines = String::new();
    for entry in records {
        let record = &entry["record"];
        let names = |list: &Value| list.as_array().into_iter().flatten().map(&text).collect::<Vec<_>>();
        let starts = record["made_from"].as_array().into_iter().flatten();
        let starts = starts.map(|start| {
            let digest = start["sha256"]
                .as_str()
                .map_or_else(String::new, |digest| format!(" {}", shown_text(digest)));
            format!("{} {}{digest}", text(&start["role"]), text(&start["file"]))
        });
        lines +=
            &format!("training        {}: {}\n", names(&entry["programs"]).join(", "), text(&record["use"]));
        lines += &format!("  data          {}\n", text(&record["data"]["sha256"]));
        lines += &format!("  code          {}\n", text(&record["commit"]));
        for start in starts {
            lines += &format!("  from          {start}\n");
        }
        for licence in names(&record["licences"]) {
            lines += &format!("  licence       {licence}\n");
        }
    }
    lines
}

/// The text that `inspect` prints.
fn describe(model: &Model<'_>, file_bytes: usize, with_ops: bool) -> Result<String> {
    use std::fmt::Write as _;
    let mut text = String::new();
    let header = model.header();
    let config = ExecutorConfig::default();
    let required = ExecutorLayout::new(header, &config)?.required();
    let mut region = Region::new(required.bytes)?;
    let executor = Executor::new(*model, config, region.as_mut_slice())?;
    writeln!(text, "file            {file_bytes:>12} bytes, format version {}", header.version)?;
    writeln!(text, "weights         {:>12} bytes", model.weights().len())?;
    writeln!(text, "scratch         {:>12} bytes, shared by all programs", header.scratch_bytes)?;
    writeln!(text, "thread scratch  {:>12} bytes for each thread", header.thread_scratch_bytes)?;
    for (at, bank) in header.banks().iter().enumerate() {
        let kept = if bank.per_kept_frame == 1 { " with one kept frame" } else { "" };
        let (name, copies) = (model.name(bank.name), executor.copies(at));
        writeln!(text, "bank {name:<10} {:>12} bytes per copy, copies{kept}: {copies}", bank.copy_bytes)?;
    }
    writeln!(text, "executor memory {:>12} bytes with one kept frame and one thread", required.bytes)?;
    writeln!(
        text,
        "instructions    {}",
        Instructions::available().map(Instructions::name).collect::<Vec<_>>().join(", ")
    )?;
    let c = model.conventions();
    if c.input_size > 0 {
        writeln!(
            text,
            "conventions     input {0} x {0}, mask {1} x {1}, {2} point slots, {3} candidates, mean {4:.4}, std {5:.4}",
            c.input_size, c.mask_size, c.point_slots, c.mask_candidates, c.mean, c.std
        )?;
    }
    if let Some(t) = model.tracking() {
        writeln!(
            text,
            "tracking        {0} x {0} tokens, a memory every {1} frames, an anchor after {2} or more below a Dice of {3}, refined at \
             {4}, lost below {5}, found from {6}, held for {7} frames, flagged below {8}",
            t.grid,
            t.kept_every,
            t.anchored_every,
            t.anchor_dice,
            t.trust,
            t.lost_below,
            t.found_from,
            t.held_frames,
            t.flagged_below
        )?;
    }
    for (index, program) in model.programs().iter().enumerate() {
        let ops = model.program_ops(program);
        let operations: Vec<Operation> = ops.iter().filter_map(|op| Operation::decode(op).ok()).collect();
        let macs: u64 = operations.iter().zip(ops).map(|(operation, op)| operation.macs(&op.dims)).sum();
        let (name, gmacs) = (model.name(program.name), macs as f64 / 1e9);
        writeln!(text, "\nprogram {name}: {} operations, {gmacs:.3} GMAC", ops.len())?;
        for (direction, ports) in [("in ", model.inputs(program)), ("out", model.outputs(program))] {
            for port in ports {
                writeln!(
                    text,
                    "  {direction} {:<16} {}",
                    model.name(port.name),
                    place(model, program, port)
                )?;
            }
        }
        let mut kinds = BTreeMap::<&str, u32>::new();
        for operation in &operations {
            *kinds.entry(operation.kind().name()).or_default() += 1;
        }
        let kinds: Vec<_> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        writeln!(text, "  ops {}", kinds.join(", "))?;
        let moved: u64 =
            ops.iter().zip(&operations).map(|(op, operation)| moved_bytes(model, op, operation)).sum();
        let tiles: u64 = executor.ops(index).iter().map(|op| u64::from(op.tiles())).sum();
        let megabytes = moved as f64 / 1e6;
        writeln!(
            text,
            "  a run reads and writes {megabytes:.1} MB, in {tiles} tiles with {} barriers",
            ops.len()
        )?;
        for (at, (op, operation)) in ops.iter().zip(&operations).enumerate().filter(|_| with_ops) {
            let bound = &executor.ops(index)[at];
            let out = &model.tensors()[op.operands[0].tensor as usize];
            writeln!(
                text,
                "  {at:>4} {:<14} {:<5} {:<13} dims {:?} {} {} tiles, out {} at {}+{}  {}",
                operation.kind().name(),
                operation.arithmetic().name(),
                operation.function_name(),
                op.dims,
                bound.instructions().name(),
                bound.tiles(),
                out.space().map_or("", TensorSpace::name),
                out.offset,
                out.bytes(),
                model.name(op.name)
            )?;
        }
    }
    writeln!(text, "\ngolden tensors  {}", model.golden().len())?;
    for (program, index) in model.programs().iter().zip(0u32..) {
        if model.golden().iter().all(|record| record.program != index) {
            let name = model.name(program.name);
            writeln!(text, "  none of {name}: its ports are too large, the self-test leaves it out")?;
        }
    }
    text += &training(&provenance(model));
    writeln!(text, "provenance      {}", model.provenance())?;
    Ok(text)
}

/// Bytes that an operation reads and writes, each element once.
fn moved_bytes(model: &Model<'_>, op: &OpRecord, operation: &Operation) -> u64 {
    let bytes = |(slot, operand): (usize, &OperandRecord)| {
        let Some(tensor) = model.tensors().get(operand.tensor as usize) else { return 0 };
        if tensor.layout() == Some(TensorLayout::Panels) {
            return tensor.bytes();
        }
        let extents = operation.operand_extents(&op.dims, slot).unwrap_or(op.dims);
        let walked = extents.iter().zip(&operand.strides).filter(|(_, stride)| **stride != 0);
        let elements: u64 = walked.map(|(&extent, _)| u64::from(extent)).product();
        // Overlapping positions are one element.
        elements.min(tensor.elements) * tensor.dtype().map_or(0, Dtype::bytes)
    };
    op.operands.iter().enumerate().map(bytes).sum()
}

/// Shape of a port and where it lies: `bank@slot` for state.
fn place(model: &Model<'_>, program: &ProgramRecord, port: &PortRecord) -> String {
    let shape: Vec<_> = port.shape[..port.rank as usize].iter().map(ToString::to_string).collect();
    let tensor = model.tensor_of(port);
    let space = match tensor.space() {
        Some(TensorSpace::State) => {
            let slot = &program.slots()[tensor.slot as usize];
            let bank = &model.header().banks()[slot.bank as usize];
            format!("{}@{}", model.name(bank.name), model.name(slot.name))
        }
        space => space.map_or("", TensorSpace::name).to_owned(),
    };
    format!("[{}] in {space}", shape.join(", "))
}
