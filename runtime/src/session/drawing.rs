//! Draws the contours of the objects.

use super::advance::{Drawing, Stage};
use super::costs::Part;
use super::objects::{self, Told};
use super::programs::CLICKS_MAX;
use super::slice::Slice;
use super::work::Work;
use super::{Buffers, Session};
use crate::hal::clock::Clock;
use crate::hal::overlay::State;
use crate::vision::budget::{STEP_WORK, StepBudget};
use crate::vision::contour::Tracing;
use crate::vision::{Pick, mask};

impl<C: Clock> Session<'_, C> {
    /// Begins to draw an object's contour. An absent one, and one with an empty mask, is shown without.
    pub(super) fn begin_drawing(&mut self, mut work: Work, place: usize) -> Stage {
        work.to_draw = work.to_draw.without(place);
        let object = &mut self.objects[place];
        let Told { state, confidence, checked_frames_ago } = object.told;
        if state == State::Absent {
            object.show_none(state, confidence, checked_frames_ago);
            return Stage::Next { work };
        }
        let scene = self.kept[object.drawn_on as usize].scene;
        match scene.filter(|_| self.follower.box_of(self.follower.odds(place)).is_some()) {
            Some(scene) => {
                work.done.count(Part::Contour, 1);
                Stage::Enlarge { work, drawing: Drawing { place, scene }, row: 0 }
            }
            None => self.show_lost(work, place),
        }
    }

    fn show_lost(&mut self, work: Work, place: usize) -> Stage {
        self.lose(work.seq, place);
        Stage::Next { work }
    }

    pub(super) fn enlarge(
        &mut self,
        work: Work,
        drawing: Drawing,
        mut row: usize,
        slice: &mut Slice,
    ) -> Stage {
        let (side, size) = (self.programs.mask_size, self.input_size as usize);
        let mask = self.follower.odds(drawing.place);
        while row < size {
            let end = size.min(row + (STEP_WORK as usize / size).max(1));
            if mask::upsample_rows(mask, side, size, row..end, self.buffers.field).is_err() {
                return self.show_lost(work, drawing.place);
            }
            row = end;
            if row < size && !slice.go_on(&self.clock) {
                return Stage::Enlarge { work, drawing, row };
            }
        }
        let object = &self.objects[drawing.place];
        let mut clicks = [[0.0; 2]; CLICKS_MAX];
        // A prompt's mask is the component that was clicked.
        let is_prompted = matches!(object.told.state, State::Fresh | State::Stale);
        let pick = if is_prompted { object.prompt.pick(&mut clicks) } else { Pick::Largest };
        self.begin_trace(work, drawing, pick, !is_prompted)
    }

    fn begin_trace(&mut self, work: Work, drawing: Drawing, pick: Pick<'_>, is_retry: bool) -> Stage {
        let field = objects::field(self.buffers.field, &drawing.scene, &self.config);
        match field.map(|field| Tracing::new(&field, pick, objects::PIXELS_MIN)) {
            Some(Ok(tracing)) => Stage::Trace { work, drawing, tracing, is_retry },
            _ => self.show_lost(work, drawing.place),
        }
    }

    pub(super) fn trace(
        &mut self,
        work: Work,
        drawing: Drawing,
        mut tracing: Tracing,
        is_retry: bool,
        slice: &mut Slice,
    ) -> Stage {
        let Drawing { place, scene } = drawing;
        let Buffers { volumes, field, labels, points, links, .. } = &mut self.buffers;
        let Some(field) = objects::field(field, &scene, &self.config) else {
            return self.show_lost(work, place);
        };
        loop {
            match tracing.step(&field, labels, points, links, &mut StepBudget::new(STEP_WORK)) {
                Ok(true) => break,
                Ok(false) if slice.go_on(&self.clock) => {}
                Ok(false) => return Stage::Trace { work, drawing, tracing, is_retry },
                Err(_) => return self.show_lost(work, place),
            }
        }
        let (contour, object) = (tracing.contour(), &mut self.objects[place]);
        if contour.is_none() && !is_retry && object.prompt.has_positive_click() {
            // The mask contains none of the positive clicks: show its largest component.
            return self.begin_trace(work, drawing, Pick::Largest, true);
        }
        match contour.and_then(|contour| objects::entry(object.id, &object.told, &contour, &scene, points)) {
            Some(shown) => {
                object.show(shown, &scene, work.t_acq_ns, &mut volumes[place]);
                Stage::Next { work }
            }
            None => self.show_lost(work, place),
        }
    }
}
