//! Why a recording was refused.

use dicom_core::Tag;
use dicom_core::dictionary::{DataDictionary, DataDictionaryEntry};
use dicom_dictionary_std::StandardDataDictionary;
use sonotrace_hal::frame::FrameError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Where in a file something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// No particular place.
    Whole,
    /// This frame, counted from 1.
    Frame(u64),
    /// This byte, counted from 0.
    Byte(u64),
    /// This line of a text, counted from 1.
    Line(u64),
    /// The field of this name.
    Field(&'static str),
    /// This DICOM attribute; shown with its keyword.
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

/// Why a recording was refused. The text names the file and the place in it and, where there is one, the remedy; it
/// never holds text out of a DICOM file's patient or study attributes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The system would not read or write the file.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Not a form that is read here.
    #[error("{}: {seen}; {fix}", file.display())]
    Unrecognised {
        /// The file or folder.
        file: PathBuf,
        /// What it seems to be.
        seen: String,
        /// What to give instead.
        fix: &'static str,
    },
    /// An option has no meaning.
    #[error("option {option} is {seen}, not within {min}..={max}")]
    Option {
        /// As it is written on the command line.
        option: &'static str,
        /// The value given.
        seen: f64,
        /// Least value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// More than the limits of this runtime or of [`crate::Options::bytes_max`].
    #[error("{}{place}: {what}: {seen}, at most {max} can be taken; {fix}", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is too large.
        what: &'static str,
        /// How large.
        seen: u64,
        /// The limit.
        max: u64,
        /// What to do.
        fix: &'static str,
    },
    /// The file breaks its own format.
    #[error("{}{place}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// The file is (or may be) sound, but it holds what cannot be replayed.
    #[error("{}{place}: {what}; {fix}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// What it holds.
        what: String,
        /// What to do.
        fix: &'static str,
    },
    /// A frame that the runtime would refuse.
    #[error("{}{place}: {source}", file.display())]
    Frame {
        /// The file.
        file: PathBuf,
        /// Where in it.
        place: Place,
        /// Why.
        source: FrameError,
    },
}

/// The file that errors name.
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
