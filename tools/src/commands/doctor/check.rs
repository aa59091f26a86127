//! One line of the table.

use serde::Serialize;
use sonotrace_replay::shown_text;
use std::fmt;

/// Longest text that is shown of what was found.
const FOUND_CHARS_MAX: usize = 100;

/// What a check says of the board.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A scan works, but frames may be late at times; or the system does not tell.
    Warn,
    /// Frames will be late, or something is refused.
    Fail,
}

/// A check: what was found, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What is checked.
    pub name: &'static str,
    /// What the system says.
    pub found: String,
    /// What that means.
    pub verdict: Verdict,
    /// What to do about it, in one line; nothing if it is as it should be.
    pub fix: Option<String>,
}

impl Check {
    /// Everything is as it should be.
    pub fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, found: shortened(&found.into()), verdict: Verdict::Ok, fix: None }
    }

    /// A scan works, but frames may be late.
    pub fn warn(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Warn, fix: Some(fix.into()), ..Self::ok(name, found) }
    }

    /// Frames will be late, or something is refused.
    pub fn fail(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, fix: Some(fix.into()), ..Self::ok(name, found) }
    }

    /// The system does not tell.
    pub fn unknown(name: &'static str, what: &str) -> Self {
        Self::warn(name, "not told", format!("{what}: look at it on the board itself, outside a container"))
    }
}

/// Text of a file, without control characters and not too long.
fn shortened(text: &str) -> String {
    let shown = shown_text(text);
    match shown.char_indices().nth(FOUND_CHARS_MAX) {
        Some((end, _)) => format!("{}...", &shown[..end]),
        None => shown,
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        write!(f, "{verdict:<5} {:<17} {}", self.name, self.found)?;
        match &self.fix {
            Some(fix) => write!(f, "\n{:24}fix: {fix}", ""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_aligned_and_its_fix_is_on_the_next() {
        let text = Check::warn("governor", "on\x1b[31mdemand", "set it").to_string();
        assert_eq!(text, "warn  governor          on\\u{1b}[31mdemand\n                        fix: set it");
        assert_eq!(Check::ok("cores", "4").to_string(), "ok    cores             4");
        assert_eq!(Check::ok("cores", "é".repeat(200)).found, "é".repeat(100) + "...");
    }
}
