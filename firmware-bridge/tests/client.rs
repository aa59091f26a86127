//! The C client, compiled by the system's compiler against the committed header, gets the same overlays as Rust, to the
//! byte.
#![allow(clippy::unwrap_used)]

mod c_compiler;

use c_compiler::{Folder, SHARED, STATIC, bridge, compiled, sanitized, texts};
use sonotrace::exec::MemoryRequired;
use sonotrace::file::ModelFile;
use sonotrace::format::Model;
use sonotrace::hal::clock::ManualClock;
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::overlay::Overlay;
use sonotrace::hal::ring::{CommandRing, EventRing, FrameRing, OverlayRing};
use sonotrace::region::Region;
use sonotrace::session::{Policy, Poll, Ports, Session, SessionConfig, memory_required};
use sonotrace_sim::{SimConfig, SimFrame, Simulator};
use std::path::Path;
use std::process::Command;

/// A prompt, and the frame (counted from 1) before which it is sent.
type Timed = (u64, Prompt);

fn prompts() -> Vec<Timed> {
    let at = |x, y| Point { x, y };
    let prompt = |object, space, kind| Prompt { object, seq: 0, space, kind };
    let click = |x, y, is_positive| PromptKind::Click { at: at(x, y), is_positive };
    vec![
        (1, prompt(1, PointSpace::Plane, click(5.0, 60.0, true))),
        (2, prompt(2, PointSpace::Display, PromptKind::Box { from: at(320.0, 260.0), to: at(400.0, 360.0) })),
        (5, prompt(1, PointSpace::Plane, click(8.0, 70.0, true))),
        (5, prompt(1, PointSpace::Plane, click(30.0, 60.0, false))),
        (9, prompt(3, PointSpace::LineSample, click(80.0, 20.0, true))),
        (12, prompt(2, PointSpace::Plane, PromptKind::Remove)),
    ]
}

/// A prompt as a line of the client's input.
fn line((before, prompt): &Timed) -> String {
    let (kind, is_positive, from, to) = match prompt.kind {
        PromptKind::Click { at, is_positive } => (1, u32::from(is_positive), at, Point::default()),
        PromptKind::Box { from, to } => (2, 0, from, to),
        PromptKind::Remove => (3, 0, Point::default(), Point::default()),
    };
    let (object, space) = (prompt.object, prompt.space as u32);
    format!("{before} {kind} {object} {space} {is_positive} {} {} {} {}\n", from.x, from.y, to.x, to.y)
}

fn frames() -> Vec<SimFrame> {
    let simulator = Simulator::new(SimConfig { lines: 48, samples: 160, ..SimConfig::default() }).unwrap();
    (0..16).map(|index| simulator.frame(index)).collect()
}

/// The session's overlays in Rust, with the client's settings.
fn in_rust(model: &Path, frames: &[SimFrame]) -> Vec<u8> {
    let file = ModelFile::open(model).unwrap();
    let config =
        SessionConfig { policy: Policy::All, table_rows_per_frame: u32::MAX, ..SessionConfig::default() };
    let MemoryRequired { bytes, .. } = memory_required(file.bytes(), &config).unwrap();
    let region = |bytes| Region::new(bytes).unwrap();
    let mut memory = region(bytes);
    let mut rings = [
        FrameRing::region_bytes(4, 1 << 16).unwrap(),
        OverlayRing::region_bytes(4).unwrap(),
        CommandRing::region_bytes(16).unwrap(),
        EventRing::region_bytes(256).unwrap(),
    ]
    .map(region);
    let [frame_memory, overlay_memory, command_memory, event_memory] =
        rings.each_mut().map(Region::as_mut_slice);
    let frame_ring = FrameRing::create(frame_memory, 4, 1 << 16).unwrap();
    let overlay_ring = OverlayRing::create(overlay_memory, 4).unwrap();
    let command_ring = CommandRing::create(command_memory, 16).unwrap();
    let event_ring = EventRing::create(event_memory, 256).unwrap();
    let ports = Ports {
        frames: frame_ring.consumer().unwrap(),
        commands: command_ring.consumer().unwrap(),
        overlays: overlay_ring.producer().unwrap(),
        events: event_ring.producer().unwrap(),
    };
    let (mut producer, mut fetched) = (frame_ring.producer().unwrap(), overlay_ring.consumer().unwrap());
    let mut commands = command_ring.producer().unwrap();
    let clock = ManualClock::new(0);
    let model = Model::parse(file.bytes()).unwrap();
    let mut session = Session::open(model, config, memory.as_mut_slice(), ports, &clock).unwrap();
    let mut overlays = Vec::new();
    for (number, frame) in (1..).zip(frames) {
        clock.set_ns(frame.descriptor.t_acq_ns);
        for (_, prompt) in prompts().iter().filter(|(before, _)| *before == number) {
            commands.prompt(*prompt).unwrap();
        }
        let mut descriptor = frame.descriptor;
        descriptor.t_enqueue_ns = frame.descriptor.t_acq_ns;
        let _ = producer.push(&descriptor, &frame.payload).unwrap();
        while session.poll() == Poll::Working {}
        while let Some(overlay) = fetched.take() {
            overlays.extend_from_slice(bytemuck::bytes_of(overlay));
        }
    }
    overlays
}

/// Plainly, and with sanitizers and both libraries.
#[test]
fn overlays_in_c_and_rust_are_byte_identical() {
    let root = bridge().parent().unwrap();
    let (small, other) = (root.join("runtime/tests/data/disc.sono"), root.join("models/sonosamlite.sono"));
    let folder = Folder::new("client");
    let frames = frames();
    let recorded: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [bytemuck::bytes_of(&frame.descriptor), &frame.payload[..]].concat())
        .collect();
    let (frames_path, prompts_path) = (folder.0.join("frames"), folder.0.join("prompts"));
    std::fs::write(&frames_path, recorded).unwrap();
    std::fs::write(&prompts_path, prompts().iter().map(line).collect::<String>()).unwrap();
    let (overlays_path, other_path) = (folder.0.join("overlays"), folder.0.join("other_overlays"));
    let (in_rust, other_in_rust) = (in_rust(&small, &frames), in_rust(&other, &frames[..3]));
    for build in [STATIC, SHARED].iter().chain(sanitized()) {
        let client = compiled(*build, &bridge().join("clients/replay.c"), &bridge().join("include"), &folder);
        let run = Command::new(client)
            .args([&small, &other, &frames_path, &prompts_path, &overlays_path, &other_path])
            .output()
            .unwrap();
        let (printed, errors) = texts(&run);
        assert!(run.status.success(), "{build:?}: {printed}{errors}");
        println!("{printed}");
        assert!(std::fs::read(&overlays_path).unwrap() == in_rust, "{build:?}: the overlays differ");
        assert!(
            std::fs::read(&other_path).unwrap() == other_in_rust,
            "{build:?}: the other model's overlays differ"
        );
    }
    assert_eq!(in_rust.len(), frames.len() * size_of::<Overlay>());
    // The overlays are not empty.
    let shown = in_rust.chunks_exact(size_of::<Overlay>());
    let objects: usize =
        shown.map(|bytes| bytemuck::pod_read_unaligned::<Overlay>(bytes).objects().len()).sum();
    assert!(objects > 20, "{objects} objects");
}
