//! Converts stored samples to normalised grey levels.
//!
//! Grey is the display's level, 0 to 1. The frame's amplitude law defines the meaning of a stored sample: a linear echo is
//! log-compressed here, one that is compressed already is not compressed again. Gain and time-gain compensation are added
//! only if the frame marks them as pending.

use super::error::{VisionError, within};
use sonotrace_format::{MEAN_MAX, STD_RANGE};
use sonotrace_hal::frame::{AmplitudeLaw, Domain, Frame, TGC_POINTS, TgcPoint, flags};
use sonotrace_hal::geometry::Geometry;
use sonotrace_kernels::sample::{Grey, Levels, PowerLevels};

/// Normalisation of the network's input: `(grey - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Grey level that is subtracted.
    pub mean: f32,
    /// Divisor.
    pub std: f32,
}

/// Envelope of an IQ sample at full scale.
const IQ_FULL_SCALE: f64 = 32_767.0;

/// Grey for each stored sample of one frame's amplitude law. Cheap to compute (at most 256 logarithms), so
/// that a session computes one per frame and the law may change with each frame.
#[derive(Debug, Clone, PartialEq)]
pub struct GreyTable {
    levels: StoredLevels,
    normalisation: Normalisation,
    curve: Option<GainCurve>,
}

/// Grey by stored sample.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one per frame, on the stack: a box would allocate")]
enum StoredLevels {
    /// A stored byte is grey in steps of 1/255.
    Grey,
    /// By stored byte: grey; if a curve is pending, without the curve and not yet limited to 0..1.
    Bytes([f32; 256]),
    /// For IQ pairs: grey without any curve, not limited.
    Iq(PowerLevels),
}

/// Returns the levels of IQ pairs.
fn iq_levels(range_db: f64, gain_db: f64) -> PowerLevels {
    let full_scale_db = 20.0 * libm::log10(IQ_FULL_SCALE);
    PowerLevels {
        offset: (1.0 + (gain_db - full_scale_db) / range_db) as f32,
        per_octave: (10.0 * core::f64::consts::LOG10_2 / range_db) as f32,
    }
}

/// A pending time-gain compensation curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GainCurve {
    points: [TgcPoint; TGC_POINTS],
    count: usize,
    range_db: f32,
    first_depth_mm: f32,
    depth_step_mm: f32,
}

impl GreyTable {
    /// Computes the table of a frame's amplitude law. `vendor_tables` are those of the session's configuration, each
    /// from stored byte to grey in steps of 1/255.
    ///
    /// * Linear: `1 + 20 log10(v / 255) / range_db`, limited to 0..1; a stored 0 is black. For IQ samples `v` is the
    ///   envelope, and full scale is 32767 instead of 255.
    /// * Logarithmic: `v / 255`.
    /// * Vendor table: `table[v] / 255`.
    ///
    /// With [`flags::TGC_PENDING`], `gain_db` and the curve are added in decibels (divided by the law's range) before
    /// the limiting.
    ///
    /// # Errors
    /// [`VisionError::VendorTable`] for an unknown table, [`VisionError::Unsupported`] for a pending gain on a vendor's
    /// table (its range is not known), [`VisionError::Mismatch`] for IQ samples that are not linear,
    /// [`VisionError::Range`] for a normalisation with a zero or invalid divisor or a range that is not positive.
    pub fn new(
        frame: &Frame,
        normalisation: Normalisation,
        vendor_tables: &[[u8; 256]],
    ) -> Result<Self, VisionError> {
        within("normalisation mean", normalisation.mean.into(), -f64::from(MEAN_MAX), MEAN_MAX.into())?;
        let [least, most] = STD_RANGE.map(f64::from);
        within("normalisation std", normalisation.std.into(), least, most)?;
        if frame.domain == Domain::PolarIq {
            return Self::of_iq(frame, normalisation);
        }
        let is_pending = frame.has(flags::TGC_PENDING);
        let mut values = [0.0f32; 256];
        let range_db = match frame.law {
            AmplitudeLaw::Linear { range_db } => {
                let range = within("range of the amplitude law in dB", range_db.into(), 1e-3, 1e3)?;
                for (stored, value) in values.iter_mut().enumerate() {
                    // log10(0) is minus infinity: black with any gain.
                    *value = (1.0 + 20.0 * libm::log10(stored as f64 / 255.0) / range) as f32;
                }
                Some(range_db)
            }
            AmplitudeLaw::Logarithmic { range_db } => {
                within("range of the amplitude law in dB", range_db.into(), 1e-3, 1e3)?;
                if !is_pending {
                    return Ok(Self { levels: StoredLevels::Grey, normalisation, curve: None });
                }
                for (stored, value) in values.iter_mut().enumerate() {
                    *value = stored as f32 / 255.0;
                }
                Some(range_db)
            }
            AmplitudeLaw::VendorTable { table } => {
                let vendor = vendor_tables
                    .get(table as usize)
                    .ok_or(VisionError::VendorTable { seen: table, tables: vendor_tables.len() })?;
                for (value, &grey) in values.iter_mut().zip(vendor) {
                    *value = f32::from(grey) / 255.0;
                }
                None
            }
        };
        let mut curve = None;
        if is_pending {
            let Some(range_db) = range_db else {
                return Err(VisionError::Unsupported { what: "pending gain on a vendor's amplitude table" });
            };
            for value in &mut values {
                *value += frame.gain_db / range_db;
            }
            curve = GainCurve::pending(frame, range_db);
        }
        if curve.is_none() {
            for value in &mut values {
                *value = value.clamp(0.0, 1.0);
            }
        }
        Ok(Self { levels: StoredLevels::Bytes(values), normalisation, curve })
    }

    fn of_iq(frame: &Frame, normalisation: Normalisation) -> Result<Self, VisionError> {
        let AmplitudeLaw::Linear { range_db } = frame.law else {
            return Err(VisionError::Mismatch { a: "domain", b: "amplitude_law" });
        };
        let range = within("range of the amplitude law in dB", range_db.into(), 1e-3, 1e3)?;
        let is_pending = frame.has(flags::TGC_PENDING);
        let gain_db = if is_pending { frame.gain_db.into() } else { 0.0 };
        let levels = StoredLevels::Iq(iq_levels(range, gain_db));
        let curve = if is_pending { GainCurve::pending(frame, range_db) } else { None };
        Ok(Self { levels, normalisation, curve })
    }

    /// Returns the value of the pixels outside the scanned field: black, normalised.
    pub fn outside(&self) -> f32 {
        (0.0 - self.normalisation.mean) / self.normalisation.std
    }

    /// Returns whether the table is of IQ pairs.
    pub(super) fn is_iq(&self) -> bool {
        matches!(self.levels, StoredLevels::Iq(_))
    }

    /// Returns the pending curve, not yet added to the levels.
    pub(super) fn curve(&self) -> Option<&GainCurve> {
        self.curve.as_ref()
    }

    /// Calls a function with the table in the kernels' form.
    pub(super) fn with<T>(&self, function: impl FnOnce(&Grey<'_>) -> T) -> T {
        let levels = match &self.levels {
            StoredLevels::Grey => Levels::Bytes,
            StoredLevels::Bytes(levels) => Levels::Table(levels),
            StoredLevels::Iq(levels) => Levels::Power(*levels),
        };
        let Normalisation { mean, std } = self.normalisation;
        let gain = self.curve.map(|curve| move |sample| curve.gain_of(sample));
        let gain = gain.as_ref().map(|gain| gain as &dyn Fn(usize) -> f32);
        function(&Grey { levels, gain, mean, std })
    }
}

impl GainCurve {
    /// Returns the curve of a frame whose gain is pending; `None` if it has no points.
    fn pending(frame: &Frame, range_db: f32) -> Option<Self> {
        let count = (frame.tgc_points as usize).min(TGC_POINTS);
        let (first_depth_mm, depth_step_mm) = match frame.geometry {
            Geometry::Linear(g) => (g.first_depth_mm, g.depth_step_mm),
            Geometry::Sector(g) => (g.first_depth_mm, g.depth_step_mm),
            // Refused by the sampler: the depths of its rows are not known.
            Geometry::Raster(_) => (0.0, 0.0),
        };
        (count > 0).then_some(Self { points: frame.tgc, count, range_db, first_depth_mm, depth_step_mm })
    }

    /// Returns the gain of a sample of a line, in grey: linear between the points, constant beyond the first and last.
    pub(super) fn gain_of(&self, sample: usize) -> f32 {
        let depth_mm = self.first_depth_mm + self.depth_step_mm * sample as f32;
        let points = &self.points[..self.count];
        let mut gain_db = points[0].gain_db;
        for pair in points.windows(2) {
            let (above, below) = (pair[0], pair[1]);
            if depth_mm >= below.depth_mm {
                gain_db = below.gain_db;
            } else if depth_mm > above.depth_mm {
                let part = (depth_mm - above.depth_mm) / (below.depth_mm - above.depth_mm);
                gain_db = above.gain_db + part * (below.gain_db - above.gain_db);
                break;
            }
        }
        gain_db / self.range_db
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 32767 is white, each factor of 10 is 20 dB, and zero power is minus infinity.
    #[test]
    fn iq_grey_is_the_logarithm_of_the_envelope() {
        let levels = iq_levels(60.0, 0.0);
        let full_db = 20.0 * libm::log10(32_767.0);
        for (i, q) in [(32_767, 0), (0, -3277), (328, 0), (3000, 4000), (-5, 12), (1, 0)] {
            let envelope = libm::hypot(f64::from(i), f64::from(q));
            let expected = 1.0 + (20.0 * libm::log10(envelope) - full_db) / 60.0;
            assert!((f64::from(levels.of([i, q])) - expected).abs() < 1e-5, "({i}, {q})");
        }
        assert_eq!(levels.of([0, 0]), f32::NEG_INFINITY);
        assert!(levels.of([i16::MIN, i16::MIN]) > 1.0);
        let louder = iq_levels(60.0, 6.0);
        assert!((louder.of([100, 0]) - levels.of([100, 0]) - 0.1).abs() < 1e-6);
    }

    #[test]
    fn gain_is_linear_between_points_and_constant_beyond_them() {
        let mut points = [TgcPoint::default(); TGC_POINTS];
        for (point, (depth_mm, gain_db)) in
            points.iter_mut().zip([(10.0, 0.0), (20.0, 10.0), (20.0, 30.0), (40.0, 20.0)])
        {
            *point = TgcPoint { depth_mm, gain_db };
        }
        let curve = GainCurve { points, count: 4, range_db: 10.0, first_depth_mm: 0.0, depth_step_mm: 5.0 };
        for (sample, grey) in [(0, 0.0), (2, 0.0), (3, 0.5), (4, 3.0), (6, 2.5), (8, 2.0), (20, 2.0)] {
            assert_eq!(curve.gain_of(sample), grey, "of sample {sample}");
        }
    }
}
