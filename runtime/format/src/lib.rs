//! The model file (`.sono`): its layout, its operations, and the verifier.
//!
//! * [`header`]: the first page: sizes, counts, banks of state, section table. It determines how much memory a model
//!   needs.
//! * [`records`]: fixed little-endian records of programs, ports, operations, tensors, golden values, conventions.
//! * [`panels`]: the layout of packed weights.
//! * [`op`]: one file per operation: parameters, extents, access ranges, work, scratch, checks.
//! * [`function`]: element-wise functions and activations.
//! * [`limits`]: all limits of a file, each with its reason.
//! * [`model`]: a verified file, used in place.
//! * [`tracking`]: constants by which a session follows objects.
//! * [`write`](mod@write) (feature `std`): writes sections to a file; [`single`]: a file of one operation, for tests
//!   and benchmarks.
//!
//! ```text
//! page 0      FileHeader, then the section table (SectionRecord x section_count)
//! page n ...  sections, each starting on a page: programs, ports, operations, tensors, names, weights, ...
//! ```
//!
//! The compiler, the planner, the verifier, `inspect` and the kernels all call the functions of [`op`], so each
//! property of an operation is defined once.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
mod aligned;
pub mod function;
pub mod header;
pub mod limits;
pub mod model;
pub mod op;
pub mod panels;
pub mod records;
mod sections;
#[cfg(feature = "std")]
pub mod single;
pub mod tracking;
mod verify;
#[cfg(feature = "std")]
pub mod write;

#[cfg(feature = "std")]
pub use aligned::AlignedBytes;

pub use header::{BankRecord, FileHeader, HEAD_BYTES, SectionKind, SectionRecord, read_header};
pub use limits::*;
pub use model::{Model, ModelError};
pub use op::{OpKind, Operation};
pub use records::*;
pub use tracking::{EVIDENCE, EVIDENCE_NAMES, Evidence, Judgement, RegressionRecord, TrackingRecord};

/// Version of the file's layout.
pub const FILE_VERSION: u32 = 5;
/// Sections start at multiples of this.
pub const PAGE_BYTES: u64 = 4096;
/// Tensors start at multiples of this, in the file and in memory.
pub const TENSOR_ALIGN: u64 = 64;
/// Number of dimensions that an operation iterates over; unused ones are 1.
pub const DIMS: usize = 8;
/// Number of operands of an operation: the output, then up to four inputs.
pub const OPERANDS: usize = 5;
/// Marks an unused operand.
pub const NO_TENSOR: u32 = u32::MAX;
/// Defines an enum of codes in the file: `from_code` is the inverse of `as u32`, `name` is the lower-case name in
/// reports.
macro_rules! codes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        $vis enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// All values, ordered by code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the value of a code in the file; `None` for an unknown code.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Returns its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use codes;
