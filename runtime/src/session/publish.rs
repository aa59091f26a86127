//! Overlays and events: what the device is told.

use super::Session;
use super::carry::Elsewhere;
use super::step::{Current, Poll, Work};
use crate::hal::clock::Clock;
use crate::hal::event::{Event, EventKind};
use crate::hal::overlay::{Overlay, Rung, overlay_flags};

impl<C: Clock> Session<'_, C> {
    /// Records an event.
    pub(super) fn record(&mut self, kind: EventKind, seq: u64, detail: u32, value: u64) {
        let event = Event { t_ns: self.clock.now_ns(), seq, kind: kind as u32, detail, value };
        self.ports.events.record(&event);
    }

    /// Commits the overlay of the frame in work.
    pub(super) fn publish(&mut self, current: Current) -> Poll {
        if current.flags & overlay_flags::UPDATE != 0 {
            self.counters.updates += 1;
            self.commit(&current, None, current.t_commit_ns);
            return Poll::Update(current.seq);
        }
        self.shown = Some(current);
        self.commit_counted(&current, None, current.t_commit_ns)
    }

    /// Commits an overlay that repeats contours of the last frame that was worked on, drawn where `current` is displayed.
    pub(super) fn publish_repeat(&mut self, current: Current, elsewhere: &Elsewhere) -> Poll {
        self.counters.repeats += 1;
        let of_ns = self.shown.map_or(current.t_commit_ns, |shown| shown.t_commit_ns);
        self.commit_counted(&current, Some(elsewhere), of_ns)
    }

    fn commit_counted(&mut self, current: &Current, elsewhere: Option<&Elsewhere>, of_ns: u64) -> Poll {
        let latency_ns = self.commit(current, elsewhere, of_ns);
        self.counters.overlays += 1;
        let late_ns = latency_ns.saturating_sub(self.config.budget_ns);
        // Of a run of late overlays the first is told: the others would push everything else out of the ring.
        if late_ns > 0 && !self.was_late {
            self.record(EventKind::DeadlineMissed, current.seq, 0, late_ns);
        }
        self.was_late = late_ns > 0;
        self.counters.deadline_misses += u64::from(self.was_late);
        Poll::Overlay(current.seq)
    }

    /// Writes an overlay whose contours are of a frame committed at `of_ns`: of the frame in work, or repeated
    /// `elsewhere`. Returns its latency.
    fn commit(&mut self, current: &Current, elsewhere: Option<&Elsewhere>, of_ns: u64) -> u64 {
        self.work = Work::Idle;
        let now_ns = self.clock.now_ns();
        let latency_ns = now_ns.saturating_sub(current.t_asked_ns);
        let is_fetched = match self.ports.overlays.acquire() {
            Ok(mut slot) => {
                let overlay = slot.overlay_mut();
                *overlay = Overlay::blank();
                overlay.seq = current.seq;
                overlay.t_acq_ns = current.t_acq_ns;
                overlay.latency_ns = latency_ns;
                overlay.age_ns = now_ns.saturating_sub(of_ns);
                overlay.stage_ns = current.stage_ns;
                overlay.heartbeat = self.heartbeat;
                overlay.rung = if elsewhere.is_some() { Rung::Repeat } else { Rung::Full } as u32;
                overlay.geometry_epoch = current.geometry_epoch;
                overlay.flags = current.flags;
                if self.frozen.is() {
                    overlay.flags |= overlay_flags::FROZEN;
                }
                let followed = self.objects.iter().filter(|object| object.id != 0 && object.shown.id != 0);
                for (to, object) in overlay.objects.iter_mut().zip(followed) {
                    *to = object.shown;
                    if let Some(elsewhere) = elsewhere {
                        elsewhere.mark_stale(object, to);
                    }
                    overlay.object_count += 1;
                    // States are ordered from best to worst.
                    overlay.state = overlay.state.max(to.state);
                }
                overlay.answer_count = self.answers.len() as u32;
                overlay.answers[..self.answers.len()].copy_from_slice(&self.answers);
                self.answers.clear();
                !slot.commit().evicted
            }
            // The device keeps slots that are not its own, and so cannot be given this overlay.
            Err(_) => false,
        };
        if !is_fetched {
            self.counters.overlays_unfetched += 1;
            let so_far = self.counters.overlays_unfetched;
            if so_far.is_power_of_two() {
                self.record(EventKind::OverlaysUnfetched, current.seq, 0, so_far);
            }
        }
        latency_ns
    }
}
