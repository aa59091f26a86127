//! Point scatterers that are fixed to the tissue, so that its speckle moves with it.

use super::cycle::Motion;
use super::phantom::{Displacement, Material, Phantom};
use super::random::{Random, mix, unit};
use crate::geometry::{Point, Sector};

/// Scatterers per millimetre of range and radian of angle. They lie evenly in range and angle, where a resolution cell
/// (about 1.5 mm by 0.027 rad) then holds some 28 of them at any depth: fully developed speckle needs 10 or more
/// (Wagner et al., "Statistics of speckle in ultrasound B-scans", IEEE Trans. Sonics Ultrason. 1983).
pub const SCATTERERS_PER_MM_RAD: f32 = 690.0;
/// Tissue this far outside the field of view is given scatterers, for it may move in.
const MARGIN_MM: f32 = 16.0;
const MARGIN_RAD: f32 = 0.10;

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
    /// Draws the scatterers of what `sector` sees of `phantom`.
    pub fn draw(phantom: &dyn Phantom, sector: &Sector, seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        let mut all = Self::default();
        let near_mm = (sector.apex_radius_mm + sector.first_depth_mm - MARGIN_MM).max(0.0);
        let depth_span_mm = sector.depth_step_mm * (sector.samples - 1) as f32;
        let far_mm = sector.apex_radius_mm + sector.first_depth_mm + depth_span_mm + MARGIN_MM;
        let first_rad = sector.first_angle_rad - MARGIN_RAD;
        let span_rad = sector.angle_step_rad * (sector.lines - 1) as f32 + 2.0 * MARGIN_RAD;
        let count = (SCATTERERS_PER_MM_RAD * (far_mm - near_mm) * span_rad) as usize;
        for _ in 0..count {
            let radius_mm = near_mm + (far_mm - near_mm) * random.uniform();
            let (sin, cos) = libm::sincosf(first_rad + span_rad * random.uniform());
            let reference = Point { x: radius_mm * sin, y: radius_mm * cos - sector.apex_radius_mm };
            all.push(reference, phantom.displacement(reference), phantom.material(reference));
        }
        for strand in phantom.strands() {
            for pair in strand.points.windows(2) {
                let ((a, moves_a), (b, moves_b)) = (pair[0], pair[1]);
                let length_mm = libm::hypotf(b.x - a.x, b.y - a.y);
                let radius_mm = libm::hypotf(a.x, a.y + sector.apex_radius_mm).max(1.0);
                // The same number on a square millimetre as the tissue around it has.
                let count =
                    libm::ceilf(SCATTERERS_PER_MM_RAD * length_mm * strand.thickness_mm / radius_mm) as u32;
                for _ in 0..count {
                    let (along, across_mm) =
                        (random.uniform(), (random.uniform() - 0.5) * strand.thickness_mm);
                    let reference = Point {
                        x: blend(a.x, b.x, along) - across_mm * (b.y - a.y) / length_mm,
                        y: blend(a.y, b.y, along) + across_mm * (b.x - a.x) / length_mm,
                    };
                    let displacement = Displacement {
                        contraction: blend_points(moves_a.contraction, moves_b.contraction, along),
                        valve_opening: blend_points(moves_a.valve_opening, moves_b.valve_opening, along),
                    };
                    all.push(reference, displacement, Material { echo_db: strand.echo_db, flows: false });
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

fn blend_points(a: Point, b: Point, part: f32) -> Point {
    Point { x: blend(a.x, b.x, part), y: blend(a.y, b.y, part) }
}
