//! A folder of ultrasound data sets: `MANIFEST.csv`, and per set a folder of images and one of masks. It is checked as a whole: what is
//! wrong in one split can make the figures of another wrong, as with a picture in both.

use super::manifest::{self, Row};
use super::pictures::{MASK_FOLDERS, read_image, read_mask};
use super::protocol::Mask;
use super::workers::on_all_cores;
use anyhow::{Result, bail};
use image::GrayImage;
use sonotrace::vision::InputGrid;
use sonotrace_replay::Recorded;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Objects with fewer pixels on the input grid are left out and counted.
pub const OBJECT_PX_MIN: usize = 40;

/// A row's image, and its object ids if it has a mask.
pub struct Loaded {
    /// The image as a frame.
    pub recorded: Recorded,
    /// Its object ids.
    pub ids: Option<GrayImage>,
}

impl Loaded {
    /// Reads both.
    ///
    /// # Errors
    /// A file that cannot be used, with its name.
    pub fn read(folder: &Path, row: &Row) -> Result<Self> {
        let (_, recorded) = read_image(folder, row)?;
        let size = (recorded.descriptor.samples, recorded.descriptor.lines);
        Ok(Self { ids: read_mask(folder, row, size)?, recorded })
    }

    /// The objects on the input grid that are large enough, and the number of smaller ones.
    ///
    /// # Errors
    /// A frame that no grid can be laid over.
    pub fn objects(&self, size: u32) -> Result<(Vec<(u8, Mask)>, usize)> {
        let Some(ids) = &self.ids else { return Ok((Vec::new(), 0)) };
        let grid = InputGrid::new(&self.recorded.descriptor.check()?.geometry, size)?;
        let all = objects(&on_grid(ids, &grid), size as usize);
        let (large, small): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, mask)| mask.area() >= OBJECT_PX_MIN);
        Ok((large, small.len()))
    }
}

/// A row that was read without fault.
#[derive(Debug)]
pub struct Checked {
    /// Hash of the image's grey levels.
    content: blake3::Hash,
    /// Whether there is a mask.
    pub has_mask: bool,
    /// Number of its objects that are large enough.
    pub objects: usize,
}

/// A data folder that can be used.
#[derive(Debug)]
pub struct Data {
    /// All rows of the manifest.
    pub rows: Vec<Row>,
    /// What is known of each.
    pub checked: Vec<Checked>,
}

impl Data {
    /// Reads a whole folder, on all cores. `size` is the side of the input grid.
    ///
    /// # Errors
    /// The first row in the manifest's order that cannot be used, with file and reason; a picture in two splits.
    pub fn read(folder: &Path, size: u32) -> Result<Self> {
        let rows = manifest::read(folder)?;
        let found = on_all_cores(rows.len(), |pieces| Ok(pieces.each(|at| check(folder, &rows[at], size))))?;
        let (mut checked, mut first) = (Vec::with_capacity(rows.len()), HashMap::new());
        for (at, row) in found.into_iter().enumerate() {
            let before: &Row = first.entry(row.content).or_insert(&rows[at]);
            if before.split != rows[at].split {
                let name = |row: &Row| {
                    format!("{} ({})", folder.join(&row.set).join(&row.name).display(), row.split)
                };
                bail!(
                    "{} and {} are the same picture; an image belongs to one split",
                    name(before),
                    name(&rows[at])
                );
            }
            checked.push(row);
        }
        Ok(Self { rows, checked })
    }

    /// Images without a mask, of the rows that `is_wanted`: their number by set, with the first one's name.
    pub fn without_mask(&self, is_wanted: impl Fn(&Row) -> bool) -> BTreeMap<&str, (usize, &str)> {
        let mut counts = BTreeMap::new();
        for (row, checked) in self.rows.iter().zip(&self.checked) {
            if !checked.has_mask && is_wanted(row) {
                counts.entry(row.set.as_str()).or_insert((0, row.name.as_str())).0 += 1;
            }
        }
        counts
    }
}

/// The lines about images without a mask.
pub fn text_without_mask(counts: &BTreeMap<&str, (usize, &str)>) -> String {
    let folders = MASK_FOLDERS.join(" or ");
    let line = |(set, (count, first)): (&&str, &(usize, &str))| {
        format!("{set}: {count} images have no mask in {folders}, the first is {first}\n")
    };
    counts.iter().map(line).collect()
}

fn check(folder: &Path, row: &Row, size: u32) -> Result<Checked> {
    let loaded = Loaded::read(folder, row)?;
    Ok(Checked {
        content: blake3::hash(&loaded.recorded.payload),
        has_mask: loaded.ids.is_some(),
        objects: loaded.objects(size)?.0.len(),
    })
}

/// The ids on the network's input grid, from the nearest pixel of the picture; 0 in the padding.
pub fn on_grid(ids: &GrayImage, grid: &InputGrid) -> Vec<u8> {
    let (size, columns, rows) = (grid.size(), grid.columns(), grid.rows());
    let nearest = |at: u32, extent: u32, cells: u32| {
        let position = (f64::from(at) + 0.5) * f64::from(extent) / f64::from(cells);
        (position as u32).min(extent - 1)
    };
    let mut cells = vec![0; (size * size) as usize];
    for y in 0..rows {
        for x in 0..columns {
            let from = (nearest(x, ids.width(), columns), nearest(y, ids.height(), rows));
            cells[(y * size + x) as usize] = ids.get_pixel(from.0, from.1).0[0];
        }
    }
    cells
}

/// Each object on the grid: its id and mask, in order.
pub fn objects(ids: &[u8], side: usize) -> Vec<(u8, Mask)> {
    let present = ids.iter().copied().filter(|&id| id > 0).collect::<std::collections::BTreeSet<u8>>();
    present
        .into_iter()
        .map(|id| (id, Mask { side, pixels: ids.iter().map(|&at| at == id).collect() }))
        .collect()
}
