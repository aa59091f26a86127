//! Sampling an image at computed places.

use super::conv::{BATCH, CHANNEL, COLUMN, ROW};
use super::{Lowering, TOO_MANY_AXES};
use crate::error::CompileError;
use crate::graph::{Op, Operand};
use crate::view::View;
use sonotrace::format::DIMS;
use sonotrace::format::op::{GridSample as Sampling, Outside};
use tract_core::internal::*;
use tract_core::ops::nn::{DataFormat, GridSample, InterpolationMode, PaddingMode};

impl Lowering<'_> {
    pub(super) fn grid_sample(&mut self, node: &TypedNode, op: &GridSample) -> Result<View, CompileError> {
        if op.mode != InterpolationMode::Bilinear {
            let problem = format!("mode {}, only bilinear is supported", op.mode.as_str());
            return Err(self.unsupported(node, problem));
        }
        let outside = match op.padding_mode {
            PaddingMode::Border => Outside::Border,
            PaddingMode::Zeros => Outside::Zeros,
            PaddingMode::Reflection => {
                return Err(
                    self.unsupported(node, "padding mode reflection, only border and zeros are supported")
                );
            }
        };
        let (view, places) = (self.input(node, 0)?, self.input(node, 1)?);
        let input = self.image(node, &view, DataFormat::NCHW)?;
        if places.dims.len() != 4 {
            return Err(self.unsupported(node, TOO_MANY_AXES));
        }
        let result = self.fresh(node, &self.output_shape(node)?);
        let output = self.image(node, &result, DataFormat::NCHW)?;
        let sampling = Sampling {
            outside,
            aligns_corners: op.align_corners,
            input: [ROW, COLUMN].map(|axis| input.extent(axis) as u32),
            y_offset: places.strides[3] as u32,
        };
        let mut record = Op::new(sampling, &node.name);
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
        self.ops.push(record);
        Ok(result)
    }
}
