//! The result for one frame, as the device receives it: contours, measures, state and age.
//!
//! Fixed layout, `repr(C)`, no pointers: an overlay is one slot of the overlay ring. A contour is a list of closed
//! polygons: the outline of the object, then the boundaries of its largest holes. The last point of a polygon joins the
//! first. Seen on the display (y down) the outline runs clockwise and holes run anticlockwise, so that signed areas add
//! up. Pixel coordinates put the centre of the top left pixel at (0, 0).

use bytemuck::{Pod, Zeroable};

/// First four bytes of every overlay, `SNTO` in memory order.
pub const OVERLAY_MAGIC: u32 = u32::from_le_bytes(*b"SNTO");
/// Version of this layout.
pub const OVERLAY_ABI_VERSION: u32 = 3;
/// Maximum number of objects.
pub const OBJECTS_MAX: usize = 10;
/// Maximum number of points of an outline.
pub const OUTER_POINTS_MAX: usize = 128;
/// Maximum number of holes of a contour: the largest are kept, smaller ones are filled.
pub const HOLES_MAX: usize = 4;
/// Maximum number of points of the boundary of a hole.
pub const HOLE_POINTS_MAX: usize = 32;
/// Maximum number of polygons of a contour: its outline and its holes.
pub const POLYGONS_MAX: usize = 1 + HOLES_MAX;
/// Maximum number of points of a contour, all polygons together.
pub const CONTOUR_POINTS_MAX: usize = OUTER_POINTS_MAX + HOLES_MAX * HOLE_POINTS_MAX;
/// Maximum number of replies to prompts on one overlay.
pub const ANSWERS_MAX: usize = 16;
/// Number of stages that a frame's time is divided into.
pub const STAGES: usize = 6;
/// Names of the stages, in the order of [`Overlay::stage_ns`].
pub const STAGE_NAMES: [&str; STAGES] = ["queue", "sample", "encode", "track", "decode", "contour"];

/// State of an overlay or of an object on it. A stale contour is never marked as a fresh one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// No object is followed.
    Empty = 0,
    /// Made from a prompt on this frame.
    Fresh = 1,
    /// Propagated to this frame by the tracker.
    Tracked = 2,
    /// Propagated with low confidence: the user should check it.
    Attention = 3,
    /// The object is most likely not in the field of view: it has no contour, and is searched for on every frame.
    Absent = 4,
    /// The contour of an earlier frame.
    Stale = 5,
    /// The object is not found, although it is not said to be absent: it has no contour, and is searched for on every frame.
    Lost = 6,
}

impl State {
    /// The state with a wire value.
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Empty,
            1 => Self::Fresh,
            2 => Self::Tracked,
            3 => Self::Attention,
            4 => Self::Absent,
            5 => Self::Stale,
            6 => Self::Lost,
            _ => return None,
        })
    }

    /// Its name in lower case, as in `overlays.jsonl`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Tracked => "tracked",
            Self::Attention => "attention",
            Self::Absent => "absent",
            Self::Stale => "stale",
            Self::Lost => "lost",
        }
    }
}

/// How much was computed for an overlay; 0 is the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Rung {
    /// The encoder, the tracker, and the decoder for as many objects as are checked on a frame and as there was time for.
    Full = 0,
    /// The encoder and the tracker: there was no time to check an object.
    Tracked = 1,
    /// The frame takes longer than its budget: this overlay repeats the last contours, marked stale. Its own come with a later overlay.
    Spread = 2,
    /// No computation: the last contours are repeated, marked stale.
    Repeat = 3,
}

/// Number of rungs.
pub const RUNGS: usize = Rung::Repeat as usize + 1;
/// Names of the rungs, by wire value.
pub const RUNG_NAMES: [&str; RUNGS] =
    [Rung::Full.name(), Rung::Tracked.name(), Rung::Spread.name(), Rung::Repeat.name()];

impl Rung {
    /// The rung with a wire value.
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Full,
            1 => Self::Tracked,
            2 => Self::Spread,
            3 => Self::Repeat,
            _ => return None,
        })
    }

    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Tracked => "tracked",
            Self::Spread => "spread",
            Self::Repeat => "repeat",
        }
    }
}

/// Bits of [`Overlay::flags`].
pub mod overlay_flags {
    /// A further overlay of a frame that has one: newer contours are there. Those of a frame that took longer than its budget are
    /// done, or prompts changed those of a frozen one. Counted separately.
    pub const UPDATE: u32 = 1 << 0;
    /// Frames are missing before this one, by its sequence number or by its own flag.
    pub const GAP_BEFORE: u32 = 1 << 1;
    /// The image is frozen.
    pub const FROZEN: u32 = 1 << 2;
}

/// The outcome of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PromptOutcome {
    /// The prompt was served.
    Served = 1,
    /// Its frame is older than all frames whose features are kept.
    TooOld = 2,
    /// It points outside the rectangle of the field of view, or its box has no extent.
    OutsideField = 3,
    /// There are as many objects as possible: remove one first.
    NoRoom = 4,
    /// It removes or corrects an object that does not exist.
    UnknownObject = 5,
    /// Its frame has not been committed yet.
    FutureFrame = 6,
}

impl PromptOutcome {
    /// The outcome with a wire value.
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            1 => Self::Served,
            2 => Self::TooOld,
            3 => Self::OutsideField,
            4 => Self::NoRoom,
            5 => Self::UnknownObject,
            6 => Self::FutureFrame,
            _ => return None,
        })
    }

    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::TooOld => "too_old",
            Self::OutsideField => "outside_field",
            Self::NoRoom => "no_room",
            Self::UnknownObject => "unknown_object",
            Self::FutureFrame => "future_frame",
        }
    }
}

/// The reply to one prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PromptAnswer {
    /// The ticket that the prompt got when it was queued.
    pub ticket: u32,
    /// The prompt's object.
    pub object: u32,
    /// A [`PromptOutcome`].
    pub outcome: u32,
    /// Zero.
    pub reserved: u32,
    /// Sequence number of the frame on which it was served: its own, or the nearest one that was computed. 0 if it was not served.
    pub seq: u64,
    /// Time of acquisition of that frame minus that of the prompt's own, which is estimated for a frame that was not computed.
    pub offset_ns: i64,
}

/// Bits of [`OverlayObject::valid`]: which measures are valid (the others are zero, never guessed), and what is to be known of the
/// contour.
pub mod valid {
    /// Pixel contour, area and centroid.
    pub const PIXELS: u32 = 1 << 0;
    /// Millimetre contour, area, perimeter, centroid and axes.
    pub const MILLIMETRES: u32 = 1 << 1;
    /// The contour touches the border of the field of view, or a side or an arc of a sector.
    pub const AT_BORDER: u32 = 1 << 2;
    /// The fitted ellipse.
    pub const ELLIPSE: u32 = 1 << 3;
    /// The volume. Never of a contour at the border, which is cut off.
    pub const VOLUME: u32 = 1 << 4;
    /// The beat. Only together with the volume.
    pub const BEAT: u32 = 1 << 5;
    /// The user should check the contour: its state is [`State::Attention`](super::State::Attention), or was when it was computed, if it
    /// is stale now.
    pub const ATTENTION: u32 = 1 << 6;
}

/// An ellipse in the probe's plane.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Ellipse {
    /// Its centre.
    pub centre_mm: [f32; 2],
    /// Half of its longest diameter.
    pub semi_major_mm: f32,
    /// Half of its shortest diameter.
    pub semi_minor_mm: f32,
    /// Direction of the longest diameter, from the x axis towards the y axis (clockwise on the display), in
    /// `-pi/2..=pi/2`.
    pub angle_rad: f32,
    /// Circumference (Ramanujan 1914, second formula).
    pub circumference_mm: f32,
}

/// Volume of the body of revolution about the long axis of an outline, for a heart's chamber in an apical view. From one plane: wrong
/// where the chamber is not round across its axis, and too small where the view is foreshortened.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Volume {
    /// By the method of discs: `pi / 4 * sum(d * d) * length / 20` over 20 discs across the long axis (modified Simpson's rule; Lang
    /// et al., JASE 2015;28:1-39).
    pub discs_ml: f32,
    /// By the area-length method: `8 * area * area / (3 * pi * length)` (the same guideline).
    pub area_length_ml: f32,
    /// Extent of the outline along the long axis, which has the direction of the fitted ellipse's longest diameter.
    pub length_mm: f32,
    /// Ends of the long axis: it passes through the centroid of the outline's area.
    pub axis_mm: [[f32; 2]; 2],
}

/// The largest and the smallest volume over the last whole beat, from the end of a diastole to the next one. Valid only after three
/// consecutive beats of about the same duration, volumes and shape, on frames whose contour is fresh or tracked.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Beat {
    /// Volume by discs at the end of the diastole that the beat begins with: of a parabola through the volumes around it.
    pub largest_ml: f32,
    /// Volume by discs at the end of systole, in the same way.
    pub smallest_ml: f32,
    /// `(largest_ml - smallest_ml) / largest_ml`, 0 to 1.
    pub ejection_fraction: f32,
    /// Beats a minute, from the duration of this beat.
    pub rate_per_min: f32,
    /// Acquisition time of the frame that is nearest to the largest volume.
    pub largest_t_ns: u64,
    /// Acquisition time of the frame that is nearest to the smallest volume.
    pub smallest_t_ns: u64,
}

/// One object on an overlay.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct OverlayObject {
    /// The device's number for the object, from 1.
    pub id: u32,
    /// A [`State`].
    pub state: u32,
    /// Bits of [`valid`].
    pub valid: u32,
    /// Points of the contour, all polygons together.
    pub points: u32,
    /// Polygons of the contour: the outline, then the holes.
    pub polygons: u32,
    /// Points of each polygon; their points follow one another in `contour_px` and `contour_mm`.
    pub polygon_points: [u32; POLYGONS_MAX],
    /// Probability that the contour is right, 0 to 1: that its Dice with the truth is 0.90 or more. Of a contour made from a prompt,
    /// the decoder's estimate of its IoU.
    pub confidence: f32,
    /// Frames since the segmenter last checked the object, on which the confidence rests.
    pub checked_frames_ago: u32,
    /// Area in display pixels, without holes.
    pub area_px2: f32,
    /// Area without holes.
    pub area_mm2: f32,
    /// Length of the outline.
    pub perimeter_mm: f32,
    /// Longest distance between two points of the outline.
    pub long_axis_mm: f32,
    /// Extent of the outline across its long axis.
    pub short_axis_mm: f32,
    /// Centroid of the area, display pixels.
    pub centroid_px: [f32; 2],
    /// Centroid of the area, probe millimetres.
    pub centroid_mm: [f32; 2],
    /// The ellipse with the area moments of the outline.
    pub ellipse: Ellipse,
    /// Volume of the body of revolution about the outline's long axis, without regard to holes.
    pub volume: Volume,
    /// Largest and smallest volume over the last whole beat.
    pub beat: Beat,
    /// The contour in display pixels: closed polygons, whose last point joins the first. Seen on the display, the outline runs
    /// clockwise and holes run anticlockwise.
    pub contour_px: [[f32; 2]; CONTOUR_POINTS_MAX],
    /// The contour in probe millimetres: the same points.
    pub contour_mm: [[f32; 2]; CONTOUR_POINTS_MAX],
}

/// The result for one frame.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Overlay {
    /// [`OVERLAY_MAGIC`].
    pub magic: u32,
    /// [`OVERLAY_ABI_VERSION`].
    pub abi_version: u32,
    /// Sequence number of the frame.
    pub seq: u64,
    /// Acquisition time of the frame, on its own clock.
    pub t_acq_ns: u64,
    /// Time from the commit of the frame to the commit of this overlay. Of a further overlay of a frozen frame, from the step
    /// that served its prompts.
    pub latency_ns: u64,
    /// Time from the commit of the frame that the contours were computed on to the commit of this overlay. The same as
    /// `latency_ns` if they were computed on this frame and it is not frozen.
    pub age_ns: u64,
    /// Time spent in each stage, as [`STAGE_NAMES`] names them.
    pub stage_ns: [u64; STAGES],
    /// Counts steps of the session, so that a watchdog can check that it runs.
    pub heartbeat: u64,
    /// A [`State`]: the worst of the objects'.
    pub state: u32,
    /// A [`Rung`].
    pub rung: u32,
    /// The frame's geometry epoch.
    pub geometry_epoch: u32,
    /// Valid entries of `objects`.
    pub object_count: u32,
    /// Bits of [`overlay_flags`].
    pub flags: u32,
    /// Valid entries of `answers`.
    pub answer_count: u32,
    /// Replies to prompts: those since the last overlay, and those of overlays that were evicted before they were fetched.
    pub answers: [PromptAnswer; ANSWERS_MAX],
    /// The objects.
    pub objects: [OverlayObject; OBJECTS_MAX],
}

impl Overlay {
    /// An overlay with magic and version filled in, state empty, and no objects.
    pub fn blank() -> Self {
        Self { magic: OVERLAY_MAGIC, abi_version: OVERLAY_ABI_VERSION, ..Self::zeroed() }
    }

    /// Makes this a blank overlay in place: one is too large for the stack of a real-time thread.
    pub fn clear(&mut self) {
        bytemuck::write_zeroes(self);
        (self.magic, self.abi_version) = (OVERLAY_MAGIC, OVERLAY_ABI_VERSION);
    }

    /// The valid objects: at most [`OBJECTS_MAX`], even if the count is larger.
    pub fn objects(&self) -> &[OverlayObject] {
        &self.objects[..(self.object_count as usize).min(OBJECTS_MAX)]
    }

    /// The valid replies: at most [`ANSWERS_MAX`], even if the count is larger.
    pub fn answers(&self) -> &[PromptAnswer] {
        &self.answers[..(self.answer_count as usize).min(ANSWERS_MAX)]
    }
}

impl OverlayObject {
    /// The valid contour points in display pixels, all polygons together.
    pub fn contour_px(&self) -> &[[f32; 2]] {
        &self.contour_px[..(self.points as usize).min(CONTOUR_POINTS_MAX)]
    }

    /// The valid contour points in probe millimetres, all polygons together; empty where the scale is unknown.
    pub fn contour_mm(&self) -> &[[f32; 2]] {
        let points = if self.valid & valid::MILLIMETRES == 0 { 0 } else { self.points as usize };
        &self.contour_mm[..points.min(CONTOUR_POINTS_MAX)]
    }

    /// The polygons in display pixels, outline first.
    pub fn polygons_px(&self) -> impl Iterator<Item = &[[f32; 2]]> {
        self.split(self.contour_px())
    }

    /// The polygons in probe millimetres, outline first; none where the scale is unknown.
    pub fn polygons_mm(&self) -> impl Iterator<Item = &[[f32; 2]]> {
        self.split(self.contour_mm())
    }

    /// Splits points into polygons. Counts are limited to the points that exist.
    fn split<'a>(&'a self, points: &'a [[f32; 2]]) -> impl Iterator<Item = &'a [[f32; 2]]> {
        let mut rest = points;
        self.polygon_points[..(self.polygons as usize).min(POLYGONS_MAX)].iter().map_while(move |&count| {
            let (polygon, others) = rest.split_at((count as usize).min(rest.len()));
            rest = others;
            (!polygon.is_empty()).then_some(polygon)
        })
    }
}
