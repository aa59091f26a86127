//! A phantom of a fetal head in the plane of head circumference, whose measures are known by formula.
//!
//! Shapes are defined in the head's own coordinates: `u` along the midline (positive towards the forehead), `v` across it
//! (positive away from the probe). Outer to outer, the skull is an ellipse of 90 mm by 70 mm, as at about 29 weeks
//! (Hadlock et al., "Estimating fetal age: computer-assisted analysis of multiple fetal growth parameters", Radiology
//! 1984). It has the landmarks of this plane (Salomon et al., "ISUOG Practice Guidelines: ultrasound
//! assessment of fetal biometry and growth", Ultrasound Obstet. Gynecol. 2019): the midline echo, broken by the cavum
//! septi pellucidi, and the thalami. Around it are amniotic fluid and the mother's tissue.
//!
//! The head sways: it rotates and shifts as a rigid body. Motion modes express this exactly, because a rotation is linear
//! in the sine and cosine of its angle. The motion decays over the tissue around the head. Bone casts shadows.

use crate::motion::{Displacement, MODES, Motion};
use crate::phantom::{AttenuatingLayer, Material, Phantom, ReferenceObject, Strand};
use crate::random::{Texture, smooth_step};
use sonotrace_hal::geometry::Point;

/// Object number of the head: the outer outline of the skull.
pub const HEAD: u32 = 1;
/// Object number of the cavum septi pellucidi.
pub const CAVUM: u32 = 2;
/// Names of the objects, in order of their numbers.
pub const OBJECT_NAMES: [&str; 2] = ["fetal head", "cavum"];

/// Half the occipitofrontal and half the biparietal diameter, outer to outer.
pub const SEMI_AXES_MM: (f32, f32) = (45.0, 35.0);
/// Largest rotation to either side.
pub const ROTATION_MAX_RAD: f32 = 0.10;
/// Largest shift of its centre, across and in depth.
pub const SHIFT_MAX_MM: Point = Point { x: 4.0, y: 2.0 };

/// The head's centre at rest, in the probe's plane.
const CENTRE: Point = Point { x: 0.0, y: 80.0 };
/// Sine and cosine of the tilt of the midline at rest.
const TILT: (f32, f32) = (0.0998, 0.9950);
const SKULL_MM: f32 = 3.0;
const SCALP_MM: f32 = 2.5;
/// Tissue farther outside the head does not move.
const STILL_MM: f32 = 32.5;
/// Loss of an echo, both ways, if the beam is perpendicular to the skull.
const SKULL_LOSS_DB: f32 = 7.0;
/// Centre (`u`, `v`) and semi-axes of the cavum.
const CAVUM_CENTRE: (f32, f32) = (22.0, 0.0);
const CAVUM_SEMI_AXES_MM: (f32, f32) = (6.5, 3.0);
/// Centre in the probe's plane and semi-axes of the amniotic sac, which touches the head on the probe's side.
const SAC_CENTRE: Point = Point { x: -12.0, y: 92.0 };
const SAC_SEMI_AXES_MM: (f32, f32) = (74.0, 48.0);
/// Points of an outline, so that its area is within 0.02 % of the ellipse's.
const OUTLINE_POINTS: usize = 180;

/// The motion mode 1 minus the cosine of the rotation.
const ONE_MINUS_COS: usize = 0;
/// The motion mode of the sine of the rotation.
const SIN: usize = 1;
/// The motion mode of the shift to the right.
const ACROSS: usize = 2;
/// The motion mode of the shift away from the probe.
const DOWN: usize = 3;

/// The head's circumference by Ramanujan's second formula (Quarterly Journal of Mathematics, 1914), whose error for such an
/// ellipse is far below rounding.
pub fn circumference_mm() -> f32 {
    let (a, b) = SEMI_AXES_MM;
    let h = ((a - b) / (a + b)) * ((a - b) / (a + b));
    core::f32::consts::PI * (a + b) * (1.0 + 3.0 * h / (10.0 + libm::sqrtf(4.0 - 3.0 * h)))
}

/// The head's area, outer to outer.
pub fn area_mm2() -> f32 {
    core::f32::consts::PI * SEMI_AXES_MM.0 * SEMI_AXES_MM.1
}

/// The phantom. Only its tissue texture depends on the seed.
#[derive(Debug, Clone, Copy)]
pub struct FetalHead {
    coarse: Texture,
    fine: Texture,
    layers: Texture,
}

impl FetalHead {
    /// A head with a texture from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            coarse: Texture::new(seed, 14.0, 12.0),
            fine: Texture::new(seed.wrapping_add(1), 4.0, 4.0),
            layers: Texture::new(seed.wrapping_add(2), 30.0, 2.6),
        }
    }

    /// The material inside the skull.
    fn brain(&self, u: f32, v: f32, beneath_bone_mm: f32) -> Material {
        let texture_db = 5.0 * self.coarse.at(u, v) + 7.0 * self.fine.at(u, v);
        let fluid = Material { echo_db: -32.0, flows: true };
        let ellipse = |u0: f32, v0: f32, across: f32, along: f32| in_ellipse(u - u0, v - v0, (across, along));
        if in_ellipse(u - CAVUM_CENTRE.0, v - CAVUM_CENTRE.1, CAVUM_SEMI_AXES_MM) {
            return fluid;
        }
        let echo_db = if ellipse(-4.0, 6.5, 9.0, 5.5) || ellipse(-4.0, -6.5, 9.0, 5.5) {
            // Thalami.
            -19.0
        } else if ellipse(-18.0, 17.0, 10.0, 3.6) {
            // The choroid plexus of the far hemisphere; reverberations hide the near one.
            0.0
        } else if ellipse(-15.0, 16.5, 16.0, 5.5) {
            return fluid;
        } else if beneath_bone_mm < 1.5 {
            -20.0
        } else {
            -11.0
        };
        Material { echo_db: echo_db + texture_db, flows: false }
    }

    /// The material outside the head.
    fn surroundings(&self, at: Point) -> Material {
        let (coarse, fine, layers) =
            (self.coarse.at(at.x, at.y), self.fine.at(at.x, at.y), self.layers.at(at.x, at.y));
        let (x, y) = (at.x - SAC_CENTRE.x, at.y - SAC_CENTRE.y);
        if in_ellipse(x, y, SAC_SEMI_AXES_MM) {
            return Material { echo_db: -38.0, flows: true };
        }
        // The layers of the belly wall; the uterine wall and the placenta; tissue behind them.
        let wall = 1.0 - smooth_step((at.y - 16.0) / 8.0);
        let behind = smooth_step((at.y - 125.0) / 15.0);
        let echo_db = wall * (2.0 + 6.0 * layers)
            + (1.0 - wall - behind) * (-3.0 + 3.0 * coarse)
            + behind * (2.0 + 7.0 * coarse)
            + 4.0 * fine;
        Material { echo_db, flows: false }
    }
}

impl Phantom for FetalHead {
    fn material(&self, reference: Point) -> Material {
        let (u, v) = to_head(reference);
        let outside_mm = distance_mm(u, v);
        if outside_mm > SCALP_MM {
            self.surroundings(reference)
        } else if outside_mm > 0.0 {
            Material { echo_db: -5.0 + 4.0 * self.fine.at(u, v), flows: false }
        } else if outside_mm > -SKULL_MM {
            // Bone reflects like a mirror: brightest where the beam, which comes from straight above, is perpendicular.
            let (a, b) = SEMI_AXES_MM;
            let (across, along) = (u / (a * a), v / (b * b));
            let cosine = (along / libm::hypotf(across, along)).abs();
            Material { echo_db: 9.0 + 13.0 * cosine + 3.0 * self.fine.at(u, v), flows: false }
        } else {
            self.brain(u, v, -SKULL_MM - outside_mm)
        }
    }

    fn displacement(&self, reference: Point) -> Displacement {
        let (u, v) = to_head(reference);
        let part = 1.0 - smooth_step((distance_mm(u, v) - SCALP_MM) / (STILL_MM - SCALP_MM));
        let (x, y) = (part * (reference.x - CENTRE.x), part * (reference.y - CENTRE.y));
        let mut displacement = Displacement::default();
        displacement.modes_mm[ONE_MINUS_COS] = Point { x: -x, y: -y };
        displacement.modes_mm[SIN] = Point { x: -y, y: x };
        displacement.modes_mm[ACROSS] = Point { x: part, y: 0.0 };
        displacement.modes_mm[DOWN] = Point { x: 0.0, y: part };
        displacement
    }

    fn strands(&self) -> Vec<Strand> {
        let line = |from: (f32, f32), to: (f32, f32), thickness_mm: f32, echo_db: f32| {
            const STEPS: usize = 16;
            let points = (0..=STEPS).map(|step| {
                let part = step as f32 / STEPS as f32;
                let at = to_plane(from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part);
                (at, self.displacement(at))
            });
            Strand { points: points.collect(), thickness_mm, echo_db }
        };
        let (middle, (half, side)) = (CAVUM_CENTRE.0, CAVUM_SEMI_AXES_MM);
        let end = SEMI_AXES_MM.0 - SKULL_MM - 1.0;
        vec![
            // The midline echo on both sides of the cavum, and the walls of the cavum.
            line((-end, 0.0), (middle - half, 0.0), 1.0, 9.0),
            line((middle + half, 0.0), (end, 0.0), 1.0, 9.0),
            line((middle - half, side), (middle + half, side), 0.7, 7.0),
            line((middle - half, -side), (middle + half, -side), 0.7, 7.0),
            // The outer wall of the far ventricle.
            line((-30.0, 22.0), (-2.0, 22.0), 0.7, 4.0),
        ]
    }

    fn objects(&self) -> Vec<ReferenceObject> {
        let object = |id: u32, middle: (f32, f32), semi_axes_mm: (f32, f32)| ReferenceObject {
            id,
            name: OBJECT_NAMES[id as usize - 1],
            contour: outline(middle, semi_axes_mm),
            click: to_plane(middle.0, middle.1),
        };
        vec![object(HEAD, (0.0, 0.0), SEMI_AXES_MM), object(CAVUM, CAVUM_CENTRE, CAVUM_SEMI_AXES_MM)]
    }

    fn attenuating_layers(&self) -> Vec<AttenuatingLayer> {
        let (a, b) = SEMI_AXES_MM;
        let middle = outline((0.0, 0.0), (a - 0.5 * SKULL_MM, b - 0.5 * SKULL_MM));
        let closed = middle.iter().chain(middle.first());
        vec![AttenuatingLayer {
            points: closed.map(|at| (*at, self.displacement(*at))).collect(),
            loss_db: SKULL_LOSS_DB,
        }]
    }

    fn motion(&self, phase: f32) -> Motion {
        let angle = core::f32::consts::TAU * (phase - libm::floorf(phase));
        let (sin, cos) = libm::sincosf(ROTATION_MAX_RAD * libm::sinf(angle));
        let mut modes = [0.0; MODES];
        (modes[ONE_MINUS_COS], modes[SIN]) = (1.0 - cos, sin);
        modes[ACROSS] = SHIFT_MAX_MM.x * libm::sinf(angle);
        // At twice the frequency, so that the centre moves in a figure of eight.
        modes[DOWN] = SHIFT_MAX_MM.y * libm::sinf(2.0 * angle);
        Motion { modes, slide_mm: 0.0 }
    }
}

/// Distance from the outer outline of the skull, negative inside; exact on the outline, first-order near it.
fn distance_mm(u: f32, v: f32) -> f32 {
    let (a, b) = SEMI_AXES_MM;
    let size = libm::hypotf(u / a, v / b);
    let slope = libm::hypotf(u / (a * a), v / (b * b));
    // At the centre the gradient has no direction; there it is that of the shorter axis.
    if slope < 1e-6 { -b } else { (size - 1.0) * size / slope }
}

fn in_ellipse(u: f32, v: f32, semi_axes: (f32, f32)) -> bool {
    libm::hypotf(u / semi_axes.0, v / semi_axes.1) < 1.0
}

/// An ellipse, clockwise on a display.
fn outline(middle: (f32, f32), semi_axes_mm: (f32, f32)) -> Vec<Point> {
    let at = |index: usize| {
        let (sin, cos) = libm::sincosf(core::f32::consts::TAU * index as f32 / OUTLINE_POINTS as f32);
        to_plane(middle.0 + semi_axes_mm.0 * cos, middle.1 + semi_axes_mm.1 * sin)
    };
    (0..OUTLINE_POINTS).map(at).collect()
}

fn to_plane(u: f32, v: f32) -> Point {
    Point { x: CENTRE.x + u * TILT.1 - v * TILT.0, y: CENTRE.y + u * TILT.0 + v * TILT.1 }
}

fn to_head(point: Point) -> (f32, f32) {
    let (x, y) = (point.x - CENTRE.x, point.y - CENTRE.y);
    (x * TILT.1 + y * TILT.0, y * TILT.1 - x * TILT.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phantom::truth;
    use crate::polygon;

    /// At all times of the sway the true contour is the same ellipse, with area, circumference and axes by formula.
    #[test]
    fn measures_are_those_of_the_ellipse() {
        let head = FetalHead::new(1);
        for step in 0..40 {
            let objects = truth(&head, head.motion(step as f32 / 40.0));
            let contour = &objects[0].contour_mm;
            assert!(polygon::signed_area(contour) > 0.0);
            assert!((objects[0].area_mm2() / area_mm2() - 1.0).abs() < 4e-4, "step {step}");
            let distance = |a: Point, b: Point| libm::hypotf(a.x - b.x, a.y - b.y);
            let around: f32 = (0..180).map(|i| distance(contour[i], contour[(i + 1) % 180])).sum();
            assert!((around / circumference_mm() - 1.0).abs() < 4e-4, "step {step}: {around}");
            assert!((distance(contour[0], contour[90]) - 90.0).abs() < 0.01, "step {step}");
            assert!((distance(contour[45], contour[135]) - 70.0).abs() < 0.01, "step {step}");
            for object in &objects {
                assert!(object.contains(object.click_mm), "{} is clicked outside", object.name);
            }
        }
        assert!((circumference_mm() - 252.34).abs() < 0.1, "{}", circumference_mm());
    }

    /// No two points of the tissue meet, also at the ends of the sway.
    #[test]
    fn motion_does_not_fold() {
        let head = FetalHead::new(1);
        for phase in [0.125, 0.25, 0.375, 0.625, 0.75] {
            let motion = head.motion(phase);
            let moved = |x: f32, y: f32| {
                let at = Point { x, y };
                head.displacement(at).apply(at, motion)
            };
            for column in -100..100 {
                for row in 0..170 {
                    let (x, y) = (column as f32, row as f32);
                    let (here, right, down) = (moved(x, y), moved(x + 0.5, y), moved(x, y + 0.5));
                    let (a, b) = ((right.x - here.x) / 0.5, (right.y - here.y) / 0.5);
                    let (c, d) = ((down.x - here.x) / 0.5, (down.y - here.y) / 0.5);
                    assert!(a * d - b * c > 0.2, "{} at {x}, {y}", a * d - b * c);
                }
            }
        }
    }

    /// The material directly inside the true contour is bone, directly outside it is not.
    #[test]
    fn skull_is_within_the_true_contour() {
        let head = FetalHead::new(3);
        let inside = |part: f32, index: usize| {
            let angle = core::f32::consts::TAU * index as f32 / 90.0;
            let (a, b) = (SEMI_AXES_MM.0 + part, SEMI_AXES_MM.1 + part);
            head.material(to_plane(a * libm::cosf(angle), b * libm::sinf(angle)))
        };
        for index in 0..90 {
            assert!(inside(-1.0, index).echo_db > 5.0, "{index}");
            assert!(inside(1.0, index).echo_db < 0.0, "{index}");
            assert!(inside(-6.0, index).echo_db < 0.0, "{index}");
        }
        assert!(head.material(to_plane(-65.0, 8.0)).flows, "no fluid beside the head");
    }
}
