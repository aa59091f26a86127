//! How frames of other geometries lie to each other: compared in the probe's plane, in millimetres.

use super::objects::{Object, Scene};
use crate::hal::geometry::Geometry;
use crate::tracking::follower::Placement;
use crate::vision::InputGrid;
use crate::vision::grid::rescale;

/// Returns whether the position of an object's contour is known in another geometry.
pub(super) fn is_known_in(object: &Object, geometry: &Geometry) -> bool {
    object.scene.is_some_and(|own| own.geometry.shares_plane_with(geometry))
}

/// How the frame before and this one lie to each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Relation {
    /// Their millimetres are at the same places of the grid.
    Same,
    /// They are at other places.
    Moved(Placement),
    /// Nobody knows.
    Unknown,
}

/// Returns how masks of one scene lie to those of another; `mask_size` is their side.
pub(super) fn relation(from: &Scene, to: &Scene, mask_size: usize) -> Relation {
    if from.geometry != to.geometry && !from.geometry.shares_plane_with(&to.geometry) {
        Relation::Unknown
    } else if from.grid == to.grid {
        Relation::Same
    } else {
        Relation::Moved(placement(&from.grid, &to.grid, mask_size))
    }
}

fn placement(from: &InputGrid, to: &InputGrid, mask_size: usize) -> Placement {
    let (to_input, to_mask) = (from.size() as f32 / mask_size as f32, mask_size as f32 / to.size() as f32);
    let moved = |at| rescale(to.to_grid(from.to_plane(rescale(at, to_input))), to_mask);
    // Both ends of a side, for precision.
    let side = mask_size as f32;
    let (shift, end) = (moved([0.0; 2]), moved([side; 2]));
    Placement { scale: [0, 1].map(|axis| (end[axis] - shift[axis]) / side), shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_placed_where_their_millimetres_are() {
        let (shallow, deep) = (Scene::of_linear_probe(100.0, 256), Scene::of_linear_probe(200.0, 256));
        assert_eq!(relation(&shallow, &shallow, 128), Relation::Same);
        let Relation::Moved(placement) = relation(&shallow, &deep, 128) else { panic!("the same plane") };
        for at in [[0.0, 0.0], [20.0, 90.0], [127.0, 127.0]] {
            let place = shallow.grid.to_plane(rescale(at, 2.0));
            let expected = rescale(deep.grid.to_grid(place), 0.5);
            for axis in [0, 1] {
                let moved = at[axis] * placement.scale[axis] + placement.shift[axis];
                assert!((moved - expected[axis]).abs() < 1e-3, "{moved} {}", expected[axis]);
            }
        }
        // A pixel of the deeper image is about twice as wide.
        assert!(placement.scale.iter().all(|scale| (scale - 0.5).abs() < 0.01), "{placement:?}");
    }
}
