//! The objects being followed, and how a mask becomes a contour on an overlay.

use super::config::{SessionConfig, Tables};
use crate::hal::overlay::{CONTOUR_POINTS_MAX, OBJECTS_MAX, OverlayObject, State, valid};
use crate::vision::contour::{Pick, trace};
use crate::vision::{DisplayRaster, Field, InputGrid, VisionError, map_contour, mask, measure};
use bytemuck::Zeroable;

/// A mask with fewer pixels than this on the input grid is no object any more, and a hole with fewer is filled.
const PIXELS_MIN: usize = 12;

/// One object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    /// The device's number; 0 for a free place.
    pub id: u32,
    /// Whether `masks` holds logits to go on from.
    pub has_mask: bool,
    /// Box of the mask on the input grid: left, top, right, bottom.
    pub box_px: [f32; 4],
    /// What is shown of it.
    pub shown: OverlayObject,
    /// Sequence number of the last frame it was brought onto.
    pub seq: u64,
}

impl Object {
    pub fn free() -> Self {
        Self { id: 0, has_mask: false, box_px: [0.0; 4], shown: OverlayObject::zeroed(), seq: 0 }
    }

    /// Lost: no contour, no mask to go on from; stays on overlays as such until it is prompted again or removed.
    pub fn lose(&mut self) {
        self.has_mask = false;
        self.shown = OverlayObject { id: self.id, state: State::Lost as u32, ..OverlayObject::zeroed() };
    }
}

/// The place of an object, or a free one for a new number; none if all are taken.
pub(super) fn place_of(objects: &[Object; OBJECTS_MAX], id: u32) -> Option<usize> {
    let known = objects.iter().position(|object| object.id == id);
    known.or_else(|| objects.iter().position(|object| object.id == 0))
}

/// The geometry that an object's mask is seen in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scene {
    pub grid: InputGrid,
    pub display: DisplayRaster,
    pub is_millimetres: bool,
}

/// What the decoder said of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    /// Square mask of logits over the input grid.
    pub mask: &'a [f32],
    /// Which part of it is meant.
    pub pick: Pick,
    /// The decoder's own estimate of its overlap with the truth.
    pub confidence: f32,
    /// The state that the object has if the answer is to be trusted.
    pub state: State,
}

/// Brings an object's new mask to the input grid, finds its contour, and fills in what is shown. Without a part of
/// enough pixels, or with too little confidence, the object is lost.
///
/// # Errors
/// Slices that are too short; none for tables that were cut by a session's layout.
pub(super) fn show(
    object: &mut Object,
    answer: &Answer<'_>,
    scene: &Scene,
    tables: &mut Tables<'_>,
    config: &SessionConfig<'_>,
) -> Result<(), VisionError> {
    let Answer { mask, pick, confidence, state } = *answer;
    let size = scene.grid.size() as usize;
    // The model's mask is square.
    let mask_size = mask.len().isqrt();
    mask::upsample(mask, mask_size, size, tables.field)?;
    let field = Field::new(tables.field, scene.grid.columns() as usize, scene.grid.rows() as usize, size)?;
    let mut trace = |pick| trace(&field, pick, PIXELS_MIN, tables.labels, tables.points, tables.links);
    let found = match (trace(pick)?, pick) {
        // A click that its own mask leaves out: the answer is elsewhere, and is shown there.
        (None, Pick::Containing(_)) => trace(Pick::Largest)?,
        (picked, _) => picked,
    };
    let Some(contour) = found.filter(|found| found.component.pixels >= PIXELS_MIN) else {
        object.lose();
        return Ok(());
    };
    // Written so that NaN is lost.
    let is_trusted = confidence >= config.lost_below;
    if !is_trusted {
        object.lose();
        return Ok(());
    }
    let bounds = contour.component.bounds;
    object.has_mask = true;
    object.box_px = [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(|edge| edge as f32);
    let mut shown = OverlayObject {
        id: object.id,
        state: if confidence < config.attention_below { State::Attention } else { state } as u32,
        points: contour.points as u32,
        rings: contour.rings,
        ring_points: contour.ring_points,
        confidence: confidence.min(1.0),
        ..OverlayObject::zeroed()
    };
    let points = &tables.points[..contour.points];
    map_contour(&scene.grid, &scene.display, points, &mut shown.contour_px, &mut shown.contour_mm)?;
    if let Some(measures) = measure(contour.split(&shown.contour_px)) {
        shown.valid |= valid::PIXELS;
        shown.area_px2 = measures.area;
        shown.centroid_px = measures.centroid;
    }
    if !scene.is_millimetres {
        shown.contour_mm = [[0.0; 2]; CONTOUR_POINTS_MAX];
    } else if let Some(measures) = measure(contour.split(&shown.contour_mm)) {
        shown.valid |= valid::MILLIMETRES;
        shown.area_mm2 = measures.area;
        shown.perimeter_mm = measures.perimeter;
        shown.centroid_mm = measures.centroid;
    }
    if contour.at_border {
        shown.valid |= valid::AT_BORDER;
    }
    object.shown = shown;
    Ok(())
}
