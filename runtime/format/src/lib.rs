//! The model file (`.sono`): its layout, its operations, and the verifier.
//!
//! * [`header`]: the first page: sizes, counts, banks of state, section table. Enough to say how much memory a model needs.
//! * [`records`]: fixed little-endian records of programs, ports, operations, tensors, golden values, conventions.
//! * [`panels`]: the layout of packed weights.
//! * [`op`]: one file an operation: parameters, extents, access ranges, work, scratch, refusals.
//! * [`function`]: element-wise functions and activations.
//! * [`model`]: a verified file, used in place.
//! * [`write`](mod@write) (feature `std`): sections to a file; [`single`]: a file of one operation, for tests and benchmarks.
//!
//! ```text
//! page 0      FileHeader, then the section table (SectionRecord x section_count)
//! page n ...  sections, each starting on a page: programs, ports, operations, tensors, names, weights, ...
//! ```
//!
//! The compiler, the planner, the verifier, `inspect` and the kernels all call the functions of [`op`], so each fact about an
//! operation is written down once.
#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "std")]
mod aligned;
pub mod function;
pub mod header;
pub mod model;
pub mod op;
pub mod panels;
pub mod records;
mod sections;
#[cfg(feature = "std")]
pub mod single;
mod verify;
#[cfg(feature = "std")]
pub mod write;

#[cfg(feature = "std")]
pub use aligned::AlignedBytes;

pub use header::{BankRecord, FileHeader, HEAD_BYTES, SectionKind, SectionRecord, read_header};
pub use model::{Model, ModelError};
pub use op::{OpKind, Operation};
pub use records::*;

/// Version of the file's layout.
pub const FILE_VERSION: u32 = 2;
/// Sections start at multiples of this.
pub const PAGE_BYTES: u64 = 4096;
/// Tensors start at multiples of this, in the file and in memory.
pub const TENSOR_ALIGN: u64 = 64;
/// Most dimensions that an operation iterates over.
pub const DIMS: usize = 8;
/// Operands of an operation: the output, then up to three inputs.
pub const OPERANDS: usize = 4;
/// Operand slot that is not used.
pub const NO_TENSOR: u32 = u32::MAX;
/// Largest element count of a tensor.
pub const ELEMENTS_MAX: u64 = 1 << 30;
/// Most sections of a file.
pub const SECTIONS_MAX: u32 = 16;
/// Most programs of a file.
pub const PROGRAMS_MAX: u32 = 16;
/// Most tensors of a file.
pub const TENSORS_MAX: u32 = 16_384;
/// Most operations of a file.
pub const OPS_MAX: u32 = 16_384;
/// Most inputs and most outputs of a program.
pub const PORTS_MAX: u32 = 32;
/// Most banks of persistent state.
pub const BANKS_MAX: usize = 8;
/// Most copies of a bank that a file may ask for, without those for kept frames.
pub const COPIES_MAX: u32 = 64;
/// Most slots of a program: copies of banks that a run is given.
pub const SLOTS_MAX: usize = 16;
/// Largest size of a space that a file may ask for, bytes.
pub const MEMORY_MAX: u64 = 1 << 32;

/// Defines an enum of codes in the file: `from_code` is its inverse of `as u32`, `name` its lower-case name in reports.
macro_rules! codes {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        $vis enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// All values, in the order of their codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The value of a code in the file; none for an unknown code.
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// Its name in reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}
pub(crate) use codes;
