//! Shared by the runtime's tests: the small model, aligned memory, frames, and a scan.
// Each test file uses a part of this; a panic here fails the test.
#![allow(dead_code, clippy::unwrap_used)]

#[path = "random_cases.rs"]
mod random_cases;

use bytemuck::{Pod, cast_slice_mut};
use core::cell::Cell;
#[allow(unused_imports)]
pub use random_cases::random_cases;
pub use sonotrace::format::AlignedBytes;
use sonotrace::format::write::assemble;
#[allow(unused_imports)]
pub use sonotrace::format::write::{refresh_hashes, section_record};
use sonotrace::format::{FileHeader, Model, SectionKind};
use sonotrace::hal::clock::Clock;
use sonotrace::hal::command::{CommandError, PointSpace, Prompt, PromptKind};
use sonotrace::hal::event::EventKind;
use sonotrace::hal::frame::{FrameDescriptor, LAW_LOGARITHMIC};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::{Overlay, OverlayObject, State};
use sonotrace::hal::ring::{
    CommandProducer, EventConsumer, FrameProducer, OverlayConsumer, RingSizes, Rings,
};
use sonotrace::session::{Policy, Poll, Ports, Session, SessionConfig, SessionError, memory_required};
use sonotrace::vision::{Display, DisplayRaster};
use std::sync::OnceLock;

#[repr(C, align(4096))]
struct OnAPage<T: ?Sized>(T);

static DISC_FILE: &OnAPage<[u8]> = &OnAPage(*include_bytes!("../data/disc.sono"));

/// Returns the small model: a disc around the mean of the prompt's points, with a radius of 7 pixels (6.5 for a click)
/// of its 32 x 32 input. The compiler's test `disc` builds and describes it.
pub fn disc() -> &'static [u8] {
    &DISC_FILE.0
}

/// Returns the small model, parsed once.
pub fn disc_model() -> Model<'static> {
    static MODEL: OnceLock<Model<'static>> = OnceLock::new();
    *MODEL.get_or_init(|| Model::parse(disc()).unwrap())
}

/// Pseudo-random numbers: SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// Returns floats from -1 to 1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.word() >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }
}

/// Returns a file with other content in some of its sections.
pub fn with_sections<'f>(file: &'f [u8], content: impl Fn(SectionKind) -> Option<&'f [u8]>) -> AlignedBytes {
    with_header(file, *bytemuck::from_bytes(&file[..size_of::<FileHeader>()]), content)
}

/// The same with another header.
pub fn with_header<'f>(
    file: &'f [u8],
    header: FileHeader,
    content: impl Fn(SectionKind) -> Option<&'f [u8]>,
) -> AlignedBytes {
    let section = |kind: &SectionKind| {
        let record = section_record(file, *kind);
        content(*kind).unwrap_or(&file[record.offset as usize..][..record.bytes as usize])
    };
    let sections: Vec<&[u8]> = SectionKind::ALL.iter().map(section).collect();
    AlignedBytes::new(&assemble(header, sections.try_into().unwrap()))
}

/// Returns the bytes of a section, as records.
pub fn section_mut<T: Pod>(file: &mut [u8], kind: SectionKind) -> &mut [T] {
    let record = section_record(file, kind);
    cast_slice_mut(&mut file[record.offset as usize..][..record.bytes as usize])
}

/// A clock that advances by a step at each reading. A session reads it before each piece of work: the step is what a piece costs.
pub struct Ticking {
    now_ns: Cell<u64>,
    step_ns: Cell<u64>,
}

impl Ticking {
    pub fn new(step_ns: u64) -> Self {
        Self { now_ns: Cell::new(0), step_ns: Cell::new(step_ns) }
    }

    pub fn set_step(&self, step_ns: u64) {
        self.step_ns.set(step_ns);
    }

    /// Advances to a time, if that is not past.
    pub fn advance_to(&self, now_ns: u64) {
        self.now_ns.set(self.now_ns.get().max(now_ns));
    }
}

impl Clock for Ticking {
    fn now_ns(&self) -> u64 {
        self.now_ns.set(self.now_ns.get() + self.step_ns.get());
        self.now_ns.get()
    }
}

/// Lines of the tests' frames.
pub const LINES: u32 = 16;
/// Samples of a line.
pub const SAMPLES: u32 = 64;
/// Side of their square field of view: 1.25 mm per pixel of the input grid.
pub const FIELD_MM: f32 = 40.0;
/// Bytes of a frame's samples.
pub const PAYLOAD_BYTES: usize = (LINES * SAMPLES) as usize;

/// Returns a small frame of a linear probe, 40 mm x 40 mm, acquired every 20 ms.
pub fn frame(seq: u64) -> FrameDescriptor {
    FrameDescriptor {
        seq,
        t_acq_ns: seq * 20_000_000,
        domain: 1,
        sample_type: 1,
        geometry: 1,
        lines: LINES,
        samples: SAMPLES,
        stride_bytes: SAMPLES,
        payload_bytes: PAYLOAD_BYTES as u32,
        left_mm: -FIELD_MM / 2.0,
        right_mm: FIELD_MM / 2.0,
        first_depth_mm: 0.0,
        last_depth_mm: FIELD_MM,
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        speed_of_sound_m_s: 1540.0,
        ..FrameDescriptor::blank()
    }
}

/// Returns a picture of 48 x 48 pixels, with a known scale (about 40 mm across) or without.
pub fn picture(seq: u64, has_scale: bool) -> FrameDescriptor {
    FrameDescriptor {
        domain: 4,
        geometry: if has_scale { 4 } else { 5 },
        lines: 48,
        samples: 48,
        stride_bytes: 48,
        payload_bytes: 48 * 48,
        spacing_x_mm: 0.8,
        spacing_y_mm: 0.8,
        ..frame(seq)
    }
}

/// Returns samples for a frame: noise that depends on `seq` only.
pub fn samples(descriptor: &FrameDescriptor) -> Vec<u8> {
    let mut random = Random(descriptor.seq);
    (0..descriptor.payload_bytes).map(|_| random.word() as u8).collect()
}

/// Returns settings that process every frame in order, with a display of 96 x 72 pixels.
pub fn every_frame() -> SessionConfig<'static> {
    SessionConfig {
        policy: Policy::All,
        table_rows_per_frame: u32::MAX,
        display: Display::Raster { width: 96, height: 72 },
        ..SessionConfig::default()
    }
}

/// Returns a click inside an object, in millimetres.
pub fn click(object: u32, x: f32, y: f32) -> Prompt {
    let kind = PromptKind::Click { at: Point { x, y }, is_positive: true };
    Prompt { object, seq: 0, space: PointSpace::Plane, kind }
}

/// Returns a box around an object, in millimetres.
pub fn boxed(object: u32, [x0, y0, x1, y1]: [f32; 4]) -> Prompt {
    let kind = PromptKind::Box { from: Point { x: x0, y: y0 }, to: Point { x: x1, y: y1 } };
    Prompt { object, seq: 0, space: PointSpace::Plane, kind }
}

/// Returns the removal of an object.
pub fn remove(object: u32) -> Prompt {
    Prompt { object, seq: 0, space: PointSpace::Plane, kind: PromptKind::Remove }
}

/// Maximum bytes of samples in a slot.
pub const SLOT_PAYLOAD_BYTES: usize = 8192;
/// Capacities of the tests' rings.
pub const QUEUED: RingSizes =
    RingSizes { frames: 4, payload_bytes: SLOT_PAYLOAD_BYTES, overlays: 4, commands: 16, events: 64 };

/// The memory of a scan: its rings and the session's region.
pub struct Memory {
    rings: [AlignedBytes; 4],
    region: AlignedBytes,
}

impl Memory {
    pub fn of(config: &SessionConfig<'_>) -> Self {
        Self {
            rings: QUEUED.region_bytes().unwrap().map(AlignedBytes::zeroed),
            region: AlignedBytes::zeroed(memory_required(disc(), config).unwrap().bytes),
        }
    }

    /// Opens a scan over the small model.
    pub fn open<'m, C: Clock>(&'m mut self, config: SessionConfig<'m>, clock: C) -> Scan<'m, C> {
        self.try_open(disc_model(), config, clock).unwrap()
    }

    /// Opens a scan over any model that needs no more memory.
    pub fn try_open<'m, C: Clock>(
        &'m mut self,
        model: Model<'m>,
        config: SessionConfig<'m>,
        clock: C,
    ) -> Result<Scan<'m, C>, SessionError> {
        let rings = self.rings.each_mut().map(AlignedBytes::bytes_mut);
        Scan::open(model, rings, &QUEUED, self.region.bytes_mut(), config, clock)
    }
}

/// A session with both ends of its rings.
pub struct Scan<'m, C: Clock> {
    pub session: Session<'m, C>,
    pub rings: Rings<'m>,
    pub frames: FrameProducer<'m>,
    pub overlays: OverlayConsumer<'m>,
    pub commands: CommandProducer<'m>,
    pub events: EventConsumer<'m>,
}

impl<'m, C: Clock> Scan<'m, C> {
    /// Lays out the rings and opens a session, all in the memory given.
    pub fn open(
        model: Model<'m>,
        rings: [&'m mut [u8]; 4],
        sizes: &RingSizes,
        region: &'m mut [u8],
        config: SessionConfig<'m>,
        clock: C,
    ) -> Result<Self, SessionError> {
        let rings = Rings::create(rings, sizes).unwrap();
        Ok(Self {
            session: Session::open(model, config, region, Ports::of(&rings).unwrap(), clock)?,
            frames: rings.frames.producer().unwrap(),
            overlays: rings.overlays.consumer().unwrap(),
            commands: rings.commands.producer().unwrap(),
            events: rings.events.consumer().unwrap(),
            rings,
        })
    }

    /// Pushes a frame with generated samples, as many as its descriptor announces.
    pub fn push(&mut self, descriptor: &FrameDescriptor) {
        let _ = self.frames.push(descriptor, &samples(descriptor)).unwrap();
    }

    /// Queues a prompt.
    pub fn prompt(&mut self, prompt: Prompt) -> Result<u32, CommandError> {
        self.commands.prompt(prompt)
    }

    /// Returns the kinds of the events since the last call.
    pub fn event_kinds(&mut self) -> Vec<EventKind> {
        let events = std::iter::from_fn(|| self.events.take());
        events.map(|event| EventKind::from_wire(event.kind).unwrap()).collect()
    }

    /// Polls until a frame has its outcome or there is no frame.
    pub fn outcome(&mut self) -> Poll {
        loop {
            match self.session.poll() {
                Poll::Working => {}
                outcome => return outcome,
            }
        }
    }

    /// Pushes a frame, polls until its overlay, and returns a copy of it.
    pub fn overlay_of(&mut self, descriptor: &FrameDescriptor) -> Overlay {
        self.push(descriptor);
        assert_eq!(self.outcome(), Poll::Overlay(descriptor.seq));
        *self.overlays.take().unwrap()
    }

    /// Finishes the session and checks that each committed frame had exactly one outcome.
    pub fn finish_and_account(self) -> sonotrace::session::Counters {
        let counters = self.session.finish();
        assert_eq!(counters.outcomes(), u64::from(self.rings.frames.counters().committed), "{counters:?}");
        counters
    }
}

/// Returns the only object on an overlay.
#[track_caller]
pub fn only(overlay: &Overlay) -> &OverlayObject {
    let [object] = overlay.objects() else { panic!("{} objects", overlay.objects().len()) };
    object
}

/// Returns an object's state.
pub fn state(object: &OverlayObject) -> State {
    State::from_wire(object.state).unwrap()
}

/// Returns the distance between two points.
pub fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

/// Maps a point of the plane to the tests' display of a frame.
pub fn on_display(descriptor: &FrameDescriptor, at: [f32; 2]) -> [f32; 2] {
    let geometry = descriptor.check().unwrap().geometry;
    let raster = DisplayRaster::new(&geometry, every_frame().display).unwrap();
    raster.to_display(Point { x: at[0], y: at[1] })
}
