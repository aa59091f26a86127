//! Errors as text for a terminal.

use sonotrace_replay::shown_text;

/// An error and its causes on one line. Some errors contain the text of their cause, others do not: a cause that the text
/// already has is left out. Control characters are escaped, for example those of file names.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text.lines().map(shown_text).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};
    use sonotrace_compiler::CompileError;

    #[test]
    fn each_cause_is_printed_once() {
        let cause = || std::io::Error::other("no such thing");
        let error = anyhow!(CompileError::Read { path: "a.onnx".into(), source: cause() });
        assert_eq!(message(&error), "a.onnx: no such thing");
        let error = Err::<(), _>(error).context("cannot compile").unwrap_err();
        assert_eq!(message(&error), "cannot compile: a.onnx: no such thing");
        let error = Err::<(), _>(cause()).context("outer").unwrap_err();
        assert_eq!(message(&error), "outer: no such thing");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(message(&anyhow!("a\x1b[31m\nb")), "a\\u{1b}[31m\nb");
    }
}
