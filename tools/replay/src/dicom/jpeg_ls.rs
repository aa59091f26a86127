//! JPEG-LS (ITU-T T.87), decoded by `pure_jpegls`: lossless or near-lossless, grey, or in colour with a scan for each
//! component.

use crate::error::{Place, ReplayError, Source};
use std::borrow::Cow;

/// The remedy for what the decoder lacks: interleaved colours, palettes and restart markers.
const DECOMPRESS: &str = "decompress it with `dcmdjpls IN OUT`";
/// Largest number of samples after which statistics are halved. The decoder's sums of that many errors of 16 bits fit into 32
/// bits; encoders use 64.
const RESET_MAX: u16 = 32_767;
/// Marker of coding parameters.
const LSE: u8 = 0xf8;
/// Marker of the frame header.
const SOF_55: u8 = 0xf7;
/// Marker of a scan.
const SOS: u8 = 0xda;

/// Marker of an application's segment, in which CharLS states a transform of the colours.
const COLOUR_TRANSFORM: u8 = 0xe8;

/// What the segments before the scan state.
#[derive(Debug, Default, PartialEq)]
struct Head {
    /// Bits of a sample, height, width, components.
    frame: Option<(u8, u16, u16, u8)>,
    /// The largest number of samples after which statistics are halved.
    reset: u16,
}

impl Head {
    fn of(bytes: &[u8]) -> Self {
        let mut head = Self::default();
        let mut at = 2;
        while let Some(&[0xff, marker, high, low]) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            match (marker, bytes.get(at + 4..end).unwrap_or_default()) {
                (SOF_55, &[bits, h1, h0, w1, w0, components, ..]) => {
                    let size = (u16::from_be_bytes([h1, h0]), u16::from_be_bytes([w1, w0]));
                    head.frame = Some((bits, size.0, size.1, components));
                }
                (LSE, &[1, _, _, _, _, _, _, _, _, r1, r0, ..]) => {
                    head.reset = head.reset.max(u16::from_be_bytes([r1, r0]));
                }
                (SOS, _) => break,
                _ => {}
            }
            at = end;
        }
        head
    }
}

/// Decodes a picture of this size. Returns the samples of each component, and their number of bits.
///
/// # Errors
/// A picture that cannot be decoded, is truncated, has another size, or components that share a scan.
pub(super) fn decode(
    source: Source<'_>,
    place: &Place,
    bytes: &[u8],
    (width, height): (u32, u32),
) -> Result<(Vec<Vec<u16>>, u8), ReplayError> {
    let malformed =
        |problem: String| source.malformed(place.clone(), format!("cannot decode the JPEG-LS: {problem}"));
    let unsupported = |what: String| source.unsupported(place.clone(), what, DECOMPRESS);
    let head = Head::of(bytes);
    let Some((bits, rows, columns, components)) = head.frame else {
        return Err(malformed("no frame header".to_owned()));
    };
    if (u32::from(columns), u32::from(rows)) != (width, height) {
        let problem = format!("the JPEG-LS is {columns}x{rows}, the file declares {width}x{height}");
        return Err(source.malformed(place.clone(), problem));
    }
    let streams = match components {
        1 => vec![without_fill(bytes)],
        _ => separated(bytes, components).ok_or_else(|| {
            unsupported(format!(
                "JPEG-LS with {components} components is read only if each has a whole scan of its own"
            ))
        })?,
    };
    if head.reset > RESET_MAX {
        return Err(unsupported(format!(
            "JPEG-LS whose statistics are halved after {} samples, at most {RESET_MAX} are possible",
            head.reset
        )));
    }
    let planes = streams.iter().map(|stream| match jpegls::decode(stream, width, height) {
        Ok((samples, ..)) => Ok(samples),
        Err(error @ jpegls::CodecError::Unsupported(_)) => Err(unsupported(format!("JPEG-LS: {error}"))),
        Err(error) => Err(malformed(error.to_string())),
    });
    Ok((planes.collect::<Result<_, _>>()?, bits))
}

/// The components as pictures of one component each. `None` if components share a scan or have other sizes than the
/// picture, if one is missing, and if CharLS transformed their colours.
fn separated(bytes: &[u8], components: u8) -> Option<Vec<Cow<'_, [u8]>>> {
    let (mut frame, mut parameters) = (None, Vec::new());
    let mut streams = Vec::new();
    let mut at = 2;
    while streams.len() < usize::from(components) {
        // Bytes `ff` may stand before a marker.
        at += bytes.get(at..)?.iter().take_while(|&&byte| byte == 0xff).count();
        let (&marker, rest) = bytes.get(at..)?.split_first()?;
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        let (segment, behind) = rest.split_at_checked(length)?;
        at += 1 + length;
        match (marker, segment) {
            (SOF_55, [_, _, size @ ..]) => frame = Some(size.split_at_checked(5)?),
            (LSE, _) => parameters.extend([&[0xff, LSE], segment].concat()),
            (COLOUR_TRANSFORM, [_, _, b'm', b'r', b'f', b'x', transform]) if *transform != 0 => return None,
            (SOS, &[_, _, 1, name, ..]) => {
                let (size, specifications) = frame?;
                let specification: &[u8; 3] = specifications.get(1..)?.as_chunks().0.get(streams.len())?;
                if specification[..2] != [name, 0x11] {
                    return None;
                }
                let end = behind.windows(2).position(|pair| pair[0] == 0xff && pair[1] >= 0x80)?;
                let frame = [&[0xff, SOF_55, 0, 11], size, &[1], specification].concat();
                let scan = [&[0xff, SOS], segment, &behind[..end]].concat();
                streams.push([&[0xff, 0xd8], &frame[..], &parameters, &scan, &[0xff, 0xd9]].concat().into());
                at += end;
            }
            (SOS, _) => return None,
            _ => {}
        }
    }
    Some(streams)
}

/// Without the bytes `ff` that may stand before the end marker, which the decoder refuses.
fn without_fill(bytes: &[u8]) -> Cow<'_, [u8]> {
    let end = bytes.windows(2).rposition(|pair| pair == [0xff, 0xd9]).unwrap_or(0);
    match bytes[..end].iter().rev().take_while(|&&byte| byte == 0xff).count() {
        0 => Cow::Borrowed(bytes),
        fill => Cow::Owned([&bytes[..end - fill], &bytes[end..]].concat()),
    }
}
