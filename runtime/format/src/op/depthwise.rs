//! Depthwise convolution.

use super::conv::window_fields;
use super::window::{COLUMN, ROW, Window};
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::function::Unary;
use crate::{DIMS, OPERANDS, OpRecord};

/// One group per input channel, each with `multiplier` outputs: dims
/// `[batch, 1, 1, 1, out_rows, out_columns, groups, multiplier]`. `a`, the image, has strides over batch (0), row (4),
/// column (5) and group (6); `out` over batch, row, column, group and multiplier (7); the weights `b` over kernel row
/// (4), kernel column (5), group (6) and multiplier (7); `c`, an optional bias, over 6 and 7.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthwiseConv {
    /// Kernel geometry.
    pub window: Window,
    /// Applied to each element of the result.
    pub activation: Unary,
}

/// Dim of groups.
const GROUP: usize = 6;

impl Definition for DepthwiseConv {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let activation = Unary::decode(record.function, record.floats).ok_or("unknown activation")?;
        Ok(Self { window: Window::decode(record)?, activation })
    }

    fn encode(&self) -> Fields {
        window_fields(&self.window, self.activation)
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::Any, Need::AnyOrMissing, Need::None]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        let mut access = Access::of_dims(&record.dims);
        match slot {
            1 => access = self.window.image_access(record),
            2 => [access.extents[ROW], access.extents[COLUMN]] = self.window.kernel,
            _ => {}
        }
        Ok(access)
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot < 2).then_some(GROUP)
    }

    /// Returns the number of rows of all output channels.
    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..COLUMN]) * product(&dims[COLUMN + 1..])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        u64::from(dims[COLUMN]) * self.window.taps()
    }

    /// A kernel may compute all channels of a pixel together.
    fn piece_work(&self, dims: &[u32; DIMS]) -> u64 {
        u64::from(dims[COLUMN].max(dims[GROUP])).saturating_mul(self.window.taps())
    }

    fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        product(dims).saturating_mul(self.window.taps())
    }

    fn function_name(&self) -> &'static str {
        self.activation.function.name()
    }
}
