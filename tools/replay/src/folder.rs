//! The pictures of a folder, in order.

use crate::error::Place;
use crate::error::{ReplayError, Source, shown_text};
use crate::order;
use crate::recording::FRAMES_MAX;
use std::path::PathBuf;

/// Extensions of the files that are read.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Names in a note.
const NAMES_MAX: usize = 5;

/// The pictures of a folder.
#[derive(Debug)]
pub(crate) struct Listing {
    /// Their paths, in order.
    pub pictures: Vec<PathBuf>,
    /// Notes on files that were passed over, and on the order.
    pub notes: Vec<String>,
}

impl Listing {
    /// Lists a folder. Hidden files are skipped: some systems store metadata in them.
    ///
    /// # Errors
    /// A folder without pictures, with what it contains instead; more pictures than a recording may have frames.
    pub fn of(source: Source<'_>) -> Result<Self, ReplayError> {
        let mut named: Vec<(String, PathBuf)> = Vec::new();
        let mut others = Vec::new();
        for entry in std::fs::read_dir(source.0).map_err(|error| source.io(error))? {
            let path = entry.map_err(|error| source.io(error))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            if EXTENSIONS.iter().any(|known| extension.eq_ignore_ascii_case(known)) && !path.is_dir() {
                named.push((name, path));
            } else {
                others.push(name);
            }
            let entries = (named.len() + others.len()) as u64;
            if entries > FRAMES_MAX {
                return Err(source.too_large(Place::Whole, "files", entries, FRAMES_MAX, "split the folder"));
            }
        }
        if named.is_empty() {
            let seen = match passed_over(&mut others) {
                None => "an empty folder".to_owned(),
                Some(names) => format!("a folder without pictures, but with {names}"),
            };
            let fix = "give a folder with .png, .jpg or .jpeg files, or one of its files";
            return Err(ReplayError::Unrecognised { file: source.0.into(), seen, fix });
        }
        let mut notes = Vec::new();
        if let Some(names) = passed_over(&mut others) {
            notes.push(format!(
                "passed over, because only .png, .jpg and .jpeg files are read: {names}; convert them if they are frames"
            ));
        }
        if order::sort(&mut named) == order::Order::Decimals {
            notes.push(
                "numbers in the file names are read as decimals: 0.05 comes before 0.1, and 1.10 before 1.9"
                    .to_owned(),
            );
        }
        Ok(Self { pictures: named.into_iter().map(|(_, path)| path).collect(), notes })
    }
}

/// The first few names, and how many more there are; `None` if there is no name.
fn passed_over(names: &mut [String]) -> Option<String> {
    names.sort();
    let first: Vec<String> = names.iter().take(NAMES_MAX).map(|name| shown_text(name)).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    let first = (!first.is_empty()).then(|| first.join(", "))?;
    Some(if more > 0 { format!("{first} and {more} more") } else { first })
}
