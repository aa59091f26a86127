//! Normalisation over the trailing dimensions: LayerNorm (Ba, Kiros & Hinton 2016), InstanceNorm, GroupNorm, RMSNorm.
//! Sums are accumulated in double precision; those of squares over short runs in single precision.

use crate::arch::Isa;
use crate::bind::{BindError, Binder, Kernel};
use crate::memory::{FloatSource, Inputs, Output, Source, Target, Tile};
use crate::trailing::{BLOCK, Block, CHUNK, Runs, Trailing, fold_row};
use sonotrace_format::function::Unary;
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
    affine: Affine,
}

/// What is done to a normalised element.
#[derive(Debug, Clone, Copy)]
struct Affine {
    scale: Option<FloatSource>,
    shift: Option<FloatSource>,
    activation: Unary,
}

impl Affine {
    /// Scales, shifts and activates a chunk of elements, whose scales and shifts are at these offsets and steps.
    #[inline(always)]
    fn apply<I: Isa>(
        self,
        isa: I,
        inputs: Inputs<'_>,
        offsets: [usize; 4],
        steps: [usize; 4],
        values: &mut [f32],
        buffer: &mut [f32; CHUNK],
    ) {
        let buffer = &mut buffer[..values.len()];
        if let Some(scale) = self.scale {
            let scale = scale.view(inputs, offsets[2], steps[2], buffer);
            for (value, scale) in values.iter_mut().zip(scale) {
                *value *= scale;
            }
        }
        if let Some(shift) = self.shift {
            let shift = shift.view(inputs, offsets[3], steps[3], buffer);
            for (value, shift) in values.iter_mut().zip(shift) {
                *value += shift;
            }
        }
        if !self.activation.is_copy() {
            isa.unary(self.activation, values);
        }
    }
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
            affine: Affine {
                scale: binder.floats_if_any(2)?,
                shift: binder.floats_if_any(3)?,
                activation: operation.activation,
            },
        })
    }

    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, tile: Tile<'_>) {
        let mut output = tile.output.open(self.output);
        let values = tile.inputs.read(self.input);
        if self.places.has_dense_rows() {
            let rows = Rows {
                statistics: self.statistics,
                epsilon: self.epsilon,
                share: self.share,
                count: self.places.count() as usize,
                inputs: tile.inputs,
                values,
                affine: self.affine,
                steps: self.places.chunk_steps(),
            };
            let mut buffer = [0.0f32; CHUNK];
            for block in self.places.blocks(tile.units) {
                for index in 0..block.count {
                    let (offsets, runs) = (self.places.offsets(block, index), self.places.runs(block, index));
                    rows.normalize(isa, offsets, runs, &mut output, &mut buffer);
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
            self.write(isa, tile.inputs, &mut output, block, &means, &factors);
        }
    }
}

/// Rows whose elements are adjacent in the input and in the output. A copy of what is needed, so that the compiler knows that writing
/// a row does not change it.
#[derive(Debug, Clone, Copy)]
struct Rows<'t> {
    statistics: Statistics,
    epsilon: f64,
    /// One over the number of elements of a row.
    share: f64,
    count: usize,
    inputs: Inputs<'t>,
    values: &'t [f32],
    affine: Affine,
    steps: [usize; 4],
}

impl Rows<'_> {
    /// Normalises a row. `runs` are its parts with scales and shifts of one step each, such as the channels of a group. Its mean is
    /// summed from the distances to its first element: those of values that are close to each other are exact in single precision.
    #[inline(always)]
    fn normalize<I: Isa>(
        self,
        isa: I,
        offsets: [usize; 4],
        runs: Runs<'_, 4>,
        output: &mut Output<'_, f32>,
        buffer: &mut [f32; CHUNK],
    ) {
        let Self { count, steps, .. } = self;
        let values = &self.values[offsets[1]..][..count];
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
        let mut left = (values, output.row(offsets[0], count));
        for run in runs {
            let (values, rest) = left.0.split_at(run.length);
            let (to, rest_to) = left.1.split_at_mut(run.length);
            left = (rest, rest_to);
            let mut offsets = run.offsets;
            for (values, to) in values.chunks(CHUNK).zip(to.chunks_mut(CHUNK)) {
                for (to, value) in to.iter_mut().zip(values) {
                    *to = (value - mean) * factor;
                }
                self.affine.apply(isa, self.inputs, offsets, steps, to, buffer);
                for (offset, step) in offsets.iter_mut().zip(steps) {
                    *offset += CHUNK * step;
                }
            }
        }
    }
}

impl Normalize {
    #[inline(always)]
    fn write<I: Isa>(
        &self,
        isa: I,
        inputs: Inputs<'_>,
        output: &mut Output<'_, f32>,
        block: Block<4>,
        means: &[f32; BLOCK],
        factors: &[f32; BLOCK],
    ) {
        let [mut x, mut buffer] = [[0.0f32; CHUNK]; 2];
        for chunk in self.places.chunks(block) {
            let (offsets, steps) = (chunk.offsets, chunk.steps);
            let x = &mut x[..chunk.length];
            FloatSource::F32(self.input).load(inputs, offsets[1], steps[1], x);
            chunk.apply(x, means, |x, mean| x - mean);
            chunk.apply(x, factors, |x, factor| x * factor);
            self.affine.apply(isa, inputs, offsets, steps, x, &mut buffer);
            output.write(offsets[0], steps[0], x);
        }
    }
}
