//! The parts of the `sonotrace` command: its subcommands, their output, and counts of allocations and page faults.

pub mod chosen;
pub mod commands;
pub mod embedded;
pub mod output;
pub mod watch;
