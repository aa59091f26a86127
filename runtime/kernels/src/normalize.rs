//! Normalisation over the trailing dimensions: LayerNorm (Ba, Kiros & Hinton 2016), InstanceNorm, GroupNorm, RMSNorm.
//! Sums are accumulated in double precision; those of squares over short runs in single precision.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{FloatSource, Inputs, Output, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, CHUNK, Trailing, fold_row};
use sonotrace_format::op::{self, Statistics};

/// Bound normalisation.
#[derive(Debug)]
pub(crate) struct Normalize {
    statistics: Statistics,
    epsilon: f64,
    /// One over the number of elements of a row.
    share: f64,
    places: Trailing<4>,
    output: Target<f32>,
    input: Source<f32>,
    scale: Option<FloatSource>,
    shift: Option<FloatSource>,
}

impl Kernel for Normalize {
    type Operation = op::Normalize;

    fn bind(operation: &op::Normalize, binder: &Binder<'_>) -> Result<Self, BindError> {
        let places = Trailing::new(binder, operation.kept_dims, [0, 1, 2, 3]);
        Ok(Self {
            statistics: operation.statistics,
            epsilon: operation.epsilon.into(),
            share: 1.0 / places.count() as f64,
            places,
            output: binder.output()?,
            input: binder.f32(1)?,
            scale: binder.floats_if_any(2)?,
            shift: binder.floats_if_any(3)?,
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, _: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        if self.places.has_adjacent_rows() {
            let rows = Rows {
                statistics: self.statistics,
                epsilon: self.epsilon,
                share: self.share,
                columns: self.places.count() as usize,
                inputs: tile.inputs,
                values,
                scale: self.scale,
                shift: self.shift,
                steps: self.places.chunk_steps(),
            };
            let mut buffer = [0.0f32; CHUNK];
            for block in self.places.blocks(tile.units) {
                for index in 0..block.count {
                    rows.normalize(self.places.offsets(block, index), &mut output, &mut buffer);
                }
            }
            return;
        }
        let count = self.places.count() as f64;
        let mut sums = [0.0f64; BLOCK];
        let [mut means, mut factors] = [[0.0f32; BLOCK]; 2];
        for block in self.places.blocks(tile.units) {
            if self.statistics == Statistics::MeanVariance {
                self.places.fold(values, block, &mut sums, 0.0, |value, _| f64::from(value), |a, b| a + b);
                for (mean, sum) in means[..block.count].iter_mut().zip(&sums) {
                    *mean = (sum / count) as f32;
                }
            }
            let square = |value: f32, at: usize| (value - means[at]) * (value - means[at]);
            self.places.sums(values, block, &mut sums, square);
            for (factor, sum) in factors[..block.count].iter_mut().zip(&sums) {
                *factor = (1.0 / libm::sqrt(sum / count + self.epsilon)) as f32;
            }
            self.write(tile.inputs, &mut output, block, &means, &factors);
        }
    }
}

/// Rows of adjacent elements. A copy of what is needed, so that the compiler knows that writing a row does not change it.
#[derive(Debug, Clone, Copy)]
struct Rows<'t> {
    statistics: Statistics,
    epsilon: f64,
    /// One over the number of columns.
    share: f64,
    columns: usize,
    inputs: Inputs<'t>,
    values: &'t [f32],
    scale: Option<FloatSource>,
    shift: Option<FloatSource>,
    steps: [usize; 4],
}

impl Rows<'_> {
    /// Normalises a row of adjacent elements. Its mean is summed from the distances to its first element: those of values that are
    /// close to each other are exact in single precision.
    #[inline(always)]
    fn normalize(self, offsets: [usize; 4], output: &mut Output<'_, f32>, buffer: &mut [f32; CHUNK]) {
        let Self { columns, inputs, steps, .. } = self;
        let values = &self.values[offsets[1]..][..columns];
        let first = values.first().copied().unwrap_or(0.0);
        let (mut distances, mut squares) = (0.0f64, 0.0f64);
        if self.statistics == Statistics::MeanVariance {
            for part in values.chunks(CHUNK) {
                distances += f64::from(fold_row(part, 0.0, |value| value - first, |a, b| a + b));
            }
        }
        let mean = match self.statistics {
            Statistics::MeanVariance => (f64::from(first) + distances * self.share) as f32,
            Statistics::RootMeanSquare => 0.0,
        };
        for part in values.chunks(CHUNK) {
            squares += f64::from(fold_row(part, 0.0, |value| (value - mean) * (value - mean), |a, b| a + b));
        }
        // In single precision, which takes a processor half as long.
        let factor = 1.0 / libm::sqrtf((squares * self.share + self.epsilon) as f32);
        for (part, (values, to)) in
            values.chunks(CHUNK).zip(output.row(offsets[0], columns).chunks_mut(CHUNK)).enumerate()
        {
            for (to, value) in to.iter_mut().zip(values) {
                *to = (value - mean) * factor;
            }
            let (buffer, first) = (&mut buffer[..to.len()], part * CHUNK);
            if let Some(scale) = self.scale {
                let scale = scale.view(inputs, offsets[2] + first * steps[2], steps[2], buffer);
                for (to, scale) in to.iter_mut().zip(scale) {
                    *to *= scale;
                }
            }
            if let Some(shift) = self.shift {
                let shift = shift.view(inputs, offsets[3] + first * steps[3], steps[3], buffer);
                for (to, shift) in to.iter_mut().zip(shift) {
                    *to += shift;
                }
            }
        }
    }
}

impl Normalize {
    #[inline(always)]
    fn write(
        &self,
        inputs: Inputs<'_>,
        output: &mut Output<'_, f32>,
        block: Block<4>,
        means: &[f32; BLOCK],
        factors: &[f32; BLOCK],
    ) {
        let [mut x, mut buffer] = [[0.0f32; CHUNK]; 2];
        for chunk in self.places.chunks(block) {
            let (offsets, steps) = (chunk.offsets, chunk.steps);
            let (x, buffer) = (&mut x[..chunk.length], &mut buffer[..chunk.length]);
            FloatSource::F32(self.input).load(inputs, offsets[1], steps[1], x);
            chunk.apply(x, means, |x, mean| x - mean);
            chunk.apply(x, factors, |x, factor| x * factor);
            if let Some(scale) = self.scale {
                let scale = scale.view(inputs, offsets[2], steps[2], buffer);
                for (x, scale) in x.iter_mut().zip(scale) {
                    *x *= scale;
                }
            }
            if let Some(shift) = self.shift {
                let shift = shift.view(inputs, offsets[3], steps[3], buffer);
                for (x, shift) in x.iter_mut().zip(shift) {
                    *x += shift;
                }
            }
            output.write(offsets[0], steps[0], x);
        }
    }
}
