//! The motion of a phantom: a few numbers that move all its points.

use sonotrace_hal::geometry::Point;

/// Number of motion modes of a phantom.
pub const MODES: usize = 4;

/// The motion of a phantom at one time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Motion {
    /// Amount of each mode. The phantom defines its modes.
    pub modes: [f32; MODES],
    /// Shift of all the anatomy to the right in the probe's plane, because the probe slides to the left.
    pub slide_mm: f32,
}

impl Motion {
    /// The reference shape: no motion.
    pub const REFERENCE: Self = Self { modes: [0.0; MODES], slide_mm: 0.0 };
}

/// The displacement of a point of the reference shape.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Displacement {
    /// Displacement per unit of each mode.
    pub modes_mm: [Point; MODES],
}

impl Displacement {
    /// Position at `motion` of the material point `reference`.
    pub fn apply(&self, reference: Point, motion: Motion) -> Point {
        let mut point = reference;
        for (amount, mode) in motion.modes.iter().zip(&self.modes_mm) {
            point.x += amount * mode.x;
            point.y += amount * mode.y;
        }
        point.x += motion.slide_mm;
        point
    }

    /// Interpolates linearly between this displacement (`part` 0) and `other` (1).
    pub fn blend(&self, other: &Self, part: f32) -> Self {
        let mut blended = *self;
        for (from, to) in blended.modes_mm.iter_mut().zip(&other.modes_mm) {
            from.x += (to.x - from.x) * part;
            from.y += (to.y - from.y) * part;
        }
        blended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_and_slide_add_up() {
        let mut displacement = Displacement::default();
        displacement.modes_mm[1] = Point { x: 2.0, y: -4.0 };
        displacement.modes_mm[3] = Point { x: 1.0, y: 1.0 };
        let reference = Point { x: 10.0, y: 20.0 };
        assert_eq!(displacement.apply(reference, Motion::REFERENCE), reference);
        let motion = Motion { modes: [9.0, 0.5, 9.0, -1.0], slide_mm: 3.0 };
        assert_eq!(displacement.apply(reference, motion), Point { x: 13.0, y: 17.0 });
        assert_eq!(Displacement::default().blend(&displacement, 0.25).modes_mm[1], Point { x: 0.5, y: -1.0 });
    }
}
