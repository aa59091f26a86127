//! The conventions file that training writes next to a network: how a session feeds the programs.

use crate::banks::State;
use crate::error::CompileError;
use crate::graph::Program;
use bytemuck::Zeroable;
use sonotrace::format::{ConventionsRecord, EVIDENCE, EVIDENCE_NAMES, RegressionRecord, TrackingRecord};
use std::path::Path;

/// The fields that the compiler uses.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Conventions {
    /// Shape of the image: `[1, 1, side, side]`.
    input: Vec<u32>,
    /// Grey level (0 to 1) that is subtracted.
    mean: f32,
    /// Divisor after that.
    std: f32,
    prompts: Prompts,
    /// Persistent state. By default it is the ports that programs share by name.
    #[serde(default)]
    pub state: Option<State>,
    #[serde(default)]
    tracker: Option<Tracker>,
    #[serde(default)]
    confidence: Option<Confidence>,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Prompts {
    points: u32,
}

/// What the tracker's memory keeps.
#[derive(Debug, Clone, serde::Deserialize)]
struct Tracker {
    /// Of a frame; a square number.
    tokens: u32,
    kept_every: u32,
    anchored_every: u32,
    anchor_dice: f32,
    trust: f32,
}

/// How far masks are to be trusted.
#[derive(Debug, Clone, serde::Deserialize)]
struct Confidence {
    /// Names of the evidence, in the order of the weights.
    evidence: Vec<String>,
    right: Regression,
    trusted: Regression,
    absent: Regression,
    flagged_below: f32,
    gate: Gate,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Regression {
    weights: Vec<f32>,
    bias: f32,
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Gate {
    lost_below: f32,
    found_from: f32,
    held_frames: u32,
}

impl Confidence {
    /// The record of a regression, its weights in the file's order.
    fn record(&self, of: &Regression) -> Result<RegressionRecord, String> {
        if self.evidence.len() != EVIDENCE || of.weights.len() != EVIDENCE {
            let (names, weights) = (self.evidence.len(), of.weights.len());
            return Err(format!(
                "confidence has {names} names and {weights} weights, expected {EVIDENCE} of each"
            ));
        }
        let mut weights = [0.0; EVIDENCE];
        for (weight, name) in weights.iter_mut().zip(EVIDENCE_NAMES) {
            let at = self.evidence.iter().position(|other| other == name);
            let at = at.ok_or_else(|| format!("confidence has no evidence `{name}`"))?;
            *weight = of.weights[at];
        }
        Ok(RegressionRecord { weights, bias: of.bias })
    }
}

/// How a session follows objects: the record, and the sizes that the header states.
#[derive(Debug, Clone, Copy)]
pub struct Tracking {
    /// The record.
    pub record: TrackingRecord,
    /// Channels of the embedding of each token.
    pub embedding_channels: u32,
    /// Channels of the tracker's key of each token.
    pub key_channels: u32,
    /// Cells along a side of the tracker's flow.
    pub flow_side: u32,
}

/// Name of the decoder's mask output.
const MASKS: &str = "masks";

impl Conventions {
    /// Reads the file.
    ///
    /// # Errors
    /// [`CompileError::Conventions`], [`CompileError::Read`].
    pub fn load(path: &Path) -> Result<Self, CompileError> {
        let text =
            std::fs::read(path).map_err(|source| CompileError::Read { path: path.to_owned(), source })?;
        let problem = |problem: String| CompileError::Conventions { path: path.to_owned(), problem };
        let conventions: Self = serde_json::from_slice(&text).map_err(|error| problem(error.to_string()))?;
        let [1, 1, rows, columns] = conventions.input[..] else {
            return Err(problem(format!("input is {:?}, expected [1, 1, side, side]", conventions.input)));
        };
        if rows != columns {
            return Err(problem(format!("input is {rows} x {columns}, expected a square")));
        }
        if !conventions.mean.is_finite() || !conventions.std.is_finite() || conventions.std <= 0.0 {
            return Err(problem(format!(
                "mean {} or std {} is invalid, both must be finite and std positive",
                conventions.mean, conventions.std
            )));
        }
        Ok(conventions)
    }

    /// The record for these programs. Mask size and candidates are those of the port `masks`, `[1, candidates, side,
    /// side]`.
    ///
    /// # Errors
    /// [`CompileError::Ports`] if no program has such a port.
    pub fn record(&self, programs: &[Program]) -> Result<ConventionsRecord, CompileError> {
        let masks = programs.iter().flat_map(|program| &program.outputs).find(|port| port.name == MASKS);
        let shape = masks.map(|port| &port.shape[..]);
        let Some(&[1, candidates, side, across]) = shape else {
            return Err(CompileError::Ports(format!(
                "conventions: the output {MASKS} has shape {shape:?}, expected [1, candidates, side, side]"
            )));
        };
        if side != across {
            return Err(CompileError::Ports(format!(
                "conventions: masks are {side} x {across}, expected squares"
            )));
        }
        Ok(ConventionsRecord {
            input_size: self.input[2],
            mask_size: side as u32,
            point_slots: self.prompts.points,
            mask_candidates: candidates as u32,
            mean: self.mean,
            std: self.std,
        })
    }

    /// How a session follows objects; `None` without a tracker or its confidence.
    ///
    /// # Errors
    /// [`CompileError::Ports`]: what does not fit the programs, or the runtime's list of evidence.
    pub fn tracking(&self, programs: &[Program]) -> Result<Option<Tracking>, CompileError> {
        let (Some(tracker), Some(confidence)) = (&self.tracker, &self.confidence) else { return Ok(None) };
        let problem = |problem: String| CompileError::Ports(format!("conventions: {problem}"));
        let grid = tracker.tokens.isqrt();
        if grid == 0 || grid * grid != tracker.tokens {
            return Err(problem(format!(
                "the tracker has {} tokens, expected a square number",
                tracker.tokens
            )));
        }
        let of = |port: &str| {
            channels(programs, port, tracker.tokens).ok_or_else(|| {
                problem(format!("no output {port} with a value for each of {} tokens", tracker.tokens))
            })
        };
        let (embedding_channels, key_channels) = (of("embedding")?, of("key")?);
        // Two values for each cell.
        let cells = channels(programs, "flow", 2).unwrap_or(0);
        let flow_side = cells.isqrt();
        if flow_side == 0 || flow_side * flow_side != cells {
            return Err(problem("no output flow with two values for each cell of a square".to_owned()));
        }
        let regression = |of: &Regression| confidence.record(of).map_err(problem);
        let Gate { lost_below, found_from, held_frames } = confidence.gate;
        let record = TrackingRecord {
            grid,
            kept_every: tracker.kept_every,
            anchored_every: tracker.anchored_every,
            anchor_dice: tracker.anchor_dice,
            trust: tracker.trust,
            lost_below,
            found_from,
            held_frames,
            flagged_below: confidence.flagged_below,
            regressions: [
                regression(&confidence.right)?,
                regression(&confidence.trusted)?,
                regression(&confidence.absent)?,
            ],
        };
        Ok(Some(Tracking { record, embedding_channels, key_channels, flow_side }))
    }
}

/// Channels of each token of a port that a program has.
fn channels(programs: &[Program], port: &str, tokens: u32) -> Option<u32> {
    let ports = programs.iter().flat_map(|program| &program.outputs);
    let elements: usize =
        ports.filter(|other| other.name == port).map(|port| port.shape.iter().product()).next()?;
    let tokens = tokens as usize;
    elements.is_multiple_of(tokens).then(|| elements / tokens).and_then(|channels| channels.try_into().ok())
}

/// The record of a file that no session can use.
pub fn none() -> ConventionsRecord {
    ConventionsRecord::zeroed()
}
