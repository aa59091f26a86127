//! Ultrasound region calibration (PS3.3 section C.8.5.5): place of the scan on the picture, and pixel pitch.
//!
//! The first two-dimensional tissue region gives the content rectangle. Its physical deltas give the pixel pitch, if
//! they are positive and in centimetres. Some files were scaled down later and kept the calibration of the larger
//! picture, so that their regions reach outside the picture. Such a region is ignored, unless the user gives the
//! original size ([`Options::calibrated_size`]).

use super::elements::Elements;
use super::value::Value;
use crate::error::{ReplayError, Source};
use crate::options::Options;
use crate::recording::Recorder;
use dicom_dictionary_std::tags;
use sonotrace_hal::frame::{DEPTH_MAX_MM, FrameDescriptor, GeometryKind};

/// Region Spatial Format: two-dimensional.
const SPATIAL_2D: u16 = 1;
/// Region Data Type: tissue.
const DATA_TISSUE: u16 = 1;
/// Physical Units: centimetres.
const UNITS_CM: u16 = 3;
/// Plausible pixel pitches in millimetres.
const PITCH_MM: std::ops::RangeInclusive<f64> = 1e-4..=10.0;

/// One ultrasound region. Attributes that are missing in the file are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Region {
    /// Region Spatial Format.
    spatial_format: Option<u16>,
    /// Region Data Type.
    data_type: Option<u16>,
    /// Region Location Min X0, Min Y0, Max X1, Max Y1: the outermost pixels, inclusive.
    location: [Option<u32>; 4],
    /// Physical Units X and Y Direction.
    units: [Option<u16>; 2],
    /// Reference Pixel X0 and Y0, relative to the region's first pixel.
    reference: [Option<i32>; 2],
    /// Reference Pixel Physical Value X and Y, in `units`.
    reference_value: [Option<f64>; 2],
    /// Physical Delta X and Y, in `units`.
    delta: [Option<f64>; 2],
}

impl Region {
    /// Reads one item of the Sequence Of Ultrasound Regions.
    pub fn read<'a>(source: Source<'a>, mut elements: Elements<'a>) -> Result<Self, ReplayError> {
        let mut region = Self::default();
        while let Some(element) = elements.next()? {
            let value = Value { source, element };
            match element.tag {
                tags::REGION_SPATIAL_FORMAT => region.spatial_format = Some(value.u16()?),
                tags::REGION_DATA_TYPE => region.data_type = Some(value.u16()?),
                tags::REGION_LOCATION_MIN_X0 => region.location[0] = Some(value.u32()?),
                tags::REGION_LOCATION_MIN_Y0 => region.location[1] = Some(value.u32()?),
                tags::REGION_LOCATION_MAX_X1 => region.location[2] = Some(value.u32()?),
                tags::REGION_LOCATION_MAX_Y1 => region.location[3] = Some(value.u32()?),
                tags::REFERENCE_PIXEL_X0 => region.reference[0] = Some(value.i32()?),
                tags::REFERENCE_PIXEL_Y0 => region.reference[1] = Some(value.i32()?),
                tags::PHYSICAL_UNITS_X_DIRECTION => region.units[0] = Some(value.u16()?),
                tags::PHYSICAL_UNITS_Y_DIRECTION => region.units[1] = Some(value.u16()?),
                tags::REFERENCE_PIXEL_PHYSICAL_VALUE_X => region.reference_value[0] = Some(value.f64()?),
                tags::REFERENCE_PIXEL_PHYSICAL_VALUE_Y => region.reference_value[1] = Some(value.f64()?),
                tags::PHYSICAL_DELTA_X => region.delta[0] = Some(value.f64()?),
                tags::PHYSICAL_DELTA_Y => region.delta[1] = Some(value.f64()?),
                _ => {}
            }
        }
        Ok(region)
    }

    fn is_tissue(&self) -> bool {
        self.spatial_format == Some(SPATIAL_2D) && self.data_type == Some(DATA_TISSUE)
    }

    /// Horizontal and vertical pixel pitch in millimetres, or the reason why there is none.
    fn pitch_mm(&self) -> Result<[f64; 2], String> {
        if self.units != [Some(UNITS_CM); 2] {
            return Err("its units are not centimetres in both directions".to_owned());
        }
        let [Some(x_cm), Some(y_cm)] = self.delta else {
            return Err("it does not store the pixel size".to_owned());
        };
        let pitch_mm = [10.0 * x_cm, 10.0 * y_cm];
        if !pitch_mm.iter().all(|pitch| PITCH_MM.contains(pitch)) {
            return Err(format!("its pixels would be {} x {} mm", pitch_mm[0], pitch_mm[1]));
        }
        Ok(pitch_mm)
    }

    /// Start and end (exclusive) of the columns and of the rows, in pixels of the picture that was calibrated.
    fn edges(&self) -> Option<[[f64; 2]; 2]> {
        let [Some(left), Some(top), Some(right), Some(bottom)] = self.location else { return None };
        (right > left && bottom > top).then(|| {
            let edges = |first: u32, last: u32| [f64::from(first), f64::from(last) + 1.0];
            [edges(left, right), edges(top, bottom)]
        })
    }
}

/// The descriptor `picture` with content rectangle and scale from the regions. Notes give the reason if there are none.
pub(super) fn calibrate(
    regions: &[Region],
    picture: FrameDescriptor,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> FrameDescriptor {
    let found = choose(regions);
    let calibrated = match found {
        Some((number, region)) => {
            let name = format!("ultrasound region {number} of {}", regions.len());
            place(region, &name, picture, options, recorder)
        }
        None if regions.is_empty() => Err("the file has no ultrasound region".to_owned()),
        None => {
            Err("none of the file's ultrasound regions is a two-dimensional picture of tissue".to_owned())
        }
    };
    match calibrated {
        Ok(descriptor) => descriptor,
        Err(reason) => {
            if options.spacing_mm.is_none() {
                recorder.note(format!(
                    "no calibration, measurements are in pixels only: {reason}; give --spacing MM if you know it"
                ));
            }
            picture
        }
    }
}

/// The first tissue region in centimetres, else the first tissue region; with its number, counted from 1.
fn choose(regions: &[Region]) -> Option<(usize, &Region)> {
    let mut tissue = (1..).zip(regions).filter(|(_, region)| region.is_tissue());
    let in_cm = tissue.clone().find(|(_, region)| region.units == [Some(UNITS_CM); 2]);
    in_cm.or_else(|| tissue.next())
}

/// Applies a region to the descriptor of the picture, or returns the reason why it cannot. If only the scale is
/// unusable, the content rectangle is kept and a note says why.
fn place(
    region: &Region,
    name: &str,
    picture: FrameDescriptor,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Result<FrameDescriptor, String> {
    let size = [picture.samples, picture.lines];
    let calibrated_size = options.calibrated_size.map(|(width, height)| [width, height]);
    let Some(edges) = region.edges() else {
        return Err(format!("{name} does not store its place on the picture"));
    };
    let on = calibrated_size.unwrap_or(size);
    // Some files store the end exclusive: one pixel outside does not mean that the picture was scaled.
    if (0..2).any(|axis| edges[axis][1] > f64::from(on[axis]) + 1.0) {
        let [[left, right], [top, bottom]] = edges;
        let spans = format!("spans columns {left}..{} and rows {top}..{}", right - 1.0, bottom - 1.0);
        return Err(match calibrated_size {
            None => format!(
                "{name} {spans}, outside the picture of {}x{}: it was calibrated on a larger picture, whose size can be given, for example --calibrated-size 640x480",
                size[0], size[1]
            ),
            Some([width, height]) => {
                format!("{name} {spans}, outside the {width}x{height} of --calibrated-size")
            }
        });
    }
    // From pixels of the picture that was calibrated to pixels of this one.
    let scale = [0, 1].map(|axis| f64::from(size[axis]) / f64::from(on[axis]));
    if (scale[0] / scale[1] - 1.0).abs() > 0.01 {
        recorder.note(
            "--calibrated-size has another aspect ratio than the picture: correct if the picture was squeezed, wrong if it was cropped",
        );
    }
    // Whole pixels inside the region; a millionth of a pixel is a rounding error.
    let first = [0, 1].map(|axis| (edges[axis][0] * scale[axis] - 1e-6).ceil().max(0.0) as u32);
    let end = [0, 1].map(|axis| ((edges[axis][1] * scale[axis] + 1e-6).floor() as u32).min(size[axis]));
    let extent = [0, 1].map(|axis| end[axis].saturating_sub(first[axis]));
    if extent.iter().any(|&pixels| pixels < 2) {
        return Err(format!("{name} is smaller than two pixels"));
    }
    let mut descriptor = FrameDescriptor {
        content_column: first[0],
        content_row: first[1],
        content_columns: extent[0],
        content_rows: extent[1],
        ..picture
    };
    if let Some(spacing_mm) = options.spacing_mm {
        recorder.note(format!(
            "{spacing_mm} mm per pixel, as given with --spacing; the place of the scan is from {name}"
        ));
        return Ok(descriptor);
    }
    let pitch_mm = match region.pitch_mm() {
        Ok(pitch_mm) => [0, 1].map(|axis| pitch_mm[axis] / scale[axis]),
        Err(reason) => {
            recorder.note(format!(
                "no calibration, measurements are in pixels only: {name}: {reason}; give --spacing MM if you know it"
            ));
            return Ok(descriptor);
        }
    };
    if !pitch_mm.iter().all(|pitch| PITCH_MM.contains(pitch)) {
        recorder.note(format!("no calibration, measurements are in pixels only: with --calibrated-size, pixels would be {} x {} mm", pitch_mm[0], pitch_mm[1]));
        return Ok(descriptor);
    }
    descriptor.geometry = GeometryKind::Raster as u32;
    descriptor.spacing_x_mm = pitch_mm[0] as f32;
    descriptor.spacing_y_mm = pitch_mm[1] as f32;
    let origin = origin_mm(region, edges, scale, pitch_mm);
    descriptor.left_mm = origin[0];
    descriptor.top_mm = origin[1];
    recorder.note(format!(
        "{:.4} x {:.4} mm per pixel, from {name}, columns {}..{} and rows {}..{} of the picture",
        pitch_mm[0],
        pitch_mm[1],
        first[0],
        end[0] - 1,
        first[1],
        end[1] - 1
    ));
    Ok(descriptor)
}

/// Position in millimetres of the centre of the picture's first pixel, from the region's reference pixel. If that is
/// missing or implausible, the region's middle is the probe's axis and its top edge is the probe's face.
fn origin_mm(region: &Region, edges: [[f64; 2]; 2], scale: [f64; 2], pitch_mm: [f64; 2]) -> [f32; 2] {
    let [[left, right], [top, _]] = edges;
    let assumed_zero = [(left + right) / 2.0, top];
    [0, 1].map(|axis| {
        let from_reference = region.reference[axis].map(|reference| {
            let centre = edges[axis][0] + f64::from(reference) + 0.5;
            10.0 * region.reference_value[axis].unwrap_or(0.0) + (0.5 - centre * scale[axis]) * pitch_mm[axis]
        });
        let assumed = (0.5 - assumed_zero[axis] * scale[axis]) * pitch_mm[axis];
        let is_plausible = |mm: &f64| mm.abs() <= f64::from(DEPTH_MAX_MM);
        let mm = from_reference.filter(is_plausible).or(Some(assumed).filter(is_plausible));
        mm.unwrap_or(0.0) as f32
    })
}
