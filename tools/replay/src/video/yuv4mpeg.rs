//! Frames as YUV4MPEG2: a header with the size, then each frame.

use crate::error::{Place, ReplayError, Source};
use crate::recording::check_picture_size;
use std::io::{BufRead, Read};

/// Longest line of a header; ffmpeg writes some 60 bytes.
const LINE_BYTES_MAX: u64 = 256;

/// What the header states.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Header {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames per second; 0 if unknown.
    pub rate_hz: f64,
}

/// Reads header and frames, and calls `each` with each frame. `late` makes errors of reading.
pub(super) fn frames(
    source: Source<'_>,
    pipe: &mut impl BufRead,
    late: impl Fn(std::io::Error) -> ReplayError,
    mut each: impl FnMut(Header, Vec<u8>) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let Some(first) = line(pipe).map_err(&late)? else {
        return Err(source.malformed(Place::Whole, "ffmpeg delivered nothing"));
    };
    let header = header(&first).ok_or_else(|| {
        source.malformed(Place::Whole, "ffmpeg delivered something else than grey frames (YUV4MPEG2)")
    })?;
    check_picture_size(source, Place::Whole, header.width.into(), header.height.into())?;
    let needed = u64::from(header.width) * u64::from(header.height);
    for number in 1.. {
        let place = Place::Frame(number);
        match line(pipe).map_err(&late)? {
            None => break,
            Some(line) if line.starts_with(b"FRAME") => {}
            Some(_) => {
                let problem = "ffmpeg delivered other bytes than the frames of its header";
                return Err(source.malformed(place, problem));
            }
        }
        let mut grey = Vec::with_capacity(needed as usize);
        pipe.by_ref().take(needed).read_to_end(&mut grey).map_err(&late)?;
        if grey.len() as u64 != needed {
            let problem = format!("ffmpeg delivered {} bytes, a frame has {needed}", grey.len());
            return Err(source.malformed(place, problem));
        }
        each(header, grey)?;
    }
    Ok(())
}

/// A line without its end; `None` at the end of the output.
fn line(pipe: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(match line.pop() {
        None => None,
        Some(b'\n') => Some(line),
        // A line that is cut off, or too long: no line of the format.
        Some(_) => Some(Vec::new()),
    })
}

/// Parses the header; `None` if it does not announce grey frames.
fn header(line: &[u8]) -> Option<Header> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    (words.next() == Some("YUV4MPEG2")).then_some(())?;
    let mut found = Header { width: 0, height: 0, rate_hz: 0.0 };
    let mut is_grey = false;
    for word in words.filter(|word| word.is_ascii()) {
        let (name, value) = word.split_at_checked(1)?;
        match name {
            "W" => found.width = value.parse().ok()?,
            "H" => found.height = value.parse().ok()?,
            "F" => {
                let (numerator, denominator) = value.split_once(':')?;
                let rate_hz =
                    f64::from(numerator.parse::<u32>().ok()?) / f64::from(denominator.parse::<u32>().ok()?);
                if (0.01..=10_000.0).contains(&rate_hz) {
                    found.rate_hz = rate_hz;
                }
            }
            "C" => is_grey = value == "mono",
            _ => {}
        }
    }
    (is_grey && found.width > 0 && found.height > 0).then_some(found)
}
