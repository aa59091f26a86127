//! The objects being followed, and how a mask becomes a contour on an overlay.

use super::config::{SessionConfig, Tables};
use super::programs::DecoderPrompt;
use crate::hal::geometry::Geometry;
use crate::hal::overlay::{CONTOUR_POINTS_MAX, OBJECTS_MAX, OUTER_POINTS_MAX, OverlayObject, State, valid};
use crate::vision::contour::{Pick, outer_contour};
use crate::vision::{DisplayRaster, Field, InputGrid, VisionError, map_contour, mask, measure, simplify};
use bytemuck::Zeroable;

/// A mask with fewer pixels than this on the input grid is no object any more.
const PIXELS_MIN: usize = 12;

/// One object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Object {
    /// The device's number; 0 for a free place.
    pub id: u32,
    /// Whether `masks` holds logits to go on from.
    pub has_mask: bool,
    /// Where the mask lies; none before the first.
    pub scene: Option<Scene>,
    /// Box of the mask on the input grid: left, top, right, bottom.
    pub box_px: [f32; 4],
    /// What is shown of it.
    pub shown: OverlayObject,
    /// The last frame it was brought onto, by the session's count of frames worked on.
    pub frame: u64,
    /// What was pointed at on `prompted_frame`: later clicks on that frame add to it.
    pub prompt: DecoderPrompt,
    /// The frame of the last prompt, by the session's count of frames worked on.
    pub prompted_frame: u64,
}

impl Object {
    /// A place that is free, or just given to the object `id`.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            has_mask: false,
            scene: None,
            box_px: [0.0; 4],
            shown: OverlayObject::zeroed(),
            frame: 0,
            prompt: DecoderPrompt::default(),
            prompted_frame: 0,
        }
    }

    /// Lost: no contour, no mask to go on from; stays on overlays as such until it is prompted again or removed.
    pub fn lose(&mut self) {
        self.has_mask = false;
        self.prompted_frame = 0;
        self.shown = OverlayObject { id: self.id, state: State::Lost as u32, ..OverlayObject::zeroed() };
    }
}

/// The place of an object, if there is such a one.
pub(super) fn place_of(objects: &[Object; OBJECTS_MAX], id: u32) -> Option<usize> {
    objects.iter().position(|object| object.id == id)
}

/// The geometry that an object's mask is seen in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scene {
    pub geometry: Geometry,
    pub grid: InputGrid,
    pub display: DisplayRaster,
}

/// What the decoder said of an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    /// Square mask of logits over the input grid.
    pub mask: &'a [f32],
    /// What it answers: the part that holds a positive click is meant, else the largest.
    pub prompt: &'a DecoderPrompt,
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
    let Answer { mask, prompt, confidence, state } = *answer;
    let pick = match prompt.clicks().iter().rev().find(|click| click.is_positive) {
        Some(click) => Pick::Containing(click.at),
        None => Pick::Largest,
    };
    let size = scene.grid.size() as usize;
    // The model's mask is square.
    let mask_size = mask.len().isqrt();
    mask::upsample(mask, mask_size, size, tables.field)?;
    let field = Field::new(tables.field, scene.grid.columns() as usize, scene.grid.rows() as usize, size)?;
    let picked = outer_contour(&field, pick, tables.labels, tables.points)?;
    let found = match (picked, pick) {
        // A click that its own mask leaves out: the answer is elsewhere, and is shown there.
        (None, Pick::Containing(_)) => outer_contour(&field, Pick::Largest, tables.labels, tables.points)?,
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
    let points = simplify(&mut tables.points[..contour.points], OUTER_POINTS_MAX, tables.links)?;
    let bounds = contour.component.bounds;
    object.has_mask = true;
    object.scene = Some(*scene);
    object.box_px = [bounds.x0, bounds.y0, bounds.x1, bounds.y1].map(|edge| edge as f32);
    let mut shown = OverlayObject {
        id: object.id,
        state: if confidence < config.attention_below { State::Attention } else { state } as u32,
        points: points as u32,
        rings: 1,
        ring_points: [points as u32, 0, 0, 0, 0],
        confidence: confidence.min(1.0),
        ..OverlayObject::zeroed()
    };
    let polygon = &tables.points[..points];
    map_contour(&scene.grid, &scene.display, polygon, &mut shown.contour_px, &mut shown.contour_mm)?;
    if let Some(measures) = measure(&shown.contour_px[..points]) {
        shown.valid |= valid::PIXELS;
        shown.area_px2 = measures.area;
        shown.centroid_px = measures.centroid;
    }
    if !scene.geometry.is_millimetres() {
        shown.contour_mm = [[0.0; 2]; CONTOUR_POINTS_MAX];
    } else if let Some(measures) = measure(&shown.contour_mm[..points]) {
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
