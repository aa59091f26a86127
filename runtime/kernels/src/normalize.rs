//! Normalisation over the trailing dimensions: LayerNorm (Ba, Kiros & Hinton 2016), InstanceNorm, GroupNorm, RMSNorm.
//! Statistics are accumulated in double precision.

use crate::bind::{BindError, Binder, Kernel};
use crate::grid::UnitGrid;
use crate::memory::{FloatSource, Inputs, Output, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, Trailing, for_each};
use sonotrace_format::op::{self, Statistics};

/// Elements that are loaded, computed and written together.
const CHUNK: usize = 64;
/// Sums that run side by side over adjacent elements.
const LANES: usize = 8;

/// Bound normalisation.
#[derive(Debug)]
pub(crate) struct Normalize {
    statistics: Statistics,
    epsilon: f64,
    places: Trailing<4>,
    output: Target<f32>,
    input: Source<f32>,
    scale: Option<FloatSource>,
    shift: Option<FloatSource>,
    grid: UnitGrid,
}

impl Kernel for Normalize {
    type Operation = op::Normalize;

    fn bind(operation: &op::Normalize, binder: &Binder<'_>) -> Result<Self, BindError> {
        Ok(Self {
            statistics: operation.statistics,
            epsilon: operation.epsilon.into(),
            places: Trailing::new(binder, operation.kept_dims, [0, 1, 2, 3]),
            output: binder.output()?,
            input: binder.f32(1)?,
            scale: binder.floats_if_any(2)?,
            shift: binder.floats_if_any(3)?,
            grid: binder.unit_grid(),
        })
    }

    fn tiles(&self) -> u32 {
        self.grid.tiles()
    }

    fn run(&self, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        let count = self.places.count() as f64;
        self.places.for_each_block(self.grid.units_of(tile.index), |block| {
            let mut means = [0.0f64; BLOCK];
            if self.statistics == Statistics::MeanVariance {
                means = self.sums(values, block, |value, _| value);
                means.iter_mut().for_each(|mean| *mean /= count);
            }
            let variances = self.sums(values, block, |value, at| (value - means[at]) * (value - means[at]));
            let factors = variances.map(|sum| (1.0 / libm::sqrt(sum / count + self.epsilon)) as f32);
            self.write(tile.inputs, &mut output, block, &means.map(|mean| mean as f32), &factors);
        });
    }
}

impl Normalize {
    /// Sums of `map(element, index in the block)` for each index of a block.
    #[inline]
    fn sums(&self, values: &[f32], block: Block<4>, map: impl Fn(f64, usize) -> f64) -> [f64; BLOCK] {
        let mut sums = [0.0f64; BLOCK];
        self.places.for_each_run(block, |run| {
            let (from, step) = (run.offsets[1], run.steps[1]);
            if self.places.is_blocked() {
                for (at, (sum, &value)) in sums.iter_mut().zip(&values[from..][..block.count]).enumerate() {
                    *sum += map(value.into(), at);
                }
            } else if step == 1 {
                for chunk in values[from..][..run.length].chunks(LANES) {
                    for (sum, &value) in sums.iter_mut().zip(chunk) {
                        *sum += map(value.into(), 0);
                    }
                }
            } else {
                for_each(values, from, step, run.length, |value| sums[0] += map(value.into(), 0));
            }
        });
        if !self.places.is_blocked() {
            sums[0] = sums[..LANES].iter().sum();
        }
        sums
    }

    fn write(
        &self,
        inputs: Inputs<'_>,
        output: &mut Output<'_, f32>,
        block: Block<4>,
        means: &[f32; BLOCK],
        factors: &[f32; BLOCK],
    ) {
        let [mut x, mut b] = [[0.0f32; CHUNK]; 2];
        self.places.for_each_run(block, |run| {
            // In a block the neighbours stand side by side, else the elements of a run do.
            let is_block = self.places.is_blocked();
            let (length, steps) =
                if is_block { (block.count, self.places.neighbour_steps()) } else { (run.length, run.steps) };
            for from in (0..length).step_by(CHUNK) {
                let chunk = CHUNK.min(length - from);
                let at = |slot: usize| run.offsets[slot] + from * steps[slot];
                let x = &mut x[..chunk];
                FloatSource::F32(self.input).load(inputs, at(1), steps[1], x);
                for (index, value) in x.iter_mut().enumerate() {
                    let index = if is_block { from + index } else { 0 };
                    *value = (*value - means[index]) * factors[index];
                }
                if let Some(scale) = self.scale {
                    let scale = scale.view(inputs, at(2), steps[2], &mut b[..chunk]);
                    x.iter_mut().zip(scale).for_each(|(x, scale)| *x *= scale);
                }
                if let Some(shift) = self.shift {
                    let shift = shift.view(inputs, at(3), steps[3], &mut b[..chunk]);
                    x.iter_mut().zip(shift).for_each(|(x, shift)| *x += shift);
                }
                output.write(at(0), steps[0], x);
            }
        });
    }
}
