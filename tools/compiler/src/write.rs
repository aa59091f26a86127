//! The model file: records, sections, hashes.

use crate::conventions::Tracking;
use crate::error::CompileError;
use crate::golden::Golden;
use crate::graph::{Home, Module, Op, Operand, Port, Program};
use crate::plan::{Lifetime, Plan};
use crate::storage::{Section, Stored};
use bytemuck::{Zeroable, bytes_of, cast_slice};
use sonotrace::format::{
    BANKS_MAX, BankRecord, ConventionsRecord, DIMS, Dtype, ELEMENTS_MAX, FileHeader, MEMORY_MAX, NO_TENSOR,
    NameRef, OPS_MAX, OpRecord, OperandRecord, PORTS_MAX, PROGRAMS_MAX, PROVENANCE_BYTES_MAX, PortRecord,
    ProgramRecord, SLOTS_MAX, SectionKind, SlotRecord, TENSOR_ALIGN, TENSOR_IS_INPUT, TENSORS_MAX,
    TensorLayout, TensorRecord, TensorSpace,
    write::{assemble, refresh_hashes, section_record},
};
use std::collections::HashMap;

/// The contents of a file.
pub struct Contents<'a> {
    /// Programs and tensors.
    pub module: &'a Module,
    /// The weights section, and each constant's place in it.
    pub weights: (&'a Section, &'a [Option<Stored>]),
    /// How a session feeds the programs.
    pub conventions: ConventionsRecord,
    /// How a session follows objects.
    pub tracking: Option<Tracking>,
    /// Golden cases.
    pub golden: &'a Golden,
    /// Provenance text.
    pub provenance: &'a str,
}

/// A written file, with the sizes that are known only after writing.
#[derive(Debug)]
pub struct Written {
    /// The file.
    pub bytes: Vec<u8>,
    /// Its header.
    pub header: FileHeader,
    /// Scratch and lower bound of each program.
    pub scratch: Vec<(u64, u64)>,
}

/// Writes the file.
///
/// # Errors
/// [`CompileError::Limit`].
pub fn write(contents: &Contents<'_>) -> Result<Written, CompileError> {
    let module = contents.module;
    let mut names = Names::default();
    let mut tables = Tables::default();
    let mut header = FileHeader::zeroed();
    let mut scratch = Vec::new();
    let mut numbers = vec![NO_TENSOR; module.tensors.len()];
    header.bank_count = module.banks.len() as u32;
    let mut banks = [BankRecord::zeroed(); BANKS_MAX];
    for (record, bank) in banks.iter_mut().zip(&module.banks) {
        *record = BankRecord {
            copy_bytes: bank.copy_bytes,
            copies: bank.copies,
            per_kept_frame: bank.per_kept_frame.into(),
            name: names.put(&bank.name),
        };
    }
    header.banks = banks;
    for (id, tensor) in module.tensors.iter().enumerate() {
        let Home::State { program, slot, offset } = tensor.home else { continue };
        numbers[id] = tables.tensors.len() as u32;
        tables.tensors.push(TensorRecord {
            space: TensorSpace::State as u32,
            offset,
            program: program as u32,
            slot: slot as u32,
            ..tensor_record(&mut names, tensor)
        });
    }
    for (id, tensor) in module.tensors.iter().enumerate() {
        if let Some(stored) = contents.weights.1[id] {
            numbers[id] = tables.tensors.len() as u32;
            let layout = match tensor.constant {
                Some(crate::graph::Constant::Panels { .. }) => TensorLayout::Panels,
                _ => TensorLayout::Strided,
            };
            tables.tensors.push(TensorRecord {
                space: TensorSpace::Weights as u32,
                dtype: stored.dtype as u32,
                layout: layout as u32,
                offset: stored.offset,
                elements: stored.elements,
                ..tensor_record(&mut names, tensor)
            });
        }
    }
    for (index, program) in module.programs.iter().enumerate() {
        let lives = lifetimes(module, index, program);
        let spans: Vec<Lifetime> = lives.iter().map(|(_, span)| *span).collect();
        let plan: Plan = crate::plan::place(&spans);
        scratch.push((plan.bytes, crate::plan::lower_bound(&spans)));
        header.scratch_bytes = header.scratch_bytes.max(plan.bytes);
        for ((id, span), offset) in lives.iter().zip(plan.offsets) {
            numbers[*id] = tables.tensors.len() as u32;
            let is_input = program.inputs.iter().any(|port| port.tensor == *id);
            tables.tensors.push(TensorRecord {
                flags: if is_input { TENSOR_IS_INPUT } else { 0 },
                offset,
                program: index as u32,
                first_op: span.first_op,
                last_op: span.last_op,
                ..tensor_record(&mut names, &module.tensors[*id])
            });
        }
        tables.program(&mut names, module, program, &numbers);
    }
    for op in module.programs.iter().flat_map(|program| &program.ops) {
        let bytes = op.operation.scratch_bytes(&op.extents());
        header.thread_scratch_bytes =
            header.thread_scratch_bytes.max(bytes.checked_next_multiple_of(TENSOR_ALIGN).unwrap_or(u64::MAX));
    }
    check_limits(module, &tables, &header, contents.provenance)?;
    header.op_count = tables.ops.len() as u32;
    (header.input_size, header.mask_size) = (contents.conventions.input_size, contents.conventions.mask_size);
    let tracking = contents.tracking.map(|tracking| tracking.record);
    if let Some(Tracking { record, embedding_channels, key_channels, flow_side }) = contents.tracking {
        (header.grid, header.embedding_channels) = (record.grid, embedding_channels);
        (header.key_channels, header.flow_side) = (key_channels, flow_side);
    }
    // Never written, so they take no memory. The weights follow, because they would be there twice otherwise.
    let zeros = vec![0; contents.weights.0.bytes];
    let sections: [&[u8]; 11] = [
        cast_slice(&tables.programs),
        cast_slice(&tables.ports),
        cast_slice(&tables.ops),
        cast_slice(&tables.tensors),
        names.text.as_bytes(),
        &zeros,
        bytes_of(&contents.conventions),
        cast_slice(&contents.golden.records),
        cast_slice(&contents.golden.values),
        cast_slice(tracking.as_slice()),
        contents.provenance.as_bytes(),
    ];
    let mut bytes = assemble(header, sections);
    let weights = section_record(&bytes, SectionKind::Weights).offset as usize;
    contents.weights.0.write(&mut bytes[weights..]);
    refresh_hashes(&mut bytes);
    header.file_bytes = bytes.len() as u64;
    Ok(Written { bytes, header, scratch })
}

#[derive(Default)]
struct Tables {
    programs: Vec<ProgramRecord>,
    ports: Vec<PortRecord>,
    ops: Vec<OpRecord>,
    tensors: Vec<TensorRecord>,
}

impl Tables {
    fn program(&mut self, names: &mut Names, module: &Module, program: &Program, numbers: &[u32]) {
        let mut slots = [SlotRecord::zeroed(); SLOTS_MAX];
        for (at, (record, (name, bank))) in slots.iter_mut().zip(&program.slots).enumerate() {
            let is_written = program.ops.iter().filter_map(Op::output).any(
                |output| matches!(module.tensors[output.tensor].home, Home::State { slot, .. } if slot == at),
            );
            *record = SlotRecord { name: names.put(name), bank: *bank as u32, is_written: is_written.into() };
        }
        self.programs.push(ProgramRecord {
            name: names.put(&program.name),
            first_op: self.ops.len() as u32,
            op_count: program.ops.len() as u32,
            first_port: self.ports.len() as u32,
            input_count: program.inputs.len() as u32,
            output_count: program.outputs.len() as u32,
            slot_count: program.slots.len() as u32,
            slots,
        });
        for port in program.inputs.iter().chain(&program.outputs) {
            self.ports.push(port_record(names, port, numbers));
        }
        for op in &program.ops {
            self.ops.push(op_record(names, op, numbers));
        }
    }
}

/// Names, each stored once.
#[derive(Default)]
struct Names {
    text: String,
    known: HashMap<String, NameRef>,
}

impl Names {
    fn put(&mut self, name: &str) -> NameRef {
        *self.known.entry(name.to_owned()).or_insert_with(|| {
            let at = NameRef { offset: self.text.len() as u32, bytes: name.len() as u32 };
            self.text.push_str(name);
            at
        })
    }
}

/// A record of dense f32 scratch; the caller changes the fields that differ.
fn tensor_record(names: &mut Names, tensor: &crate::graph::Tensor) -> TensorRecord {
    TensorRecord {
        space: TensorSpace::Scratch as u32,
        dtype: Dtype::F32 as u32,
        layout: TensorLayout::Strided as u32,
        flags: 0,
        offset: 0,
        elements: tensor.elements as u64,
        name: names.put(&tensor.name),
        program: 0,
        slot: 0,
        first_op: 0,
        last_op: 0,
    }
}

fn port_record(names: &mut Names, port: &Port, numbers: &[u32]) -> PortRecord {
    let mut shape = [0; DIMS];
    for (to, &extent) in shape.iter_mut().zip(&port.shape) {
        *to = extent as u32;
    }
    PortRecord {
        name: names.put(&port.name),
        tensor: numbers[port.tensor],
        rank: port.shape.len() as u32,
        shape,
    }
}

fn op_record(names: &mut Names, op: &Op, numbers: &[u32]) -> OpRecord {
    let operand = |operand: &Option<Operand>| match operand {
        Some(operand) => OperandRecord {
            tensor: numbers[operand.tensor],
            offset: operand.offset as u32,
            strides: operand.strides.map(|stride| stride as u32),
        },
        None => OperandRecord { tensor: NO_TENSOR, offset: 0, strides: [0; DIMS] },
    };
    op.operation.record(op.extents(), op.operands.each_ref().map(operand), names.put(&op.name))
}

/// The operations during which each scratch tensor of a program is live: inputs from the start, outputs to the end,
/// others from the first that writes them to the last that uses them.
fn lifetimes(module: &Module, index: usize, program: &Program) -> Vec<(usize, Lifetime)> {
    let last = program.ops.len().saturating_sub(1) as u32;
    let mut lives = Vec::new();
    for (id, tensor) in module.tensors.iter().enumerate() {
        let Home::Scratch { program: owner, input } = tensor.home else { continue };
        if owner != index {
            continue;
        }
        let touches = |op: &Op| op.operands.iter().flatten().any(|operand| operand.tensor == id);
        let first = program.ops.iter().position(touches);
        let is_port = program.inputs.iter().chain(&program.outputs).any(|port| port.tensor == id);
        if first.is_none() && !is_port {
            continue; // Fused away.
        }
        let is_output = program.outputs.iter().any(|port| port.tensor == id);
        let last_touch = program.ops.iter().rposition(touches).unwrap_or(0) as u32;
        let first_op = if input { 0 } else { first.unwrap_or(0) as u32 };
        let last_op = if is_output { last } else { last_touch };
        lives.push((id, Lifetime { bytes: tensor.elements as u64 * 4, first_op, last_op }));
    }
    lives
}

fn check_limits(
    module: &Module,
    tables: &Tables,
    header: &FileHeader,
    provenance: &str,
) -> Result<(), CompileError> {
    let elements = module.tensors.iter().map(|tensor| tensor.elements as u64).max().unwrap_or(0);
    let ports = tables
        .programs
        .iter()
        .map(|program| program.input_count.max(program.output_count))
        .max()
        .unwrap_or(0);
    for (what, seen, limit) in [
        ("number of programs", tables.programs.len() as u64, PROGRAMS_MAX.into()),
        ("number of a program's inputs or outputs", ports.into(), PORTS_MAX.into()),
        ("number of operations", tables.ops.len() as u64, OPS_MAX.into()),
        ("number of tensors", tables.tensors.len() as u64, TENSORS_MAX.into()),
        ("number of elements of a tensor", elements, ELEMENTS_MAX),
        ("provenance in bytes", provenance.len() as u64, PROVENANCE_BYTES_MAX.into()),
        ("scratch in bytes", header.scratch_bytes, MEMORY_MAX),
        ("thread scratch in bytes", header.thread_scratch_bytes, MEMORY_MAX),
        (
            "copy of a bank in bytes",
            module.banks.iter().map(|bank| bank.copy_bytes).max().unwrap_or(0),
            MEMORY_MAX,
        ),
    ] {
        if seen > limit {
            return Err(CompileError::Limit { what, seen, limit });
        }
    }
    Ok(())
}
