//! Ultrasound region calibration (PS3.3 section C.8.5.5): place of the scan on the picture, and pixel pitch.
//!
//! A two-dimensional tissue region gives the content rectangle: the largest one, or the one with the prompt. Its physical
//! deltas give the pixel pitch, if they are in centimetres and possible for a probe. Some files were scaled down later and kept the calibration of the larger
//! picture, so that their regions reach outside the picture. Such a region is ignored, unless the user gives the
//! original size ([`Options::calibrated_size`]).

use super::attributes::Attributes;
use super::elements::Elements;
use super::value::Value;
use crate::error::{ReplayError, Source};
use crate::options::Options;
use crate::recording::Recorder;
use crate::scan_region::{Content, Scale, ScanRegion};
use dicom_dictionary_std::tags;
use sonotrace_hal::frame::{DEPTH_MAX_MM, FrameDescriptor, GeometryKind};

/// Region Spatial Format: two-dimensional.
const SPATIAL_2D: u16 = 1;
/// Region Data Type: tissue.
const DATA_TISSUE: u16 = 1;
/// Physical Units: centimetres.
const UNITS_CM: u16 = 3;
/// Region Flags, bit 0: other regions overwrite this one.
const LOW_PRIORITY: u32 = 1;
/// Possible pixel pitches in millimetres. The finest is below the wavelength of the fastest probes (20 um), the coarsest is
/// that of 24 cm on 128 pixels.
const PITCH_MM: std::ops::RangeInclusive<f64> = 0.005..=1.9;
/// Greatest depth of a scan in millimetres: no scanner shows more than about 360.
const SCAN_DEPTH_MAX_MM: f64 = 400.0;
/// Greatest width of a scan in millimetres: a sector of that depth.
const WIDTH_MAX_MM: f64 = 600.0;

/// One ultrasound region. Attributes that are missing in the file are `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Region {
    /// Region Spatial Format.
    spatial_format: Option<u16>,
    /// Region Data Type.
    data_type: Option<u16>,
    /// Region Flags.
    flags: u32,
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
                tags::REGION_FLAGS => region.flags = value.u32()?,
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
        Ok([10.0 * x_cm, 10.0 * y_cm])
    }

    /// What it shows; with this scale, if it is a picture of tissue.
    fn content(&self, scale: Scale) -> Content {
        match (self.spatial_format, self.data_type) {
            _ if self.is_tissue() => Content::Tissue(scale),
            (Some(SPATIAL_2D), Some(2)) => Content::ColourFlow,
            (Some(SPATIAL_2D), _) => Content::Other("another kind of picture"),
            (Some(2), _) => Content::Other("M-mode"),
            (Some(3), _) => Content::Other("a spectrum"),
            (Some(4), _) => Content::Other("a curve over time"),
            (Some(5), _) => Content::Other("graphics"),
            _ => Content::Other("data of an unknown kind"),
        }
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

/// The descriptor `picture` with content rectangle and scale from the regions: from the largest one, until a prompt
/// selects another. Without regions, the pixel spacing gives the scale. Notes give the reason if there is none.
pub(super) fn calibrate(
    attributes: &Attributes<'_>,
    picture: FrameDescriptor,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> FrameDescriptor {
    let regions = &attributes.regions;
    let mut placed = Vec::new();
    let mut reason = match regions.iter().any(Region::is_tissue) {
        true => None,
        false if regions.is_empty() => Some("the file has no ultrasound region".to_owned()),
        false => {
            Some("none of the file's ultrasound regions is a two-dimensional picture of tissue".to_owned())
        }
    };
    for (number, region) in (1..).zip(regions) {
        let name = format!("ultrasound region {number} of {}", regions.len());
        match place(region, &name, picture, options) {
            Ok(region) => placed.push(region),
            // A region that is no picture of tissue need not have a place.
            Err(problem) if region.is_tissue() => reason = reason.or(Some(problem)),
            Err(_) => {}
        }
    }
    let described = recorder.set_regions(placed).map(|region| {
        let notes = match &region.content {
            Content::Tissue(scale) => scale.notes.clone(),
            Content::ColourFlow | Content::Other(_) => Vec::new(),
        };
        (region.describe(picture), notes)
    });
    match described {
        Some((descriptor, notes)) => {
            recorder.region_notes(&notes);
            descriptor
        }
        None if options.spacing_mm.is_some() => picture,
        None => {
            if let (true, &[y_mm, x_mm]) = (regions.is_empty(), &attributes.spacing_mm[..]) {
                match plausible([x_mm, y_mm], [picture.samples, picture.lines], "millimetres") {
                    Ok(_) => {
                        recorder.note(format!("{x_mm:.4} x {y_mm:.4} mm per pixel, from the pixel spacing"));
                        return FrameDescriptor {
                            geometry: GeometryKind::Raster as u32,
                            spacing_x_mm: x_mm as f32,
                            spacing_y_mm: y_mm as f32,
                            ..picture
                        };
                    }
                    Err(problem) => reason = Some(format!("the pixel spacing: {problem}")),
                }
            }
            recorder.note(no_calibration(&reason.unwrap_or_default()));
            picture
        }
    }
}

fn no_calibration(reason: &str) -> String {
    format!("no calibration, measurements are in pixels only: {reason}; give --spacing MM if you know it")
}

/// Finds a region's place on the picture and its scale, or returns the reason why it has no place. If only the scale is
/// unusable, a note says why.
fn place(
    region: &Region,
    name: &str,
    picture: FrameDescriptor,
    options: &Options,
) -> Result<ScanRegion, String> {
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
    // Whole pixels inside the region; a millionth of a pixel is a rounding error.
    let first = [0, 1].map(|axis| (edges[axis][0] * scale[axis] - 1e-6).ceil().max(0.0) as u32);
    let end = [0, 1].map(|axis| ((edges[axis][1] * scale[axis] + 1e-6).floor() as u32).min(size[axis]));
    let extent = [0, 1].map(|axis| end[axis].saturating_sub(first[axis]));
    if extent.iter().any(|&pixels| pixels < 2) {
        return Err(format!("{name} is smaller than two pixels"));
    }
    let mut notes = Vec::new();
    if (scale[0] / scale[1] - 1.0).abs() > 0.01 {
        notes.push(
            "--calibrated-size has another aspect ratio than the picture: correct if the picture was squeezed, wrong if it was cropped".to_owned(),
        );
    }
    let (mut spacing_mm, mut origin) = (None, [0.0; 2]);
    if let Some(given_mm) = options.spacing_mm {
        notes.push(format!(
            "{given_mm} mm per pixel, as given with --spacing; the place of the scan is from {name}"
        ));
        spacing_mm = Some([given_mm; 2]);
    } else {
        let pitch_mm = region.pitch_mm().map(|pitch_mm| [0, 1].map(|axis| pitch_mm[axis] / scale[axis]));
        match pitch_mm.and_then(|pitch_mm| plausible(pitch_mm, extent, "centimetres")) {
            Ok(pitch_mm) => {
                notes.push(format!(
                    "{:.4} x {:.4} mm per pixel, from {name}, columns {}..{} and rows {}..{} of the picture",
                    pitch_mm[0],
                    pitch_mm[1],
                    first[0],
                    end[0] - 1,
                    first[1],
                    end[1] - 1
                ));
                spacing_mm = Some(pitch_mm.map(|mm| mm as f32));
                origin = origin_mm(region, edges, scale, pitch_mm);
            }
            Err(reason) => notes.push(no_calibration(&format!("{name}: {reason}"))),
        }
    }
    let scale = Scale { spacing_mm, origin_mm: origin, notes };
    Ok(ScanRegion {
        name: name.to_owned(),
        columns: first[0]..end[0],
        rows: first[1]..end[1],
        is_low_priority: region.flags & LOW_PRIORITY != 0,
        content: region.content(scale),
    })
}

/// The pitch, or the limit that a scan of this pitch and size in pixels exceeds.
fn plausible(pitch_mm: [f64; 2], extent: [u32; 2], unit: &str) -> Result<[f64; 2], String> {
    let [x_mm, y_mm] = pitch_mm;
    if !pitch_mm.iter().all(|pitch| PITCH_MM.contains(pitch)) {
        let (min, max) = (PITCH_MM.start(), PITCH_MM.end());
        return Err(format!(
            "its pixels would be {x_mm} x {y_mm} mm, and {min} to {max} mm are possible (the file must give {unit})"
        ));
    }
    let side_mm = [0, 1].map(|axis| pitch_mm[axis] * f64::from(extent[axis]));
    for (what, side_mm, max_mm) in
        [("wide", side_mm[0], WIDTH_MAX_MM), ("deep", side_mm[1], SCAN_DEPTH_MAX_MM)]
    {
        if side_mm > max_mm {
            return Err(format!(
                "the scan would be {side_mm:.0} mm {what}, and at most {max_mm} mm are possible (the file must give {unit})"
            ));
        }
    }
    Ok(pitch_mm)
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
