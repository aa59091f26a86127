//! Liver: tissue without objects to follow, for what a sliding probe finds beside an organ.
//!
//! Its parenchyma is more even than muscle. Veins cross it: dark, round or oblong cross-sections of up to about 15 mm, which
//! resemble small chambers.

use crate::phantom::Material;
use crate::random::{Texture, smooth_step};
use sonotrace_hal::geometry::Point;

/// Thickness of the capsule, which is bright.
const CAPSULE_MM: f32 = 1.8;
/// Depth of the belly wall in front of the liver.
const WALL_MM: f32 = 16.0;
/// Depth below the belly wall at which veins have their full size.
const VEINS_MM: f32 = 30.0;
/// Values of the texture of veins above which there is blood, and the bright wall of a vein.
const BLOOD: f32 = 0.68;
const VEIN_WALL: f32 = 0.58;
/// Largest distance of the capsule from a straight edge.
pub const BULGE_MM: f32 = 22.0;

/// Liver with a texture from a seed.
#[derive(Debug, Clone, Copy)]
pub struct Liver {
    fine: Texture,
    coarse: Texture,
    veins: [Texture; 2],
    layers: Texture,
    edge: Texture,
}

impl Liver {
    /// Liver with a texture from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            fine: Texture::new(seed.wrapping_add(20), 3.0, 3.0),
            coarse: Texture::new(seed.wrapping_add(21), 30.0, 24.0),
            veins: [22, 25].map(|stream| Texture::new(seed.wrapping_add(stream), 24.0, 19.0)),
            layers: Texture::new(seed.wrapping_add(23), 30.0, 2.4),
            edge: Texture::new(seed.wrapping_add(24), 55.0, 1.0),
        }
    }

    /// How far the capsule is from a straight edge at a distance along it, 0 to [`BULGE_MM`].
    pub fn bulge_mm(&self, along_mm: f32) -> f32 {
        0.5 * BULGE_MM * (1.0 + self.edge.at(along_mm, 0.0))
    }

    /// The material at a point in the probe's plane that is `inside_mm` behind the liver's capsule.
    pub fn material(&self, at: Point, inside_mm: f32) -> Material {
        let fine_db = 3.0 * self.fine.at(at.x, at.y);
        let tissue = |echo_db: f32| Material { echo_db: echo_db + fine_db, flows: false };
        if inside_mm < CAPSULE_MM {
            return tissue(8.0);
        }
        let wall = 1.0 - smooth_step((at.y - WALL_MM) / 6.0);
        // Two lattices, one of them turned, so that the veins do not run along either.
        let [straight, turned] = self.veins;
        let vein = straight.at(at.x, at.y) + turned.at(0.7 * (at.x + at.y), 0.7 * (at.y - at.x));
        // The large veins are deep.
        let vein = vein - 1.0 + smooth_step((at.y - WALL_MM) / VEINS_MM);
        if vein > BLOOD {
            return Material { echo_db: -32.0, flows: true };
        }
        if vein > VEIN_WALL {
            return tissue(3.0);
        }
        let coarse_db = 2.0 * self.coarse.at(at.x, at.y);
        let parenchyma_db = -3.0 + coarse_db;
        tissue(parenchyma_db + wall * (5.0 + 6.0 * self.layers.at(at.x, at.y)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most of it is even tissue, some of it veins.
    #[test]
    fn veins_cross_even_tissue() {
        let liver = Liver::new(5);
        let (mut blood, mut even, mut all) = (0, 0, 0);
        for x in -100..100 {
            for y in 25..150 {
                let material = liver.material(Point { x: x as f32, y: y as f32 }, 20.0);
                all += 1;
                blood += i32::from(material.flows);
                even += i32::from((-9.0..3.0).contains(&material.echo_db));
            }
        }
        assert!((all / 40..all / 5).contains(&blood), "{blood} of {all}");
        assert!(even > 7 * all / 10, "{even} of {all}");
        assert!(liver.material(Point { x: 0.0, y: 60.0 }, 1.0).echo_db > 4.0);
    }
}
