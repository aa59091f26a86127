//! What matrix products and convolutions share.

use super::Refusal;
use crate::codes;
use crate::panels::{GROUP, PANEL};

codes! {
    /// Arithmetic of a product.
    pub enum Arithmetic {
        /// f32.
        Float = 0 "float",
        /// Weights are i8 with a scale per column. Each row is rounded to i8 at run time, with a scale of its own: its
        /// largest magnitude over 127. Sums are exact; the result is scaled back to f32. A row with a value that is not
        /// finite gives NaN.
        Int8 = 1 "int8",
    }
}

/// Deepest sum of an int8 product: that many products of an unsigned and a signed byte fit an i32.
pub const INT8_DEPTH_MAX: u64 = 65_536;

/// Elements of rows that a kernel may pack at a time; the number of rows is limited to [`PACKED_ROWS`].
const PACKED_ELEMENTS: u64 = 16_384;
/// Minimum and maximum rows that a kernel may pack at a time.
const PACKED_ROWS: [u64; 2] = [32, 256];

/// Returns the scratch of a product of depth `k`: packed rows and one panel of weights, both as f32.
pub(super) fn scratch_bytes(k: u64) -> u64 {
    let depth = k.max(1).div_ceil(GROUP as u64).saturating_mul(GROUP as u64);
    let rows = (PACKED_ELEMENTS / depth).clamp(PACKED_ROWS[0], PACKED_ROWS[1]);
    depth.saturating_mul((rows + PANEL as u64) * size_of::<f32>() as u64)
}

/// Reads the arithmetic of a product of depth `k`.
pub(super) fn arithmetic(code: u32, k: u64) -> Result<Arithmetic, Refusal> {
    let arithmetic = Arithmetic::from_code(code).ok_or("unknown arithmetic")?;
    if arithmetic == Arithmetic::Int8 && k > INT8_DEPTH_MAX {
        return Err("an int8 product is deeper than 65536");
    }
    Ok(arithmetic)
}
