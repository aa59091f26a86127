//! The deployed model's encoder and decoder, run as a session runs them, but without a session.

use super::protocol::Mask;
use anyhow::Result;
use sonotrace::exec::{Executor, ExecutorConfig};
use sonotrace::format::Model;
use sonotrace::session::{DecoderPrompt, Programs};
use sonotrace::vision::{GreyTable, InputGrid, LutEntry, Normalisation, Sampler};
use sonotrace_replay::Recorded;

/// A model, ready to encode pictures and to answer prompts on them.
pub struct Network<'m> {
    /// Runs the programs.
    pub executor: Executor<'m>,
    /// The programs.
    pub programs: Programs,
    /// Grey levels of the last picture at the masks' resolution, 0 to 1.
    pub grey: Vec<f32>,
    table: Vec<LutEntry>,
    normalisation: Normalisation,
    size: u32,
    mask_side: usize,
}

impl<'m> Network<'m> {
    /// Opens a model in a region of the size that [`ExecutorConfig::default`] needs.
    ///
    /// # Errors
    /// A model without the programs of a session.
    pub fn new(model: Model<'m>, region: &'m mut [u8]) -> Result<Self> {
        let programs = Programs::find(&model)?;
        let conventions = *model.conventions();
        let size = conventions.input_size;
        Ok(Self {
            executor: Executor::new(model, ExecutorConfig::default(), region)?,
            programs,
            grey: Vec::new(),
            table: vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(size)],
            normalisation: Normalisation { mean: conventions.mean, std: conventions.std },
            size,
            mask_side: conventions.mask_size as usize,
        })
    }

    /// Side of the input grid.
    pub fn input_size(&self) -> u32 {
        self.size
    }

    /// Computes the features of a picture, into a copy of their bank. Returns its input grid.
    ///
    /// # Errors
    /// A frame that cannot be sampled.
    pub fn encode(&mut self, recorded: &Recorded, copy: u32) -> Result<InputGrid> {
        let frame = recorded.descriptor.check()?;
        let sampler = Sampler::build(&frame, self.size, &mut self.table)?;
        let grey = GreyTable::new(&frame, self.normalisation, &[])?;
        self.programs.begin_encoder(&mut self.executor, copy);
        let input = self.executor.input_mut(self.programs.image);
        sampler.sample(&self.table, &frame, &recorded.payload, &grey, input)?;
        // The run may use the input's memory for something else.
        self.grey = shrunk(input, self.size as usize, self.mask_side);
        let Normalisation { mean, std } = self.normalisation;
        self.grey.iter_mut().for_each(|grey| *grey = *grey * std + mean);
        self.executor.finish();
        Ok(*sampler.grid())
    }

    /// The chosen mask's logits for a prompt on the features in a copy of their bank.
    pub fn decode(&mut self, prompt: &DecoderPrompt, before: Option<&[f32]>, copy: u32) -> Vec<f32> {
        let programs = self.programs;
        prompt.begin(&mut self.executor, &programs, copy, before);
        self.executor.finish();
        let chosen = prompt.choose(self.executor.output(programs.iou));
        let pixels = self.mask_side * self.mask_side;
        let masks = self.executor.output(programs.masks);
        masks[chosen * pixels..][..pixels].to_vec()
    }

    /// The mask where logits, interpolated between pixel centres, are above 0 on the valid part of the input grid.
    pub fn mask(&self, logits: &[f32], grid: &InputGrid) -> Mask {
        enlarged(logits, self.mask_side, grid)
    }
}

/// A square picture at another side, at most its own: each pixel is the mean of those that it covers, as in a session.
fn shrunk(picture: &[f32], size: usize, side: usize) -> Vec<f32> {
    let covered = |at: usize| at * size / side..((at + 1) * size / side).max(at * size / side + 1);
    let mean = |at: usize| {
        let rows = covered(at / side).map(|y| &picture[y * size..][covered(at % side)]);
        let (sum, count) = rows
            .fold((0.0, 0), |(sum, count), pixels| (sum + pixels.iter().sum::<f32>(), count + pixels.len()));
        sum / count as f32
    };
    (0..side * side).map(mean).collect()
}

/// The mask where logits, interpolated between pixel centres, are above 0 on the valid part of the input grid.
fn enlarged(logits: &[f32], side: usize, grid: &InputGrid) -> Mask {
    let size = grid.size() as usize;
    let taps: Vec<(usize, usize, f32)> = (0..size)
        .map(|at| {
            let position = ((at as f32 + 0.5) * side as f32 / size as f32 - 0.5).max(0.0);
            let low = (position as usize).min(side - 1);
            (low, (low + 1).min(side - 1), position - low as f32)
        })
        .collect();
    let mut pixels = vec![false; size * size];
    for (y, &(top, bottom, down)) in taps.iter().enumerate().take(grid.rows() as usize) {
        for (x, &(left, right, across)) in taps.iter().enumerate().take(grid.columns() as usize) {
            let row =
                |row: usize| logits[row * side + left] * (1.0 - across) + logits[row * side + right] * across;
            pixels[y * size + x] = row(top) * (1.0 - down) + row(bottom) * down > 0.0;
        }
    }
    Mask { side: size, pixels }
}
