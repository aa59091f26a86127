//! Phantoms made of other phantoms: of another size, and with other tissue beside them.

use crate::field::Field;
use crate::liver::Liver;
use crate::motion::{Displacement, Motion};
use crate::phantom::{AttenuatingLayer, Material, Phantom, ReferenceObject, Strand};
use sonotrace_hal::geometry::Point;

/// A phantom that can be shared between threads.
pub type SharedPhantom = Box<dyn Phantom + Send + Sync>;

/// A larger or smaller body: all distances from the middle of the probe's face are multiplied, and all motion with them.
pub struct Scaled {
    /// The phantom at its usual size.
    pub inner: SharedPhantom,
    /// The factor, above 0.
    pub size: f32,
}

impl Scaled {
    fn grown(&self, at: Point) -> Point {
        Point { x: self.size * at.x, y: self.size * at.y }
    }

    fn moved(&self, displacement: Displacement) -> Displacement {
        Displacement { modes_mm: displacement.modes_mm.map(|mode| self.grown(mode)) }
    }

    fn inner_point(&self, at: Point) -> Point {
        Point { x: at.x / self.size, y: at.y / self.size }
    }

    fn curve(&self, points: Vec<(Point, Displacement)>) -> Vec<(Point, Displacement)> {
        points.into_iter().map(|(at, moves)| (self.grown(at), self.moved(moves))).collect()
    }
}

impl Phantom for Scaled {
    fn material(&self, reference: Point) -> Material {
        self.inner.material(self.inner_point(reference))
    }

    fn displacement(&self, reference: Point) -> Displacement {
        self.moved(self.inner.displacement(self.inner_point(reference)))
    }

    fn strands(&self) -> Vec<Strand> {
        let grown = |strand: Strand| Strand {
            points: self.curve(strand.points),
            thickness_mm: self.size * strand.thickness_mm,
            ..strand
        };
        self.inner.strands().into_iter().map(grown).collect()
    }

    fn objects(&self) -> Vec<ReferenceObject> {
        let grown = |object: ReferenceObject| ReferenceObject {
            contour: object.contour.into_iter().map(|at| self.grown(at)).collect(),
            click: self.grown(object.click),
            ..object
        };
        self.inner.objects().into_iter().map(grown).collect()
    }

    fn attenuating_layers(&self) -> Vec<AttenuatingLayer> {
        let grown = |layer: AttenuatingLayer| AttenuatingLayer { points: self.curve(layer.points), ..layer };
        self.inner.attenuating_layers().into_iter().map(grown).collect()
    }

    fn motion(&self, phase: f32) -> Motion {
        self.inner.motion(phase)
    }
}

/// A phantom with liver to both sides of a field of view, so that a slide brings other tissue into it. The liver moves as the
/// phantom's own tissue would in its place, and has no objects.
pub struct BesideLiver {
    /// The phantom.
    pub inner: SharedPhantom,
    /// The field of view before any slide.
    pub field: Field,
    /// Smallest distance of the liver from the sides of the field of view.
    pub from_mm: f32,
    /// The liver.
    pub liver: Liver,
}

impl BesideLiver {
    /// How far a point is beyond the start of the liver; negative in the phantom's own tissue.
    fn beyond_mm(&self, reference: Point) -> f32 {
        let field = &self.field;
        let across = field.across(reference);
        let last = field.first + field.step * (field.lines - 1) as f32;
        let outside = (field.first - across).max(across - last);
        let range_mm = field.range_mm(reference);
        // Another edge on each side.
        let along_mm = if across < 0.0 { range_mm } else { range_mm + 1000.0 };
        outside * field.mm_across(range_mm) - self.from_mm - self.liver.bulge_mm(along_mm)
    }
}

impl Phantom for BesideLiver {
    fn material(&self, reference: Point) -> Material {
        let beyond_mm = self.beyond_mm(reference);
        if beyond_mm > 0.0 {
            self.liver.material(reference, beyond_mm)
        } else {
            self.inner.material(reference)
        }
    }

    fn displacement(&self, reference: Point) -> Displacement {
        self.inner.displacement(reference)
    }

    fn strands(&self) -> Vec<Strand> {
        self.inner.strands()
    }

    fn objects(&self) -> Vec<ReferenceObject> {
        self.inner.objects()
    }

    fn attenuating_layers(&self) -> Vec<AttenuatingLayer> {
        self.inner.attenuating_layers()
    }

    fn motion(&self, phase: f32) -> Motion {
        self.inner.motion(phase)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetal_head::FetalHead;
    use crate::heart::Heart;
    use crate::phantom::truth;
    use crate::simulator::Simulator;
    use crate::{SimConfig, polygon};

    /// Areas grow with the square of the size; material and motion are those of the same place of the body.
    #[test]
    fn scaled_body_is_the_same_body() {
        let (own, scaled) = (FetalHead::new(3), Scaled { inner: Box::new(FetalHead::new(3)), size: 1.25 });
        let motion = own.motion(0.2);
        for (a, b) in truth(&own, motion).iter().zip(truth(&scaled, scaled.motion(0.2))) {
            assert!((b.area_mm2() / a.area_mm2() - 1.25 * 1.25).abs() < 1e-3);
            assert!(polygon::contains(&b.contour_mm, b.click_mm));
        }
        let at = Point { x: 10.0, y: 70.0 };
        assert_eq!(scaled.material(Point { x: 12.5, y: 87.5 }), own.material(at));
        assert_eq!(scaled.strands().len(), own.strands().len());
        let moved = scaled.displacement(Point { x: 12.5, y: 87.5 }).modes_mm[1];
        assert!((moved.x - 1.25 * own.displacement(at).modes_mm[1].x).abs() < 1e-4);
    }

    /// The field of view has the phantom's own tissue, and both sides of it have liver.
    #[test]
    fn liver_begins_outside_the_field() {
        let config = SimConfig::default();
        let simulator = Simulator::new(SimConfig { density: 0.01, ..config }).expect("a valid configuration");
        let field = Field::of(simulator.geometry()).expect("scan lines");
        let own = Heart::new(4);
        let beside = BesideLiver { inner: Box::new(own), field, from_mm: 6.0, liver: Liver::new(9) };
        let mut differ = 0;
        for row in 1..15 {
            let at = |angle: f32| field.point(10.0 * row as f32, angle);
            for angle in [field.first, 0.0, -field.first] {
                assert_eq!(beside.material(at(angle)), own.material(at(angle)), "row {row}");
            }
            let side = field.point(10.0 * row as f32, field.first);
            let outside = Point { x: side.x - 45.0, ..side };
            differ += u32::from(beside.material(outside) != own.material(outside));
        }
        assert_eq!(differ, 14);
    }
}
