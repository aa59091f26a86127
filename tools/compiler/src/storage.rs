//! How constants are stored: f32 or f16, each one's place in the weights section.

use crate::error::CompileError;
use crate::graph::{Constant, Module, Op};
use crate::view::TensorId;
use half::f16;
use sonotrace::model::format::{Dtype, OpKind, TENSOR_ALIGN};

/// Storage of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Weights {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats: packed panels, and large constants of element-wise operations and depthwise convolutions.
    /// Small ones (biases, scales, tables) stay f32.
    F16,
}

impl Weights {
    /// `f32` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }
}

/// Constants with fewer elements than this stay f32.
pub const F16_ELEMENTS_MIN: usize = 4096;

/// A constant's place and type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// From the start of the section.
    pub offset: u64,
    /// Type of its elements.
    pub dtype: Dtype,
}

/// Writes the weights section. Constants that no operation reads are left out: their place is none.
///
/// # Errors
/// [`CompileError::Weight`] for a weight of a product that is not finite, or that f16 does not hold.
pub fn store(module: &Module, weights: Weights) -> Result<(Vec<u8>, Vec<Option<Stored>>), CompileError> {
    let uses = uses(module);
    let mut bytes = Vec::new();
    let mut places = vec![None; module.tensors.len()];
    for (id, tensor) in module.tensors.iter().enumerate() {
        let (Some(constant), Some(is_f16_read)) = (&tensor.constant, uses[id]) else {
            continue;
        };
        let refused = |problem: String| CompileError::Weight {
            program: module.programs[tensor.owner.0].name.clone(),
            node: tensor.owner.1.clone(),
            problem,
        };
        bytes.resize(bytes.len().next_multiple_of(TENSOR_ALIGN as usize), 0);
        let offset = bytes.len() as u64;
        let dtype = match constant {
            Constant::Indices(values) => {
                bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
                Dtype::I32
            }
            Constant::Panels(values) => {
                if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                    return Err(refused(format!("a weight is {value}")));
                }
                if weights == Weights::F16 {
                    if let Some(value) = values.iter().find(|&&value| !f16::from_f32(value).is_finite()) {
                        return Err(refused(format!("a weight is {value}, f16 holds at most 65504")));
                    }
                    push_f16(&mut bytes, values);
                    Dtype::F16
                } else {
                    push_f32(&mut bytes, values);
                    Dtype::F32
                }
            }
            // A mask may hold minus infinity or a number as large: it is no weight, and stays f32.
            Constant::Floats(values) => {
                let fits = values.iter().all(|&value| f16::from_f32(value).is_finite());
                if weights == Weights::F16 && is_f16_read && fits && values.len() >= F16_ELEMENTS_MIN {
                    push_f16(&mut bytes, values);
                    Dtype::F16
                } else {
                    push_f32(&mut bytes, values);
                    Dtype::F32
                }
            }
        };
        places[id] = Some(Stored { offset, dtype });
    }
    Ok((bytes, places))
}

fn push_f32(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn push_f16(bytes: &mut Vec<u8>, values: &[f32]) {
    bytes.extend(values.iter().flat_map(|&value| f16::from_f32(value).to_bits().to_le_bytes()));
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
    op.kind == OpKind::Map || (op.kind == OpKind::DepthwiseConv && slot == 2)
}

/// Bytes of the constants that a program reads.
pub fn program_bytes(module: &Module, program: usize, places: &[Option<Stored>]) -> u64 {
    let inputs = module.programs[program].ops.iter().flat_map(Op::inputs);
    let mut read: Vec<TensorId> = inputs.map(|input| input.tensor).collect();
    read.sort_unstable();
    read.dedup();
    let bytes =
        |id: TensorId| places[id].map(|stored| module.tensors[id].elements as u64 * stored.dtype.bytes());
    read.into_iter().filter_map(bytes).sum()
}
