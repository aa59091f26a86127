//! Sampling an image at computed places.

use super::Lowering;
use super::conv::{BATCH, CHANNEL, COLUMN, ROW};
use crate::error::CompileError;
use crate::graph::{Op, Operand};
use crate::view::View;
use sonotrace::model::format::{DIMS, OpKind, conv, grid};
use tract_core::internal::*;
use tract_core::ops::nn::{DataFormat, GridSample, InterpolationMode, PaddingMode};

impl Lowering<'_> {
    pub(super) fn grid_sample(&mut self, node: &TypedNode, op: &GridSample) -> Result<View, CompileError> {
        if op.mode != InterpolationMode::Bilinear {
            let problem = format!("it samples by mode {}, only bilinear is there", op.mode.as_str());
            return Err(self.unsupported(node, problem));
        }
        let function = match op.padding_mode {
            PaddingMode::Border => grid::BORDER,
            PaddingMode::Zeros => grid::ZEROS,
            PaddingMode::Reflection => {
                return Err(
                    self.unsupported(node, "it reflects what lies outside, only border and zeros are there")
                );
            }
        };
        let (view, places) = (self.input(node, 0)?, self.input(node, 1)?);
        let input = self.image(node, &view, DataFormat::NCHW)?;
        if places.dims.len() != 4 {
            return Err(self.unsupported(node, "it has more than two spatial axes"));
        }
        let result = self.fresh(node, &self.output_shape(node)?);
        let output = self.image(node, &result, DataFormat::NCHW)?;
        let mut record = Op::new(OpKind::GridSample, &node.name);
        record.function = function;
        let [batch, rows, columns, channels] = [BATCH, ROW, COLUMN, CHANNEL].map(|axis| output.extent(axis));
        record.dims = [batch, 1, 1, 1, rows, columns, 1, channels];
        record.operands[0] = Some(output.operand([0, 4, 5, 7]));
        record.operands[1] = Some(input.operand([0, 4, 5, 7]));
        let mut strides = [0; DIMS];
        for (axis, dim) in [(0, 0), (1, 4), (2, 5)] {
            if places.dims[axis] != 1 {
                strides[dim] = places.strides[axis];
            }
        }
        record.operands[2] = Some(Operand { tensor: places.tensor, offset: places.offset, strides });
        record.params[grid::Y_STRIDE] = places.strides[3] as u32;
        (record.params[conv::IN_H], record.params[conv::IN_W]) =
            (input.extent(ROW) as u32, input.extent(COLUMN) as u32);
        let [x, y] = [COLUMN, ROW].map(|axis| to_pixels(input.extent(axis), op.align_corners));
        record.floats = [x.0, x.1, y.0, y.1];
        self.ops.push(record);
        Ok(result)
    }
}

/// Factor and addend that turn a place in -1 to 1 into a pixel of an axis: its ends are the middles of the first and
/// the last pixel if `align_corners`, else their outer edges.
fn to_pixels(extent: usize, align_corners: bool) -> (f32, f32) {
    let extent = extent as f32;
    if align_corners {
        ((extent - 1.0) / 2.0, (extent - 1.0) / 2.0)
    } else {
        (extent / 2.0, (extent - 1.0) / 2.0)
    }
}
