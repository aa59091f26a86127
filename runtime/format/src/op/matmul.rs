//! Matrix product.

use super::product::{Arithmetic, arithmetic, scratch_bytes};
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::function::Unary;
use crate::panels::{PANEL, PanelShape};
use crate::{DIMS, Dtype, OPERANDS, OpRecord};

/// `out[batch.., m, n] = activation(sum over k of a[batch.., m, k] * b[batch.., k, n] + c[batch.., m, n] +
/// d[batch.., m, n])`: dims `[b0, b1, b2, b3, b4, m, n, k]`. `b` is strided, or packed weights of `n` channels and `k` inputs, the
/// same for all batches. `c` and `d`, such as bias and residual, are optional.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatMul {
    /// Applied to each element of the result.
    pub activation: Unary,
    /// Arithmetic of the sums.
    pub arithmetic: Arithmetic,
}

/// Indices of the extents in the dims.
const N: usize = 6;
const K: usize = 7;

impl Definition for MatMul {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let activation = Unary::decode(record.function, record.floats).ok_or("unknown activation")?;
        let shape = PanelShape { n: record.dims[N].into(), k: record.dims[K].into() };
        Ok(Self { activation, arithmetic: arithmetic(record.params[0], shape)? })
    }

    fn encode(&self) -> Fields {
        let mut fields = Fields {
            function: self.activation.function as u32,
            floats: self.activation.floats(),
            ..Fields::default()
        };
        fields.params[0] = self.arithmetic as u32;
        fields
    }

    fn needs(&self) -> [Need; OPERANDS] {
        let weights = match self.arithmetic {
            Arithmetic::Float => Need::F32OrPanels,
            Arithmetic::Int8 => Need::PanelsOf(Dtype::I8),
            Arithmetic::Bf16 => Need::PanelsOf(Dtype::Bf16),
            Arithmetic::DynamicInt8 | Arithmetic::DynamicBf16 => Need::F32,
        };
        [Need::Output, Need::F32, weights, Need::AnyOrMissing, Need::AnyOrMissing]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        // Neither the output nor an addend depends on the index of the sum.
        if matches!(slot, 0 | 3 | 4) && record.operands[slot].strides[K] != 0 {
            return Err("the output or an addend of a product has a stride over the summed dimension");
        }
        Ok(Access::of_dims(&record.dims))
    }

    fn writes(&self, dim: usize) -> bool {
        dim != K
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        [Some(N), Some(K), None, None, Some(N)][slot]
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..N])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[N..])
    }

    fn piece_work(&self, dims: &[u32; DIMS]) -> u64 {
        PANEL as u64 * u64::from(dims[K])
    }

    fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        product(dims)
    }

    fn scratch_bytes(&self, dims: &[u32; DIMS]) -> u64 {
        scratch_bytes(PanelShape { n: dims[N].into(), k: dims[K].into() }, self.arithmetic)
    }

    fn panels(&self, dims: &[u32; DIMS]) -> Option<PanelShape> {
        Some(PanelShape { n: dims[N].into(), k: dims[K].into() })
    }

    fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    fn function_name(&self) -> &'static str {
        self.activation.function.name()
    }
}
