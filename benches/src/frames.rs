//! Times a frame end to end against its parts, and against a loop of fixed arithmetic of the same length, which shows what the machine
//! itself adds to the slowest runs.

use crate::{Scene, Times, vision};
use sonotrace::exec::{Executor, ExecutorConfig, memory_required as executor_memory};
use sonotrace::format::Model;
use sonotrace::hal::clock::SystemClock;
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace::hal::ring::{RingSizes, Rings};
use sonotrace::region::{Region, prefault_stack};
use sonotrace::session::{Policy, Poll, Ports, Session, SessionConfig, memory_required};
use std::error::Error;
use std::hint::black_box;

/// Names of the times, in the order in which they are taken.
const NAMES: [&str; 9] = [
    "sample",
    "encoder",
    "tracker",
    "decoder",
    "memory",
    "contour",
    "frame",
    "frame with ten objects",
    "fixed arithmetic",
];
/// The programs, as the times after the first.
const PROGRAMS: [&str; 4] = ["encoder", "tracker", "decoder", "memory"];
const CONTOUR: usize = 5;
const FRAME: usize = 6;
const FRAME_OF_TEN: usize = 7;
const FIXED: usize = 8;
/// Side of the boxes of the ten objects, relative to the first one's.
const TENTH: f32 = 0.25;
/// Runs before the times count. Meanwhile the length of the fixed arithmetic is found.
const WARM_UP: u64 = 5;
/// Elements of the fixed arithmetic: 16 KB, which stay in the first cache.
const ELEMENTS: usize = 4096;

/// Times, on one thread and in turn: sampling an envelope, the programs, the contour of an annulus, a frame of a session that does all
/// of this for one object, a frame of a session with ten small objects (one of which is checked), and fixed arithmetic.
///
/// # Errors
/// If the file is refused or has other programs, or the memory cannot be mapped.
pub fn frames(file: &[u8], runs: u64) -> Result<Vec<Times>, Box<dyn Error>> {
    let model = Model::parse(file)?;
    let mut times: Vec<Times> = NAMES.into_iter().map(Times::new).collect();

    let config = ExecutorConfig::default();
    let mut region = Region::new(executor_memory(file, &config)?.bytes)?;
    let mut executor = Executor::new(model, config, region.as_mut_slice())?;
    let program = |name| executor.program(name).ok_or_else(|| format!("the file has no program {name}"));
    let mut programs = [0; PROGRAMS.len()];
    for (at, name) in programs.iter_mut().zip(PROGRAMS) {
        *at = program(name)?;
    }
    let [scene, ..] = Scene::all();
    let mut sampling = vision::Sampling::new(&scene)?;
    let mut contour = vision::Contouring::new(vision::annulus())?;

    let payload = scene.payload();
    let sizes = RingSizes { frames: 1, payload_bytes: payload.len(), overlays: 1, commands: 16, events: 64 };
    let config = SessionConfig { policy: Policy::All, ..SessionConfig::default() };
    let bytes = memory_required(file, &config)?.bytes;
    let mut ring_regions = [Region::each(sizes.region_bytes()?)?, Region::each(sizes.region_bytes()?)?];
    let mut regions = [Region::new(bytes)?, Region::new(bytes)?];
    let mut sessions = Vec::new();
    for ((rings, region), objects) in ring_regions.iter_mut().zip(&mut regions).zip([1, 10]) {
        let rings = Rings::create(rings.each_mut().map(Region::as_mut_slice), &sizes)?;
        let session =
            Session::open(model, config, region.as_mut_slice(), Ports::of(&rings)?, SystemClock::start())?;
        let mut commands = rings.commands.producer()?;
        for (object, kind) in (1..).zip(boxes(&scene, objects)) {
            commands.prompt(Prompt { object, seq: 0, space: PointSpace::Plane, kind })?;
        }
        sessions.push((session, rings.frames.producer()?));
    }
    prefault_stack();

    let mut values = [1.0f32; ELEMENTS];
    let mut rounds = 1;
    for run in 0..WARM_UP + runs.max(1) {
        if run == WARM_UP {
            times = NAMES.into_iter().map(Times::new).collect();
        }
        let mut vision = Ok(());
        times[0].time(|| vision = sampling.run());
        vision?;
        for (program, times) in programs.into_iter().zip(&mut times[1..]) {
            executor.begin_apart(program)?;
            times.time(|| executor.finish());
        }
        times[CONTOUR].time(|| vision = contour.run());
        vision?;
        let descriptor = scene.descriptor(run + 1, &payload);
        for ((session, producer), at) in sessions.iter_mut().zip([FRAME, FRAME_OF_TEN]) {
            let mut last = Poll::Working;
            let mut pushed = Ok(());
            times[at].time(|| {
                pushed = producer.push(&descriptor, &payload).map(|_| ());
                while last == Poll::Working {
                    last = session.poll();
                }
            });
            pushed?;
            let Poll::Overlay(_) = last else {
                return Err(format!("frame {} has no overlay: {last:?}", run + 1).into());
            };
        }
        times[FIXED].time(|| fixed_arithmetic(black_box(&mut values), rounds));
        if run < WARM_UP {
            // As long as this frame: the first ones are slower than the others.
            let [frame_ns, fixed_ns] = [FRAME, FIXED].map(|at| times[at].quantile_ns(0.5).max(1));
            rounds = (rounds * frame_ns / fixed_ns).max(1);
            [FRAME, FIXED].into_iter().for_each(|at| times[at] = Times::new(NAMES[at]));
        }
    }
    Ok(times)
}

/// Boxes: around the scene's object, or around so many small parts of it, in two rows.
fn boxes(scene: &Scene, objects: usize) -> Vec<PromptKind> {
    let [from, to] = scene.box_corners();
    let (width, height) = (to[0] - from[0], to[1] - from[1]);
    if objects == 1 {
        let [from, to] = [from, to].map(|[x, y]| Point { x, y });
        return vec![PromptKind::Box { from, to }];
    }
    let columns = objects.div_ceil(2);
    let corner = |at: usize| {
        let [column, row] = [at % columns, at / columns].map(|at| at as f32);
        [from[0] + width * column / columns as f32, from[1] + height * row / 2.0]
    };
    let part = |at: usize| {
        let [x, y] = corner(at);
        let to = Point { x: x + TENTH * width, y: y + TENTH * height };
        PromptKind::Box { from: Point { x, y }, to }
    };
    (0..objects).map(part).collect()
}

/// Returns the median of a frame over the sum of its parts' medians, its p99.9 / p50 over that of the fixed arithmetic, and the median
/// with ten objects over that with one.
pub fn ratios(times: &[Times]) -> [f64; 3] {
    let p50 = |at: usize| times[at].quantile_ns(0.5) as f64;
    let tail = |at: usize| times[at].quantile_ns(0.999) as f64 / p50(at);
    let parts: f64 = (0..FRAME).map(p50).sum();
    [p50(FRAME) / parts, tail(FRAME) / tail(FIXED), p50(FRAME_OF_TEN) / p50(FRAME)]
}

fn fixed_arithmetic(values: &mut [f32; ELEMENTS], rounds: u64) {
    for _ in 0..rounds {
        for value in &mut *values {
            *value = *value * 0.999 + 0.001;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace::file::ModelFile;
    use std::path::Path;

    #[test]
    fn a_frame_and_its_parts_are_timed() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
        let file = ModelFile::open(&path).expect("the file of the runtime's tests");
        let times = frames(file.bytes(), 2).expect("no defect");
        assert!(times.iter().all(|times| times.ns.len() == 2));
        assert_eq!(times.iter().map(|times| times.name.as_str()).collect::<Vec<_>>(), NAMES);
        assert!(ratios(&times).iter().all(|ratio| ratio.is_finite() && *ratio > 0.0));
    }
}
