//! Follows objects in fixed memory: what is remembered of which frame, what shows whether a mask is right, and what may be
//! learnt from.
//!
//! The networks find the objects; this module decides. It computes the same as the reference in `models/`
//! (`nets/following.py`), step by step, on the caller's memory.
//!
//! * `objects`: sets of objects.
//! * `follower`: a frame's steps, in slices.
//! * `memory`: which copies of the banks hold the reference, recent frames, and the anchor.
//! * `gate`: which masks are learnt from.
//! * `warp`: whether the anchor's masks still fit.
//! * `looks`: how objects look in a frame; `attention`: how well its tokens are known from the reference.
//! * `programs`: the tracker's programs, and the copies that their slots are bound to.
//! * `vectors`: sums over vectors. Steps over pixels are kernels ([`crate::kernels::pixels`]).
//! * `evidence`: what follows from both, and the probabilities that a mask is right, may be learnt from, or is of an absent
//!   object.

pub mod attention;
pub mod evidence;
pub mod follower;
mod gate;
pub mod looks;
pub mod memory;
mod objects;
pub mod programs;
pub mod vectors;
pub mod warp;

pub use gate::Gate;
pub use objects::Objects;

/// Places of objects: the tracker follows up to so many at once.
pub const PLACES: usize = crate::hal::overlay::OBJECTS_MAX;
