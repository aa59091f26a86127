//! Bilinear sampling of an image at computed positions.

use super::window::{check_images, image_access};
use super::{Access, Definition, Fields, Need, Refusal, product};
use crate::{DIMS, OPERANDS, OpRecord, codes};

codes! {
    /// Values outside the image.
    pub enum Outside {
        /// The nearest pixel of the border.
        Border = 1 "border",
        /// Zeros.
        Zeros = 2 "zeros",
    }
}

/// `out[batch, y, x, channel]` (ONNX GridSample, bilinear): dims
/// `[batch, 1, 1, 1, out_rows, out_columns, 1, channels]`. `a`, the image, has strides over batch (0), row (4), column
/// (5) and channel (7); `b`, the positions, over batch, row and column, with x first and y `y_offset` elements after
/// it; `out` over batch, row, column and channel. Positions -1 to 1 span the image between the centres of its outermost
/// pixels if `aligns_corners`, else between their outer edges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GridSample {
    /// Values outside the image.
    pub outside: Outside,
    /// Whether -1 and 1 are the centres of the outermost pixels, not their outer edges.
    pub aligns_corners: bool,
    /// Rows and columns of the image.
    pub input: [u32; 2],
    /// Elements from the x of a position to its y.
    pub y_offset: u32,
}

/// Elementary operations of an element: four products, read at positions that the cache cannot predict.
const ELEMENT_WORK: u64 = 8;

impl GridSample {
    /// Returns the factor and the addend that convert a position to a pixel index of an axis (0: rows, 1: columns).
    pub fn to_pixels(&self, axis: usize) -> (f32, f32) {
        let extent = self.input[axis] as f32;
        let half = (extent - 1.0) / 2.0;
        if self.aligns_corners { (half, half) } else { (extent / 2.0, half) }
    }
}

impl Definition for GridSample {
    fn decode(record: &OpRecord) -> Result<Self, Refusal> {
        let [rows, columns, y_offset, aligns_corners, ..] = record.params;
        let outside = Outside::from_code(record.function).ok_or("unknown function")?;
        check_images(record, [rows, columns])?;
        if record.dims[6] != 1 {
            return Err("an unused dimension is not 1");
        }
        if aligns_corners > 1 {
            return Err("aligns_corners is neither 0 nor 1");
        }
        Ok(Self { outside, aligns_corners: aligns_corners == 1, input: [rows, columns], y_offset })
    }

    fn encode(&self) -> Fields {
        let mut fields = Fields { function: self.outside as u32, ..Fields::default() };
        let [rows, columns] = self.input;
        fields.params[..4].copy_from_slice(&[rows, columns, self.y_offset, self.aligns_corners.into()]);
        fields
    }

    fn needs(&self) -> [Need; OPERANDS] {
        [Need::Output, Need::F32, Need::F32, Need::None, Need::None]
    }

    fn access(&self, record: &OpRecord, slot: usize) -> Result<Access, Refusal> {
        let mut access = Access::of_dims(&record.dims);
        match slot {
            1 => access = image_access(record, self.input),
            2 => access.beyond = self.y_offset.into(),
            _ => {}
        }
        Ok(access)
    }

    fn vector_dim(&self, slot: usize) -> Option<usize> {
        (slot < 2).then_some(DIMS - 1)
    }

    fn computed_axis(&self, slot: usize) -> Option<[u32; 2]> {
        (slot == 2).then_some([2, self.y_offset])
    }

    fn set_computed_stride(&mut self, _: usize, stride: u32) {
        self.y_offset = stride;
    }

    fn units(&self, dims: &[u32; DIMS]) -> u64 {
        product(&dims[..DIMS - 1])
    }

    fn unit_work(&self, dims: &[u32; DIMS]) -> u64 {
        ELEMENT_WORK * u64::from(dims[DIMS - 1])
    }

    fn function_name(&self) -> &'static str {
        self.outside.name()
    }
}
