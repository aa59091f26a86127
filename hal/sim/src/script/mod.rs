//! Scripted scans: a text with the settings of a scan, the sonographer's actions and the device's faults over time.
//!
//! ```text
//! # Settings come first. Each has a default.
//! phantom heart            # or: head
//! probe phased             # or: convex 60 mm, linear 40 mm
//! seed 7
//! lines 64
//! samples 256
//! depth 150 mm
//! sector 75 deg            # full opening; not for linear probes
//! rate 30 hz
//! cycles 70 /min           # beats, or sways of the head
//! range 50 dB
//! gain 0 dB
//! output log               # or: linear, iq
//! density 0.2              # of scatterers; fewer are faster
//! duration 60 s
//!
//! # Then events, each at a time of the scan.
//! at 1 s click 1 "left ventricle"
//! at 1.5 s click 1 not "left atrium" 3 frames ago
//! at 2 s box 2 "left atrium"
//! at 9 s remove 2
//! at 2 s gain +6 dB
//! at 3 s slide 12 mm over 1 s
//! at 6 s return over 1 s
//! at 5 s depth 120 mm
//! at 5 s sector 60 deg     # linear probes: width 30 mm
//! at 8 s freeze
//! at 9 s resume
//! at 10 s shadow 20..30 deg -25 dB below 12 mm
//! at 12 s shadow off
//! at 14 s missing 3        # see Fault for all faults
//! ```
//!
//! [`Script::parse`] reads a script, the `Display` of [`Script`] writes it, and [`ScriptedScan`] plays it. A prompt names
//! an object of the phantom: a click is at its inside point, a box is around its true contour.

mod delivery;
mod error;
mod events;
mod parse;
mod scan;
mod settings;
mod words;
mod write;

pub use delivery::{Delivery, Expected};
pub use error::ScriptError;
pub use events::{
    Action, FRAMES_AGO_MAX, Fault, LATE_FRAMES, Mark, Script, ScriptEvent, ScriptPrompt, ScriptShadow,
};
pub use scan::{Request, ScriptedScan, Step};
pub use settings::{ScriptProbe, Settings};
