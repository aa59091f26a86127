//! What must hold at every moment of a simulated scan.

use super::scanner::View;
use anyhow::{Context, Result, ensure};
use sonotrace::hal::frame::FrameDescriptor;
use sonotrace::hal::overlay::{
    CONTOUR_POINTS_MAX, Overlay, OverlayObject, Rung, State, overlay_flags, valid,
};
use sonotrace::session::{Counters, DropReason, Poll};
use std::collections::{BTreeMap, BTreeSet};

/// A frame that was committed.
#[derive(Debug, Clone, Copy)]
struct Committed {
    t_acq_ns: u64,
    t_commit_ns: u64,
    stream: u64,
    /// `None` for a frame that is damaged: it must not be shown, unless the damage made another valid frame of it.
    view: Option<View>,
}

/// Checks a scan.
#[derive(Debug, Default)]
pub struct Checks {
    committed: u64,
    /// By sequence number: more than one if a frame came twice.
    frames: BTreeMap<u64, Vec<Committed>>,
    /// Number of the frame that was committed at a time.
    commits: BTreeMap<u64, u64>,
    /// Frames whose overlay was committed.
    shown: BTreeSet<u64>,
    /// Frames whose overlay was fetched.
    fetched: BTreeSet<u64>,
    /// Restarts of the numbers so far.
    stream: u64,
    /// Stream and number of the last frame that was shown.
    last_shown: (u64, u64),
    /// Objects that were prompted so far.
    prompted: BTreeSet<u32>,
}

impl Checks {
    /// Notes a frame that was committed.
    pub fn commit(&mut self, descriptor: &FrameDescriptor, view: Option<View>) {
        self.committed += 1;
        let (t_acq_ns, t_commit_ns) = (descriptor.t_acq_ns, descriptor.t_enqueue_ns);
        let stream = self.stream;
        let committed = Committed { t_acq_ns, t_commit_ns, stream, view };
        self.frames.entry(descriptor.seq).or_default().push(committed);
        self.commits.insert(t_commit_ns, descriptor.seq);
    }

    /// Notes a prompt.
    pub fn prompt(&mut self, object: u32) {
        self.prompted.insert(object);
    }

    /// Notes that sequence numbers begin anew.
    pub fn restart(&mut self) {
        self.stream += 1;
    }

    /// Returns the number of the frame that the contours of an overlay are of, by their age.
    pub fn source_of(&self, overlay: &Overlay) -> Option<u64> {
        let age_ns = overlay.age_ns;
        let commits = self.frames.get(&overlay.seq)?.iter();
        let mut made = commits.map(|frame| (frame.t_commit_ns + overlay.latency_ns).saturating_sub(age_ns));
        // One that was shown: frames may be committed a nanosecond apart.
        made.find_map(|made_ns| self.commits.get(&made_ns).copied().filter(|seq| self.shown.contains(seq)))
    }

    /// Checks a call of `poll`: it counts what it returns, and no frame is lost.
    ///
    /// # Errors
    /// What does not hold.
    pub fn poll(&mut self, poll: Poll, before: &Counters, after: &Counters, backlog: u32) -> Result<()> {
        let outcomes = |counters: &Counters| counters.outcomes() - counters.dropped(DropReason::Superseded);
        let counted = (outcomes(after) - outcomes(before), after.updates - before.updates);
        let expected = match poll {
            Poll::Idle | Poll::Working | Poll::Computed(_) => (0, 0),
            Poll::Dropped { .. } | Poll::Overlay(_) => (1, 0),
            Poll::Update(_) => (0, 1),
        };
        ensure!(counted == expected, "{poll:?} counted {counted:?} outcomes and updates, not {expected:?}");
        let in_work = self.committed as i64 - after.outcomes() as i64 - i64::from(backlog);
        ensure!(
            (0..=1).contains(&in_work),
            "{} frames committed, {} have an outcome, {backlog} wait: {in_work} are in work",
            self.committed,
            after.outcomes()
        );
        if let Poll::Overlay(seq) = poll {
            ensure!(self.shown.insert(seq), "frame {seq} has two overlays");
            let stream =
                self.frames.get(&seq).and_then(|frames| frames.first()).map_or(0, |frame| frame.stream);
            let last = core::mem::replace(&mut self.last_shown, (stream, seq));
            ensure!((stream, seq) > last, "frame {seq} is shown after frame {}", last.1);
        }
        if let Poll::Update(seq) = poll {
            ensure!(self.shown.contains(&seq), "frame {seq}: a further overlay before the first one");
        }
        let by_rung: u64 = after.rungs.iter().sum();
        ensure!(by_rung == after.overlays, "{by_rung} overlays by rung, but {} in all", after.overlays);
        Ok(())
    }

    /// Checks an overlay that was fetched at `now_ns`.
    ///
    /// # Errors
    /// What does not hold.
    pub fn overlay(&mut self, overlay: &Overlay, now_ns: u64) -> Result<()> {
        let seq = overlay.seq;
        let frame = self.frames.get(&seq).and_then(|frames| frames.first()).copied();
        let frame = frame.with_context(|| format!("overlay of frame {seq}, which never was"))?;
        let is_update = overlay.flags & overlay_flags::UPDATE != 0;
        ensure!(overlay.t_acq_ns == frame.t_acq_ns, "frame {seq}: another time of acquisition");
        ensure!(self.shown.contains(&seq), "frame {seq} was not shown");
        ensure!(is_update || self.fetched.insert(seq), "frame {seq}: a second outcome");
        let passed_ns = now_ns.saturating_sub(frame.t_commit_ns);
        ensure!(overlay.latency_ns <= passed_ns, "frame {seq}: latency {} ns", overlay.latency_ns);
        ensure!(overlay.age_ns <= now_ns, "frame {seq}: age {} ns", overlay.age_ns);
        let rung =
            Rung::from_wire(overlay.rung).with_context(|| format!("frame {seq}: rung {}", overlay.rung))?;
        let is_repeated = matches!(rung, Rung::Spread | Rung::Repeat);
        if !is_update && !is_repeated {
            ensure!(
                overlay.age_ns == overlay.latency_ns,
                "frame {seq}: age {} ns of its own contours",
                overlay.age_ns
            );
        }
        if !is_update && is_repeated && overlay.objects().iter().any(|object| object.points > 0) {
            ensure!(
                self.source_of(overlay).is_some(),
                "frame {seq}: age {} ns is of no frame",
                overlay.age_ns
            );
        }
        let worst = overlay.objects().iter().map(|object| object.state).max().unwrap_or(0);
        ensure!(overlay.state == worst, "frame {seq}: state {} of objects with {worst}", overlay.state);
        let mut ids = BTreeSet::new();
        for object in overlay.objects() {
            ensure!(ids.insert(object.id), "frame {seq}: two objects {}", object.id);
            self.object(object, is_repeated, frame.view)
                .with_context(|| format!("frame {seq} ({}), object {}", rung.name(), object.id))?;
        }
        Ok(())
    }

    fn object(&self, object: &OverlayObject, is_repeated: bool, view: Option<View>) -> Result<()> {
        ensure!(self.prompted.contains(&object.id), "nobody asked for it");
        let state = State::from_wire(object.state).with_context(|| format!("state {}", object.state))?;
        ensure!(state != State::Empty, "it is empty");
        let is_own = matches!(state, State::Fresh | State::Tracked | State::Attention);
        ensure!(!(is_repeated && is_own), "a contour of another frame is shown as {}", state.name());
        let warns = object.valid & valid::ATTENTION != 0;
        ensure!(warns || state != State::Attention, "attention without its bit");
        ensure!(
            !warns || matches!(state, State::Attention | State::Stale),
            "{} with a warning",
            state.name()
        );
        let has_contour = object.points > 0;
        ensure!(
            has_contour == (is_own || state == State::Stale),
            "{} points, {}",
            object.points,
            state.name()
        );
        ensure!(object.points as usize <= CONTOUR_POINTS_MAX, "{} points", object.points);
        let in_polygons: usize = object.polygons_px().map(<[_]>::len).sum();
        ensure!(
            in_polygons == object.points as usize,
            "{in_polygons} points in polygons, {} in all",
            object.points
        );
        ensure!((0.0..=1.0).contains(&object.confidence), "confidence {}", object.confidence);
        let numbers = [
            object.area_px2,
            object.area_mm2,
            object.perimeter_mm,
            object.long_axis_mm,
            object.short_axis_mm,
        ];
        ensure!(numbers.iter().all(|number| number.is_finite() && *number >= 0.0), "measures {numbers:?}");
        let points = || object.contour_px().iter().chain(object.contour_mm()).flatten();
        ensure!(points().all(|at| at.is_finite()), "a point that is not finite");
        if view == Some(View::Unscaled) {
            ensure!(object.valid & valid::MILLIMETRES == 0, "millimetres on a picture without a scale");
        }
        Ok(())
    }
}
