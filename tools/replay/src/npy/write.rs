//! Writes frames as an array and its description.

use super::description::Description;
use crate::error::{Place, ReplayError, Source};
use crate::file::beside;
use sonotrace_hal::frame::{Frame, FrameDescriptor, SampleType, flags};
use std::path::Path;

/// Writes frames of one geometry to `file` (a `.npy`) and to the `.json` next to it. [`super::read`] reads them back.
///
/// # Errors
/// Those of [`encode`]; a file that cannot be written.
pub fn write<'a>(
    file: &Path,
    frames: impl IntoIterator<Item = (&'a FrameDescriptor, &'a [u8])>,
) -> Result<(), ReplayError> {
    let (npy, json) = encode(file, frames)?;
    let description = beside(file, "json");
    std::fs::write(file, npy).map_err(|error| Source(file).io(error))?;
    std::fs::write(&description, json).map_err(|error| Source(&description).io(error))
}

/// Encodes frames of one geometry as the bytes of the `.npy` and the text of the `.json`. Errors name `file`.
///
/// The files store the samples and acquisition time of each frame, and the geometry and acquisition settings that all
/// frames share. Sequence numbers, clocks, checksums, and the flags for frozen frames and gaps belong to the run that
/// the frames came from: they are not stored.
///
/// # Errors
/// No frame; a frame that does not pass its checks or differs from the first one, with its number; a vendor's amplitude
/// table, because it is defined only by one session's configuration.
pub fn encode<'a>(
    file: &Path,
    frames: impl IntoIterator<Item = (&'a FrameDescriptor, &'a [u8])>,
) -> Result<(Vec<u8>, String), ReplayError> {
    let source = Source(file);
    let mut first: Option<(FrameDescriptor, Frame)> = None;
    let mut times_ns = Vec::new();
    let mut samples = Vec::new();
    for (number, (descriptor, payload)) in (1u64..).zip(frames) {
        let place = Place::Frame(number);
        let check = descriptor.check().and_then(|frame| descriptor.check_payload(payload).map(|()| frame));
        let frame = check.map_err(|error| source.frame(place.clone(), error))?;
        let (shared, _) = first.get_or_insert((shared(descriptor), frame));
        if *shared != self::shared(descriptor) {
            return Err(source
                .malformed(place, "differs from the first frame: one file contains frames of one geometry"));
        }
        times_ns.push(frame.t_acq_ns);
        let line_bytes = (frame.samples * frame.sample_type.bytes()) as usize;
        for line in payload.chunks(frame.stride_bytes as usize).take(frame.lines as usize) {
            samples.extend_from_slice(&line[..line_bytes]);
        }
    }
    let Some((descriptor, frame)) = first else {
        return Err(source.malformed(Place::Whole, "no frame to write"));
    };
    let count = times_ns.len() as u64;
    let Some(description) = Description::of(&descriptor, &frame, times_ns) else {
        let fix = "convert the amplitudes to a linear or logarithmic law first";
        return Err(source.unsupported(Place::Whole, "frames with a vendor's amplitude table", fix));
    };
    let (lines, per_line) = (u64::from(frame.lines), u64::from(frame.samples));
    let npy = match frame.sample_type {
        SampleType::U8 => array("|u1", &[count, lines, per_line], &samples),
        SampleType::I16 | SampleType::I16Pair => array("<i2", &[count, lines, per_line, 2], &samples),
    };
    let json = serde_json::to_string_pretty(&description).map_err(|error| source.io(error.into()))?;
    Ok((npy, json + "\n"))
}

/// The descriptor without the fields that differ from frame to frame.
fn shared(descriptor: &FrameDescriptor) -> FrameDescriptor {
    FrameDescriptor {
        seq: 0,
        t_acq_ns: 0,
        t_enqueue_ns: 0,
        clock_id: 0,
        geometry_epoch: 0,
        crc32: 0,
        payload_bytes: 0,
        flags: descriptor.flags & (flags::TGC_PENDING | flags::BURNT_IN_OVERLAY),
        ..*descriptor
    }
}

/// A `.npy` of version 1; its samples are aligned to 64 bytes, as the format requires.
fn array(descr: &str, shape: &[u64], samples: &[u8]) -> Vec<u8> {
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let shape = shape.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Two bytes for the length of the text, and a line feed at its end.
    let header_bytes = (MAGIC.len() + 2 + text.len() + 1).next_multiple_of(64);
    let text_bytes = header_bytes - MAGIC.len() - 2;
    let padded = format!("{text:<width$}\n", width = text_bytes - 1);
    [MAGIC, &(text_bytes as u16).to_le_bytes(), padded.as_bytes(), samples].concat()
}
