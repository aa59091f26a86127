//! What the user states about a recording.

use crate::error::{Place, ReplayError, Source};
use crate::window::Window;
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};

/// Default of [`Options::bytes_max`]: about two minutes of 640x480 pixels at 30 frames per second.
pub const PAYLOAD_BYTES_MAX: u64 = 1 << 30;
/// Frames per second of recordings that have no frame times, if the user gives no rate.
pub const FRAME_RATE_ASSUMED_HZ: f32 = 25.0;

/// What the user states about a recording, because the recording does not, or states it wrongly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// Pixel pitch of pictures in millimetres, horizontal and vertical; overrides the file's own. Command line:
    /// `--spacing`.
    pub spacing_mm: Option<f32>,
    /// Frames per second; overrides the recording's own times. Command line: `--fps`.
    pub frame_rate_hz: Option<f32>,
    /// Grey values to show as black to white; overrides the file's own window. In units of the samples, for DICOM after
    /// rescaling. Command line: `--window CENTRE,WIDTH`.
    pub window: Option<Window>,
    /// Width and height in pixels that the picture of a DICOM file had when its ultrasound regions were calibrated, if
    /// the picture was resized later. Command line: `--calibrated-size`.
    pub calibrated_size: Option<(u32, u32)>,
    /// Distance in millimetres between neighbouring elements of the probe, for Clarius recordings, which do not store
    /// it. Command line: `--pitch`.
    pub pitch_mm: Option<f32>,
    /// Dynamic range in dB of recordings that do not store it. Command line: `--range-db`.
    pub range_db: f32,
    /// Largest sum of all payloads in memory, in bytes.
    pub bytes_max: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            spacing_mm: None,
            frame_rate_hz: None,
            window: None,
            calibrated_size: None,
            pitch_mm: None,
            range_db: 60.0,
            bytes_max: PAYLOAD_BYTES_MAX,
        }
    }
}

impl Options {
    /// Checks that every option is within its range.
    ///
    /// # Errors
    /// [`ReplayError::Option`] with the option, its value and its range.
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
        within("--fps", self.rate_hz(), 0.01, 10_000.0)?;
        within("--pitch", self.pitch_mm.unwrap_or(1.0), 0.01, 10.0)?;
        within("--range-db", self.range_db, 1.0, 200.0)?;
        if let Some(window) = self.window {
            within("--window (centre)", window.centre as f32, -1e6, 1e6)?;
            within("--window (width)", window.width as f32, 1.0, 1e6)?;
        }
        let (width, height) = self.calibrated_size.unwrap_or((2, 2));
        // The picture may have been too large for replay when it was calibrated.
        within("--calibrated-size (width)", width as f32, 2.0, 8.0 * SAMPLES_MAX as f32)?;
        within("--calibrated-size (height)", height as f32, 2.0, 8.0 * LINES_MAX as f32)
    }

    /// Frames per second of a recording without frame times.
    #[must_use]
    pub fn rate_hz(&self) -> f32 {
        self.frame_rate_hz.unwrap_or(FRAME_RATE_ASSUMED_HZ)
    }

    /// Assumed time in nanoseconds of the frame with this index (from 0), for recordings without frame times.
    pub(crate) fn assumed_time_ns(&self, index: u64) -> u64 {
        (index as f64 * 1e9 / f64::from(self.rate_hz())).round() as u64
    }

    /// Refuses a window for recordings whose samples are not grey levels of a picture.
    pub(crate) fn refuse_window(&self, source: Source<'_>) -> Result<(), ReplayError> {
        match self.window {
            None => Ok(()),
            Some(_) => Err(source.unsupported(
                Place::Whole,
                "--window applies to pictures and DICOM only",
                "leave it out",
            )),
        }
    }
}
