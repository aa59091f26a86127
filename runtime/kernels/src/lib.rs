//! Kernels of the operations, one file each. A kernel computes one tile at a time.
//!
//! An operation of a verified model is bound once: its parameters, operands and tile grid become a [`BoundOp`], so that
//! a run needs no lookup. A tile reads its operands, uses only the scratch of its thread, and writes elements that no
//! other tile of the operation writes. So tiles may run in any order, on any thread, with the same result bit for bit.
//!
//! Each kernel is compiled for every instruction set ([`arch`]); as portable code it is the reference for the others.
//!
//! * [`bind`]: binds a record to its kernel.
//! * [`bits`]: rows of a mask as bits.
//! * [`claims`]: hands out tiles to threads.
//! * [`memory`]: positions of a run's tensors; the only unsafe code of the portable kernels.
//! * [`math`]: elementary functions with the same bits everywhere.
//! * [`pixels`]: probabilities and shares of the pixels of masks; [`rows`]: products of the rows of two matrices.
//! * [`sample`]: samples an image from the lines of a frame.
//!
//! To add an operation, write its file and add its line to the list in [`bind`].
#![cfg_attr(not(feature = "std"), no_std)]
#![cfg_attr(sonotrace_rtsan, feature(sanitize))]

pub mod arch;
mod bf16;
pub mod bind;
pub mod bits;
pub mod claims;
mod conv;
mod depthwise;
mod dots;
mod elementwise;
mod epilogue;
mod float;
mod gather;
mod grid;
mod grid_sample;
mod int8;
mod lanes;
pub mod math;
mod matmul;
pub mod memory;
mod normalize;
pub mod pixels;
mod pool;
mod product;
mod reduce;
mod resample;
mod rounding;
pub mod rows;
pub mod sample;
mod softmax;
mod trailing;
mod walk;
mod window;

pub use bind::{BindError, BindOptions, BoundOp};
pub use memory::Spaces;
