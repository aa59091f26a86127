//! Packed weights of a product of `k` inputs and `n` output channels: panels of 16 channels.
//!
//! * f32 and f16: `[ceil(n / 16)][k][16]`.
//! * i8: first the f32 scale of each channel, then the i32 sum of each channel's weights, both for `ceil(n / 16) * 16`
//!   channels; then `[ceil(n / 16)][ceil(k / 4)][16][4]`: four consecutive inputs of a channel are adjacent, as
//!   dot-product instructions read them. The sums correct for activations that are stored with an offset. A weight is
//!   its integer times the scale of its channel.
//! * bf16: `[ceil(n / 16)][ceil(k / 2)][16][2]`: pairs of consecutive inputs of a channel are adjacent, as dot-product instructions
//!   read them.
//!
//! The last panel, group and pair are padded with zeros. Elements of i8 panels are counted in bytes.

use crate::Dtype;

/// Output channels in a panel.
pub const PANEL: usize = 16;
/// Adjacent inputs of i8 weights.
pub const GROUP: usize = 4;

/// Adjacent inputs of bf16 weights.
pub const PAIR: usize = 2;

/// Sizes of packed weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelShape {
    /// Output channels.
    pub n: u64,
    /// Inputs: the depth of each sum.
    pub k: u64,
}

impl PanelShape {
    /// Returns the number of panels.
    pub const fn panels(&self) -> u64 {
        self.n.div_ceil(PANEL as u64)
    }

    /// Returns the number of groups of four inputs.
    pub const fn groups(&self) -> u64 {
        self.k.div_ceil(GROUP as u64)
    }

    /// Returns the number of elements as stored in a type; `None` if it overflows or the type is not for weights.
    pub fn elements(&self, dtype: Dtype) -> Option<u64> {
        let channels = self.panels().checked_mul(PANEL as u64)?;
        match dtype {
            Dtype::F32 | Dtype::F16 => channels.checked_mul(self.k),
            Dtype::Bf16 => channels.checked_mul(self.k.checked_next_multiple_of(PAIR as u64)?),
            Dtype::I8 => self.groups().checked_mul(GROUP as u64)?.checked_add(8)?.checked_mul(channels),
            Dtype::I32 => None,
        }
    }

    /// Splits i8 panels into the bytes of scales (f32), of sums (i32), and of weights.
    ///
    /// # Panics
    /// If there are fewer bytes than [`Self::elements`].
    pub fn split_i8<'a>(&self, bytes: &'a [i8]) -> (&'a [i8], &'a [i8], &'a [i8]) {
        let channels = (self.panels() as usize) * PANEL;
        let (scales, rest) = bytes.split_at(4 * channels);
        let (sums, weights) = rest.split_at(4 * channels);
        (scales, sums, weights)
    }
}
