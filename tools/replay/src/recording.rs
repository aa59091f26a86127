//! A recording in memory, and the recorder that the readers build it with.

use crate::error::{Place, ReplayError, Source};
use crate::options::Options;
use crate::scan_region::{ScanRegion, largest};
use sonotrace_hal::frame::{
    Domain, Frame, FrameDescriptor, GeometryKind, LAW_LOGARITHMIC, LINES_MAX, SAMPLES_MAX, SampleType, flags,
};

/// Largest number of frames in a recording.
pub const FRAMES_MAX: u64 = 1 << 18;
/// `clock_id` of recorded frames: their times come from the recording's clock, not from the runtime's.
pub const CLOCK_OF_RECORDING: u32 = 1;
/// Largest memory for the frames of a compressed file: that of a small cine, and a thousand times its own length. Real
/// recordings shrink less than that; files made to exhaust the memory shrink more.
pub(crate) const fn expanded_bytes_max(file_bytes: u64) -> u64 {
    (64 << 20) + file_bytes.saturating_mul(1000)
}

/// Longest side in pixels of the display raster that is suggested for polar frames.
const RASTER_SIDE: f32 = 640.0;

/// One frame of a recording, ready for the frame ring.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// Checked descriptor; `t_enqueue_ns` is filled in when the frame enters the ring.
    pub descriptor: FrameDescriptor,
    /// Samples, in the layout of the descriptor.
    pub payload: Vec<u8>,
}

/// The display raster on which contours should be drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisplayHint {
    /// The pictures' own pixels.
    Source,
    /// A raster of this size, with the aspect ratio of the first frame's field of view.
    Raster {
        /// Pixels across.
        width: u32,
        /// Pixels down.
        height: u32,
    },
}

/// A recording of at least one frame; all descriptors and payloads are checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The frames, with sequence numbers from 1.
    pub frames: Vec<Recorded>,
    /// The display raster on which contours should be drawn.
    pub display: DisplayHint,
    /// Notes for the user: what was assumed, and which measurements to distrust.
    pub notes: Vec<String>,
    /// The regions of the pictures.
    pub(crate) regions: Vec<ScanRegion>,
    /// Index of the region in use.
    pub(crate) region: usize,
    /// The notes on that region.
    pub(crate) region_notes: std::ops::Range<usize>,
}

impl Recording {
    /// Bytes of the largest payload: the payload size of a frame ring's slots.
    pub fn payload_bytes_max(&self) -> usize {
        self.frames.iter().map(|frame| frame.payload.len()).max().unwrap_or(0)
    }
}

/// Builds a recording: numbers frames, counts geometry epochs, enforces the limits.
pub(crate) struct Recorder<'a> {
    source: Source<'a>,
    options: Options,
    expanded_bytes_max: u64,
    bytes: u64,
    frames: Vec<Recorded>,
    last: Option<Frame>,
    epoch: u32,
    notes: Vec<String>,
    regions: Vec<ScanRegion>,
    region: usize,
    region_notes: std::ops::Range<usize>,
}

impl<'a> Recorder<'a> {
    pub fn new(source: Source<'a>, options: &Options) -> Self {
        Self {
            source,
            options: *options,
            expanded_bytes_max: u64::MAX,
            bytes: 0,
            frames: Vec::new(),
            last: None,
            epoch: 0,
            notes: Vec::new(),
            regions: Vec::new(),
            region: 0,
            region_notes: 0..0,
        }
    }

    /// A recorder for a compressed file of this length: its frames may take [`expanded_bytes_max`].
    pub fn of_file(source: Source<'a>, options: &Options, file_bytes: u64) -> Self {
        Self { expanded_bytes_max: expanded_bytes_max(file_bytes), ..Self::new(source, options) }
    }

    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub fn notes(&mut self, notes: impl IntoIterator<Item = String>) {
        self.notes.extend(notes);
    }

    /// Sets the regions of the pictures, with notes on the one in use; returns that one.
    pub fn set_regions(&mut self, regions: Vec<ScanRegion>) -> Option<&ScanRegion> {
        self.region = largest(&regions)?;
        self.regions = regions;
        self.regions.get(self.region)
    }

    /// Adds the notes on the region in use.
    pub fn region_notes(&mut self, notes: &[String]) {
        let start = self.notes.len();
        self.notes.extend_from_slice(notes);
        self.region_notes = start..self.notes.len();
    }

    /// Frames pushed so far.
    pub fn len(&self) -> u64 {
        self.frames.len() as u64
    }

    /// Checks that one more frame is within the limits; call it before its payload is allocated.
    pub fn make_room(&self, place: Place, payload_bytes: u64) -> Result<(), ReplayError> {
        if self.len() >= FRAMES_MAX {
            let fix = "cut the recording into shorter ones";
            return Err(self.source.too_large(place, "frames", self.len() + 1, FRAMES_MAX, fix));
        }
        let bytes = self.bytes.saturating_add(payload_bytes);
        if bytes > self.options.bytes_max {
            let fix = "cut the recording into shorter ones";
            return Err(self.source.too_large(place, "bytes in memory", bytes, self.options.bytes_max, fix));
        }
        if bytes > self.expanded_bytes_max {
            let what = "bytes in memory, from such a small file";
            let fix = "it may be made to exhaust the memory; save it with less compression if it is not";
            return Err(self.source.too_large(place, what, bytes, self.expanded_bytes_max, fix));
        }
        Ok(())
    }

    /// Adds a frame, and fills in its sequence number, replay flag, clock, payload size and geometry epoch.
    pub fn push(
        &mut self,
        descriptor: FrameDescriptor,
        payload: Vec<u8>,
        place: Place,
    ) -> Result<(), ReplayError> {
        self.push_of(self.source, descriptor, payload, place)
    }

    /// Like [`Self::push`], for a frame from another file than the recorder's. Errors name that file.
    pub fn push_of(
        &mut self,
        source: Source<'_>,
        mut descriptor: FrameDescriptor,
        payload: Vec<u8>,
        place: Place,
    ) -> Result<(), ReplayError> {
        self.make_room(place.clone(), payload.len() as u64)?;
        descriptor.seq = self.len() + 1;
        descriptor.flags |= flags::REPLAYED;
        descriptor.clock_id = CLOCK_OF_RECORDING;
        // A payload beyond u32 is larger than any frame may be: the check below refuses it.
        descriptor.payload_bytes = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let check = descriptor.check().and_then(|frame| descriptor.check_payload(&payload).map(|()| frame));
        let frame = check.map_err(|error| source.frame(place, error))?;
        let layout = |frame: &Frame| (frame.geometry, frame.lines, frame.samples, frame.domain);
        if self.last.as_ref().is_none_or(|last| layout(last) != layout(&frame)) {
            self.epoch += 1;
        }
        descriptor.geometry_epoch = self.epoch;
        self.last = Some(frame);
        self.bytes += payload.len() as u64;
        self.frames.push(Recorded { descriptor, payload });
        Ok(())
    }

    /// Sets the frame rate of all frames so far.
    pub fn set_frame_rate(&mut self, frame_rate_hz: f32) {
        for frame in &mut self.frames {
            frame.descriptor.frame_rate_hz = frame_rate_hz;
        }
    }

    /// Replaces the recording's own times, if the user gave a rate.
    fn override_times(&mut self) {
        if let (Some(rate_hz), 2..) = (self.options.frame_rate_hz, self.frames.len()) {
            for (index, frame) in (0u64..).zip(&mut self.frames) {
                frame.descriptor.t_acq_ns = self.options.assumed_time_ns(index);
                frame.descriptor.frame_rate_hz = rate_hz;
            }
        }
    }

    /// The finished recording.
    ///
    /// # Errors
    /// A recording without a frame.
    pub fn finish(mut self) -> Result<Recording, ReplayError> {
        self.override_times();
        let first = self.frames.first().and_then(|frame| frame.descriptor.check().ok());
        let Some(first) = first else {
            return Err(self.source.malformed(Place::Whole, "contains no frame"));
        };
        let display = match first.domain {
            Domain::ScanConverted => DisplayHint::Source,
            Domain::PolarEnvelope | Domain::PolarIq | Domain::PolarRf => {
                let view = first.geometry.field_of_view();
                let pixels_per_mm = RASTER_SIDE / view.width().max(view.height());
                let pixels = |mm: f32| (mm * pixels_per_mm).round().clamp(16.0, RASTER_SIDE) as u32;
                DisplayHint::Raster { width: pixels(view.width()), height: pixels(view.height()) }
            }
        };
        Ok(Recording {
            frames: self.frames,
            display,
            notes: self.notes,
            regions: self.regions,
            region: self.region,
            region_notes: self.region_notes,
        })
    }
}

/// Checks that a picture is not larger than a frame may be; call it before its pixels are allocated.
pub(crate) fn check_picture_size(
    source: Source<'_>,
    place: Place,
    width: u64,
    height: u64,
) -> Result<(u32, u32), ReplayError> {
    let fix = "scale the picture down";
    if width > u64::from(SAMPLES_MAX) {
        return Err(source.too_large(place, "pixels in width", width, SAMPLES_MAX.into(), fix));
    }
    if height > u64::from(LINES_MAX) {
        return Err(source.too_large(place, "pixels in height", height, LINES_MAX.into(), fix));
    }
    Ok((width as u32, height as u32))
}

/// The descriptor of a picture: of unknown scale, unless [`Options::spacing_mm`] is given.
pub(crate) fn picture_descriptor(width: u32, height: u32, options: &Options) -> FrameDescriptor {
    let kind = if options.spacing_mm.is_some() { GeometryKind::Raster } else { GeometryKind::RasterUnknown };
    let spacing_mm = options.spacing_mm.unwrap_or(0.0);
    FrameDescriptor {
        domain: Domain::ScanConverted as u32,
        sample_type: SampleType::U8 as u32,
        lines: height,
        samples: width,
        stride_bytes: width,
        geometry: kind as u32,
        spacing_x_mm: spacing_mm,
        spacing_y_mm: spacing_mm,
        // Grey levels of a picture are display levels, so they are log-compressed already.
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: options.range_db,
        ..FrameDescriptor::blank()
    }
}

/// Adds the note on a missing scale, for a format that cannot store one.
pub(crate) fn note_on_scale(recorder: &mut Recorder<'_>, options: &Options, format: &str) {
    if options.spacing_mm.is_none() {
        recorder.note(format!(
            "no calibration, measurements are in pixels only: {format} does not store the pixel size; give --spacing MM if you know it"
        ));
    }
}
