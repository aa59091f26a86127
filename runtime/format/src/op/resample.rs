//! Resampling along an axis by tables.

use super::gather::axis_reach;
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::{DIMS, OPERANDS, OpRecord};

/// Maximum number of taps.
pub const RESAMPLE_TAPS_MAX: u32 = 16;

/// `out[.., i, ..] = sum over t of c[i, t] * a[.., b[i, t], ..]` along dimension `axis`: linear, nearest or cubic
/// resizing, as the tables define. `b` is the index table and `c` the f32 weights, both `[dims[axis]][taps]`; the
/// stride of `a` over the axis is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resample {
    /// The dimension that is resampled.
    pub axis: u32,
    /// Number of taps of each output.
    pub taps: u32,
    /// Length of the axis of the input.
    pub input_length: u32,
    /// Elements of `a` from one index of that axis to the next.
    pub input_stride: u32,
}

impl Definition for Resample {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let [axis, taps, input_length, input_stride, ..] = record.params;
        if axis as usize >= DIMS || taps == 0 || taps > RESAMPLE_TAPS_MAX {
            return Err("axis or taps are outside their limits");
        }
        Ok(Self { axis, taps, input_length, input_stride })
    }

    fn encode(&self) -> Fields {
        let mut fields = Fields::default();
        fields.params[..4].copy_from_slice(&[self.axis, self.taps, self.input_length, self.input_stride]);
        fields
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::Index, Need::F32, Need::None]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        let (mut access, operand) = (Access::of_dims(&record.dims), &record.operands[slot]);
        match slot {
            1 if operand.strides[self.axis as usize] != 0 => {
                return Err("the input has a stride over the resampled dimension");
            }
            1 => access.beyond = axis_reach(self.input_length, self.input_stride)?,
            2 | 3 => {
                if operand.offset != 0 || operand.strides != [0; DIMS] {
                    return Err("a resampling table has an offset or strides");
                }
                access.beyond = u64::from(record.dims[self.axis as usize]) * u64::from(self.taps) - 1;
            }
            _ => {}
        }
        Ok(access)
    }

    /// The last dimension that is not resampled.
    fn vector_dim(&self, slot: usize) -> Option<usize> {
        let is_last = self.axis as usize == DIMS - 1;
        (slot < 2).then_some(if is_last { DIMS - 2 } else { DIMS - 1 })
    }

    fn computed_axis(&self, slot: usize) -> Option<[u32; 2]> {
        (slot == 1).then_some([self.input_length, self.input_stride])
    }

    fn set_computed_stride(&mut self, _: usize, stride: u32) {
        self.input_stride = stride;
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..DIMS - 1])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        u64::from(dims[DIMS - 1]) * u64::from(self.taps)
    }

    fn index_limit(&self) -> Option<u32> {
        Some(self.input_length)
    }
}
