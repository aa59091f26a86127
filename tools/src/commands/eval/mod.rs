//! `sonotrace eval`: evaluates the deployed model with a simulated user, on data with masks.
//!
//! * `manifest`, `pictures`, `data`: a folder of data sets, read as `python -m sonotrace_models pack` reads it.
//! * `check`: whether a folder can be used.
//! * `network`: the deployed model; `protocol`: the simulated user; `workers`: work on all cores.
//! * `clicks`: Dice by number of clicks (figure 7 of the SonoSAMTrack paper).
//! * `cine`: interventions on loops (its table 2), and what uncorrected loops say.

pub mod check;
pub mod cine;
pub mod clicks;
mod data;
mod manifest;
mod network;
mod pictures;
mod protocol;
mod workers;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Dice after 1, 2, 3, 5 and 10 clicks, and with the true box, per set.
    Clicks(clicks::Arguments),
    /// Interventions and clicks on loops with masks; hard loops by kind.
    Cine(cine::Arguments),
    /// Whether a data folder can be used; the number of its objects.
    Check(check::Arguments),
}

/// Evaluates.
///
/// # Errors
/// Data or a model that cannot be used.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Clicks(arguments) => clicks::run(arguments),
        What::Cine(arguments) => cine::run(arguments),
        What::Check(arguments) => check::run(arguments),
    }
}
