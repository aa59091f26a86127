//! `MANIFEST.csv` of a data folder, by the same rules as `python -m sonotrace_models pack`: what training refuses is no test either.

use anyhow::{Context, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that every manifest has.
const REQUIRED_COLUMNS: [&str; 3] = ["set", "name", "split"];
/// The splits that exist.
pub const SPLITS: [&str; 3] = ["train", "val", "test"];
/// Digits of the largest frame number.
const FRAME_DIGITS_MAX: usize = 9;

/// One image of the manifest. Other columns are only for training.
#[derive(Debug, Clone)]
pub struct Row {
    /// The set's folder.
    pub set: String,
    /// The image's name, without its ending.
    pub name: String,
    /// `train`, `val` or `test`.
    pub split: String,
    /// The patient, or the name where the table states none.
    group: String,
    /// Line of the manifest, counted from 1.
    pub line: u64,
}

/// All rows of `MANIFEST.csv`, in UTF-8 with or without a byte-order mark.
///
/// # Errors
/// A file that is missing or is not such a table; a row that cannot be used, with its line; an image listed twice; a patient in two
/// splits.
pub fn read(folder: &Path) -> Result<Vec<Row>> {
    let path = folder.join("MANIFEST.csv");
    let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        anyhow!("{}, line {line}: is not UTF-8; save the table as \"CSV UTF-8\"", path.display())
    })?;
    let rows = rows(text).with_context(|| path.display().to_string())?;
    refuse_repetitions(&rows).with_context(|| path.display().to_string())?;
    Ok(rows)
}

fn rows(text: &str) -> Result<Vec<Row>> {
    // Rows of another length are counted here, because the reader's own error names no column.
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
    let header: Vec<String> = reader.headers()?.iter().map(str::to_owned).collect();
    for column in REQUIRED_COLUMNS {
        ensure!(header.iter().any(|name| name == column), "has no column {column}: it has {header:?}");
    }
    for (at, column) in header.iter().enumerate() {
        ensure!(!header[..at].contains(column), "has two columns {column}");
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record?;
        let line = record.position().map_or(0, csv::Position::line);
        rows.push(row(&header, &record, line).with_context(|| format!("line {line}"))?);
    }
    Ok(rows)
}

fn row(header: &[String], record: &csv::StringRecord, line: u64) -> Result<Row> {
    let (fields, columns) = (record.len(), header.len());
    ensure!(fields == columns, "it has {fields} fields, the table has {columns} columns");
    let field = |column: &str| {
        header.iter().position(|name| name == column).and_then(|at| record.get(at)).unwrap_or_default()
    };
    for column in REQUIRED_COLUMNS {
        ensure!(!field(column).is_empty(), "{column} is empty");
    }
    let split = field("split");
    if !SPLITS.contains(&split) {
        let near = split.trim().to_lowercase();
        let hint = if SPLITS.contains(&near.as_str()) { format!("; write {near:?}") } else { String::new() };
        bail!("split is {split:?}, it must be one of {}{hint}", SPLITS.join(", "));
    }
    check_frame(field("frame"))?;
    let group = match field("group") {
        "" => field("name"),
        group => group,
    };
    Ok(Row {
        set: field("set").to_owned(),
        name: field("name").to_owned(),
        split: split.to_owned(),
        group: group.to_owned(),
        line,
    })
}

/// Frames are only for training, but a table with another word there has its columns in a different order. Spreadsheets write 1 as
/// 1.0.
fn check_frame(text: &str) -> Result<()> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_whole = (1..=FRAME_DIGITS_MAX).contains(&whole.len())
        && whole.bytes().all(|digit| digit.is_ascii_digit())
        && fraction.bytes().all(|digit| digit == b'0');
    ensure!(text.is_empty() || is_whole, "frame is {text:?}, it must be a whole number from 0 on, or empty");
    Ok(())
}

fn refuse_repetitions(rows: &[Row]) -> Result<()> {
    let mut images = BTreeMap::new();
    for row in rows {
        if let Some(line) = images.insert((&row.set, &row.name), row.line) {
            bail!("lines {line} and {}: image {} of {} is listed twice", row.line, row.name, row.set);
        }
    }
    let mut patients: BTreeMap<_, &Row> = BTreeMap::new();
    for row in rows {
        let first = patients.entry((&row.set, &row.group)).or_insert(row);
        if first.split != row.split {
            bail!(
                "lines {} and {}: group {} of {} is in {} and in {}; a patient belongs to one split",
                first.line,
                row.line,
                row.group,
                row.set,
                first.split,
                row.split
            );
        }
    }
    Ok(())
}

/// The rows of one split and of some sets; of all if none is named.
///
/// # Errors
/// A split or a set that does not exist, with those that do; no row left.
pub fn choose(rows: &[Row], split: Option<&str>, sets: &[String]) -> Result<Vec<Row>> {
    let known: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.set.as_str()).collect();
    let listed =
        |names: &std::collections::BTreeSet<&str>| names.iter().copied().collect::<Vec<_>>().join(", ");
    if let Some(unknown) = split.filter(|split| !SPLITS.contains(split)) {
        bail!("there is no split {unknown}: there are {}", SPLITS.join(", "));
    }
    if let Some(unknown) = sets.iter().find(|set| !known.contains(set.as_str())) {
        bail!("MANIFEST.csv has no set {unknown}: it has {}", listed(&known));
    }
    let is_wanted = |row: &&Row| {
        split.is_none_or(|split| row.split == split) && (sets.is_empty() || sets.contains(&row.set))
    };
    let wanted: Vec<Row> = rows.iter().filter(is_wanted).cloned().collect();
    if wanted.is_empty() {
        let splits = rows.iter().map(|row| row.split.as_str()).collect();
        bail!("MANIFEST.csv has no row of these sets in the split {split:?}: it has {}", listed(&splits));
    }
    Ok(wanted)
}
