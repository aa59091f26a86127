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
            let table = &indices[table..];
            if table_step == 0 {
                // One index for the whole run.
                let place = table[0] as usize * self.axis_step;
                self.input.load(tile.inputs, source + place, source_step, values);
            } else {
                let place =
                    |at: usize| source + at * source_step + table[at * table_step] as usize * self.axis_step;
                self.input.gather(tile.inputs, (0..length).map(place), values);
            }
            output.write(to, to_step, values);
        }
    }
}
