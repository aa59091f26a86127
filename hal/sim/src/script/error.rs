//! Why a script was refused.

use crate::config::SimError;

/// Why a script was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// A line has a word that is not expected there.
    #[error("script line {line}: expected {expected}, found {seen}")]
    Expected {
        /// Number of the line, from 1.
        line: u32,
        /// What is expected there.
        expected: &'static str,
        /// What was found, in quotation marks, or `the end of the line`.
        seen: String,
    },
    /// A number is outside its limits or not finite.
    #[error("script line {line}: {what} is {seen}, not within {min}..={max}")]
    Range {
        /// Number of the line.
        line: u32,
        /// Meaning of the number.
        what: &'static str,
        /// The value found.
        seen: f64,
        /// Smallest value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A setting is repeated.
    #[error("script line {line}: `{setting}` was set on line {before} already")]
    Twice {
        /// Number of the line.
        line: u32,
        /// The setting's name.
        setting: &'static str,
        /// Number of the line that set it first.
        before: u32,
    },
    /// The phantom has no object of that name.
    #[error("script line {line}: the phantom has no object {seen:?}, only {known:?}")]
    Object {
        /// Number of the line.
        line: u32,
        /// The name found.
        seen: String,
        /// The names of the phantom's objects.
        known: &'static [&'static str],
    },
    /// The simulator refuses the configuration as of this line. For the settings, this is the last line of them.
    #[error("script line {line}: {source}")]
    Scan {
        /// Number of the line.
        line: u32,
        /// The error of the simulator.
        source: SimError,
    },
}
