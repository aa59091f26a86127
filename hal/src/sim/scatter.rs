//! Point scatterers that are fixed to the tissue, so that its speckle moves with it.

use super::cycle::{Displacement, Motion};
use super::field::Reach;
use super::phantom::{Material, Phantom};
use super::random::{Random, mix, unit};
use crate::geometry::Point;

/// One scatterer.
#[derive(Debug, Clone, Copy)]
pub struct Scatterer {
    /// Where it lies in the reference shape.
    reference: Point,
    displacement: Displacement,
    /// Its echo's amplitude; 1 for plain muscle.
    pub amplitude: f32,
}

impl Scatterer {
    /// Where it lies at `motion`.
    pub fn at(&self, motion: Motion) -> Point {
        self.displacement.apply(self.reference, motion)
    }
}

/// All scatterers of a phantom.
#[derive(Debug, Clone, Default)]
pub struct Scatterers {
    /// Those of tissue.
    pub tissue: Vec<Scatterer>,
    /// Those of blood, whose echoes have a new phase on every frame.
    pub blood: Vec<Scatterer>,
}

impl Scatterers {
    /// Draws the scatterers of what is ever seen of `phantom`.
    pub fn draw(phantom: &dyn Phantom, reach: impl Into<Reach>, seed: u64) -> Self {
        let reach = reach.into();
        let field = reach.field();
        let mut random = Random::new(seed, 1);
        let mut all = Self::default();
        let (near_mm, far_mm) = reach.ranges_mm();
        let (first, span) = reach.span();
        let count = (field.scatterers_per_mm() * (far_mm - near_mm) * span) as usize;
        for _ in 0..count {
            let range_mm = near_mm + (far_mm - near_mm) * random.uniform();
            let reference = field.point(range_mm, first + span * random.uniform());
            if reach.sees(reference) {
                all.push(reference, phantom.displacement(reference), phantom.material(reference));
            }
        }
        for strand in phantom.strands() {
            for pair in strand.points.windows(2) {
                let ((a, moves_a), (b, moves_b)) = (pair[0], pair[1]);
                let length_mm = libm::hypotf(b.x - a.x, b.y - a.y);
                let unit_mm = field.mm_across(field.range_mm(a)).max(1.0);
                // The same number on a square millimetre as the tissue around it has.
                let count =
                    libm::ceilf(field.scatterers_per_mm() * length_mm * strand.thickness_mm / unit_mm);
                for _ in 0..count as u32 {
                    let (along, across_mm) =
                        (random.uniform(), (random.uniform() - 0.5) * strand.thickness_mm);
                    let reference = Point {
                        x: blend(a.x, b.x, along) - across_mm * (b.y - a.y) / length_mm,
                        y: blend(a.y, b.y, along) + across_mm * (b.x - a.x) / length_mm,
                    };
                    let material = Material { echo_db: strand.echo_db, flows: false };
                    all.push(reference, moves_a.blend(&moves_b, along), material);
                }
            }
        }
        all
    }

    fn push(&mut self, reference: Point, displacement: Displacement, material: Material) {
        let amplitude = decibel(material.echo_db);
        let scatterer = Scatterer { reference, displacement, amplitude };
        if material.flows { self.blood.push(scatterer) } else { self.tissue.push(scatterer) }
    }
}

/// The amplitude ratio that `db` stands for.
pub fn decibel(db: f32) -> f32 {
    libm::powf(10.0, db / 20.0)
}

/// The phase, in turns, of the blood scatterer `index` on the frame `frame`: a hash, new for each.
pub fn blood_turns(seed: u64, frame: u64, index: usize) -> f32 {
    unit(mix(mix(seed ^ (frame << 24)).wrapping_add(index as u64)))
}

fn blend(a: f32, b: f32, part: f32) -> f32 {
    a + (b - a) * part
}
