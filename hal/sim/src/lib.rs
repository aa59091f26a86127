//! A simulated scanner: polar frames of a moving body, with the true contours, all from one seed.
//!
//! [`Simulator`] makes frames as a front end does, each with a complete
//! [`FrameDescriptor`](sonotrace_hal::frame::FrameDescriptor) and its payload, and adds the true contour of each object.
//! The same configuration gives the same bytes on every platform: all randomness comes from the seed, and all real
//! functions from `libm`.
//!
//! * [`config`]: the settings of a scan: anatomy, probe, output.
//! * [`simulator`]: makes frames.
//! * [`phantom`]: the scanned anatomy; [`heart`] and [`fetal_head`] are two phantoms; [`motion`], [`beat`]: their motion.
//! * [`compose`]: bodies of other sizes, and with other tissue beside them; [`liver`]: such tissue.
//! * [`visibility`]: masks of the true objects on a frame, and how much of each can be seen.
//! * [`field`]: the scan lines of sector and linear probes.
//! * [`scatter`]: the point scatterers of tissue and blood; [`echo`]: beamforming of their echoes.
//! * [`scanner`]: attenuation, noise, gain, clutter, compression; [`shadow`]: acoustic shadows.
//! * [`script`]: scripted scans: the sonographer's actions and the device's faults over time; [`scripts`]: scripts of what
//!   happens in every examination.
//! * [`polygon`], [`random`], [`signal`]: helpers.
//!
//! Simplifications: a plane instead of a slice, a separable Gaussian point-spread function, no refraction, no multiple
//! scattering (haze is added instead), blood whose speckle is new on every frame.
#![forbid(unsafe_code)]

pub mod beat;
pub mod compose;
pub mod config;
pub mod echo;
pub mod fetal_head;
pub mod field;
pub mod heart;
pub mod liver;
pub mod motion;
pub mod phantom;
pub mod polygon;
pub mod random;
pub mod scanner;
pub mod scatter;
pub mod script;
pub mod scripts;
pub mod shadow;
pub mod signal;
pub mod simulator;
pub mod visibility;

pub use config::{Anatomy, Output, Probe, SimConfig, SimError};
pub use simulator::{Body, Conditions, SimFrame, Simulator};
