//! The parts of the `sonotrace` command: its subcommands, their output, counts of allocations and page faults, and the heap.

pub mod chosen;
pub mod commands;
pub mod embedded;
pub mod heap;
pub mod output;
pub mod watch;
