//! Takes frames from their ring: checks them, finds their place in the stream and their sampling table, and samples them.
//!
//! A frame that comes while another one is computed is only checked.

use super::advance::{CHECK_BYTES, Poll, Stage, column};
use super::costs::{Done, Part};
use super::motion::Anchored;
use super::objects::Scene;
use super::overlay::Target;
use super::prompts::FrameTime;
use super::slice::Slice;
use super::stream::Order;
use super::tables::TableIndex;
use super::work::Work;
use super::{DropReason, KeptFeatures, Policy, Session};
use crate::hal::clock::Clock;
use crate::hal::event::EventKind;
use crate::hal::frame::{Frame, FrameError, PayloadCheck, flags};
use crate::hal::geometry::Geometry;
use crate::hal::overlay::{Rung, STAGES, overlay_flags};
use crate::tracking::Objects;
use crate::tracking::vectors::are_finite;
use crate::vision::budget::{STEP_WORK, StepBudget};
use crate::vision::sampler::SampleCursor;
use crate::vision::{DisplayRaster, GreyTable, InputGrid, Normalisation, VisionError, VolumeHistory};

/// Budgets that pass without work on a frame until it is too old to go on with.
const OLD_BUDGETS: u64 = 6;

impl<C: Clock> Session<'_, C> {
    /// Counts the frames that the ring evicted since the last call.
    pub(super) fn count_evicted(&mut self) {
        let evicted = self.ports.frames.counters().evicted;
        let frames = evicted.wrapping_sub(self.evicted);
        self.evicted = evicted;
        self.drop_unseen(frames.into());
    }

    /// Counts frames that were superseded before they were read.
    fn drop_unseen(&mut self, frames: u64) {
        self.counters.drop_frames(DropReason::Superseded, frames);
        self.unseen_since_last += frames;
    }

    /// Drops the held frame.
    fn drop_frame(&mut self, seq: u64, reason: DropReason) -> Stage {
        self.ports.frames.release();
        self.counters.drop_frames(reason, 1);
        if reason != DropReason::Frozen {
            self.record(EventKind::FrameDropped, seq, reason as u32, 0);
        }
        Stage::Ended(Poll::Dropped { seq, reason })
    }

    /// Returns the shown frame if the image is frozen and prompts wait, to serve them with a further overlay.
    pub(super) fn frozen_update(&self) -> Option<Work> {
        let shown = self.frames.shown.filter(|_| self.frozen.is() && !self.asked.prompts.is_empty())?;
        Some(Work {
            t_asked_ns: self.clock.now_ns(),
            publish_by_ns: u64::MAX,
            is_shown: true,
            is_followed: true,
            to_draw: Objects::default(),
            stage_ns: [0; STAGES],
            done: Done::default(),
            ..shown
        })
    }

    /// Takes a frame from the ring.
    pub(super) fn take_frame(&mut self) -> Stage {
        let taken_ns = self.clock.now_ns();
        let taken = match self.config.policy {
            Policy::All => self.ports.frames.take().map(|view| (view, 0)),
            Policy::Newest => self.ports.frames.take_newest(),
        };
        let Some((view, superseded)) = taken else { return Stage::Ended(Poll::Idle) };
        let (descriptor, payload_bytes) = (*view.descriptor(), view.payload().len());
        self.drop_unseen(superseded.into());
        let begun = self
            .frame_rules()
            .check(&descriptor, payload_bytes)
            .and_then(|frame| Ok((frame, PayloadCheck::begin(&descriptor, payload_bytes)?)));
        match begun {
            Ok((frame, check)) => Stage::Check { frame, taken_ns, check },
            Err(error) => self.drop_unread(descriptor.seq, &error),
        }
    }

    /// Drops a frame that is refused before its place in the stream is known.
    fn drop_unread(&mut self, seq: u64, error: &FrameError) -> Stage {
        // Its number does not count as missing.
        self.unseen_since_last += 1;
        self.drop_malformed(seq, error)
    }

    /// Drops the held frame, which cannot be used.
    pub(super) fn drop_malformed(&mut self, seq: u64, error: &FrameError) -> Stage {
        let (reason, field) = (DropReason::Malformed, error.field());
        self.ports.frames.release();
        self.counters.drop_malformed(field);
        self.record(EventKind::FrameDropped, seq, reason as u32, field as u64);
        Stage::Ended(Poll::Dropped { seq, reason })
    }

    pub(super) fn check(
        &mut self,
        frame: Frame,
        taken_ns: u64,
        mut check: PayloadCheck,
        slice: &mut Slice,
    ) -> Stage {
        loop {
            let payload = self.ports.frames.held().map_or(&[][..], |view| view.payload());
            match check.advance(payload, CHECK_BYTES) {
                Some(Ok(())) => return self.accept(frame, taken_ns),
                Some(Err(error)) => return self.drop_unread(frame.seq, &error),
                None if !slice.go_on(&self.clock) => return Stage::Check { frame, taken_ns, check },
                None => {}
            }
        }
    }

    /// Accepts or drops a frame with a valid payload: the image must be live and the frame in order. Finds its sampling
    /// table.
    fn accept(&mut self, frame: Frame, taken_ns: u64) -> Stage {
        self.newest_seq = self.newest_seq.max(frame.seq);
        self.set_frozen(self.frozen.by_command, frame.has(flags::FROZEN));
        if self.frozen.is() {
            self.unseen_since_last += 1;
            return self.drop_frame(frame.seq, DropReason::Frozen);
        }
        let skipped = match self.stream.classify(&frame) {
            Order::Late => return self.drop_frame(frame.seq, DropReason::OutOfOrder),
            Order::Next { skipped } => skipped,
            Order::Restarted => {
                // Objects are kept; prompts on frames before the restart can no longer be served.
                self.counters.restarts += 1;
                self.unseen_since_last = 0;
                self.newest_seq = frame.seq;
                self.last_gone = None;
                self.frames.newest = None;
                let in_work = self.frames.set_aside.as_mut().and_then(Stage::work_mut).map(|work| work.slot);
                for (slot, kept) in (0..).zip(self.kept.iter_mut()) {
                    if in_work == Some(slot) {
                        // It goes on: it is the frame before, whatever its number was.
                        kept.seq = 0;
                    } else {
                        kept.scene = None;
                    }
                }
                self.buffers.volumes.iter_mut().for_each(VolumeHistory::clear);
                self.record(EventKind::StreamRestarted, frame.seq, 0, 0);
                0
            }
        };
        let missing = skipped.saturating_sub(core::mem::take(&mut self.unseen_since_last));
        if missing > 0 {
            // Saturate when sequence numbers jump.
            self.counters.frames_missing = self.counters.frames_missing.saturating_add(missing);
            self.record(EventKind::FramesMissing, frame.seq, 0, missing);
        }
        let display = match self.frame_rules().display_of(&frame.geometry) {
            Ok(display) => display,
            Err(error) => return self.drop_malformed(frame.seq, &error),
        };
        // A frame does not come after it was taken. 0: nobody has set it.
        let t_commit_ns = if frame.t_enqueue_ns == 0 { taken_ns } else { taken_ns.min(frame.t_enqueue_ns) };
        let mut stage_ns = [0; STAGES];
        stage_ns[column::QUEUE] = taken_ns - t_commit_ns;
        stage_ns[column::SAMPLE] = self.clock.now_ns().saturating_sub(taken_ns);
        let has_gap = skipped > 0 || frame.has(flags::GAP_BEFORE);
        let work = Work {
            seq: frame.seq,
            t_acq_ns: frame.t_acq_ns,
            t_commit_ns,
            t_asked_ns: t_commit_ns,
            publish_by_ns: self.publish_by_ns(t_commit_ns),
            t_worked_ns: taken_ns,
            geometry_epoch: frame.geometry_epoch,
            target: Target { geometry: frame.geometry, display },
            frame: self.frames_processed + 1,
            slot: self.free_slot(),
            is_shown: false,
            is_followed: false,
            to_draw: Objects::default(),
            stage_ns,
            done: Done::default(),
            flags: if has_gap { overlay_flags::GAP_BEFORE } else { 0 },
        };
        self.abandon_if_useless(&frame.geometry);
        if self.frames.set_aside.is_some() {
            return self.repeat(work);
        }
        let grid = self.grid_for(&frame);
        let Ok((table, is_new)) = grid.and_then(|grid| self.sampling.of(&frame, grid)) else {
            return self.drop_malformed(frame.seq, &FrameError::Sampling);
        };
        if is_new && self.frames.shown.is_some() && self.sampling.grid_in_use(&frame).is_none() {
            self.counters.geometry_changes += 1;
            self.record(EventKind::GeometryChanged, frame.seq, frame.geometry_epoch, 0);
        }
        if self.sampling.is_complete(table) {
            return self.begin_sampling(work, frame, table);
        }
        self.sampling.count_frame(table);
        // There is no complete table yet, so there are no contours to repeat: fill the first table at once.
        let is_first = self.sampling.are_empty();
        let rows = if is_first { self.input_size } else { self.config.table_rows_per_frame };
        Stage::Table { work, frame, table, rows }
    }

    /// Returns the grid on which a frame is sampled. While objects are followed, another depth or sector keeps their grid, so that their
    /// millimetres stay where they are on the network's input, unless its pixels no longer serve or a prompt points beyond it. Others
    /// get the grid over the whole field of view.
    fn grid_for(&self, frame: &Frame) -> Result<InputGrid, VisionError> {
        let natural = InputGrid::new(&frame.geometry, self.input_size)?;
        if self.is_grid_left {
            return Ok(natural);
        }
        if let Some(grid) = self.sampling.grid_in_use(frame).or_else(|| self.sampling.grid_begun(frame)) {
            return Ok(grid);
        }
        let kept = if !self.follower.followed().is_empty() {
            self.scene
        } else if !self.asked.prompts.is_empty() {
            // Objects are about to be drawn on a kept frame.
            self.frames.shown.and_then(|shown| self.kept[shown.slot as usize].scene)
        } else {
            None
        };
        let is_polar = !matches!(frame.geometry, Geometry::Raster(_));
        let kept = kept.filter(|scene| {
            is_polar && scene.geometry.shares_plane_with(&frame.geometry) && scene.grid.serves_for(&natural)
        });
        Ok(kept.map_or(natural, |scene| scene.grid))
    }

    /// Returns the feature slot of the next frame: the oldest one that the tracker's anchor is not in.
    fn free_slot(&self) -> u32 {
        let anchor = self.follower.memory().map(|memory| memory.anchor().features);
        let free = (0..).zip(self.kept.iter()).filter(|(slot, _)| Some(*slot) != anchor);
        free.min_by_key(|(_, kept)| kept.frame).map_or(0, |(slot, _)| slot)
    }

    pub(super) fn fill_table(
        &mut self,
        work: Work,
        frame: Frame,
        table: TableIndex,
        mut rows: u32,
        slice: &mut Slice,
    ) -> Stage {
        loop {
            if self.sampling.fill_row(table).is_err() {
                return self.drop_malformed(frame.seq, &FrameError::Sampling);
            }
            rows -= 1;
            if self.sampling.is_complete(table) {
                if self.frames.shown.is_some() {
                    let frames = self.sampling.frames(table);
                    self.record(EventKind::TableReady, frame.seq, frame.geometry_epoch, frames.into());
                }
                return self.begin_sampling(work, frame, table);
            }
            if rows == 0 {
                return self.repeat(work);
            }
            if !slice.go_on(&self.clock) {
                return Stage::Table { work, frame, table, rows };
            }
        }
    }

    /// Repeats the contours of an earlier frame on this one, which is not computed.
    fn repeat(&mut self, work: Work) -> Stage {
        self.ports.frames.release();
        Stage::Ended(self.publish_repeated(&work, Rung::Repeat))
    }

    /// Abandons the frame in work if its contours would be useless: nobody knows where they lie in the geometry of a newer frame, or
    /// it was not worked on for so long that a newer one shows something else. Prompts that it serves are served first.
    fn abandon_if_useless(&mut self, newer: &Geometry) {
        let Some(stage @ (Stage::Encode { work } | Stage::Follow { work })) = &self.frames.set_aside else {
            return;
        };
        let is_elsewhere = work.target.geometry != *newer && !work.target.geometry.shares_plane_with(newer);
        let idle_ns = self.clock.now_ns().saturating_sub(work.t_worked_ns);
        let is_old = idle_ns > self.config.budget_ns.saturating_mul(OLD_BUDGETS);
        if !is_elsewhere && !is_old {
            return;
        }
        let (seq, slot) = (work.seq, work.slot as usize);
        if matches!(stage, Stage::Encode { .. }) {
            // It has no features.
            self.kept[slot].scene = None;
        }
        self.frames.set_aside = None;
        self.asked.held = 0;
        self.counters.abandoned += 1;
        self.record(EventKind::FrameAbandoned, seq, 0, 0);
    }

    fn begin_sampling(&mut self, work: Work, frame: Frame, table: TableIndex) -> Stage {
        self.programs.begin_encoder(&mut self.executor, work.slot);
        Stage::Sample { work, frame, table, cursor: SampleCursor::default() }
    }

    pub(super) fn sample(
        &mut self,
        work: Work,
        frame: Frame,
        table: TableIndex,
        mut cursor: SampleCursor,
        slice: &mut Slice,
    ) -> Stage {
        let mut sample = || -> Result<Option<Scene>, VisionError> {
            let grey = GreyTable::new(&frame, self.normalisation, self.config.vendor_tables)?;
            let display = DisplayRaster::new(&frame.geometry, self.config.display)?;
            let payload = self.ports.frames.held().map_or(&[][..], |view| view.payload());
            let (sampler, entries) = self.sampling.complete(table)?;
            let sampling = sampler.sampling(entries, &frame, payload, &grey)?;
            let input = self.executor.input_mut(self.programs.image);
            while !sampling.step(&mut cursor, input, &mut StepBudget::new(STEP_WORK))? {
                if !slice.go_on(&self.clock) {
                    return Ok(None);
                }
            }
            Ok(Some(Scene { geometry: frame.geometry, grid: *sampler.grid(), display }))
        };
        match sample() {
            Ok(None) => Stage::Sample { work, frame, table, cursor },
            Ok(Some(scene)) => {
                self.ports.frames.release();
                self.sampling.use_for_frames(table);
                self.is_grid_left = false;
                self.frames_processed = work.frame;
                let gone = work.frame.checked_sub(self.config.kept_frames.into());
                let gone = self.kept.iter().find(|kept| kept.scene.is_some() && Some(kept.frame) == gone);
                if let Some(gone) = gone {
                    self.last_gone = Some(FrameTime { seq: gone.seq, t_acq_ns: gone.t_acq_ns });
                }
                self.kept[work.slot as usize] = KeptFeatures {
                    seq: frame.seq,
                    t_acq_ns: frame.t_acq_ns,
                    frame: work.frame,
                    scene: Some(scene),
                    anchored: Anchored::default(),
                };
                Stage::Grey { work, row: 0 }
            }
            // The rules for frames leave nothing else that can be wrong.
            Err(_) => self.drop_malformed(frame.seq, &FrameError::Sampling),
        }
    }

    /// Keeps the frame's grey levels at the resolution of masks: each the mean of the input's pixels that it covers.
    pub(super) fn keep_grey(&mut self, work: Work, mut row: usize, slice: &mut Slice) -> Stage {
        let (side, size) = (self.programs.mask_size, self.input_size as usize);
        let Normalisation { mean, std } = self.normalisation;
        let image = self.executor.input(self.programs.image);
        let grey = &mut self.buffers.grey[work.slot as usize * side * side..][..side * side];
        let covered = |at: usize| at * size / side..((at + 1) * size / side).max(at * size / side + 1);
        while row < side {
            for (column, grey) in grey[row * side..][..side].iter_mut().enumerate() {
                let rows = covered(row).map(|y| &image[y * size..][covered(column)]);
                let (sum, count) = rows.fold((0.0, 0), |(sum, count), pixels| {
                    (sum + pixels.iter().sum::<f32>(), count + pixels.len())
                });
                *grey = sum / count as f32 * std + mean;
            }
            row += 1;
            if row < side && !slice.go_on(&self.clock) {
                return Stage::Grey { work, row };
            }
        }
        self.begin_encoding(work)
    }

    /// Checks the encoder's outputs. Features with a value that is not finite are not kept, so that no object is found on them.
    pub(super) fn take_features(&mut self, mut work: Work) -> Stage {
        work.done.count(Part::Encode, 1);
        let outputs = 0..self.programs.encoder_outputs;
        if !outputs.into_iter().all(|port| are_finite(self.executor.output(port))) {
            self.kept[work.slot as usize].scene = None;
            self.record(EventKind::NotFinite, work.seq, 0, 0);
        }
        Stage::Next { work }
    }
}
