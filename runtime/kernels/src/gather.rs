//! Gather along one axis by a table of indices (ONNX Gather and GatherElements).

use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::Dims;
use sonotrace_format::DIMS;
use sonotrace_format::op;

/// Elements that are gathered and written together.
const CHUNK: usize = 256;

/// Bound gathering.
#[derive(Debug)]
pub(crate) struct Gather {
    axis_step: usize,
    /// Rows of output, input and index table.
    rows: Dims<3>,
    starts: [usize; 3],
    columns: usize,
    /// Columns of a unit.
    run: usize,
    steps: [usize; 3],
    output: Target<f32>,
    input: FloatSource,
    indices: Source<i32>,
    grid: UnitGrid,
}

impl Kernel for Gather {
    type Operation = op::Gather;

    fn bind(operation: &op::Gather, binder: &Binder<'_>) -> Result<Self, BindError> {
        let slots = [0, 1, 2];
        Ok(Self {
            axis_step: operation.axis_stride as usize,
            rows: Dims::new(binder, 0..DIMS - 1, slots),
            starts: slots.map(|slot| binder.start(slot)),
            columns: binder.dims()[DIMS - 1] as usize,
            run: op::Gather::run(binder.dims()) as usize,
            steps: slots.map(|slot| binder.strides(slot)[DIMS - 1] as usize),
            output: binder.output()?,
            input: binder.floats(1)?,
            indices: binder.i32(2)?,
            grid: binder.unit_grid(),
        })
    }

    fn tiles(&self) -> u32 {
        self.grid.tiles()
    }

    fn run(&self, tile: Tile<'_>) {
        let units = self.grid.units_of(tile.index);
        let runs = self.columns.div_ceil(self.run) as u64;
        let mut walk = self.rows.walk(units.start / runs, self.starts);
        let mut output = tile.output.open(self.output);
        let indices = tile.inputs.read(self.indices);
        let mut values = [0.0f32; CHUNK];
        for unit in units {
            let first = (unit % runs) as usize * self.run;
            let end = self.columns.min(first + self.run);
            for from in (first..end).step_by(CHUNK) {
                let values = &mut values[..CHUNK.min(end - from)];
                let [to, source, table] =
                    core::array::from_fn(|slot| walk.offsets[slot] + from * self.steps[slot]);
                let place = |at: usize| indices[table + at * self.steps[2]] as usize * self.axis_step;
                if self.steps[2] == 0 {
                    // One index for the whole run.
                    self.input.load(tile.inputs, source + place(0), self.steps[1], values);
                } else {
                    for (at, value) in values.iter_mut().enumerate() {
                        *value = self.input.at(tile.inputs, source + at * self.steps[1] + place(at));
                    }
                }
                output.write(to, self.steps[0], values);
            }
            if end == self.columns {
                walk.next();
            }
        }
    }
}
