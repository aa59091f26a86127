//! Reads a script, line by line.

use super::error::ScriptError;
use super::events::{
    Action, FRAMES_AGO_MAX, Fault, Mark, Script, ScriptEvent, ScriptPatient, ScriptPrompt, ScriptShadow,
    ScriptSweep,
};
use super::settings::{ScriptProbe, Settings};
use super::words::{Unit, Words, within};
use crate::config::{Anatomy, LIVER_MAX_MM, Output, SIZE_LIMITS};
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};

/// Longest scan.
const DURATION_MAX_S: f64 = 86_400.0;
/// Largest shift of the anatomy: more than it takes to move a heart out of a sector.
const SLIDE_MAX_MM: f64 = 150.0;
/// Lowest transmitted power, relative to full power.
const POWER_MIN_DB: f64 = -60.0;
/// Limits of the echo of a reflector, relative to plain muscle: below the first it could not be seen.
const REFLECTOR_LIMITS_DB: (f64, f64) = (-20.0, 40.0);
/// Limits of the gain, with all changes added up.
const GAIN_LIMITS_DB: (f64, f64) = (-60.0, 60.0);
/// Default depth at which a shadow starts.
const SHADOW_BELOW_MM: f32 = 10.0;

const SETTING: &str = "a setting (phantom, probe, seed, lines, samples, depth, sector, rate, cycles, range, gain, \
                       output, density, beside, duration) or `at`";
const ACTION: &str = "an action (click, box, remove, gain, slide, return, depth, sector, width, power, air, \
                      patient, freeze, resume, shadow, late, duplicate, missing, short_payload, short_announced, \
                      long_payload, corrupt, bad_geometry, impossible_geometry, clock_restart, seq_restart, large)";
const NO_SECTOR: &str = "`width`, because a linear probe has no sector";
const NO_WIDTH: &str = "`sector`, because only a linear probe has a width";

impl Script {
    /// Reads a script.
    ///
    /// # Errors
    /// [`ScriptError`]: the number of the line, what is expected there and what was found.
    pub fn parse(text: &str) -> Result<Self, ScriptError> {
        let lines = || {
            text.lines().zip(1u32..).filter_map(|(content, line)| {
                let content = content.split_once('#').map_or(content, |(before, _)| before).trim();
                (!content.is_empty()).then_some(Words { line, rest: content })
            })
        };
        let head = || lines().take_while(|words| !words.is_event());
        let mut settings = defaults(head())?;
        let mut before = Vec::new();
        for words in head() {
            read_setting(words, &mut settings, &mut before)?;
        }
        let scan_error = |line| move |source| ScriptError::Scan { line, source };
        let head_line = before.iter().map(|(_, line)| *line).max().unwrap_or(1);
        let mut config = settings.config();
        config.field().map_err(scan_error(head_line))?;

        let mut events = Vec::new();
        for words in lines().skip_while(|words| !words.is_event()) {
            let line = words.line;
            events.push((line, read_event(words, &settings)?));
        }
        // A stable sort keeps events at the same time in order of their lines.
        events.sort_by(|(_, a), (_, b)| a.at_s.total_cmp(&b.at_s));
        for (line, event) in &events {
            match event.action {
                Action::Gain { change_db } => {
                    config.gain_db += change_db;
                    let sum = ("the gain, all changes added up,", config.gain_db.into());
                    within(*line, sum, GAIN_LIMITS_DB)?;
                }
                action if action.change_geometry(&mut config) => {
                    config.field().map_err(scan_error(*line))?;
                }
                _ => {}
            }
        }
        Ok(Self { settings, events: events.into_iter().map(|(_, event)| event).collect() })
    }
}

/// The defaults of the phantom and the probe, whose lines can be anywhere among the settings.
fn defaults<'a>(head: impl Iterator<Item = Words<'a>>) -> Result<Settings, ScriptError> {
    let (mut anatomy, mut probe) = (Anatomy::Heart, None);
    for mut words in head {
        match words.next() {
            Some("phantom") => anatomy = read_anatomy(&mut words)?,
            Some("probe") => probe = Some(read_probe(&mut words)?),
            _ => {}
        }
    }
    Ok(Settings::new(anatomy, probe))
}

/// Reads one line of settings; `before` has the settings read so far, with their lines.
fn read_setting(
    mut words: Words<'_>,
    settings: &mut Settings,
    before: &mut Vec<(&'static str, u32)>,
) -> Result<(), ScriptError> {
    let start = words;
    let name = words.next();
    let value = words;
    let setting = match name {
        Some("phantom") => {
            settings.anatomy = read_anatomy(&mut words)?;
            "phantom"
        }
        Some("probe") => {
            settings.probe = read_probe(&mut words)?;
            "probe"
        }
        Some("seed") => {
            settings.seed = words.seed()?;
            "seed"
        }
        Some("lines") => {
            settings.lines = words.whole("the number of lines", 2, LINES_MAX)?;
            "lines"
        }
        Some("samples") => {
            settings.samples = words.whole("the number of samples", 2, SAMPLES_MAX)?;
            "samples"
        }
        Some("depth") => {
            settings.depth_mm = words.depth_mm()?;
            "depth"
        }
        Some("sector") if settings.probe.is_linear() => return Err(start.expected(NO_SECTOR)),
        Some("sector") => {
            settings.sector_deg = words.sector_deg()?;
            "sector"
        }
        Some("rate") => {
            settings.rate_hz = words.number("the frame rate", (1.0, 1000.0), Unit::Hz)?;
            "rate"
        }
        Some("cycles") => {
            settings.cycles_per_min = words.cycles_per_min()?;
            "cycles"
        }
        Some("range") => {
            settings.range_db = words.number("the dynamic range", (1.0, 200.0), Unit::Db)?;
            "range"
        }
        Some("gain") => {
            settings.gain_db = words.number("the gain", GAIN_LIMITS_DB, Unit::Db)?;
            "gain"
        }
        Some("output") => {
            settings.output = match words.next() {
                Some("log") => Output::Logarithmic,
                Some("linear") => Output::Linear,
                Some("iq") => Output::Iq,
                _ => return Err(value.expected("`log`, `linear` or `iq`")),
            };
            "output"
        }
        Some("density") => {
            settings.density = words.value("the density", (0.01, 2.0))?;
            "density"
        }
        Some("beside") => {
            words.word("liver", "`liver`")?;
            let limits = (0.0, LIVER_MAX_MM.into());
            let from_mm =
                words.number("the distance of the liver from the field of view", limits, Unit::Mm)?;
            settings.liver_beside_mm = Some(from_mm);
            "beside"
        }
        Some("duration") => {
            let limits = (0.0, DURATION_MAX_S);
            settings.duration_s = words.number_f64("the duration", limits, Unit::Seconds)?;
            "duration"
        }
        _ => return Err(start.expected(SETTING)),
    };
    words.end()?;
    if let Some((_, first)) = before.iter().find(|(name, _)| *name == setting) {
        return Err(ScriptError::Twice { line: words.line, setting, before: *first });
    }
    before.push((setting, words.line));
    Ok(())
}

fn read_anatomy(words: &mut Words<'_>) -> Result<Anatomy, ScriptError> {
    let start = *words;
    match words.next() {
        Some("heart") => Ok(Anatomy::Heart),
        Some("head") => Ok(Anatomy::FetalHead),
        _ => Err(start.expected("`heart` or `head`")),
    }
}

fn read_probe(words: &mut Words<'_>) -> Result<ScriptProbe, ScriptError> {
    let start = *words;
    match words.next() {
        Some("phased") => Ok(ScriptProbe::Phased),
        Some("convex") => {
            let radius_mm = words.number("the probe's radius", (5.0, 200.0), Unit::Mm)?;
            Ok(ScriptProbe::Convex { radius_mm })
        }
        Some("linear") => Ok(ScriptProbe::Linear { width_mm: words.width_mm()? }),
        _ => Err(start.expected("`phased`, `convex` or `linear`")),
    }
}

/// Reads `at 2 s ...`.
fn read_event(mut words: Words<'_>, settings: &Settings) -> Result<ScriptEvent, ScriptError> {
    if !words.is_event() {
        return Err(words.expected("`at`, because settings come before the first event"));
    }
    words.next();
    let limits = (0.0, settings.duration_s);
    let at_s = words.number_f64("the time of an event within the scan", limits, Unit::Seconds)?;
    let action = read_action(&mut words, settings)?;
    words.end()?;
    Ok(ScriptEvent { at_s, action })
}

fn read_action(words: &mut Words<'_>, settings: &Settings) -> Result<Action, ScriptError> {
    let start = *words;
    let fault = match words.next() {
        Some("click") => return read_prompt(words, settings, false),
        Some("box") => return read_prompt(words, settings, true),
        Some("remove") => {
            let object = words.whole("the number of an object", 1, u32::MAX)?;
            return Ok(Action::Prompt(ScriptPrompt { object, mark: Mark::Remove, frames_ago: 0 }));
        }
        Some("gain") => {
            let change_db = words.number("the change of gain", (-120.0, 120.0), Unit::Db)?;
            return Ok(Action::Gain { change_db });
        }
        Some("slide") => {
            let to_mm = words.number("the slide", (-SLIDE_MAX_MM, SLIDE_MAX_MM), Unit::Mm)?;
            return Ok(Action::Slide { to_mm, over_s: words.over_s()? });
        }
        Some("return") => return Ok(Action::Slide { to_mm: 0.0, over_s: words.over_s()? }),
        Some("depth") => return Ok(Action::Depth { depth_mm: words.depth_mm()? }),
        Some("sector") if settings.probe.is_linear() => return Err(start.expected(NO_SECTOR)),
        Some("sector") => return Ok(Action::Sector { sector_deg: words.sector_deg()? }),
        Some("width") if !settings.probe.is_linear() => return Err(start.expected(NO_WIDTH)),
        Some("width") => return Ok(Action::Width { width_mm: words.width_mm()? }),
        Some("freeze") => return Ok(Action::Freeze),
        Some("resume") => return Ok(Action::Resume),
        Some("shadow") => return read_shadow(words, settings.probe),
        Some("power") => {
            let power_db = words.number("the power relative to full power", (POWER_MIN_DB, 0.0), Unit::Db)?;
            return Ok(Action::Power { power_db });
        }
        Some("air") => return Ok(Action::Air { is_lifted: !words.takes("off") }),
        Some("patient") => return read_patient(words, settings),
        Some("late") => Fault::Late,
        Some("duplicate") => Fault::Duplicate,
        Some("missing") => Fault::Missing { frames: words.whole("the number of frames", 1, 1_000_000)? },
        Some("short_payload") => Fault::ShortPayload,
        Some("short_announced") => Fault::ShortAnnounced,
        Some("long_payload") => Fault::LongPayload,
        Some("corrupt") => Fault::Corrupt,
        Some("bad_geometry") => Fault::BadGeometry,
        Some("impossible_geometry") => Fault::ImpossibleGeometry,
        Some("clock_restart") => Fault::ClockRestart,
        Some("seq_restart") => Fault::SeqRestart,
        Some("large") => {
            let lines = words.whole("the number of lines", settings.lines + 1, 2 * LINES_MAX)?;
            words.word("lines", "`lines`")?;
            Fault::Large { lines }
        }
        _ => return Err(start.expected(ACTION)),
    };
    Ok(Action::Fault(fault))
}

/// Reads the rest of `click 1 "left ventricle"`, `click 1 not "left atrium"`, `box 2 "left atrium" 3 frames ago`.
fn read_prompt(words: &mut Words<'_>, settings: &Settings, is_box: bool) -> Result<Action, ScriptError> {
    let object = words.whole("the number of an object", 1, u32::MAX)?;
    let is_negative = !is_box && words.takes("not");
    let name = words.object_name(settings.anatomy.object_names())?;
    let mut frames_ago = 0;
    if !words.rest.is_empty() {
        frames_ago = words.whole("the number of frames ago", 0, FRAMES_AGO_MAX)?;
        words.word("frames", "`frames ago`")?;
        words.word("ago", "`ago`")?;
    }
    let mark = match (is_box, is_negative) {
        (true, _) => Mark::Box { name },
        (false, true) => Mark::NotHere { name },
        (false, false) => Mark::Click { name },
    };
    Ok(Action::Prompt(ScriptPrompt { object, mark, frames_ago }))
}

/// Reads the rest of `patient own` or `patient heart seed 9 size 85 % cycles 95 /min`.
fn read_patient(words: &mut Words<'_>, settings: &Settings) -> Result<Action, ScriptError> {
    let start = *words;
    if words.takes("own") {
        return Ok(Action::Patient(None));
    }
    let anatomy = read_anatomy(words).map_err(|_| start.expected("`own`, `heart` or `head`"))?;
    let usual = Settings::new(anatomy, None);
    let mut patient = ScriptPatient {
        anatomy,
        seed: settings.seed.wrapping_add(1),
        size_percent: 100.0,
        cycles_per_min: usual.cycles_per_min,
    };
    if words.takes("seed") {
        patient.seed = words.seed()?;
    }
    if words.takes("size") {
        let (least, most) = (f64::from(SIZE_LIMITS.0), f64::from(SIZE_LIMITS.1));
        let limits = (100.0 * least, 100.0 * most);
        patient.size_percent = words.number("the size of the patient", limits, Unit::Percent)?;
    }
    if words.takes("cycles") {
        patient.cycles_per_min = words.cycles_per_min()?;
    }
    if !words.rest.is_empty() {
        return Err(words.expected("`seed`, `size` and `cycles`, in this order, or the end of the line"));
    }
    Ok(Action::Patient(Some(patient)))
}

/// Reads the rest of `shadow off` or
/// `shadow -40..-20 deg -25 dB below 12 mm reflector +15 dB to 20..40 deg over 2 s`.
fn read_shadow(words: &mut Words<'_>, probe: ScriptProbe) -> Result<Action, ScriptError> {
    if words.takes("off") {
        return Ok(Action::Shadow(None));
    }
    let (from, to) = read_band(words, probe, "`off` or a range such as `20..30`")?;
    let change_db: f32 = words.number("the loss in a shadow", (-80.0, 0.0), Unit::Db)?;
    let mut below_mm = SHADOW_BELOW_MM;
    if words.takes("below") {
        below_mm = words.number("the depth of a shadow", (0.0, 400.0), Unit::Mm)?;
    }
    let (mut reflector_db, mut sweep) = (None, None);
    if words.takes("reflector") {
        reflector_db = Some(words.number("the echo of a reflector", REFLECTOR_LIMITS_DB, Unit::Db)?);
    }
    if words.takes("to") {
        let (from, to) = read_band(words, probe, "a range such as `20..30`")?;
        sweep = Some(ScriptSweep { from, to, over_s: words.over_s()? });
    }
    if !words.rest.is_empty() {
        return Err(words.expected("`below`, `reflector` and `to`, in this order, or the end of the line"));
    }
    // Subtraction, because negation could give a negative zero.
    let loss_db = 0.0 - change_db;
    Ok(Action::Shadow(Some(ScriptShadow { from, to, loss_db, below_mm, reflector_db, sweep })))
}

/// Reads a band of lines: `20..30 deg`.
fn read_band(
    words: &mut Words<'_>,
    probe: ScriptProbe,
    expected: &'static str,
) -> Result<(f32, f32), ScriptError> {
    let start = *words;
    let ends = || start.expected(expected);
    let (from, to) = words.next().and_then(|word| word.split_once("..")).ok_or_else(ends)?;
    let end = |word: &str| word.parse::<f32>().map_err(|_| ends());
    let (from, to) = (end(from)?, end(to)?);
    let (unit, most) = if probe.is_linear() { (Unit::Mm, 200.0) } else { (Unit::Deg, 90.0) };
    within(start.line, ("the start of a shadow", from.into()), (-most, most))?;
    within(start.line, ("the width of a shadow", (to - from).into()), (0.1, 2.0 * most))?;
    words.unit(unit)?;
    Ok((from, to))
}
