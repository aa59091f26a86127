//! The `.raw`: header, times and samples.

use super::parameters::Parameters;
use crate::error::{Place, ReplayError, Source};
use crate::recording::FRAMES_MAX;

/// Size of the header in bytes.
const HEADER_BYTES: usize = 20;
/// Size of a frame's time in bytes.
const TIME_BYTES: usize = 8;

/// A `.raw` of single-byte samples, whose length matches its header.
#[derive(Debug)]
pub(super) struct Raw<'a> {
    lines: u32,
    samples: u32,
    frames: u32,
    bytes: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Reads the header, and checks that exactly its frames follow.
    pub fn parse(source: Source<'_>, raw: &'a [u8]) -> Result<Self, ReplayError> {
        let Some((header, bytes)) = raw.split_first_chunk::<HEADER_BYTES>() else {
            let problem = format!("truncated: {} bytes, the header has {HEADER_BYTES}", raw.len());
            return Err(source.malformed(Place::Byte(raw.len() as u64), problem));
        };
        let [_, frames, lines, samples, sample_bytes] =
            [0, 1, 2, 3, 4].map(|word| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[4 * word + byte])));
        if sample_bytes != 1 {
            let what = format!("samples of {sample_bytes} bytes");
            let fix = "an envelope has samples of one byte: give the recording's env.raw";
            return Err(source.unsupported(Place::Byte(16), what, fix));
        }
        if u64::from(frames) > FRAMES_MAX {
            let fix = "cut the recording into shorter ones";
            return Err(source.too_large(Place::Byte(4), "frames", frames.into(), FRAMES_MAX, fix));
        }
        // No overflow in 128 bits.
        let frame_bytes = TIME_BYTES as u128 + u128::from(lines) * u128::from(samples);
        let needed = u128::from(frames) * frame_bytes;
        let seen = bytes.len() as u128;
        if seen < needed {
            let problem = format!(
                "truncated: {frames} frames of {lines} x {samples} need {needed} bytes after the header, {seen} follow"
            );
            return Err(source.malformed(Place::Frame(1 + (seen / frame_bytes) as u64), problem));
        }
        if seen > needed {
            let place = Place::Byte(HEADER_BYTES as u64 + needed as u64);
            return Err(
                source.malformed(place, format!("{} bytes more than the header declares", seen - needed))
            );
        }
        Ok(Self { lines, samples, frames, bytes })
    }

    /// Checks that the header agrees with the parameters.
    pub fn check_against(&self, source: Source<'_>, parameters: &Parameters) -> Result<(), ReplayError> {
        let both = [
            (4, "frames", self.frames, parameters.frames.unwrap_or(self.frames)),
            (8, "lines", self.lines, parameters.lines),
            (12, "samples per line", self.samples, parameters.samples),
        ];
        for (byte, what, seen, declared) in both {
            if seen != declared {
                let problem = format!(
                    "{seen} {what}, but the .yml declares {declared}: the two are of different recordings"
                );
                return Err(source.malformed(Place::Byte(byte), problem));
            }
        }
        Ok(())
    }

    /// Time in nanoseconds and samples of every frame.
    pub fn frames(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let frame_bytes = TIME_BYTES + self.lines as usize * self.samples as usize;
        self.bytes.chunks_exact(frame_bytes).filter_map(|frame| {
            let (time, samples) = frame.split_first_chunk::<TIME_BYTES>()?;
            Some((u64::from_le_bytes(*time), samples))
        })
    }
}
