//! Parts of a picture that show different scans, each with its own scale (PS3.3 section C.8.5.5).

use crate::recording::Recording;
use sonotrace_hal::frame::{FrameDescriptor, GeometryKind};
use sonotrace_hal::geometry::Point;
use std::fmt;
use std::ops::Range;

/// A part of the picture with a scan, or with something else.
#[derive(Debug, Clone, PartialEq)]
pub struct ScanRegion {
    /// Its name in messages.
    pub name: String,
    /// Columns of the picture.
    pub columns: Range<u32>,
    /// Rows of the picture.
    pub rows: Range<u32>,
    /// Whether a region of high priority overwrites it where they overlap.
    pub is_low_priority: bool,
    /// What it shows.
    pub(crate) content: Content,
}

/// What a region shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Content {
    /// A two-dimensional picture of tissue.
    Tissue(Scale),
    /// Colour over a picture of tissue.
    ColourFlow,
    /// Something else.
    Other(&'static str),
}

/// The scale of a region.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scale {
    /// Horizontal and vertical pixel pitch; `None` if unknown.
    pub spacing_mm: Option<[f32; 2]>,
    /// Position of the picture's first pixel.
    pub origin_mm: [f32; 2],
    /// Notes on the scale for the user.
    pub notes: Vec<String>,
}

/// Why a point cannot be prompted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegionFault {
    /// It is in no region with a picture of tissue. Names these.
    Outside(String),
    /// It is in a region that shows something else. Names the region and its content.
    NoTissue(String, &'static str),
    /// It is in two regions of the same priority with different scales. Names both.
    Ambiguous(String, String),
}

impl fmt::Display for RegionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(regions) => write!(f, "it is outside {regions}"),
            Self::NoTissue(region, content) => {
                write!(f, "it is in {region}, which shows {content} and not a picture of tissue")
            }
            Self::Ambiguous(first, second) => write!(
                f,
                "it is in both {first} and {second}, which have different scales and the same priority; give --spacing MM, or prompt where they do not overlap"
            ),
        }
    }
}

impl ScanRegion {
    fn contains(&self, at: Point) -> bool {
        let within =
            |range: &Range<u32>, at: f32| at >= range.start as f32 - 0.5 && at < range.end as f32 - 0.5;
        within(&self.columns, at.x) && within(&self.rows, at.y)
    }

    fn scale(&self) -> Option<&Scale> {
        match &self.content {
            Content::Tissue(scale) => Some(scale),
            Content::ColourFlow | Content::Other(_) => None,
        }
    }

    fn pixels(&self) -> u64 {
        u64::from(self.columns.end - self.columns.start) * u64::from(self.rows.end - self.rows.start)
    }

    /// Its name and place.
    fn words(&self) -> String {
        let (columns, rows) = (&self.columns, &self.rows);
        let last = |range: &Range<u32>| range.end.saturating_sub(1);
        format!(
            "{} (columns {}..{} and rows {}..{})",
            self.name,
            columns.start,
            last(columns),
            rows.start,
            last(rows)
        )
    }

    /// The descriptor with this region as its content. Unchanged if it shows no tissue.
    pub(crate) fn describe(&self, picture: FrameDescriptor) -> FrameDescriptor {
        let Some(scale) = self.scale() else { return picture };
        let kind =
            if scale.spacing_mm.is_some() { GeometryKind::Raster } else { GeometryKind::RasterUnknown };
        let [spacing_x_mm, spacing_y_mm] = scale.spacing_mm.unwrap_or([0.0; 2]);
        FrameDescriptor {
            content_column: self.columns.start,
            content_row: self.rows.start,
            content_columns: self.columns.end - self.columns.start,
            content_rows: self.rows.end - self.rows.start,
            geometry: kind as u32,
            spacing_x_mm,
            spacing_y_mm,
            left_mm: scale.origin_mm[0],
            top_mm: scale.origin_mm[1],
            ..picture
        }
    }
}

/// The region to use without a prompt: the largest one with a known scale, else the largest one. Thumbnails are small.
pub(crate) fn largest(regions: &[ScanRegion]) -> Option<usize> {
    let key = |region: &ScanRegion| region.scale().map(|scale| (scale.spacing_mm.is_some(), region.pixels()));
    // Of equal ones, the first.
    let keys = regions.iter().enumerate().rev();
    keys.filter_map(|(index, region)| Some((key(region)?, index)))
        .max_by_key(|(key, _)| *key)
        .map(|(_, at)| at)
}

impl Recording {
    /// The regions of the pictures; empty if they have none, or none that shows tissue.
    #[must_use]
    pub fn regions(&self) -> &[ScanRegion] {
        &self.regions
    }

    /// The region that is in use: its place and scale are those of the frames.
    #[must_use]
    pub fn region(&self) -> Option<&ScanRegion> {
        self.regions.get(self.region)
    }

    /// The region that a prompt at a pixel of the picture is for; `None` if the recording has no regions. Where regions
    /// overlap, it is that of high priority; colour is transparent.
    ///
    /// # Errors
    /// A point in no region, in a region without tissue, or in two regions of equal priority and different scales.
    pub fn region_at(&self, at: Point) -> Result<Option<usize>, RegionFault> {
        if self.regions.is_empty() {
            return Ok(None);
        }
        let here = || {
            let regions = self.regions.iter().enumerate();
            regions.filter(|(_, region)| region.contains(at) && region.content != Content::ColourFlow)
        };
        let is_high = here().any(|(_, region)| !region.is_low_priority);
        let first = || here().filter(|(_, region)| region.is_low_priority != is_high);
        let mut tissue: Vec<(usize, &ScanRegion)> =
            first().filter(|(_, region)| region.scale().is_some()).collect();
        tissue.sort_by_key(|(_, region)| std::cmp::Reverse(region.pixels()));
        let Some(&(index, region)) = tissue.first() else {
            return Err(match first().next() {
                Some((_, ScanRegion { name, content: Content::Other(content), .. })) => {
                    RegionFault::NoTissue(name.clone(), content)
                }
                _ => {
                    let tissue = self.regions.iter().filter(|region| region.scale().is_some());
                    RegionFault::Outside(tissue.map(ScanRegion::words).collect::<Vec<_>>().join(" and "))
                }
            });
        };
        let spacing = |region: &ScanRegion| region.scale().map(|scale| scale.spacing_mm);
        match tissue.iter().find(|(_, other)| spacing(other) != spacing(region)) {
            Some((_, other)) => Err(RegionFault::Ambiguous(region.name.clone(), other.name.clone())),
            None => Ok(Some(index)),
        }
    }

    /// Uses another region: changes place and scale of all frames, and the notes on them. Does nothing if there is no such
    /// region, or if it shows no tissue.
    pub fn select_region(&mut self, index: usize) {
        let Some((region, scale)) =
            self.regions.get(index).and_then(|region| Some((region, region.scale()?)))
        else {
            return;
        };
        for frame in &mut self.frames {
            frame.descriptor = region.describe(frame.descriptor);
        }
        let notes = scale.notes.clone();
        let end = self.region_notes.start + notes.len();
        self.notes.splice(self.region_notes.clone(), notes);
        self.region_notes.end = end;
        self.region = index;
    }
}
