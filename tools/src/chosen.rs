//! The model that a command works with: a file that was named, or the one that is built in.

use crate::embedded;
use anyhow::{Context, Result};
use sonotrace::file::ModelFile;
use std::path::Path;

/// A model file, open.
#[derive(Debug)]
pub struct Chosen {
    file: Option<ModelFile>,
    name: String,
}

impl Chosen {
    /// Opens the file, or takes the embedded model where none is named.
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

    /// The file's name without its ending.
    pub fn name(&self) -> &str {
        &self.name
    }
}
