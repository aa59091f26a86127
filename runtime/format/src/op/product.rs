//! What matrix products and convolutions share.

use super::Refusal;
use crate::panels::{GROUP, PANEL, PanelShape};
use crate::{Dtype, codes};

codes! {
    /// Arithmetic of a product.
    pub enum Arithmetic {
        /// f32.
        Float = 0 "float",
        /// Weights are i8 with a scale per column. Each row is rounded to i8 at run time, with a scale of its own: its
        /// largest magnitude over 127. Sums are exact; the result is scaled back to f32. A row with a value that is not
        /// finite gives NaN.
        Int8 = 1 "int8",
        /// As [`Self::Int8`], but the columns are strided f32, too, and each is rounded to i8 at run time with a scale of its own.
        DynamicInt8 = 2 "dynamic_int8",
        /// Weights are bf16. Rows are rounded to bf16 at run time; sums are f32.
        Bf16 = 3 "bf16",
        /// As [`Self::Bf16`], but the columns are strided f32, too, and are rounded at run time.
        DynamicBf16 = 4 "dynamic_bf16",
    }
}

/// Deepest sum of an int8 product: that many products of an unsigned and a signed byte fit an i32.
pub const INT8_DEPTH_MAX: u64 = 65_536;

/// Most elements of columns that a product rounds at a time: scratch holds those of a tile.
pub const DYNAMIC_ELEMENTS_MAX: u64 = 262_144;

/// Returns the most columns that a product of `n` columns and depth `k` rounds at a time: whole panels, unless it has less.
pub const fn dynamic_columns(PanelShape { n, k }: PanelShape) -> u64 {
    let panels = DYNAMIC_ELEMENTS_MAX / (if k == 0 { 1 } else { k }) / PANEL as u64;
    let columns = panels * PANEL as u64;
    if columns < n { columns } else { n }
}

impl Arithmetic {
    /// Returns whether sums are sums of integers.
    pub const fn is_int8(self) -> bool {
        matches!(self, Self::Int8 | Self::DynamicInt8)
    }

    /// Returns whether sums are sums of products of bf16.
    pub const fn is_bf16(self) -> bool {
        matches!(self, Self::Bf16 | Self::DynamicBf16)
    }

    /// Returns whether values are rounded to fewer bits at run time, so that small differences of an earlier operation may grow.
    pub const fn rounds(self) -> bool {
        self.is_int8() || self.is_bf16()
    }
}

/// Elements of rows that a kernel may pack at a time; the number of rows is limited to [`PACKED_ROWS`].
const PACKED_ELEMENTS: u64 = 16_384;
/// Minimum and maximum rows that a kernel may pack at a time.
const PACKED_ROWS: [u64; 2] = [32, 256];

/// Returns the scratch of a product: packed rows and one panel of weights, both as f32; and i8 panels of the columns that are rounded
/// at a time.
pub(super) fn scratch_bytes(shape: PanelShape, arithmetic: Arithmetic) -> u64 {
    let depth = shape.k.max(1).div_ceil(GROUP as u64).saturating_mul(GROUP as u64);
    let rows = (PACKED_ELEMENTS / depth).clamp(PACKED_ROWS[0], PACKED_ROWS[1]);
    let bytes = depth.saturating_mul((rows + PANEL as u64) * size_of::<f32>() as u64);
    match arithmetic {
        Arithmetic::DynamicInt8 => {
            let panels = PanelShape { n: dynamic_columns(shape), ..shape };
            bytes.saturating_add(panels.elements(Dtype::I8).unwrap_or(u64::MAX))
        }
        _ => bytes,
    }
}

/// Reads the arithmetic of a product.
pub(super) fn arithmetic(code: u32, shape: PanelShape) -> Result<Arithmetic, Refusal> {
    let arithmetic = Arithmetic::from_code(code).ok_or("unknown arithmetic")?;
    if arithmetic.is_int8() && shape.k > INT8_DEPTH_MAX {
        return Err("an int8 product is deeper than 65536");
    }
    if arithmetic == Arithmetic::DynamicInt8 && dynamic_columns(shape) == 0 {
        return Err("a panel of an int8 product has more than 262144 elements to round");
    }
    Ok(arithmetic)
}
