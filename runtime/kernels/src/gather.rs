//! Gather along one axis by a table of indices (ONNX Gather and GatherElements).

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::{ROW_CHUNK, RowChunk, Rows};
use sonotrace_format::op;

/// Bound gathering.
#[derive(Debug)]
pub(crate) struct Gather {
    axis_step: usize,
    /// Rows of output, input and index table.
    rows: Rows<3>,
    output: Target<f32>,
    input: FloatSource,
    indices: Source<i32>,
}

impl Kernel for Gather {
    type Operation = op::Gather;

    fn bind(operation: &op::Gather, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            axis_step: operation.axis_stride as usize,
            rows: Rows::new(binder, [0, 1, 2], op::Gather::run(binder.dims())),
            output: binder.output()?,
            input: binder.floats(1)?,
            indices: binder.i32(2)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let indices = tile.inputs.read(self.indices);
        let [to_step, source_step, table_step] = self.rows.steps;
        let mut values = [0.0f32; ROW_CHUNK];
        for RowChunk { offsets: [to, source, table], length, .. } in self.rows.chunks(tile.units) {
            let values = &mut values[..length];
            let place = |at: usize| indices[table + at * table_step] as usize * self.axis_step;
            if table_step == 0 {
                // One index for the whole run.
                self.input.load(tile.inputs, source + place(0), source_step, values);
            } else {
                for (at, value) in values.iter_mut().enumerate() {
                    *value = self.input.at(tile.inputs, source + at * source_step + place(at));
                }
            }
            output.write(to, to_step, values);
        }
    }
}
