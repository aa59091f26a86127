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
const NAMES: [&str; 6] = ["sample", "encoder", "decoder", "contour", "frame", "fixed arithmetic"];
const FRAME: usize = 4;
const FIXED: usize = 5;
/// Runs before the times count. Meanwhile the length of the fixed arithmetic is found.
const WARM_UP: u64 = 5;
/// Elements of the fixed arithmetic: 16 KB, which stay in the first cache.
const ELEMENTS: usize = 4096;

/// Times, on one thread and in turn: sampling an envelope, the programs `encoder` and `decoder`, the contour of an annulus, a
/// frame of a session that does all of this for one object, and fixed arithmetic.
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
    let programs = [program("encoder")?, program("decoder")?];
    let [scene, ..] = Scene::all();
    let mut sampling = vision::Sampling::new(&scene)?;
    let mut contour = vision::Contouring::new(vision::annulus())?;

    let payload = scene.payload();
    let sizes = RingSizes { frames: 1, payload_bytes: payload.len(), overlays: 1, commands: 1, events: 64 };
    let mut regions = Region::each(sizes.region_bytes()?)?;
    let rings = Rings::create(regions.each_mut().map(Region::as_mut_slice), &sizes)?;
    let config = SessionConfig { policy: Policy::All, ..SessionConfig::default() };
    let mut memory = Region::new(memory_required(file, &config)?.bytes)?;
    let ports = Ports::of(&rings)?;
    let mut session = Session::open(model, config, memory.as_mut_slice(), ports, SystemClock::start())?;
    let mut producer = rings.frames.producer()?;
    let [from, to] = scene.box_corners().map(|[x, y]| Point { x, y });
    let kind = PromptKind::Box { from, to };
    rings.commands.producer()?.prompt(Prompt { object: 1, seq: 0, space: PointSpace::Plane, kind })?;
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
        times[3].time(|| vision = contour.run());
        vision?;
        let descriptor = scene.descriptor(run + 1, &payload);
        let mut last = Poll::Working;
        let mut pushed = Ok(());
        times[FRAME].time(|| {
            pushed = producer.push(&descriptor, &payload).map(|_| ());
            while last == Poll::Working {
                last = session.poll();
            }
        });
        pushed?;
        let Poll::Overlay(_) = last else {
            return Err(format!("frame {} has no overlay: {last:?}", run + 1).into());
        };
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

/// Returns the median of a frame over the sum of its parts' medians, and its p99.9 / p50 over that of the fixed arithmetic.
pub fn ratios(times: &[Times]) -> [f64; 2] {
    let p50 = |at: usize| times[at].quantile_ns(0.5) as f64;
    let tail = |at: usize| times[at].quantile_ns(0.999) as f64 / p50(at);
    [p50(FRAME) / (0..FRAME).map(p50).sum::<f64>(), tail(FRAME) / tail(FIXED)]
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
