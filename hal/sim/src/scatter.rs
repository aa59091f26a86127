//! Point scatterers, fixed to the tissue so that speckle moves with it.

use crate::field::{Field, ScannedRegion};
use crate::motion::{Displacement, Motion};
use crate::phantom::{Material, Phantom};
use crate::random::{Random, mix, unit};
use crate::signal::decibel;
use sonotrace_hal::geometry::Point;

/// One scatterer.
#[derive(Debug, Clone, Copy)]
pub struct Scatterer {
    /// Its position in the reference shape.
    reference: Point,
    displacement: Displacement,
    /// Amplitude of its echo; 1 for plain muscle.
    pub amplitude: f32,
}

impl Scatterer {
    /// Its position at `motion`.
    pub fn at(&self, motion: Motion) -> Point {
        self.displacement.apply(self.reference, motion)
    }
}

/// All scatterers of a phantom.
#[derive(Debug, Clone, Default)]
pub struct Scatterers {
    /// Scatterers of tissue.
    pub tissue: Vec<Scatterer>,
    /// Scatterers of blood, whose echoes have a new phase on every frame.
    pub blood: Vec<Scatterer>,
    /// The field of a probe that slides far.
    far: Option<Field>,
}

impl Scatterers {
    /// Draws the scatterers of `phantom` in `region`.
    pub fn draw(phantom: &dyn Phantom, region: impl Into<ScannedRegion>, seed: u64) -> Self {
        let region = region.into();
        let field = region.field();
        let mut random = Random::new(seed, 1);
        let mut all = Self { far: region.slides_far().then_some(*field), ..Self::default() };
        let (near_mm, far_mm) = region.ranges_mm();
        let (first, span) = region.span();
        let count = (field.scatterers_per_mm() * (far_mm - near_mm) * span) as usize;
        for _ in 0..count {
            let range_mm = near_mm + (far_mm - near_mm) * random.uniform();
            let reference = field.point(range_mm, first + span * random.uniform());
            if region.sees(reference) {
                all.push(reference, phantom.displacement(reference), phantom.material(reference));
            }
        }
        for strand in phantom.strands() {
            for pair in strand.points.windows(2) {
                let ((a, moves_a), (b, moves_b)) = (pair[0], pair[1]);
                let length_mm = libm::hypotf(b.x - a.x, b.y - a.y);
                let unit_mm = field.mm_across(field.range_mm(a)).max(1.0);
                // As many per square millimetre as in the tissue around it.
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

    /// Amplitude of a scatterer that has moved to `point`. Scatterers are denser close to the apex of a sector; those that a
    /// far slide has moved there or away from there stand for more or fewer, so that tissue keeps its brightness.
    pub(crate) fn amplitude(&self, scatterer: &Scatterer, point: Point) -> f32 {
        let Some(field) = &self.far else { return scatterer.amplitude };
        let unit_mm = |at: Point| field.mm_across(field.range_mm(at)).max(1.0);
        scatterer.amplitude * libm::sqrtf(unit_mm(scatterer.reference) / unit_mm(point))
    }

    fn push(&mut self, reference: Point, displacement: Displacement, material: Material) {
        let amplitude = decibel(material.echo_db);
        let scatterer = Scatterer { reference, displacement, amplitude };
        if material.flows { self.blood.push(scatterer) } else { self.tissue.push(scatterer) }
    }
}

/// Phase, in turns, of the blood scatterer `index` on the frame `frame`: a hash, different for every frame.
pub fn blood_turns(seed: u64, frame: u64, index: usize) -> f32 {
    unit(mix(mix(seed ^ (frame << 24)).wrapping_add(index as u64)))
}

fn blend(a: f32, b: f32, part: f32) -> f32 {
    a + (b - a) * part
}
