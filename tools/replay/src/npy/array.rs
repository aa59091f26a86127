//! The array: its shape, and the place of its samples (NumPy enhancement proposal 1).
//!
//! Parses only the header that NumPy writes for a plain array. The parser of npyz 0.9 accepts any Python literal, and
//! takes hours for thirty opening brackets. The tests compare the two.

use crate::error::{Place, ReplayError, Source};
use crate::recording::FRAMES_MAX;
use sonotrace_hal::frame::{LINES_MAX, SAMPLES_MAX, SampleType};

/// Largest header in bytes; that of a plain array has 128.
const HEADER_BYTES_MAX: usize = 1024;

/// An array of frames.
#[derive(Debug)]
pub(super) struct Array<'a> {
    /// Number of frames.
    pub frames: u64,
    /// Scan lines, or image rows.
    pub lines: u32,
    /// Samples per line, or pixels per row.
    pub samples: u32,
    /// [`SampleType::U8`] or [`SampleType::I16Pair`].
    pub sample_type: SampleType,
    /// The samples of all frames.
    pub bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Reads the header, and checks that exactly the samples of its shape follow.
    pub fn parse(source: Source<'_>, npy: &'a [u8]) -> Result<Self, ReplayError> {
        let (text_at, header_bytes) = match *npy {
            [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _, low, high, ..] => {
                (10, 10 + usize::from(u16::from_le_bytes([low, high])))
            }
            [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _, a, b, c, d, ..] => {
                (12, 12usize.saturating_add(u32::from_le_bytes([a, b, c, d]) as usize))
            }
            _ => {
                return Err(source.malformed(Place::Byte(0), "not the header of a .npy of version 1, 2 or 3"));
            }
        };
        let truncated = || source.malformed(Place::Byte(npy.len() as u64), "truncated within its header");
        if header_bytes > HEADER_BYTES_MAX {
            let fix = "save a plain array of u8 or i16";
            let seen = header_bytes as u64;
            return Err(source.too_large(
                Place::Byte(8),
                "bytes of header",
                seen,
                HEADER_BYTES_MAX as u64,
                fix,
            ));
        }
        let (header, bytes) = npy.split_at_checked(header_bytes).ok_or_else(truncated)?;
        let text = header.get(text_at..).and_then(|text| std::str::from_utf8(text).ok());
        let Some(header) = text.and_then(Header::parse) else {
            let problem =
                "not the header of a plain array: {'descr': .., 'fortran_order': .., 'shape': (..), }";
            return Err(source.malformed(Place::Byte(text_at as u64), problem));
        };
        let (sample_type, shape) = layout(source, &header)?;
        let (frames, lines, samples) = match *shape {
            [lines, samples] => (1, lines, samples),
            [frames, lines, samples] => (frames, lines, samples),
            _ => return Err(shape_error(source, &header)),
        };
        let within = |what, seen: u64, max: u64| {
            let fix = "cut the recording into smaller ones";
            let place = Place::Field("shape");
            if seen <= max { Ok(()) } else { Err(source.too_large(place, what, seen, max, fix)) }
        };
        within("frames", frames, FRAMES_MAX)?;
        within("lines", lines, LINES_MAX.into())?;
        within("samples per line", samples, SAMPLES_MAX.into())?;
        // No overflow: all three are within their limits.
        let frame_bytes = lines * samples * u64::from(sample_type.bytes());
        let needed = frames * frame_bytes;
        let seen = bytes.len() as u64;
        if seen < needed {
            let problem = format!("truncated: the shape needs {needed} bytes of samples, {seen} follow");
            // Not a division by zero: `needed` is above `seen`, so no factor of it is zero.
            return Err(source.malformed(Place::Frame(1 + seen / frame_bytes), problem));
        }
        if seen > needed {
            let place = Place::Byte(header_bytes as u64 + needed);
            return Err(source.malformed(place, format!("{} bytes more than the shape needs", seen - needed)));
        }
        Ok(Self { frames, lines: lines as u32, samples: samples as u32, sample_type, bytes })
    }

    /// Bytes of one frame.
    pub fn frame_bytes(&self) -> usize {
        self.lines as usize * self.samples as usize * self.sample_type.bytes() as usize
    }
}

/// The fields of the header.
#[derive(Debug, Default)]
struct Header<'a> {
    descr: Option<&'a str>,
    is_fortran_order: Option<bool>,
    shape: Option<Vec<u64>>,
}

impl<'a> Header<'a> {
    /// Parses the dictionary; `None` if NumPy would not write it, or if a key is missing.
    fn parse(text: &'a str) -> Option<Self> {
        let mut rest = text;
        let mut header = Self::default();
        eat(&mut rest, "{")?;
        while eat(&mut rest, "}").is_none() {
            let key = quoted(&mut rest)?;
            eat(&mut rest, ":")?;
            match key {
                "descr" => header.descr = Some(quoted(&mut rest)?),
                "fortran_order" => {
                    let is_true = eat(&mut rest, "True").is_some();
                    header.is_fortran_order = Some(is_true);
                    if !is_true {
                        eat(&mut rest, "False")?;
                    }
                }
                "shape" => {
                    eat(&mut rest, "(")?;
                    let (extents, after) = rest.split_once(')')?;
                    rest = after;
                    // A comma may follow the last extent.
                    let extents = extents.split(',').map(str::trim).filter(|extent| !extent.is_empty());
                    header.shape = Some(extents.map(|extent| extent.parse().ok()).collect::<Option<_>>()?);
                }
                _ => return None,
            }
            let _ = eat(&mut rest, ",");
        }
        let is_whole = header.descr.is_some() && header.is_fortran_order.is_some() && header.shape.is_some();
        (is_whole && rest.trim_start().is_empty()).then_some(header)
    }

    fn shape(&self) -> &[u64] {
        self.shape.as_deref().unwrap_or_default()
    }
}

/// Removes blanks and then `token` from the start of the text.
fn eat(text: &mut &str, token: &str) -> Option<()> {
    *text = text.trim_start().strip_prefix(token)?;
    Some(())
}

/// Removes a quoted string from the start of the text and returns its content; there are no escapes.
fn quoted<'a>(text: &mut &'a str) -> Option<&'a str> {
    let mark = text.trim_start().chars().next().filter(|mark| matches!(mark, '\'' | '"'))?;
    let (string, rest) = text.trim_start().get(1..)?.split_once(mark)?;
    *text = rest;
    Some(string)
}

/// The sample type, and the shape without the extent of a pair.
fn layout<'a>(source: Source<'_>, header: &'a Header<'_>) -> Result<(SampleType, &'a [u64]), ReplayError> {
    let shape = header.shape();
    let layout = match (header.descr.unwrap_or_default(), shape) {
        ("|u1" | "<u1" | "u1", _) => (SampleType::U8, shape),
        ("<i2", [rest @ .., 2]) => (SampleType::I16Pair, rest),
        ("<i2", _) => return Err(shape_error(source, header)),
        (descr, _) => {
            let what = format!("samples are {}", descr.escape_debug());
            let fix = "save them as u8 (envelope, pictures) or little-endian i16 pairs (IQ)";
            return Err(source.unsupported(Place::Field("descr"), what, fix));
        }
    };
    if header.is_fortran_order == Some(true) && shape.len() > 1 {
        let fix = "save np.ascontiguousarray(array)";
        return Err(source.unsupported(Place::Field("fortran_order"), "array is in Fortran order", fix));
    }
    Ok(layout)
}

fn shape_error(source: Source<'_>, header: &Header<'_>) -> ReplayError {
    let what = format!("shape is {:?}", header.shape());
    let fix = "give u8 as [frames, lines, samples], or i16 as [frames, lines, samples, 2]";
    source.unsupported(Place::Field("shape"), what, fix)
}
