//! The compiler's own form of the programs: operation records over tensors that have no place yet.

use crate::view::{TensorId, View, merge_dims};
use sonotrace::format::function::{Function, Unary};
use sonotrace::format::op::Elementwise;
use sonotrace::format::{DIMS, OPERANDS, Operation};
use std::collections::HashMap;

/// Where a tensor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// Scratch of a program; the caller fills it if `input`.
    Scratch {
        /// The program.
        program: usize,
        /// Whether it is an input.
        input: bool,
    },
    /// State, in the copy of a bank that a program's slot selects.
    State {
        /// The program.
        program: usize,
        /// Its slot.
        slot: usize,
        /// From the start of the copy, in bytes.
        offset: u64,
    },
    /// Constant in the file.
    Weights,
}

/// Values of a constant.
#[derive(Debug, Clone, PartialEq)]
pub enum Constant {
    /// Floats, dense.
    Floats(Vec<f32>),
    /// Index table.
    Indices(Vec<i32>),
    /// Weights of a product: `[ceil(n / 16)][k][16]`.
    Panels {
        /// All of them.
        values: Vec<f32>,
        /// `k`.
        depth: usize,
    },
}

impl Constant {
    /// Frees the values: the kind stays.
    pub fn free(&mut self) {
        match self {
            Self::Floats(values) | Self::Panels { values, .. } => *values = Vec::new(),
            Self::Indices(values) => *values = Vec::new(),
        }
    }
}

/// A tensor.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Its name in the graph, for messages.
    pub name: String,
    /// Elements; for packed panels, the stored ones.
    pub elements: usize,
    /// Where it lives.
    pub home: Home,
    /// Its values, if it is a constant.
    pub constant: Option<Constant>,
    /// The program and node that first used a constant, for messages.
    pub owner: (usize, String),
}

/// Places of an operand's elements while an operation iterates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// The tensor.
    pub tensor: TensorId,
    /// Element at index zero.
    pub offset: usize,
    /// Stride per dimension.
    pub strides: [usize; DIMS],
}

/// An operation.
#[derive(Debug, Clone)]
pub struct Op {
    /// What it does.
    pub operation: Operation,
    /// Extents.
    pub dims: [usize; DIMS],
    /// Output, then inputs.
    pub operands: [Option<Operand>; OPERANDS],
    /// The graph's node.
    pub name: String,
    /// Whether no other operation writes the same elements. Then the writers of a copy's source may write its target.
    pub may_forward: bool,
}

impl Op {
    /// An operation without operands.
    pub fn new(operation: impl Into<Operation>, name: &str) -> Self {
        Self {
            operation: operation.into(),
            dims: [1; DIMS],
            operands: [None; OPERANDS],
            name: name.to_owned(),
            may_forward: false,
        }
    }

    /// Extents as stored in the file.
    pub fn extents(&self) -> [u32; DIMS] {
        self.dims.map(|extent| extent as u32)
    }

    /// What it computes, if it is element-wise.
    pub fn function(&self) -> Option<Function> {
        match self.operation {
            Operation::Elementwise(Elementwise { function }) => Some(function),
            _ => None,
        }
    }

    /// The activation of a product or a normalisation.
    pub fn activation_mut(&mut self) -> Option<&mut Unary> {
        match &mut self.operation {
            Operation::MatMul(op) => Some(&mut op.activation),
            Operation::Conv(op) => Some(&mut op.activation),
            Operation::DepthwiseConv(op) => Some(&mut op.activation),
            Operation::Normalize(op) => Some(&mut op.activation),
            _ => None,
        }
    }

    /// The tensor that it writes.
    pub fn output(&self) -> Option<&Operand> {
        self.operands[0].as_ref()
    }

    /// The tensors that it reads.
    pub fn inputs(&self) -> impl Iterator<Item = &Operand> {
        self.operands[1..].iter().flatten()
    }
}

/// An input or output of a program.
#[derive(Debug, Clone)]
pub struct Port {
    /// Its name in the graph.
    pub name: String,
    /// Its shape in the graph.
    pub shape: Vec<usize>,
    /// Its tensor.
    pub tensor: TensorId,
}

/// A program.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Its name.
    pub name: String,
    /// Inputs, in the graph's order.
    pub inputs: Vec<Port>,
    /// Outputs, in the graph's order.
    pub outputs: Vec<Port>,
    /// Slots: name, and index of the bank.
    pub slots: Vec<(String, usize)>,
    /// Operations, in the order they run.
    pub ops: Vec<Op>,
}

/// A bank of persistent state.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Bank {
    /// Its name.
    pub name: String,
    /// Bytes of a copy.
    pub copy_bytes: u64,
    /// Copies, without those for kept frames.
    pub copies: u32,
    /// Whether there is one more copy for each kept frame.
    pub per_kept_frame: bool,
}

/// All programs of a file, over one table of tensors.
#[derive(Debug, Default)]
pub struct Module {
    /// Banks of state.
    pub banks: Vec<Bank>,
    /// Tensors.
    pub tensors: Vec<Tensor>,
    /// Programs.
    pub programs: Vec<Program>,
    /// Constants by the hash of their values, so that each is stored once.
    known: HashMap<[u8; 32], TensorId>,
}

impl Module {
    /// A new scratch or state tensor.
    pub fn tensor(&mut self, name: &str, elements: usize, home: Home) -> TensorId {
        self.tensors.push(Tensor {
            name: name.to_owned(),
            elements,
            home,
            constant: None,
            owner: (0, String::new()),
        });
        self.tensors.len() - 1
    }

    /// Adds a constant. Equal constants are stored once.
    pub fn constant(&mut self, program: usize, node: &str, constant: Constant) -> TensorId {
        let mut hasher = blake3::Hasher::new();
        let elements = match &constant {
            Constant::Floats(values) => {
                hasher.update(b"floats").update(bytemuck::cast_slice(values));
                values.len()
            }
            Constant::Indices(values) => {
                hasher.update(b"indices").update(bytemuck::cast_slice(values));
                values.len()
            }
            Constant::Panels { values, depth } => {
                hasher.update(b"panels").update(&depth.to_le_bytes()).update(bytemuck::cast_slice(values));
                values.len()
            }
        };
        let next = self.tensors.len();
        let known = *self.known.entry(*hasher.finalize().as_bytes()).or_insert(next);
        if known == next {
            self.tensors.push(Tensor {
                name: node.to_owned(),
                elements,
                home: Home::Weights,
                constant: Some(constant),
                owner: (program, node.to_owned()),
            });
        }
        known
    }

    /// The values of a float constant.
    pub fn floats(&self, tensor: TensorId) -> Option<&[f32]> {
        match &self.tensors[tensor].constant {
            Some(Constant::Floats(values)) => Some(values),
            _ => None,
        }
    }
}

/// The operands of an element-wise operation, the output first. Dims of 1 are dropped, the others are sorted by the
/// output's strides, merged, and right-aligned in the eight. None if more than eight remain.
pub fn walk_operands(dims: &[usize], views: &[&View]) -> Option<([usize; DIMS], Vec<Operand>)> {
    let mut order: Vec<usize> = (0..dims.len()).collect();
    order.sort_by_key(|&axis| std::cmp::Reverse(views[0].strides[axis]));
    let mut extents: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
    let mut strides: Vec<Vec<usize>> =
        views.iter().map(|view| order.iter().map(|&axis| view.strides[axis]).collect()).collect();
    merge_dims(&mut extents, &mut strides);
    place_dims(&extents, &strides, DIMS).map(|dims| (dims, operands_at(views, &strides, DIMS)))
}

/// `extents` right-aligned so that they end before dimension `end`; none if they do not fit.
pub fn place_dims(extents: &[usize], strides: &[Vec<usize>], end: usize) -> Option<[usize; DIMS]> {
    debug_assert!(strides.iter().all(|operand| operand.len() == extents.len()));
    let start = end.checked_sub(extents.len())?;
    let mut dims = [1; DIMS];
    dims[start..end].copy_from_slice(extents);
    Some(dims)
}

/// Operands of `views` with the given strides, right-aligned like [`place_dims`].
pub fn operands_at(views: &[&View], strides: &[Vec<usize>], end: usize) -> Vec<Operand> {
    views
        .iter()
        .zip(strides)
        .map(|(view, strides)| {
            let mut placed = [0; DIMS];
            placed[end - strides.len()..end].copy_from_slice(strides);
            Operand { tensor: view.tensor, offset: view.offset, strides: placed }
        })
        .collect()
}
