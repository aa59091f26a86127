//! Why a recording was refused.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use sonotrace_hal::frame::FrameError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The place in a file that an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The whole file.
    Whole,
    /// This frame, counted from 1.
    Frame(u64),
    /// This byte, counted from 0.
    Byte(u64),
    /// This line of a text file, counted from 1.
    Line(u64),
    /// The field of this name.
    Field(&'static str),
    /// This DICOM attribute; displayed with its keyword.
    Attribute(Tag),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Frame(frame) => write!(f, ", frame {frame}"),
            Self::Byte(byte) => write!(f, ", byte {byte}"),
            Self::Line(line) => write!(f, ", line {line}"),
            Self::Field(name) => write!(f, ", field `{name}`"),
            Self::Attribute(tag) => {
                let keyword = StandardDataDictionary.by_tag(*tag).map_or("", |entry| entry.alias());
                write!(f, ", ({:04x},{:04x}) {keyword}", tag.group(), tag.element())
            }
        }
    }
}

/// Why a recording was refused. The text names the file, the place in it and, if there is one, the remedy. It never
/// contains text from the patient or study attributes of a DICOM file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The operating system cannot read or write the file.
    #[error("{}: {source}", shown(file))]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// Not a supported format.
    #[error("{}: {seen}; {fix}", shown(file))]
    Unrecognised {
        /// The file or folder.
        file: PathBuf,
        /// What was found.
        seen: String,
        /// What to do.
        fix: &'static str,
    },
    /// An option is out of range.
    #[error("option {option} is {seen}, not within {min}..={max}")]
    Option {
        /// Its name on the command line.
        option: &'static str,
        /// The value given.
        seen: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// Beyond a limit of the runtime, of this crate, or of [`crate::Options::bytes_max`].
    #[error("{}{place}: {what}: {seen}, at most {max} are allowed; {fix}", shown(file))]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// The quantity that is too large.
        what: &'static str,
        /// Its value.
        seen: u64,
        /// The limit.
        max: u64,
        /// What to do.
        fix: &'static str,
    },
    /// The file violates its format.
    #[error("{}{place}: {problem}", shown(file))]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// The file may be valid, but contains something that cannot be replayed.
    #[error("{}{place}: {what}; {fix}", shown(file))]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// The content that is not supported.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// The runtime would refuse the frame.
    #[error("{}{place}: {source}", shown(file))]
    Frame {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// The reason.
        source: FrameError,
    },
}

/// The file that errors refer to, and constructors of these errors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a>(pub &'a Path);

impl Source<'_> {
    pub fn io(self, source: std::io::Error) -> ReplayError {
        ReplayError::Io { file: self.0.into(), source }
    }

    pub fn malformed(self, place: Place, problem: impl Into<String>) -> ReplayError {
        ReplayError::Malformed { file: self.0.into(), place, problem: problem.into() }
    }

    pub fn unsupported(self, place: Place, what: impl Into<String>, fix: &'static str) -> ReplayError {
        ReplayError::Unsupported { file: self.0.into(), place, what: what.into(), fix }
    }

    pub fn too_large(
        self,
        place: Place,
        what: &'static str,
        seen: u64,
        max: u64,
        fix: &'static str,
    ) -> ReplayError {
        ReplayError::TooLarge { file: self.0.into(), place, what, seen, max, fix }
    }

    pub fn frame(self, place: Place, source: FrameError) -> ReplayError {
        ReplayError::Frame { file: self.0.into(), place, source }
    }
}

/// A path as text for a terminal: control characters, which could move its cursor or hide text, and characters that
/// reverse the direction of writing are escaped.
pub fn shown(path: &Path) -> String {
    shown_text(&path.to_string_lossy())
}

/// The same for any text of one line.
pub fn shown_text(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// Text from a file for an error: without control characters, and at most `chars_max` characters.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}
