//! Taking a frame in: is it whole, in order, live; the sampling table of its geometry; the network's input.

use super::carry::Elsewhere;
use super::objects::Scene;
use super::step::{Current, Poll, Work, stage};
use super::stream::Order;
use super::tables::TableIndex;
use super::{DropReason, Kept, Policy, Session};
use crate::hal::clock::Clock;
use crate::hal::event::EventKind;
use crate::hal::frame::{Frame, flags};
use crate::hal::overlay::{STAGES, overlay_flags};
use crate::vision::{DisplayRaster, GreyTable, VisionError};

/// Why the image counts as frozen.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Frozen {
    /// The device said so.
    pub by_command: bool,
    /// The last frame said so.
    pub by_frame: bool,
}

impl Frozen {
    pub fn is(self) -> bool {
        self.by_command || self.by_frame
    }
}

impl<C: Clock> Session<'_, C> {
    /// Counts what the ring gave back for want of room since it was last asked.
    pub(super) fn count_given_back(&mut self) {
        let given_back = self.ports.frames.counters().evicted;
        let frames = given_back.wrapping_sub(self.given_back);
        self.given_back = given_back;
        self.drop_unseen(frames.into());
    }

    /// Counts frames that gave way to a newer one without being looked at.
    fn drop_unseen(&mut self, frames: u64) {
        self.counters.drop_frames(DropReason::Superseded, frames);
        self.unseen_since_last += frames;
    }

    pub(super) fn set_frozen(&mut self, by_command: bool, by_frame: bool) {
        let was_frozen = self.frozen.is();
        self.frozen = Frozen { by_command, by_frame };
        if self.frozen.is() != was_frozen {
            let kind = if was_frozen { EventKind::Resumed } else { EventKind::Frozen };
            self.record(kind, self.shown.map_or(0, |shown| shown.seq), 0, 0);
        }
    }

    fn dropped(&mut self, seq: u64, reason: DropReason) -> Poll {
        self.ports.frames.release();
        self.work = Work::Idle;
        self.counters.drop_frames(reason, 1);
        if reason != DropReason::Frozen {
            self.record(EventKind::FrameDropped, seq, reason as u32, 0);
        }
        Poll::Dropped { seq, reason }
    }

    /// Takes a frame from the ring, checks it, samples it, and begins to encode it.
    pub(super) fn take_frame(&mut self) -> Poll {
        let taken_ns = self.clock.now_ns();
        let taken = match self.config.policy {
            Policy::All => self.ports.frames.take().map(|view| (view, 0)),
            Policy::Newest => self.ports.frames.take_newest(),
        };
        let Some((view, superseded)) = taken else { return Poll::Idle };
        let descriptor = *view.descriptor();
        let checked = descriptor
            .check()
            .and_then(|frame| descriptor.check_payload(view.payload()).map(|()| frame))
            .ok()
            // What cannot be shown is not begun with.
            .filter(|frame| DisplayRaster::new(&frame.geometry, self.config.display).is_ok());
        self.drop_unseen(superseded.into());
        let Some(frame) = checked else {
            // It may have had a number of its own.
            self.unseen_since_last += 1;
            return self.dropped(descriptor.seq, DropReason::Malformed);
        };
        self.set_frozen(self.frozen.by_command, frame.has(flags::FROZEN));
        if self.frozen.is() {
            self.unseen_since_last += 1;
            return self.dropped(frame.seq, DropReason::Frozen);
        }
        let skipped = match self.stream.judge(&frame) {
            Order::Behind => return self.dropped(frame.seq, DropReason::OutOfOrder),
            Order::Next { skipped } => skipped,
            Order::Restarted => {
                self.restart(&frame);
                0
            }
        };
        let missing = skipped.saturating_sub(core::mem::take(&mut self.unseen_since_last));
        if missing > 0 {
            // Numbers that jump far and often: no count of what lay between is worth a panic.
            self.counters.frames_missing = self.counters.frames_missing.saturating_add(missing);
            self.record(EventKind::FramesMissing, frame.seq, 0, missing);
        }
        let (table, is_new) = match self.sampling.of(&frame, self.input_size) {
            Ok(table) => table,
            Err(_) => return self.dropped(frame.seq, DropReason::Malformed),
        };
        if is_new && self.shown.is_some() {
            self.counters.geometry_changes += 1;
            self.record(EventKind::GeometryChanged, frame.seq, frame.geometry_epoch, 0);
        }
        let mut stage_ns = [0; STAGES];
        stage_ns[stage::QUEUE] = taken_ns.saturating_sub(frame.t_enqueue_ns);
        stage_ns[stage::SAMPLE] = self.clock.now_ns().saturating_sub(taken_ns);
        let has_gap = skipped > 0 || frame.has(flags::GAP_BEFORE);
        let current = Current {
            seq: frame.seq,
            t_acq_ns: frame.t_acq_ns,
            t_commit_ns: frame.t_enqueue_ns,
            t_asked_ns: frame.t_enqueue_ns,
            geometry_epoch: frame.geometry_epoch,
            frame: self.frames_worked_on + 1,
            copy: self.next_copy,
            stage_ns,
            flags: if has_gap { overlay_flags::GAP_BEFORE } else { 0 },
        };
        if self.sampling.is_whole(table) {
            return self.sample(current, &frame, table);
        }
        self.sampling.count_frame(table);
        let rows = match self.sampling.are_empty() {
            true => self.input_size,
            false => self.config.table_rows_per_frame,
        };
        self.work = Work::Table(current, frame, table, rows);
        Poll::Working
    }

    /// What was kept under the numbers of the stream before cannot be asked for any more; objects go on.
    fn restart(&mut self, frame: &Frame) {
        self.counters.restarts += 1;
        self.unseen_since_last = 0;
        self.kept.iter_mut().for_each(|kept| kept.seq = 0);
        self.record(EventKind::StreamRestarted, frame.seq, 0, 0);
    }

    /// Goes on with the table of the geometry of the frame in work, for one slice.
    pub(super) fn fill_table(
        &mut self,
        mut current: Current,
        frame: &Frame,
        table: TableIndex,
        mut rows: u32,
    ) -> Poll {
        let start_ns = self.clock.now_ns();
        let end_ns = start_ns.saturating_add(self.config.slice_ns);
        let mut now_ns = start_ns;
        // At least one row a slice.
        while rows > 0 && !self.sampling.is_whole(table) && (now_ns == start_ns || now_ns < end_ns) {
            if self.sampling.fill_row(table).is_err() {
                return self.dropped(frame.seq, DropReason::Malformed);
            }
            rows -= 1;
            now_ns = self.clock.now_ns();
        }
        current.stage_ns[stage::SAMPLE] += now_ns.saturating_sub(start_ns);
        if self.sampling.is_whole(table) {
            if self.shown.is_some() {
                let frames = self.sampling.frames(table);
                self.record(EventKind::TableReady, frame.seq, frame.geometry_epoch, frames.into());
            }
            return self.sample(current, frame, table);
        }
        if rows > 0 {
            self.work = Work::Table(current, *frame, table, rows);
            return Poll::Working;
        }
        self.repeat(current, frame)
    }

    /// Samples the frame that is held into the encoder's input, gives its slot back, and begins to encode it.
    fn sample(&mut self, mut current: Current, frame: &Frame, table: TableIndex) -> Poll {
        let start_ns = self.clock.now_ns();
        let scene = self.sample_held(frame, table, current.copy);
        self.ports.frames.release();
        let Ok(scene) = scene else { return self.dropped(frame.seq, DropReason::Malformed) };
        self.frames_worked_on = current.frame;
        self.next_copy = (current.copy + 1) % self.config.kept_frames;
        self.kept[current.copy as usize] = Kept { seq: frame.seq, frame: current.frame, scene: Some(scene) };
        current.stage_ns[stage::SAMPLE] += self.clock.now_ns().saturating_sub(start_ns);
        self.work = Work::Encode(current, self.executor.begin(self.programs.encoder, current.copy));
        Poll::Working
    }

    fn sample_held(&mut self, frame: &Frame, table: TableIndex, copy: u32) -> Result<Scene, VisionError> {
        let grey = GreyTable::new(frame, self.normalisation, self.config.vendor_tables)?;
        let display = DisplayRaster::new(&frame.geometry, self.config.display)?;
        let payload = self.ports.frames.held().map_or(&[][..], |view| view.payload());
        let input = self.executor.input_mut(self.programs.encoder, self.programs.image, copy);
        let sampler = self.sampling.sample(table, frame, payload, &grey, input)?;
        Ok(Scene { geometry: frame.geometry, grid: *sampler.grid(), display })
    }

    /// The overlay of a frame whose table is not yet whole: the contours before, where they lie now, marked stale.
    fn repeat(&mut self, current: Current, frame: &Frame) -> Poll {
        let Ok(display) = DisplayRaster::new(&frame.geometry, self.config.display) else {
            return self.dropped(frame.seq, DropReason::Malformed);
        };
        self.ports.frames.release();
        self.publish_repeat(current, &Elsewhere { geometry: frame.geometry, display })
    }
}
