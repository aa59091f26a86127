//! Loops as pictures: `LOOP/images/NN.png` (or `.jpg`) with `LOOP/masks/NN.png`, an id per object; hard loops in a folder for each
//! kind, `KIND/LOOP/`.

use super::super::data::{OBJECT_PX_MIN, objects, on_grid};
use super::super::pictures::{image_of, mask_of, others};
use super::super::protocol::Mask;
use anyhow::{Context, Result, bail, ensure};
use sonotrace::tracking::PLACES;
use sonotrace::vision::InputGrid;
use sonotrace_replay::Recorded;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Endings of images.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Digits of a frame's number.
const DIGITS_MAX: usize = 18;

/// A loop's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopFolder {
    /// Its name, with the kind's in front.
    pub name: String,
    /// Kind of a hard loop.
    pub kind: Option<String>,
    /// In the order of their numbers.
    pub frames: Vec<FrameFiles>,
}

/// A frame's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameFiles {
    /// The last number in its name.
    pub number: u64,
    image: PathBuf,
    mask: PathBuf,
}

/// A frame that was read.
pub struct LoadedFrame {
    /// The picture.
    pub recorded: Recorded,
    /// The objects on the input grid, in the order of their ids.
    pub objects: BTreeMap<u8, Mask>,
}

/// The loops of a folder.
#[derive(Debug, PartialEq, Eq)]
pub struct Found {
    /// In natural order.
    pub loops: Vec<LoopFolder>,
    /// Number of files that are neither pictures nor masks.
    pub passed_over: usize,
}

impl Found {
    /// Lists a folder's loops and their files.
    ///
    /// # Errors
    /// A folder without loops, or one that is neither a loop nor a kind; an image or a mask without the other one; frames without a
    /// number, or with the same one; a loop of one frame.
    pub fn in_folder(data: &Path) -> Result<Self> {
        let mut found = Self { loops: Vec::new(), passed_over: 0 };
        ensure!(!is_loop(data), "{} is a loop itself: name the folder that holds it", data.display());
        for (name, folder) in found.folders(data)? {
            if is_loop(&folder) {
                found.add(name, None, &folder)?;
                continue;
            }
            let loops = found.folders(&folder)?;
            ensure!(
                !loops.is_empty(),
                "{} has no folder images: it is neither a loop nor a kind of loops",
                folder.display()
            );
            for (of_kind, folder) in loops {
                ensure!(is_loop(&folder), "{} has no folder images", folder.display());
                found.add(format!("{name}/{of_kind}"), Some(name.clone()), &folder)?;
            }
        }
        ensure!(
            !found.loops.is_empty(),
            "{} has no loops: a folder for each, with images/NN.png and masks/NN.png",
            data.display()
        );
        Ok(found)
    }

    /// The folders in a folder, in natural order of their names. Hidden ones are skipped; files are counted.
    fn folders(&mut self, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        let (folders, files): (Vec<_>, Vec<_>) =
            entries(folder)?.into_iter().partition(|(_, path)| path.is_dir());
        self.passed_over += files.len();
        Ok(folders)
    }

    fn add(&mut self, name: String, kind: Option<String>, folder: &Path) -> Result<()> {
        let [images, masks] = ["images", "masks"].map(|of| folder.join(of));
        ensure!(masks.is_dir(), "{} does not exist: each image needs a mask", masks.display());
        let mut frames: Vec<FrameFiles> = Vec::new();
        let mut stems: BTreeMap<String, PathBuf> = BTreeMap::new();
        for (file, image) in entries(&images)? {
            let Some(stem) = stem(&file, &ENDINGS).filter(|_| image.is_file()) else {
                self.passed_over += 1;
                continue;
            };
            let mask = masks.join(format!("{stem}.png"));
            ensure!(
                mask.is_file(),
                "{} does not exist: each image needs a mask{}",
                mask.display(),
                others(&masks, stem)
            );
            if let Some(first) = stems.insert(stem.to_owned(), image.clone()) {
                bail!("{} and {} are the same frame", first.display(), image.display());
            }
            frames.push(FrameFiles { number: number(stem, &image)?, image, mask });
        }
        for (file, mask) in entries(&masks)? {
            match stem(&file, &ENDINGS[..1]) {
                Some(stem) => ensure!(stems.contains_key(stem), "{} has no image", mask.display()),
                None => self.passed_over += 1,
            }
        }
        frames.sort_by_key(|frame| frame.number);
        for pair in frames.windows(2) {
            let [a, b] = [&pair[0], &pair[1]];
            ensure!(
                a.number != b.number,
                "{} and {} have the same number",
                a.image.display(),
                b.image.display()
            );
        }
        ensure!(!frames.is_empty(), "{} has no pictures: {} are read", images.display(), ENDINGS.join(", "));
        ensure!(frames.len() > 1, "{} has one frame, a loop needs two at least", images.display());
        self.loops.push(LoopFolder { name, kind, frames });
        Ok(())
    }
}

fn is_loop(folder: &Path) -> bool {
    folder.join("images").is_dir()
}

/// Names and paths in a folder, in natural order. Hidden files are skipped.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let list = || -> std::io::Result<Vec<(String, PathBuf)>> {
        std::fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path())))
            .collect()
    };
    let mut entries = list().with_context(|| format!("cannot read {}", folder.display()))?;
    entries.retain(|(name, _)| !name.starts_with('.'));
    entries.sort_by(|(a, _), (b, _)| sonotrace_replay::natural(a, b));
    Ok(entries)
}

/// A name without its ending, if that is one of `endings`.
fn stem<'a>(name: &'a str, endings: &[&str]) -> Option<&'a str> {
    let (stem, ending) = name.rsplit_once('.')?;
    endings.iter().any(|known| ending.eq_ignore_ascii_case(known)).then_some(stem)
}

/// The last number in a name.
fn number(stem: &str, path: &Path) -> Result<u64> {
    let end = stem.rfind(|letter: char| letter.is_ascii_digit()).map_or(0, |last| last + 1);
    let start = stem[..end].rfind(|letter: char| !letter.is_ascii_digit());
    let start = start.map_or(0, |before| before + stem[before..].chars().next().map_or(1, char::len_utf8));
    let digits = stem[start..end].trim_start_matches('0');
    ensure!(start < end, "{} has no number in its name: frames are numbered, as 07.png", path.display());
    ensure!(digits.len() <= DIGITS_MAX, "{}: the number has more than {DIGITS_MAX} digits", path.display());
    Ok(if digits.is_empty() { 0 } else { digits.parse()? })
}

impl FrameFiles {
    /// Reads the frame.
    ///
    /// # Errors
    /// A file that cannot be used, with its name.
    pub fn read(&self, input_size: u32) -> Result<LoadedFrame> {
        let recorded = image_of(&self.image)?;
        let ids = mask_of(&self.mask, (recorded.descriptor.samples, recorded.descriptor.lines))?;
        let geometry =
            recorded.descriptor.check().with_context(|| self.image.display().to_string())?.geometry;
        let grid = InputGrid::new(&geometry, input_size).with_context(|| self.image.display().to_string())?;
        let objects = objects(&on_grid(&ids, &grid), input_size as usize);
        Ok(LoadedFrame { recorded, objects: objects.into_iter().collect() })
    }
}

/// What a loop's masks hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The ids that are followed: those in the first frame, if they are large enough there.
    pub followed: Vec<u8>,
    /// Other ids.
    pub left_out: BTreeSet<u8>,
}

impl LoopFolder {
    /// Reads all frames, to find what is wrong before anything is evaluated.
    ///
    /// # Errors
    /// A file that cannot be used, with its name; frames of different sizes; no object in the first frame, or too many.
    pub fn check(&self, input_size: u32) -> Result<Contents> {
        let mut ids = BTreeSet::new();
        let mut first: Option<((u32, u32), Vec<u8>)> = None;
        for frame in &self.frames {
            let LoadedFrame { recorded, objects } = frame.read(input_size)?;
            let size = (recorded.descriptor.samples, recorded.descriptor.lines);
            ids.extend(objects.keys());
            let (first_size, _) = first.get_or_insert_with(|| {
                let large = objects.iter().filter(|(_, mask)| mask.area() >= OBJECT_PX_MIN);
                (size, large.map(|(&id, _)| id).collect())
            });
            ensure!(
                size == *first_size,
                "{} has {} x {} pixels, the loop's first frame {} x {}",
                frame.image.display(),
                size.0,
                size.1,
                first_size.0,
                first_size.1
            );
        }
        let followed = first.map(|(_, followed)| followed).unwrap_or_default();
        let mask = self.frames.first().map(|frame| frame.mask.display().to_string()).unwrap_or_default();
        ensure!(
            !followed.is_empty(),
            "{mask} has no object of at least {OBJECT_PX_MIN} pixels on the input grid: objects are drawn on the first frame"
        );
        ensure!(
            followed.len() <= PLACES,
            "{mask} has {} objects, at most {PLACES} are followed",
            followed.len()
        );
        let left_out = ids.into_iter().filter(|id| !followed.contains(id)).collect();
        Ok(Contents { followed, left_out })
    }
}
