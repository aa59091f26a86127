//! Arbitrary bytes as a `.npy` and its description give an error that names the file, or valid frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_fuzz::check_recording;
use sonotrace_replay::{Options, npy};
use std::path::Path;

const DESCRIPTION: &[u8] = br#"{"geometry": "convex", "apex_radius_mm": 40, "first_angle_rad": -0.5, "last_angle_rad": 0.5,
"first_depth_mm": 0, "last_depth_mm": 90, "amplitude_law": "linear", "range_db": 60, "speed_of_sound_m_s": 1540}"#;

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, low, high], rest)) = data.split_first_chunk() else { return };
    let (json, npy) = rest.split_at(usize::from(u16::from_le_bytes([low, high])).min(rest.len()));
    // Most inputs would fail at the head or the description, so each of them can be replaced by a valid one.
    let json = if kind & 1 == 0 { DESCRIPTION } else { json };
    let mut built;
    let npy = if kind & 2 == 0 && npy.len() >= 4 {
        let (extents, samples) = npy.split_at(3);
        let [frames, lines, per_line] = [0, 1, 2].map(|at| usize::from(extents[at] % 9));
        let (descr, pair, bytes) = if kind & 4 == 0 { ("|u1", "", 1) } else { ("<i2", ", 2", 4) };
        let head = format!(
            "{{'descr': '{descr}', 'fortran_order': False, 'shape': ({frames}, {lines}, {per_line}{pair}), }}\n"
        );
        built = b"\x93NUMPY\x01\x00".to_vec();
        built.extend((head.len() as u16).to_le_bytes());
        built.extend(head.as_bytes());
        built.extend(samples.iter().cycle().take(frames * lines * per_line * bytes));
        &built
    } else {
        npy
    };
    let options = Options { bytes_max: 1 << 20, ..Options::default() };
    check_recording(npy::read(Path::new("a.npy"), npy, json, &options), &options);
});
