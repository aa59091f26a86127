//! Commits overlays, each by its deadline, and records events.
//!
//! A frame whose own contours are not there by its deadline gets an overlay that repeats those of an earlier frame, and so do newer
//! frames that come while it is still computed. Its own contours then go out with a further overlay of the newest frame, or with
//! the next frame if that waits already.

use super::advance::{Poll, Stage};
use super::costs::{Done, Part};
use super::overlay;
use super::work::Work;
use super::{Policy, Session};
use crate::hal::clock::Clock;
use crate::hal::event::{Event, EventKind};
use crate::hal::overlay::{Rung, overlay_flags};

impl<C: Clock> Session<'_, C> {
    /// Records an event.
    pub(super) fn record(&mut self, kind: EventKind, seq: u64, detail: u32, value: u64) {
        let event = Event { t_ns: self.clock.now_ns(), seq, kind: kind as u32, detail, value };
        self.counters.events_lost += u64::from(self.ports.events.record(&event));
    }

    /// Returns the time by which the overlay of a frame must be committed; there is none where each frame is waited for.
    pub(super) fn publish_by_ns(&self, t_commit_ns: u64) -> u64 {
        // A slice ends in time for it, except for the piece of work that it is in.
        let reserve_ns = self.config.slice_ns.min(self.config.budget_ns / 8);
        match self.config.policy {
            Policy::Newest => t_commit_ns.saturating_add(self.config.budget_ns - reserve_ns),
            Policy::All => u64::MAX,
        }
    }

    /// Begins to encode a frame. If what is left of its budget is too short for it, its overlay is due at once.
    pub(super) fn begin_encoding(&mut self, mut work: Work) -> Stage {
        let needed_ns =
            self.costs.of(Part::Encode).saturating_add(self.following_ns(self.asked.prompts.len()));
        work.done = Done::default();
        if self.clock.now_ns().saturating_add(needed_ns) > work.publish_by_ns {
            work.publish_by_ns = 0;
        }
        Stage::Encode { work }
    }

    /// Returns the time that an encoded frame takes until its overlay, without checks.
    fn following_ns(&self, prompts: usize) -> u64 {
        let objects = self.follower.followed().count();
        let track_ns = self.costs.of_all(Part::Track, objects.min(1));
        let prompts_ns = self.costs.of_all(Part::Prompt, prompts);
        let contours_ns = self.costs.of_all(Part::Contour, objects + prompts);
        [track_ns, prompts_ns, contours_ns, self.costs.of(Part::Between)]
            .into_iter()
            .fold(0, u64::saturating_add)
    }

    /// Returns how many objects the segmenter checks on a frame that is about to be followed: as many as its budget has time for.
    pub(super) fn checks_for(&self, work: &Work) -> usize {
        let most = self.config.checks_per_frame as usize;
        if work.is_shown || work.publish_by_ns == 0 {
            // It is late already, but confidence must not rest on old checks alone.
            return most.min(1);
        }
        let left_ns =
            work.publish_by_ns.saturating_sub(self.clock.now_ns()).saturating_sub(self.following_ns(0));
        let fitting = left_ns.checked_div(self.costs.of(Part::Check)).unwrap_or(u64::MAX);
        usize::try_from(fitting).map_or(most, |fitting| most.min(fitting))
    }

    /// Returns the rung of a frame that is done.
    fn rung_of(&self, work: &Work) -> Rung {
        let is_tracked = work.done.times(Part::Track) > 0;
        let is_unchecked = work.done.times(Part::Check) == 0 && self.config.checks_per_frame > 0;
        if is_tracked && is_unchecked { Rung::Tracked } else { Rung::Full }
    }

    /// Commits the overlay of a frame with contours of an earlier one.
    pub(super) fn publish_repeated(&mut self, work: &Work, rung: Rung) -> Poll {
        let latency_ns = self.commit(work, rung, true);
        self.count(work, rung, latency_ns)
    }

    /// Commits the overlay of a frame that is done. If it has one already, its contours go out with a further overlay: of the newest
    /// frame, unless a newer one waits, or of the frame itself if the image is frozen.
    pub(super) fn publish(&mut self, mut work: Work) -> Poll {
        work.done.count(Part::Between, 1);
        self.costs.learn(&work.done);
        self.frames.shown = Some(work);
        self.asked.held = 0;
        let rung = self.rung_of(&work);
        if !work.is_shown {
            let latency_ns = self.commit(&work, rung, false);
            return self.count(&work, rung, latency_ns);
        }
        // A frozen image is that of the last frame that was computed.
        let is_frozen = self.frozen.is();
        if self.ports.frames.backlog() > 0 && !is_frozen {
            return Poll::Computed(work.seq);
        }
        let to = self.frames.newest.filter(|_| !is_frozen).unwrap_or(work);
        let is_own = (to.seq, to.t_commit_ns) == (work.seq, work.t_commit_ns);
        let update = Work {
            flags: overlay_flags::UPDATE,
            t_asked_ns: to.t_asked_ns.max(work.t_asked_ns),
            stage_ns: work.stage_ns,
            ..to
        };
        self.commit(&update, if is_own { rung } else { Rung::Repeat }, !is_own);
        self.counters.updates += 1;
        Poll::Update(update.seq)
    }

    /// Counts the overlay of a frame: its outcome.
    fn count(&mut self, work: &Work, rung: Rung, latency_ns: u64) -> Poll {
        self.frames.newest = Some(*work);
        self.counters.overlays += 1;
        self.counters.rungs[rung as usize] += 1;
        let late_ns = latency_ns.saturating_sub(self.config.budget_ns);
        // Log only the first of consecutive misses: the others would evict everything else from the ring.
        if late_ns > 0 && !self.was_late {
            self.record(EventKind::DeadlineMissed, work.seq, 0, late_ns);
        }
        self.was_late = late_ns > 0;
        self.counters.deadline_misses += u64::from(self.was_late);
        Poll::Overlay(work.seq)
    }

    /// Commits an overlay of the frame of `work`, with its own contours or repeated ones. Returns its latency.
    fn commit(&mut self, work: &Work, rung: Rung, is_repeated: bool) -> u64 {
        let of = self.frames.shown.as_ref().filter(|_| is_repeated).unwrap_or(work);
        let now_ns = self.clock.now_ns();
        let age_ns = now_ns.saturating_sub(of.t_commit_ns);
        let times = overlay::Times { age_ns, latency_ns: now_ns.saturating_sub(work.t_asked_ns) };
        let is_fetched = match self.ports.overlays.acquire() {
            Ok(mut slot) => {
                let to = slot.overlay_mut();
                overlay::write(to, work, &times, self.objects, rung, is_repeated);
                // Not those of prompts whose contours are still in work.
                let ready = self.asked.answers.len().saturating_sub(self.asked.held);
                let answered = overlay::add_answers(to, &self.asked.answers[..ready]);
                to.heartbeat = self.heartbeat;
                if self.frozen.is() {
                    to.flags |= overlay_flags::FROZEN;
                }
                self.asked.answers.drain(..answered);
                let is_evicted = slot.commit().evicted;
                if is_evicted {
                    self.keep_answers();
                }
                !is_evicted
            }
            // The device broke the protocol: it keeps slots that it does not own, so that none is free.
            Err(_) => false,
        };
        if !is_fetched {
            self.counters.overlays_unfetched += 1;
            let so_far = self.counters.overlays_unfetched;
            if so_far.is_power_of_two() {
                self.record(EventKind::OverlaysUnfetched, work.seq, 0, so_far);
            }
        }
        times.latency_ns
    }

    /// Keeps the answers of the overlay that was evicted unread, for the next overlays: an answer is delivered once.
    fn keep_answers(&mut self) {
        // The evicted overlay's slot is the next one to be filled, and still holds it.
        let Ok(mut evicted) = self.ports.overlays.acquire() else { return };
        let newer = core::mem::take(&mut self.asked.answers);
        for answer in evicted.overlay_mut().answers().iter().chain(&newer) {
            // There is room: an overlay has at most half of it, and prompts are only taken while the answers that wait
            // and those that will come of them fit into the other half.
            let _ = self.asked.answers.push(*answer);
        }
    }
}
