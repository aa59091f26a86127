//! `sonotrace eval`: evaluates the deployed model with a simulated user, on data with masks.
//!
//! * `manifest`, `pictures`, `data`: a folder of data sets, read as `python -m sonotrace_models pack` reads it.
//! * `check`: whether a folder can be used.
//! * `protocol`: the simulated user.
//! * `clicks`: Dice by number of clicks (figure 7 of the SonoSAMTrack paper).

pub mod check;
pub mod clicks;
mod data;
mod manifest;
mod pictures;
mod protocol;

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
        What::Check(arguments) => check::run(arguments),
    }
}
