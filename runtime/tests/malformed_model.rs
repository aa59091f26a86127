//! Damaged and manipulated model files: refused with an error that names the problem, or safe to run.
#![allow(clippy::unwrap_used)]

mod common;
use bytemuck::Pod;
use common::{AlignedBytes, Random, disc, refresh_hashes, section_mut, section_record};
use proptest::prelude::*;
use sonotrace::exec::{Executor, ExecutorConfig, ExecutorLayout};
use sonotrace::format::panels::PanelShape;
use sonotrace::format::{
    ConventionsRecord, Dtype, FileHeader, HEAD_BYTES, Model, ModelError, NO_TENSOR, OpKind, OpRecord,
    Operation, PROVENANCE_BYTES_MAX, PortRecord, ProgramRecord, SectionKind, SectionRecord, TENSOR_IS_INPUT,
    TensorLayout, TensorRecord, TensorSpace, TrackingRecord,
};

/// Accepted files that need more memory or work than this are not run here.
const MEMORY_MAX: usize = 1 << 24;
const WORK_MAX: u64 = 1 << 22;

/// Result for a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tried {
    Refused,
    /// Accepted, but too large to run here.
    Accepted,
    Ran,
}

/// Parses a file and, if it is accepted, runs all its programs.
fn try_file(bytes: &[u8]) -> Tried {
    let file = AlignedBytes::new(bytes);
    let Ok(model) = Model::parse(file.bytes()) else { return Tried::Refused };
    let config = ExecutorConfig { kept_frames: 2, ..ExecutorConfig::default() };
    let Ok(layout) = ExecutorLayout::new(model.header(), &config) else { return Tried::Accepted };
    let work = model.ops().iter().map(|op| {
        let operation = Operation::decode(op).unwrap();
        operation.units(&op.dims).saturating_mul(operation.unit_work(&op.dims))
    });
    if layout.required().bytes > MEMORY_MAX || work.fold(0u64, u64::saturating_add) > WORK_MAX {
        return Tried::Accepted;
    }
    let mut region = AlignedBytes::zeroed(layout.required().bytes);
    let mut executor = Executor::new(model, config, region.bytes_mut()).unwrap();
    let _ = executor.self_test();
    for program in 0..model.programs().len() {
        // The changed file may need more copies than a bank has.
        if executor.begin_apart(program).is_ok() {
            executor.finish();
        }
    }
    Tried::Ran
}

/// Changes the small model, updates its hashes, and returns the error of parsing it.
fn refusal(change: impl FnOnce(&mut [u8])) -> ModelError {
    let mut file = AlignedBytes::new(disc());
    change(file.bytes_mut());
    refresh_hashes(file.bytes_mut());
    match Model::parse(file.bytes()) {
        Ok(_) => panic!("the changed file was accepted"),
        Err(error) => error,
    }
}

/// Changes one record of a section; otherwise as [`refusal`].
fn refusal_of<T: Pod>(kind: SectionKind, index: usize, change: impl FnOnce(&mut T)) -> ModelError {
    refusal(|file| change(&mut section_mut::<T>(file, kind)[index]))
}

fn op_problem(index: usize, problem: &'static str) -> ModelError {
    ModelError::Record { table: "operation", index: index as u32, problem }
}

fn tensor_problem(index: usize, problem: &'static str) -> ModelError {
    ModelError::Record { table: "tensor", index: index as u32, problem }
}

/// Returns the first operation for which `is_it` is true.
fn find_op(is_it: impl Fn(&OpRecord) -> bool) -> (usize, OpRecord) {
    let model = common::disc_model();
    let index = model.ops().iter().position(is_it).unwrap();
    (index, model.ops()[index])
}

fn kind_of(op: &OpRecord) -> Option<OpKind> {
    OpKind::from_code(op.kind)
}

fn find_kind(kind: OpKind) -> (usize, OpRecord) {
    find_op(|op| kind_of(op) == Some(kind))
}

/// Changes a word of an operation's record, to values that its typed form does not allow.
fn with_word(index: usize, word: usize, change: impl Fn(&mut u32)) -> ModelError {
    refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| {
        change(&mut bytemuck::cast_slice_mut(bytemuck::bytes_of_mut(op))[word]);
    })
}

/// Words of an operation's record.
const FUNCTION: usize = 1;
/// After kind, function, dims and operands.
const PARAMS: usize = 2 + 8 + 5 * 10;
const FLOATS: usize = PARAMS + 12;
/// Words of a convolution's parameters.
const KERNEL_ROWS: usize = PARAMS;
const STRIDE_COLUMNS: usize = PARAMS + 3;
const DILATION_ROWS: usize = PARAMS + 4;
const INPUT_ROWS: usize = PARAMS + 8;

#[test]
fn the_file_itself_is_accepted_and_runs() {
    assert_eq!(try_file(disc()), Tried::Ran);
    let mut file = disc().to_vec();
    refresh_hashes(&mut file);
    assert!(file == disc(), "correct hashes do not change");
}

#[test]
fn a_truncated_file_is_refused() {
    let whole = disc().len();
    let ends = SectionKind::ALL.iter().flat_map(|&kind| {
        let record = section_record(disc(), kind);
        [record.offset, record.offset + record.bytes].map(|end| end as usize)
    });
    let around = ends.flat_map(|end| [end.saturating_sub(1), end, end + 1]);
    let lengths = (0..=HEAD_BYTES).step_by(7).chain((0..whole).step_by(1021)).chain(around);
    for length in lengths.chain([whole - 1]).filter(|&length| length < whole) {
        let file = AlignedBytes::new(&disc()[..length]);
        let error = Model::parse(file.bytes()).unwrap_err();
        let (seen, announced) = (length as u64, whole as u64);
        let expected = if length < HEAD_BYTES {
            ModelError::TooShort { seen }
        } else {
            ModelError::Length { seen, announced }
        };
        assert_eq!(error, expected, "{length} bytes");
    }
}

/// With a matching length and hashes, the sections of a truncated file still end beyond it.
#[test]
fn a_truncated_file_with_a_matching_header_is_refused() {
    for length in (HEAD_BYTES..disc().len()).step_by(509) {
        let mut file = AlignedBytes::new(&disc()[..length]);
        let header_bytes = size_of::<FileHeader>();
        let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file.bytes_mut()[..header_bytes]);
        header.file_bytes = length as u64;
        refresh_hashes(file.bytes_mut());
        let error = Model::parse(file.bytes()).unwrap_err();
        assert!(
            matches!(error, ModelError::Section { problem: "ends beyond the end of the file", .. }),
            "{length}: {error}"
        );
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = disc().to_vec();
    bytes.push(0);
    let file = AlignedBytes::new(&bytes);
    let announced = disc().len() as u64;
    assert_eq!(
        Model::parse(file.bytes()).unwrap_err(),
        ModelError::Length { seen: announced + 1, announced }
    );
}

#[test]
fn misaligned_bytes_are_refused() {
    let mut memory = AlignedBytes::zeroed(disc().len() + 64);
    for by in [1, 4, 8, 32, 63] {
        memory.bytes_mut()[by..by + disc().len()].copy_from_slice(disc());
        let error = Model::parse(&memory.bytes()[by..by + disc().len()]).unwrap_err();
        assert_eq!(error, ModelError::Misaligned { needed: 64 });
    }
}

/// A change of any byte of the file is detected: of the first page, of a section, and of the padding between sections (some of
/// them, and those beside the edges).
#[test]
fn every_changed_byte_is_detected() {
    let mut file = AlignedBytes::new(disc());
    for at in 0..HEAD_BYTES {
        file.bytes_mut()[at] ^= 1 << (at % 8);
        let error = Model::parse(file.bytes()).unwrap_err();
        match at {
            0..8 => assert_eq!(error, ModelError::Magic),
            8..12 => assert!(matches!(error, ModelError::Version { .. }), "byte {at}: {error}"),
            _ => assert_eq!(error, ModelError::Hash { what: "header" }, "byte {at}"),
        }
        file.bytes_mut()[at] = disc()[at];
    }
    let sections: Vec<_> = SectionKind::ALL.iter().map(|kind| section_record(disc(), *kind)).collect();
    let edges = sections
        .iter()
        .flat_map(|r| [r.offset.wrapping_sub(1), r.offset, r.offset + r.bytes - 1, r.offset + r.bytes]);
    let edges = edges.map(|at| at as usize).filter(|at| (HEAD_BYTES..disc().len()).contains(at));
    for at in (HEAD_BYTES..disc().len()).step_by(31).chain(edges) {
        file.bytes_mut()[at] ^= 0x10;
        let error = Model::parse(file.bytes()).unwrap_err();
        let is_content = sections.iter().any(|r| (r.offset..r.offset + r.bytes).contains(&(at as u64)));
        let is_right = match error {
            ModelError::Hash { .. } => is_content,
            ModelError::Section { problem: "the padding before it is not zero", .. } => !is_content,
            _ => false,
        };
        assert!(is_right, "byte {at}: {error}");
        file.bytes_mut()[at] = disc()[at];
    }
    assert!(Model::parse(file.bytes()).is_ok());
}

/// A changed bit of the head, with updated hashes: refused or harmless.
#[test]
fn every_changed_bit_of_the_head_is_refused_or_harmless() {
    let used = size_of::<FileHeader>() + SectionKind::ALL.len() * size_of::<SectionRecord>();
    for at in 0..used {
        for bit in [0, 3, 7] {
            let mut file = disc().to_vec();
            file[at] ^= 1 << bit;
            refresh_hashes(&mut file);
            try_file(&file);
        }
    }
}

#[test]
fn invalid_section_tables_are_refused() {
    let with_record = |kind: SectionKind, change: fn(&mut SectionRecord)| {
        refusal(|file| {
            let bytes = size_of::<SectionRecord>();
            let at = size_of::<FileHeader>() + (kind as usize - 1) * bytes;
            change(bytemuck::from_bytes_mut(&mut file[at..at + bytes]));
        })
    };
    let wrong = |kind: SectionKind, problem| ModelError::Section { index: kind as u32 - 1, problem };
    let kind = SectionKind::Tensors;
    assert_eq!(with_record(kind, |r| r.kind = 3), wrong(kind, "sections are out of order"));
    assert_eq!(with_record(kind, |r| r.layout = 2), wrong(kind, "unknown layout: compile the model again"));
    assert_eq!(
        with_record(kind, |r| r.offset += 64),
        wrong(kind, "does not start on the page after the section before it")
    );
    assert_eq!(
        with_record(kind, |r| r.offset -= 4096 * (r.offset / 4096 - 1)),
        wrong(kind, "does not start on the page after the section before it")
    );
    assert_eq!(with_record(kind, |r| r.bytes = u64::MAX), wrong(kind, "length overflows"));
    assert_eq!(with_record(kind, |r| r.bytes = 1 << 40), wrong(kind, "ends beyond the end of the file"));
    assert_eq!(with_record(kind, |r| r.bytes += 1), wrong(kind, "is not a whole number of records"));
    let kind = SectionKind::Conventions;
    assert_eq!(with_record(kind, |r| r.bytes *= 2), wrong(kind, "does not hold exactly one record"));
    let last = SectionKind::Provenance;
    assert_eq!(with_record(last, |r| r.bytes -= 1), wrong(last, "bytes follow the last section"));
    let provenance = refusal(|file| section_mut::<u8>(file, last)[0] = 0xff);
    assert_eq!(provenance, wrong(last, "is not UTF-8 text"));
    let names = refusal(|file| section_mut::<u8>(file, SectionKind::Names)[0] = 0xff);
    assert_eq!(names, wrong(SectionKind::Names, "is not UTF-8 text"));
}

/// A file may carry a text of its origin, but not any amount of it. The largest is accepted.
#[test]
fn a_long_provenance_is_refused() {
    for (bytes, is_accepted) in
        [(u64::from(PROVENANCE_BYTES_MAX), true), (u64::from(PROVENANCE_BYTES_MAX) + 1, false)]
    {
        let record = section_record(disc(), SectionKind::Provenance);
        let mut longer = disc().to_vec();
        longer.resize((record.offset + bytes) as usize, b' ');
        let mut file = AlignedBytes::new(&longer);
        let at =
            size_of::<FileHeader>() + (SectionKind::Provenance as usize - 1) * size_of::<SectionRecord>();
        let changed: &mut SectionRecord =
            bytemuck::from_bytes_mut(&mut file.bytes_mut()[at..at + size_of::<SectionRecord>()]);
        changed.bytes = bytes;
        let header: &mut FileHeader =
            bytemuck::from_bytes_mut(&mut file.bytes_mut()[..size_of::<FileHeader>()]);
        header.file_bytes = longer.len() as u64;
        refresh_hashes(file.bytes_mut());
        let parsed = Model::parse(file.bytes()).map(|model| model.provenance().len() as u64);
        if is_accepted {
            assert_eq!(parsed, Ok(bytes));
        } else {
            let limit = PROVENANCE_BYTES_MAX.into();
            assert_eq!(parsed, Err(ModelError::Limit { what: "provenance in bytes", seen: bytes, limit }));
        }
    }
}

/// Two scratch tensors of one program, live together, in the same bytes.
#[test]
fn tensors_that_are_live_together_may_not_overlap() {
    let model = common::disc_model();
    let is_scratch = |t: &TensorRecord| t.space() == Some(TensorSpace::Scratch);
    let together = |a: &TensorRecord, b: &TensorRecord| {
        a.program == b.program && a.first_op <= b.last_op && b.first_op <= a.last_op
    };
    let tensors = model.tensors();
    let mut pairs = 0;
    for second in 0..tensors.len() {
        for first in 0..second {
            let (a, b) = (tensors[first], tensors[second]);
            let end = a.offset + b.elements * 4;
            let fits = end <= model.header().scratch_bytes;
            if !(is_scratch(&a) && is_scratch(&b) && together(&a, &b) && fits) {
                continue;
            }
            let error = refusal_of(SectionKind::Tensors, second, |t: &mut TensorRecord| t.offset = a.offset);
            // The error names the first pair: the moved tensor may overlap another one, too.
            let ModelError::Overlap { program, first: one, second: other } = error else {
                panic!("tensors {first} and {second}: {error}")
            };
            assert_eq!(program, a.program);
            assert!(one < other && (one == second as u32 || other == second as u32), "{one}, {other}");
            pairs += 1;
        }
    }
    assert!(pairs > 20, "{pairs} pairs");
}

/// Two operands of one operation swap positions, so that the larger one overlaps its neighbour.
#[test]
fn tensors_with_swapped_positions_are_refused() {
    let model = common::disc_model();
    let (_, softmax) = find_kind(OpKind::Softmax);
    let scores = softmax.operands[1].tensor as usize;
    let is_smaller_neighbour = |t: &TensorRecord| {
        let s = &model.tensors()[scores];
        t.space == s.space
            && t.program == s.program
            && t.elements < s.elements
            && t.first_op <= s.last_op
            && s.first_op <= t.last_op
            && t.offset + s.elements * 4 <= model.header().scratch_bytes
    };
    let other = model.tensors().iter().position(is_smaller_neighbour).unwrap();
    let error = refusal(|file| {
        let tensors: &mut [TensorRecord] = section_mut(file, SectionKind::Tensors);
        (tensors[scores].offset, tensors[other].offset) = (tensors[other].offset, tensors[scores].offset);
    });
    assert!(matches!(error, ModelError::Overlap { .. }), "{error}");
}

#[test]
fn a_tensor_outside_its_space_is_refused() {
    let model = common::disc_model();
    for space in [TensorSpace::Scratch, TensorSpace::State, TensorSpace::Weights] {
        let index = model.tensors().iter().position(|t| t.space == space as u32).unwrap();
        let moved =
            |offset: u64| refusal_of(SectionKind::Tensors, index, |t: &mut TensorRecord| t.offset = offset);
        assert_eq!(moved(1 << 30), tensor_problem(index, "ends beyond its memory space"), "{space:?}");
        assert_eq!(moved(u64::MAX - 63), tensor_problem(index, "its end overflows"), "{space:?}");
        assert_eq!(moved(32), tensor_problem(index, "does not start at a multiple of 64 bytes"));
    }
    let state = model.tensors().iter().position(|t| t.space() == Some(TensorSpace::State)).unwrap();
    // By one cache line only: the bank holds the embedding and nothing else.
    let error = refusal_of(SectionKind::Tensors, state, |t: &mut TensorRecord| t.offset = 64);
    assert_eq!(error, tensor_problem(state, "ends beyond its memory space"));
    // In a slot that its program does not have.
    let error = refusal_of(SectionKind::Tensors, state, |t: &mut TensorRecord| t.slot = 1);
    assert_eq!(error, tensor_problem(state, "its program has no such slot"));
}

#[test]
fn an_operand_that_reaches_too_far_is_refused() {
    for (index, op) in common::disc_model().ops().iter().enumerate() {
        for slot in 0..4 {
            let operand = op.operands[slot];
            // Panels have no strides, and dims of one element or with stride 0 have no reach.
            let is_panel = operand.tensor != NO_TENSOR
                && common::disc_model().tensors()[operand.tensor as usize].layout()
                    != Some(TensorLayout::Strided);
            let dim = (0..8).rfind(|&dim| op.dims[dim] > 1 && operand.strides[dim] > 0);
            let (Some(dim), false) = (dim, is_panel || operand.tensor == NO_TENSOR) else { continue };
            let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| {
                op.operands[slot].strides[dim] = u32::MAX;
            });
            assert_eq!(error, op_problem(index, "an operand reaches beyond its tensor"), "slot {slot}");
            let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| {
                op.operands[slot].offset = 1 << 29;
            });
            assert_eq!(error, op_problem(index, "an operand reaches beyond its tensor"), "slot {slot}");
        }
    }
}

/// One element beyond the end is refused.
#[test]
fn an_operand_may_reach_the_last_element_and_no_further() {
    let (index, op) = find_kind(OpKind::Softmax);
    let tensor = common::disc_model().tensors()[op.operands[0].tensor as usize];
    let product: u32 = op.dims.iter().product();
    assert_eq!(u64::from(product), tensor.elements, "the output is dense and fills its tensor");
    let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| op.operands[0].offset = 1);
    assert_eq!(error, op_problem(index, "an operand reaches beyond its tensor"));
}

/// Panels of 8-bit weights include their scales, to the last byte. The test converts panels of the small model.
#[test]
fn panels_of_8_bits_have_room_for_their_scales() {
    let (index, op) = find_op(|op| {
        kind_of(op) == Some(OpKind::MatMul)
            && common::disc_model().tensors()[op.operands[2].tensor as usize].layout()
                == Some(TensorLayout::Panels)
    });
    let shape = PanelShape { n: op.dims[6].into(), k: op.dims[7].into() };
    let elements = shape.elements(Dtype::I8).unwrap();
    let tensor = op.operands[2].tensor as usize;
    let of_8_bits = |t: &mut TensorRecord| (t.dtype, t.elements) = (Dtype::I8 as u32, elements);
    let mut file = AlignedBytes::new(disc());
    of_8_bits(&mut section_mut::<TensorRecord>(file.bytes_mut(), SectionKind::Tensors)[tensor]);
    refresh_hashes(file.bytes_mut());
    assert_eq!(try_file(file.bytes()), Tried::Ran);
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| {
        of_8_bits(t);
        t.elements -= 1;
    });
    assert_eq!(error, op_problem(index, "an operand reaches beyond its tensor"));
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| {
        of_8_bits(t);
        t.layout = TensorLayout::Strided as u32;
    });
    assert_eq!(error, op_problem(index, "an operand is neither strided f32 nor panels"));
}

#[test]
fn an_index_outside_its_axis_is_refused() {
    let (index, op) = find_kind(OpKind::Gather);
    let table = common::disc_model().tensors()[op.operands[2].tensor as usize];
    let Ok(Operation::Gather(gather)) = Operation::decode(&op) else { panic!("found for it") };
    let axis = gather.axis_length as i32;
    for (place, value) in [(0, axis), (0, -1), (table.elements as usize - 1, i32::MAX), (1, i32::MIN)] {
        let error = refusal(|file| {
            let at = table.offset as usize + 4 * place;
            let weights: &mut [u8] = section_mut(file, SectionKind::Weights);
            weights[at..at + 4].copy_from_slice(&value.to_le_bytes());
        });
        assert_eq!(error, op_problem(index, "an index is outside its axis"), "{value}");
    }
}

#[test]
fn too_little_thread_scratch_is_refused() {
    let error = refusal(|file| {
        let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()]);
        header.thread_scratch_bytes -= 64;
    });
    let problem = "needs more thread scratch than the header states";
    assert!(
        matches!(error, ModelError::Record { table: "operation", problem: seen, .. } if seen == problem),
        "{error}"
    );
}

/// `is_written` must be right: otherwise two slots could write to the same copy.
#[test]
fn a_wrong_is_written_is_refused() {
    let problem = "is_written of a slot is wrong";
    for index in 0..2 {
        let error = refusal_of(SectionKind::Programs, index, |program: &mut ProgramRecord| {
            program.slots[0].is_written ^= 1;
        });
        assert_eq!(error, ModelError::Record { table: "program", index: index as u32, problem });
    }
    let error = refusal_of(SectionKind::Programs, 0, |program: &mut ProgramRecord| program.slots[0].bank = 4);
    assert!(
        matches!(error, ModelError::Record { problem: "its slot refers to a missing bank", .. }),
        "{error}"
    );
}

/// An operation that reads its output, directly or through a tensor in the same bytes.
#[test]
fn an_output_that_is_an_input_is_refused() {
    let model = common::disc_model();
    let mut tried = 0;
    for (index, op) in model.ops().iter().enumerate() {
        // Kinds whose first input has the extents of the output.
        let is_plain = matches!(kind_of(op), Some(OpKind::Elementwise | OpKind::Softmax | OpKind::Normalize));
        if !is_plain {
            continue;
        }
        let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| {
            op.operands[1] = op.operands[0];
        });
        let output = &model.tensors()[op.operands[0].tensor as usize];
        let at = (0..).zip(model.programs()).find_map(|(program, record)| {
            let ops = record.first_op..record.first_op + record.op_count;
            (ops.contains(&(index as u32))).then(|| (program, index as u32 - record.first_op))
        });
        let writes_first =
            output.space() == Some(TensorSpace::Scratch) && at == Some((output.program, output.first_op));
        let problem = if writes_first {
            "reads a tensor before it is written"
        } else {
            "reads the tensor that it writes"
        };
        assert_eq!(error, op_problem(index, problem));
        tried += 1;
    }
    assert!(tried > 5);
    // State has no lifetime: the encoder's last operation writes the embedding.
    let is_state =
        |op: &OpRecord| model.tensors()[op.operands[0].tensor as usize].space() == Some(TensorSpace::State);
    let (index, _) = find_op(is_state);
    let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| op.operands[1] = op.operands[0]);
    assert_eq!(error, op_problem(index, "reads the tensor that it writes"));
    // The same for two tensors at the same position.
    let (_, softmax) = find_kind(OpKind::Softmax);
    let (output, input) = (softmax.operands[0].tensor, softmax.operands[1].tensor);
    let error = refusal_of(SectionKind::Tensors, output as usize, |t: &mut TensorRecord| {
        t.offset = model.tensors()[input as usize].offset;
    });
    assert!(matches!(error, ModelError::Overlap { .. }), "{error}");
}

#[test]
fn a_tensor_that_is_read_before_it_is_written_is_refused() {
    let model = common::disc_model();
    // The second operation of the encoder reads the output of the first, and is moved before it.
    let error = refusal(|file| section_mut::<OpRecord>(file, SectionKind::Ops).swap(0, 1));
    assert_eq!(error, op_problem(0, "accesses a tensor outside its stated lifetime"));
    // With an extended lifetime the tensor is live, but still not written.
    let tensor = model.ops()[1].operands[0].tensor as usize;
    assert_eq!(model.tensors()[tensor].space(), Some(TensorSpace::Scratch));
    let error = refusal(|file| {
        section_mut::<TensorRecord>(file, SectionKind::Tensors)[tensor].first_op = 0;
        // The first operation now reads it.
        let op = &mut section_mut::<OpRecord>(file, SectionKind::Ops)[0];
        op.operands[1].tensor = tensor as u32;
        op.operands[1].strides = [0; 8];
        op.operands[1].offset = 0;
    });
    assert_eq!(error, op_problem(0, "reads a tensor before it is written"));
    // An input that is no longer marked as one, so that it is not filled.
    let port = model.inputs(&model.programs()[0])[0];
    let error = refusal_of(SectionKind::Tensors, port.tensor as usize, |t: &mut TensorRecord| t.flags = 0);
    assert_eq!(error, ModelError::Record { table: "port", index: 0, problem: "its tensor is not an input" });
}

#[test]
fn an_access_outside_the_stated_lifetime_is_refused() {
    let model = common::disc_model();
    let (index, op) = find_kind(OpKind::Softmax);
    let tensor = op.operands[1].tensor as usize;
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| t.last_op -= 1);
    assert_eq!(error, op_problem(index, "accesses a tensor outside its stated lifetime"));
    let late = model.tensors()[tensor].first_op;
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| t.first_op += 1);
    assert_eq!(error, op_problem(late as usize, "accesses a tensor outside its stated lifetime"));
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| t.last_op = 10_000);
    assert_eq!(error, tensor_problem(tensor, "its lifetime is not within its program"));
    let error = refusal_of(SectionKind::Tensors, tensor, |t: &mut TensorRecord| t.program = 1);
    assert!(
        matches!(error, ModelError::Record { problem: "accesses a tensor of another program", .. }),
        "{error}"
    );
}

#[test]
fn invalid_records_are_refused() {
    let (index, _) = find_kind(OpKind::Softmax);
    let op = |change: fn(&mut OpRecord)| refusal_of(SectionKind::Ops, index, change);
    assert_eq!(op(|op| op.kind = 0), op_problem(index, "unknown kind"));
    assert_eq!(op(|op| op.kind = 12), op_problem(index, "unknown kind"));
    assert_eq!(op(|op| op.dims[3] = 0), op_problem(index, "a dimension is 0"));
    let large = "iterates over more than 2^36 elements";
    assert_eq!(op(|op| op.dims = [u32::MAX; 8]), op_problem(index, large));
    assert_eq!(with_word(index, PARAMS, |w| *w = 9), op_problem(index, "keeps more dimensions than it has"));
    assert_eq!(
        with_word(index, FLOATS, |w| *w = f32::NAN.to_bits()),
        op_problem(index, "a parameter is not finite")
    );
    assert_eq!(
        op(|op| op.operands[1].tensor = 9999),
        op_problem(index, "an operand refers to a missing tensor")
    );
    assert_eq!(op(|op| op.operands[1].tensor = NO_TENSOR), op_problem(index, "an operand is missing"));
    assert_eq!(op(|op| op.operands[2] = op.operands[1]), op_problem(index, "has too many operands"));
    let (elementwise, _) = find_kind(OpKind::Elementwise);
    assert_eq!(with_word(elementwise, FUNCTION, |w| *w = 77), op_problem(elementwise, "unknown function"));
    let (convolution, _) = find_kind(OpKind::Conv);
    for at in [KERNEL_ROWS, STRIDE_COLUMNS, DILATION_ROWS] {
        let error = with_word(convolution, at, |w| *w = 0);
        assert_eq!(error, op_problem(convolution, "kernel, stride or dilation is not within 1..=4096"));
    }
    let error = with_word(convolution, INPUT_ROWS, |w| *w += 1);
    assert_eq!(error, op_problem(convolution, "an operand reaches beyond its tensor"));
    let (sampling, _) = find_kind(OpKind::GridSample);
    assert_eq!(with_word(sampling, FUNCTION, |w| *w = 3), op_problem(sampling, "unknown function"));
    let problem = "input rows or columns are not within 1..=1048576";
    let [image_rows, image_columns, y_offset] = [PARAMS, PARAMS + 1, PARAMS + 2];
    assert_eq!(with_word(sampling, image_columns, |w| *w = 0), op_problem(sampling, problem));
    let problem = "an operand reaches beyond its tensor";
    assert_eq!(with_word(sampling, image_rows, |w| *w += 1), op_problem(sampling, problem));
    assert_eq!(with_word(sampling, y_offset, |w| *w += 1), op_problem(sampling, problem));
    for (index, dim) in [(convolution, 2), (sampling, 3), (sampling, 6)] {
        let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| op.dims[dim] = 2);
        assert_eq!(error, op_problem(index, "an unused dimension is not 1"));
    }
    let model = common::disc_model();
    let weights =
        model.tensors().iter().position(|t| t.space() == Some(TensorSpace::Weights)).unwrap() as u32;
    let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| op.operands[0].tensor = weights);
    assert_eq!(error, op_problem(index, "writes into the weights"));
    let port = refusal_of(SectionKind::Ports, 0, |port: &mut PortRecord| port.tensor = u32::MAX);
    assert_eq!(port, ModelError::Record { table: "port", index: 0, problem: "refers to a missing tensor" });
    let name =
        refusal_of(SectionKind::Programs, 1, |program: &mut ProgramRecord| program.name.bytes = 1 << 20);
    let problem = "its name lies outside the names section";
    assert_eq!(name, ModelError::Record { table: "program", index: 1, problem });
    let gap = refusal_of(SectionKind::Programs, 1, |program: &mut ProgramRecord| program.first_op += 1);
    let problem = "its operations or ports do not follow those of the previous program";
    assert_eq!(gap, ModelError::Record { table: "program", index: 1, problem });
    let error = refusal_of(SectionKind::Tensors, 0, |t: &mut TensorRecord| t.flags = TENSOR_IS_INPUT << 1);
    assert_eq!(error, tensor_problem(0, "an unknown flag is set"));
}

#[test]
fn invalid_conventions_are_refused() {
    let with = |change: fn(&mut ConventionsRecord)| refusal_of(SectionKind::Conventions, 0, change);
    let wrong = |problem| ModelError::Record { table: "conventions", index: 0, problem };
    assert_eq!(with(|c| c.input_size = 64), wrong("sizes differ from the header's"));
    let counts = "has more than 1024 point slots or 64 candidate masks";
    let mean = "the mean of grey levels, which are within 0..1, is not within -1000..1000";
    let std = "the standard deviation of grey levels is not within 1e-6..1e6";
    type Change = fn(&mut ConventionsRecord);
    let cases: [(Change, &'static str); 9] = [
        (|c| c.point_slots = 1025, counts),
        (|c| c.mask_candidates = 65, counts),
        (|c| c.mean = f32::INFINITY, mean),
        (|c| c.mean = f32::NAN, mean),
        (|c| c.mean = -1e38, mean),
        (|c| c.std = 0.0, std),
        (|c| c.std = f32::NAN, std),
        (|c| c.std = 1e-40, std),
        (|c| c.std = 1e38, std),
    ];
    for (change, problem) in cases {
        assert_eq!(with(change), wrong(problem));
    }
    // No frame shows anatomy on grids of a few pixels.
    for (input_size, mask_size) in [(7, 7), (1, 1), (32, 7), (32, 0)] {
        let error = refusal(|file| {
            let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()]);
            (header.input_size, header.mask_size) = (input_size, mask_size);
            let conventions: &mut [ConventionsRecord] = section_mut(file, SectionKind::Conventions);
            (conventions[0].input_size, conventions[0].mask_size) = (input_size, mask_size);
        });
        assert_eq!(error, wrong("the input or the mask is smaller than 8 x 8"));
    }
}

#[test]
fn an_invalid_tracker_is_refused() {
    let with = |change: fn(&mut TrackingRecord)| refusal_of(SectionKind::Tracking, 0, change);
    let wrong = |problem| ModelError::Record { table: "tracking", index: 0, problem };
    let (sizes, interval) =
        ("its sizes differ from the header's", "an interval is not within 1..=65536 frames");
    let share = "a threshold or a weight is not within 0..=1";
    let regression = "a weight of a regression is not within -1e6..=1e6";
    type Change = fn(&mut TrackingRecord);
    let cases: [(Change, &'static str); 14] = [
        (|t| t.grid = 4, sizes),
        (|t| t.grid = 0, sizes),
        (|t| t.kept_every = 0, interval),
        (|t| t.anchored_every = 65537, interval),
        (|t| t.held_frames = u32::MAX, interval),
        (|t| t.anchor_dice = 1.5, share),
        (|t| t.trust = -0.1, share),
        (|t| t.lost_below = f32::NAN, share),
        (|t| t.found_from = f32::INFINITY, share),
        (|t| t.flagged_below = f32::NAN, share),
        (|t| t.lost_below = 0.9, "an object would be found again below the probability at which it is lost"),
        (|t| t.regressions[2].weights[26] = f32::NAN, regression),
        (|t| t.regressions[1].bias = -2e6, regression),
        (|t| t.regressions[0].bias = f32::INFINITY, regression),
    ];
    for (change, problem) in cases {
        assert_eq!(with(change), wrong(problem));
    }
    let header = |change: fn(&mut FileHeader)| {
        refusal(|file| change(bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()])))
    };
    let changes: [fn(&mut FileHeader); 4] =
        [|h| h.key_channels = 0, |h| h.embedding_channels = 0, |h| h.flow_side = 0, |h| h.grid = 4];
    for change in changes {
        assert_eq!(header(change), wrong(sizes));
    }
    let (what, limit) = ("tokens along a side", 32);
    assert_eq!(header(|h| h.grid = 33), ModelError::Limit { what, seen: 33, limit });
    let (what, limit) = ("cells of the flow along a side", 512);
    assert_eq!(header(|h| h.flow_side = 513), ModelError::Limit { what, seen: 513, limit });
    // Masks of 8 x 8 pixels and a grid of 3 tokens.
    let error = refusal(|file| {
        let header: &mut FileHeader = bytemuck::from_bytes_mut(&mut file[..size_of::<FileHeader>()]);
        header.grid = 3;
        section_mut::<TrackingRecord>(file, SectionKind::Tracking)[0].grid = 3;
    });
    assert_eq!(error, wrong("masks are not a whole number of pixels for each token"));
    // Without the record, and with half of it.
    let record = section_record(disc(), SectionKind::Tracking);
    let record = &disc()[record.offset as usize..][..record.bytes as usize];
    let with_record = |bytes: &[u8]| {
        let file = common::with_sections(disc(), |kind| (kind == SectionKind::Tracking).then_some(bytes));
        Model::parse(file.bytes()).map(|_| ()).unwrap_err()
    };
    assert_eq!(with_record(&[]), wrong("the header has a tracker's sizes without one"));
    let index = SectionKind::Tracking as u32 - 1;
    for (bytes, problem) in [
        (record[..record.len() / 2].to_vec(), "is not a whole number of records"),
        ([record, record].concat(), "holds more than one record"),
    ] {
        assert_eq!(with_record(&bytes), ModelError::Section { index, problem });
    }
}

/// Returns the small model with some bytes, bits or words of its sections changed, and updated hashes.
fn changed(seed: u64, changes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let mut file = disc().to_vec();
    for _ in 0..changes {
        // Operations and tensors more often than the rest.
        let kind = SectionKind::ALL[[0, 1, 2, 2, 3, 3, 4, 5, 6, 7, 9][random.below(11)]];
        let record = section_record(disc(), kind);
        let at = record.offset as usize + random.below(record.bytes as usize);
        let word = at / 4 * 4;
        let seen = u32::from_le_bytes(file[word..word + 4].try_into().unwrap());
        let value = match random.below(4) {
            0 => {
                file[at] = random.word() as u8;
                continue;
            }
            1 => seen ^ 1 << random.below(32),
            2 => [0, 1, 2, 7, 16, 63, 64, 4096, i32::MAX as u32, u32::MAX][random.below(10)],
            // A small difference: the change that a check is most likely to miss.
            _ => seen.wrapping_add([1, u32::MAX, 64][random.below(3)]),
        };
        file[word..word + 4].copy_from_slice(&value.to_le_bytes());
    }
    refresh_hashes(&mut file);
    file
}

/// The random changes are useful: the verifier refuses some files, and others still run.
#[test]
fn some_changed_records_are_refused_and_some_run() {
    let tried: Vec<Tried> = (0..200).map(|seed| try_file(&changed(seed, 1))).collect();
    for expected in [Tried::Refused, Tried::Ran] {
        let count = tried.iter().filter(|&&tried| tried == expected).count();
        assert!(count > 20, "{count} of 200 {expected:?}");
    }
}

proptest! {
    #![proptest_config(common::random_cases(2000))]

    /// Changed records are refused, or run without harm.
    #[test]
    fn changed_records_are_refused_or_harmless(seed: u64, changes in 1usize..4) {
        try_file(&changed(seed, changes));
    }

    /// Random bytes are refused.
    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..9000), is_named: bool) {
        let mut bytes = bytes;
        if is_named && bytes.len() >= 12 {
            bytes[..12].copy_from_slice(&disc()[..12]);
        }
        prop_assert_eq!(try_file(&bytes), Tried::Refused);
    }
}

/// An output stride that maps two indices to one element: tiles on two threads could write it at the same time.
#[test]
fn an_output_written_twice_is_refused() {
    let model = common::disc_model();
    let (index, op) =
        find_op(|op| kind_of(op) == Some(OpKind::Elementwise) && op.dims.iter().any(|&extent| extent > 1));
    let dim = (0..op.dims.len()).find(|&dim| op.dims[dim] > 1).expect("found for it");
    assert!(model.ops()[index].operands[0].strides[dim] > 0);
    let error = refusal_of(SectionKind::Ops, index, |op: &mut OpRecord| op.operands[0].strides[dim] = 0);
    assert_eq!(error, op_problem(index, "writes an element twice"));
}
