//! The weighted mean of the stored samples around a position.
//!
//! The weights are a separable triangle, `max(0, 1 - |i - centre| / half)` along the line and across the lines,
//! normalised to sum 1 over the samples that exist.

use super::amplitude::{GainCurve, GreyTable, IqLevels};
use super::error::{VisionError, need};
use sonotrace_hal::frame::Frame;
use sonotrace_hal::geometry::{Geometry, Raster};

/// Fractional bits of positions among the samples.
const FRACTION: u32 = 16;
/// One sample, or one line, in positions.
pub(super) const ONE: i32 = 1 << FRACTION;

/// Samples along a line whose weights are held at a time.
const TAPS_AT_ONCE: usize = 16;

/// The samples along one axis that a pixel reads, and their weights. Always at least one, and always samples that exist,
/// for any position.
pub(super) struct Taps {
    first: usize,
    last: usize,
    pub centre_q16: i32,
    per_half: f32,
}

impl Taps {
    pub fn around(centre_q16: i32, half: f32, count: usize) -> Self {
        // Half a sample beyond the outermost still leaves one with weight. All below 2^31: count <= 2^13, half <= 2^13.
        let centre_q16 = centre_q16.clamp(-ONE / 2, ((count as i32) << FRACTION) - ONE / 2);
        let half_q16 = (half * ONE as f32) as i32;
        let first = (centre_q16 - half_q16 + (ONE - 1)) >> FRACTION;
        let last = (centre_q16 + half_q16) >> FRACTION;
        Self {
            first: first.max(0) as usize,
            last: (last as usize).min(count - 1),
            centre_q16,
            per_half: 1.0 / half_q16 as f32,
        }
    }

    /// Returns the number of taps.
    pub fn count(&self) -> usize {
        self.last + 1 - self.first
    }

    /// Returns the maximum number of taps of any position.
    pub fn count_max(half: f32, count: u32) -> u32 {
        ((2.0 * half) as u32 + 1).min(count)
    }

    fn weight(&self, index: usize) -> f32 {
        let distance_q16 = (((index as i32) << FRACTION) - self.centre_q16).abs();
        1.0 - distance_q16 as f32 * self.per_half
    }

    fn sum(&self) -> f32 {
        (self.first..=self.last).map(|index| self.weight(index)).sum()
    }
}

/// The samples of a checked payload that show the scan.
pub(super) struct Source<'a> {
    payload: &'a [u8],
    pub lines: usize,
    pub samples: usize,
    stride: usize,
    sample_bytes: usize,
}

impl<'a> Source<'a> {
    pub fn new(frame: &Frame, payload: &'a [u8]) -> Result<Self, VisionError> {
        let (stride, sample_bytes) = (frame.stride_bytes as usize, frame.sample_type.bytes() as usize);
        let (lines, samples) = (frame.lines as usize, frame.samples as usize);
        if stride < samples * sample_bytes {
            return Err(VisionError::Mismatch { a: "samples", b: "stride_bytes" });
        }
        // A saturated product is longer than any payload.
        let needed = stride.saturating_mul(lines - 1).saturating_add(samples * sample_bytes);
        need("payload", payload.len(), needed)?;
        let Geometry::Raster(Raster { content, .. }) = frame.geometry else {
            return Ok(Self { payload, lines, samples, stride, sample_bytes });
        };
        let first = content.row as usize * stride + content.column as usize * sample_bytes;
        let (lines, samples) = (content.rows as usize, content.columns as usize);
        Ok(Self { payload: &payload[first..], lines, samples, stride, sample_bytes })
    }

    fn line(&self, line: usize) -> &[u8] {
        debug_assert!(line < self.lines);
        &self.payload[line * self.stride..][..self.samples * self.sample_bytes]
    }

    /// Returns the mean of normalised grey levels around a position.
    pub fn mean(&self, along: &Taps, across: &Taps, levels: &impl StoredLevels, grey: &GreyTable) -> f32 {
        let mut total = 0.0;
        let mut weights = [0.0; TAPS_AT_ONCE];
        // Nearly always a single pass; the weights are used for all lines.
        for first in (along.first..=along.last).step_by(TAPS_AT_ONCE) {
            let count = (along.last + 1 - first).min(TAPS_AT_ONCE);
            let weights = &mut weights[..count];
            for (offset, weight) in weights.iter_mut().enumerate() {
                *weight = along.weight(first + offset);
            }
            for line in across.first..=across.last {
                let stored = self.line(line)[first * self.sample_bytes..].chunks_exact(self.sample_bytes);
                let mut sum = 0.0;
                for (weight, stored) in weights.iter().zip(stored) {
                    sum += weight * levels.finished(stored, grey);
                }
                total += across.weight(line) * sum;
            }
        }
        total / (along.sum() * across.sum())
    }

    /// Computes [`Self::mean`] with a gain that depends on the sample's depth. Works sample by sample, so that the gain
    /// is computed once for all lines.
    pub fn compensated_mean(
        &self,
        along: &Taps,
        across: &Taps,
        levels: &impl StoredLevels,
        grey: &GreyTable,
        curve: &GainCurve,
    ) -> f32 {
        let mut total = 0.0;
        for sample in along.first..=along.last {
            let gain = curve.gain_of(sample);
            let mut sum = 0.0;
            for line in across.first..=across.last {
                let stored = &self.line(line)[sample * self.sample_bytes..][..self.sample_bytes];
                sum += across.weight(line) * grey.finish(levels.level(stored) + gain);
            }
            total += along.weight(sample) * sum;
        }
        total / (along.sum() * across.sum())
    }
}

/// Grey levels by the bytes of a stored sample.
pub(super) trait StoredLevels {
    /// Returns the level in the grey table: finished, or without the pending curve.
    fn level(&self, stored: &[u8]) -> f32;
    /// Returns the limited and normalised level, if no curve is pending.
    fn finished(&self, stored: &[u8], grey: &GreyTable) -> f32;
}

/// Levels of 8-bit samples.
pub(super) struct Bytes<'a>(pub &'a [f32; 256]);

impl StoredLevels for Bytes<'_> {
    fn level(&self, stored: &[u8]) -> f32 {
        self.0[usize::from(stored[0])]
    }

    fn finished(&self, stored: &[u8], _: &GreyTable) -> f32 {
        // The table of bytes already holds finished levels.
        self.level(stored)
    }
}

impl StoredLevels for IqLevels {
    fn level(&self, stored: &[u8]) -> f32 {
        self.of(i16::from_le_bytes([stored[0], stored[1]]), i16::from_le_bytes([stored[2], stored[3]]))
    }

    fn finished(&self, stored: &[u8], grey: &GreyTable) -> f32 {
        grey.finish(self.level(stored))
    }
}
