//! Dense convolution.

use super::product::{Arithmetic, arithmetic, scratch_bytes};
use super::window::Window;
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::function::Unary;
use crate::panels::{PANEL, PanelShape};
use crate::{DIMS, Dtype, OPERANDS, OpRecord};

/// A matrix product whose rows are gathered from an image: dims
/// `[batch, groups, 1, 1, out_rows, out_columns, out_channels, in_channels]`, channels of a group. `a`, the image, has strides over
/// batch (0), group (1), row (4), column (5) and channel (7); `out` over batch (0), group (1), row (4), column (5) and channel (6);
/// `c`, an optional bias, over dims 1 and 6; `d`, an optional residual, as `out`. `b` is packed weights with
/// `k = (ky * kernel_columns + kx) * in_channels + in_channel`; of several groups, each has whole panels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conv {
    /// Kernel geometry.
    pub window: Window,
    /// Applied to each element of the result.
    pub activation: Unary,
    /// Arithmetic of the sums. A row of the product is the window of one output pixel.
    pub arithmetic: Arithmetic,
}

const GROUP: usize = 1;
const OUT_CHANNEL: usize = 6;
const IN_CHANNEL: usize = 7;
/// Index of the arithmetic in the parameters, behind the window's.
const ARITHMETIC: usize = 10;

impl Conv {
    /// Returns the depth of the sums.
    pub fn depth(&self, dims: &[u32; DIMS]) -> u64 {
        u64::from(dims[IN_CHANNEL]) * self.window.taps()
    }

    /// Returns the columns of a group among the packed weights: whole panels, if there are several groups.
    pub fn group_columns(dims: &[u32; DIMS]) -> u64 {
        let channels = u64::from(dims[OUT_CHANNEL]);
        if dims[GROUP] == 1 { channels } else { channels.next_multiple_of(PANEL as u64) }
    }

    fn shape(&self, dims: &[u32; DIMS]) -> PanelShape {
        PanelShape { n: Self::group_columns(dims).saturating_mul(dims[GROUP].into()), k: self.depth(dims) }
    }
}

/// Returns the fields of an operation with a window and an activation.
pub(super) fn window_fields(window: &Window, activation: Unary) -> Fields {
    let mut fields =
        Fields { function: activation.function as u32, floats: activation.floats(), ..Fields::default() };
    fields.params[..10].copy_from_slice(&window.encode());
    fields
}

impl Definition for Conv {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let activation = Unary::decode(record.function, record.floats).ok_or("unknown activation")?;
        let conv =
            Self { window: Window::decode_grouped(record)?, activation, arithmetic: Arithmetic::Float };
        let arithmetic = arithmetic(record.params[ARITHMETIC], conv.shape(&record.dims))?;
        if matches!(arithmetic, Arithmetic::DynamicInt8 | Arithmetic::DynamicBf16) {
            return Err("a convolution rounds its weights at run time");
        }
        Ok(Self { arithmetic, ..conv })
    }

    fn encode(&self) -> Fields {
        let mut fields = window_fields(&self.window, self.activation);
        fields.params[ARITHMETIC] = self.arithmetic as u32;
        fields
    }

    fn needs(&self) -> [Need; OPERANDS] {
        let weights = match self.arithmetic {
            Arithmetic::Float => Need::Panels,
            Arithmetic::Bf16 => Need::PanelsOf(Dtype::Bf16),
            _ => Need::PanelsOf(Dtype::I8),
        };
        [Need::Output, Need::F32, weights, Need::AnyOrMissing, Need::AnyOrMissing]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        Ok(if slot == 1 { self.window.image_access(record) } else { Access::of_dims(&record.dims) })
    }

    fn writes(&self, dim: usize) -> bool {
        dim != IN_CHANNEL
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        [Some(OUT_CHANNEL), Some(IN_CHANNEL), None, None, Some(OUT_CHANNEL)][slot]
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..OUT_CHANNEL])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        self.depth(dims).saturating_mul(dims[OUT_CHANNEL].into())
    }

    fn piece_work(&self, dims: &[u32; DIMS]) -> u64 {
        (PANEL as u64).saturating_mul(self.depth(dims))
    }

    fn macs(&self, dims: &[u32; DIMS]) -> u64 {
        product(dims).saturating_mul(self.window.taps())
    }

    fn scratch_bytes(&self, dims: &[u32; DIMS]) -> u64 {
        scratch_bytes(self.shape(dims), self.arithmetic)
    }

    fn panels(&self, dims: &[u32; DIMS]) -> Option<PanelShape> {
        Some(self.shape(dims))
    }

    fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    fn function_name(&self) -> &'static str {
        self.activation.function.name()
    }
}
