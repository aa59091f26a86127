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
//! beside liver 4 mm        # other tissue, 4 mm beside the field of view; by default the phantom's own goes on
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
//! at 11 s shadow -60..-40 deg -30 dB below 0 mm to 40..60 deg over 1 s      # lost contact sweeps across
//! at 12 s shadow -9..9 deg -25 dB below 12 mm reflector +15 dB              # of a rib, which is bright
//! at 13 s shadow off
//! at 13 s power -15 dB     # transmitted, below full power: echoes are weaker, noise is not
//! at 13.5 s air            # the probe is lifted
//! at 13.7 s air off
//! at 13.8 s patient heart seed 9 size 85 % cycles 95 /min                   # another patient
//! at 13.9 s patient own
//! at 14 s missing 3        # see Fault for all faults
//! ```
//!
//! [`Script::parse`] reads a script, the `Display` of [`Script`] writes it, and [`ScriptedScan`] plays it. A prompt names
//! an object of the phantom: a click is at its inside point, a box is around its true contour. In air and on another patient,
//! prompts are made where the own patient's objects would be.

mod delivery;
mod error;
mod events;
mod parse;
mod scan;
mod settings;
mod words;
mod write;

pub use delivery::{Delivery, Expected, Scene};
pub use error::ScriptError;
pub use events::{
    Action, FRAMES_AGO_MAX, Fault, LATE_FRAMES, Mark, Script, ScriptEvent, ScriptPatient, ScriptPrompt,
    ScriptShadow, ScriptSweep,
};
pub use scan::{Request, ScriptedScan, Step};
pub use settings::{ScriptProbe, Settings};
