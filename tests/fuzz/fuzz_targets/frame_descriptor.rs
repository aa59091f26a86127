//! Descriptors of any bytes: refused with an error, or usable to the last sample.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace::vision::{Display, DisplayRaster, GreyTable, Normalisation, Sampler};
use sonotrace_hal::frame::FrameDescriptor;

const SIZE: u32 = 32;

fuzz_target!(|data: &[u8]| {
    let bytes = size_of::<FrameDescriptor>();
    let Some((head, payload)) = data.split_at_checked(bytes) else { return };
    let mut descriptor: FrameDescriptor = bytemuck::pod_read_unaligned(head);
    // The magic and version alone would keep most inputs out.
    let blank = FrameDescriptor::blank();
    (descriptor.magic, descriptor.abi_version) = (blank.magic, blank.abi_version);
    descriptor.descriptor_bytes = blank.descriptor_bytes;
    let Ok(frame) = descriptor.check() else { return };
    let view = frame.geometry.field_of_view();
    assert!(view.width().is_finite() && view.height().is_finite());
    if descriptor.check_payload(payload).is_err() && descriptor.payload_bytes > 1 << 16 {
        return;
    }
    let padded;
    let payload = if payload.len() < descriptor.payload_bytes as usize {
        padded = {
            let mut padded = payload.to_vec();
            padded.resize(descriptor.payload_bytes as usize, 0);
            padded
        };
        &padded
    } else {
        payload
    };
    let mut table = vec![bytemuck::Zeroable::zeroed(); Sampler::table_len(SIZE)];
    let mut out = vec![0.0; Sampler::table_len(SIZE)];
    let _ = DisplayRaster::new(&frame.geometry, Display::Raster { width: 64, height: 48 });
    let Ok(sampler) = Sampler::build(&frame, SIZE, &mut table) else { return };
    let Ok(grey) = GreyTable::new(&frame, Normalisation { mean: 0.25, std: 0.2 }, &[]) else { return };
    if sampler.sample(&table, &frame, payload, &grey, &mut out).is_ok() {
        assert!(out.iter().all(|value| value.is_finite()));
    }
});
