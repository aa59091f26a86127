//! Matrix product.

use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::function::Unary;
use crate::panels::{GROUP, PANEL, PanelShape};
use crate::{DIMS, OPERANDS, OpRecord};

/// `out[batch.., m, n] = activation(sum over k of a[batch.., m, k] * b[batch.., k, n] + c[batch.., m, n])`: dims
/// `[b0, b1, b2, b3, b4, m, n, k]`. `b` is strided, or packed weights of `n` channels and `k` inputs, the same for all
/// batches. `c` is optional.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatMul {
    /// Applied to each element of the result.
    pub activation: Unary,
}

/// Indices of the extents in the dims.
const N: usize = 6;
const K: usize = 7;

/// Elements of rows that a kernel may pack at a time; the number of rows is limited to [`PACKED_ROWS`].
const PACKED_ELEMENTS: u64 = 16_384;
/// Minimum and maximum rows that a kernel may pack at a time.
const PACKED_ROWS: [u64; 2] = [32, 256];

/// Returns the scratch of a product of depth `k`: packed rows and one panel of weights, both as f32.
pub(super) fn product_scratch_bytes(k: u64) -> u64 {
    let depth = k.max(1).div_ceil(GROUP as u64).saturating_mul(GROUP as u64);
    let rows = (PACKED_ELEMENTS / depth).clamp(PACKED_ROWS[0], PACKED_ROWS[1]);
    depth.saturating_mul((rows + PANEL as u64) * size_of::<f32>() as u64)
}

impl Definition for MatMul {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let activation = Unary::decode(record.function, record.floats).ok_or("unknown activation")?;
        Ok(Self { activation })
    }

    fn encode(&self) -> Fields {
        Fields {
            function: self.activation.function as u32,
            floats: self.activation.floats(),
            ..Fields::default()
        }
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::F32OrPanels, Need::AnyOrMissing]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        // Neither the output nor the addend depends on the index of the sum.
        if matches!(slot, 0 | 3) && record.operands[slot].strides[K] != 0 {
            return Err("the output or addend of a product has a stride over the summed dimension");
        }
        Ok(Access::of_dims(&record.dims))
    }

    fn writes(&self, dim: usize) -> bool {
        dim != K
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..N])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[N..])
    }

    fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        product(dims)
    }

    fn scratch_bytes(&self, dims: &[u32; DIMS]) -> u64 {
        product_scratch_bytes(dims[K].into())
    }

    fn panels(&self, dims: &[u32; DIMS]) -> Option<PanelShape> {
        Some(PanelShape { n: dims[N].into(), k: dims[K].into() })
    }

    fn function_name(&self) -> &'static str {
        self.activation.function.name()
    }
}
