//! Storage of constants: f32, f16 or 8-bit integers, and their places in the weights section.

use crate::error::CompileError;
use crate::graph::{Constant, Module, Op};
use crate::panics;
use crate::view::TensorId;
use half::{bf16, f16};
use sonotrace::format::op::{Arithmetic, INT8_DEPTH_MAX, dynamic_columns};
use sonotrace::format::panels::{GROUP, PAIR, PANEL, PanelShape};
use sonotrace::format::{Dtype, OpKind, Operation, TENSOR_ALIGN};

/// Storage of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: packed panels, and large constants of element-wise operations. Small ones (biases, scales, tables) and
    /// weights of depthwise convolutions stay f32.
    F16,
    /// Packed panels as 8-bit integers with a scale per column (output channel); the rest as with `F16`.
    I8,
    /// As `I8`, and products with such panels round their rows to 8 bits too ([`Arithmetic::Int8`]); products of two computed
    /// matrices round both ([`Arithmetic::DynamicInt8`]).
    Int8,
    /// Packed panels as bf16, and products with such panels round their rows to bf16 too ([`Arithmetic::Bf16`]); products of two
    /// computed matrices round both ([`Arithmetic::DynamicBf16`]). The rest as with `F16`.
    Bf16,
}

impl Weights {
    /// Whether products round values at run time, so that outputs differ from those of f32 by more than its rounding.
    pub fn rounds(self) -> bool {
        matches!(self, Self::Int8 | Self::Bf16)
    }

    /// `f32`, `f16`, `i8`, `int8` or `bf16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::I8 => "i8",
            Self::Int8 => "int8",
            Self::Bf16 => "bf16",
        }
    }
}

/// Constants with fewer elements than this stay f32.
pub const F16_ELEMENTS_MIN: usize = 4096;

/// Products of fewer terms keep f16: their scales would take as many bytes as 8 bits save.
const I8_DEPTH_MIN: usize = 8;

/// Largest magnitude of an 8-bit weight; -128 is not used, so that scales are symmetric.
const I8_MAX: f32 = 127.0;

/// Tolerance for a whole number of steps: rounding to f32 changes 127 steps by 1e-5.
const WHOLE_STEPS: f32 = 1e-4;

/// A constant's place and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// From the start of the section.
    pub offset: u64,
    /// Type of its elements.
    pub dtype: Dtype,
    /// Elements as stored: 8-bit panels include their scales and sums.
    pub elements: u64,
}

/// The weights section, in a piece for each constant, so that a piece can take the memory of a constant that was freed.
#[derive(Debug, Default)]
pub struct Section {
    /// Length of the section.
    pub bytes: usize,
    /// Offsets and content.
    pieces: Vec<(usize, Vec<u8>)>,
}

impl Section {
    /// Writes the section to a part of a file, which is zero before.
    pub fn write(&self, to: &mut [u8]) {
        for (offset, piece) in &self.pieces {
            to[*offset..][..piece.len()].copy_from_slice(piece);
        }
    }
}

/// Writes the weights section, and frees the constants, which are left without values. Those that no operation reads are left out:
/// their place is none.
///
/// # Errors
/// [`CompileError::Weight`] for a weight of a product that is not finite, or too large for f16.
pub fn store(module: &mut Module, weights: Weights) -> Result<(Section, Vec<Option<Stored>>), CompileError> {
    let uses = uses(module);
    let read: Vec<bool> = uses.iter().map(Option::is_some).collect();
    for (tensor, _) in module.tensors.iter_mut().zip(&read).filter(|(_, is_read)| !**is_read) {
        if let Some(constant) = &mut tensor.constant {
            constant.free();
        }
    }
    let mut section = Section::default();
    let mut places = vec![None; module.tensors.len()];
    for (id, tensor) in module.tensors.iter_mut().enumerate() {
        panics::at(id);
        let (Some(constant), Some(is_f16_read)) = (&mut tensor.constant, uses[id]) else {
            continue;
        };
        let refused = |problem: String| CompileError::Weight {
            program: module.programs[tensor.owner.0].name.clone(),
            node: tensor.owner.1.clone(),
            problem,
        };
        let offset = section.bytes.next_multiple_of(TENSOR_ALIGN as usize);
        let mut bytes = Vec::with_capacity(tensor.elements * size_of::<f32>());
        let dtype = match &*constant {
            Constant::Indices(values) => {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                Dtype::I32
            }
            Constant::Panels { values, depth } => {
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(refused(format!("a weight is {value}")));
                }
                if matches!(weights, Weights::I8 | Weights::Int8) && *depth >= I8_DEPTH_MIN {
                    push_i8(&mut bytes, values, *depth);
                    Dtype::I8
                } else if weights == Weights::Bf16 {
                    if let Some(value) = values.iter().find(|&&value| !bf16::from_f32(value).is_finite()) {
                        return Err(refused(format!("a weight is {value}, the largest bf16 is 3.39e38")));
                    }
                    push_bf16(&mut bytes, values, *depth);
                    Dtype::Bf16
                } else if weights != Weights::F32 {
                    if let Some(value) = values.iter().find(|&&value| !f16::from_f32(value).is_finite()) {
                        return Err(refused(format!("a weight is {value}, the largest f16 is 65504")));
                    }
                    push_f16(&mut bytes, values);
                    Dtype::F16
                } else {
                    push_f32(&mut bytes, values);
                    Dtype::F32
                }
            }
            // A mask may contain minus infinity or a very large number. It is no weight, and stays f32.
            Constant::Floats(values) => {
                let fits = values.iter().all(|&value| f16::from_f32(value).is_finite());
                if weights != Weights::F32 && is_f16_read && fits && values.len() >= F16_ELEMENTS_MIN {
                    push_f16(&mut bytes, values);
                    Dtype::F16
                } else {
                    push_f32(&mut bytes, values);
                    Dtype::F32
                }
            }
        };
        let elements = bytes.len() as u64 / dtype.bytes();
        places[id] = Some(Stored { offset: offset as u64, dtype, elements });
        constant.free();
        section.bytes = offset + bytes.len();
        section.pieces.push((offset, bytes));
    }
    Ok((section, places))
}

/// Products with fewer rows or columns, or of fewer terms, are computed in f32 if their columns must be rounded first.
const DYNAMIC_EXTENT_MIN: u64 = 16;

/// Lets products compute in the arithmetic of their weights, int8 or bf16: those with 8-bit panels, if they are not too deep, or with
/// bf16 panels; of those of two computed matrices, the ones that are large enough to be worth the rounding.
pub fn choose_arithmetic(module: &mut Module, weights: Weights, places: &[Option<Stored>]) {
    let is_constant: Vec<bool> = module.tensors.iter().map(|tensor| tensor.constant.is_some()).collect();
    for op in module.programs.iter_mut().flat_map(|program| &mut program.ops) {
        let Some(PanelShape { n, k }) = op.operation.panels(&op.extents()) else { continue };
        let Some(second) = op.operands[2] else { continue };
        let is_large = (op.dims[5] as u64).min(n).min(k) >= DYNAMIC_EXTENT_MIN;
        let is_dynamic = is_large && !is_constant[second.tensor];
        let dtype = places[second.tensor].map(|stored| stored.dtype);
        let arithmetic = match (weights, dtype) {
            (Weights::Int8, Some(Dtype::I8)) if k <= INT8_DEPTH_MAX => Arithmetic::Int8,
            (Weights::Int8, _)
                if is_dynamic && k <= INT8_DEPTH_MAX && dynamic_columns(PanelShape { n, k }) > 0 =>
            {
                Arithmetic::DynamicInt8
            }
            (Weights::Bf16, Some(Dtype::Bf16)) => Arithmetic::Bf16,
            (Weights::Bf16, _) if is_dynamic => Arithmetic::DynamicBf16,
            _ => continue,
        };
        match &mut op.operation {
            Operation::MatMul(op) => op.arithmetic = arithmetic,
            Operation::Conv(op) => op.arithmetic = arithmetic,
            _ => {}
        }
    }
}

fn push_f32(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn push_f16(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_bits().to_le_bytes()));
}

/// Panels in pairs of inputs ([`sonotrace::format::panels`]), rounded to the nearest, ties to even.
fn push_bf16(bytes: &mut Vec<u8>, values: &[f32], depth: usize) {
    for panel in values.chunks_exact(depth * PANEL) {
        for first in (0..depth).step_by(PAIR) {
            for at in 0..PANEL * PAIR {
                let k = first + at % PAIR;
                // The last pair is padded with zeros.
                let value = if k < depth { panel[k * PANEL + at / PAIR] } else { 0.0 };
                bytes.extend(bf16::from_f32(value).to_le_bytes());
            }
        }
    }
}

/// Panels as 8-bit integers ([`sonotrace::format::panels`]): scales, sums, then weights in groups of four inputs.
/// Rounds to the nearest, ties to even, like the simulated rounding in training.
fn push_i8(bytes: &mut Vec<u8>, values: &[f32], depth: usize) {
    let (mut scales, mut sums, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for panel in values.chunks_exact(depth * PANEL) {
        let column = |column: usize| panel.iter().skip(column).step_by(PANEL).copied();
        let steps: [f32; PANEL] = std::array::from_fn(|at| i8_scale(column(at)));
        let rounded = |k: usize, at: usize| -> i8 {
            // A column of zeros has no scale, and the last group is padded with zeros.
            if k >= depth || steps[at] <= 0.0 {
                return 0;
            }
            (panel[k * PANEL + at] / steps[at]).round_ties_even().clamp(-I8_MAX, I8_MAX) as i8
        };
        scales.extend(steps);
        sums.extend((0..PANEL).map(|at| (0..depth).map(|k| i32::from(rounded(k, at))).sum::<i32>()));
        for first in (0..depth).step_by(GROUP) {
            weights.extend((0..PANEL * GROUP).map(|at| rounded(first + at % GROUP, at / GROUP)));
        }
    }
    push_f32(bytes, &scales);
    bytes.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
    bytes.extend_from_slice(bytemuck::cast_slice(&weights));
}

/// The scale of a column's integers: its largest magnitude over 127. If all weights are whole multiples of a larger
/// step already, that step, so that they are not rounded again: the column may be one part of a row that was rounded as
/// a whole, with its largest weight in another part (the graph's optimiser cuts a product over a concatenation into
/// such parts), or training may have learnt its scales.
fn i8_scale(column: impl Iterator<Item = f32> + Clone) -> f32 {
    let largest = column.clone().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let is_whole = |steps: &f32| {
        let scale = largest / steps;
        column.clone().all(|value| {
            let steps = value / scale;
            (steps - steps.round_ties_even()).abs() <= WHOLE_STEPS
        })
    };
    let steps = (1..=I8_MAX as u8).rev().map(f32::from).find(is_whole);
    largest / steps.unwrap_or(I8_MAX)
}

/// For each tensor that operations read: whether all of them can read f16.
fn uses(module: &Module) -> Vec<Option<bool>> {
    let mut uses = vec![None; module.tensors.len()];
    for op in module.programs.iter().flat_map(|program| &program.ops) {
        for (slot, operand) in op.operands.iter().enumerate().skip(1) {
            if let Some(operand) = operand {
                let before: bool = uses[operand.tensor].unwrap_or(true);
                uses[operand.tensor] = Some(before && reads_f16(op, slot));
            }
        }
    }
    uses
}

fn reads_f16(op: &Op, slot: usize) -> bool {
    op.operation.kind() == OpKind::Elementwise && slot > 0
}

/// Bytes of the constants that a program reads.
pub fn program_bytes(module: &Module, program: usize, places: &[Option<Stored>]) -> u64 {
    let inputs = module.programs[program].ops.iter().flat_map(Op::inputs);
    let mut read: Vec<TensorId> = inputs.map(|input| input.tensor).collect();
    read.sort_unstable();
    read.dedup();
    let bytes = |id: TensorId| places[id].map(|stored| stored.elements * stored.dtype.bytes());
    read.into_iter().filter_map(bytes).sum()
}
