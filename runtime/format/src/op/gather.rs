//! Gathering along an axis by constant indices.

use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::{DIMS, OPERANDS, OpRecord};

/// `out[.., i, ..] = a[.., index[i], ..]` (ONNX Gather and GatherElements): `b` is an index table with strides over all dims;
/// the element of `a` is at its strided position plus `index * axis_stride`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gather {
    /// Elements of `a` from one index to the next.
    pub axis_stride: u32,
    /// Length of the axis; indices are below it.
    pub axis_length: u32,
}

/// Maximum run of the last dim that is one unit.
const RUN_MAX: u64 = 1024;

impl Gather {
    /// Returns the number of elements of the last dim that are one unit.
    pub const fn run(dims: &[u32; DIMS]) -> u64 {
        let columns = dims[DIMS - 1] as u64;
        columns.div_ceil(columns.div_ceil(RUN_MAX))
    }
}

/// Returns the number of elements that an axis of an input reaches beyond its strided position.
pub(super) fn axis_reach(length: u32, stride: u32) -> Result<u64, Refusal> {
    let last = length.checked_sub(1).ok_or("reads along an axis of length 0")?;
    Ok(u64::from(last) * u64::from(stride))
}

impl Definition for Gather {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let [axis_stride, axis_length, ..] = record.params;
        Ok(Self { axis_stride, axis_length })
    }

    fn encode(&self) -> Fields {
        let mut fields = Fields::default();
        (fields.params[0], fields.params[1]) = (self.axis_stride, self.axis_length);
        fields
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::Any, Need::Index, Need::None, Need::None]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        let mut access = Access::of_dims(&record.dims);
        if slot == 1 {
            access.beyond = axis_reach(self.axis_length, self.axis_stride)?;
        }
        Ok(access)
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot < 2).then_some(DIMS - 1)
    }

    fn computed_axis(&self, slot: usize) -> Option<[u32; 2]> {
        (slot == 1).then_some([self.axis_length, self.axis_stride])
    }

    fn set_computed_stride(&mut self, _: usize, stride: u32) {
        self.axis_stride = stride;
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..DIMS - 1]) * u64::from(dims[DIMS - 1]).div_ceil(Self::run(dims))
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        Self::run(dims)
    }

    fn index_limit(&self) -> Option<u32> {
        Some(self.axis_length)
    }
}
