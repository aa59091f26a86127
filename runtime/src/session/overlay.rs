//! What an overlay says: of the frame in work, or repeated where another frame is displayed.

use super::advance::Work;
use super::objects::{Object, lost};
use super::reproject::is_known_in;
use crate::hal::geometry::{Geometry, Point};
use crate::hal::overlay::{Overlay, OverlayObject, PromptAnswer, Rung, State, valid};
use crate::vision::DisplayRaster;

/// Where a frame is displayed that is not worked on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Elsewhere {
    pub geometry: Geometry,
    pub display: DisplayRaster,
}

/// How old an overlay is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Since its contours' frame was committed.
    pub age_ns: u64,
    /// Since the work for it was asked for.
    pub latency_ns: u64,
}

/// Writes an overlay of the frame in work, with the objects as they are or repeated `elsewhere`.
pub(super) fn write(
    overlay: &mut Overlay,
    work: &Work,
    times: &Times,
    objects: &[Object],
    elsewhere: Option<&Elsewhere>,
) {
    *overlay = Overlay::blank();
    overlay.seq = work.seq;
    overlay.t_acq_ns = work.t_acq_ns;
    (overlay.latency_ns, overlay.age_ns) = (times.latency_ns, times.age_ns);
    overlay.stage_ns = work.stage_ns;
    overlay.rung = if elsewhere.is_some() { Rung::Repeat } else { Rung::Full } as u32;
    overlay.geometry_epoch = work.geometry_epoch;
    overlay.flags = work.flags;
    let followed = objects.iter().filter(|object| object.id != 0 && object.shown.id != 0);
    for (to, object) in overlay.objects.iter_mut().zip(followed) {
        *to = object.shown;
        if let Some(elsewhere) = elsewhere {
            elsewhere.mark_stale(object, to);
        }
        overlay.object_count += 1;
        // States are ordered from best to worst.
        overlay.state = overlay.state.max(to.state);
    }
}

/// Adds the answers to prompts, of which there are at most as many as an overlay has room for.
pub(super) fn add_answers(overlay: &mut Overlay, answers: &[PromptAnswer]) {
    overlay.answer_count = answers.len() as u32;
    overlay.answers[..answers.len()].copy_from_slice(answers);
}

impl Elsewhere {
    /// Marks a copy of what is shown of `object` as of an earlier frame, drawn where it is on this display; as lost, if
    /// its place there is not known. The object itself stays as it is: it belongs to the frame that was worked on.
    fn mark_stale(&self, object: &Object, shown: &mut OverlayObject) {
        if shown.state == State::Lost as u32 || shown.points == 0 {
            return;
        }
        if !is_known_in(object, &self.geometry) {
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
