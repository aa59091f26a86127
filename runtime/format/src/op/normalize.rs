//! Normalisation over the trailing dims.

use super::reduce::{kept_and_inner, kept_dims, kept_fields};
use super::{Definition, Fields, Need, Refusal};
use crate::function::Unary;
use crate::{DIMS, OPERANDS, OpRecord, codes};

codes! {
    /// Statistics of a normalisation.
    pub enum Statistics {
        /// Subtracts the mean, then divides by the standard deviation (LayerNorm, Ba 2016; InstanceNorm; GroupNorm).
        MeanVariance = 1 "mean_variance",
        /// Divides by the root of the mean square (RMSNorm, Zhang & Sennrich 2019).
        RootMeanSquare = 2 "root_mean_square",
    }
}

/// `out = activation((a - mean) / sqrt(variance + epsilon) * b + c)` over the dims after the first `kept_dims`; `b` and `c` are
/// optional, and have strides of their own over all dims: one value for each element, channel or group.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalize {
    /// The statistics.
    pub statistics: Statistics,
    /// Number of kept dims.
    pub kept_dims: u32,
    /// Addend to the variance; not negative.
    pub epsilon: f32,
    /// Applied to each element of the result.
    pub activation: Unary,
}

/// Index of the activation in the parameters: its code, and the bits of its two parameters. Zeros are no activation.
const ACTIVATION: usize = 1;
/// Elementary operations of an element: its part of the mean, of the variance, and its result.
const ELEMENT_WORK: u64 = 3;

impl Definition for Normalize {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let statistics = Statistics::from_code(record.function).ok_or("unknown function")?;
        let epsilon = record.floats[0];
        if epsilon < 0.0 {
            return Err("epsilon is negative");
        }
        let [code, p, q] = [0, 1, 2].map(|at| record.params[ACTIVATION + at]);
        let activation = Unary::decode(code, [p, q].map(f32::from_bits)).ok_or("unknown activation")?;
        Ok(Self { statistics, kept_dims: kept_dims(record)?, epsilon, activation })
    }

    fn encode(&self) -> Fields {
        let mut fields = kept_fields(self.kept_dims);
        let [p, q] = self.activation.floats().map(f32::to_bits);
        fields.params[ACTIVATION..][..3].copy_from_slice(&[self.activation.function as u32, p, q]);
        Fields { function: self.statistics as u32, floats: [self.epsilon, 0.0], ..fields }
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::AnyOrMissing, Need::AnyOrMissing, Need::None]
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
        let activation = if self.activation.is_copy() { 0 } else { self.activation.work() };
        (ELEMENT_WORK + activation).saturating_mul(kept_and_inner(self.kept_dims, dims).1)
    }

    fn function_name(&self) -> &'static str {
        self.statistics.name()
    }
}
