//! The C client, compiled by the system's compiler against the committed header, gets the same overlays as Rust, to the
//! byte.
#![allow(clippy::unwrap_used)]

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
use std::path::{Path, PathBuf};
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

/// Compiles the client into `folder`. The library is in the folder of this test's executable.
fn client(folder: &Path) -> PathBuf {
    let bridge = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = std::env::current_exe().unwrap().with_file_name("libsonotrace_ffi.a");
    assert!(library.exists(), "{} was not built", library.display());
    let program = folder.join("replay");
    let built = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=c11", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I"])
        .arg(bridge.join("include"))
        .arg(bridge.join("clients/replay.c"))
        .arg(&library)
        .args(["-lpthread", "-ldl", "-lm", "-o"])
        .arg(&program)
        .output()
        .expect("a C compiler is installed");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    program
}

#[test]
fn overlays_in_c_and_rust_are_byte_identical() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (small, other) = (root.join("runtime/tests/data/disc.sono"), root.join("models/sonosamlite.sono"));
    let folder = std::env::temp_dir().join(format!("sonotrace-client-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let frames = frames();
    let recorded: Vec<u8> = frames
        .iter()
        .flat_map(|frame| [bytemuck::bytes_of(&frame.descriptor), &frame.payload[..]].concat())
        .collect();
    let (frames_path, prompts_path) = (folder.join("frames"), folder.join("prompts"));
    std::fs::write(&frames_path, recorded).unwrap();
    std::fs::write(&prompts_path, prompts().iter().map(line).collect::<String>()).unwrap();
    let (overlays_path, other_path) = (folder.join("overlays"), folder.join("other_overlays"));
    let run = Command::new(client(&folder))
        .args([&small, &other, &frames_path, &prompts_path, &overlays_path, &other_path])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    println!("{}", String::from_utf8_lossy(&run.stdout));
    let (overlays, other_overlays) =
        (std::fs::read(&overlays_path).unwrap(), std::fs::read(&other_path).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();

    assert_eq!(overlays.len(), frames.len() * size_of::<Overlay>());
    assert!(overlays == in_rust(&small, &frames), "the overlays differ");
    assert!(other_overlays == in_rust(&other, &frames[..3]), "the other model's overlays differ");
    // The overlays are not empty.
    let shown = overlays.chunks_exact(size_of::<Overlay>());
    let objects: usize =
        shown.map(|bytes| bytemuck::pod_read_unaligned::<Overlay>(bytes).objects().len()).sum();
    assert!(objects > 20, "{objects} objects");
}
