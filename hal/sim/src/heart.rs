//! A phantom of a heart in the apical four-chamber view.
//!
//! Shapes are defined in the heart's own coordinates: `u` across (positive towards the lateral wall), `v` along the long
//! axis of the left ventricle, 0 at the mitral annulus, negative towards the apex (and the probe), positive towards the
//! atria. Sizes are those of a normal adult (Lang et al., "Recommendations for cardiac chamber quantification by
//! echocardiography in adults", JASE 2015): ventricle about 45 mm wide and 70 mm long at the end of diastole, wall
//! 9 mm, annulus moving by 12 mm, fractional area change near 40 %.
//!
//! The motion cannot fold the tissue: the new `v` of a point depends only on `v` and grows with it, and its new `u` grows
//! with `u`. The outlines of the shapes are smooth, but the border of the tissue is rough, as trabeculae make it. The
//! true contour is the smooth outline, as guidelines tell readers to draw it.

use crate::beat::Beat;
use crate::motion::{Displacement, MODES, Motion};
use crate::phantom::{Material, Phantom, ReferenceObject, Strand};
use crate::polygon;
use crate::random::{Texture, smooth_step};
use sonotrace_hal::geometry::Point;

/// Object number of the left ventricle's cavity.
pub const LEFT_VENTRICLE: u32 = 1;
/// Object number of the left atrium's cavity.
pub const LEFT_ATRIUM: u32 = 2;
/// Object number of the left ventricle's muscle. If the lateral wall is outside the field of view, its contour is too.
pub const MYOCARDIUM: u32 = 3;

/// Names of the objects, in order of their numbers.
pub const OBJECT_NAMES: [&str; 3] = ["left ventricle", "left atrium", "myocardium"];

/// The motion mode from 0 (end of diastole, largest ventricle) to 1 (end of systole).
const CONTRACTION: usize = 0;
/// The motion mode from 0 (atrioventricular valves closed) to 1 (open).
const VALVE_OPENING: usize = 1;
/// The middle of the mitral annulus in the probe's plane.
const ANNULUS: Point = Point { x: 10.0, y: 92.0 };
/// Sine and cosine of the tilt of the long axis: the apex is closer to the probe's axis than the annulus.
const TILT: (f32, f32) = (0.0998, 0.9950);
/// Thickness of the atria's walls.
const ATRIAL_WALL_MM: f32 = 2.5;
/// Thickness of the right ventricle's free wall.
const RIGHT_WALL_MM: f32 = 4.0;
/// Motion of the annulus towards the apex.
const ANNULUS_TRAVEL_MM: f32 = 12.0;
/// The atria do not move beyond this `v`.
const ATRIAL_FLOOR_MM: f32 = 46.0;
/// Decay length of the ventricle's inward motion across its wall and beyond.
const WALL_REACH_MM: f32 = 9.0;

/// The outline of a cavity or of its wall: half its width as a function of the distance from its open end.
#[derive(Debug, Clone, Copy)]
struct Outline {
    half_width_mm: f32,
    length_mm: f32,
    /// Exponent of the closed end: 2 is an ellipse, more is blunter.
    power: f32,
    /// Width of the open end, as a part of the largest width.
    neck: f32,
    /// End of the neck, as a part of the length.
    shoulder: f32,
}

const LV: Outline = Outline { half_width_mm: 22.5, length_mm: 71.0, power: 2.4, neck: 0.74, shoulder: 0.38 };
const LV_WALL: Outline =
    Outline { half_width_mm: 31.5, length_mm: 77.5, power: 2.4, neck: 0.82, shoulder: 0.38 };
const LA: Outline = Outline { half_width_mm: 20.0, length_mm: 39.0, power: 3.0, neck: 0.78, shoulder: 0.45 };
const RA: Outline = Outline { half_width_mm: 17.0, length_mm: 35.0, power: 3.0, neck: 0.80, shoulder: 0.45 };
const RV: Outline = Outline { half_width_mm: 31.0, length_mm: 57.0, power: 1.7, neck: 0.85, shoulder: 0.25 };
/// Position of the right atrium: `u` of its middle, `v` of its top.
const RA_MIDDLE_MM: f32 = -39.0;
const RA_TOP_MM: f32 = 3.0;

impl Outline {
    /// Half the width at `part` of the length (0 open end, 1 closed end); 0 beyond either end.
    fn half_width(&self, part: f32) -> f32 {
        if !(0.0..1.0).contains(&part) {
            return 0.0;
        }
        let round = libm::sqrtf(1.0 - libm::powf(part, self.power));
        self.half_width_mm * round * (self.neck + (1.0 - self.neck) * smooth_step(part / self.shoulder))
    }

    /// The outline enlarged by `margin_mm`.
    fn grown(&self, margin_mm: f32) -> Self {
        Self { half_width_mm: self.half_width_mm + margin_mm, length_mm: self.length_mm + margin_mm, ..*self }
    }

    /// Points along the outline from the open end on the left via the closed end to the open end on the right, as
    /// (distance across, part of the length). They are dense where the curvature is high.
    fn trace(&self, per_side: usize) -> Vec<(f32, f32)> {
        let side = |step: usize| {
            let angle = core::f32::consts::FRAC_PI_2 * step as f32 / per_side as f32;
            let part = libm::powf(libm::sinf(angle), 2.0 / self.power);
            // At the closed end the width is exactly zero.
            if step == per_side { (0.0, 1.0) } else { (self.half_width(part), part) }
        };
        let left = (0..=per_side).map(|step| (-side(step).0, side(step).1));
        let right = (0..per_side).rev().map(side);
        left.chain(right).collect()
    }
}

/// The phantom. Only its tissue texture depends on the seed.
#[derive(Debug, Clone, Copy)]
pub struct Heart {
    coarse: Texture,
    fine: Texture,
    roughness: Texture,
    layers: Texture,
}

impl Heart {
    /// A heart with a texture from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            coarse: Texture::new(seed, 12.0, 16.0),
            fine: Texture::new(seed.wrapping_add(1), 3.4, 8.0),
            roughness: Texture::new(seed.wrapping_add(2), 4.0, 5.0),
            layers: Texture::new(seed.wrapping_add(3), 24.0, 2.2),
        }
    }

    /// The material at a point in the heart's coordinates.
    fn tissue(&self, u: f32, v: f32) -> Material {
        let (coarse, fine) = (self.coarse.at(u, v), self.fine.at(u, v));
        let texture_db = 8.0 * coarse + 11.0 * fine;
        // Trabeculae: the wall is rougher than its outline.
        let rough_mm = 1.2 * self.roughness.at(u, v);
        let tissue = |echo_db: f32| Material { echo_db: echo_db + texture_db, flows: false };
        let blood = Material { echo_db: -34.0, flows: true };

        let (part, wall_part) = (-v / LV.length_mm, -v / LV_WALL.length_mm);
        let cavity_mm = u.abs() - LV.half_width(part) + rough_mm;
        let wall_mm = u.abs() - LV_WALL.half_width(wall_part);
        if (0.0..1.0).contains(&part) && cavity_mm < 0.0 {
            return if papillary(u, v) { tissue(-5.0) } else { blood };
        }
        let atrium_part = v / LA.length_mm;
        if (0.0..1.0).contains(&atrium_part) && u.abs() + 0.5 * rough_mm < LA.half_width(atrium_part) {
            return blood;
        }
        let right_atrium_part = (v - RA_TOP_MM) / RA.length_mm;
        let right_atrium_mm = (u - RA_MIDDLE_MM).abs();
        if (0.0..1.0).contains(&right_atrium_part) && right_atrium_mm < RA.half_width(right_atrium_part) {
            return blood;
        }
        // The right ventricle: distance to the left of the right face of the septum.
        let right_mm = -u - LV_WALL.half_width(wall_part.max(0.0));
        let right_part = (2.0 - v) / RV.length_mm;
        let right_width_mm = RV.half_width(right_part);
        if (0.0..1.0).contains(&right_part)
            && right_mm > 0.7 * rough_mm
            && right_mm < right_width_mm + rough_mm
        {
            return if moderator_band(right_mm, right_width_mm, right_part) { tissue(-3.0) } else { blood };
        }
        // Fibrous annulus and crux: the brightest parts of the heart.
        let annulus_mm = libm::hypotf((u.abs() - LV.half_width(0.0) - 4.5) / 1.2, v - 0.5);
        if annulus_mm < 6.0 {
            return tissue(16.0 * (1.0 - 0.6 * annulus_mm / 6.0));
        }
        if wall_part < 1.0 && wall_part > -0.02 && wall_mm < 0.0 {
            let border_db = 3.0 * (1.0 - smooth_step(cavity_mm / 2.5));
            // Muscle is brightest where the beam is perpendicular to its fibres: in this view the septum, not the
            // lateral wall.
            let side_db =
                if u < 0.0 { -2.0 + 8.0 * (1.0 - part) } else { -6.0 + 8.0 * (1.0 - part) * (1.0 - part) };
            return tissue(side_db + border_db);
        }
        if u > 0.0 && wall_part > 0.0 && wall_part < 0.9 && wall_mm < 3.0 {
            return tissue(14.0 - 9.0 * wall_part);
        }
        if (0.0..1.0).contains(&right_part)
            && right_mm > 0.0
            && right_mm < right_width_mm + RIGHT_WALL_MM + 2.0
        {
            return tissue(if right_mm < right_width_mm + RIGHT_WALL_MM { 0.0 } else { 8.0 });
        }
        if in_atrial_wall(u, v) {
            return tissue(5.0);
        }
        self.surroundings(u, v, coarse, fine)
    }

    /// Outside the heart: chest wall and fat in front of it, lung beside it, bright tissue behind it.
    fn surroundings(&self, u: f32, v: f32, coarse: f32, fine: f32) -> Material {
        let before = 1.0 - smooth_step((v + 88.0) / 18.0);
        let behind = smooth_step((v - 8.0) / 26.0);
        let beside = 1.0 - behind;
        let layers = self.layers.at(u, v);
        let echo_db = before * (3.0 + 5.0 * layers)
            + behind * (9.0 + 10.0 * coarse + 8.0 * layers)
            + beside * (-8.0 + 8.0 * coarse)
            + 2.0 * fine;
        Material { echo_db, flows: false }
    }

    /// Displacement at full contraction, in the heart's coordinates.
    fn contraction(u: f32, v: f32) -> (f32, f32) {
        let part = -v / LV.length_mm;
        let along = if v <= 0.0 { 1.0 - smooth_step(part) } else { 1.0 - smooth_step(v / ATRIAL_FLOOR_MM) };
        let (width_mm, inward) = if v <= 0.0 {
            (LV.half_width(part), 0.12 + 0.19 * smooth_step(part / 0.35))
        } else {
            (LA.half_width(v / LA.length_mm), 0.12 - 0.21 * smooth_step(v / 14.0))
        };
        let outside_mm = u.abs() - width_mm;
        let across = if outside_mm <= 0.0 {
            -inward * u
        } else {
            let side = if u < 0.0 { -1.0 } else { 1.0 };
            -inward * width_mm * side * libm::expf(-outside_mm / WALL_REACH_MM)
        };
        // The free wall of the right ventricle moves towards the septum.
        let right_mm = -u - LV_WALL.half_width((-v / LV_WALL.length_mm).max(0.0));
        let right = smooth_step(right_mm / 28.0) * (1.0 - smooth_step((right_mm - 30.0) / 40.0));
        let reach = smooth_step((v + 75.0) / 30.0) * (1.0 - smooth_step(v / 20.0));
        (across + 5.0 * right * reach, -ANNULUS_TRAVEL_MM * along)
    }

    /// Volume of the left ventricle at `phase` of the beat, of which only the fractional part is used, in millilitres: of the body
    /// of revolution about its long axis. The integral, over slices of the outline at rest, of the disc that a slice becomes.
    pub fn left_ventricle_ml(phase: f32) -> f64 {
        const SLICES: usize = 2000;
        let contraction = f64::from(Beat::at_phase(phase).contraction);
        let moved_to = |u: f32, v: f32| {
            let (du, dv) = Self::contraction(u, v);
            (f64::from(u) + contraction * f64::from(du), f64::from(v) + contraction * f64::from(dv))
        };
        let v = |slice: f64| -(slice / SLICES as f64) as f32 * LV.length_mm;
        let mm3: f64 = (0..SLICES)
            .map(|slice| {
                let (from, middle, to) = (v(slice as f64), v(slice as f64 + 0.5), v(slice as f64 + 1.0));
                let (radius, _) = moved_to(LV.half_width(-middle / LV.length_mm), middle);
                core::f64::consts::PI * radius * radius * (moved_to(0.0, from).1 - moved_to(0.0, to).1)
            })
            .sum();
        mm3 / 1000.0
    }

    fn left_ventricle() -> Vec<Point> {
        let mut contour: Vec<Point> =
            LV.trace(40).into_iter().map(|(u, part)| to_plane(u, -part * LV.length_mm)).collect();
        contour.extend(chord(LV.half_width(0.0), -LV.half_width(0.0), 0.0));
        contour
    }

    fn left_atrium() -> Vec<Point> {
        // Traced from right to left, because here the closed end points down.
        let mut contour: Vec<Point> =
            LA.trace(32).into_iter().rev().map(|(u, part)| to_plane(u, part * LA.length_mm)).collect();
        contour.extend(chord(-LA.half_width(0.0), LA.half_width(0.0), 0.0));
        contour
    }

    fn myocardium() -> Vec<Point> {
        let outer = LV_WALL.trace(40).into_iter().map(|(u, part)| to_plane(u, -part * LV_WALL.length_mm));
        let inner = LV.trace(40).into_iter().rev().map(|(u, part)| to_plane(u, -part * LV.length_mm));
        outer.chain(inner).collect()
    }
}

impl Phantom for Heart {
    fn material(&self, reference: Point) -> Material {
        let (u, v) = to_heart(reference);
        self.tissue(u, v)
    }

    fn displacement(&self, reference: Point) -> Displacement {
        let (u, v) = to_heart(reference);
        let (du, dv) = Self::contraction(u, v);
        moves(rotate(du, dv), Point::default())
    }

    fn motion(&self, phase: f32) -> Motion {
        let beat = Beat::at_phase(phase);
        let mut modes = [0.0; MODES];
        (modes[CONTRACTION], modes[VALVE_OPENING]) = (beat.contraction, beat.valve_opening);
        Motion { modes, slide_mm: 0.0 }
    }

    fn strands(&self) -> Vec<Strand> {
        let mitral = LV.half_width(0.0);
        let septum = LV_WALL.half_width(0.0);
        let tricuspid = 2.0 * 0.8 * RV.half_width(0.1);
        // Hinge, closed tip and open tip of each leaflet, across and along.
        let leaflets = [
            ((-mitral, 0.0), (1.5, -4.0), (-12.0, -16.0), 9.0),
            ((mitral, 0.0), (1.5, -4.0), (14.0, -10.0), 8.0),
            ((-septum, 3.0), (-septum - 0.45 * tricuspid, 0.0), (-septum - 6.0, -12.0), 6.0),
            (
                (-septum - 0.8 * tricuspid, 2.0),
                (-septum - 0.45 * tricuspid, 0.0),
                (-septum - 0.62 * tricuspid, -14.0),
                6.0,
            ),
        ];
        leaflets.map(|(hinge, closed, open, echo_db)| self.leaflet(hinge, closed, open, echo_db)).into()
    }

    fn objects(&self) -> Vec<ReferenceObject> {
        let septum_mm = -0.5 * (LV.half_width(0.45) + LV_WALL.half_width(0.45));
        let object = |id: u32, contour: Vec<Point>, click| ReferenceObject {
            id,
            name: OBJECT_NAMES[id as usize - 1],
            contour,
            click,
        };
        let (ventricle, atrium) = (Self::left_ventricle(), Self::left_atrium());
        let (in_ventricle, in_atrium) = (polygon::centroid(&ventricle), polygon::centroid(&atrium));
        vec![
            object(LEFT_VENTRICLE, ventricle, in_ventricle),
            object(LEFT_ATRIUM, atrium, in_atrium),
            object(MYOCARDIUM, Self::myocardium(), to_plane(septum_mm, -0.45 * LV.length_mm)),
        ]
    }
}

impl Heart {
    /// A leaflet from its hinge to its tip, slightly bowed towards the ventricle.
    fn leaflet(&self, hinge: (f32, f32), closed: (f32, f32), open: (f32, f32), echo_db: f32) -> Strand {
        const STEPS: usize = 24;
        let at = |tip: (f32, f32), q: f32| {
            let bow_mm = -1.5 * 4.0 * q * (1.0 - q);
            (hinge.0 + q * (tip.0 - hinge.0), hinge.1 + q * (tip.1 - hinge.1) + bow_mm)
        };
        let points = (0..=STEPS).map(|step| {
            let q = step as f32 / STEPS as f32;
            let ((u, v), (open_u, open_v)) = (at(closed, q), at(open, q));
            let reference = to_plane(u, v);
            let contraction = self.displacement(reference).modes_mm[CONTRACTION];
            (reference, moves(contraction, rotate(open_u - u, open_v - v)))
        });
        Strand { points: points.collect(), thickness_mm: 1.3, echo_db }
    }
}

/// The papillary muscles: two ellipses in the cavity of the ventricle, near its walls.
fn papillary(u: f32, v: f32) -> bool {
    let ellipse =
        |u0: f32, v0: f32, across: f32, along: f32| libm::hypotf((u - u0) / across, (v - v0) / along) < 1.0;
    ellipse(18.0, -36.0, 3.6, 9.0) || ellipse(-17.5, -46.0, 2.2, 6.0)
}

/// The muscle band that crosses the right ventricle near its apex.
fn moderator_band(right_mm: f32, right_width_mm: f32, right_part: f32) -> bool {
    (right_part - 0.68 - 0.1 * right_mm / right_width_mm.max(1.0)).abs() < 0.035
}

fn in_atrial_wall(u: f32, v: f32) -> bool {
    let left = LA.grown(ATRIAL_WALL_MM);
    let right = RA.grown(ATRIAL_WALL_MM);
    let (part, right_part) = (v / left.length_mm, (v - RA_TOP_MM) / right.length_mm);
    u.abs() < left.half_width(part) || (u - RA_MIDDLE_MM).abs() < right.half_width(right_part)
}

/// Points of a straight line across the heart at `v`, without its ends.
fn chord(from_u: f32, to_u: f32, v: f32) -> impl Iterator<Item = Point> {
    const STEPS: usize = 8;
    (1..STEPS).map(move |step| to_plane(from_u + (to_u - from_u) * step as f32 / STEPS as f32, v))
}

/// The displacement of a point at full contraction and with the valves fully open, in millimetres.
fn moves(contraction: Point, valve_opening: Point) -> Displacement {
    let mut displacement = Displacement::default();
    displacement.modes_mm[CONTRACTION] = contraction;
    displacement.modes_mm[VALVE_OPENING] = valve_opening;
    displacement
}

/// Rotates a vector from the heart's coordinates into the probe's plane.
fn rotate(u: f32, v: f32) -> Point {
    Point { x: u * TILT.1 + v * TILT.0, y: v * TILT.1 - u * TILT.0 }
}

fn to_plane(u: f32, v: f32) -> Point {
    let arm = rotate(u, v);
    Point { x: ANNULUS.x + arm.x, y: ANNULUS.y + arm.y }
}

fn to_heart(point: Point) -> (f32, f32) {
    let (x, y) = (point.x - ANNULUS.x, point.y - ANNULUS.y);
    (x * TILT.1 - y * TILT.0, x * TILT.0 + y * TILT.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beat::END_SYSTOLE_PHASE;
    use crate::phantom::truth;

    #[test]
    fn coordinates_round_trip() {
        let there = to_plane(-12.0, 34.0);
        let (u, v) = to_heart(there);
        assert!((u + 12.0).abs() < 0.01 && (v - 34.0).abs() < 0.01, "{u} {v}");
    }

    /// No two points of the tissue meet: the determinant of the motion's gradient is above zero everywhere at full
    /// contraction.
    #[test]
    fn motion_does_not_fold() {
        let heart = Heart::new(1);
        let end_systole = heart.motion(END_SYSTOLE_PHASE);
        let moved = |x: f32, y: f32| {
            let at = Point { x, y };
            heart.displacement(at).apply(at, end_systole)
        };
        const STEP_MM: f32 = 0.5;
        for column in -180..180 {
            for row in 0..320 {
                let (x, y) = (STEP_MM * column as f32, STEP_MM * row as f32);
                let (here, right, down) = (moved(x, y), moved(x + STEP_MM, y), moved(x, y + STEP_MM));
                let (a, b) = ((right.x - here.x) / STEP_MM, (right.y - here.y) / STEP_MM);
                let (c, d) = ((down.x - here.x) / STEP_MM, (down.y - here.y) / STEP_MM);
                let determinant = a * d - b * c;
                assert!(determinant > 0.2, "{determinant} at {x}, {y}");
            }
        }
    }

    /// Within the normal ranges of Lang et al. 2015 (62 to 150 ml, ejection fraction above 52 %, men), and largest and smallest at
    /// the ends of diastole and systole.
    #[test]
    fn the_ventricles_volume_is_normal() {
        let largest = Heart::left_ventricle_ml(0.0);
        let smallest = Heart::left_ventricle_ml(END_SYSTOLE_PHASE);
        assert!((62.0..150.0).contains(&largest), "{largest} ml");
        let ejection_fraction = (largest - smallest) / largest;
        assert!((0.52..0.75).contains(&ejection_fraction), "{largest} to {smallest} ml");
        for percent in 0..100 {
            let volume = Heart::left_ventricle_ml(percent as f32 / 100.0);
            assert!((smallest..=largest).contains(&volume), "{volume} ml at {percent} %");
        }
    }

    /// The inside of a cavity's true contour is blood, the inside of the muscle's is not.
    #[test]
    fn tissue_is_within_the_true_contours() {
        let heart = Heart::new(5);
        let objects = truth(&heart, Motion::REFERENCE);
        for object in &objects {
            assert!(polygon::signed_area(&object.contour_mm) > 0.0, "{} runs anticlockwise", object.name);
            assert!(object.contains(object.click_mm), "{} is clicked outside", object.name);
        }
        let (mut blood, mut inside) = (0u32, 0u32);
        for column in -60..60 {
            for row in 10..140 {
                let at = Point { x: column as f32, y: row as f32 };
                if objects[0].contains(at) {
                    inside += 1;
                    blood += u32::from(heart.material(at).flows);
                }
            }
        }
        // The rest is papillary muscle and trabeculae.
        assert!(f64::from(blood) > 0.85 * f64::from(inside), "{blood} of {inside}");
        assert!(!heart.material(objects[2].click_mm).flows);
    }
}
