//! The parameters of a recording: the `.yml`.
//!
//! The scanner writes text that resembles YAML but is not (`tgc: { 0.00mm, 23.00dB }{ 30.00mm, 26.00dB }`): YAML
//! libraries refuse it. Every parameter has a line of its own, so the text is read line by line; unknown lines are
//! skipped.

use crate::error::{Place, ReplayError, Source, printable};
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX};

/// Largest `.yml` in bytes; the largest recordings have about a hundred kilobytes.
const YML_BYTES_MAX: usize = 1 << 22;
/// Tolerance of evenly spaced lines, as a fraction of the distance between two lines.
const UNEVEN_MAX: f64 = 0.02;
/// Longest text from the file in an error, in characters.
const TEXT_CHARS_MAX: usize = 40;

/// A scan line.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Receiving element, counted from 0; a fraction is a place between two elements.
    rx_element: f64,
    /// Steering angle.
    angle_deg: f64,
    /// Line in the file.
    at: u64,
}

/// The parameters that the reader uses.
#[derive(Debug)]
pub(super) struct Parameters {
    /// Type of the samples, and its line in the file.
    kind: (String, u64),
    /// Compression, and its line in the file.
    compression: Option<(String, u64)>,
    /// The line in the file that gives the probe a radius.
    curved: Option<u64>,
    /// Number of frames.
    pub frames: Option<u32>,
    /// Scan lines.
    pub lines: u32,
    /// Samples per line.
    pub samples: u32,
    /// Samples per second along a line.
    pub sampling_rate_hz: f64,
    /// Frames per second.
    pub frame_rate_hz: Option<f32>,
    /// Imaging depth.
    pub imaging_depth_mm: Option<f32>,
    /// Points of the gain curve: depth in mm and gain in dB.
    pub tgc: Vec<[f32; 2]>,
    scan_lines: Vec<Line>,
    /// The line in the file where the scan lines begin.
    lines_at: u64,
}

/// One line of the text: `key: value` at the left margin, or an indented entry of the section above.
struct Entry<'a> {
    at: u64,
    is_indented: bool,
    key: &'a str,
    value: &'a str,
}

impl Parameters {
    /// Parses the text, line by line.
    pub fn parse(source: Source<'_>, yml: &[u8]) -> Result<Self, ReplayError> {
        if yml.len() > YML_BYTES_MAX {
            let (seen, max) = (yml.len() as u64, YML_BYTES_MAX as u64);
            return Err(source.too_large(Place::Whole, "bytes", seen, max, "give parameters only"));
        }
        // The degree sign occurs in several encodings; everything that is used is ASCII.
        let text = String::from_utf8_lossy(yml);
        let mut found = Found::default();
        let mut section = "";
        for entry in text.lines().zip(1..).filter_map(|(line, at)| Entry::of(line, at)) {
            if !entry.is_indented {
                section = entry.key;
            }
            found.take(source, section, &entry)?;
        }
        found.finish(source)
    }

    /// Checks that the samples are an uncompressed envelope of parallel lines.
    pub fn check_kind(&self, source: Source<'_>) -> Result<(), ReplayError> {
        let (kind, at) = (self.kind.0.as_str(), self.kind.1);
        let refuse = |at: u64, what: String, fix| Err(source.unsupported(Place::Line(at), what, fix));
        let fix = "give the recording's env.raw, of type `B pre-scan`";
        if kind != "B pre-scan" {
            let what = match kind {
                // The scanner stores IQ for colour and pulsed Doppler only.
                "IQ" => "Doppler IQ, not B-mode".to_owned(),
                "RF" => "radio-frequency data, not an envelope".to_owned(),
                _ => format!("data of type `{}`, not an envelope", printable(kind, TEXT_CHARS_MAX)),
            };
            return refuse(at, what, fix);
        }
        if let Some((compression, at)) = &self.compression
            && compression != "none"
        {
            let what = format!("compressed with `{}`", printable(compression, TEXT_CHARS_MAX));
            return refuse(*at, what, "decompress it, and set `compression: none`");
        }
        if let Some(at) = self.curved {
            let fix = "convert it to .npy with geometry `convex`";
            return refuse(at, "curved probes are not supported".to_owned(), fix);
        }
        if let Some(line) = self.scan_lines.iter().find(|line| line.angle_deg != 0.0) {
            let what =
                format!("a line steered by {} degrees: only parallel lines are supported", line.angle_deg);
            return refuse(line.at, what, fix);
        }
        Ok(())
    }

    /// The elements of the first and the last line; the lines between them must be evenly spaced.
    pub fn element_range(&self, source: Source<'_>) -> Result<[f64; 2], ReplayError> {
        let [first, .., last] = self.scan_lines.as_slice() else {
            return Err(source.malformed(Place::Line(self.lines_at), "fewer than two lines"));
        };
        let step = (last.rx_element - first.rx_element) / (self.scan_lines.len() - 1) as f64;
        for (index, line) in self.scan_lines.iter().enumerate() {
            let expected = first.rx_element + index as f64 * step;
            // Written so that NaN fails.
            let is_even = (line.rx_element - expected).abs() <= UNEVEN_MAX * step;
            if !is_even {
                let what = format!("line on element {}, expected on {expected}", line.rx_element);
                let fix = "only evenly spaced lines from left to right are supported";
                return Err(source.unsupported(Place::Line(line.at), what, fix));
            }
        }
        Ok([first.rx_element, last.rx_element])
    }
}

/// The parameters found so far.
#[derive(Default)]
struct Found {
    kind: Option<(String, u64)>,
    compression: Option<(String, u64)>,
    curved: Option<u64>,
    frames: Option<u32>,
    size: Option<[u32; 2]>,
    sampling_rate_hz: Option<f64>,
    frame_rate_hz: Option<f32>,
    imaging_depth_mm: Option<f32>,
    tgc: Vec<[f32; 2]>,
    scan_lines: Vec<Line>,
    lines_at: Option<u64>,
}

impl Found {
    fn take(&mut self, source: Source<'_>, section: &str, entry: &Entry<'_>) -> Result<(), ReplayError> {
        let place = Place::Line(entry.at);
        let value = entry.value;
        let number = |text: &str, unit: &str| {
            number(text, unit).ok_or_else(|| {
                let unit =
                    if unit.is_empty() { "a number".to_owned() } else { format!("a number of {unit}") };
                let problem = format!(
                    "`{}` is `{}`, not {unit}",
                    printable(entry.key, TEXT_CHARS_MAX),
                    printable(text.trim(), TEXT_CHARS_MAX)
                );
                source.malformed(place.clone(), problem)
            })
        };
        let part = |name| field(value, name).ok_or_else(|| missing(source, &place, name));
        match (entry.is_indented, section) {
            (false, "frames") => self.frames = Some(whole(number(value, "")?)),
            (false, "frame rate") => self.frame_rate_hz = Some(number(value, "Hz")? as f32),
            (false, "imaging depth") => self.imaging_depth_mm = Some(number(value, "mm")? as f32),
            (false, "sampling rate") => self.sampling_rate_hz = Some(1e6 * number(value, "MHz")?),
            (false, "type") => self.kind = Some((value.to_owned(), entry.at)),
            (false, "compression") => self.compression = Some((value.to_owned(), entry.at)),
            (false, "lines") => self.lines_at = Some(entry.at),
            (false, "size") => {
                let lines = whole(number(part("number of lines")?, "")?);
                let samples = whole(number(part("samples per line")?, "")?);
                for (what, seen, max) in
                    [("lines", lines, LINES_MAX), ("samples per line", samples, SAMPLES_MAX)]
                {
                    if seen > max {
                        let fix = "give a recording of smaller frames";
                        return Err(source.too_large(place, what, seen.into(), max.into(), fix));
                    }
                }
                self.size = Some([lines, samples]);
            }
            (false, "tgc") => {
                for group in value.split('}').filter(|group| !group.trim().is_empty()) {
                    let group = group.trim().trim_start_matches('{');
                    let (depth, gain) = group.split_once(',').ok_or_else(|| missing(source, &place, "dB"))?;
                    self.tgc.push([number(depth, "mm")? as f32, number(gain, "dB")? as f32]);
                }
            }
            (true, "lines") => {
                let rx_element = number(part("rx element")?, "")?;
                // The degree sign may be any of several characters.
                let angle = part("angle")?.trim_end_matches(|c: char| !c.is_ascii_digit() && c != '.');
                let angle_deg = number(angle, "")?;
                self.scan_lines.push(Line { rx_element, angle_deg, at: entry.at });
                if self.scan_lines.len() > LINES_MAX as usize {
                    let (seen, fix) = (self.scan_lines.len() as u64, "give a recording of smaller frames");
                    return Err(source.too_large(place, "lines", seen, LINES_MAX.into(), fix));
                }
            }
            // No known recording has a radius; it would change the place of every sample.
            (_, "probe") => {
                let radius = if entry.key == "radius" { Some(value) } else { field(value, "radius") };
                let digits = radius.map(|text| text.trim_start_matches([' ', '"']));
                let leading = digits.map(|text| {
                    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
                    text[..end].parse().unwrap_or(f64::NAN)
                });
                // Text that is not a number parses as NaN above, and counts as curved.
                if leading.is_some_and(|radius: f64| radius != 0.0) {
                    self.curved = Some(entry.at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(self, source: Source<'_>) -> Result<Parameters, ReplayError> {
        let missing_field = |name: &'static str| source.malformed(Place::Field(name), "missing");
        let [lines, samples] = self.size.ok_or_else(|| missing_field("size"))?;
        let kind = self.kind.ok_or_else(|| missing_field("type"))?;
        let lines_at = self.lines_at.ok_or_else(|| missing_field("lines"))?;
        // Other types may list other lines; `check_kind` refuses them by type.
        if kind.0 == "B pre-scan" && self.scan_lines.len() != lines as usize {
            let problem = format!("{} lines are listed, `size` declares {lines}", self.scan_lines.len());
            return Err(source.malformed(Place::Line(lines_at), problem));
        }
        let sampling_rate_hz = self.sampling_rate_hz.ok_or_else(|| missing_field("sampling rate"))?;
        if !(1e5..=1e9).contains(&sampling_rate_hz) {
            let problem = format!("{sampling_rate_hz} Hz, not within 0.1 MHz to 1 GHz");
            return Err(source.malformed(Place::Field("sampling rate"), problem));
        }
        Ok(Parameters {
            kind,
            compression: self.compression,
            curved: self.curved,
            frames: self.frames,
            lines,
            samples,
            sampling_rate_hz,
            frame_rate_hz: self.frame_rate_hz,
            imaging_depth_mm: self.imaging_depth_mm,
            tgc: self.tgc,
            scan_lines: self.scan_lines,
            lines_at,
        })
    }
}

impl<'a> Entry<'a> {
    /// The entry of a line; `None` for a blank line or a comment. The key of a list item is empty.
    fn of(line: &'a str, at: u64) -> Option<Self> {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            return None;
        }
        let is_indented = line.starts_with([' ', '\t', '-']);
        let (key, value) = match text.strip_prefix('-') {
            Some(item) => ("", item.trim()),
            None => text.split_once(':').map_or((text, ""), |(key, value)| (key.trim(), value.trim())),
        };
        Some(Self { at, is_indented, key, value })
    }
}

fn missing(source: Source<'_>, place: &Place, name: &str) -> ReplayError {
    source.malformed(place.clone(), format!("`{name}` is missing"))
}

/// The value of one field of `{name: value, name: value}`.
fn field<'a>(map: &'a str, name: &str) -> Option<&'a str> {
    let inner = map.trim().strip_prefix('{')?.strip_suffix('}')?;
    let mut fields = inner.split(',').filter_map(|field| field.split_once(':'));
    fields.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// A finite number followed by this unit.
fn number(text: &str, unit: &str) -> Option<f64> {
    let number = text.trim().strip_suffix(unit)?.trim_end();
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

/// A count; any other number becomes `u32::MAX`, which is above every limit.
fn whole(number: f64) -> u32 {
    if number >= 0.0 && number.fract() == 0.0 && number < f64::from(u32::MAX) {
        number as u32
    } else {
        u32::MAX
    }
}
