//! One file for each subcommand.

pub mod bench;
pub mod compile;
pub mod demo;
pub mod doctor;
pub mod eval;
pub mod infer;
pub mod inspect;
pub mod run;
pub mod simulate;
pub mod verify;

mod board;
mod computing;
mod placing;
mod pointing;
mod results;
mod scan;
mod steps;
