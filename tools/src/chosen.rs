//! The model of a command: a given file, or the embedded model.

use crate::embedded;
use anyhow::{Context, Result};
use sonotrace::file::ModelFile;
use sonotrace::realtime::Warning;
use std::path::Path;

/// An open model file.
#[derive(Debug)]
pub struct Chosen {
    file: Option<ModelFile>,
    name: String,
}

impl Chosen {
    /// Opens the file, or takes the embedded model if none is given.
    ///
    /// # Errors
    /// A file that cannot be opened, with its path.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let file = path
            .map(|path| {
                ModelFile::open(path).with_context(|| format!("cannot open model {}", path.display()))
            })
            .transpose()?;
        let name = path.and_then(Path::file_stem).and_then(|stem| stem.to_str());
        Ok(Self { file, name: name.unwrap_or(embedded::NAME).to_owned() })
    }

    /// The whole file, aligned for use in place.
    pub fn bytes(&self) -> &[u8] {
        self.file.as_ref().map_or(embedded::model(), ModelFile::bytes)
    }

    /// Whether the system locked the file into memory. The embedded model is a part of the program.
    ///
    /// # Errors
    /// If it did not.
    pub fn locked(&self) -> Result<(), Warning> {
        self.file.as_ref().map_or(Ok(()), ModelFile::locked)
    }

    /// The file's name without its extension.
    pub fn name(&self) -> &str {
        &self.name
    }
}
