//! What the user knows and the recording does not say.

use crate::error::ReplayError;
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};

/// Bytes of payload that [`Options::bytes_max`] allows by default: two minutes of 640x480 at 30 frames per second.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 30;

/// What the user knows and the recording does not say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Pixel pitch of pictures in millimetres, both ways; it goes before the file's own. Command line: `--spacing`.
    pub spacing_mm: Option<f32>,
    /// Frames per second where the recording gives no times. Command line: `--fps`.
    pub frame_rate_hz: f32,
    /// Width and height in pixels of the picture that a DICOM file's ultrasound regions were calibrated on, where it
    /// has been made smaller or larger since. Command line: `--calibrated-size`.
    pub calibrated_size: Option<(u32, u32)>,
    /// Distance in millimetres from one element of the probe to the next, for Clarius recordings, which do not say.
    /// Command line: `--pitch`.
    pub pitch_mm: Option<f32>,
    /// Dynamic range in dB of recordings that do not say. Command line: `--range-db`.
    pub range_db: f32,
    /// Most bytes of payload that the recording may come to in memory.
    pub bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spacing_mm: None,
            frame_rate_hz: 25.0,
            calibrated_size: None,
            pitch_mm: None,
            range_db: 60.0,
            bytes_max: PAYLOAD_BYTES_MAX,
        }
    }
}

impl Options {
    /// Checks that every option has a meaning.
    ///
    /// # Errors
    /// [`ReplayError::Option`].
    pub fn check(&self) -> Result<(), ReplayError> {
        let within = |option, seen: f32, min: f32, max: f32| {
            // Written so that NaN fails.
            if seen >= min && seen <= max {
                Ok(())
            } else {
                Err(ReplayError::Option { option, seen: seen.into(), min: min.into(), max: max.into() })
            }
        };
        within("--spacing", self.spacing_mm.unwrap_or(1.0), 1e-4, 10.0)?;
        within("--fps", self.frame_rate_hz, 0.01, 10_000.0)?;
        within("--pitch", self.pitch_mm.unwrap_or(1.0), 0.01, 10.0)?;
        within("--range-db", self.range_db, 1.0, 200.0)?;
        let (width, height) = self.calibrated_size.unwrap_or((2, 2));
        // A picture may be calibrated at a size that is itself larger than what can be replayed.
        within("--calibrated-size (width)", width as f32, 2.0, 8.0 * SAMPLES_MAX as f32)?;
        within("--calibrated-size (height)", height as f32, 2.0, 8.0 * LINES_MAX as f32)
    }

    /// Time of the frame with this index (from 0) where the recording gives none, in nanoseconds.
    pub(crate) fn assumed_time_ns(&self, index: u64) -> u64 {
        (index as f64 * 1e9 / f64::from(self.frame_rate_hz)).round() as u64
    }
}
