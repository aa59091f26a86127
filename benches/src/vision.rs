//! What is done around the networks on each frame: tables, sampling, contours.

use crate::Times;
use sonotrace::hal::frame::{
    Domain, FrameDescriptor, FrameError, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType,
};
use sonotrace::vision::{
    Field, GreyTable, Link, LutEntry, Normalisation, Pick, Sampler, VisionError, measure, trace,
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

/// Times a table's making, in the rows that a session makes a frame and whole, sampling of each kind of frame, and a
/// contour with a hole, `runs` times each.
///
/// # Errors
/// None but a defect's.
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
        times.push(sampling(name, &descriptor, runs, &mut table, &mut out)?);
    }
    times.push(contour(runs)?);
    Ok(times)
}

fn sampling(
    name: &str,
    descriptor: &FrameDescriptor,
    runs: usize,
    table: &mut [LutEntry],
    out: &mut [f32],
) -> Result<Times, Box<dyn Error>> {
    let frame = descriptor.check().map_err(|error: FrameError| error.to_string())?;
    let payload: Vec<u8> =
        (0..frame.payload_bytes).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let sampler = Sampler::build(&frame, SIZE, table)?;
    let normalisation = Normalisation { mean: 0.25, std: 0.2 };
    let mut result = Ok(());
    let times = Times::of(format!("sample {name}"), runs, || {
        // The table of grey levels is made anew for each frame, as a session does.
        result = GreyTable::new(&frame, normalisation, &[])
            .and_then(|grey| sampler.sample(table, &frame, &payload, &grey, out));
    });
    result?;
    Ok(times)
}

fn contour(runs: usize) -> Result<Times, VisionError> {
    let side = SIZE as usize;
    let ring = |x: f32, y: f32| {
        let radius = (x - 128.0).hypot(y - 120.0);
        (radius - 40.0).min(80.0 - radius)
    };
    let field: Vec<f32> = (0..side * side).map(|at| ring((at % side) as f32, (at / side) as f32)).collect();
    let field = Field::new(&field, side, side, side)?;
    let mut labels = vec![0i32; side * side];
    let (mut points, mut links) = (vec![[0.0f32; 2]; 4096], vec![Link::default(); 4096]);
    let mut result = Ok(None);
    let times = Times::of("contour", runs, || {
        let found = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links);
        result = found.map(|contour| contour.and_then(|contour| measure(contour.split(&points))));
    });
    result.map(|_| times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_timed() {
        let times = vision(2).expect("no defect");
        let names: Vec<&str> = times.iter().map(|times| times.name.as_str()).collect();
        let sampled = ["sample envelope", "sample IQ", "sample picture"];
        assert_eq!(names, [&["table, 64 rows", "table, whole"][..], &sampled, &["contour"]].concat());
    }
}
