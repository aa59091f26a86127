//! From stored bytes to normalised grey levels.
//!
//! Grey is the display's level, 0 to 1. What a byte means is said by the frame's amplitude law: an echo that is still
//! linear is log-compressed here, one that is compressed already is not compressed again. Gain and time-gain
//! compensation are added here only where the frame says that they are pending.

use super::{VisionError, within};
use sonotrace_hal::frame::{AmplitudeLaw, Frame, TGC_POINTS, TgcPoint, flags};

/// What the network's input is normalised with: `(grey - mean) / std`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Normalisation {
    /// Grey level taken off.
    pub mean: f32,
    /// Divisor afterwards.
    pub std: f32,
}

/// Normalised grey for each stored byte of one frame's amplitude law. Cheap to make (256 logarithms at most), so that a
/// session makes one per frame and the law may change at any time.
#[derive(Debug, Clone, PartialEq)]
pub struct GreyTable {
    /// Normalised grey; or, where a curve is pending, grey before the curve, not yet limited to 0..1.
    values: [f32; 256],
    normalisation: Normalisation,
    curve: Option<GainCurve>,
}

/// A pending time-gain compensation curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct GainCurve {
    points: [TgcPoint; TGC_POINTS],
    count: usize,
    range_db: f32,
}

impl GreyTable {
    /// The table of a frame's amplitude law. `vendor_tables` are those of the session's configuration, each from stored
    /// byte to grey in steps of 1/255.
    ///
    /// * Linear: `1 + 20 log10(v / 255) / range_db`, limited to 0..1; a stored 0 is black.
    /// * Logarithmic: `v / 255`.
    /// * Vendor table: `table[v] / 255`.
    ///
    /// With [`flags::TGC_PENDING`], `gain_db` and the curve are added in decibels (divided by the law's range) before
    /// the limiting.
    ///
    /// # Errors
    /// [`VisionError::VendorTable`] for an unknown table, [`VisionError::Unsupported`] for a pending gain on a vendor's
    /// curve (its range is not known), [`VisionError::Range`] for a normalisation that cannot be divided by or a range
    /// that is not positive.
    pub fn new(
        frame: &Frame,
        normalisation: Normalisation,
        vendor_tables: &[[u8; 256]],
    ) -> Result<Self, VisionError> {
        within("normalisation mean", normalisation.mean.into(), -1e3, 1e3)?;
        within("normalisation std", normalisation.std.into(), 1e-6, 1e6)?;
        let mut values = [0.0f32; 256];
        let range_db = match frame.law {
            AmplitudeLaw::Linear { range_db } => {
                let range = within("range of the amplitude law in dB", range_db.into(), 1e-3, 1e3)?;
                for (stored, value) in values.iter_mut().enumerate() {
                    // log10(0) is minus infinity: black, however much gain is added.
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
        let mut table = Self { values, normalisation, curve: None };
        if frame.has(flags::TGC_PENDING) {
            let Some(range_db) = range_db else {
                return Err(VisionError::Unsupported { what: "pending gain on a vendor's amplitude table" });
            };
            for value in &mut table.values {
                *value += frame.gain_db / range_db;
            }
            let count = (frame.tgc_points as usize).min(TGC_POINTS);
            if count > 0 {
                table.curve = Some(GainCurve { points: frame.tgc, count, range_db });
                return Ok(table);
            }
        }
        for value in &mut table.values {
            *value = finish(*value, normalisation);
        }
        Ok(table)
    }

    /// What pixels outside the scanned field read: black, normalised.
    pub fn outside(&self) -> f32 {
        finish(0.0, self.normalisation)
    }

    /// The finished values, and the curve if one is pending (the values are then to be passed through
    /// [`Self::compensated`]).
    pub(super) fn parts(&self) -> (&[f32; 256], Option<&GainCurve>) {
        (&self.values, self.curve.as_ref())
    }

    /// Normalised grey of a stored byte to which the curve adds `gain` (in grey).
    pub(super) fn compensated(&self, stored: u8, gain: f32) -> f32 {
        finish(self.values[usize::from(stored)] + gain, self.normalisation)
    }
}

fn finish(grey: f32, normalisation: Normalisation) -> f32 {
    (grey.clamp(0.0, 1.0) - normalisation.mean) / normalisation.std
}

impl GainCurve {
    /// Gain at a depth, in grey: linear between the points, constant beyond the first and last.
    pub(super) fn gain_at(&self, depth_mm: f32) -> f32 {
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
    fn gain_is_linear_between_the_points_and_constant_beyond() {
        let mut points = [TgcPoint::default(); TGC_POINTS];
        for (point, (depth_mm, gain_db)) in
            points.iter_mut().zip([(10.0, 0.0), (20.0, 10.0), (20.0, 30.0), (40.0, 20.0)])
        {
            *point = TgcPoint { depth_mm, gain_db };
        }
        let curve = GainCurve { points, count: 4, range_db: 10.0 };
        for (depth_mm, grey) in
            [(0.0, 0.0), (10.0, 0.0), (15.0, 0.5), (20.0, 3.0), (30.0, 2.5), (40.0, 2.0), (99.0, 2.0)]
        {
            assert_eq!(curve.gain_at(depth_mm), grey, "at {depth_mm} mm");
        }
    }
}
