//! Prompts on any frame of a recording, from a script. The words are those of the simulator's scripts; points are in pixels
//! of the displayed picture.

use super::pointing::numbers;
use super::scan::{PROMPTS_MAX, Timed};
use anyhow::{Context, Result, bail, ensure};
use sonotrace::hal::command::{PointSpace, Prompt, PromptKind};
use sonotrace::hal::geometry::Point;
use sonotrace_replay::{Recorded, shown, shown_text};
use std::io::Read;
use std::path::Path;

/// Largest script, in bytes.
const SCRIPT_BYTES_MAX: u64 = 1 << 20;

/// When a prompt is given.
#[derive(Debug, Clone, Copy, PartialEq)]
enum When {
    /// On the first frame at or after this time since the first frame.
    Seconds(f64),
    /// On this frame, counted from 1.
    Frame(u64),
}

/// One line of a script.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    line: usize,
    when: When,
    prompt: Prompt,
}

impl Step {
    /// The prompt with the frame that it is for.
    ///
    /// # Errors
    /// A time or number after the last frame, with the line.
    pub fn timed(&self, frames: &[Recorded]) -> Result<Timed> {
        let line = self.line;
        let first_ns = frames.first().map_or(0, |frame| frame.descriptor.t_acq_ns);
        let seconds = |frame: &Recorded| frame.descriptor.t_acq_ns.saturating_sub(first_ns) as f64 * 1e-9;
        let seq = match self.when {
            When::Frame(number) => {
                let count = frames.len();
                ensure!(number <= count as u64, "line {line}: frame {number}, but the recording has {count}");
                number
            }
            When::Seconds(at_s) => {
                // A microsecond is a rounding error.
                let frame = frames.iter().find(|frame| seconds(frame) >= at_s - 1e-6);
                let last_s = frames.last().map_or(0.0, seconds);
                frame
                    .with_context(|| format!("line {line}: {at_s} s, but the last frame is at {last_s} s"))?
                    .descriptor
                    .seq
            }
        };
        Ok(Timed { seq, prompt: self.prompt })
    }
}

/// Reads a script.
///
/// # Errors
/// A file that cannot be read, or a line with other words, with its number and what is expected.
pub fn read(path: &Path) -> Result<Vec<Step>> {
    let name = shown(path);
    let metadata = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?;
    ensure!(metadata.is_file(), "{name} is not a regular file");
    let mut text = String::new();
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
    file.take(SCRIPT_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {name}"))?;
    ensure!(text.len() as u64 <= SCRIPT_BYTES_MAX, "{name} has more than {SCRIPT_BYTES_MAX} bytes");
    parse(&text).with_context(|| name)
}

fn parse(text: &str) -> Result<Vec<Step>> {
    let lines =
        (1..).zip(text.lines().map(|line| line.split_once('#').map_or(line, |(before, _)| before).trim()));
    lines
        .filter(|(_, words)| !words.is_empty())
        .map(|(line, words)| step(line, words).with_context(|| format!("line {line}: {}", shown_text(words))))
        .collect()
}

fn step(line: usize, text: &str) -> Result<Step> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let (when, action) = match words.as_slice() {
        ["at", "frame", number, action @ ..] => {
            let number = number.parse().ok().filter(|&number: &u64| number > 0);
            (When::Frame(number.context("a frame's number is 1 or more")?), action)
        }
        ["at", time, "s", action @ ..] => {
            let is_time = |time: &f64| (0.0..=86_400.0).contains(time);
            let time = time.parse().ok().filter(is_time).context("expected a time of 0 to 86400 s")?;
            (When::Seconds(time), action)
        }
        ["at", ..] => bail!("expected `at TIME s` or `at frame NUMBER`"),
        _ => bail!("expected `at`: a recording has no settings of the simulator"),
    };
    let object = |text: &str| {
        let object = text.parse().ok().filter(|&object: &u32| object > 0);
        object.context("an object's number is 1 or more")
    };
    let point = |text: &[&str]| {
        let point = numbers(&text.concat()).map(|[x, y]| Point { x, y });
        point.context("expected X,Y in pixels, such as 120,96")
    };
    let (object, kind) = match action {
        ["click", number, "not", at @ ..] => {
            (object(number)?, PromptKind::Click { at: point(at)?, is_positive: false })
        }
        ["click", number, at @ ..] => {
            (object(number)?, PromptKind::Click { at: point(at)?, is_positive: true })
        }
        ["box", number, corners @ ..] => {
            let corners = numbers(&corners.concat());
            let [x0, y0, x1, y1] =
                corners.context("expected X0,Y0,X1,Y1 in pixels, such as 80,60,160,140")?;
            (object(number)?, PromptKind::Box { from: Point { x: x0, y: y0 }, to: Point { x: x1, y: y1 } })
        }
        ["remove", number] => (object(number)?, PromptKind::Remove),
        _ => bail!(
            "expected `click OBJECT X,Y`, `click OBJECT not X,Y`, `box OBJECT X0,Y0,X1,Y1` or `remove OBJECT`"
        ),
    };
    Ok(Step { line, when, prompt: Prompt { object, seq: 0, space: PointSpace::Display, kind } })
}

/// Checks that no frame has more prompts than can wait. `prompts` are in the order of their frames.
///
/// # Errors
/// The frame with too many.
pub fn check_counts(prompts: &[Timed]) -> Result<()> {
    for same in prompts.chunk_by(|a, b| a.seq == b.seq) {
        let (count, seq) = (same.len(), same[0].seq);
        ensure!(count <= PROMPTS_MAX, "{count} prompts on frame {seq}, at most {PROMPTS_MAX} are possible");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonotrace::hal::frame::FrameDescriptor;

    fn recorded(times_ms: &[u64]) -> Vec<Recorded> {
        let frame = |(seq, &ms): (u64, &u64)| Recorded {
            descriptor: FrameDescriptor { seq, t_acq_ns: ms * 1_000_000, ..FrameDescriptor::blank() },
            payload: Vec::new(),
        };
        (1..).zip(times_ms).map(frame).collect()
    }

    #[test]
    fn words_are_those_of_the_simulator() {
        let text = "# prompts\n\nat 0.04 s click 1 12,30.5\nat frame 3 click 1 not 5, 6 # outside\nat 0.05 s box 2 1,2,3,4\nat 0.08 s remove 2\n";
        let steps = parse(text).unwrap();
        let frames = recorded(&[500, 540, 580]);
        let timed: Vec<Timed> = steps.iter().map(|step| step.timed(&frames).unwrap()).collect();
        assert_eq!(
            timed.iter().map(|timed| (timed.seq, timed.prompt.object)).collect::<Vec<_>>(),
            [(2, 1), (3, 1), (3, 2), (3, 2)]
        );
        assert_eq!(
            timed[1].prompt.kind,
            PromptKind::Click { at: Point { x: 5.0, y: 6.0 }, is_positive: false }
        );
        assert_eq!(timed[3].prompt.kind, PromptKind::Remove);
        assert!(check_counts(&timed).is_ok());
        assert!(check_counts(&[timed[0]; 65]).unwrap_err().to_string().contains("65 prompts on frame 2"));
    }

    #[test]
    fn other_words_are_refused_with_their_line() {
        for (text, expected) in [
            ("phantom heart", "expected `at`"),
            ("at click 1 2,3", "expected `at TIME s`"),
            ("at -1 s click 1 2,3", "expected a time"),
            ("at frame 0 click 1 2,3", "1 or more"),
            ("at 1 s click 0 2,3", "an object's number"),
            ("at 1 s click 1 \"left ventricle\"", "expected X,Y"),
            ("at 1 s gain +6 dB", "expected `click OBJECT X,Y`"),
            ("at 1 s box 1 2,3", "expected X0,Y0,X1,Y1"),
        ] {
            let error = format!("{:#}", parse(&format!("\n{text}")).unwrap_err());
            assert!(error.contains(expected) && error.contains("line 2"), "{error}");
        }
        let steps = parse("at 1 s remove 1\nat frame 4 remove 1").unwrap();
        let frames = recorded(&[0, 40, 80]);
        let faults: Vec<String> =
            steps.iter().map(|step| step.timed(&frames).unwrap_err().to_string()).collect();
        assert_eq!(
            faults,
            ["line 1: 1 s, but the last frame is at 0.08 s", "line 2: frame 4, but the recording has 3"]
        );
    }
}
