//! What operations compute, one tile at a time: one file an operation.
//!
//! An operation of a verified model is bound once: its parameters, operands and tile grid become a [`BoundOp`], and from then
//! on nothing is looked up. A tile reads its operands, uses only the scratch that it is given, and writes elements that no other
//! tile of the operation writes; so tiles may run in any order, on any thread, with the same result bit for bit.
//!
//! The portable kernels are the reference that any faster kernel is held to. [`arch`] has the instruction sets.
//!
//! * [`bind`]: from a record to a bound operation.
//! * [`memory`]: where the tensors of a run lie: the only unsafe code of the portable kernels.
//! * [`math`]: elementary functions with the same bits everywhere.
//!
//! To add an operation, write its file and add its line to the list in [`bind`].
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod arch;
pub mod bind;
mod conv;
mod depthwise;
mod elementwise;
mod gather;
mod grid;
mod grid_sample;
pub mod math;
mod matmul;
pub mod memory;
mod normalize;
mod pool;
mod product;
mod reduce;
mod resample;
mod softmax;
mod trailing;
mod walk;
mod window;

pub use bind::{BindError, BindOptions, BoundOp};
pub use memory::Spaces;
