//! Follows the objects to the current frame.

use super::Session;
use super::advance::Stage;
use super::costs::Part;
use super::objects::Told;
use super::reproject::{Relation, relation};
use super::slice::Slice;
use super::work::Work;
use crate::hal::clock::Clock;
use crate::hal::event::EventKind;
use crate::hal::overlay::State;
use crate::tracking::follower::Following;

impl<C: Clock> Session<'_, C> {
    /// Shows an object as lost.
    pub(super) fn lose(&mut self, seq: u64, place: usize) {
        let object = &mut self.objects[place];
        let was_lost = object.shown.id != 0 && object.shown.state == State::Lost as u32;
        object.show_none(State::Lost, object.told.confidence, object.told.checked_frames_ago);
        if !was_lost {
            let id = object.id;
            self.record(EventKind::ObjectLost, seq, id, 0);
        }
    }

    /// Works on a frame with the follower, for the rest of the slice. `slot`: its features.
    pub(super) fn advance_follower(&mut self, slot: u32, slice: &mut Slice) -> Following {
        let pixels = self.programs.mask_size * self.programs.mask_size;
        let grey = &self.buffers.grey[slot as usize * pixels..][..pixels];
        // The first piece of work is the one that `poll` has already allowed.
        let (mut is_first, clock) = (true, &self.clock);
        let mut go_on = || core::mem::take(&mut is_first) || slice.go_on(clock);
        self.follower.advance(&mut self.executor, grey, &mut go_on)
    }

    /// Begins to follow all objects to the current frame.
    pub(super) fn begin_following(&mut self, mut work: Work) -> Stage {
        let now = self.kept[work.slot as usize].scene;
        let (Some(now), Some(before)) = (now, self.scene) else {
            // Its features are not finite, or nothing was ever followed.
            work.is_followed = true;
            return self.lose_followed(work);
        };
        let relation = relation(&before, &now, self.programs.mask_size);
        if relation != Relation::Unknown && before.geometry != now.geometry {
            for place in self.follower.followed().places() {
                let id = self.objects[place].id;
                self.record(EventKind::ObjectReprojected, work.seq, id, 0);
            }
        }
        self.follower.set_checks_a_frame(self.checks_for(&work));
        let is_begun = match relation {
            Relation::Same => self.follower.begin(&mut self.executor, work.slot),
            Relation::Unknown => self.follower.begin_elsewhere(&mut self.executor, work.slot),
            Relation::Moved(placement) => {
                self.follower.begin_rescaled(&mut self.executor, work.slot, placement)
            }
        };
        if is_begun {
            return Stage::Follow { work };
        }
        work.is_followed = true;
        Stage::Next { work }
    }

    /// Shows all followed objects as lost on this frame; they are searched for on the next one.
    fn lose_followed(&mut self, work: Work) -> Stage {
        for place in self.follower.followed().places() {
            self.lose(work.seq, place);
        }
        Stage::Next { work }
    }

    /// Follows all objects to the current frame.
    pub(super) fn follow(&mut self, mut work: Work, slice: &mut Slice) -> Stage {
        match self.advance_follower(work.slot, slice) {
            Following::Paused => return Stage::Follow { work },
            Following::NotFinite => {
                self.record(EventKind::NotFinite, work.seq, 0, 0);
                work.is_followed = true;
                return self.lose_followed(work);
            }
            Following::Done => {}
        }
        let followed = self.follower.followed();
        work.done.count(Part::Track, 1);
        work.done.count(Part::Check, followed.only(|place| self.follower.outcome(place).age == 0).count());
        for place in followed.places() {
            let outcome = self.follower.outcome(place);
            let object = &mut self.objects[place];
            object.standing = object.standing.after(&outcome, &self.thresholds);
            let state = object.standing.state();
            object.told = Told { state, confidence: outcome.right, checked_frames_ago: outcome.age };
            object.drawn_on = work.slot;
        }
        let (anchor, values) = (self.follower.anchor(), 2 * self.flow_side * self.flow_side);
        let motion = &mut self.buffers.flows[work.slot as usize * values..][..values];
        self.follower.copy_motion(&mut self.executor, motion);
        self.kept[work.slot as usize].anchored.since = Some(anchor);
        self.follower.accept(&mut self.executor);
        self.note_anchor(work.slot, anchor);
        (self.followed_frame, self.scene) = (work.frame, self.kept[work.slot as usize].scene);
        (work.is_followed, work.to_draw) = (true, work.to_draw.or(self.follower.followed()));
        Stage::Next { work }
    }
}
