//! The window of a convolution or pooling over an image.

use super::{Access, Refusal};
use crate::{DIMS, OpRecord};

/// Maximum rows or columns of an image.
const SIDE_MAX: u32 = 1 << 20;
/// Maximum kernel, stride and dilation.
const KERNEL_MAX: u32 = 4096;

/// Kernel geometry, `[vertical, horizontal]`. Input pixel of output `(y, x)` and kernel element `(ky, kx)`:
/// `y * stride + ky * dilation - pad`, likewise across; zero outside the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Elements of the kernel.
    pub kernel: [u32; 2],
    /// Input pixels from one output to the next.
    pub stride: [u32; 2],
    /// Input pixels from one kernel element to the next.
    pub dilation: [u32; 2],
    /// Zeros before the first input row and column; negative crops.
    pub pad: [i32; 2],
    /// Rows and columns of the input.
    pub input: [u32; 2],
}

/// Dim of groups of channels.
const GROUP: usize = 1;
/// Dim of output rows and, for the image, input rows.
pub(super) const ROW: usize = 4;
/// Dim of columns.
pub(super) const COLUMN: usize = 5;

impl Window {
    /// Returns the number of elements of the kernel.
    pub const fn taps(&self) -> u64 {
        self.kernel[0] as u64 * self.kernel[1] as u64
    }

    /// Returns the first ten parameters of a record.
    pub(super) fn encode(&self) -> [u32; 10] {
        let pad = self.pad.map(i32::cast_unsigned);
        let pairs = [self.kernel, self.stride, self.dilation, pad, self.input];
        core::array::from_fn(|at| pairs[at / 2][at % 2])
    }

    pub(super) fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        if record.dims[GROUP] != 1 {
            return Err(UNUSED);
        }
        Self::decode_grouped(record)
    }

    /// Reads the window of an operation with groups.
    pub(super) fn decode_grouped(record: &OpRecord) -> Result<Self, Refusal> {
        let pair = |at: usize| [record.params[at], record.params[at + 1]];
        let [kernel, stride, dilation, input] = [pair(0), pair(2), pair(4), pair(8)];
        let pad = pair(6).map(u32::cast_signed);
        if [kernel, stride, dilation].as_flattened().iter().any(|&value| value == 0 || value > KERNEL_MAX) {
            return Err("kernel, stride or dilation is not within 1..=4096");
        }
        if pad.iter().any(|pad| pad.unsigned_abs() > SIDE_MAX) {
            return Err("padding is not within -1048576..=1048576");
        }
        check_sides(record, input)?;
        Ok(Self { kernel, stride, dilation, pad, input })
    }

    /// Returns the reach of the image operand.
    pub(super) fn image_access(&self, record: &OpRecord) -> Access {
        image_access(record, self.input)
    }
}

const UNUSED: Refusal = "an unused dimension is not 1";

/// Checks that input and output are small enough that no position overflows, and that unused dims are 1.
pub(super) fn check_images(record: &OpRecord, input: [u32; 2]) -> Result<(), Refusal> {
    if record.dims[GROUP] != 1 {
        return Err(UNUSED);
    }
    check_sides(record, input)
}

/// As [`check_images`], with any number of groups.
fn check_sides(record: &OpRecord, input: [u32; 2]) -> Result<(), Refusal> {
    if input.iter().any(|&side| side == 0 || side > SIDE_MAX) {
        return Err("input rows or columns are not within 1..=1048576");
    }
    if record.dims[GROUP + 1..ROW] != [1; 2] {
        return Err(UNUSED);
    }
    if record.dims[ROW] > SIDE_MAX || record.dims[COLUMN] > SIDE_MAX {
        return Err("output rows or columns are more than 1048576");
    }
    Ok(())
}

/// Returns the reach of an image of `input` rows and columns.
pub(super) fn image_access(record: &OpRecord, input: [u32; 2]) -> Access {
    let mut extents: [u32; DIMS] = record.dims;
    (extents[ROW], extents[COLUMN]) = (input[0], input[1]);
    Access { extents, beyond: 0 }
}
