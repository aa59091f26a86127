//! The sampler against its definition, against Pillow, and against malformed input.

use crate::random_cases::random_cases;
use proptest::prelude::*;
use sonotrace::hal::frame::{
    Frame, FrameDescriptor, LAW_LINEAR, LAW_LOGARITHMIC, LAW_VENDOR_TABLE, TgcPoint, flags,
};
use sonotrace::hal::geometry::Geometry;
use sonotrace::kernels::arch::Instructions;
use sonotrace::vision::{GreyTable, LutEntry, Normalisation, SampleCursor, Sampler, StepBudget, VisionError};

const PLAIN: Normalisation = Normalisation { mean: 0.0, std: 1.0 };

fn envelope(geometry: u32, lines: u32, samples: u32) -> FrameDescriptor {
    let mut d = FrameDescriptor::blank();
    d.domain = if geometry >= 4 { 4 } else { 1 };
    d.sample_type = 1;
    d.geometry = geometry;
    d.lines = lines;
    d.samples = samples;
    d.stride_bytes = samples;
    d.payload_bytes = lines * samples;
    d.amplitude_law = LAW_LOGARITHMIC;
    d.law_range_db = 60.0;
    d.speed_of_sound_m_s = 1540.0;
    d
}

/// Fills a table and samples one frame.
fn sampled(frame: &Frame, payload: &[u8], grey: &GreyTable, size: u32) -> Vec<f32> {
    let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(size)];
    let mut out = vec![f32::NAN; Sampler::table_len(size)];
    let sampler = Sampler::build(frame, size, &mut table).unwrap();
    sampler.sample(&table, frame, payload, grey, &mut out).unwrap();
    out
}

/// The expected pixel: `None` if it is too close to the edge of a polar field to decide on which side it is.
struct Expected {
    grey: Option<f64>,
}

/// Computes the definition, pixel by pixel in double precision: every sample of the frame gets its weight. `grey_of`
/// reads the sample at the start of the given bytes, at a depth.
fn reference(frame: &Frame, payload: &[u8], size: u32, grey_of: &dyn Fn(&[u8], f64) -> f64) -> Vec<Expected> {
    let view = frame.geometry.field_of_view();
    let (mut width, mut height) = (f64::from(view.x1 - view.x0), f64::from(view.y1 - view.y0));
    let (lines, samples) = (frame.lines as usize, frame.samples as usize);
    if let Geometry::Raster(g) = frame.geometry {
        width = f64::from(g.content.columns) * f64::from(g.pitch_x);
        height = f64::from(g.content.rows) * f64::from(g.pitch_y);
    }
    let side = f64::from(size);
    let longest = width.max(height);
    let fit = |extent: f64| (extent * side / longest).round_ties_even().clamp(1.0, side);
    let (columns, rows) = (fit(width), fit(height));
    let mut all = Vec::new();
    for y in 0..size {
        for x in 0..size {
            let (x, y) = (f64::from(x), f64::from(y));
            if x >= columns || y >= rows {
                all.push(Expected { grey: Some(0.0) });
                continue;
            }
            let px = f64::from(view.x0) + (x + 0.5) * width / columns;
            let py = f64::from(view.y0) + (y + 0.5) * height / rows;
            let (u, v, half_u, half_v, first_mm, step_mm) = match frame.geometry {
                Geometry::Linear(g) => {
                    let (du, dv) = (f64::from(g.depth_step_mm), f64::from(g.line_step_mm));
                    let first = f64::from(g.first_depth_mm);
                    let v = (px - f64::from(g.left_mm)) / dv;
                    ((py - first) / du, v, height / rows / du, width / columns / dv, first, du)
                }
                Geometry::Sector(g) => {
                    let (apex, first) = (f64::from(g.apex_radius_mm), f64::from(g.first_depth_mm));
                    let (dr, dtheta) = (f64::from(g.depth_step_mm), f64::from(g.angle_step_rad));
                    let r = px.hypot(py + apex);
                    let theta = px.atan2(py + apex);
                    let v = (theta - f64::from(g.first_angle_rad)) / dtheta;
                    let pitch = longest / side;
                    ((r - apex - first) / dr, v, pitch / dr, (pitch / (r * dtheta)).min(16.0), first, dr)
                }
                Geometry::Raster(g) => {
                    let (sx, sy) = (f64::from(g.content.columns) / columns, f64::from(g.content.rows) / rows);
                    ((x + 0.5) * sx - 0.5, (y + 0.5) * sy - 0.5, sx, sy, 0.0, 0.0)
                }
            };
            if !matches!(frame.geometry, Geometry::Raster(_)) {
                let margin = u.min(v).min((samples - 1) as f64 - u).min((lines - 1) as f64 - v);
                if margin.abs() < 0.01 {
                    all.push(Expected { grey: None });
                    continue;
                }
                if margin < 0.0 {
                    all.push(Expected { grey: Some(0.0) });
                    continue;
                }
            }
            let weight = |index: usize, centre: f64, half: f64| {
                (1.0 - (index as f64 - centre).abs() / half.max(1.0)).max(0.0)
            };
            let (mut sum, mut total) = (0.0, 0.0);
            for line in 0..lines {
                let across = weight(line, v, half_v);
                if across == 0.0 {
                    continue;
                }
                for sample in 0..samples {
                    let w = across * weight(sample, u, half_u);
                    let bytes = frame.sample_type.bytes() as usize;
                    let stored = &payload[line * frame.stride_bytes as usize + bytes * sample..];
                    sum += w * grey_of(stored, first_mm + step_mm * sample as f64);
                    total += w;
                }
            }
            all.push(Expected { grey: Some(sum / total) });
        }
    }
    all
}

fn compare(got: &[f32], expected: &[Expected]) -> Result<(), TestCaseError> {
    let mut judged = 0;
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        if let Some(grey) = expected.grey {
            prop_assert!((f64::from(*got) - grey).abs() < 5e-4, "pixel {index}: {got} against {grey}");
            judged += 1;
        }
    }
    prop_assert!(judged * 2 > got.len());
    Ok(())
}

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

fn geometries() -> impl Strategy<Value = FrameDescriptor> {
    let counts = (2u32..150, 2u32..250, 0u32..9);
    let linear = (counts.clone(), -40.0..0.0f32, 1.0..60.0f32, 0.0..10.0f32, 5.0..90.0f32).prop_map(
        |((lines, samples, pad), left, width, first, depth)| {
            let mut d = envelope(1, lines, samples);
            (d.left_mm, d.right_mm) = (left, left + width);
            (d.first_depth_mm, d.last_depth_mm) = (first, first + depth);
            d.stride_bytes += pad;
            d
        },
    );
    let sector = (counts.clone(), 0.0..70.0f32, -1.2..0.3f32, 0.2..1.2f32, 0.0..10.0f32, 20.0..200.0f32)
        .prop_map(|((lines, samples, pad), apex, angle, span, first, depth)| {
            let mut d = envelope(if apex < 0.2 { 3 } else { 2 }, lines, samples);
            d.apex_radius_mm = apex;
            (d.first_angle_rad, d.last_angle_rad) = (angle, angle + span);
            (d.first_depth_mm, d.last_depth_mm) = (first, first + depth);
            d.stride_bytes += pad;
            d
        });
    let raster = (counts, -40.0..40.0f32, 0.02..0.9f32, 0.5..2.0f32).prop_map(
        |((rows, columns, pad), left, pitch, ratio)| {
            let mut d = envelope(4, rows, columns);
            (d.left_mm, d.top_mm) = (left, -left);
            (d.spacing_x_mm, d.spacing_y_mm) = (pitch, pitch * ratio);
            d.stride_bytes += pad;
            d
        },
    );
    prop_oneof![linear, sector, raster].prop_map(|mut d| {
        d.payload_bytes = (d.lines - 1) * d.stride_bytes + d.samples;
        d
    })
}

proptest! {
    #![proptest_config(random_cases(150))]

    /// Noise, sampled through the table, matches the definition.
    #[test]
    fn sampling_matches_the_definition(d in geometries(), size in 3u32..40, seed: u64) {
        let frame = d.check().unwrap();
        let payload = noise(seed, frame.payload_bytes as usize);
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let got = sampled(&frame, &payload, &grey, size);
        compare(&got, &reference(&frame, &payload, size, &|v, _| f64::from(v[0]) / 255.0))?;
    }

    /// A linear law is compressed before interpolation, with gain and curve if they are pending.
    #[test]
    fn linear_law_and_pending_gain(
        d in geometries(),
        linear: bool,
        pending: bool,
        range_db in 30.0..90.0f32,
        gain_db in -20.0..20.0f32,
        curve in prop::collection::vec((0.0..120.0f32, -30.0..30.0f32), 0..8),
        seed: u64,
    ) {
        let mut d = d;
        d.amplitude_law = if linear { LAW_LINEAR } else { LAW_LOGARITHMIC };
        d.law_range_db = range_db;
        d.gain_db = gain_db;
        d.flags = if pending { flags::TGC_PENDING } else { 0 };
        let mut curve = if d.domain == 4 { Vec::new() } else { curve };
        curve.sort_by(|a, b| a.0.total_cmp(&b.0));
        d.tgc_points = curve.len() as u32;
        for (point, &(depth_mm, gain_db)) in d.tgc.iter_mut().zip(&curve) {
            *point = TgcPoint { depth_mm, gain_db };
        }
        let frame = d.check().unwrap();
        let payload = noise(seed, frame.payload_bytes as usize);
        let gain = |depth: f64| {
            let points: Vec<_> = curve.iter().map(|&(at, gain)| (f64::from(at), f64::from(gain))).collect();
            match points.iter().position(|point| point.0 > depth) {
                None => points.last().map_or(0.0, |point| point.1),
                Some(0) => points[0].1,
                Some(i) => {
                    let ((a, ga), (b, gb)) = (points[i - 1], points[i]);
                    ga + (gb - ga) * (depth - a) / (b - a)
                }
            }
        };
        let grey_of = |stored: &[u8], depth: f64| {
            let v = f64::from(stored[0]) / 255.0;
            let range = f64::from(range_db);
            let own = if linear { 1.0 + 20.0 * v.log10() / range } else { v };
            let added = if pending { (f64::from(gain_db) + gain(depth)) / range } else { 0.0 };
            (own + added).clamp(0.0, 1.0)
        };
        let table = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let got = sampled(&frame, &payload, &table, 20);
        compare(&got, &reference(&frame, &payload, 20, &grey_of))?;
    }

    /// The envelope of IQ pairs is computed sample by sample and compressed before interpolation; full scale is 32767.
    #[test]
    fn iq_pairs_are_compressed_before_interpolation(
        d in geometries().prop_filter("polar", |d| d.domain == 1),
        pending: bool,
        range_db in 30.0..90.0f32,
        gain_db in -20.0..20.0f32,
        slope_db in -30.0..30.0f32,
        size in 3u32..40,
        seed: u64,
    ) {
        let mut d = d;
        (d.domain, d.sample_type, d.amplitude_law, d.law_range_db) = (2, 3, LAW_LINEAR, range_db);
        let pad = d.stride_bytes - d.samples;
        d.stride_bytes = 4 * d.samples + pad;
        d.payload_bytes = (d.lines - 1) * d.stride_bytes + 4 * d.samples;
        d.flags = if pending { flags::TGC_PENDING } else { 0 };
        (d.gain_db, d.tgc_points) = (gain_db, 2);
        d.tgc[1] = TgcPoint { depth_mm: 100.0, gain_db: slope_db };
        let frame = d.check().unwrap();
        // All magnitudes, zero among them.
        let mut payload = noise(seed, frame.payload_bytes as usize);
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte = if index % 7 < 3 { 0 } else { *byte };
        }
        let grey_of = |stored: &[u8], depth: f64| {
            let part = |at: usize| f64::from(i16::from_le_bytes([stored[at], stored[at + 1]]));
            let range = f64::from(range_db);
            let gain = f64::from(gain_db) + f64::from(slope_db) * (depth / 100.0).clamp(0.0, 1.0);
            let added = if pending { gain } else { 0.0 };
            let level_db = 20.0 * (part(0).hypot(part(2)) / 32_767.0).log10();
            (1.0 + (level_db + added) / range).clamp(0.0, 1.0)
        };
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let got = sampled(&frame, &payload, &grey, size);
        compare(&got, &reference(&frame, &payload, size, &grey_of))?;
    }

    /// Borders around a picture, of any brightness, change neither the input nor the position of a pixel.
    #[test]
    fn borders_do_not_change_the_input(
        d in geometries().prop_filter("picture", |d| d.domain == 4),
        border in [0u32..30, 0u32..30, 0u32..30, 0u32..30],
        size in 3u32..40,
        seed: u64,
    ) {
        let [left, top, right, bottom] = border;
        let mut bordered = d;
        (bordered.samples, bordered.lines) = (d.samples + left + right, d.lines + top + bottom);
        bordered.stride_bytes = bordered.samples + 3;
        bordered.payload_bytes = (bordered.lines - 1) * bordered.stride_bytes + bordered.samples;
        (bordered.content_column, bordered.content_row) = (left, top);
        (bordered.content_columns, bordered.content_rows) = (d.samples, d.lines);
        bordered.left_mm = d.left_mm - left as f32 * d.spacing_x_mm;
        bordered.top_mm = d.top_mm - top as f32 * d.spacing_y_mm;
        let (frame, bordered) = (d.check().unwrap(), bordered.check().unwrap());
        let payload = noise(seed, frame.payload_bytes as usize);
        let mut around = vec![255; bordered.payload_bytes as usize];
        for line in 0..frame.lines as usize {
            let from = &payload[line * frame.stride_bytes as usize..][..frame.samples as usize];
            let at = (line + top as usize) * bordered.stride_bytes as usize + left as usize;
            around[at..at + from.len()].copy_from_slice(from);
        }
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        prop_assert_eq!(sampled(&frame, &payload, &grey, size), sampled(&bordered, &around, &grey, size));
        let (view, with_border) = (frame.geometry.field_of_view(), bordered.geometry.field_of_view());
        for (a, b) in [(view.x0, with_border.x0), (view.y1, with_border.y1)] {
            prop_assert!((a - b).abs() < 1e-3, "{view:?} {with_border:?}");
        }
    }

    /// Sampling in steps of any sizes, and with any instruction set, gives the same bits as in one go, and no step exceeds its budget
    /// by a whole pixel.
    #[test]
    fn any_steps_give_the_same_samples(
        d in geometries(),
        iq: bool,
        pending: bool,
        size in 3u32..40,
        steps in prop::collection::vec(prop_oneof![0u32..9, 0u32..3000], 1..9),
        seed: u64,
    ) {
        let mut d = d;
        if iq && d.domain == 1 {
            (d.domain, d.sample_type, d.amplitude_law) = (2, 3, LAW_LINEAR);
            d.stride_bytes = 4 * d.samples + 3;
            d.payload_bytes = (d.lines - 1) * d.stride_bytes + 4 * d.samples;
        }
        if pending && d.domain != 4 {
            (d.flags, d.gain_db, d.tgc_points) = (flags::TGC_PENDING, 5.0, 2);
            d.tgc[1] = TgcPoint { depth_mm: 60.0, gain_db: 20.0 };
        }
        let frame = d.check().unwrap();
        let payload = noise(seed, frame.payload_bytes as usize);
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let whole = sampled(&frame, &payload, &grey, size);

        let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(size)];
        let sampler = Sampler::build(&frame, size, &mut table).unwrap();
        let mut out = vec![f32::NAN; whole.len()];
        let mut cursor = SampleCursor::default();
        for &step in steps.iter().cycle() {
            let mut budget = StepBudget::new(step);
            let sampling = sampler.sampling(&table, &frame, &payload, &grey).unwrap();
            let is_done = sampling.step(&mut cursor, &mut out, &mut budget).unwrap();
            let work_max = step.max(1) + sampler.pixel_samples_max() - 1;
            prop_assert!((1..=work_max).contains(&budget.work()), "{budget:?}");
            prop_assert!(is_done || budget.is_used_up());
            if is_done {
                break;
            }
        }
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&whole), bits(&out));
        for instructions in Instructions::available() {
            let sampler = sampler.with_instructions(instructions);
            sampler.sample(&table, &frame, &payload, &grey, &mut out).unwrap();
            prop_assert_eq!(bits(&whole), bits(&out), "{}", instructions.name());
        }
        // A finished cursor does nothing more.
        let mut budget = StepBudget::new(9);
        let sampling = sampler.sampling(&table, &frame, &payload, &grey).unwrap();
        prop_assert_eq!(sampling.step(&mut cursor, &mut out, &mut budget), Ok(true));
        prop_assert_eq!(budget.work(), 0);
    }

    /// With any content of the table, sampling gives levels within 0..1 and does not panic.
    #[test]
    fn any_table_is_safe(d in geometries(), words in prop::collection::vec(any::<[i32; 2]>(), 64)) {
        let frame = d.check().unwrap();
        let mut table: Vec<LutEntry> = vec![bytemuck::Zeroable::zeroed(); 64];
        let sampler = Sampler::build(&frame, 8, &mut table).unwrap();
        let payload = noise(3, frame.payload_bytes as usize);
        let mut out = [f32::NAN; 64];
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let table: &[LutEntry] = bytemuck::cast_slice(&words);
        sampler.sample(table, &frame, &payload, &grey, &mut out).unwrap();
        for value in out {
            prop_assert!((0.0..=1.0001).contains(&value), "{value}");
        }
    }
}

/// `Image.fromarray(picture).resize((columns, rows), Image.BILINEAR)` of Pillow 13.0, for the picture
/// `(7 x + 11 y + 90 ((x / 3 + y / 2) mod 2)) mod 256` with integer divisions.
struct PillowCase {
    shape: (u32, u32),
    size: u32,
    resized: (u32, u32),
    levels: &'static [u8],
}

const PILLOW: [PillowCase; 3] = [
    PillowCase {
        shape: (37, 23),
        size: 16,
        resized: (16, 10),
        levels: &[
            34, 85, 96, 90, 144, 126, 157, 186, 169, 206, 150, 126, 90, 178, 120, 85, 98, 92, 112, 140, 136,
            171, 177, 177, 145, 140, 111, 123, 166, 99, 77, 63, 101, 127, 142, 151, 179, 174, 176, 133, 123,
            115, 145, 149, 75, 71, 82, 95, 132, 149, 166, 180, 172, 170, 120, 116, 136, 148, 85, 64, 79, 85,
            104, 118, 170, 169, 180, 137, 146, 105, 128, 151, 124, 55, 66, 84, 88, 120, 124, 140, 165, 175,
            124, 133, 98, 153, 141, 96, 47, 84, 86, 101, 133, 125, 161, 173, 153, 132, 119, 108, 168, 116,
            70, 57, 96, 87, 119, 137, 134, 176, 172, 189, 147, 109, 133, 164, 92, 56, 75, 99, 95, 135, 135,
            150, 184, 163, 168, 140, 109, 156, 135, 70, 59, 92, 100, 110, 143, 140, 168, 185, 156, 141, 120,
            123, 178, 97, 61, 67, 101, 101, 124, 146, 147, 181, 183, 155, 124, 126, 115, 133,
        ],
    },
    PillowCase {
        shape: (7, 5),
        size: 12,
        resized: (12, 9),
        levels: &[
            0, 3, 7, 11, 26, 83, 113, 117, 121, 122, 73, 42, 4, 7, 11, 15, 30, 87, 117, 121, 125, 126, 77,
            46, 10, 13, 17, 21, 36, 93, 123, 127, 131, 132, 83, 52, 56, 59, 63, 67, 72, 82, 89, 93, 97, 101,
            99, 98, 112, 115, 119, 123, 116, 67, 45, 49, 53, 61, 118, 154, 118, 121, 125, 129, 122, 73, 51,
            55, 59, 67, 124, 160, 114, 117, 121, 125, 121, 83, 67, 71, 75, 82, 128, 156, 70, 73, 77, 81, 89,
            111, 123, 127, 131, 135, 121, 112, 44, 47, 51, 55, 70, 127, 157, 161, 165, 166, 117, 86,
        ],
    },
    // 2.5 columns: halves are rounded to even.
    PillowCase {
        shape: (5, 40),
        size: 20,
        resized: (2, 20),
        levels: &[
            31, 89, 100, 83, 81, 126, 144, 127, 125, 170, 188, 171, 162, 176, 148, 134, 153, 101, 90, 160,
            186, 121, 95, 56, 45, 90, 108, 91, 89, 134, 152, 135, 133, 178, 196, 169, 152, 113, 70, 130,
        ],
    },
];

#[test]
fn pictures_are_resized_as_by_pillow() {
    for case in &PILLOW {
        let (width, height) = case.shape;
        let payload: Vec<u8> = (0..height)
            .flat_map(|y| {
                (0..width).map(move |x| ((7 * x + 11 * y + 90 * ((x / 3 + y / 2) % 2)) % 256) as u8)
            })
            .collect();
        let frame = envelope(5, height, width).check().unwrap();
        let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
        let got = sampled(&frame, &payload, &grey, case.size);
        for y in 0..case.size {
            for x in 0..case.size {
                let level = got[(y * case.size + x) as usize] * 255.0;
                let (columns, rows) = case.resized;
                let expected =
                    if x < columns && y < rows { case.levels[(y * columns + x) as usize] } else { 0 };
                // Pillow rounds to a byte after each of its two passes.
                assert!(
                    (level - f32::from(expected)).abs() <= 1.001,
                    "({x}, {y}): {level} against {expected}"
                );
            }
        }
    }
}

#[test]
fn normalisation_and_vendor_tables() {
    let mut d = envelope(5, 4, 4);
    d.amplitude_law = LAW_VENDOR_TABLE;
    d.law_table = 1;
    let frame = d.check().unwrap();
    let mut table = [[0u8; 256]; 2];
    table[1] = core::array::from_fn(|stored| 255 - stored as u8);
    let normalisation = Normalisation { mean: 0.25, std: 0.5 };
    let grey = GreyTable::new(&frame, normalisation, &table).unwrap();
    let got = sampled(&frame, &[255 - 51; 16], &grey, 4);
    assert!(got.iter().all(|value| (value - (0.2 - 0.25) / 0.5).abs() < 1e-6), "{got:?}");
    assert_eq!(grey.outside(), -0.5);
    let missing = GreyTable::new(&frame, normalisation, &table[..1]);
    assert_eq!(missing, Err(VisionError::VendorTable { seen: 1, tables: 1 }));
    for bad in [0.0, f32::NAN] {
        let refused = GreyTable::new(&frame, Normalisation { mean: 0.0, std: bad }, &table);
        assert!(matches!(refused, Err(VisionError::Range { what: "normalisation std", .. })));
    }
}

#[test]
fn frames_that_cannot_be_sampled_are_refused() {
    let mut d = envelope(1, 8, 16);
    (d.left_mm, d.right_mm, d.last_depth_mm) = (-10.0, 10.0, 30.0);
    let frame = d.check().unwrap();
    let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
    let mut table = vec![bytemuck::Zeroable::zeroed(); 64];
    let sampler = Sampler::build(&frame, 8, &mut table).unwrap();
    let mut out = [0.0; 64];
    let payload = [0u8; 128];

    let short = |what, seen, needed| Err(VisionError::Slice { what, seen, needed });
    assert_eq!(
        Sampler::build(&frame, 8, &mut table.clone()[..63]).map(drop),
        short("sampling table", 63, 64)
    );
    assert_eq!(sampler.sample(&table, &frame, &payload[..127], &grey, &mut out), short("payload", 127, 128));
    assert_eq!(
        sampler.sample(&table[..63], &frame, &payload, &grey, &mut out),
        short("sampling table", 63, 64)
    );
    assert_eq!(
        sampler.sample(&table, &frame, &payload, &grey, &mut out[..63]),
        short("network input", 63, 64)
    );
    let narrow = Frame { stride_bytes: 15, ..frame };
    let refused = sampler.sample(&table, &narrow, &payload, &grey, &mut out);
    assert_eq!(refused, Err(VisionError::Mismatch { a: "samples", b: "stride_bytes" }));
    let more = Frame { lines: 9, ..frame };
    let refused = sampler.sample(&table, &more, &payload, &grey, &mut out);
    assert_eq!(refused, Err(VisionError::Mismatch { a: "lines", b: "geometry" }));
    assert!(matches!(Sampler::build(&frame, 0, &mut table), Err(VisionError::Range { .. })));

    let mut moved = d;
    moved.right_mm = 11.0;
    moved.geometry_epoch = 7;
    let moved = moved.check().unwrap();
    assert!(!sampler.fits(&moved));
    let refused = sampler.sample(&table, &moved, &payload, &grey, &mut out);
    assert_eq!(refused, Err(VisionError::GeometryChanged { epoch: 7 }));

    let mut iq = d;
    (iq.domain, iq.sample_type, iq.amplitude_law) = (2, 3, LAW_LINEAR);
    (iq.stride_bytes, iq.payload_bytes) = (64, 8 * 64);
    let iq = iq.check().unwrap();
    let sampler = Sampler::build(&iq, 8, &mut table).unwrap();
    // A grey table of bytes does not fit IQ pairs.
    let refused = sampler.sample(&table, &iq, &[0; 512], &grey, &mut out);
    assert_eq!(refused, Err(VisionError::Mismatch { a: "domain", b: "amplitude_law" }));
    let grey = GreyTable::new(&iq, PLAIN, &[]).unwrap();
    let refused = sampler.sample(&table, &iq, &[0; 511], &grey, &mut out);
    assert_eq!(refused, short("payload", 511, 512));
    assert_eq!(sampler.sample(&table, &iq, &[0; 512], &grey, &mut out), Ok(()));

    // A check refuses these frames; vision does not rely on it.
    let picture = envelope(5, 8, 8).check().unwrap();
    let frame = Frame { flags: flags::TGC_PENDING, tgc_points: 1, ..picture };
    let grey = GreyTable::new(&frame, PLAIN, &[]).unwrap();
    let sampler = Sampler::build(&frame, 8, &mut table).unwrap();
    let refused = sampler.sample(&table, &frame, &payload, &grey, &mut out);
    assert!(matches!(refused, Err(VisionError::Unsupported { .. })));
    let mut vendor = envelope(5, 8, 8);
    vendor.amplitude_law = LAW_VENDOR_TABLE;
    let frame = Frame { flags: flags::TGC_PENDING, ..vendor.check().unwrap() };
    let refused = GreyTable::new(&frame, PLAIN, &[[0; 256]]);
    assert!(matches!(refused, Err(VisionError::Unsupported { .. })));
}

/// On the grid of another depth or sector, the same millimetres are at the same pixels.
#[test]
fn a_kept_grid_keeps_places() {
    let sector = |last_depth_mm: f32, half_rad: f32, lines: u32, samples: u32| FrameDescriptor {
        apex_radius_mm: 20.0,
        first_angle_rad: -half_rad,
        last_angle_rad: half_rad,
        last_depth_mm,
        ..envelope(2, lines, samples)
    };
    let linear = |left_mm: f32, last_depth_mm: f32, lines: u32, samples: u32| FrameDescriptor {
        left_mm,
        right_mm: left_mm + 60.0,
        last_depth_mm,
        ..envelope(1, lines, samples)
    };
    for (first, second) in [
        (sector(100.0, 0.5, 101, 501), sector(140.0, 0.6, 121, 561)),
        (sector(140.0, 0.6, 121, 561), sector(100.0, 0.5, 101, 501)),
        (linear(-30.0, 50.0, 121, 401), linear(-25.0, 70.0, 121, 561)),
    ] {
        // Levels that rise with depth and across, in bytes, so that interpolation is exact up to rounding.
        let payload = |d: &FrameDescriptor, frame: &Frame| -> Vec<u8> {
            (0..d.lines * d.samples)
                .map(|at| (at / d.samples, at % d.samples))
                .map(|(line, sample)| {
                    let at =
                        sonotrace::hal::geometry::LineSample { line: line as f32, sample: sample as f32 };
                    let place = frame.geometry.to_plane(at);
                    (60.0 + 0.6 * place.y + 0.5 * place.x).round() as u8
                })
                .collect()
        };
        let frames = [first, second].map(|d| d.check().unwrap());
        let [grid, natural] = frames.each_ref().map(|frame| *Sampler::new(frame, 64).unwrap().grid());
        assert!(grid.serves_for(&natural) && natural.serves_for(&grid) && grid != natural);
        let images = [(&first, &frames[0]), (&second, &frames[1])].map(|(d, frame)| {
            let sampler = Sampler::on_grid(frame, grid).unwrap();
            let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(64)];
            sampler.fill(0..64, &mut table).unwrap();
            let grey = GreyTable::new(frame, PLAIN, &[]).unwrap();
            let mut out = vec![f32::NAN; Sampler::table_len(64)];
            sampler.sample(&table, frame, &payload(d, frame), &grey, &mut out).unwrap();
            out
        });
        let [a, b] = &images;
        let both = a.iter().zip(b).filter(|(a, b)| **a > 0.0 && **b > 0.0);
        assert!(both.clone().count() > 500, "{}", both.count());
        assert!(both.clone().all(|(a, b)| (a - b).abs() < 1.5 / 255.0));
    }
    let picture = envelope(4, 32, 32);
    let picture = FrameDescriptor {
        spacing_x_mm: 1.0,
        spacing_y_mm: 1.0,
        content_columns: 32,
        content_rows: 32,
        ..picture
    };
    if let Ok(picture) = picture.check() {
        let grid = *Sampler::new(&linear(-30.0, 50.0, 121, 401).check().unwrap(), 64).unwrap().grid();
        assert!(matches!(Sampler::on_grid(&picture, grid), Err(VisionError::Unsupported { .. })));
    }
}
