//! Measurements in millimetres are right to 1 %. A disc of known position and size is painted into frames of every
//! geometry and format and sampled as for the network; its contour is measured as for an overlay.

use crate::common::dicom::{EXPLICIT, File, Region};
use crate::common::scratch;
use sonotrace::vision::measures::fit_ellipse;
use sonotrace::vision::{
    Display, DisplayRaster, Field, GreyTable, Normalisation, Pick, Sampler, Vertex, map_contour, measure,
    trace,
};
use sonotrace_hal::frame::{Domain, FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType};
use sonotrace_hal::geometry::{Geometry, LineSample, Point};
use sonotrace_replay::{Options, Recorded, open};
use sonotrace_sim::{Output, Probe, SimConfig, Simulator};

/// Side of the network's input.
const SIZE: u32 = 256;

/// A disc in the plane.
#[derive(Debug, Clone, Copy)]
struct Disc {
    x: f32,
    y: f32,
    radius: f32,
}

impl Disc {
    /// The fraction of a sample inside the disc; `steps` are the vectors to the neighbours along both axes.
    fn covers(&self, at: Point, steps: [Point; 2]) -> f32 {
        let from = [at.x - self.x, at.y - self.y];
        let distance = from[0].hypot(from[1]).max(1e-6);
        // The sample's extent towards the centre.
        let extent: f32 =
            steps.iter().map(|step| (step.x * from[0] + step.y * from[1]).abs() / distance).sum();
        (0.5 + (self.radius - distance) / extent.max(1e-6)).clamp(0.0, 1.0)
    }
}

/// The samples of a frame that shows one bright disc.
fn painted(descriptor: &FrameDescriptor, disc: Disc) -> Vec<u8> {
    let geometry = descriptor.check().unwrap().geometry;
    let at =
        |line: u32, sample: u32| geometry.to_plane(LineSample { line: line as f32, sample: sample as f32 });
    let (lines, samples) = (descriptor.lines, descriptor.samples);
    let places = (0..lines).flat_map(|line| (0..samples).map(move |sample| (line, sample)));
    let covered = places.map(|(line, sample)| {
        let here = at(line, sample);
        let step = |next: Point| Point { x: next.x - here.x, y: next.y - here.y };
        disc.covers(here, [step(at(line, sample + 1)), step(at(line + 1, sample))])
    });
    if descriptor.domain == Domain::PolarIq as u32 {
        // The edge is at half the range, in decibels as in grey levels.
        let amplitude =
            |covered: f32| 32_767.0 * 10f32.powf((covered - 1.0) * descriptor.law_range_db / 20.0);
        return covered
            .flat_map(|covered| [amplitude(covered) as i16, 0])
            .flat_map(i16::to_le_bytes)
            .collect();
    }
    covered.map(|covered| (255.0 * covered).round() as u8).collect()
}

/// Samples a frame, traces the contour at half brightness, and compares its measurements with the disc.
#[track_caller]
fn assert_right(what: &str, frame: &Recorded, disc: Disc) {
    let checked = frame.descriptor.check().unwrap();
    let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
    let mut grid = vec![0.0f32; Sampler::table_len(SIZE)];
    let sampler = Sampler::build(&checked, SIZE, &mut table).unwrap();
    let grey = GreyTable::new(&checked, Normalisation { mean: 0.5, std: 1.0 }, &[]).unwrap();
    sampler.sample(&table, &checked, &frame.payload, &grey, &mut grid).unwrap();

    let shape = sampler.grid();
    let field = Field::new(&grid, shape.columns() as usize, shape.rows() as usize, SIZE as usize).unwrap();
    let mut labels = vec![0; Sampler::table_len(SIZE)];
    let (mut points, mut links) = (vec![[0.0; 2]; 4096], vec![Default::default(); 4096]);
    let contour = trace(&field, Pick::Largest, 12, &mut labels, &mut points, &mut links).unwrap().unwrap();
    let raster = DisplayRaster::new(&checked.geometry, Display::Raster { width: 640, height: 480 }).unwrap();
    let (mut px, mut mm) = (vec![[0.0; 2]; contour.points], vec![[0.0; 2]; contour.points]);
    map_contour(shape, &raster, &points[..contour.points], &mut px, &mut mm).unwrap();
    let measures = measure([&mm[..]]).unwrap();
    let ellipse = fit_ellipse(&mm).unwrap();

    let within = |name: &str, seen: f32, expected: f32, slack: f32| {
        let off = (seen - expected).abs();
        assert!(
            off <= slack,
            "{what}: {name} is {seen}, expected {expected}: {:.2} % off",
            100.0 * off / expected
        );
    };
    let Disc { x, y, radius } = disc;
    let (pi, percent) = (core::f32::consts::PI, 0.01);
    within("area", measures.area, pi * radius * radius, percent * pi * radius * radius);
    within("perimeter", measures.perimeter, 2.0 * pi * radius, percent * 2.0 * pi * radius);
    within("long axis", measures.long_axis, 2.0 * radius, percent * 2.0 * radius);
    within("short axis", measures.short_axis, 2.0 * radius, percent * 2.0 * radius);
    within("major axis", 2.0 * ellipse.semi_major_mm, 2.0 * radius, percent * 2.0 * radius);
    within("circumference", ellipse.circumference_mm, 2.0 * pi * radius, percent * 2.0 * pi * radius);
    within("centroid across", measures.centroid[0], x, percent * radius);
    within("centroid down", measures.centroid[1], y, percent * radius);
    // The area on the display follows from the display's scale.
    let scale = raster.pixel_area();
    let shown: Vec<Vertex> = px;
    let area_px = measure([&shown[..]]).unwrap().area;
    within("area on the display", area_px * scale, measures.area, 1e-3 * measures.area);
}

fn recorded(descriptor: FrameDescriptor, disc: Disc) -> Recorded {
    Recorded { payload: painted(&descriptor, disc), descriptor }
}

/// The simulator's geometries, as envelope and as IQ.
#[test]
fn measurements_are_right_on_simulated_frames() {
    let deg = core::f32::consts::PI / 180.0;
    let heart = SimConfig::default();
    let probes = [
        ("phased", heart.clone(), Disc { x: 8.0, y: 70.0, radius: 24.0 }),
        (
            "phased, shallow",
            SimConfig { depth_mm: 100.0, ..heart.clone() },
            Disc { x: -9.0, y: 62.0, radius: 20.0 },
        ),
        ("convex", SimConfig::fetal_head(), Disc { x: -6.0, y: 85.0, radius: 40.0 }),
        (
            "convex, narrow",
            SimConfig {
                probe: Probe::Convex { radius_mm: 40.0, half_angle_rad: 22.0 * deg },
                ..SimConfig::fetal_head()
            },
            Disc { x: 4.0, y: 75.0, radius: 22.0 },
        ),
        (
            "linear",
            SimConfig { probe: Probe::Linear { width_mm: 40.0 }, depth_mm: 50.0, ..heart },
            Disc { x: 5.0, y: 22.0, radius: 11.0 },
        ),
    ];
    for (what, config, disc) in probes {
        for output in [Output::Logarithmic, Output::Iq] {
            let simulator = Simulator::new(SimConfig { output, density: 0.02, ..config.clone() }).unwrap();
            let mut descriptor = simulator.frame(0).descriptor;
            descriptor.flags = 0;
            assert_right(&format!("{what}, {output:?}"), &recorded(descriptor, disc), disc);
        }
    }
}

fn picture(width: u32, height: u32, spacing_mm: [f32; 2]) -> FrameDescriptor {
    FrameDescriptor {
        payload_bytes: width * height,
        seq: 1,
        domain: Domain::ScanConverted as u32,
        sample_type: SampleType::U8 as u32,
        lines: height,
        samples: width,
        stride_bytes: width,
        geometry: GeometryKind::Raster as u32,
        spacing_x_mm: spacing_mm[0],
        spacing_y_mm: spacing_mm[1],
        amplitude_law: LAW_LOGARITHMIC,
        law_range_db: 60.0,
        ..FrameDescriptor::blank()
    }
}

/// Pictures with square and other pixels, larger and smaller than the network's input, with and without borders.
#[test]
fn measurements_are_right_on_pictures_of_known_scale() {
    let disc = Disc { x: 52.0, y: 44.0, radius: 26.0 };
    for (width, height, spacing_mm) in
        [(640, 480, [0.2, 0.2]), (200, 160, [0.6, 0.6]), (300, 400, [0.4, 0.25]), (1024, 768, [0.12, 0.12])]
    {
        let descriptor = picture(width, height, spacing_mm);
        assert_right(&format!("{width} x {height} of {spacing_mm:?} mm"), &recorded(descriptor, disc), disc);
        let bordered = FrameDescriptor {
            content_column: width / 10,
            content_row: height / 20,
            content_columns: width * 8 / 10,
            content_rows: height * 9 / 10,
            ..descriptor
        };
        assert_right(&format!("{width} x {height} within borders"), &recorded(bordered, disc), disc);
    }
}

/// A DICOM region whose reference pixel is not at the region's corner.
#[test]
fn measurements_are_right_on_a_calibrated_dicom() {
    let folder = scratch("millimetres_dicom");
    // 0.25 mm per pixel; x 0 in column 220, y 0 in row 30, the region's top.
    let region = Region {
        columns: [40, 399],
        rows: [30, 269],
        delta: [0.025, 0.025],
        reference: Some(([180, 0], [0.0, 0.0])),
        ..Region::default()
    };
    let disc = Disc { x: 6.0, y: 28.0, radius: 17.0 };
    let pixel = |column: u16, row: u16| {
        let at = Point { x: 0.25 * (f32::from(column) - 220.0), y: 0.25 * (f32::from(row) - 30.0) };
        (255.0 * disc.covers(at, [Point { x: 0.25, y: 0.0 }, Point { x: 0.0, y: 0.25 }])).round() as u8
    };
    let pixels: Vec<u8> = (0..300).flat_map(|row| (0..440).map(move |column| pixel(column, row))).collect();
    let path = folder.join("disc.dcm");
    std::fs::write(&path, File::new(EXPLICIT, 440, 300).regions(&[region]).native(&pixels)).unwrap();
    let recording = open(&path, &Options::default()).unwrap();
    let frame = &recording.frames[0];
    // The reader chooses the origin of the plane; the disc is given in pixels.
    let Geometry::Raster(raster) = frame.descriptor.check().unwrap().geometry else {
        panic!("not a picture")
    };
    assert!(raster.millimetres, "{:?}", recording.notes);
    let disc = Disc { x: raster.left + 0.25 * (220.0 + 24.0), y: raster.top + 0.25 * (30.0 + 112.0), ..disc };
    assert_right("DICOM", frame, disc);
}

/// A Clarius recording: elements of 0.2 mm, samples of 1540 m/s over twice 15 MHz.
#[test]
fn measurements_are_right_on_a_clarius_recording() {
    let folder = scratch("millimetres_clarius");
    let (lines, samples) = (96u32, 500u32);
    let mut yml = format!(
        "frames: 1\nframe rate: 18 Hz\nimaging depth: 25.7 mm\n\
         size: {{samples per line: {samples}, number of lines: {lines}, sample size: 1 bytes}}\ntype: B pre-scan\n\
         compression: none\nsampling rate: 15 MHz\ndelay samples: 0\nlines:\n"
    );
    // Elements 40 to 135: the middle of the lines is 87.5 elements from the first, 95.5 is the middle of 192.
    for line in 0..lines {
        yml += &format!("  - {{rx element: {}, tx element: {}, angle: 0 °}}\n", 40 + line, 40 + line);
    }
    let (depth_step_mm, line_step_mm) = (1540.0e3 / (2.0 * 15.0e6), 0.2);
    let disc = Disc { x: 0.0, y: 11.0, radius: 6.0 };
    let sample = |line: u32, sample: u32| {
        let at = Point { x: (line as f32 - 47.5) * line_step_mm, y: sample as f32 * depth_step_mm };
        (255.0 * disc.covers(at, [Point { x: 0.0, y: depth_step_mm }, Point { x: line_step_mm, y: 0.0 }]))
            .round() as u8
    };
    let mut raw: Vec<u8> = [1u32, 1, lines, samples, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    raw.extend(7u64.to_le_bytes());
    raw.extend((0..lines).flat_map(|line| (0..samples).map(move |at| sample(line, at))));
    std::fs::write(folder.join("disc.raw"), raw).unwrap();
    std::fs::write(folder.join("disc.yml"), yml).unwrap();
    let options = Options { pitch_mm: Some(0.2), ..Options::default() };
    let recording = open(&folder.join("disc.raw"), &options).unwrap();
    let frame = &recording.frames[0];
    let Geometry::Linear(linear) = frame.descriptor.check().unwrap().geometry else { panic!("not linear") };
    let middle_mm = linear.left_mm + 47.5 * linear.line_step_mm;
    let at_first_mm = linear.first_depth_mm;
    assert_right("Clarius", frame, Disc { x: middle_mm, y: disc.y + at_first_mm, ..disc });
}

/// A linear envelope: the edge of the disc is at half of its decibels.
#[test]
fn measurements_are_right_on_a_linear_envelope() {
    let simulator = Simulator::new(SimConfig { density: 0.02, ..SimConfig::default() }).unwrap();
    let mut descriptor = simulator.frame(0).descriptor;
    (descriptor.flags, descriptor.amplitude_law, descriptor.law_range_db) = (0, LAW_LINEAR, 40.0);
    let disc = Disc { x: 8.0, y: 70.0, radius: 24.0 };
    let mut frame = recorded(descriptor, disc);
    for stored in &mut frame.payload {
        let level_db = (f32::from(*stored) / 255.0 - 1.0) * 40.0;
        *stored = (255.0 * 10f32.powf(level_db / 20.0)).round() as u8;
    }
    assert_right("linear envelope", &frame, disc);
}
