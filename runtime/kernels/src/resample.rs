//! Resampling along one dimension with tables of taps: linear, nearest or cubic resizing, by whatever rule the compiler wrote
//! into the tables.

use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::memory::{FloatSource, Source, Target, Tile};
use crate::walk::Dims;
use sonotrace_format::DIMS;
use sonotrace_format::op;

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 256;

/// Bound resampling.
#[derive(Debug)]
pub(crate) struct Resample {
    /// Whether the dimension is the last one, along which a row runs.
    is_last: bool,
    /// Its extent, and the rows that share an index of it.
    extent: u64,
    rows_per_index: u64,
    taps: usize,
    input_step: usize,
    /// Rows of output and input.
    rows: Dims<2>,
    starts: [usize; 2],
    columns: usize,
    steps: [usize; 2],
    output: Target<f32>,
    input: Source<f32>,
    indices: Source<i32>,
    weights: Source<f32>,
    grid: UnitGrid,
}

impl Kernel for Resample {
    type Operation = op::Resample;

    fn bind(operation: &op::Resample, binder: &Binder<'_>) -> Result<Self, BindError> {
        let (axis, dims) = (operation.axis as usize, binder.dims());
        let last = DIMS - 1;
        let inner = &dims[(axis + 1).min(last)..last];
        Ok(Self {
            is_last: axis == last,
            extent: dims[axis].into(),
            rows_per_index: inner.iter().map(|&extent| u64::from(extent)).product(),
            taps: operation.taps as usize,
            input_step: operation.input_stride as usize,
            rows: Dims::new(binder, 0..last, [0, 1]),
            starts: [0, 1].map(|slot| binder.start(slot)),
            columns: dims[last] as usize,
            steps: [0, 1].map(|slot| binder.strides(slot)[last] as usize),
            output: binder.output()?,
            input: binder.f32(1)?,
            indices: binder.i32(2)?,
            weights: binder.f32(3)?,
            grid: binder.unit_grid(),
        })
    }

    fn tiles(&self) -> u32 {
        self.grid.tiles()
    }

    fn run(&self, tile: Tile<'_>) {
        let units = self.grid.units_of(tile.index);
        let mut walk = self.rows.walk(units.start, self.starts);
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        let (indices, weights) = (tile.inputs.read(self.indices), tile.inputs.read(self.weights));
        let taps_of = |index: usize| {
            let range = index * self.taps..(index + 1) * self.taps;
            indices[range.clone()].iter().map(|&index| index as usize * self.input_step).zip(&weights[range])
        };
        let (mut sums, mut buffer) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        for row in units {
            let [to, from] = walk.offsets;
            for first in (0..self.columns).step_by(CHUNK) {
                let sums = &mut sums[..CHUNK.min(self.columns - first)];
                if self.is_last {
                    for (column, sum) in (first..).zip(sums.iter_mut()) {
                        *sum = taps_of(column).map(|(at, weight)| weight * values[from + at]).sum();
                    }
                } else {
                    sums.fill(0.0);
                    let index = (row / self.rows_per_index % self.extent) as usize;
                    for (at, weight) in taps_of(index) {
                        let from = from + at + first * self.steps[1];
                        let buffer = &mut buffer[..sums.len()];
                        let tap = FloatSource::F32(self.input).view(tile.inputs, from, self.steps[1], buffer);
                        sums.iter_mut().zip(tap).for_each(|(sum, value)| *sum += weight * value);
                    }
                }
                output.write(to + first * self.steps[0], self.steps[0], sums);
            }
            walk.next();
        }
    }
}
