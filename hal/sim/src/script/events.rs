//! The events of a script.

use super::settings::{Settings, half_angle_rad};
use crate::config::{Anatomy, Probe, SimConfig};

/// Largest number of frames ago for a prompt.
pub const FRAMES_AGO_MAX: u32 = 64;
/// Number of newer frames that overtake a [`Fault::Late`] frame.
pub const LATE_FRAMES: u64 = 2;

/// What a prompt marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// A click inside an object.
    Click {
        /// Name of the object.
        name: &'static str,
    },
    /// A negative click, inside another object than the prompt's.
    NotHere {
        /// Name of the other object.
        name: &'static str,
    },
    /// A box around an object.
    Box {
        /// Name of the object.
        name: &'static str,
    },
    /// Stop following the object.
    Remove,
}

/// A prompt of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptPrompt {
    /// The device's number for the object, from 1.
    pub object: u32,
    /// What is marked.
    pub mark: Mark,
    /// How many displayed frames before the newest the prompt is made on; 0 for the newest.
    pub frames_ago: u32,
}

/// A band of lines in a shadow.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScriptShadow {
    /// Where it starts across the lines: degrees for a sector, millimetres for a linear probe. If it moves: at first.
    pub from: f32,
    /// Where it ends.
    pub to: f32,
    /// Loss of echoes from behind it, at least 0 (negative in a script, as a gain).
    pub loss_db: f32,
    /// Depth at which it starts; 0 for lost contact.
    pub below_mm: f32,
    /// Echo of the obstacle at that depth, relative to plain muscle; `None` if it has no echo.
    pub reflector_db: Option<f32>,
    /// Its movement across the lines.
    pub sweep: Option<ScriptSweep>,
}

/// A movement of a shadow at constant speed, after which the shadow stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScriptSweep {
    /// Where the shadow starts in the end, in the unit of [`ScriptShadow::from`].
    pub from: f32,
    /// Where it ends.
    pub to: f32,
    /// Duration of the movement.
    pub over_s: f32,
}

/// Another patient.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScriptPatient {
    /// What is scanned.
    pub anatomy: Anatomy,
    /// Seed of this body and its clutter.
    pub seed: u64,
    /// Size of the body relative to its usual size.
    pub size_percent: f32,
    /// Cycles of the anatomy's motion per minute.
    pub cycles_per_min: f32,
}

/// A fault that happens once: to the first live frame, from its time on, that has no other fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `late`: the frame is delivered after [`LATE_FRAMES`] newer frames.
    Late,
    /// `duplicate`: the frame is delivered twice with the same number.
    Duplicate,
    /// `missing 3`: frames are acquired and never delivered; the next frame has the flag
    /// [`GAP_BEFORE`](sonotrace_hal::frame::flags::GAP_BEFORE).
    Missing {
        /// How many.
        frames: u32,
    },
    /// `short_payload`: the payload is one line shorter than the descriptor announces.
    ShortPayload,
    /// `short_announced`: the descriptor announces one line less than its lines and stride need.
    ShortAnnounced,
    /// `long_payload`: payload and announced size are one line longer than lines and stride need.
    LongPayload,
    /// `corrupt`: one bit of the payload is wrong.
    Corrupt,
    /// `bad_geometry`: the last depth is NaN.
    BadGeometry,
    /// `impossible_geometry`: the last depth is smaller than the first.
    ImpossibleGeometry,
    /// `clock_restart`: acquisition times restart at zero, as after a reset of the probe.
    ClockRestart,
    /// `seq_restart`: sequence numbers restart at 1.
    SeqRestart,
    /// `large 128 lines`: one consistent frame with more lines than the settings have.
    Large {
        /// Its lines: more than in the settings.
        lines: u32,
    },
}

/// An action of the user or the device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Action {
    /// The gain changes.
    Gain {
        /// Change of the gain.
        change_db: f32,
    },
    /// The probe slides, so that the anatomy shifts to the right in the probe's plane.
    Slide {
        /// Final shift of the anatomy from its position at the start of the scan; 0 to return.
        to_mm: f32,
        /// Duration of the slide.
        over_s: f32,
    },
    /// The depth changes: a new geometry of the same anatomy.
    Depth {
        /// The new depth of the last sample.
        depth_mm: f32,
    },
    /// The opening of a sector changes.
    Sector {
        /// The new full opening.
        sector_deg: f32,
    },
    /// A linear probe uses fewer or more of its elements.
    Width {
        /// The new distance from the first line to the last.
        width_mm: f32,
    },
    /// The user freezes the image: the front end repeats the last frame with the flag
    /// [`FROZEN`](sonotrace_hal::frame::flags::FROZEN).
    Freeze,
    /// The image is live again.
    Resume,
    /// A shadow appears, or disappears.
    Shadow(Option<ScriptShadow>),
    /// The transmitted power changes: echoes change, noise does not.
    Power {
        /// The new power relative to full power, at most 0.
        power_db: f32,
    },
    /// The probe is lifted into air, or put back.
    Air {
        /// Whether it is lifted.
        is_lifted: bool,
    },
    /// The probe is put on another patient, or back on the own one (`None`).
    Patient(Option<ScriptPatient>),
    /// A fault of the device.
    Fault(Fault),
    /// The user makes a prompt.
    Prompt(ScriptPrompt),
}

impl Action {
    /// Changes the geometry of a configuration. Returns whether this action does that.
    pub(super) fn change_geometry(self, config: &mut SimConfig) -> bool {
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

/// An action and its time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScriptEvent {
    /// Time of the scan. The action takes effect at the first frame from this time on.
    pub at_s: f64,
    /// An action of the user or the device.
    pub action: Action,
}

/// A parsed script: every value is within its limits, every name is known, events are in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Script {
    pub(super) settings: Settings,
    pub(super) events: Vec<ScriptEvent>,
}

impl Script {
    /// The settings, with defaults filled in.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The events in order of time; events at the same time are in order of their lines.
    pub fn events(&self) -> &[ScriptEvent] {
        &self.events
    }
}
