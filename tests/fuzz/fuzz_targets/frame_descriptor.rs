//! Arbitrary bytes as a descriptor give an error, or a frame that can be sampled.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace::vision::{Display, DisplayRaster, GreyTable, Normalisation, Sampler};
use sonotrace_hal::frame::FrameDescriptor;

/// Side of the sampled grid.
const SIZE: u32 = 32;
/// Larger frames are not sampled.
const PAYLOAD_BYTES_MAX: u32 = 1 << 16;

fuzz_target!(|data: &[u8]| {
    let bytes = size_of::<FrameDescriptor>();
    let Some((head, payload)) = data.split_at_checked(bytes) else { return };
    let mut descriptor: FrameDescriptor = bytemuck::pod_read_unaligned(head);
    // A random magic and version would be refused: set valid ones.
    let blank = FrameDescriptor::blank();
    (descriptor.magic, descriptor.abi_version) = (blank.magic, blank.abi_version);
    descriptor.descriptor_bytes = blank.descriptor_bytes;
    let Ok(frame) = descriptor.check() else { return };
    let view = frame.geometry.field_of_view();
    assert!(view.width().is_finite() && view.height().is_finite());
    if descriptor.payload_bytes > PAYLOAD_BYTES_MAX {
        return;
    }
    let mut payload = payload.to_vec();
    payload.resize(descriptor.payload_bytes as usize, 0);
    let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
    let mut out = vec![0.0; Sampler::table_len(SIZE)];
    let _ = DisplayRaster::new(&frame.geometry, Display::Raster { width: 64, height: 48 });
    let Ok(sampler) = Sampler::build(&frame, SIZE, &mut table) else { return };
    let Ok(grey) = GreyTable::new(&frame, Normalisation { mean: 0.25, std: 0.2 }, &[]) else { return };
    if sampler.sample(&table, &frame, &payload, &grey, &mut out).is_ok() {
        // Normalised grey levels of 0 to 1, with a tolerance for rounding.
        assert!(out.iter().all(|value| (-1.2501..=3.7501).contains(value)));
    }
});
