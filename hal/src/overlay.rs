//! What goes back to the device for each frame: contours, measures, state and age.
//!
//! Fixed layout, `repr(C)`, no pointers: an overlay is one slot of the overlay ring. A contour is one outer ring and
//! the rings of the largest holes in it; rings are closed polygons whose last point joins the first. Seen on the display
//! (y down) the outer ring runs clockwise and holes run anticlockwise, so that signed areas add up. Pixel coordinates
//! put the centre of the top left pixel at (0, 0).

use bytemuck::{Pod, Zeroable};

/// First four bytes of every overlay, `SNTO` in memory order.
pub const OVERLAY_MAGIC: u32 = u32::from_le_bytes(*b"SNTO");
/// Version of this layout.
pub const OVERLAY_ABI_VERSION: u32 = 1;
/// Most objects followed at a time.
pub const OBJECTS_MAX: usize = 10;
/// Most points of an outer ring.
pub const OUTER_POINTS_MAX: usize = 128;
/// Most holes of a contour: the largest; smaller ones are filled.
pub const HOLES_MAX: usize = 4;
/// Most points of the ring of a hole.
pub const HOLE_POINTS_MAX: usize = 32;
/// Most rings of a contour.
pub const RINGS_MAX: usize = 1 + HOLES_MAX;
/// Most points of one contour, all its rings together.
pub const CONTOUR_POINTS_MAX: usize = OUTER_POINTS_MAX + HOLES_MAX * HOLE_POINTS_MAX;
/// Most prompts that one overlay answers.
pub const ANSWERS_MAX: usize = 16;
/// Stages that a frame's time is divided into.
pub const STAGES: usize = 5;
/// Names of the stages, in the order of [`Overlay::stage_ns`].
pub const STAGE_NAMES: [&str; STAGES] = ["queue", "sample", "encode", "decode", "contour"];

/// State of an overlay or of an object on it. A stale contour is never shown as a fresh one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// No object is being followed.
    Empty = 0,
    /// Made from a prompt on this very frame.
    Fresh = 1,
    /// Carried onto this frame by the tracker.
    Tracked = 2,
    /// Carried, but not to be trusted: the user should look.
    Attention = 3,
    /// The contour of an earlier frame.
    Stale = 4,
    /// The object was lost; there is no contour.
    Lost = 5,
}

impl State {
    /// The state with a wire value.
    pub const fn from_wire(value: u32) -> Option<Self> {
        Some(match value {
            0 => Self::Empty,
            1 => Self::Fresh,
            2 => Self::Tracked,
            3 => Self::Attention,
            4 => Self::Stale,
            5 => Self::Lost,
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
            Self::Stale => "stale",
            Self::Lost => "lost",
        }
    }
}

/// How much of the work was done for a frame; 0 is the fullest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Rung {
    /// Encoder, and a decode of each object.
    Full = 0,
    /// Nothing was computed: the last contour is repeated, marked stale.
    Repeat = 3,
}

impl Rung {
    /// Its name in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Repeat => "repeat",
        }
    }
}

/// Bits of [`Overlay::flags`].
pub mod overlay_flags {
    /// The frame has had its overlay before: this one brings what prompts made while the image is frozen have changed.
    pub const UPDATE: u32 = 1 << 0;
    /// Frames are missing before this one: the sequence numbers or the frame itself say so.
    pub const GAP_BEFORE: u32 = 1 << 1;
    /// The image is frozen.
    pub const FROZEN: u32 = 1 << 2;
}

/// What became of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum PromptOutcome {
    /// It was served.
    Served = 1,
    /// The features of its frame are no longer kept.
    TooOld = 2,
    /// It points outside the field of view, or its box has no extent.
    OutsideField = 3,
    /// There are objects enough: remove one first.
    NoRoom = 4,
    /// It removes or corrects an object that is not there.
    UnknownObject = 5,
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
        }
    }
}

/// The answer to one prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct PromptAnswer {
    /// The number that the prompt was given when it was handed in.
    pub ticket: u32,
    /// The object that it was about.
    pub object: u32,
    /// A [`PromptOutcome`].
    pub outcome: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bits of [`OverlayObject::valid`]: which measures hold. One that does not is zero, never guessed.
pub mod valid {
    /// Pixel contour, area and centroid.
    pub const PIXELS: u32 = 1 << 0;
    /// Millimetre contour, area, perimeter, centroid and axes.
    pub const MILLIMETRES: u32 = 1 << 1;
    /// The contour touches the border of the field of view.
    pub const AT_BORDER: u32 = 1 << 2;
    /// The fitted ellipse.
    pub const ELLIPSE: u32 = 1 << 3;
}

/// An ellipse in the probe's plane.
#[derive(Debug, Clone, Copy, PartialEq, Default, Pod, Zeroable)]
#[repr(C)]
pub struct Ellipse {
    /// Its centre.
    pub centre_mm: [f32; 2],
    /// Half its longest diameter.
    pub semi_major_mm: f32,
    /// Half its shortest diameter.
    pub semi_minor_mm: f32,
    /// Direction of the longest diameter, from the x axis towards the y axis (clockwise on the display), in
    /// `-pi/2..=pi/2`.
    pub angle_rad: f32,
    /// Circumference (Ramanujan 1914, second formula).
    pub circumference_mm: f32,
}

/// One object on an overlay.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct OverlayObject {
    /// The device's number for it, from 1.
    pub id: u32,
    /// A [`State`].
    pub state: u32,
    /// Bits of [`valid`].
    pub valid: u32,
    /// Points of the contour, all rings together.
    pub points: u32,
    /// Rings of the contour: the outer one first.
    pub rings: u32,
    /// Points of each ring, one after the other in `contour_px` and `contour_mm`.
    pub ring_points: [u32; RINGS_MAX],
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// Area in display pixels, holes taken off.
    pub area_px2: f32,
    /// Area, holes taken off.
    pub area_mm2: f32,
    /// Length of the outer ring.
    pub perimeter_mm: f32,
    /// Longest distance between two points of the outer ring.
    pub long_axis_mm: f32,
    /// Extent of the outer ring across its long axis.
    pub short_axis_mm: f32,
    /// Centroid of the area, display pixels.
    pub centroid_px: [f32; 2],
    /// Centroid of the area, probe millimetres.
    pub centroid_mm: [f32; 2],
    /// The ellipse whose area moments are those of the outer ring.
    pub ellipse: Ellipse,
    /// The contour in display pixels.
    pub contour_px: [[f32; 2]; CONTOUR_POINTS_MAX],
    /// The contour in probe millimetres.
    pub contour_mm: [[f32; 2]; CONTOUR_POINTS_MAX],
}

/// What a frame brought.
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
    /// From the frame's commit to this overlay's.
    pub latency_ns: u64,
    /// Age of the contours' own frame when this overlay was committed: from that frame's commit. Of an overlay whose
    /// contours were made for it, the same as `latency_ns`.
    pub age_ns: u64,
    /// Time spent in each stage, as [`STAGE_NAMES`] names them.
    pub stage_ns: [u64; STAGES],
    /// Counts steps of the session, so that a watchdog sees it live.
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
    /// Prompts that were answered since the last overlay.
    pub answers: [PromptAnswer; ANSWERS_MAX],
    /// The objects.
    pub objects: [OverlayObject; OBJECTS_MAX],
}

impl Overlay {
    /// An overlay with magic and version filled in, state empty, and no objects.
    pub fn blank() -> Self {
        Self { magic: OVERLAY_MAGIC, abi_version: OVERLAY_ABI_VERSION, ..Self::zeroed() }
    }

    /// The valid objects; never more than there is room for, whatever the count says.
    pub fn objects(&self) -> &[OverlayObject] {
        &self.objects[..(self.object_count as usize).min(OBJECTS_MAX)]
    }
}

impl Overlay {
    /// The valid answers; never more than there is room for.
    pub fn answers(&self) -> &[PromptAnswer] {
        &self.answers[..(self.answer_count as usize).min(ANSWERS_MAX)]
    }
}

impl OverlayObject {
    /// The valid contour points in display pixels, all rings together.
    pub fn contour_px(&self) -> &[[f32; 2]] {
        &self.contour_px[..(self.points as usize).min(CONTOUR_POINTS_MAX)]
    }

    /// The valid contour points in probe millimetres, all rings together; empty where the scale is unknown.
    pub fn contour_mm(&self) -> &[[f32; 2]] {
        let points = if self.valid & valid::MILLIMETRES == 0 { 0 } else { self.points as usize };
        &self.contour_mm[..points.min(CONTOUR_POINTS_MAX)]
    }

    /// The rings in display pixels, outer ring first.
    pub fn rings_px(&self) -> impl Iterator<Item = &[[f32; 2]]> {
        self.split(self.contour_px())
    }

    /// The rings in probe millimetres, outer ring first; none where the scale is unknown.
    pub fn rings_mm(&self) -> impl Iterator<Item = &[[f32; 2]]> {
        self.split(self.contour_mm())
    }

    /// Cuts points into rings; counts that promise more than there is are cut to what there is.
    fn split<'a>(&'a self, points: &'a [[f32; 2]]) -> impl Iterator<Item = &'a [[f32; 2]]> {
        let mut rest = points;
        self.ring_points[..(self.rings as usize).min(RINGS_MAX)].iter().map_while(move |&count| {
            let (ring, behind) = rest.split_at((count as usize).min(rest.len()));
            rest = behind;
            (!ring.is_empty()).then_some(ring)
        })
    }
}
