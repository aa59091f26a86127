//! What a simulated scanner looks at: tissue in a reference shape, and how each point of it moves.
//!
//! A phantom is described at rest, in the probe's plane. Every material point has a fixed displacement per unit of each
//! motion mode ([`Motion`]), so that where it is at a moment is one multiplication per mode, and contours and
//! scatterers move by the same rule: the truth cannot drift from the echoes.

pub use super::cycle::Displacement;
use super::cycle::Motion;
use super::polygon;
use crate::geometry::Point;

/// What lies at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Material {
    /// Echo strength; 0 dB is plain muscle.
    pub echo_db: f32,
    /// Whether it flows, so that its speckle is new on every frame.
    pub flows: bool,
}

/// A thin structure (a valve's leaflet) that lies on its own curve instead of filling an area.
#[derive(Debug, Clone)]
pub struct Strand {
    /// Points along it with their motion.
    pub points: Vec<(Point, Displacement)>,
    /// Full thickness.
    pub thickness_mm: f32,
    /// Echo strength; 0 dB is plain muscle.
    pub echo_db: f32,
}

/// A layer that weakens what lies beyond it, such as bone.
#[derive(Debug, Clone)]
pub struct Screen {
    /// Points along it with their motion.
    pub points: Vec<(Point, Displacement)>,
    /// What an echo loses on its way in and out, where the beam meets the layer upright; more where it meets it aslant.
    pub loss_db: f32,
}

/// An object of the phantom, in the reference shape.
#[derive(Debug, Clone)]
pub struct ReferenceObject {
    /// Its number, from 1.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// Its closed contour, clockwise on a display.
    pub contour: Vec<Point>,
    /// A material point well inside.
    pub click: Point,
}

/// A body to look at.
pub trait Phantom {
    /// What lies at a point of the reference shape.
    fn material(&self, reference: Point) -> Material;
    /// How that point moves.
    fn displacement(&self, reference: Point) -> Displacement;
    /// Its thin structures.
    fn strands(&self) -> Vec<Strand>;
    /// The objects whose contours are known.
    fn objects(&self) -> Vec<ReferenceObject>;

    /// Its layers that cast shadows: none, unless it says so.
    fn screens(&self) -> Vec<Screen> {
        Vec::new()
    }

    /// Where it is at `phase` of its cycle, of which only the fractional part counts: at rest, unless it says so.
    fn motion(&self, phase: f32) -> Motion {
        let _ = phase;
        Motion::REFERENCE
    }
}

/// The truth about one object on one frame, in the probe's plane.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthObject {
    /// The object's number, from 1.
    pub id: u32,
    /// Its name.
    pub name: &'static str,
    /// Its closed contour (the last point joins the first), clockwise on a display.
    pub contour_mm: Vec<Point>,
    /// A point inside, where a user would click.
    pub click_mm: Point,
}

impl TruthObject {
    /// Area inside the contour.
    pub fn area_mm2(&self) -> f32 {
        polygon::signed_area(&self.contour_mm).abs()
    }

    /// Centroid of that area.
    pub fn centroid_mm(&self) -> Point {
        polygon::centroid(&self.contour_mm)
    }

    /// Whether a point of the plane lies inside the contour.
    pub fn contains(&self, point_mm: Point) -> bool {
        polygon::contains(&self.contour_mm, point_mm)
    }
}

/// The contours of all of a phantom's objects at `motion`.
pub fn truth(phantom: &dyn Phantom, motion: Motion) -> Vec<TruthObject> {
    let moved = |at: Point| phantom.displacement(at).apply(at, motion);
    phantom
        .objects()
        .into_iter()
        .map(|object| TruthObject {
            id: object.id,
            name: object.name,
            contour_mm: object.contour.iter().map(|at| moved(*at)).collect(),
            click_mm: moved(object.click),
        })
        .collect()
}
