//! Times calls of `poll`, by kind of frame. A call computes for its slice and at most one piece longer: a tile of an
//! operation, or a step of sampling or contouring. With a slice of 1 ns each call does one piece.

use crate::{Scene, Times};
use sonotrace::format::Model;
use sonotrace::hal::clock::{Clock, ManualClock, SystemClock};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::ring::{RingSizes, Rings};
use sonotrace::region::Region;
use sonotrace::session::{Policy, Poll, Ports, Session, SessionConfig, memory_required};
use std::error::Error;
use std::time::Instant;

/// Slices that are measured, with their names: the default, and one piece.
const SLICES_NS: [(&str, u64); 2] = [("2 ms", 2_000_000), ("one piece", 1)];

/// Times each call of `poll` while sessions of a model file process `frames` frames of each kind, with a box on the
/// first frame.
///
/// # Errors
/// If the file is refused, or the memory cannot be mapped.
pub fn polls(file: &[u8], scenes: &[Scene], frames: u64) -> Result<Vec<Times>, Box<dyn Error>> {
    let model = Model::parse(file)?;
    let mut times = Vec::new();
    for scene in scenes {
        for (slice, slice_ns) in SLICES_NS {
            let mut kind = Times::new(format!("{}, slice of {slice}", scene.name));
            scan(file, model, scene, slice_ns, frames, SystemClock::start(), &mut kind)?;
            times.push(kind);
        }
        let mut kind = Times::new(format!("{}, stopped clock", scene.name));
        scan(file, model, scene, SLICES_NS[0].1, frames, ManualClock::new(1), &mut kind)?;
        times.push(kind);
    }
    Ok(times)
}

fn scan(
    file: &[u8],
    model: Model<'_>,
    scene: &Scene,
    slice_ns: u64,
    frames: u64,
    clock: impl Clock,
    times: &mut Times,
) -> Result<(), Box<dyn Error>> {
    let payload = scene.payload();
    let sizes = RingSizes { frames: 1, payload_bytes: payload.len(), overlays: 1, commands: 1, events: 64 };
    let mut regions = Region::each(sizes.region_bytes()?)?;
    let rings = Rings::create(regions.each_mut().map(Region::as_mut_slice), &sizes)?;
    let config = SessionConfig { slice_ns, policy: Policy::All, ..SessionConfig::default() };
    let mut memory = Region::new(memory_required(file, &config)?.bytes)?;
    let mut session = Session::open(model, config, memory.as_mut_slice(), Ports::of(&rings)?, clock)?;
    let mut acquisition = rings.frames.producer()?;
    let [from, to] = scene.box_corners().map(|[x, y]| Point { x, y });
    let kind = PromptKind::Box { from, to };
    rings.commands.producer()?.prompt(Prompt { object: 1, seq: 0, space: PointSpace::Plane, kind })?;
    for seq in 1..=frames.max(1) {
        let _ = acquisition.push(&scene.descriptor(seq, &payload), &payload)?;
        loop {
            let start = Instant::now();
            let poll = session.poll();
            times.ns.saturating_record(start.elapsed().as_nanos() as u64);
            match poll {
                Poll::Working => {}
                Poll::Overlay(_) => break,
                other => return Err(format!("{}: frame {seq} has no overlay: {other:?}", scene.name).into()),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise;
    use sonotrace::file::ModelFile;
    use sonotrace::format::AlignedBytes;
    use std::path::Path;

    #[test]
    fn every_kind_of_frame_is_timed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
        let file = ModelFile::open(&path).expect("the file of the runtime's tests");
        let scenes = Scene::all();
        let times = polls(file.bytes(), &scenes[..3], 2).expect("no defect");
        assert_eq!(times.len(), 9);
        assert!(times.iter().all(|times| times.ns.len() >= 2));
    }

    /// An overlay comes for each frame of a model whose masks are noise, and its contours take many more steps.
    #[test]
    fn polls_of_noisy_masks_are_timed() {
        let file = AlignedBytes::new(&noise::model().expect("no defect"));
        let times = polls(file.bytes(), &[Scene::noisy_mask()], 2).expect("no defect");
        // One piece a call: at least the steps of two frames' contours.
        assert!(times[1].ns.len() > 100, "{} calls", times[1].ns.len());
    }
}
