//! The parts of the `sonotrace` command: its subcommands, what they write, and the evidence that they gather.

pub mod chosen;
pub mod commands;
pub mod embedded;
pub mod output;
pub mod watch;
