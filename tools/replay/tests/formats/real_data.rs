//! Real recordings, if present; `shared/data/README.md` describes them.

use crate::common::{assert_sound, real_data, refusal};
use sonotrace_hal::frame::GeometryKind;
use sonotrace_hal::geometry::{Geometry, Point};
use sonotrace_replay::{DisplayHint, Options, Recording, open};
use std::path::Path;

/// A 30-frame JPEG cine of 320x240 whose region was calibrated on 640x480.
#[test]
fn scaled_dicom_cine_is_calibrated_by_its_original_size() {
    let Some(data) = real_data() else { return };
    let path = data.join("dicom/examples_ybr_color.dcm");
    let recording = open(&path, &Options::default()).unwrap();
    assert_sound(&recording);
    assert_eq!(recording.frames.len(), 30);
    let last = recording.frames[29].descriptor;
    assert_eq!((last.samples, last.lines, last.t_acq_ns), (320, 240, 966_657_000));
    assert!((last.frame_rate_hz - 30.0).abs() < 0.01);
    assert_eq!((last.geometry, last.content_columns), (GeometryKind::RasterUnknown as u32, 0));
    let note = &recording.notes[0];
    assert!(note.contains("columns 84..595 and rows 31..414, outside the picture of 320x240"), "{note}");
    assert!(note.contains("--calibrated-size 640x480"), "{note}");
    // Mean grey level of the first and the last frame, as decoded by Pillow.
    let mean =
        |payload: &[u8]| payload.iter().map(|&level| f64::from(level)).sum::<f64>() / payload.len() as f64;
    let means = [mean(&recording.frames[0].payload), mean(&recording.frames[29].payload)];
    assert!((means[0] - 9.489).abs() < 0.05 && (means[1] - 10.626).abs() < 0.05, "{means:?}");

    let options = Options { calibrated_size: Some((640, 480)), ..Options::default() };
    let recording = open(&path, &options).unwrap();
    assert_sound(&recording);
    let seen = recording.frames[0].descriptor;
    assert_eq!(seen.geometry, GeometryKind::Raster as u32);
    assert_eq!(
        [seen.content_column, seen.content_row, seen.content_columns, seen.content_rows],
        [42, 16, 256, 191]
    );
    assert!(recording.notes[0].contains("from ultrasound region 1 of 1"), "{:?}", recording.notes);
    println!("{:?}", recording.notes);
    println!("{:?}", seen.check().unwrap().geometry.field_of_view());
}

#[test]
fn clarius_doppler_iq_is_refused() {
    let Some(data) = real_data() else { return };
    let options = Options { pitch_mm: Some(0.2), ..Options::default() };
    let text = refusal(open(&data.join("polar/carotid_iq.raw"), &options));
    assert!(text.contains("carotid_iq.yml, line 10: Doppler IQ, not B-mode"), "{text}");
}

/// The scanner's own picture of the recording; rows 187 to 612 are 30 mm.
struct Own {
    grey: Vec<f64>,
    width: usize,
    rows: std::ops::Range<usize>,
}

/// Millimetres per pixel of that picture, from its ruler.
const OWN_PITCH_MM: f64 = 30.0 / 426.0;

impl Own {
    fn read(data: &Path) -> Self {
        let recording = open(&data.join("polar/carotid.jpeg"), &Options::default()).unwrap();
        let frame = &recording.frames[0];
        assert_eq!((frame.descriptor.samples, frame.descriptor.lines), (544, 800));
        let grey = frame.payload.iter().map(|&level| level.into()).collect();
        Self { grey, width: 544, rows: 187..613 }
    }

    /// Whether a pixel belongs to the B-mode picture only: not to the colour box, colour bar, text, logo or ruler.
    fn is_plain(row: usize, column: usize) -> bool {
        let (row, column) = (row as f64, column as f64);
        // The box is sheared: 66 columns to the right from row 251 to row 498.
        let lean = (row - 251.0) * 66.0 / 247.0;
        let in_box = (246.0..=503.0).contains(&row) && (100.0 + lean..=391.0 + lean).contains(&column);
        let in_bar = (335.0..=465.0).contains(&row) && column < 90.0;
        let in_logo = row < 192.0 && column < 60.0;
        let in_ruler = (500.0..=536.0).contains(&column);
        !(in_box || in_bar || in_logo || in_ruler) && row < 611.0
    }

    /// Correlation of its plain pixels with the scan-converted recording, which is scaled about the middle of the
    /// picture's top edge and moved by a number of pixels.
    fn correlation(&self, recording: &Recording, scale: [f64; 2], moved: [f64; 2]) -> f64 {
        let frame = &recording.frames[0];
        let geometry = frame.descriptor.check().unwrap().geometry;
        let (lines, samples) = (frame.descriptor.lines as usize, frame.descriptor.samples as usize);
        let at = |line: usize, sample: usize| f64::from(frame.payload[line * samples + sample]);
        let [mut n, mut sx, mut sy, mut sxx, mut syy, mut sxy] = [0.0f64; 6];
        for row in self.rows.clone() {
            for column in (0..self.width).filter(|&column| Self::is_plain(row, column)) {
                let across = (column as f64 - (self.width - 1) as f64 / 2.0 - moved[0]) * scale[0];
                let down = ((row - self.rows.start) as f64 - moved[1]) * scale[1];
                let point = Point { x: (across * OWN_PITCH_MM) as f32, y: (down * OWN_PITCH_MM) as f32 };
                let position = geometry.to_line_sample(point);
                let (line, sample) = (f64::from(position.line), f64::from(position.sample));
                if line < 0.0 || sample < 0.0 || line >= (lines - 1) as f64 || sample >= (samples - 1) as f64
                {
                    continue;
                }
                let (l, s, u, v) = (line as usize, sample as usize, line.fract(), sample.fract());
                let x = (at(l, s) * (1.0 - v) + at(l, s + 1) * v) * (1.0 - u)
                    + (at(l + 1, s) * (1.0 - v) + at(l + 1, s + 1) * v) * u;
                let y = self.grey[row * self.width + column];
                (n, sx, sy, sxx, syy, sxy) = (n + 1.0, sx + x, sy + y, sxx + x * x, syy + y * y, sxy + x * y);
            }
        }
        assert!(n > 100_000.0, "{n} pixels");
        (n * sxy - sx * sy) / ((n * sxx - sx * sx) * (n * syy - sy * sy)).sqrt()
    }
}

/// Scan-converted with the reader's geometry, the envelope matches the scanner's own picture. The best fit is within 1
/// % in scale and 0.2 mm in position.
#[test]
fn clarius_envelope_matches_the_scanners_own_picture() {
    let Some(data) = real_data() else { return };
    let path = data.join("polar/carotid_env.raw");
    assert!(refusal(open(&path, &Options::default())).contains("give --pitch MM"));
    let recording = open(&path, &Options { pitch_mm: Some(0.2), ..Options::default() }).unwrap();
    assert_sound(&recording);
    let descriptor = recording.frames[0].descriptor;
    assert_eq!((recording.frames.len(), descriptor.lines, descriptor.samples), (1, 304, 592));
    assert_eq!(recording.notes.len(), 2, "{:?}", recording.notes);
    let Geometry::Linear(linear) = descriptor.check().unwrap().geometry else { panic!("not linear") };
    assert!((linear.depth_step_mm - 0.051_333).abs() < 1e-5 && (linear.left_mm + 19.1).abs() < 1e-4);
    assert_eq!(recording.display, DisplayHint::Raster { width: 640, height: 508 });

    let own = Own::read(&data);
    let unmoved = own.correlation(&recording, [1.0; 2], [0.0; 2]);
    println!("correlation without a move: {unmoved:.4}");
    // Measured: 0.934; the scanner's smoothing and grey curve differ. Half a millimetre off gives 0.75.
    assert!(unmoved > 0.92, "{unmoved}");

    // Hill climbing with halved steps.
    let (mut best, mut fit) = (unmoved, [1.0, 1.0, 0.0, 0.0]);
    let mut steps = [0.02, 0.02, 4.0, 4.0];
    while steps[2] > 0.2 {
        let mut is_better = false;
        for axis in 0..4 {
            for sign in [-1.0, 1.0] {
                let mut other = fit;
                other[axis] += sign * steps[axis];
                let value = own.correlation(&recording, [other[0], other[1]], [other[2], other[3]]);
                if value > best {
                    (best, fit, is_better) = (value, other, true);
                }
            }
        }
        if !is_better {
            steps = steps.map(|step| step / 2.0);
        }
    }
    println!("best correlation: {best:.4} at scale {:?}, moved by {:?} pixels", &fit[..2], &fit[2..]);
    assert!((fit[0] - 1.0).abs() < 0.01 && (fit[1] - 1.0).abs() < 0.01, "{fit:?}");
    let moved_mm = [fit[2] * OWN_PITCH_MM, fit[3] * OWN_PITCH_MM];
    assert!(moved_mm[0].abs() < 0.2 && moved_mm[1].abs() < 0.2, "{moved_mm:?}");

    // Errors are detected: 3 % in scale in either direction, and adding the delay (16 samples, 0.8 mm).
    let wrong = [
        own.correlation(&recording, [1.03, 1.0], [0.0; 2]),
        own.correlation(&recording, [1.0, 1.03], [0.0; 2]),
        own.correlation(&recording, [1.0; 2], [0.0, 0.8213 / OWN_PITCH_MM]),
    ];
    println!("3 % wider, 3 % deeper, delayed: {wrong:.4?}");
    assert!(wrong.iter().all(|&wrong| wrong < unmoved - 0.03), "{wrong:?}");
}
