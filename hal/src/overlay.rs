//! What goes back to the device for each frame: contours, measures, state and age.
//!
//! Fixed layout, `repr(C)`, no pointers: an overlay is one slot of the overlay ring. Contours are closed polygons whose
//! last point joins the first; seen on the display (y down) their outer ring runs clockwise. Pixel coordinates put the
//! centre of the top left pixel at (0, 0).

use bytemuck::{Pod, Zeroable};

/// First four bytes of every overlay, `SNTO` in memory order.
pub const OVERLAY_MAGIC: u32 = u32::from_le_bytes(*b"SNTO");
/// Version of this layout.
pub const OVERLAY_ABI_VERSION: u32 = 1;
/// Most objects followed at a time.
pub const OBJECTS_MAX: usize = 10;
/// Most points of one contour.
pub const CONTOUR_POINTS_MAX: usize = 128;
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

/// Bits of [`OverlayObject::valid`]: which measures hold. One that does not is zero, never guessed.
pub mod valid {
    /// Pixel contour, area and centroid.
    pub const PIXELS: u32 = 1 << 0;
    /// Millimetre contour, area, perimeter and centroid.
    pub const MILLIMETRES: u32 = 1 << 1;
    /// The contour touches the border of the field of view.
    pub const AT_BORDER: u32 = 1 << 2;
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
    /// Points of the contour.
    pub points: u32,
    /// Confidence, 0 to 1.
    pub confidence: f32,
    /// Area in display pixels.
    pub area_px2: f32,
    /// Area.
    pub area_mm2: f32,
    /// Length of the contour.
    pub perimeter_mm: f32,
    /// Centroid of the area, display pixels.
    pub centroid_px: [f32; 2],
    /// Centroid of the area, probe millimetres.
    pub centroid_mm: [f32; 2],
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
    /// Age of the contours' own frame when this overlay was committed: from that frame's commit.
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

impl OverlayObject {
    /// The valid contour points in display pixels.
    pub fn contour_px(&self) -> &[[f32; 2]] {
        &self.contour_px[..(self.points as usize).min(CONTOUR_POINTS_MAX)]
    }

    /// The valid contour points in probe millimetres; empty where the scale is unknown.
    pub fn contour_mm(&self) -> &[[f32; 2]] {
        let points = if self.valid & valid::MILLIMETRES == 0 { 0 } else { self.points as usize };
        &self.contour_mm[..points.min(CONTOUR_POINTS_MAX)]
    }
}
