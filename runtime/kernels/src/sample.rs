//! Samples an image from the lines of a frame: a pixel is the weighted mean of the stored samples around a position.
//!
//! The weights are a separable triangle, `max(0, 1 - |i - centre| / half)` along the line and across the lines, normalised to
//! sum 1 over the samples that exist.
//!
//! Blocks of pixels are computed side by side, so that the compiler vectorises all but the reading of their samples. In a picture the
//! pixels of a block read the same lines, so that the sums across the lines are computed once for all of them.

use crate::arch::{Instructions, Isa, Work};
use bytemuck::{Pod, Zeroable};
use core::ops::Range;

/// Most lines to either side that a pixel near a sector's apex is averaged over. Without a limit a pixel at the apex
/// itself would read every sample of the fan.
pub const SECTOR_HALF_LINES_MAX: f32 = 16.0;

/// Pixels that are computed side by side.
const BLOCK: usize = 64;
/// Samples of a line that are read together.
const TAPS: usize = 8;
/// Most bytes of a sample.
const SAMPLE_BYTES_MAX: usize = 4;
/// Most samples of a line whose sums across the lines are kept.
const COLUMNS: usize = 2560;
/// Steps of an offset of 1.
const OFFSET_STEPS: f32 = 16_384.0;

/// A number for each pixel of a block.
type Floats = [f32; BLOCK];

/// Stored samples.
#[derive(Debug, Clone, Copy)]
pub struct Lines<'a> {
    /// Their bytes, from the first sample of the first line to the last of the last.
    pub bytes: &'a [u8],
    /// Number of lines, 1 to 2^13.
    pub lines: usize,
    /// Samples of a line, 1 to 2^13.
    pub samples: usize,
    /// Bytes from a line to the next.
    pub stride: usize,
}

/// Half-widths of the triangle, at least 1 and at most 2^13.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// Along the line, samples.
    pub half_samples: f32,
    /// Across the lines.
    pub half_lines: HalfLines,
}

/// Half-width of the triangle across lines.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HalfLines {
    /// The same everywhere, lines.
    Constant(f32),
    /// The arc between lines grows with the radius: `reach / (apex + sample)` lines, at least 1 and at most
    /// [`SECTOR_HALF_LINES_MAX`].
    Sector {
        /// Radius at which neighbouring lines are as far apart as pixels, samples.
        reach: f32,
        /// Radius of the first sample, samples.
        apex: f32,
    },
}

impl Filter {
    /// Returns the most samples that a pixel reads of a line of `samples`.
    #[inline(always)]
    fn samples_max(&self, samples: usize) -> usize {
        taps(self.half_samples).min(samples)
    }

    /// Returns the largest half-width across the lines.
    pub const fn half_lines_max(&self) -> f32 {
        match self.half_lines {
            HalfLines::Constant(half) => half,
            HalfLines::Sector { .. } => SECTOR_HALF_LINES_MAX,
        }
    }

    /// Returns the decrease of the weight from one line to the next, by position along the line.
    #[inline(always)]
    fn line_slope(&self) -> LineSlope {
        match self.half_lines {
            HalfLines::Constant(half) => {
                LineSlope { at_zero: 0.0, rise: 0.0, least: 1.0 / half, most: 1.0 / half }
            }
            HalfLines::Sector { reach, apex } => LineSlope {
                at_zero: apex / reach,
                rise: 1.0 / reach,
                least: 1.0 / SECTOR_HALF_LINES_MAX,
                most: 1.0,
            },
        }
    }
}

/// A limited linear function.
#[derive(Clone, Copy)]
struct LineSlope {
    at_zero: f32,
    rise: f32,
    least: f32,
    most: f32,
}

impl LineSlope {
    #[inline(always)]
    fn at(self, sample: f32) -> f32 {
        let slope = self.at_zero + self.rise * sample;
        let slope = if slope > self.least { slope } else { self.least };
        if slope < self.most { slope } else { self.most }
    }
}

/// Returns the most whole numbers that are closer than `half` to a position.
#[inline(always)]
fn taps(half: f32) -> usize {
    libm::ceilf(2.0 * half) as usize
}

/// The samples around a pixel: the first of them, and the offset from there to the pixel's position, in half-widths, with an error of
/// at most 2^-15.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Place {
    first_sample: u16,
    first_line: u16,
    sample_offset: u16,
    line_offset: u16,
}

impl Place {
    /// Returns the place of the position `sample` along the lines and `line` across them, limited to half a sample around `samples` and
    /// `lines`, 1 to 2^13.
    // Inlined, so that what is the same for all pixels is computed once.
    #[inline]
    pub fn new(filter: &Filter, [sample, line]: [f64; 2], samples: usize, lines: usize) -> Self {
        // In `i32`: conversions of other integers take longer.
        let axis = |centre: f64, slope: f32, count: usize, last: usize| {
            let slope = f64::from(slope);
            let centre = centre.max(-0.5).min(f64::from(count as i32) - 0.5);
            let before = centre - 1.0 / slope;
            // The first sample closer than the half-width. Conversions cut off the fraction of a positive number.
            let first = if before < 0.0 { 0 } else { (before as i32 + 1).min(last as i32) };
            let offset = (centre - f64::from(first)) * slope + 1.0;
            (first as u16, (offset * f64::from(OFFSET_STEPS) + 0.5) as i32 as u16)
        };
        let half = filter.half_samples;
        let last = samples - filter.samples_max(samples);
        let (first_sample, sample_offset) = axis(sample, 1.0 / half, samples, last);
        let slope = filter.line_slope().at(f32::from(first_sample) + offset(sample_offset) * half);
        let (first_line, line_offset) = axis(line, slope, lines, lines - 1);
        Self { first_sample, first_line, sample_offset, line_offset }
    }

    /// Returns a pixel outside the scanned field: the first of a `run` of them, at least one.
    pub const fn outside(run: u16) -> Self {
        Self { first_sample: u16::MAX, first_line: run, sample_offset: 0, line_offset: 0 }
    }

    #[inline(always)]
    fn is_outside(&self) -> bool {
        self.first_sample == u16::MAX
    }

    /// Returns how many pixels from this one on are outside; `None` if it is inside.
    #[inline(always)]
    fn outside_run(&self) -> Option<usize> {
        self.is_outside().then(|| usize::from(self.first_line).max(1))
    }
}

/// Returns a stored offset in half-widths.
#[inline(always)]
fn offset(stored: u16) -> f32 {
    f32::from(stored) * (1.0 / OFFSET_STEPS) - 1.0
}

/// How stored samples become pixels.
#[derive(Clone, Copy)]
pub struct Grey<'a> {
    /// The meaning of a stored sample.
    pub levels: Levels<'a>,
    /// Added to the level of each sample of a line, by its index, before the level is limited to 0..1.
    pub gain: Option<&'a dyn Fn(usize) -> f32>,
    /// Subtracted from the mean level.
    pub mean: f32,
    /// Divisor after that.
    pub std: f32,
}

/// Levels of stored samples.
#[derive(Debug, Clone, Copy)]
pub enum Levels<'a> {
    /// A byte, in steps of 1/255. Without gain.
    Bytes,
    /// By stored byte. Within 0..1 if there is no gain.
    Table(&'a [f32; 256]),
    /// Of a pair of 16-bit integers, the logarithm of the power, limited to 0..1.
    Power(PowerLevels),
}

/// Log compression of pairs: the level is linear in the logarithm of the power, the sum of both squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLevels {
    /// Level of power 1.
    pub offset: f32,
    /// Level for each doubling of the power.
    pub per_octave: f32,
}

impl PowerLevels {
    /// Returns the level of a pair. Zero power is minus infinity, whatever the offset.
    #[inline(always)]
    pub fn of(&self, pair: [i16; 2]) -> f32 {
        let [a, b] = pair.map(i32::from);
        // At most 2^31.
        let power = (a * a) as u32 + (b * b) as u32;
        let level = log2(power, self.per_octave, self.offset);
        if power == 0 { f32::NEG_INFINITY } else { level }
    }
}

/// Computes the base-2 logarithm of a positive integer, with an error of 2e-6, times a factor plus an addend: the exponent, and for
/// the mantissa `1 + x` a polynomial that interpolates `log2(1 + x) / x` at Chebyshev's points. Plain arithmetic, so that it is fast
/// and has the same bits on every platform; in terms that a processor computes at the same time.
#[inline(always)]
fn log2(value: u32, factor: f32, addend: f32) -> f32 {
    let bits = (value as f32).to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let x = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000) - 1.0;
    let x2 = x * x;
    let low = (1.442_694_7 - 0.721_306_76 * x) + x2 * (0.480_012_46 - 0.353_096_35 * x);
    let high = (0.255_176_35 - 0.154_152 * x) + x2 * (0.062_748_43 - 0.012_077_02 * x);
    (addend + factor * exponent as f32) + (factor * x) * (low + x2 * x2 * high)
}

/// Samples pixels at `places` into as many elements of `out`, until all are done or the work reaches `work_max`. Any places are
/// valid. Pixels outside the field have level 0. Returns the number of pixels and the work: one unit for each pixel outside,
/// and for other pixels as many as the samples that they read, or that a pixel near them reads.
///
/// # Panics
/// If `lines` has fewer bytes than its other fields imply, or `out` fewer elements than there are places.
pub fn sample(
    instructions: Instructions,
    lines: &Lines<'_>,
    filter: &Filter,
    grey: &Grey<'_>,
    places: &[Place],
    out: &mut [f32],
    work_max: u32,
) -> (usize, u32) {
    let out = &mut out[..places.len()];
    instructions.run(Sample { lines, filter, grey, places, out, work_max })
}

struct Sample<'a> {
    lines: &'a Lines<'a>,
    filter: &'a Filter,
    grey: &'a Grey<'a>,
    places: &'a [Place],
    out: &'a mut [f32],
    work_max: u32,
}

impl Work for Sample<'_> {
    type Output = (usize, u32);

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> (usize, u32) {
        match (self.grey.levels, self.grey.gain) {
            (Levels::Bytes, _) => self.with(Bytes),
            (Levels::Table(table), None) => self.with(Table(table)),
            (Levels::Table(table), Some(_)) => self.with(WithGain(Table(table))),
            (Levels::Power(levels), None) => self.with(levels),
            (Levels::Power(levels), Some(_)) => self.with(WithGain(levels)),
        }
    }
}

impl Sample<'_> {
    #[inline(always)]
    fn with<S: Stored>(self, stored: S) -> (usize, u32) {
        let Self { lines, filter, grey, places, out, work_max } = self;
        let outside = (0.0 - grey.mean) / grey.std;
        let (mut done, mut work) = (0, 0);
        let mut scratch = Scratch { columns: [0.0; COLUMNS], rows: [[0.0; TAPS]; BLOCK] };
        while done < places.len() && work < work_max {
            let left = &places[done..];
            if let Some(run) = left[0].outside_run() {
                let run = run.min(left.len()).min((work_max - work) as usize);
                out[done..][..run].fill(outside);
                (done, work) = (done + run, work + run as u32);
                continue;
            }
            let block = Block::new(&left[..left.len().min(BLOCK)], filter, lines);
            let each = (block.samples * block.lines) as u32;
            let count = left.len().min(BLOCK).min((work_max - work).div_ceil(each) as usize);
            let out = &mut out[done..][..count];
            (done, work) = (done + count, work.saturating_add(count as u32 * each));
            let levels = block.levels(stored, lines, grey.gain, &mut scratch);
            for (at, out) in out.iter_mut().enumerate() {
                let value = (levels[at] * S::UNIT - grey.mean) / grey.std;
                *out = if block.inside[at] != 0 { value } else { outside };
            }
        }
        (done, work)
    }
}

/// Buffers that are written before they are read.
#[repr(align(64))]
struct Scratch {
    /// Sums across the lines that all pixels of a block read.
    columns: [f32; COLUMNS],
    /// Weighted levels of each pixel.
    rows: [[f32; TAPS]; BLOCK],
}

/// Pixels that are computed side by side; the first is inside, those behind the last are outside.
#[repr(align(64))]
struct Block {
    first_sample: [i32; BLOCK],
    first_line: [i32; BLOCK],
    sample_offset: Floats,
    line_offset: Floats,
    /// Decrease of the weight from one sample to the next, and from one line to the next.
    sample_slope: f32,
    line_slope: Floats,
    /// All bits, or none for a pixel outside.
    inside: [u32; BLOCK],
    /// Most samples of a line, and lines, that a pixel reads.
    samples: usize,
    lines: usize,
}

impl Block {
    #[inline(always)]
    fn new(places: &[Place], filter: &Filter, lines: &Lines<'_>) -> Self {
        let mut block = [Place::outside(1); BLOCK];
        block[..places.len()].copy_from_slice(places);
        let samples = filter.samples_max(lines.samples);
        let mut own = Self {
            first_sample: [0; BLOCK],
            first_line: [0; BLOCK],
            sample_offset: [0.0; BLOCK],
            line_offset: [0.0; BLOCK],
            sample_slope: 1.0 / filter.half_samples,
            line_slope: [0.0; BLOCK],
            inside: [0; BLOCK],
            samples,
            lines: 0,
        };
        let (line_slope, half_samples) = (filter.line_slope(), filter.half_samples);
        let mut least = 1.0f32.to_bits();
        for (at, place) in block.iter().enumerate() {
            let inside = if place.is_outside() { 0 } else { u32::MAX };
            // Any place reads samples that exist.
            let first_sample = i32::from(place.first_sample).min((lines.samples - samples) as i32);
            let sample_offset = offset(place.sample_offset);
            let slope = line_slope.at(first_sample as f32 + sample_offset * half_samples);
            own.first_sample[at] = first_sample;
            own.first_line[at] = i32::from(place.first_line).min(lines.lines as i32 - 1);
            own.sample_offset[at] = sample_offset;
            own.line_offset[at] = offset(place.line_offset);
            own.line_slope[at] = slope;
            own.inside[at] = inside;
            // The bits of positive numbers are ordered like the numbers.
            least = least.min(slope.to_bits() | !inside);
        }
        let half = 1.0 / f32::from_bits(least);
        own.lines = taps(half.min(filter.half_lines_max())).min(lines.lines);
        own
    }

    /// Computes the weighted means of the levels around each pixel; those of pixels outside are any.
    #[inline(always)]
    fn levels<S: Stored>(
        &self,
        stored: S,
        lines: &Lines<'_>,
        gain: Option<&dyn Fn(usize) -> f32>,
        scratch: &mut Scratch,
    ) -> Floats {
        let Scratch { columns, rows } = scratch;
        let shared = if S::BYTES == 1 && !S::HAS_GAIN { self.shared(lines) } else { None };
        let shared = shared.map(|range| (range.start, self.sum_lines(stored, lines, range, columns)));
        let [mut sums, mut totals] = [[0.0; BLOCK]; 2];
        for from in (0..self.samples).step_by(TAPS) {
            let mut distances = [0.0; TAPS];
            for (tap, distance) in distances.iter_mut().enumerate() {
                // What is read behind the line has no weight.
                let tap = from + tap;
                *distance = if tap < self.samples { tap as f32 * self.sample_slope } else { f32::INFINITY };
            }
            if let Some((start, total)) = shared {
                totals = [total; BLOCK];
                for (at, row) in rows.iter_mut().enumerate() {
                    if self.inside[at] != 0 {
                        let column = self.first_sample[at] as usize + from - start;
                        row.copy_from_slice(&columns[column..][..TAPS]);
                        self.weigh(at, &distances, row);
                    }
                }
            } else {
                for (at, row) in rows.iter_mut().enumerate() {
                    if self.inside[at] != 0 {
                        totals[at] = self.across(stored, lines, gain, at, from, row);
                        self.weigh(at, &distances, row);
                    }
                }
            }
            for (sum, row) in sums.iter_mut().zip(&*rows) {
                *sum += tree_sum(*row);
            }
        }
        let mut along = [0.0; BLOCK];
        for tap in 0..self.samples {
            let distance = tap as f32 * self.sample_slope;
            for (along, offset) in along.iter_mut().zip(&self.sample_offset) {
                *along += positive(1.0 - (offset - distance).abs());
            }
        }
        for at in 0..BLOCK {
            let total = totals[at] * along[at];
            // At places that no filter gives, there may be no weight.
            sums[at] = if total > 0.0 { sums[at] / total } else { 0.0 };
        }
        sums
    }

    /// Multiplies sums across the lines with the weights of the samples, whose distances from the first are in half-widths.
    #[inline(always)]
    fn weigh(&self, at: usize, distances: &[f32; TAPS], sums: &mut [f32; TAPS]) {
        for (sum, distance) in sums.iter_mut().zip(distances) {
            *sum *= positive(1.0 - (self.sample_offset[at] - distance).abs());
        }
    }

    /// Computes the weighted sums across the lines that pixel `at` reads, for [`TAPS`] samples from the one `from` after its first; returns the sum of the weights. What is
    /// read behind a line has no weight along the line.
    #[inline(always)]
    fn across<S: Stored>(
        &self,
        stored: S,
        lines: &Lines<'_>,
        gain: Option<&dyn Fn(usize) -> f32>,
        at: usize,
        from: usize,
        sums: &mut [f32; TAPS],
    ) -> f32 {
        let sample = self.first_sample[at] as usize + from;
        let mut gains = [0.0; TAPS];
        if let Some(gain) = gain.filter(|_| S::HAS_GAIN) {
            for (tap, to) in gains.iter_mut().enumerate() {
                *to = gain(sample + tap);
            }
        }
        let (mut own, mut total) = ([0.0; TAPS], 0.0);
        let mut padded = [0; TAPS * SAMPLE_BYTES_MAX];
        let first = self.first_line[at] as usize;
        let (mut offset, slope) = (self.line_offset[at], self.line_slope[at]);
        // In `u32`: so that its end is known not to overflow.
        let mut start = (first * lines.stride + sample * S::BYTES) as u32;
        for _ in 0..self.lines.min(lines.lines - first) {
            let weight = positive(1.0 - offset.abs());
            let at = start as usize;
            let bytes = match lines.bytes.get(at..at + TAPS * S::BYTES) {
                Some(bytes) => bytes,
                None => pad(&mut padded, &lines.bytes[at..]),
            };
            let levels = stored.levels(bytes, &gains);
            for tap in 0..TAPS {
                own[tap] += weight * levels[tap];
            }
            total += weight;
            offset -= slope;
            start += lines.stride as u32;
        }
        *sums = own;
        total
    }

    /// Returns the samples of a line that the block reads, if all its pixels read the same lines and the samples are not too many.
    #[inline(always)]
    fn shared(&self, lines: &Lines<'_>) -> Option<Range<usize>> {
        let (mut low, mut high, mut differs) = (u32::MAX, 0, 0);
        for at in 0..BLOCK {
            let (first, inside) = (self.first_sample[at].cast_unsigned(), self.inside[at]);
            low = low.min(first | !inside);
            high = high.max(first & inside);
            let lines = self.first_line[at] ^ self.first_line[0];
            let offsets = self.line_offset[at].to_bits() ^ self.line_offset[0].to_bits();
            let slopes = self.line_slope[at].to_bits() ^ self.line_slope[0].to_bits();
            differs |= (lines.cast_unsigned() | offsets | slopes) & inside;
        }
        let length = high as usize + self.samples.next_multiple_of(TAPS) - low as usize;
        // Whole vectors.
        let end = (low as usize + length.next_multiple_of(BLOCK)).min(lines.samples);
        let range = low as usize..end;
        (differs == 0 && range.len() <= COLUMNS - TAPS).then_some(range)
    }

    /// Computes the weighted sums across the lines that all pixels read, and the sum of the weights. What is behind the range in
    /// `columns` has no weight along the line.
    #[inline(always)]
    fn sum_lines<S: Stored>(
        &self,
        stored: S,
        lines: &Lines<'_>,
        range: Range<usize>,
        columns: &mut [f32; COLUMNS],
    ) -> f32 {
        columns[..range.len()].fill(0.0);
        let first = self.first_line[0] as usize;
        let (mut offset, mut total) = (self.line_offset[0], 0.0);
        for line in first..lines.lines.min(first + self.lines) {
            let weight = positive(1.0 - offset.abs());
            let start = line * lines.stride + range.start * S::BYTES;
            let bytes = &lines.bytes[start..][..range.len() * S::BYTES];
            for (column, bytes) in columns.iter_mut().zip(bytes.chunks_exact(S::BYTES)) {
                *column += weight * stored.level(bytes, 0.0);
            }
            total += weight;
            offset -= self.line_slope[0];
        }
        total
    }
}

/// Copies the last samples, too few to be read together, to where they can be.
#[cold]
fn pad<'p>(padded: &'p mut [u8; TAPS * SAMPLE_BYTES_MAX], rest: &[u8]) -> &'p [u8] {
    padded[..rest.len()].copy_from_slice(rest);
    padded
}

/// Sums in pairs, which a processor computes at the same time.
#[inline(always)]
fn tree_sum(v: [f32; TAPS]) -> f32 {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

/// Returns a number, or 0 if it is negative.
#[inline(always)]
fn positive(value: f32) -> f32 {
    if value > 0.0 { value } else { 0.0 }
}

/// A kind of stored samples.
trait Stored: Copy {
    /// Bytes of a sample.
    const BYTES: usize;
    /// Whether samples have a gain.
    const HAS_GAIN: bool = false;
    /// The unit of the levels.
    const UNIT: f32 = 1.0;

    /// Returns the level of the sample at the start of `bytes`.
    fn unlimited(self, bytes: &[u8]) -> f32;

    /// Returns its level, limited to 0..1 after the gain is added.
    #[inline(always)]
    fn level(self, bytes: &[u8], _gain: f32) -> f32 {
        self.unlimited(bytes)
    }

    /// Returns the levels of the first samples.
    #[inline(always)]
    fn levels(self, bytes: &[u8], gains: &[f32; TAPS]) -> [f32; TAPS] {
        let mut levels = [0.0; TAPS];
        let bytes = bytes[..TAPS * Self::BYTES].chunks_exact(Self::BYTES);
        for ((level, bytes), gain) in levels.iter_mut().zip(bytes).zip(gains) {
            *level = self.level(bytes, *gain);
        }
        levels
    }
}

#[derive(Clone, Copy)]
struct Bytes;

#[derive(Clone, Copy)]
struct Table<'a>(&'a [f32; 256]);

#[derive(Clone, Copy)]
struct WithGain<S>(S);

impl Stored for Bytes {
    const BYTES: usize = 1;
    const UNIT: f32 = 1.0 / 255.0;

    #[inline(always)]
    fn unlimited(self, bytes: &[u8]) -> f32 {
        bytes[0].into()
    }
}

impl Stored for Table<'_> {
    const BYTES: usize = 1;

    #[inline(always)]
    fn unlimited(self, bytes: &[u8]) -> f32 {
        self.0[usize::from(bytes[0])]
    }
}

impl Stored for PowerLevels {
    const BYTES: usize = 4;

    #[inline(always)]
    fn unlimited(self, bytes: &[u8]) -> f32 {
        self.of([i16::from_le_bytes([bytes[0], bytes[1]]), i16::from_le_bytes([bytes[2], bytes[3]])])
    }

    #[inline(always)]
    fn level(self, bytes: &[u8], _: f32) -> f32 {
        self.unlimited(bytes).clamp(0.0, 1.0)
    }
}

impl<S: Stored> Stored for WithGain<S> {
    const BYTES: usize = S::BYTES;
    const HAS_GAIN: bool = true;

    #[inline(always)]
    fn unlimited(self, bytes: &[u8]) -> f32 {
        self.0.unlimited(bytes)
    }

    #[inline(always)]
    fn level(self, bytes: &[u8], gain: f32) -> f32 {
        (self.unlimited(bytes) + gain).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log2_has_an_error_below_4e_6() {
        let powers =
            (0..31).flat_map(|shift| [0u32, 1, 77, 1000, 0x5555_5555].map(|odd| (1 << shift) | odd >> 3));
        for power in powers.filter(|power| *power > 0).chain([1, 2, 3, 1 << 31]) {
            let (seen, expected) = (f64::from(log2(power, 1.0, 0.0)), libm::log2(f64::from(power)));
            assert!((seen - expected).abs() < 4e-6, "log2({power}) is {expected}, not {seen}");
        }
    }
}
