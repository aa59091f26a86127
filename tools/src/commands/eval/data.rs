//! A folder of ultrasound data sets: `MANIFEST.csv`, and per set `images/NAME.jpg` (or `.png`) with `masks/NAME.png`, 0
//! for background and an id per object. A set with a folder `masks_muscle` has the muscle's belly there and only thin
//! lines in `masks`; `masks_muscle` is used.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sonotrace::vision::InputGrid;
use std::path::{Path, PathBuf};

use super::protocol::Mask;

/// One image of the manifest. Other columns are only for training.
#[derive(Debug, Clone, Deserialize)]
pub struct Row {
    #[serde(rename = "set")]
    pub set: String,
    pub name: String,
    #[serde(default)]
    split: String,
}

/// The rows of `MANIFEST.csv`, of one split or of all.
///
/// # Errors
/// A file that is missing, is not such a table, or has no row of the split.
pub fn manifest(folder: &Path, split: Option<&str>) -> Result<Vec<Row>> {
    let path = folder.join("MANIFEST.csv");
    let mut reader =
        csv::Reader::from_path(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let rows: Vec<Row> =
        reader.deserialize().collect::<Result<_, _>>().with_context(|| format!("{}", path.display()))?;
    let splits = rows.iter().map(|row| row.split.clone()).collect::<std::collections::BTreeSet<_>>();
    let wanted: Vec<Row> = match split {
        Some(split) => rows.into_iter().filter(|row| row.split == split).collect(),
        None => rows,
    };
    if wanted.is_empty() {
        bail!("{} has no row of the split {split:?}: it has {splits:?}", path.display());
    }
    Ok(wanted)
}

impl Row {
    /// The picture's file.
    ///
    /// # Errors
    /// A file that is missing.
    pub fn picture(&self, folder: &Path) -> Result<PathBuf> {
        let images = folder.join(&self.set).join("images");
        ["jpg", "png"]
            .iter()
            .map(|extension| images.join(format!("{}.{extension}", self.name)))
            .find(|path| path.is_file())
            .with_context(|| format!("{} has no {}.jpg or .png", images.display(), self.name))
    }

    /// The object ids, row by row, with width and height; none if the set has no mask of this image.
    ///
    /// # Errors
    /// A mask that cannot be read.
    pub fn ids(&self, folder: &Path) -> Result<Option<image::GrayImage>> {
        let set = folder.join(&self.set);
        let masks = ["masks_muscle", "masks"].iter().map(|name| set.join(name)).find(|path| path.is_dir());
        let Some(path) = masks.map(|masks| masks.join(format!("{}.png", self.name))) else {
            return Ok(None);
        };
        if !path.is_file() {
            return Ok(None);
        }
        let picture = image::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        match picture {
            image::DynamicImage::ImageLuma8(ids) => Ok(Some(ids)),
            other => bail!("{} is {:?}, expected ids as 8-bit grey levels", path.display(), other.color()),
        }
    }
}

/// The ids on the network's input grid, from the nearest pixel of the picture; 0 in the padding.
pub fn on_grid(ids: &image::GrayImage, grid: &InputGrid) -> Vec<u8> {
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
