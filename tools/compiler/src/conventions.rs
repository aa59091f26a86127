//! The conventions file that training writes next to a network: how a session feeds the programs.

use crate::banks::State;
use crate::error::CompileError;
use crate::graph::Program;
use bytemuck::Zeroable;
use sonotrace::format::ConventionsRecord;
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
}

#[derive(Debug, Clone, serde::Deserialize)]
struct Prompts {
    points: u32,
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
}

/// The record of a file that no session can use.
pub fn none() -> ConventionsRecord {
    ConventionsRecord::zeroed()
}
