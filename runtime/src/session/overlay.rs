//! Fills overlays: with the contours of the current frame, or with contours repeated on another frame.

use super::objects::{Object, without_contour};
use super::reproject::is_known_in;
use super::work::Work;
use crate::hal::geometry::{Geometry, Point};
use crate::hal::overlay::{ANSWERS_MAX, Overlay, OverlayObject, PromptAnswer, Rung, State, valid};
use crate::vision::DisplayRaster;

/// Geometry and display of a frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Target {
    pub geometry: Geometry,
    pub display: DisplayRaster,
}

/// Age and latency of an overlay.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Time since the frame of its contours was committed.
    pub age_ns: u64,
    /// Time since the overlay was requested.
    pub latency_ns: u64,
}

/// Writes an overlay of a frame, with the objects' contours on it, or with repeated ones of an earlier frame.
pub(super) fn write(
    overlay: &mut Overlay,
    work: &Work,
    times: &Times,
    objects: &[Object],
    rung: Rung,
    is_repeated: bool,
) {
    overlay.clear();
    overlay.seq = work.seq;
    overlay.t_acq_ns = work.t_acq_ns;
    (overlay.latency_ns, overlay.age_ns) = (times.latency_ns, times.age_ns);
    overlay.stage_ns = work.stage_ns;
    overlay.rung = rung as u32;
    overlay.geometry_epoch = work.geometry_epoch;
    overlay.flags = work.flags;
    let followed = objects.iter().filter(|object| object.id != 0 && object.shown.id != 0);
    for (to, object) in overlay.objects.iter_mut().zip(followed) {
        *to = object.shown;
        // Also a contour that a prompt made on an earlier frame.
        if is_repeated || to.state == State::Stale as u32 {
            work.target.mark_stale(object, to);
        }
        overlay.object_count += 1;
        // States are ordered from best to worst.
        overlay.state = overlay.state.max(to.state);
    }
}

/// Adds the first replies to prompts, at most `ANSWERS_MAX`. Returns how many.
pub(super) fn add_answers(overlay: &mut Overlay, answers: &[PromptAnswer]) -> usize {
    let added = answers.len().min(ANSWERS_MAX);
    overlay.answer_count = added as u32;
    overlay.answers[..added].copy_from_slice(&answers[..added]);
    added
}

impl Target {
    /// Marks `shown`, a copy of the object's overlay entry, as stale and draws it at its position on this display;
    /// marks it as lost if that position is not known. The object itself does not change: it belongs to the last
    /// processed frame.
    fn mark_stale(&self, object: &Object, shown: &mut OverlayObject) {
        if shown.points == 0 {
            return;
        }
        if !is_known_in(object, &self.geometry) {
            *shown = without_contour(object.id, State::Lost);
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
