//! Images and masks of a data folder: `images/NAME.jpg` (or `.png`) with `masks/NAME.png`, 0 for background and an id per object. A
//! set with a folder `masks_muscle` has the muscle's belly there and only thin lines in `masks`; `masks_muscle` is used.
//!
//! They are read as `python -m sonotrace_models pack` reads them, and what it refuses is refused: a model would be judged on
//! something else than it was trained on.

use super::manifest::Row;
use anyhow::{Context, Result, bail, ensure};
use image::codecs::png::PngDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader};
use sonotrace_replay::{Options, PICTURE_BYTES_MAX, Recorded, picture};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

/// Folders of masks; the first that exists is used.
pub const MASK_FOLDERS: [&str; 2] = ["masks_muscle", "masks"];
/// Endings of images.
const ENDINGS: [&str; 2] = ["jpg", "png"];
/// A 16-bit image whose brightest level is below this one would be nearly black.
const WIDE_MIN: u16 = 4096;
/// Difference between colour channels, in grey levels, from which a pixel is coloured.
const COLOURED: u8 = 24;
/// Share of coloured pixels that is accepted: JPEG colours edges a little.
const COLOURED_SHARE_MAX: f64 = 0.001;
/// Start of a PNG whose pixels are grey levels: signature, and the header's length and name.
const PNG_START: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
/// Places of the bit depth and of the colour type in a PNG.
const PNG_DEPTH_AT: usize = 24;

/// The image of a row as one frame, and its file.
///
/// # Errors
/// A file that does not exist, cannot be read, or is not a grey picture as it is shown.
pub fn read_image(folder: &Path, row: &Row) -> Result<(PathBuf, Recorded)> {
    let images = folder.join(&row.set).join("images");
    let Some(path) = ENDINGS.map(|ending| file(&images, row, ending)).into_iter().find(|path| path.is_file())
    else {
        let path = file(&images, row, ENDINGS[0]);
        bail!(
            "{} does not exist, nor does the .png (manifest, line {}){}",
            path.display(),
            row.line,
            others(&images, &row.name)
        );
    };
    let recorded = image_of(&path)?;
    Ok((path, recorded))
}

/// A picture file as one frame.
///
/// # Errors
/// A file that cannot be read, or is not a grey picture as it is shown.
pub fn image_of(path: &Path) -> Result<Recorded> {
    let bytes = content(path)?;
    let recording = picture::read(path, &bytes, &Options::default())?;
    let [recorded] = <[Recorded; 1]>::try_from(recording.frames)
        .map_err(|frames| anyhow::anyhow!("{} has {} frames, expected one", path.display(), frames.len()))?;
    check_grey(&bytes).with_context(|| path.display().to_string())?;
    Ok(recorded)
}

/// `FOLDER/NAME.ENDING`. A name may have dots.
fn file(folder: &Path, row: &Row, ending: &str) -> PathBuf {
    folder.join(format!("{}.{ending}", row.name))
}

/// The content of a file that is not larger than a picture may be.
fn content(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path)
        .and_then(|file| file.take(PICTURE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(read as u64 <= PICTURE_BYTES_MAX, "{} has more than {PICTURE_BYTES_MAX} bytes", path.display());
    Ok(bytes)
}

/// A hint on files with that name and another ending.
pub fn others(folder: &Path, name: &str) -> String {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|path| path.file_stem().is_some_and(|stem| stem == name))
        .filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .collect();
    found.sort();
    if found.is_empty() {
        return String::new();
    }
    format!("; there is {}: convert it to PNG", found.join(", "))
}

/// Refuses pictures that are not grey, are nearly black, or are turned when they are shown.
fn check_grey(bytes: &[u8]) -> Result<()> {
    let mut decoder = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?.into_decoder()?;
    ensure!(
        decoder.orientation()? == Orientation::NoTransforms,
        "is turned by its EXIF orientation when it is shown, its mask is not: save it turned"
    );
    let picture = DynamicImage::from_decoder(decoder)?;
    if let DynamicImage::ImageLuma8(_) = picture {
        return Ok(());
    }
    if let DynamicImage::ImageLuma16(wide) = picture {
        let brightest = wide.as_raw().iter().copied().max().unwrap_or(0);
        ensure!(
            brightest >= WIDE_MIN,
            "the brightest of its 16-bit levels is {brightest} of 65535; scale them to the whole range"
        );
        return Ok(());
    }
    let is_transparent =
        picture.color().has_alpha() && picture.to_rgba8().pixels().any(|pixel| pixel.0[3] < 255);
    ensure!(!is_transparent, "has transparent pixels; save it without transparency");
    let colours = picture.to_rgb8();
    let is_coloured =
        |[red, green, blue]: [u8; 3]| red.max(green).max(blue) - red.min(green).min(blue) >= COLOURED;
    let mut coloured = colours.enumerate_pixels().filter(|(_, _, pixel)| is_coloured(pixel.0));
    if let Some((x, y, _)) = coloured.next() {
        let share =
            (1 + coloured.count()) as f64 / (f64::from(colours.width()) * f64::from(colours.height()));
        ensure!(
            share <= COLOURED_SHARE_MAX,
            "{:.1}% of its pixels are coloured, the first at x {x}, y {y}: an overlay or Doppler; give grey images without it",
            share * 100.0
        );
    }
    Ok(())
}

/// The object ids of a row's image; none if the set has no mask of it.
///
/// # Errors
/// A mask that cannot be read, has another size than its image, does not hold ids as 8-bit grey levels, or has another ending.
pub fn read_mask(folder: &Path, row: &Row, size: (u32, u32)) -> Result<Option<GrayImage>> {
    let set = folder.join(&row.set);
    let Some(masks) = MASK_FOLDERS.map(|name| set.join(name)).into_iter().find(|path| path.is_dir()) else {
        return Ok(None);
    };
    let path = file(&masks, row, "png");
    if !path.is_file() {
        let hint = others(&masks, &row.name);
        ensure!(hint.is_empty(), "{} does not exist{hint}", path.display());
        return Ok(None);
    }
    Ok(Some(mask_of(&path, size)?))
}

/// The object ids of a mask file.
///
/// # Errors
/// A mask that cannot be read, has another size than its image, or does not hold ids as 8-bit grey levels.
pub fn mask_of(path: &Path, size: (u32, u32)) -> Result<GrayImage> {
    let bytes = content(path)?;
    let kind = bytes.get(PNG_DEPTH_AT..PNG_DEPTH_AT + 2);
    let (true, Some(&[depth, colour])) = (bytes.starts_with(PNG_START), kind) else {
        bail!("{} is not a PNG", path.display());
    };
    // Ids of fewer bits would be scaled to grey levels.
    ensure!(
        (depth, colour) == (8, 0),
        "{} has {depth} bits of colour type {colour}, expected ids 1 to 255 as 8-bit grey levels",
        path.display()
    );
    // Before it is decoded: the image's size is limited, the mask's could be any.
    let decoder = PngDecoder::new(Cursor::new(&bytes)).with_context(|| path.display().to_string())?;
    let (width, height) = decoder.dimensions();
    ensure!(
        (width, height) == size,
        "{} has {width} x {height} pixels, its image {} x {}",
        path.display(),
        size.0,
        size.1
    );
    let picture =
        DynamicImage::from_decoder(decoder).with_context(|| format!("cannot read {}", path.display()))?;
    let DynamicImage::ImageLuma8(ids) = picture else {
        bail!("{} has transparent pixels, expected ids 1 to 255 as 8-bit grey levels", path.display());
    };
    Ok(ids)
}
