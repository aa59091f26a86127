//! Reduction over the trailing dims.

use super::{Definition, Fields, Need, Refusal, product};
use crate::{DIMS, OPERANDS, OpRecord, codes};

codes! {
    /// Function over the elements of each kept index.
    pub enum Reduction {
        /// Sum.
        Sum = 1 "sum",
        /// Arithmetic mean.
        Mean = 2 "mean",
        /// Largest.
        Max = 3 "max",
        /// Smallest.
        Min = 4 "min",
        /// Product.
        Product = 5 "product",
        /// Mean of squares.
        MeanOfSquares = 6 "mean_of_squares",
        /// Sum of squares.
        SumOfSquares = 7 "sum_of_squares",
        /// Index of the first largest, as a float.
        ArgMax = 8 "arg_max",
        /// Sum of the products of two inputs.
        SumOfProducts = 9 "sum_of_products",
        /// Mean of the products of two inputs.
        MeanOfProducts = 10 "mean_of_products",
    }
}

impl Reduction {
    /// Returns whether it has a second input.
    pub const fn is_of_products(self) -> bool {
        matches!(self, Self::SumOfProducts | Self::MeanOfProducts)
    }
}

/// `out = reduction(a)` or `reduction(a, b)`: the first `kept_dims` dims are kept, the others reduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduce {
    /// The function.
    pub reduction: Reduction,
    /// Number of kept dims.
    pub kept_dims: u32,
}

/// Reads a number of kept dims.
pub(super) fn kept_dims(record: &OpRecord) -> Result<u32, Refusal> {
    let kept_dims = record.params[0];
    if kept_dims as usize > DIMS { Err("keeps more dimensions than it has") } else { Ok(kept_dims) }
}

/// Returns the fields of an operation over trailing dims.
pub(super) fn kept_fields(kept_dims: u32) -> Fields {
    let mut fields = Fields::default();
    fields.params[0] = kept_dims;
    fields
}

/// Returns the number of kept indices, and of elements under each.
pub(super) fn kept_and_inner(kept_dims: u32, dims: &[u32; DIMS]) -> (u64, u64) {
    let (kept, inner) = dims.split_at(kept_dims as usize);
    (product(kept), product(inner))
}

impl Definition for Reduce {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let reduction = Reduction::from_code(record.function).ok_or("unknown function")?;
        Ok(Self { reduction, kept_dims: kept_dims(record)? })
    }

    fn encode(&self) -> Fields {
        Fields { function: self.reduction as u32, ..kept_fields(self.kept_dims) }
    }

    fn needs(&self) -> [Need; OPERANDS] {
        let second = if self.reduction.is_of_products() { Need::F32 } else { Need::None };
        [Need::Output, Need::F32, second, Need::None, Need::None]
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot == 1 || slot == 2).then_some(DIMS - 1)
    }

    fn kept_dims(&self) -> Option<u32> {
        Some(self.kept_dims)
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        kept_and_inner(self.kept_dims, dims).0
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        kept_and_inner(self.kept_dims, dims).1
    }

    fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        if self.reduction.is_of_products() { product(dims) } else { 0 }
    }

    fn writes(&self, dim: usize) -> bool {
        dim < self.kept_dims as usize
    }

    fn function_name(&self) -> &'static str {
        self.reduction.name()
    }
}
