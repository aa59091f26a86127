//! Converts stored samples to normalised grey levels.
//!
//! Grey is the display's level, 0 to 1. The frame's amplitude law defines the meaning of a stored sample: a linear echo is
//! log-compressed here, one that is compressed already is not compressed again. Gain and time-gain compensation are added
//! only if the frame marks them as pending.

use super::error::{VisionError, within};
use sonotrace_hal::frame::{AmplitudeLaw, Domain, Frame, TGC_POINTS, TgcPoint, flags};
use sonotrace_hal::geometry::Geometry;

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

/// Normalised grey for each stored sample of one frame's amplitude law. Cheap to compute (at most 256 logarithms), so
/// that a session computes one per frame and the law may change with each frame.
#[derive(Debug, Clone, PartialEq)]
pub struct GreyTable {
    levels: Levels,
    normalisation: Normalisation,
    curve: Option<GainCurve>,
}

/// Grey by stored sample.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one per frame, on the stack: a box would allocate")]
pub(super) enum Levels {
    /// By stored byte: normalised grey; or, if a curve is pending, grey without the curve, not yet limited to 0..1.
    Bytes([f32; 256]),
    /// For IQ pairs: grey without any curve, neither limited nor normalised.
    Iq(IqLevels),
}

/// Log compression of IQ pairs: grey is linear in the logarithm of the power.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct IqLevels {
    /// Grey of power 1.
    offset: f32,
    /// Grey for each doubling of the power.
    per_octave: f32,
}

impl IqLevels {
    fn new(range_db: f64, gain_db: f64) -> Self {
        let full_scale_db = 20.0 * libm::log10(IQ_FULL_SCALE);
        Self {
            offset: (1.0 + (gain_db - full_scale_db) / range_db) as f32,
            per_octave: (10.0 * core::f64::consts::LOG10_2 / range_db) as f32,
        }
    }

    /// Returns the grey of a pair. Zero power is minus infinity, whatever the gain.
    pub(super) fn of(&self, in_phase: i16, quadrature: i16) -> f32 {
        // At most 2^31.
        let power = i32::from(in_phase).pow(2) as u32 + i32::from(quadrature).pow(2) as u32;
        if power == 0 { f32::NEG_INFINITY } else { self.offset + self.per_octave * log2(power) }
    }
}

/// Computes the base-2 logarithm of a positive integer, with an error of 2e-6: the exponent, and for the mantissa `m`
/// the series of `ln` in `(m - 1) / (m + 1)`. Plain arithmetic, so that it is fast and has the same bits on every
/// platform.
fn log2(value: u32) -> f32 {
    let bits = (value as f32).to_bits();
    let exponent = (bits >> 23) as i32 - 127;
    let mantissa = f32::from_bits((bits & 0x007f_ffff) | 0x3f80_0000);
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let t2 = t * t;
    let series = 1.0 + t2 * (1.0 / 3.0 + t2 * (1.0 / 5.0 + t2 * (1.0 / 7.0 + t2 * (1.0 / 9.0))));
    exponent as f32 + 2.0 * core::f32::consts::LOG2_E * t * series
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
        within("normalisation mean", normalisation.mean.into(), -1e3, 1e3)?;
        within("normalisation std", normalisation.std.into(), 1e-6, 1e6)?;
        if frame.domain == Domain::PolarIq {
            return Self::of_iq(frame, normalisation);
        }
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
        if frame.has(flags::TGC_PENDING) {
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
                *value = finish(*value, normalisation);
            }
        }
        Ok(Self { levels: Levels::Bytes(values), normalisation, curve })
    }

    fn of_iq(frame: &Frame, normalisation: Normalisation) -> Result<Self, VisionError> {
        let AmplitudeLaw::Linear { range_db } = frame.law else {
            return Err(VisionError::Mismatch { a: "domain", b: "amplitude_law" });
        };
        let range = within("range of the amplitude law in dB", range_db.into(), 1e-3, 1e3)?;
        let is_pending = frame.has(flags::TGC_PENDING);
        let gain_db = if is_pending { frame.gain_db.into() } else { 0.0 };
        let levels = Levels::Iq(IqLevels::new(range, gain_db));
        let curve = if is_pending { GainCurve::pending(frame, range_db) } else { None };
        Ok(Self { levels, normalisation, curve })
    }

    /// Returns the value of the pixels outside the scanned field: black, normalised.
    pub fn outside(&self) -> f32 {
        self.finish(0.0)
    }

    pub(super) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// Returns the pending curve, not yet added to the levels.
    pub(super) fn curve(&self) -> Option<&GainCurve> {
        self.curve.as_ref()
    }

    /// Limits a grey level to 0..1 and normalises it.
    pub(super) fn finish(&self, grey: f32) -> f32 {
        finish(grey, self.normalisation)
    }
}

fn finish(grey: f32, normalisation: Normalisation) -> f32 {
    (grey.clamp(0.0, 1.0) - normalisation.mean) / normalisation.std
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

    #[test]
    fn log2_has_an_error_below_4e_6() {
        let powers =
            (0..31).flat_map(|shift| [0u32, 1, 77, 1000, 0x5555_5555].map(|odd| (1 << shift) | odd >> 3));
        for power in powers.filter(|power| *power > 0).chain([1, 2, 3, 1 << 31]) {
            let (seen, expected) = (f64::from(log2(power)), libm::log2(f64::from(power)));
            assert!((seen - expected).abs() < 4e-6, "log2({power}) is {expected}, not {seen}");
        }
    }

    /// 32767 is white, each factor of 10 is 20 dB, and zero power is minus infinity.
    #[test]
    fn iq_grey_is_the_logarithm_of_the_envelope() {
        let levels = IqLevels::new(60.0, 0.0);
        let full_db = 20.0 * libm::log10(32_767.0);
        for (i, q) in [(32_767, 0), (0, -3277), (328, 0), (3000, 4000), (-5, 12), (1, 0)] {
            let envelope = libm::hypot(f64::from(i), f64::from(q));
            let expected = 1.0 + (20.0 * libm::log10(envelope) - full_db) / 60.0;
            assert!((f64::from(levels.of(i, q)) - expected).abs() < 1e-5, "({i}, {q})");
        }
        assert_eq!(levels.of(0, 0), f32::NEG_INFINITY);
        assert!(levels.of(i16::MIN, i16::MIN) > 1.0);
        let louder = IqLevels::new(60.0, 6.0);
        assert!((louder.of(100, 0) - levels.of(100, 0) - 0.1).abs() < 1e-6);
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
