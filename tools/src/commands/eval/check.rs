//! `sonotrace eval check`: reads a whole data folder as training does, and says whether it can be used.

use super::data::{Data, text_without_mask};
use crate::chosen::Chosen;
use anyhow::{Context, Result};
use clap::Args;
use serde::Serialize;
use sonotrace::format::Model;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Arguments of `eval check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A folder with MANIFEST.csv and, per set, images/ and masks/.
    data: PathBuf,
    /// A model file, whose input size decides which objects are too small; without it, the embedded model.
    #[arg(long, value_name = "FILE.sono")]
    model: Option<PathBuf>,
    /// Also write the counts to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    /// Number of objects by set and split.
    objects: BTreeMap<&'a str, BTreeMap<&'a str, usize>>,
    /// Number of images without a mask by set.
    without_mask: BTreeMap<&'a str, usize>,
    images: usize,
}

/// Checks a folder and prints the number of objects by set and split.
///
/// # Errors
/// Data that cannot be used, with file and reason.
pub fn run(arguments: &Arguments) -> Result<()> {
    let chosen = Chosen::open(arguments.model.as_deref())?;
    let size = Model::parse(chosen.bytes())?.conventions().input_size;
    let data = Data::read(&arguments.data, size)?;
    let mut objects: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for (row, checked) in data.rows.iter().zip(&data.checked).filter(|(_, checked)| checked.objects > 0) {
        *objects.entry(&row.set).or_default().entry(&row.split).or_default() += checked.objects;
    }
    for (set, splits) in &objects {
        for (split, count) in splits {
            println!("{set:10} {split:6} {count:5} objects");
        }
    }
    let without_mask = data.without_mask(|_| true);
    print!("{}", text_without_mask(&without_mask));
    if let Some(path) = &arguments.json {
        let without_mask = without_mask.iter().map(|(set, (count, _))| (*set, *count)).collect();
        let report = Report { objects, without_mask, images: data.rows.len() };
        std::fs::write(path, serde_json::to_string_pretty(&report)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
