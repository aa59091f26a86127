//! Phantoms: tissue in a reference shape, and the motion of each of its points.
//!
//! A phantom is described at rest, in the probe's plane. Every material point has a fixed displacement per unit of each
//! motion mode ([`Motion`]), so that its position takes one multiplication per mode. Contours and scatterers move by the
//! same rule, so that the true contours always match the echoes.

use crate::motion::{Displacement, Motion};
use crate::polygon;
use sonotrace_hal::geometry::Point;

/// The material at a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Material {
    /// Echo strength; 0 dB is plain muscle.
    pub echo_db: f32,
    /// Whether it flows: then its speckle is new on every frame.
    pub flows: bool,
}

/// A thin structure along a curve, such as the leaflet of a valve.
#[derive(Debug, Clone)]
pub struct Strand {
    /// Points of the curve with their motion.
    pub points: Vec<(Point, Displacement)>,
    /// Full thickness.
    pub thickness_mm: f32,
    /// Echo strength; 0 dB is plain muscle.
    pub echo_db: f32,
}

/// A layer that attenuates the echoes from behind it, such as bone.
#[derive(Debug, Clone)]
pub struct AttenuatingLayer {
    /// Points of the curve with their motion.
    pub points: Vec<(Point, Displacement)>,
    /// Loss of an echo, both ways, if the beam is perpendicular to the layer; more if it is oblique.
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
    /// A material point far from the contour, where a user would click.
    pub click: Point,
}

/// A body to scan.
pub trait Phantom {
    /// The material at a point of the reference shape.
    fn material(&self, reference: Point) -> Material;
    /// The displacement of a point of the reference shape.
    fn displacement(&self, reference: Point) -> Displacement;
    /// Its thin structures.
    fn strands(&self) -> Vec<Strand>;
    /// The objects with known contours.
    fn objects(&self) -> Vec<ReferenceObject>;

    /// Its layers that cast shadows; none by default.
    fn attenuating_layers(&self) -> Vec<AttenuatingLayer> {
        Vec::new()
    }

    /// The motion at `phase` of the cycle, of which only the fractional part is used; at rest by default.
    fn motion(&self, phase: f32) -> Motion {
        let _ = phase;
        Motion::REFERENCE
    }
}

/// The true contour of one object on one frame, in the probe's plane.
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

    /// Whether a point of the plane is inside the contour.
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
