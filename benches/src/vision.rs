//! Work around the networks on each frame: tables, sampling, contours.

use crate::Times;
use sonotrace::hal::frame::{
    Domain, FrameDescriptor, FrameError, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType,
};
use sonotrace::vision::{
    Field, GreyTable, Link, LutEntry, Normalisation, Pick, STEP_WORK, SampleCursor, Sampler, StepBudget,
    Tracing, VisionError, measure, trace,
};
use std::error::Error;
use std::hint::black_box;

/// Side of the network's input.
const SIZE: u32 = 256;

/// A phased array's envelope of 128 lines.
fn envelope() -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: 128 * 512,
        seq: 1,
        domain: Domain::PolarEnvelope as u32,
        sample_type: SampleType::U8 as u32,
        lines: 128,
        samples: 512,
        stride_bytes: 512,
        geometry: GeometryKind::Phased as u32,
        first_angle_rad: -0.65,
        last_angle_rad: 0.65,
        first_depth_mm: 1.0,
        last_depth_mm: 150.0,
        speed_of_sound_m_s: 1540.0,
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        ..FrameDescriptor::blank()
    }
}

/// The same as IQ.
fn iq() -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: 4 * 128 * 512,
        domain: Domain::PolarIq as u32,
        sample_type: SampleType::I16Pair as u32,
        stride_bytes: 4 * 512,
        amplitude_law: LAW_LINEAR,
        ..envelope()
    }
}

/// A large picture.
fn picture() -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: 1024 * 768,
        domain: Domain::ScanConverted as u32,
        lines: 768,
        samples: 1024,
        stride_bytes: 1024,
        geometry: GeometryKind::RasterUnknown as u32,
        ..envelope()
    }
}

/// Times the making of a table, in the rows that a session makes per frame and whole; sampling of each kind of frame; and
/// contours, of an annulus and of noise. Of sampling and contours also the longest of the steps in which a session does
/// them. Each `runs` times.
///
/// # Errors
/// None, unless there is a defect.
pub fn vision(runs: usize) -> Result<Vec<Times>, Box<dyn Error>> {
    let mut table: Vec<LutEntry> = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
    let mut out = vec![0.0f32; Sampler::table_len(SIZE)];
    let frame = envelope().check()?;
    let sampler = Sampler::new(&frame, SIZE)?;
    let mut times = Vec::new();
    for (name, rows) in [("table, 64 rows", 96..160), ("table, whole", 0..SIZE)] {
        let mut result = Ok(());
        times.push(Times::of(name, runs, || result = sampler.fill(rows.clone(), black_box(&mut table))));
        result?;
    }
    for (name, descriptor) in [("envelope", envelope()), ("IQ", iq()), ("picture", picture())] {
        times.extend(sampling(name, &descriptor, runs, &mut table, &mut out)?);
    }
    let annulus = |at: usize| {
        let (x, y) = ((at % SIZE as usize) as f32, (at / SIZE as usize) as f32);
        let radius = (x - 128.0).hypot(y - 120.0);
        (radius - 40.0).min(80.0 - radius)
    };
    // Three of five pixels are inside, at random.
    let noise = |at: usize| {
        let hash = (at as u32 ^ 0x9e37_79b9).wrapping_mul(0x7feb_352d);
        let hash = (hash ^ hash >> 15).wrapping_mul(0x846c_a68b);
        if (hash ^ hash >> 16) % 5 < 3 { 1.0 } else { -0.9 }
    };
    times.extend(contour("contour", annulus, runs)?);
    times.extend(contour("contour of noise", noise, runs)?);
    Ok(times)
}

fn sampling(
    name: &str,
    descriptor: &FrameDescriptor,
    runs: usize,
    table: &mut [LutEntry],
    out: &mut [f32],
) -> Result<[Times; 2], Box<dyn Error>> {
    let frame = descriptor.check().map_err(|error: FrameError| error.to_string())?;
    let payload: Vec<u8> =
        (0..frame.payload_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sampler = Sampler::build(&frame, SIZE, table)?;
    let normalisation = Normalisation { mean: 0.25, std: 0.2 };
    let mut result = Ok(());
    let whole = Times::of(format!("sample {name}"), runs, || {
        // The table of grey levels is made for each frame, as in a session.
        result = GreyTable::new(&frame, normalisation, &[])
            .and_then(|grey| sampler.sample(table, &frame, &payload, &grey, out));
    });
    result?;
    let grey = GreyTable::new(&frame, normalisation, &[])?;
    let mut cursor = SampleCursor::default();
    let mut result = Ok(true);
    let step = Times::of_longest_step(format!("sample {name}, longest step"), runs, || {
        let mut budget = StepBudget::new(STEP_WORK);
        // Checked for each step, as in a session.
        let sampling = sampler.sampling(table, &frame, &payload, &grey);
        result = sampling.and_then(|sampling| sampling.step(&mut cursor, out, &mut budget));
        let is_last = result != Ok(false);
        if is_last {
            cursor = SampleCursor::default();
        }
        is_last
    });
    result?;
    Ok([whole, step])
}

fn contour(name: &str, logit: impl Fn(usize) -> f32, runs: usize) -> Result<[Times; 2], VisionError> {
    let side = SIZE as usize;
    let logits: Vec<f32> = (0..side * side).map(logit).collect();
    let field = Field::new(&logits, side, side, side)?;
    let mut labels = vec![0i32; side * side];
    let (mut points, mut links) = (vec![[0.0f32; 2]; 4096], vec![Link::default(); 4096]);
    let mut result = Ok(None);
    let whole = Times::of(name, runs, || {
        let found = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links);
        result = found.map(|contour| contour.and_then(|contour| measure(contour.split(&points))));
    });
    result?;
    let mut tracing = Tracing::new(&field, Pick::Largest, 12)?;
    let fresh = tracing;
    let mut result = Ok(true);
    let step = Times::of_longest_step(format!("{name}, longest step"), runs, || {
        let mut budget = StepBudget::new(STEP_WORK);
        result = tracing.step(&field, &mut labels, &mut points, &mut links, &mut budget);
        let is_last = result != Ok(false);
        if is_last {
            tracing = fresh;
        }
        is_last
    });
    result?;
    Ok([whole, step])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_timed() {
        let times = vision(2).expect("no defect");
        let names: Vec<&str> = times.iter().map(|times| times.name.as_str()).collect();
        let measured = ["sample envelope", "sample IQ", "sample picture", "contour", "contour of noise"];
        let steps: Vec<String> =
            measured.iter().flat_map(|name| [(*name).to_owned(), format!("{name}, longest step")]).collect();
        assert_eq!(names[..2], ["table, 64 rows", "table, whole"]);
        assert_eq!(names[2..], steps);
        assert!(times.iter().all(|times| times.ns.len() == 2));
    }
}
