//! Settings of a session, and the memory that they need.

use super::advance::Frames;
use super::motion::Anchored;
use super::objects::Object;
use super::{Asked, KeptFeatures, SessionError};
use crate::exec::{ExecutorConfig, ExecutorLayout, MemoryRequired};
use crate::format::{FileHeader, ModelError, read_header};
use crate::hal::overlay::OBJECTS_MAX;
use crate::kernels::arch::Instructions;
use crate::memory::RawRegion;
use crate::tracking::follower::{self, BufferLengths};
use crate::tracking::looks::{Figures, Sizes};
use crate::vision::sampler::{LutEntry, Sampler};
use crate::vision::simplify::Link;
use crate::vision::{DISPLAY_SIDE_MAX, Display, Vertex, VolumeHistory};
use core::mem::ManuallyDrop;
use core::ops::Range;

/// Policy that selects the frames to process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The newest frame. One that comes while another one is computed gets an overlay with the last contours, in time; where several
    /// wait, all but the newest are dropped and counted. For live scanning.
    Newest,
    /// Every frame, in order. For replay and evaluation.
    All,
}

/// Maximum points of a contour before simplification; longer contours are thinned.
pub const CONTOUR_ROOM: usize = 4096;

/// Least probability from which on an object counts as absent: at 0 each would.
const ABSENT_FROM_MIN: f32 = 0.01;

/// Settings of a session, fixed when it is opened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionConfig<'a> {
    /// Selection of the frames to process.
    pub policy: Policy,
    /// Maximum time from the commit of a frame to the commit of its overlay; a later overlay is a deadline miss. With
    /// [`Policy::Newest`] an overlay that would be late goes out in time, with the last contours. At most the time between frames, or
    /// frames wait for the one before.
    pub budget_ns: u64,
    /// Time limit of one call of [`super::Session::poll`], exceeded by at most one piece of work.
    pub slice_ns: u64,
    /// Number of frames whose features are kept; prompts on these frames can be served.
    pub kept_frames: u32,
    /// Rows of a new geometry's sampling table that are filled per frame. Until the table is complete, frames repeat
    /// the last contours, marked stale. The first table of a scan is filled at once: there are no contours to repeat.
    pub table_rows_per_frame: u32,
    /// Raster of the contours' pixel coordinates.
    pub display: Display,
    /// Amplitude tables that frames can refer to.
    pub vendor_tables: &'a [[u8; 256]],
    /// Confidence below which an object is marked for attention; 0 for the threshold of the model.
    pub attention_below: f32,
    /// Probability of being absent from which on an object counts as absent, at least 0.01.
    pub absent_from: f32,
    /// Objects that the segmenter redraws and checks on each frame, in turn; others keep the tracker's mask. At most all.
    pub checks_per_frame: u32,
    /// Whether a lost object that is checked is shown as the segmenter draws it, and not as the mean of its mask and the tracker's. An
    /// object that comes back is drawn better, by 0.005 of Dice over a slide of the probe; confidence was not fitted to it.
    pub correct_lost: bool,
    /// Number of threads that compute, including the session's own: see [`super::Session::helper`].
    pub threads: u32,
    /// Instruction set of the kernels.
    pub instructions: Instructions,
}

impl SessionConfig<'_> {
    /// Checks the settings that do not depend on a model.
    ///
    /// # Errors
    /// [`SessionError::Setting`] for the first that is outside its limits.
    pub fn check(&self) -> Result<(), SessionError> {
        let (width, height) = match self.display {
            Display::Source => (1, 1),
            Display::Raster { width, height } => (width, height),
        };
        for (what, seen, min, max) in [
            ("slice_ns", self.slice_ns as f64, 1.0, 1e12),
            ("budget_ns", self.budget_ns as f64, 1.0, 1e12),
            ("table_rows_per_frame", self.table_rows_per_frame.into(), 1.0, u32::MAX.into()),
            ("attention_below", self.attention_below.into(), 0.0, 1.0),
            ("absent_from", self.absent_from.into(), ABSENT_FROM_MIN.into(), 1.0),
            ("checks_per_frame", self.checks_per_frame.into(), 0.0, OBJECTS_MAX as f64),
            ("display width", width.into(), 1.0, DISPLAY_SIDE_MAX.into()),
            ("display height", height.into(), 1.0, DISPLAY_SIDE_MAX.into()),
        ] {
            // Written so that NaN fails.
            let is_within = seen >= min && seen <= max;
            if !is_within {
                return Err(SessionError::Setting { what, seen, min, max });
            }
        }
        Ok(())
    }

    /// Returns the settings of the executor.
    pub(super) fn executor(&self) -> ExecutorConfig {
        ExecutorConfig {
            kept_frames: self.kept_frames,
            threads: self.threads,
            instructions: self.instructions,
        }
    }
}

impl Default for SessionConfig<'_> {
    /// Returns the default settings: newest frame only, 33 ms budget, 2 ms slices, two kept frames, 64 table rows per
    /// frame (four frames for an input of 256 x 256), a 640 x 480 display, one check per frame, one thread, the fastest instruction
    /// set.
    fn default() -> Self {
        Self {
            policy: Policy::Newest,
            budget_ns: 33_000_000,
            slice_ns: 2_000_000,
            kept_frames: 2,
            table_rows_per_frame: 64,
            display: Display::Raster { width: 640, height: 480 },
            vendor_tables: &[],
            attention_below: 0.0,
            absent_from: 0.5,
            checks_per_frame: 1,
            correct_lost: false,
            threads: 1,
            instructions: Instructions::best(),
        }
    }
}

/// Byte ranges of the parts of a session's region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionLayout {
    pub executor: Range<usize>,
    pub table: Range<usize>,
    pub objects: Range<usize>,
    pub volumes: Range<usize>,
    pub kept: Range<usize>,
    pub frames: Range<usize>,
    pub asked: Range<usize>,
    pub grey: Range<usize>,
    pub flows: Range<usize>,
    pub follower: FollowerLayout,
    pub field: Range<usize>,
    pub labels: Range<usize>,
    pub points: Range<usize>,
    pub links: Range<usize>,
    pub align: usize,
}

/// Byte ranges of the follower's buffers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FollowerLayout {
    pub probabilities: Range<usize>,
    pub odds: Range<usize>,
    pub tokens: Range<usize>,
    pub whole: Range<usize>,
    pub inside: Range<usize>,
    pub figures: Range<usize>,
    pub words: Range<usize>,
    pub floats: Range<usize>,
}

impl FollowerLayout {
    fn new(
        header: &FileHeader,
        take: &mut impl FnMut(usize) -> Result<Range<usize>, ModelError>,
    ) -> Result<Self, ModelError> {
        let lengths = BufferLengths::of(&Sizes::of(header));
        Ok(Self {
            probabilities: take(lengths.probabilities * size_of::<f32>())?,
            odds: take(lengths.odds * size_of::<f32>())?,
            tokens: take(lengths.tokens * size_of::<f32>())?,
            whole: take(lengths.whole * size_of::<f32>())?,
            inside: take(lengths.inside * size_of::<u64>())?,
            figures: take(lengths.figures * size_of::<Figures>())?,
            words: take(lengths.words * size_of::<u64>())?,
            floats: take(lengths.floats * size_of::<f32>())?,
        })
    }

    /// All of them.
    fn bytes(&self) -> usize {
        self.floats.end - self.probabilities.start
    }
}

/// Copies of the features: of the kept frames, and of the tracker's anchor.
pub(super) fn feature_slots(kept_frames: u32) -> u32 {
    kept_frames + 1
}

impl SessionLayout {
    pub fn new(header: &FileHeader, config: &SessionConfig<'_>) -> Result<Self, ModelError> {
        let executor = ExecutorLayout::new(header, &config.executor())?.required();
        let (pixels, mask) = (Sampler::table_len(header.input_size), Sampler::table_len(header.mask_size));
        let slots = feature_slots(config.kept_frames) as usize;
        let mut end = 0usize;
        let mut take = |bytes: usize| {
            let from = end;
            // Each part has the alignment of the region.
            end = bytes
                .checked_next_multiple_of(executor.align)
                .and_then(|bytes| from.checked_add(bytes))
                .ok_or(ModelError::Limit {
                    what: "memory of the session",
                    seen: bytes as u64,
                    limit: usize::MAX as u64,
                })?;
            Ok(from..from + bytes)
        };
        Ok(Self {
            executor: take(executor.bytes)?,
            table: take(2 * pixels * size_of::<LutEntry>())?,
            objects: take(OBJECTS_MAX * size_of::<Object>())?,
            volumes: take(OBJECTS_MAX * size_of::<VolumeHistory>())?,
            // At most KEPT_FRAMES_MAX, as the executor's layout has checked.
            kept: take(slots * size_of::<KeptFeatures>())?,
            frames: take(size_of::<Frames>())?,
            asked: take(size_of::<Asked>())?,
            grey: take(slots * mask * size_of::<f32>())?,
            flows: take(slots * Sizes::of(header).flow_values() * size_of::<f32>())?,
            follower: FollowerLayout::new(header, &mut take)?,
            field: take(pixels * size_of::<f32>())?,
            labels: take(pixels * size_of::<i32>())?,
            points: take(CONTOUR_ROOM * size_of::<Vertex>())?,
            links: take(CONTOUR_ROOM * size_of::<Link>())?,
            align: executor.align,
        })
    }

    pub fn required(&self) -> MemoryRequired {
        MemoryRequired { bytes: self.links.end, align: self.align }
    }
}

/// A session's buffers, except the executor's memory and the sampling tables.
#[derive(Debug)]
pub(super) struct Buffers<'m> {
    /// Volumes of each object.
    pub volumes: &'m mut [VolumeHistory],
    /// Grey levels of each kept frame at the resolution of masks, 0 to 1.
    pub grey: &'m mut [f32],
    /// The tracker's motion since the anchor on each kept frame.
    pub flows: &'m mut [f32],
    /// The mask that is being enlarged to the input grid, or that a prompt gave.
    pub field: &'m mut [f32],
    pub labels: &'m mut [i32],
    pub points: &'m mut [Vertex],
    pub links: &'m mut [Link],
}

/// A region split by a layout.
pub(super) struct Parts<'m> {
    /// The executor's part.
    pub executor: RawRegion<'m>,
    /// Entries of the sampling tables.
    pub sampling: &'m mut [LutEntry],
    pub objects: &'m mut [Object],
    pub kept: &'m mut [KeptFeatures],
    pub frames: &'m mut Frames,
    pub asked: &'m mut ManuallyDrop<Asked>,
    pub follower: follower::Buffers<'m>,
    pub buffers: Buffers<'m>,
}

/// Makes one value in a region that is large enough.
fn one<T: Default + Send>(region: RawRegion<'_>) -> Result<&mut T, SessionError> {
    let bytes = region.bytes();
    let made = region.filled(1, |_| Ok::<_, SessionError>(T::default()))?;
    made.first_mut().ok_or(SessionError::RegionTooSmall { seen: bytes, needed: size_of::<T>() })
}

/// Splits a region by a layout.
pub(super) fn cut<'m>(mut region: RawRegion<'m>, layout: &SessionLayout) -> Result<Parts<'m>, SessionError> {
    let required = layout.required();
    if region.bytes() < required.bytes {
        return Err(SessionError::RegionTooSmall { seen: region.bytes(), needed: required.bytes });
    }
    if !region.is_aligned_to(required.align) {
        return Err(SessionError::RegionMisaligned { needed: required.align });
    }
    let mut at = 0;
    let mut take = |range: &Range<usize>| {
        region.take(range.start - at).zeroed::<u8>();
        at = range.end;
        region.take(range.len())
    };
    let executor = take(&layout.executor);
    let sampling = take(&layout.table).zeroed();
    let objects = take(&layout.objects).filled(OBJECTS_MAX, |_| Ok::<_, SessionError>(Object::new(0)))?;
    let volumes = take(&layout.volumes).zeroed();
    let slots = layout.kept.len() / size_of::<KeptFeatures>();
    let none = KeptFeatures { seq: 0, t_acq_ns: 0, frame: 0, scene: None, anchored: Anchored::default() };
    let kept = take(&layout.kept).filled(slots, |_| Ok::<_, SessionError>(none))?;
    let frames = one(take(&layout.frames))?;
    let asked = one(take(&layout.asked))?;
    let grey = take(&layout.grey).zeroed();
    let flows = take(&layout.flows).zeroed();
    let of = &layout.follower;
    let follower = follower::Buffers {
        probabilities: take(&of.probabilities).zeroed(),
        odds: take(&of.odds).zeroed(),
        tokens: take(&of.tokens).zeroed(),
        whole: take(&of.whole).zeroed(),
        inside: take(&of.inside).zeroed(),
        figures: take(&of.figures).zeroed(),
        words: take(&of.words).zeroed(),
        floats: take(&of.floats).zeroed(),
    };
    let field = take(&layout.field).zeroed();
    let labels = take(&layout.labels).zeroed();
    let points = take(&layout.points).zeroed();
    let links = take(&layout.links).zeroed();
    let buffers = Buffers { volumes, grey, flows, field, labels, points, links };
    Ok(Parts { executor, sampling, objects, kept, frames, asked, follower, buffers })
}

/// Returns the memory that a session needs for the model whose file starts with `head` (its first 4096 bytes) under
/// `config`: persistent state, scratch, tables. The mapped file, rings and thread stacks are not included.
///
/// # Errors
/// The first error in the header or the configuration.
pub fn memory_required(head: &[u8], config: &SessionConfig<'_>) -> Result<MemoryRequired, ModelError> {
    Ok(SessionLayout::new(&read_header(head)?, config)?.required())
}

/// Returns the parts of [`memory_required`]: name and size in bytes.
///
/// # Errors
/// As [`memory_required`].
pub fn memory_parts(
    head: &[u8],
    config: &SessionConfig<'_>,
) -> Result<[(&'static str, usize); 9], ModelError> {
    let header = read_header(head)?;
    let layout = SessionLayout::new(&header, config)?;
    let executor = ExecutorLayout::new(&header, &config.executor())?;
    Ok([
        ("persistent state", executor.banks.iter().map(Range::len).sum()),
        ("bound operations", executor.ops.len()),
        ("scratch of all programs", executor.scratch.len()),
        ("thread scratch", executor.thread_scratch.len()),
        ("sampling tables", layout.table.len()),
        (
            "objects and kept frames",
            layout.objects.len()
                + layout.volumes.len()
                + layout.kept.len()
                + layout.frames.len()
                + layout.asked.len()
                + layout.grey.len()
                + layout.flows.len(),
        ),
        ("tracking", layout.follower.bytes()),
        ("mask at input size, labels", layout.field.len() + layout.labels.len()),
        ("contour points", layout.points.len() + layout.links.len()),
    ])
}
