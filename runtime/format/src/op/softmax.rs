//! Softmax over the trailing dims.

use super::reduce::{kept_and_inner, kept_dims, kept_fields};
use super::{Definition, Fields, Need, Refusal};
use crate::{DIMS, OPERANDS, OpRecord};

/// `out = softmax(a)` over the dims after the first `kept_dims`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Softmax {
    /// Number of kept dims.
    pub kept_dims: u32,
}

/// Elementary operations of an element: an exponential.
const ELEMENT_WORK: u64 = 8;

impl Definition for Softmax {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        Ok(Self { kept_dims: kept_dims(record)? })
    }

    fn encode(&self) -> Fields {
        kept_fields(self.kept_dims)
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::None, Need::None, Need::None]
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot < 2).then_some(DIMS - 1)
    }

    fn kept_dims(&self) -> Option<u32> {
        Some(self.kept_dims)
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        kept_and_inner(self.kept_dims, dims).0
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        ELEMENT_WORK * kept_and_inner(self.kept_dims, dims).1
    }
}
