//! `sonotrace eval`: evaluates the deployed model with a simulated user, on data with masks.
//!
//! * `data`: a folder of data sets.
//! * `protocol`: the simulated user.
//! * `clicks`: Dice by number of clicks (figure 7 of the SonoSAMTrack paper).

pub mod clicks;
mod data;
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
}

/// Evaluates.
///
/// # Errors
/// Data or a model that cannot be used.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Clicks(arguments) => clicks::run(arguments),
    }
}
