//! A frame as the display shows it: scan-converted, log-compressed if it is not yet, in grey.

use anyhow::{Result, bail, ensure};
use image::GrayImage;
use sonotrace_hal::frame::{AmplitudeLaw, Domain, Frame, TgcPoint, flags};
use sonotrace_hal::geometry::{Content, Geometry, LineSample, Point};

/// Envelope of a full-scale IQ sample.
const IQ_FULL_SCALE: f32 = 32_767.0;

/// Draws frames of one geometry. The place of each pixel among the samples is computed once.
#[derive(Debug, Clone)]
pub struct DisplayPicture {
    width: u32,
    height: u32,
    geometry: Geometry,
    /// For each pixel, row by row; none outside the scanned field.
    places: Vec<Option<LineSample>>,
    mm_per_px: Option<f32>,
}

impl DisplayPicture {
    /// A display of `width` x `height` pixels. Pixel (x, y), with whole coordinates at its centre, shows the point
    /// `plane_of_px(x, y)` of the geometry's plane.
    pub fn new(
        width: u32,
        height: u32,
        geometry: &Geometry,
        plane_of_px: impl Fn(f32, f32) -> Point,
    ) -> Self {
        let whole = |columns, rows| Content { column: 0, row: 0, columns, rows };
        let (shown, beyond) = match *geometry {
            Geometry::Linear(g) => (whole(g.samples, g.lines), 0.0),
            Geometry::Sector(g) => (whole(g.samples, g.lines), 0.0),
            // A picture's outermost pixels reach half a pixel beyond their centres.
            Geometry::Raster(g) => (g.content, 0.5),
        };
        let (first_line, first_sample) = (shown.row as f32, shown.column as f32);
        let (last_line, last_sample) =
            ((shown.row + shown.rows - 1) as f32, (shown.column + shown.columns - 1) as f32);
        let place = |x: u32, y: u32| {
            let at = geometry.to_line_sample(plane_of_px(x as f32, y as f32));
            let inside = at.line >= first_line - beyond
                && at.line <= last_line + beyond
                && at.sample >= first_sample - beyond
                && at.sample <= last_sample + beyond;
            inside.then(|| LineSample {
                line: at.line.clamp(first_line, last_line),
                sample: at.sample.clamp(first_sample, last_sample),
            })
        };
        let places =
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| place(x, y)).collect();
        let (here, next) = (plane_of_px(0.0, 0.0), plane_of_px(1.0, 0.0));
        let step = (next.x - here.x).hypot(next.y - here.y);
        let mm_per_px = (geometry.is_millimetres() && step > 0.0).then_some(step);
        Self { width, height, geometry: *geometry, places, mm_per_px }
    }

    /// Whether frames of this geometry can be drawn.
    pub fn fits(&self, geometry: &Geometry) -> bool {
        self.geometry == *geometry
    }

    /// Millimetres from one display pixel to the next across; none if the scale is unknown.
    pub fn mm_per_px(&self) -> Option<f32> {
        self.mm_per_px
    }

    /// The picture of a frame: grey after the amplitude law and pending gain, bilinear between samples, black outside
    /// the field. `vendor_tables` map stored bytes to grey; the frame's law may name one of them.
    ///
    /// # Errors
    /// A frame of another geometry, a payload that is too short, an unknown vendor table.
    pub fn draw(&self, frame: &Frame, payload: &[u8], vendor_tables: &[[u8; 256]]) -> Result<GrayImage> {
        ensure!(self.fits(&frame.geometry), "frame {} has another geometry than this display", frame.seq);
        ensure!(
            payload.len() >= frame.payload_bytes as usize,
            "payload of frame {} holds {} bytes, {} are needed",
            frame.seq,
            payload.len(),
            frame.payload_bytes
        );
        let levels = grey_levels(frame, vendor_tables)?;
        let gains = pending_gains(frame)?;
        let stride = frame.stride_bytes as usize;
        let stored = |line: usize, sample: usize| match (frame.domain, frame.law) {
            (Domain::PolarIq, AmplitudeLaw::Linear { range_db }) => {
                let at = &payload[line * stride + 4 * sample..][..4];
                let [i, q] = [[at[0], at[1]], [at[2], at[3]]].map(|part| f32::from(i16::from_le_bytes(part)));
                1.0 + 20.0 * (i.hypot(q) / IQ_FULL_SCALE).log10() / range_db
            }
            _ => levels[usize::from(payload[line * stride + sample])],
        };
        let grey = |line: usize, sample: usize| (stored(line, sample) + gains[sample]).clamp(0.0, 1.0);
        let (last_line, last_sample) = (frame.lines as usize - 1, frame.samples as usize - 1);
        let level = |at: &LineSample| {
            let (line, sample) = (at.line as usize, at.sample as usize);
            let (next_line, next_sample) = ((line + 1).min(last_line), (sample + 1).min(last_sample));
            let (u, v) = (at.line - line as f32, at.sample - sample as f32);
            let near = grey(line, sample) * (1.0 - v) + grey(line, next_sample) * v;
            let far = grey(next_line, sample) * (1.0 - v) + grey(next_line, next_sample) * v;
            (255.0 * (near * (1.0 - u) + far * u)).round() as u8
        };
        let pixels = self.places.iter().map(|place| place.as_ref().map_or(0, level)).collect();
        match GrayImage::from_raw(self.width, self.height, pixels) {
            Some(picture) => Ok(picture),
            None => bail!("a picture of {} x {} pixels cannot be created", self.width, self.height),
        }
    }
}

/// Grey, 0 to 1 (not yet limited), of each stored byte under the frame's amplitude law.
fn grey_levels(frame: &Frame, vendor_tables: &[[u8; 256]]) -> Result<[f32; 256]> {
    let mut levels: [f32; 256] = std::array::from_fn(|stored| stored as f32 / 255.0);
    match frame.law {
        AmplitudeLaw::Logarithmic { .. } => {}
        AmplitudeLaw::Linear { range_db } => {
            // The logarithm of zero is minus infinity, which stays black under any gain.
            levels = levels.map(|amplitude| 1.0 + 20.0 * amplitude.log10() / range_db);
        }
        AmplitudeLaw::VendorTable { table } => match vendor_tables.get(table as usize) {
            Some(greys) => levels = greys.map(|grey| f32::from(grey) / 255.0),
            None => bail!("frame uses vendor amplitude table {table}, there are {}", vendor_tables.len()),
        },
    }
    Ok(levels)
}

/// Grey to be added to each sample of a line: gain and compensation curve, if the frame marks them as pending.
fn pending_gains(frame: &Frame) -> Result<Vec<f32>> {
    let mut gains = vec![0.0; frame.samples as usize];
    if !frame.has(flags::TGC_PENDING) {
        return Ok(gains);
    }
    let (AmplitudeLaw::Linear { range_db } | AmplitudeLaw::Logarithmic { range_db }) = frame.law else {
        bail!("frame {} has gain pending on a vendor's amplitude table, whose range is not known", frame.seq);
    };
    let (first_depth_mm, depth_step_mm) = match frame.geometry {
        Geometry::Linear(g) => (g.first_depth_mm, g.depth_step_mm),
        Geometry::Sector(g) => (g.first_depth_mm, g.depth_step_mm),
        Geometry::Raster(_) => {
            bail!("frame {} is a picture with gain pending, which has no depth", frame.seq)
        }
    };
    let curve = &frame.tgc[..frame.tgc_points as usize];
    for (sample, gain) in gains.iter_mut().enumerate() {
        let depth_mm = first_depth_mm + depth_step_mm * sample as f32;
        *gain = (frame.gain_db + curve_db(curve, depth_mm)) / range_db;
    }
    Ok(gains)
}

/// Gain of a curve at a depth: linear between its points, constant beyond the first and the last.
fn curve_db(curve: &[TgcPoint], depth_mm: f32) -> f32 {
    let Some(first) = curve.first() else { return 0.0 };
    let mut gain_db = first.gain_db;
    for pair in curve.windows(2) {
        let (above, below) = (pair[0], pair[1]);
        if depth_mm >= below.depth_mm {
            gain_db = below.gain_db;
        } else if depth_mm > above.depth_mm {
            let part = (depth_mm - above.depth_mm) / (below.depth_mm - above.depth_mm);
            gain_db = above.gain_db + part * (below.gain_db - above.gain_db);
        }
    }
    gain_db
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace_hal::frame::{FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, SampleType};

    fn linear_probe(lines: u32, samples: u32) -> FrameDescriptor {
        FrameDescriptor {
            payload_bytes: lines * samples,
            domain: Domain::PolarEnvelope as u32,
            sample_type: SampleType::U8 as u32,
            lines,
            samples,
            stride_bytes: samples,
            geometry: GeometryKind::Linear as u32,
            left_mm: -20.0,
            right_mm: 20.0,
            first_depth_mm: 0.0,
            last_depth_mm: 50.0,
            speed_of_sound_m_s: 1540.0,
            amplitude_law: LAW_LOGARITHMIC,
            law_range_db: 60.0,
            ..FrameDescriptor::blank()
        }
    }

    fn picture(rows: u32, columns: u32) -> FrameDescriptor {
        FrameDescriptor {
            domain: Domain::ScanConverted as u32,
            geometry: GeometryKind::Raster as u32,
            spacing_x_mm: 0.2,
            spacing_y_mm: 0.2,
            left_mm: -3.0,
            top_mm: 4.0,
            ..linear_probe(rows, columns)
        }
    }

    #[test]
    fn a_picture_on_its_own_pixel_grid_is_copied() {
        let payload: Vec<u8> = (0..40 * 30).map(|i| (i * 7 % 256) as u8).collect();
        let frame = picture(30, 40).check().unwrap();
        let display = DisplayPicture::new(40, 30, &frame.geometry, |x, y| {
            frame.geometry.to_plane(LineSample { line: y, sample: x })
        });
        assert_eq!(display.draw(&frame, &payload, &[]).unwrap().into_raw(), payload);
        assert!((display.mm_per_px().unwrap() - 0.2).abs() < 1e-5);
    }

    #[test]
    fn unknown_scale_has_no_millimetres() {
        let unknown = FrameDescriptor { geometry: GeometryKind::RasterUnknown as u32, ..picture(30, 40) };
        let frame = unknown.check().unwrap();
        let display = DisplayPicture::new(80, 60, &frame.geometry, |x, y| Point { x: x / 2.0, y: y / 2.0 });
        assert_eq!(display.mm_per_px(), None);
    }

    /// A ramp over depth gives the depth at every display pixel; outside the field the picture is black.
    #[test]
    fn polar_frames_are_scan_converted_bilinearly() {
        let descriptor = FrameDescriptor {
            geometry: GeometryKind::Convex as u32,
            apex_radius_mm: 60.0,
            first_angle_rad: -0.5,
            last_angle_rad: 0.5,
            ..linear_probe(65, 101)
        };
        let frame = descriptor.check().unwrap();
        let payload: Vec<u8> = (0..65).flat_map(|_| (0..101u8).map(|sample| 2 * sample)).collect();
        let view = frame.geometry.field_of_view();
        let plane = |x: f32, y: f32| Point { x: view.x0 + 0.4 * x, y: view.y0 + 0.4 * y };
        let (width, height) = ((view.width() / 0.4) as u32 + 1, (view.height() / 0.4) as u32 + 1);
        let drawn =
            DisplayPicture::new(width, height, &frame.geometry, plane).draw(&frame, &payload, &[]).unwrap();
        let mut inside = 0;
        for (x, y, pixel) in drawn.enumerate_pixels() {
            let at = plane(x as f32, y as f32);
            let depth_mm = at.x.hypot(at.y + 60.0) - 60.0;
            let angle_rad = at.x.atan2(at.y + 60.0);
            if (0.0..=50.0).contains(&depth_mm) && angle_rad.abs() <= 0.5 {
                inside += 1;
                let expected = 4.0 * depth_mm;
                assert!(
                    (f32::from(pixel.0[0]) - expected).abs() <= 0.51,
                    "({x}, {y}): {pixel:?}, not {expected}"
                );
            } else {
                assert_eq!(pixel.0[0], 0, "({x}, {y}) lies outside the field");
            }
        }
        assert!(inside > 5000, "{inside} pixels inside");
    }

    #[test]
    fn linear_amplitudes_are_compressed_and_pending_gain_is_added() {
        let mut descriptor = linear_probe(2, 2);
        descriptor.amplitude_law = LAW_LINEAR;
        let payload = [255, 26, 0, 3];
        let grey = |descriptor: &FrameDescriptor| {
            let frame = descriptor.check().unwrap();
            let display = DisplayPicture::new(2, 2, &frame.geometry, |x, y| {
                frame.geometry.to_plane(LineSample { line: y, sample: x })
            });
            display.draw(&frame, &payload, &[]).unwrap().into_raw()
        };
        // 20 log10(26/255) = -19.8 dB, 20 log10(3/255) = -38.6 dB, of 60.
        assert_eq!(grey(&descriptor), [255, 171, 0, 91]);
        descriptor.flags = flags::TGC_PENDING;
        descriptor.tgc_points = 2;
        descriptor.tgc[1] = TgcPoint { depth_mm: 50.0, gain_db: 6.0 };
        // The second sample lies at 50 mm: 6 dB are 25.5 levels more (90.999 before).
        assert_eq!(grey(&descriptor), [255, 196, 0, 116]);
    }

    /// IQ samples are shown like bytes of the same amplitudes.
    #[test]
    fn iq_samples_are_shown_by_their_envelope() {
        let mut descriptor = linear_probe(2, 2);
        (descriptor.domain, descriptor.sample_type) = (Domain::PolarIq as u32, SampleType::I16Pair as u32);
        (descriptor.amplitude_law, descriptor.stride_bytes, descriptor.payload_bytes) = (LAW_LINEAR, 8, 16);
        let frame = descriptor.check().unwrap();
        let payload: Vec<u8> =
            [32_767i16, 0, 0, -3341, 0, 0, 231, 308].into_iter().flat_map(i16::to_le_bytes).collect();
        let display = DisplayPicture::new(2, 2, &frame.geometry, |x, y| {
            frame.geometry.to_plane(LineSample { line: y, sample: x })
        });
        // -19.8 dB and -38.6 dB of 60, as 26 and 3 of 255.
        assert_eq!(display.draw(&frame, &payload, &[]).unwrap().into_raw(), [255, 171, 0, 91]);
    }

    #[test]
    fn invalid_frames_are_refused() {
        let frame = linear_probe(8, 8).check().unwrap();
        let display = DisplayPicture::new(4, 4, &frame.geometry, |x, y| Point { x, y });
        assert!(
            display.draw(&frame, &[0; 63], &[]).unwrap_err().to_string().contains("63 bytes, 64 are needed")
        );
        let other = linear_probe(9, 8).check().unwrap();
        assert!(display.draw(&other, &[0; 72], &[]).unwrap_err().to_string().contains("geometry"));
        let vendor = Frame { law: AmplitudeLaw::VendorTable { table: 1 }, ..frame };
        assert!(display.draw(&vendor, &[0; 64], &[[9; 256]]).unwrap_err().to_string().contains("table 1"));
        let known = Frame { law: AmplitudeLaw::VendorTable { table: 0 }, ..frame };
        assert_eq!(display.draw(&known, &[0; 64], &[[9; 256]]).unwrap().get_pixel(1, 1).0, [9]);
    }
}
