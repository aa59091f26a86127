//! Pooling over windows of each channel.

use super::conv::window_fields;
use super::window::{COLUMN, Window};
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::function::Unary;
use crate::{DIMS, OPERANDS, OpRecord, codes};

codes! {
    /// Function over a window.
    pub enum PoolFunction {
        /// Sum.
        Sum = 1 "sum",
        /// Mean over the pixels inside the image.
        MeanInside = 2 "mean_inside",
        /// Largest.
        Max = 3 "max",
        /// Mean over the whole kernel, zeros outside the image included.
        MeanOfKernel = 4 "mean_of_kernel",
    }
}

/// Dims, `a` and `out` as in [`super::DepthwiseConv`] with a multiplier of 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// The function.
    pub function: PoolFunction,
    /// Kernel geometry.
    pub window: Window,
}

impl Definition for Pool {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let function = PoolFunction::from_code(record.function).ok_or("unknown function")?;
        Ok(Self { function, window: Window::decode(record)? })
    }

    fn encode(&self) -> Fields {
        Fields { function: self.function as u32, ..window_fields(&self.window, Unary::COPY) }
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::None, Need::None, Need::None]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        Ok(if slot == 1 { self.window.image_access(record) } else { Access::of_dims(&record.dims) })
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..COLUMN]) * product(&dims[COLUMN + 1..])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        u64::from(dims[COLUMN]) * self.window.taps()
    }

    fn function_name(&self) -> &'static str {
        self.function.name()
    }
}
