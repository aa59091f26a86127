//! A scan as a text: its settings, and what the sonographer, the device and its faults do to it, and when.
//!
//! ```text
//! # Settings come first; each has a default.
//! phantom heart            # or: head
//! probe phased             # or: convex 60 mm, linear 40 mm
//! seed 7
//! lines 64
//! samples 256
//! depth 150 mm
//! sector 75 deg            # full opening; fans only
//! rate 30 hz
//! cycles 70 /min           # beats, or sways of the head
//! range 50 dB
//! gain 0 dB
//! output log               # or: linear, iq
//! density 0.2              # of scatterers: fewer are faster
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
//! at 14 s missing 3        # and the other traps: see Trap
//! ```
//!
//! [`Script::parse`] reads it, [`Script`]'s `Display` writes it back, and [`ScriptedScan`] plays it. A prompt names an
//! object of the truth: a click goes to its inside point, a box around its contour.

mod parse;
mod scan;
mod write;

pub use scan::{Delivery, Expected, LATE_FRAMES, Request, ScriptedScan, Step};

use super::config::QUIET_NOISE_DB;
use super::echo::Beam;
use super::scanner::Chain;
use super::{Anatomy, Output, Probe, SimConfig, SimError};

/// Most frames ago that a prompt can be made.
pub const FRAMES_AGO_MAX: u32 = 64;

/// The probe, without the sector's angle, which can be turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ScriptProbe {
    /// A phased array.
    Phased,
    /// A curved array.
    Convex {
        /// Radius of its face.
        radius_mm: f32,
    },
    /// A linear array.
    Linear {
        /// From its first line to its last.
        width_mm: f32,
    },
}

impl ScriptProbe {
    /// Whether its lines are parallel, so that places across them are millimetres and not degrees.
    pub const fn is_linear(self) -> bool {
        matches!(self, Self::Linear { .. })
    }
}

/// The settings at the head of a script.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// What there is to see.
    pub anatomy: Anatomy,
    /// The probe; its beam and its noise go with it.
    pub probe: ScriptProbe,
    /// Where all randomness comes from.
    pub seed: u64,
    /// Scan lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Depth of the last sample.
    pub depth_mm: f32,
    /// Full opening of the sector; a linear probe has none.
    pub sector_deg: f32,
    /// Frames per second.
    pub rate_hz: f32,
    /// Cycles of the anatomy's motion per minute.
    pub cycles_per_min: f32,
    /// Dynamic range.
    pub range_db: f32,
    /// Gain.
    pub gain_db: f32,
    /// What the samples are.
    pub output: Output,
    /// Scatterers, against the full number.
    pub density: f32,
    /// Length of the scan.
    pub duration_s: f64,
}

impl Settings {
    /// The defaults for an anatomy, and for a probe if it is not the one that goes with it.
    pub fn new(anatomy: Anatomy, probe: Option<ScriptProbe>) -> Self {
        let (config, own) = match anatomy {
            Anatomy::Heart => (SimConfig::default(), ScriptProbe::Phased),
            Anatomy::FetalHead => (SimConfig::fetal_head(), ScriptProbe::Convex { radius_mm: 60.0 }),
        };
        let probe = probe.unwrap_or(own);
        Self {
            anatomy,
            probe,
            seed: config.seed,
            lines: config.lines,
            samples: config.samples,
            depth_mm: config.depth_mm,
            sector_deg: match probe {
                ScriptProbe::Phased => 75.0,
                ScriptProbe::Convex { .. } => 70.0,
                ScriptProbe::Linear { .. } => 0.0,
            },
            rate_hz: config.frame_rate_hz,
            cycles_per_min: config.heart_rate_bpm,
            range_db: config.range_db,
            gain_db: config.gain_db,
            output: config.output,
            density: config.density,
            duration_s: 10.0,
        }
    }

    /// The simulator's configuration at the start of the scan.
    pub fn config(&self) -> SimConfig {
        let base = match self.anatomy {
            Anatomy::Heart => SimConfig::default(),
            Anatomy::FetalHead => SimConfig::fetal_head(),
        };
        let half_angle_rad = half_angle_rad(self.sector_deg);
        let (probe, beam, noise_db) = match self.probe {
            ScriptProbe::Phased => {
                (Probe::Phased { half_angle_rad }, Beam::default(), Chain::default().noise_db)
            }
            ScriptProbe::Convex { radius_mm } => {
                (Probe::Convex { radius_mm, half_angle_rad }, Beam::CONVEX, QUIET_NOISE_DB)
            }
            ScriptProbe::Linear { width_mm } => (Probe::Linear { width_mm }, Beam::LINEAR, QUIET_NOISE_DB),
        };
        SimConfig {
            seed: self.seed,
            probe,
            lines: self.lines,
            samples: self.samples,
            depth_mm: self.depth_mm,
            frame_rate_hz: self.rate_hz,
            heart_rate_bpm: self.cycles_per_min,
            range_db: self.range_db,
            gain_db: self.gain_db,
            output: self.output,
            density: self.density,
            beam,
            chain: Chain { noise_db, ..base.chain },
            ..base
        }
    }

    /// Frames of the scan.
    pub fn frames(&self) -> u64 {
        (self.duration_s * f64::from(self.rate_hz)) as u64
    }
}

/// Half of a sector's opening.
fn half_angle_rad(sector_deg: f32) -> f32 {
    0.5 * sector_deg * core::f32::consts::PI / 180.0
}

/// What a prompt marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A click inside an object of the truth.
    Click {
        /// The object's name.
        name: &'static str,
    },
    /// A negative click, inside an object of the truth that the prompt's object is not.
    NotHere {
        /// That object's name.
        name: &'static str,
    },
    /// A box around an object of the truth.
    Box {
        /// The object's name.
        name: &'static str,
    },
    /// The object is followed no longer.
    Remove,
}

/// A prompt as a script has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptPrompt {
    /// The device's number for the object, from 1.
    pub object: u32,
    /// What is marked.
    pub mark: Mark,
    /// How many shown frames before the newest the user looked at; 0 for the newest.
    pub frames_ago: u32,
}

/// A band of lines that comes to lie in a shadow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScriptShadow {
    /// Where it begins across the lines: degrees on a fan, millimetres on a linear probe.
    pub from: f32,
    /// Where it ends.
    pub to: f32,
    /// What echoes from beyond lose, at least 0 (a script has it negative, as a gain).
    pub loss_db: f32,
    /// Depth at which it begins.
    pub below_mm: f32,
}

/// Something that goes wrong, once. A trap acts on the first live frame from its time on that no other trap acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// `late`: the frame is delivered after [`LATE_FRAMES`] newer ones, its number and time older than theirs.
    Late,
    /// `duplicate`: the frame is delivered twice under one number.
    Duplicate,
    /// `missing 3`: frames are taken and never delivered; the next one is flagged
    /// [`GAP_BEFORE`](crate::frame::flags::GAP_BEFORE).
    Missing {
        /// How many.
        frames: u32,
    },
    /// `short_payload`: fewer bytes come than the descriptor announces, by one line.
    ShortPayload,
    /// `short_announced`: all bytes come; the descriptor announces a line fewer than its lines and stride need.
    ShortAnnounced,
    /// `long_payload`: the descriptor announces, and there comes, a line more than its lines and stride hold.
    LongPayload,
    /// `corrupt`: a bit of the payload is not what the checksum was made of.
    Corrupt,
    /// `bad_geometry`: the last depth is not a number.
    BadGeometry,
    /// `impossible_geometry`: the last depth lies before the first.
    ImpossibleGeometry,
    /// `clock_restart`: acquisition times start at zero again, as after a reset of the probe.
    ClockRestart,
    /// `seq_restart`: sequence numbers start at 1 again.
    SeqRestart,
    /// `large 128 lines`: one frame, consistent in itself, with more lines than were agreed on.
    Large {
        /// How many lines it has; more than the script's setting.
        lines: u32,
    },
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// The gain is turned.
    Gain {
        /// By how much.
        change_db: f32,
    },
    /// The probe slides, so that the anatomy shifts to the right in the probe's plane.
    Slide {
        /// Where the anatomy ends up, from where it was at the start of the scan; 0 to return.
        to_mm: f32,
        /// How long it takes.
        over_s: f32,
    },
    /// The depth is turned: a new geometry of the same anatomy.
    Depth {
        /// The new depth of the last sample.
        depth_mm: f32,
    },
    /// The opening of a fan is turned.
    Sector {
        /// The new full opening.
        sector_deg: f32,
    },
    /// A linear probe scans with fewer or more of its elements.
    Width {
        /// The new distance from the first line to the last.
        width_mm: f32,
    },
    /// The user freezes the image: the last frame is repeated with the flag
    /// [`FROZEN`](crate::frame::flags::FROZEN).
    Freeze,
    /// The image is live again.
    Resume,
    /// A shadow falls, or is gone.
    Shadow(Option<ScriptShadow>),
    /// Something goes wrong.
    Trap(Trap),
    /// The user points at something.
    Prompt(ScriptPrompt),
}

impl Action {
    /// Changes a configuration's geometry; whether that is what this action does.
    fn turn(self, config: &mut SimConfig) -> bool {
        match (self, &mut config.probe) {
            (Self::Depth { depth_mm }, _) => config.depth_mm = depth_mm,
            (
                Self::Sector { sector_deg },
                Probe::Phased { half_angle_rad: half } | Probe::Convex { half_angle_rad: half, .. },
            ) => *half = half_angle_rad(sector_deg),
            (Self::Width { width_mm: wanted }, Probe::Linear { width_mm }) => *width_mm = wanted,
            _ => return false,
        }
        true
    }
}

/// Something that happens, and when.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Event {
    /// Time of the scan; it acts on the first frame at this time or after it.
    pub at_s: f64,
    /// What happens.
    pub action: Action,
}

/// A parsed script: every value within its limits, every name known, the events in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    settings: Settings,
    events: Vec<Event>,
}

impl Script {
    /// The settings at its head, with defaults filled in.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What happens, in order of time; at one time, in the order of the lines.
    pub fn events(&self) -> &[Event] {
        &self.events
    }
}

/// Why a script was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScriptError {
    /// A line does not go on as it must.
    #[error("script line {line}: expected {expected}, found {seen}")]
    Expected {
        /// Number of the line, from 1.
        line: u32,
        /// What would be right there.
        expected: &'static str,
        /// What stands there, in quotation marks, or `the end of the line`.
        seen: String,
    },
    /// A number is outside its limits or not finite.
    #[error("script line {line}: {what} is {seen}, not within {min}..={max}")]
    Range {
        /// Number of the line.
        line: u32,
        /// What the number is.
        what: &'static str,
        /// The value found.
        seen: f64,
        /// Least value allowed.
        min: f64,
        /// Largest value allowed.
        max: f64,
    },
    /// A setting was given before.
    #[error("script line {line}: `{setting}` was set on line {before} already")]
    Twice {
        /// Number of the line.
        line: u32,
        /// The setting's name.
        setting: &'static str,
        /// Number of the line that set it first.
        before: u32,
    },
    /// The phantom has no object of that name.
    #[error("script line {line}: the phantom has no object {seen:?}, only {known:?}")]
    Object {
        /// Number of the line.
        line: u32,
        /// The name found.
        seen: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// From this line on, the settings do not make a scan: the line itself, or for the settings at the head of a script
    /// the last of them, together with those before.
    #[error("script line {line}: {source}")]
    Scan {
        /// Number of the line.
        line: u32,
        /// What the simulator says.
        source: SimError,
    },
}
