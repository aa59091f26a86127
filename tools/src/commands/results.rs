//! The results of a scan: pictures, lines, plot and report.

use super::scan::{Scanned, progress};
use crate::output::annotate::{Click, OverlayStyle, draw_drops, draw_overlay};
use crate::output::draw;
use crate::output::gif::Animation;
use crate::output::jsonl::OverlayLines;
use crate::output::latency_svg::{FrameLatency, latency_svg};
use crate::output::picture::DisplayPicture;
use crate::output::report::Report;
use crate::output::stages::StageTimes;
use crate::output::tracking_svg::{FrameTracking, tracking_svg};
use anyhow::{Context, Result};
use image::RgbImage;
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, OverlayObject, RUNG_NAMES, STAGE_NAMES, State, overlay_flags, valid};
use sonotrace::session::{DropReason, SessionConfig, memory_parts};
use sonotrace::vision::{Display, DisplayRaster};
use sonotrace_replay::Recorded;
use std::fs::{File, create_dir_all};
use std::io::BufWriter;
use std::path::Path;
use tiny_skia::Pixmap;

/// Longest side of the animation.
const ANIMATION_SIDE_MAX: u32 = 480;

/// The inputs of the files.
#[derive(Debug)]
pub struct Results<'a> {
    /// Name of the model.
    pub model: &'a str,
    /// The session's policy.
    pub policy: &'a str,
    /// The session's settings.
    pub config: &'a SessionConfig<'a>,
    /// The model file's first bytes.
    pub head: &'a [u8],
    /// The frames, in order; the sequence number of the first is 1.
    pub frames: &'a [Recorded],
    /// Clicks: sequence number of the frame, position in display pixels, and whether positive.
    pub clicks: &'a [(u64, Point, bool)],
    /// Names of objects.
    pub names: &'a [(u32, &'a str)],
    /// The scan.
    pub scanned: &'a Scanned,
    /// Dice by object for each overlay; empty without a truth.
    pub scores: &'a [Vec<(u32, f64)>],
    /// Mean of the scores.
    pub dice_mean: Option<f64>,
    /// Time between frames.
    pub frame_ms: f64,
}

impl Results<'_> {
    /// Writes `overlay.gif`, `overlays.jsonl`, `latency.svg`, `tracking.svg` and `report.json` into `out`. Returns the report.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn write(&self, out: &Path) -> Result<Report> {
        create_dir_all(out).with_context(|| format!("cannot create the folder {}", out.display()))?;
        let create = |name: &str| {
            let path = out.join(name);
            File::create(&path)
                .map(BufWriter::new)
                .with_context(|| format!("cannot write {}", path.display()))
        };
        let mut times = StageTimes::new(&STAGE_NAMES)?;
        for overlay in self.scanned.overlays.iter().filter(|overlay| !is_update(overlay)) {
            times.record(&overlay.stage_ns, overlay.latency_ns);
        }
        let mut lines = OverlayLines::new(create("overlays.jsonl")?);
        let (mut latencies, mut tracking) = (Vec::new(), Vec::new());
        for recorded in self.frames {
            let (seq, t_acq_ns) = (recorded.descriptor.seq, recorded.descriptor.t_acq_ns);
            let overlays = || self.scanned.overlays.iter().filter(|overlay| overlay.seq == seq);
            for overlay in overlays() {
                lines.overlay(overlay)?;
            }
            let outcome = overlays().next();
            if outcome.is_none() {
                lines.dropped(seq, t_acq_ns, self.scanned.drop_reason(seq).name())?;
            }
            latencies.push(FrameLatency { seq, latency_ns: outcome.map(|overlay| overlay.latency_ns) });
            tracking.push(frame_tracking(seq, outcome));
        }
        lines.finish()?;
        let title = format!("{}, policy {}", self.model, self.policy);
        let svg = latency_svg(&title, &times, &latencies, self.config.budget_ns)?;
        std::fs::write(out.join("latency.svg"), svg).context("cannot write latency.svg")?;
        let svg =
            tracking_svg(&title, &tracking, self.names, self.scanned.attention_below, self.config.budget_ns)?;
        std::fs::write(out.join("tracking.svg"), svg).context("cannot write tracking.svg")?;
        self.animate(create("overlay.gif")?)?;
        let report = self.report(&times)?;
        report.write(&out.join("report.json"))?;
        Ok(report)
    }

    fn report(&self, times: &StageTimes) -> Result<Report> {
        let counters = &self.scanned.counters;
        let mut memory: std::collections::BTreeMap<String, u64> = memory_parts(self.head, self.config)?
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes as u64))
            .collect();
        memory.insert("rings".into(), self.scanned.ring_bytes as u64);
        Ok(Report {
            model: self.model.into(),
            policy: self.policy.into(),
            budget_ns: self.config.budget_ns,
            frames: self.scanned.committed,
            overlays: counters.overlays,
            drops: DropReason::ALL
                .iter()
                .map(|&reason| (reason.name().into(), counters.dropped(reason)))
                .collect(),
            rungs: RUNG_NAMES
                .iter()
                .zip(counters.rungs)
                .map(|(&name, count)| (name.to_owned(), count))
                .collect(),
            updates: counters.updates,
            deadline_misses: counters.deadline_misses,
            memory_bytes: (self.scanned.memory.bytes + self.scanned.ring_bytes) as u64,
            memory,
            allocations_after_start: self.scanned.seen.allocations,
            page_faults_after_start: self.scanned.seen.page_faults,
            dice_mean: self.dice_mean,
            ..Report::new(times)
        })
    }

    /// Writes the animation: each frame with its overlay. In place of a dropped frame, the picture before it is shown
    /// again.
    fn animate<W: std::io::Write>(&self, writer: W) -> Result<()> {
        let Some(first) = self.frames.first() else { return Ok(()) };
        let (width, height) = self.canvas(&first.descriptor.check()?);
        let mut animation = Animation::new(writer, width, height, self.frame_ms)?;
        let mut canvas = Canvas::new(width, height);
        let mut shown: Option<Pixmap> = None;
        let mut dropped = 0;
        let bar = progress(self.frames.len() as u64, "drawing");
        for recorded in self.frames {
            bar.inc(1);
            // The last one, if newer contours came.
            match self.scanned.overlays.iter().rposition(|o| o.seq == recorded.descriptor.seq) {
                Some(at) => {
                    let scores = self.scores.get(at).map_or(&[][..], Vec::as_slice);
                    shown = Some(canvas.draw(self, recorded, &self.scanned.overlays[at], scores)?);
                }
                None => dropped += 1,
            }
            if let Some(picture) = &shown {
                let mut picture = picture.clone();
                draw_drops(&mut picture, dropped);
                animation.frame(&draw::to_rgb(&picture))?;
            }
        }
        bar.finish_and_clear();
        animation.finish()?;
        Ok(())
    }

    /// One frame with its overlay, at the display's size.
    ///
    /// # Errors
    /// An invalid frame.
    pub fn picture(&self, recorded: &Recorded, overlay: &Overlay) -> Result<RgbImage> {
        let (width, height) = self.display_size(&recorded.descriptor.check()?);
        Ok(draw::to_rgb(&Canvas::new(width, height).draw(self, recorded, overlay, &[])?))
    }

    /// The size of the displayed picture.
    ///
    /// # Errors
    /// No frame, or an invalid first frame.
    pub fn display_size_px(&self) -> Result<(u32, u32)> {
        let first = self.frames.first().context("there is no frame")?;
        Ok(self.display_size(&first.descriptor.check()?))
    }

    fn display_size(&self, frame: &sonotrace::hal::frame::Frame) -> (u32, u32) {
        match self.config.display {
            Display::Raster { width, height } => (width, height),
            Display::Source => (frame.samples, frame.lines),
        }
    }

    fn canvas(&self, frame: &sonotrace::hal::frame::Frame) -> (u32, u32) {
        let (width, height) = self.display_size(frame);
        let scale = (f64::from(ANIMATION_SIDE_MAX) / f64::from(width.max(height))).min(1.0);
        let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
        (scaled(width), scaled(height))
    }
}

fn is_update(overlay: &Overlay) -> bool {
    overlay.flags & overlay_flags::UPDATE != 0
}

/// What the plot shows of a frame.
fn frame_tracking(seq: u64, outcome: Option<&Overlay>) -> FrameTracking {
    let of = |object: &OverlayObject| {
        let needs_attention = object.valid & valid::ATTENTION != 0;
        let state = if needs_attention { State::Attention } else { State::from_wire(object.state)? };
        Some((object.id, state, object.confidence))
    };
    FrameTracking {
        seq,
        rung: outcome.map(|overlay| overlay.rung),
        age_ns: outcome.map_or(0, |overlay| overlay.age_ns),
        objects: outcome.map_or_else(Vec::new, |overlay| overlay.objects().iter().filter_map(of).collect()),
    }
}

/// The size of drawn frames; keeps the scan conversion of the last geometry.
struct Canvas {
    width: u32,
    height: u32,
    picture: Option<(DisplayPicture, DisplayRaster)>,
}

impl Canvas {
    fn new(width: u32, height: u32) -> Self {
        Self { width, height, picture: None }
    }

    fn draw(
        &mut self,
        results: &Results<'_>,
        recorded: &Recorded,
        overlay: &Overlay,
        scores: &[(u32, f64)],
    ) -> Result<Pixmap> {
        let frame = recorded.descriptor.check()?;
        let scale = self.width as f32 / results.display_size(&frame).0 as f32;
        let fitting = self.picture.take().filter(|(picture, _)| picture.fits(&frame.geometry));
        let (picture, raster) = match fitting {
            Some(fitting) => fitting,
            None => {
                let raster = DisplayRaster::new(&frame.geometry, results.config.display)?;
                // From pixel centres of the smaller canvas to the display.
                let plane =
                    |x: f32, y: f32| raster.to_plane([(x + 0.5) / scale - 0.5, (y + 0.5) / scale - 0.5]);
                (DisplayPicture::new(self.width, self.height, &frame.geometry, plane), raster)
            }
        };
        let grey = picture.draw(&frame, &recorded.payload, results.config.vendor_tables)?;
        let mut image = draw::from_grey(grey)?;
        let clicks = results.clicks.iter().filter(|(seq, ..)| *seq == overlay.seq);
        let clicks: Vec<Click> =
            clicks.map(|&(_, at, is_positive)| Click { at_px: [at.x, at.y], is_positive }).collect();
        let dice: Vec<(u32, f32)> = scores.iter().map(|&(id, dice)| (id, dice as f32)).collect();
        let style = OverlayStyle {
            scale,
            mm_per_px: picture.mm_per_px().map(|mm| mm * scale),
            names: results.names,
            dice: &dice,
            clicks: &clicks,
        };
        draw_overlay(&mut image, overlay, &style);
        self.picture = Some((picture, raster));
        Ok(image)
    }
}
