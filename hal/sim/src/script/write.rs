//! Writes a script as text that parses to the same script.

use super::events::{Action, Fault, Mark, Script, ScriptEvent, ScriptPatient, ScriptPrompt, ScriptShadow};
use super::settings::{ScriptProbe, Settings};
use crate::config::{Anatomy, Output};
use core::fmt::{Display, Formatter, Result};

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", self.settings)?;
        let unit = if self.settings.probe.is_linear() { "mm" } else { "deg" };
        self.events.iter().try_for_each(|event| write_event(f, event, unit))
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "phantom {}", anatomy_word(self.anatomy))?;
        match self.probe {
            ScriptProbe::Phased => writeln!(f, "probe phased")?,
            ScriptProbe::Convex { radius_mm } => writeln!(f, "probe convex {radius_mm} mm")?,
            ScriptProbe::Linear { width_mm } => writeln!(f, "probe linear {width_mm} mm")?,
        }
        writeln!(f, "seed {}\nlines {}\nsamples {}", self.seed, self.lines, self.samples)?;
        writeln!(f, "depth {} mm", self.depth_mm)?;
        if !self.probe.is_linear() {
            writeln!(f, "sector {} deg", self.sector_deg)?;
        }
        writeln!(f, "rate {} hz\ncycles {} /min", self.rate_hz, self.cycles_per_min)?;
        writeln!(f, "range {} dB\ngain {} dB", self.range_db, self.gain_db)?;
        let output = match self.output {
            Output::Logarithmic => "log",
            Output::Linear => "linear",
            Output::Iq => "iq",
        };
        if let Some(from_mm) = self.liver_beside_mm {
            writeln!(f, "beside liver {from_mm} mm")?;
        }
        writeln!(f, "output {output}\ndensity {}\nduration {} s", self.density, self.duration_s)
    }
}

const fn anatomy_word(anatomy: Anatomy) -> &'static str {
    match anatomy {
        Anatomy::Heart => "heart",
        Anatomy::FetalHead => "head",
    }
}

fn write_event(f: &mut Formatter<'_>, event: &ScriptEvent, unit: &str) -> Result {
    write!(f, "at {} s ", event.at_s)?;
    match event.action {
        Action::Gain { change_db } => writeln!(f, "gain {change_db:+} dB"),
        Action::Slide { to_mm, over_s } => writeln!(f, "slide {to_mm} mm over {over_s} s"),
        Action::Depth { depth_mm } => writeln!(f, "depth {depth_mm} mm"),
        Action::Sector { sector_deg } => writeln!(f, "sector {sector_deg} deg"),
        Action::Width { width_mm } => writeln!(f, "width {width_mm} mm"),
        Action::Freeze => writeln!(f, "freeze"),
        Action::Resume => writeln!(f, "resume"),
        Action::Shadow(None) => writeln!(f, "shadow off"),
        Action::Shadow(Some(shadow)) => write_shadow(f, &shadow, unit),
        Action::Power { power_db } => writeln!(f, "power {power_db} dB"),
        Action::Air { is_lifted: true } => writeln!(f, "air"),
        Action::Air { is_lifted: false } => writeln!(f, "air off"),
        Action::Patient(None) => writeln!(f, "patient own"),
        Action::Patient(Some(patient)) => {
            let ScriptPatient { anatomy, seed, size_percent, cycles_per_min } = patient;
            let anatomy = anatomy_word(anatomy);
            writeln!(f, "patient {anatomy} seed {seed} size {size_percent} % cycles {cycles_per_min} /min")
        }
        Action::Fault(fault) => write_fault(f, fault),
        Action::Prompt(prompt) => write_prompt(f, prompt),
    }
}

fn write_shadow(f: &mut Formatter<'_>, shadow: &ScriptShadow, unit: &str) -> Result {
    let (from, to, below_mm) = (shadow.from, shadow.to, shadow.below_mm);
    write!(f, "shadow {from}..{to} {unit} {} dB below {below_mm} mm", -shadow.loss_db)?;
    if let Some(level_db) = shadow.reflector_db {
        write!(f, " reflector {level_db:+} dB")?;
    }
    if let Some(sweep) = shadow.sweep {
        write!(f, " to {}..{} {unit} over {} s", sweep.from, sweep.to, sweep.over_s)?;
    }
    writeln!(f)
}

fn write_fault(f: &mut Formatter<'_>, fault: Fault) -> Result {
    write!(f, "{}", fault.name())?;
    match fault {
        Fault::Missing { frames } => writeln!(f, " {frames}"),
        Fault::Large { lines } => writeln!(f, " {lines} lines"),
        _ => writeln!(f),
    }
}

fn write_prompt(f: &mut Formatter<'_>, prompt: ScriptPrompt) -> Result {
    let object = prompt.object;
    match prompt.mark {
        Mark::Click { name } => write!(f, "click {object} \"{name}\"")?,
        Mark::NotHere { name } => write!(f, "click {object} not \"{name}\"")?,
        Mark::Box { name } => write!(f, "box {object} \"{name}\"")?,
        Mark::Remove => return writeln!(f, "remove {object}"),
    }
    if prompt.frames_ago > 0 {
        write!(f, " {} frames ago", prompt.frames_ago)?;
    }
    writeln!(f)
}

impl Fault {
    /// Its name in a script.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Duplicate => "duplicate",
            Self::Missing { .. } => "missing",
            Self::ShortPayload => "short_payload",
            Self::ShortAnnounced => "short_announced",
            Self::LongPayload => "long_payload",
            Self::Corrupt => "corrupt",
            Self::BadGeometry => "bad_geometry",
            Self::ImpossibleGeometry => "impossible_geometry",
            Self::ClockRestart => "clock_restart",
            Self::SeqRestart => "seq_restart",
            Self::Large { .. } => "large",
        }
    }
}
