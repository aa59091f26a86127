//! Element-wise functions.

use super::{Definition, Fields, Need, Refusal, product};
use crate::function::Function;
use crate::{DIMS, OPERANDS, OpRecord};

/// `out = function(a [, b [, c]])` over all 8 dims (unused ones are 1). Inputs and output may be f32, f16 or i8; values
/// are computed in f32; the output is rounded to nearest (ties to even) and saturates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Elementwise {
    /// The function.
    pub function: Function,
}

/// Maximum run of the last dim that is one unit.
const RUN_MAX: u64 = 1024;

impl Elementwise {
    /// Returns the number of elements of the last dim that are one unit.
    pub const fn run(dims: &[u32; DIMS]) -> u64 {
        let columns = dims[DIMS - 1] as u64;
        columns.div_ceil(columns.div_ceil(RUN_MAX))
    }
}

impl Definition for Elementwise {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        Function::decode(record.function, record.floats)
            .map(|function| Self { function })
            .ok_or("unknown function")
    }

    fn encode(&self) -> Fields {
        let (function, floats) = self.function.encode();
        Fields { function, floats, ..Fields::default() }
    }

    fn needs(&self) -> [Need; OPERANDS] {
        let input = |at: usize| if at < self.function.inputs() { Need::Any } else { Need::None };
        [Need::AnyOutput, input(0), input(1), input(2), Need::None]
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot <= self.function.inputs()).then_some(DIMS - 1)
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..DIMS - 1]) * u64::from(dims[DIMS - 1]).div_ceil(Self::run(dims))
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        Self::run(dims) * self.function.work()
    }

    fn function_name(&self) -> &'static str {
        self.function.name()
    }
}
