//! How objects look in a frame: what one frame is compared by with another, in fixed memory.

use super::vectors::mean_direction;
use crate::format::{FileHeader, GRID_MAX};
use crate::kernels::arch::Instructions;
use crate::kernels::bits;
use bytemuck::{Pod, Zeroable};

/// Sizes of the tracker's tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Side of the square masks, pixels.
    pub mask_side: usize,
    /// Side of the square grid of tokens; divides `mask_side`.
    pub grid: usize,
    /// Channels of the embedding.
    pub channels: usize,
    /// Channels of the tracker's keys.
    pub keys: usize,
    /// Cells along a side of the flow.
    pub flow_side: usize,
}

impl Sizes {
    /// Returns the sizes that a file's header states; zeros for a file without a tracker.
    pub const fn of(header: &FileHeader) -> Self {
        Self {
            mask_side: header.mask_size as usize,
            grid: header.grid as usize,
            channels: header.embedding_channels as usize,
            keys: header.key_channels as usize,
            flow_side: header.flow_side as usize,
        }
    }

    /// Returns the number of pixels of a mask.
    pub const fn pixels(&self) -> usize {
        self.mask_side * self.mask_side
    }

    /// Returns the number of tokens of a frame.
    pub const fn tokens(&self) -> usize {
        self.grid * self.grid
    }

    /// Returns the number of values of a flow.
    pub const fn flow_values(&self) -> usize {
        2 * self.flow_side * self.flow_side
    }

    /// Returns the number of words that the bits of a mask take.
    pub const fn mask_words(&self) -> usize {
        self.pixels().div_ceil(u64::BITS as usize)
    }

    /// Returns the number of floats that the directions and shares of a look take.
    pub const fn look_floats(&self) -> usize {
        3 * self.channels + self.tokens()
    }
}

/// Numbers of an object in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Figures {
    /// Pixels.
    pub area: f32,
    /// Centroid, x and y, pixels; 0 for an empty mask.
    pub centre: [f32; 2],
    /// Mean grey level inside.
    pub grey: f32,
    /// Its standard deviation.
    pub spread: f32,
    /// Share of the inside that shows nothing.
    pub dark: f32,
    /// Mean grey level of the frame.
    pub level: f32,
    /// The segmenter's estimate for its answer.
    pub iou: f32,
}

impl Figures {
    /// Returns the figures of another mask, as if it were as large as this one and lay where this one lies.
    pub(super) fn placed_over(&self, other: &Self) -> Self {
        Self { area: self.area, centre: self.centre, ..*other }
    }
}

/// How an object looks in a frame.
#[derive(Debug, Clone, Copy)]
pub struct Look<'a> {
    /// Numbers.
    pub figures: &'a Figures,
    /// The mask's bits, row after row.
    pub mask: &'a [u64],
    floats: &'a [f32],
    channels: usize,
}

impl<'a> Look<'a> {
    /// Returns the mean direction of the embedding inside.
    pub fn inside(&self) -> &'a [f32] {
        &self.floats[..self.channels]
    }

    /// Returns the mean direction of the embedding around it.
    pub fn ring(&self) -> &'a [f32] {
        &self.floats[self.channels..2 * self.channels]
    }

    /// Returns the mean direction of the frame's embedding.
    pub fn whole(&self) -> &'a [f32] {
        &self.floats[2 * self.channels..3 * self.channels]
    }

    /// Returns the share of each token that lies inside.
    pub fn cells(&self) -> &'a [f32] {
        &self.floats[3 * self.channels..]
    }
}

/// Looks of several objects and frames, in the caller's memory.
#[derive(Debug)]
pub struct Looks<'m> {
    sizes: Sizes,
    figures: &'m mut [Figures],
    words: &'m mut [u64],
    floats: &'m mut [f32],
}

/// A frame, as looks are computed from it.
#[derive(Debug, Clone, Copy)]
pub struct FrameView<'a> {
    /// Embedding, `[channels, tokens]`.
    pub embedding: &'a [f32],
    /// One over the length of each token's embedding.
    pub scales: &'a [f32],
    /// Mean direction of the embedding.
    pub whole: &'a [f32],
    /// Grey levels at the masks' resolution.
    pub grey: &'a [f32],
}

/// Width in tokens of the square that is the surroundings of a token.
const RING: usize = 5;
/// Grey level below which a pixel shows nothing.
const GREY_DARK: f32 = 0.03;
/// Most tokens of a frame.
const TOKENS_MAX: usize = (GRID_MAX * GRID_MAX) as usize;

impl<'m> Looks<'m> {
    /// Places `figures.len()` looks in memory: `mask_words` words and `look_floats` floats for each.
    pub fn new(
        sizes: Sizes,
        figures: &'m mut [Figures],
        words: &'m mut [u64],
        floats: &'m mut [f32],
    ) -> Self {
        assert!(words.len() >= figures.len() * sizes.mask_words());
        assert!(floats.len() >= figures.len() * sizes.look_floats());
        Self { sizes, figures, words, floats }
    }

    /// Returns a look.
    pub fn get(&self, at: usize) -> Look<'_> {
        let (words, floats) = (self.sizes.mask_words(), self.sizes.look_floats());
        Look {
            figures: &self.figures[at],
            mask: &self.words[at * words..][..words],
            floats: &self.floats[at * floats..][..floats],
            channels: self.sizes.channels,
        }
    }

    /// Copies a look to another place.
    pub fn copy(&mut self, from: usize, to: usize) {
        let (words, floats) = (self.sizes.mask_words(), self.sizes.look_floats());
        self.figures[to] = self.figures[from];
        self.words.copy_within(from * words..(from + 1) * words, to * words);
        self.floats.copy_within(from * floats..(from + 1) * floats, to * floats);
    }

    /// Replaces the numbers of a look.
    pub fn set_figures(&mut self, at: usize, figures: Figures) {
        self.figures[at] = figures;
    }

    /// Replaces the mask of a look, and its area, by the pixels with positive `odds`.
    pub fn draw(&mut self, at: usize, odds: &[f32], instructions: Instructions) {
        let words = self.sizes.mask_words();
        let mask = &mut self.words[at * words..][..words];
        bits::positive(instructions, odds, mask);
        self.figures[at].area = mask.iter().map(|word| word.count_ones()).sum::<u32>() as f32;
    }

    /// Describes an object's mask: the pixels with positive `odds`.
    pub fn describe(
        &mut self,
        at: usize,
        frame: &FrameView<'_>,
        odds: &[f32],
        iou: f32,
        instructions: Instructions,
    ) {
        let Self { sizes, .. } = *self;
        let (words, floats) = (sizes.mask_words(), sizes.look_floats());
        let mask = &mut self.words[at * words..][..words];
        bits::positive(instructions, odds, mask);
        let floats = &mut self.floats[at * floats..][..floats];
        let (inside, rest) = floats.split_at_mut(sizes.channels);
        let (ring, rest) = rest.split_at_mut(sizes.channels);
        let (whole, cells) = rest.split_at_mut(sizes.channels);
        shares_of_tokens(&sizes, odds, cells);
        whole.copy_from_slice(frame.whole);
        let weights = &mut [0.0; TOKENS_MAX][..sizes.tokens()];
        for (part, of) in [(inside, shares as fn(&Sizes, &[f32], usize) -> f32), (ring, surroundings)] {
            for ((token, weight), scale) in weights.iter_mut().enumerate().zip(frame.scales) {
                *weight = of(&sizes, cells, token) * scale;
            }
            mean_direction(instructions, frame.embedding, weights, part);
        }
        self.figures[at] = Figures { iou, ..figures(&sizes, odds, frame.grey) };
    }
}

/// Writes the share of each token that the mask covers.
fn shares_of_tokens(sizes: &Sizes, odds: &[f32], cells: &mut [f32]) {
    let step = sizes.mask_side / sizes.grid;
    cells.fill(0.0);
    for (y, row) in odds.chunks_exact(sizes.mask_side).enumerate() {
        let cells = &mut cells[y / step * sizes.grid..][..sizes.grid];
        for (cell, pixels) in cells.iter_mut().zip(row.chunks_exact(step)) {
            *cell += pixels.iter().filter(|&&odds| odds > 0.0).count() as f32;
        }
    }
    let all = (step * step) as f32;
    for cell in cells {
        *cell /= all;
    }
}

/// A token's share.
fn shares(_: &Sizes, cells: &[f32], token: usize) -> f32 {
    cells[token]
}

/// The largest share in a token's surroundings, minus its own.
fn surroundings(sizes: &Sizes, cells: &[f32], token: usize) -> f32 {
    let (x, y) = (token % sizes.grid, token / sizes.grid);
    let reach = |at: usize| at.saturating_sub(RING / 2)..(at + RING / 2 + 1).min(sizes.grid);
    let most = reach(y)
        .flat_map(|y| cells[y * sizes.grid..][reach(x)].iter())
        .fold(0.0, |most: f32, &share| most.max(share));
    (most - cells[token]).max(0.0)
}

/// Area, centroid and grey levels of a mask. Sums are in double precision, so that their order does not tell.
fn figures(sizes: &Sizes, odds: &[f32], grey: &[f32]) -> Figures {
    let (mut area, mut x_sum, mut y_sum, mut dark) = (0u64, 0u64, 0u64, 0u64);
    let (mut sum, mut squares) = (0.0f64, 0.0f64);
    for (y, (odds, grey)) in
        odds.chunks_exact(sizes.mask_side).zip(grey.chunks_exact(sizes.mask_side)).enumerate()
    {
        let mut in_row = 0;
        for (x, (odds, grey)) in (0u64..).zip(odds.iter().zip(grey)) {
            if *odds > 0.0 {
                in_row += 1;
                x_sum += x;
                dark += u64::from(*grey < GREY_DARK);
                sum += f64::from(*grey);
                squares += f64::from(*grey) * f64::from(*grey);
            }
        }
        area += in_row;
        y_sum += in_row * y as u64;
    }
    let total = area.max(1) as f64;
    let mean = sum / total;
    let level = grey.iter().map(|&grey| f64::from(grey)).sum::<f64>() / grey.len().max(1) as f64;
    Figures {
        area: area as f32,
        centre: [x_sum, y_sum].map(|sum| (sum as f64 / total) as f32),
        grey: mean as f32,
        spread: libm::sqrt((squares / total - mean * mean).max(0.0)) as f32,
        dark: (dark as f64 / total) as f32,
        level: level as f32,
        iou: 0.0,
    }
}
