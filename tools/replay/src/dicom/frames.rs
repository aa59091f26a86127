//! Finds the frames in the pixel data. Where their number or size contradicts the attributes, the length of the data
//! decides, if only one reading fits it.

use super::attributes::Attributes;
use super::elements::Element;
use super::layout::{Photometric, PixelLayout};
use super::syntax::Coding;
use crate::error::{Place, ReplayError, Source};
use crate::grey::Components;
use crate::options::Options;
use crate::recording::{FRAMES_MAX, Recorder};
use crate::video;
use dicom_dictionary_std::tags;

/// The frames of a file, as they are stored.
pub(super) enum Coded<'a> {
    /// Uncompressed frames, one after the other.
    Native {
        /// The frames.
        bytes: &'a [u8],
        /// Length of each one.
        frame_bytes: usize,
        /// Their number.
        frames: u64,
    },
    /// Frames of a video, decoded to grey.
    Decoded(Vec<Vec<u8>>),
    /// Fragments of each frame. JPEG may have several per frame, run lengths have one.
    Encapsulated(Vec<Vec<&'a [u8]>>),
}

impl Coded<'_> {
    /// The number of frames.
    pub fn frames(&self) -> u64 {
        match self {
            Self::Native { frames, .. } => *frames,
            Self::Decoded(frames) => frames.len() as u64,
            Self::Encapsulated(pictures) => pictures.len() as u64,
        }
    }
}

/// Finds the frames, and corrects `layout` if the length of the data contradicts it.
///
/// # Errors
/// Missing frames, and data whose length fits no reading of the attributes, or several.
pub(super) fn find<'a>(
    source: Source<'_>,
    attributes: &Attributes<'a>,
    layout: &mut PixelLayout,
    options: &Options,
    recorder: &mut Recorder<'_>,
) -> Result<Coded<'a>, ReplayError> {
    let place = Place::Attribute(tags::PIXEL_DATA);
    let Some((element, fragments)) = &attributes.pixels else {
        return Err(source.malformed(place, "missing: the file has no picture, or is truncated"));
    };
    let coded = match (layout.coding, fragments) {
        (Coding::Native, None) => native(source, attributes, layout, element.value, recorder)?,
        (Coding::Video, Some(fragments)) => {
            // One bitstream, in one fragment or several (PS3.5 section A.4).
            let parts: Vec<&[u8]> = fragments.iter().skip(1).map(|fragment| fragment.value).collect();
            let size = (layout.width, layout.height);
            let (frames, note) = video::decode_stream(source, &parts, size, options, recorder)?;
            recorder.notes(note);
            held(source, attributes, Coded::Decoded(frames))?
        }
        (Coding::RunLength | Coding::Jpeg | Coding::JpegLs, Some(fragments)) => {
            let table = offsets(fragments, attributes.offsets);
            let pictures = by_table(fragments, &table, attributes.frames)
                .unwrap_or_else(|| group(layout.coding, fragments, attributes.frames));
            held(source, attributes, Coded::Encapsulated(pictures))?
        }
        (Coding::Native, Some(_)) => {
            return Err(source.malformed(place, "in fragments, but the transfer syntax is not compressed"));
        }
        (_, None) => {
            return Err(source.malformed(place, "not in fragments, but the transfer syntax is compressed"));
        }
    };
    let present = coded.frames();
    if present > FRAMES_MAX {
        let fix = "cut the recording into shorter ones";
        return Err(source.too_large(place, "frames", present, FRAMES_MAX, fix));
    }
    let stated = match attributes.frames {
        Some(declared) if declared != present => format!("{declared}"),
        None if attributes.has_frames => "empty or 0".to_owned(),
        None if present > 1 => "missing".to_owned(),
        _ => return Ok(coded),
    };
    recorder
        .note(format!("the number of frames is {stated}, but the pixel data has {present}: all are read"));
    Ok(coded)
}

/// Refuses fewer frames than are declared.
fn held<'a>(
    source: Source<'_>,
    attributes: &Attributes<'_>,
    coded: Coded<'a>,
) -> Result<Coded<'a>, ReplayError> {
    let (present, declared) = (coded.frames(), attributes.frames.unwrap_or(1));
    if present < declared { Err(missing(source, declared, present)) } else { Ok(coded) }
}

fn missing(source: Source<'_>, declared: u64, present: u64) -> ReplayError {
    let problem = format!(
        "missing: {declared} frames are declared, {present} are present; export the file again, or keep what there is with `dcmodify -m NumberOfFrames={present} FILE`"
    );
    source.malformed(Place::Frame(present + 1), problem)
}

/// Uncompressed frames. Their number is what fits the length, if the declared number does not.
fn native<'a>(
    source: Source<'_>,
    attributes: &Attributes<'a>,
    layout: &mut PixelLayout,
    bytes: &'a [u8],
    recorder: &mut Recorder<'_>,
) -> Result<Coded<'a>, ReplayError> {
    let (pixels, length) = (layout.pixels(), bytes.len());
    // Chroma of every second pixel is often stored for all of them instead.
    let sizes =
        if layout.photometric == Photometric::YbrFull422 { &[2, 3][..] } else { &[layout.pixel_bytes()] };
    // Values of odd length have one more byte.
    let fits = |frame_bytes: usize, frames: usize| {
        let needed = frame_bytes.saturating_mul(frames);
        frames > 0 && (length == needed || (length == needed + 1 && needed % 2 == 1))
    };
    let declared = attributes.frames.unwrap_or(1) as usize;
    let exact = sizes.iter().find(|&&size| fits(size * pixels, declared)).map(|&size| (size, declared));
    let of_length = || {
        let counts = sizes.iter().map(|&size| (size, length / (size * pixels)));
        let mut fitting = counts.filter(|&(size, frames)| fits(size * pixels, frames));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    };
    let smallest = sizes[0] * pixels;
    if declared > 1 && length < smallest * declared {
        return Err(missing(source, declared as u64, (length / smallest) as u64));
    }
    let Some((size, frames)) = exact.or_else(of_length) else {
        return Err(contradiction(source, layout, sizes, length));
    };
    if layout.photometric == Photometric::YbrFull422 && size == 2 && layout.is_planar {
        let what = "planes of YBR_FULL_422, whose pixels share chroma, are not defined";
        let fix =
            "if luma and chroma are interleaved, correct it with `dcmodify -m PlanarConfiguration=0 FILE`";
        return Err(source.unsupported(Place::Attribute(tags::PLANAR_CONFIGURATION), what, fix));
    }
    let frame_bytes = size * pixels;
    if layout.photometric == Photometric::YbrFull422 && size == 3 {
        layout.photometric = components(layout, &bytes[..frame_bytes])
            .ok_or_else(|| contradiction(source, layout, sizes, length))?;
        let name = if layout.photometric == Photometric::Rgb { "RGB" } else { "YBR_FULL" };
        recorder.note(format!(
            "the pixels are labelled YBR_FULL_422, which takes two bytes each, but have three: read as {name}, as their values show"
        ));
    }
    Ok(Coded::Native { bytes, frame_bytes, frames: frames as u64 })
}

/// The colour space of pixels of three bytes, if they are mostly grey.
fn components(layout: &PixelLayout, frame: &[u8]) -> Option<Photometric> {
    let found = if layout.is_planar {
        let (first, rest) = frame.split_at(layout.pixels());
        let (second, third) = rest.split_at(layout.pixels());
        let planes = first.iter().zip(second).zip(third);
        Components::of_mostly_grey(planes.map(|((&first, &second), &third)| [first, second, third]))
    } else {
        Components::of_mostly_grey(frame.as_chunks().0.iter().copied())
    };
    found.map(|components| match components {
        Components::Rgb => Photometric::Rgb,
        Components::YCbCr => Photometric::YbrFull,
    })
}

fn contradiction(source: Source<'_>, layout: &PixelLayout, sizes: &[usize], length: usize) -> ReplayError {
    let (width, height) = (layout.width, layout.height);
    let needed: Vec<String> = sizes
        .iter()
        .map(|size| format!("{} bytes with {size} bytes per pixel", size * layout.pixels()))
        .collect();
    let what =
        format!("{length} bytes of pixels, but a frame of {width}x{height} has {}", needed.join(" or "));
    source.unsupported(
        Place::Attribute(tags::PIXEL_DATA),
        what,
        "correct Rows, Columns, BitsAllocated, PhotometricInterpretation or NumberOfFrames, for example with `dcmodify -m NumberOfFrames=N FILE`",
    )
}

/// The offset table: the extended one, or else the basic one, which is the first fragment. It may be empty.
fn offsets(fragments: &[Element<'_>], extended: Option<&[u8]>) -> Vec<u64> {
    match (extended, fragments.first()) {
        (Some(extended), _) => {
            extended.as_chunks().0.iter().map(|&offset| u64::from_le_bytes(offset)).collect()
        }
        (None, Some(basic)) => {
            basic.value.as_chunks().0.iter().map(|&offset| u32::from_le_bytes(offset).into()).collect()
        }
        (None, None) => Vec::new(),
    }
}

/// Groups fragments by frame as the offset table states. `None` if the table does not have the offset of a fragment for
/// each of the declared frames: tables are often missing or wrong. That of a single frame tells nothing.
fn by_table<'a>(
    fragments: &[Element<'a>],
    offsets: &[u64],
    declared: Option<u64>,
) -> Option<Vec<Vec<&'a [u8]>>> {
    let fragments = fragments.get(1..)?;
    if offsets.len() < 2 || Some(offsets.len() as u64) != declared {
        return None;
    }
    let start = fragments.first()?.value_at;
    let mut offsets = offsets.iter().peekable();
    let mut pictures: Vec<Vec<&[u8]>> = Vec::new();
    for fragment in fragments {
        if offsets.next_if_eq(&&((fragment.value_at - start) as u64)).is_some() {
            pictures.push(Vec::new());
        }
        pictures.last_mut()?.push(fragment.value);
    }
    offsets.next().is_none().then_some(pictures)
}

/// Groups fragments by frame without an offset table; the first fragment is that table. A frame of run lengths always has one
/// fragment. A JPEG usually has one too; otherwise a fragment that does not start an image continues the one before.
fn group<'a>(coding: Coding, fragments: &[Element<'a>], declared: Option<u64>) -> Vec<Vec<&'a [u8]>> {
    let fragments = fragments.get(1..).unwrap_or_default();
    let is_one_each = coding == Coding::RunLength || Some(fragments.len() as u64) == declared;
    let mut pictures: Vec<Vec<&[u8]>> = Vec::new();
    for fragment in fragments {
        match pictures.last_mut() {
            Some(picture) if !is_one_each && !fragment.value.starts_with(&[0xff, 0xd8]) => {
                picture.push(fragment.value);
            }
            _ => pictures.push(vec![fragment.value]),
        }
    }
    pictures
}
