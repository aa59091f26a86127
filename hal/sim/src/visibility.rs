//! Masks of the true objects on a frame, and the share of each that the frame shows.
//!
//! A mask is what a reader would complete by knowledge of the anatomy: it includes what a shadow hides, and ends at the edge
//! of the field of view. The definitions are those of the training data (`HardLoop` in
//! `models/sonotrace_models/data/hard.py`).

use crate::field::Field;
use crate::phantom::TruthObject;
use crate::shadow::{Shadow, ShadowMap};
use crate::signal::decibel;
use sonotrace_hal::geometry::Point;

/// Smallest loss in a shadow that hides tissue. At the default range and gain it halves the grey level of plain muscle, which
/// is the limit of the training data.
pub const HIDDEN_DB: f32 = 12.0;

/// One object on one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SeenObject {
    /// The object's number, from 1.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// For each sample, line by line, whether it is inside the object. Hidden parts are included; what is outside the field of
    /// view is not.
    pub mask: Vec<bool>,
    /// Share of the object's area that can be seen, 0 to 1: the parts that are inside the field of view and not in a shadow of
    /// at least [`HIDDEN_DB`].
    pub visibility: f32,
}

impl SeenObject {
    /// An object that a frame does not show.
    pub fn absent(id: u32, name: &'static str, field: &Field) -> Self {
        Self { id, name, mask: vec![false; (field.lines * field.samples) as usize], visibility: 0.0 }
    }

    /// Whether a part of the object, seen or hidden, is inside the field of view.
    pub fn is_present(&self) -> bool {
        self.mask.contains(&true)
    }
}

/// The mask and the visibility of each object of `truth` on a frame of `field`. Only `shadow` hides: shadows of the anatomy
/// itself, such as those of the skull, belong to what an object always looks like.
pub fn seen(field: &Field, truth: &[TruthObject], shadow: Option<&Shadow>) -> Vec<SeenObject> {
    let mut shadows = ShadowMap::clear(*field);
    shadow.iter().for_each(|shadow| shadows.add_shadow(shadow));
    let left = shadows.amplitudes();
    let least = decibel(-HIDDEN_DB);
    let is_hidden = |at: usize| left.as_ref().is_some_and(|left| left[at] <= least);
    truth.iter().map(|object| seen_object(field, object, is_hidden)).collect()
}

/// The whole area is measured with lines and samples that go on beyond the field, so that an object which is all in view has a
/// visibility of exactly 1.
fn seen_object(field: &Field, object: &TruthObject, is_hidden: impl Fn(usize) -> bool) -> SeenObject {
    let mut found = SeenObject::absent(object.id, object.name, field);
    let (mut whole, mut visible) = (0.0f64, 0.0f64);
    let lines = object.contour_mm.iter().map(|at| (field.across(*at) - field.first) / field.step);
    let (from, to) =
        lines.fold((f32::MAX, f32::MIN), |(least, most), line| (least.min(line), most.max(line)));
    let (from, to) = (libm::ceilf(from) as i64, libm::floorf(to) as i64);
    let sample_of = |range_mm: f32| (range_mm - field.face_mm() - field.first_depth_mm) / field.depth_step_mm;
    for line in from..=to {
        let crossings = crossings_mm(field, field.first + field.step * line as f32, &object.contour_mm);
        for pair in crossings.chunks_exact(2) {
            let (start, end) =
                (libm::ceilf(sample_of(pair[0])) as i64, libm::ceilf(sample_of(pair[1])) as i64);
            for sample in start..end {
                let depth_mm = field.first_depth_mm + field.depth_step_mm * sample as f32;
                // The area of a sample, apart from a constant.
                let area = f64::from(field.mm_across(field.face_mm() + depth_mm));
                whole += area;
                let is_inside =
                    (0..field.lines.into()).contains(&line) && (0..field.samples.into()).contains(&sample);
                if is_inside {
                    let at = line as usize * field.samples as usize + sample as usize;
                    found.mask[at] = true;
                    if !is_hidden(at) {
                        visible += area;
                    }
                }
            }
        }
    }
    found.visibility = if whole > 0.0 { (visible / whole) as f32 } else { 0.0 };
    found
}

/// The ranges at which the line at `across` crosses a closed contour, in order; their number is even.
fn crossings_mm(field: &Field, across: f32, contour_mm: &[Point]) -> Vec<f32> {
    let (start, next) = (field.point(0.0, across), field.point(1.0, across));
    let (dx, dy) = (next.x - start.x, next.y - start.y);
    // Of each point: its distance to the right of the line, and along it.
    let beside = |at: &Point| {
        let (x, y) = (at.x - start.x, at.y - start.y);
        (dy * x - dx * y, dx * x + dy * y)
    };
    let mut ranges_mm = Vec::new();
    let Some(last) = contour_mm.last() else { return ranges_mm };
    let (mut aside, mut along) = beside(last);
    for at in contour_mm {
        let (next_aside, next_along) = beside(at);
        if (aside > 0.0) != (next_aside > 0.0) {
            ranges_mm.push(along + (next_along - along) * aside / (aside - next_aside));
        }
        (aside, along) = (next_aside, next_along);
    }
    ranges_mm.sort_by(f32::total_cmp);
    ranges_mm
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace_hal::geometry::{LineSample, Linear, Sector};

    const SECTOR: Sector = Sector {
        lines: 60,
        samples: 150,
        apex_radius_mm: 10.0,
        first_angle_rad: -0.6,
        angle_step_rad: 1.2 / 59.0,
        first_depth_mm: 1.0,
        depth_step_mm: 1.0,
    };
    const LINEAR: Linear = Linear {
        lines: 61,
        samples: 150,
        left_mm: -30.0,
        line_step_mm: 1.0,
        first_depth_mm: 0.0,
        depth_step_mm: 0.5,
    };

    fn disc(x: f32, y: f32, radius_mm: f32) -> TruthObject {
        let at = |index: u32| {
            let (sin, cos) = libm::sincosf(core::f32::consts::TAU * index as f32 / 128.0);
            Point { x: x + radius_mm * cos, y: y + radius_mm * sin }
        };
        TruthObject { id: 1, name: "disc", contour_mm: (0..128).map(at).collect(), click_mm: Point { x, y } }
    }

    fn seen_one(field: impl Into<Field>, object: &TruthObject, shadow: Option<&Shadow>) -> SeenObject {
        seen(&field.into(), std::slice::from_ref(object), shadow).remove(0)
    }

    /// The mask holds exactly the samples whose points are inside the contour.
    #[test]
    fn mask_agrees_with_the_contour() {
        for (field, object) in [
            (Field::from(SECTOR), disc(5.0, 70.0, 22.0)),
            (Field::from(SECTOR), disc(-45.0, 80.0, 25.0)),
            (Field::from(LINEAR), disc(-25.0, 50.0, 17.0)),
            (Field::from(LINEAR), disc(3.0, 72.0, 9.0)),
        ] {
            let found = seen_one(field, &object, None);
            let geometry = field.geometry();
            let mut wrong = 0;
            for (at, inside) in found.mask.iter().enumerate() {
                let (line, sample) = (at as u32 / field.samples, at as u32 % field.samples);
                let at = geometry.to_plane(LineSample { line: line as f32, sample: sample as f32 });
                wrong += u32::from(object.contains(at) != *inside);
            }
            // Rounding decides for samples on the contour itself.
            assert!(wrong <= 2, "{wrong} samples");
        }
    }

    /// Half of a disc at the side, the bottom, and in a shadow is not seen; what a shadow hides is in the mask.
    #[test]
    fn share_is_that_of_the_area() {
        let whole = seen_one(LINEAR, &disc(0.0, 40.0, 12.0), None);
        assert_eq!(whole.visibility, 1.0);
        for object in [disc(30.5, 40.0, 12.0), disc(0.0, 74.75, 12.0)] {
            let half = seen_one(LINEAR, &object, None);
            assert!((half.visibility - 0.5).abs() < 0.01, "{}", half.visibility);
        }
        let shadow = Shadow { from: 0.0, to: 60.0, depth_mm: 0.0, loss_db: 40.0 };
        let shaded = seen_one(LINEAR, &disc(0.0, 40.0, 12.0), Some(&shadow));
        // The soft edge of a wide shadow hides a little less than half.
        assert!((0.4..0.65).contains(&shaded.visibility), "{}", shaded.visibility);
        assert_eq!(shaded.mask, whole.mask);
        let below = Shadow { from: -60.0, to: 60.0, depth_mm: 40.0, loss_db: 20.0 };
        let shaded = seen_one(LINEAR, &disc(0.0, 40.0, 12.0), Some(&below));
        assert!((shaded.visibility - 0.5).abs() < 0.03, "{}", shaded.visibility);
        let faint = Shadow { loss_db: 6.0, ..below };
        assert_eq!(seen_one(LINEAR, &disc(0.0, 40.0, 12.0), Some(&faint)).visibility, 1.0);
        let away = seen_one(SECTOR, &disc(200.0, 60.0, 20.0), None);
        assert!(!away.is_present() && away.visibility == 0.0);
        // In a sector, samples far from the probe have a larger area.
        let far = seen_one(SECTOR, &disc(0.0, 151.0, 20.0), None);
        assert!((far.visibility - 0.5).abs() < 0.04, "{}", far.visibility);
    }
}
