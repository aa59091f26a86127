//! Carrying an object from one geometry to another: its mask onto the other grid, its contour onto the other display.
//! Both go over the probe's plane, in millimetres.

use super::objects::{Object, Scene, lost};
use crate::hal::geometry::{Geometry, Point};
use crate::hal::overlay::{OverlayObject, State, valid};
use crate::vision::grid::rescale;
use crate::vision::{DisplayRaster, InputGrid, Vertex};

/// What a carried mask holds where the old field did not reach: surely outside.
const OUTSIDE_LOGIT: f32 = -10.0;

/// Whether an object's place is known in another geometry.
fn can_carry(object: &Object, geometry: &Geometry) -> bool {
    object.scene.is_some_and(|own| own.geometry.shares_plane_with(geometry))
}

/// Brings an object's mask and box onto the grid of `scene`. `mask` is square, over its own grid; `scratch` has room for
/// as many elements. Returns whether anything of the object is left in the field; an object that cannot be carried, or
/// of which nothing is left, is not changed.
pub(super) fn carry(object: &mut Object, mask: &mut [f32], scene: &Scene, scratch: &mut [f32]) -> bool {
    let Some(own) = object.scene else { return false };
    if own.geometry == scene.geometry {
        return true;
    }
    if !can_carry(object, &scene.geometry) {
        return false;
    }
    let Some(box_px) = box_on(&object.shown, &scene.grid) else { return false };
    let side = mask.len().isqrt();
    let scratch = &mut scratch[..side * side];
    let (to_input, to_mask) = (scene.grid.size() as f32 / side as f32, side as f32 / own.grid.size() as f32);
    for (y, row) in scratch.chunks_exact_mut(side).enumerate() {
        for (x, value) in row.iter_mut().enumerate() {
            let place = scene.grid.to_plane(rescale([x as f32, y as f32], to_input));
            let before = own.grid.to_grid(place);
            *value = match own.grid.contains(before) {
                true => bilinear(mask, side, rescale(before, to_mask)),
                false => OUTSIDE_LOGIT,
            };
        }
    }
    mask.copy_from_slice(scratch);
    (object.box_px, object.scene) = (box_px, Some(*scene));
    true
}

/// The box of a shown contour on another grid, cut to its field; none if nothing is left.
fn box_on(shown: &OverlayObject, grid: &InputGrid) -> Option<[f32; 4]> {
    let mut bounds = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    for &[x, y] in shown.rings_mm().next()? {
        let [x, y] = grid.to_grid(Point { x, y });
        bounds = [bounds[0].min(x), bounds[1].min(y), bounds[2].max(x), bounds[3].max(y)];
    }
    let (right, bottom) = ((grid.columns() - 1) as f32, (grid.rows() - 1) as f32);
    let [x0, y0] = [bounds[0].max(0.0), bounds[1].max(0.0)];
    let [x1, y1] = [bounds[2].min(right), bounds[3].min(bottom)];
    (x1 > x0 && y1 > y0).then_some([x0, y0, x1, y1])
}

/// The value of a square mask at a position, constant beyond its outermost centres.
fn bilinear(mask: &[f32], side: usize, at: Vertex) -> f32 {
    let place = |at: f32| {
        let at = at.clamp(0.0, (side - 1) as f32);
        let low = (at as usize).min(side - 1);
        (low, (low + 1).min(side - 1), at - low as f32)
    };
    let ((left, right, across), (above, below, down)) = (place(at[0]), place(at[1]));
    let between = |row: usize| mask[row * side + left] * (1.0 - across) + mask[row * side + right] * across;
    between(above) * (1.0 - down) + between(below) * down
}

/// Where a frame is displayed that is not worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elsewhere {
    pub geometry: Geometry,
    pub display: DisplayRaster,
}

impl Elsewhere {
    /// Marks a copy of what is shown of `object` as of an earlier frame, drawn where it is on this display; as lost, if
    /// its place there is not known. The object itself stays as it is: it belongs to the frame that was worked on.
    pub fn mark_stale(&self, object: &Object, shown: &mut OverlayObject) {
        if shown.state == State::Lost as u32 || shown.points == 0 {
            return;
        }
        if !can_carry(object, &self.geometry) {
            *shown = lost(object.id);
            return;
        }
        shown.state = State::Stale as u32;
        if shown.valid & valid::MILLIMETRES == 0 {
            return;
        }
        let points = shown.contour_mm().len();
        for (px, &[x, y]) in shown.contour_px.iter_mut().zip(&shown.contour_mm[..points]) {
            *px = self.display.to_display(Point { x, y });
        }
        let [x, y] = shown.centroid_mm;
        shown.centroid_px = self.display.to_display(Point { x, y });
        shown.area_px2 = shown.area_mm2 / self.display.pixel_area();
    }
}
