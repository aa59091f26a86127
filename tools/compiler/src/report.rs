//! The report of a compilation, for people.

use crate::golden;
use crate::graph::Bank;
use std::collections::BTreeMap;
use std::fmt;

/// Report on one program.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProgramReport {
    /// Its name.
    pub name: String,
    /// Multiply-accumulates of its products and convolutions.
    pub macs: u64,
    /// Operations by kind.
    pub ops: BTreeMap<&'static str, usize>,
    /// Scratch that its plan uses.
    pub scratch_bytes: u64,
    /// Lower bound of any plan: the most bytes that are live during one operation.
    pub scratch_lower_bound_bytes: u64,
    /// Weights that its operations read; shared ones count in each program.
    pub weight_bytes: u64,
    /// Bytes of its golden cases; 0 if its ports are too large for them.
    pub golden_bytes: u64,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// Programs, in file order.
    pub programs: Vec<ProgramReport>,
    /// Size of the file.
    pub file_bytes: u64,
    /// Size of its weights section.
    pub weight_bytes: u64,
    /// Scratch that all programs share.
    pub scratch_bytes: u64,
    /// Scratch of each thread.
    pub thread_scratch_bytes: u64,
    /// Banks of persistent state.
    pub banks: Vec<Bank>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for program in &self.programs {
            let ops: Vec<String> =
                program.ops.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            writeln!(
                f,
                "{}: {:.1} MMAC, {} operations ({}), scratch {} bytes (at least {}), weights {} bytes",
                program.name,
                program.macs as f64 / 1e6,
                program.ops.values().sum::<usize>(),
                ops.join(", "),
                program.scratch_bytes,
                program.scratch_lower_bound_bytes,
                program.weight_bytes,
            )?;
            if program.golden_bytes == 0 {
                writeln!(
                    f,
                    "{}: no golden case, the self-test leaves it out: its inputs and smallest output take more than {} bytes \
                     and 1/{} of its weights",
                    program.name,
                    golden::BYTES_MIN,
                    golden::WEIGHTS_PART,
                )?;
            }
        }
        for Bank { name, copy_bytes, copies, per_kept_frame } in &self.banks {
            let kept = if *per_kept_frame { ", and one for each kept frame" } else { "" };
            writeln!(f, "bank {name}: {copies} copies of {copy_bytes} bytes{kept}")?;
        }
        write!(
            f,
            "file {} bytes, weights {}, scratch {}, per thread {}",
            self.file_bytes, self.weight_bytes, self.scratch_bytes, self.thread_scratch_bytes,
        )
    }
}
