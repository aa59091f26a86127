//! Decides whether an object must be reprojected to another geometry. Geometries are compared in the probe's plane, in
//! millimetres.

use super::objects::{Object, Scene};
use crate::hal::geometry::{Geometry, Point};
use crate::hal::overlay::OverlayObject;
use crate::vision::InputGrid;

/// Reprojection that an object's mask needs before it is used in a scene.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reprojection {
    /// None: the geometry is the same.
    Same,
    /// The mask must be resampled; `box_px` is the object's new box.
    To { box_px: [f32; 4] },
    /// The object's position there is not known, or it lies outside the field.
    Lost,
}

/// Returns whether an object's position is known in another geometry.
pub(super) fn is_known_in(object: &Object, geometry: &Geometry) -> bool {
    object.scene.is_some_and(|own| own.geometry.shares_plane_with(geometry))
}

/// Returns the reprojection that an object's mask needs before it is used in a scene.
pub(super) fn reprojection(object: &Object, scene: &Scene) -> Reprojection {
    if object.scene.is_some_and(|own| own.geometry == scene.geometry) {
        return Reprojection::Same;
    }
    let box_px = box_on(&object.shown, &scene.grid).filter(|_| is_known_in(object, &scene.geometry));
    box_px.map_or(Reprojection::Lost, |box_px| Reprojection::To { box_px })
}

/// Returns the box of a shown contour on another grid, cropped to its field; `None` if the box is empty.
fn box_on(shown: &OverlayObject, grid: &InputGrid) -> Option<[f32; 4]> {
    let mut bounds = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    for &[x, y] in shown.polygons_mm().next()? {
        let [x, y] = grid.to_grid(Point { x, y });
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    }
    let (right, bottom) = ((grid.columns() - 1) as f32, (grid.rows() - 1) as f32);
    let [x0, y0] = [bounds[0].max(0.0), bounds[1].max(0.0)];
    let [x1, y1] = [bounds[2].min(right), bounds[3].min(bottom)];
    (x1 > x0 && y1 > y0).then_some([x0, y0, x1, y1])
}
