//! Arbitrary bytes as Clarius samples and parameters give an error that names the file, or valid frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sonotrace_fuzz::check_recording;
use sonotrace_replay::{Options, clarius};
use std::path::Path;

const PARAMETERS: &[u8] = "# raw data parameters\n\nframes: 2\nframe rate: 18 Hz\nimaging depth: 0.6 mm\n\
tgc: { 0.00mm, 23.00dB }{ 30.00mm, 26.00dB }\nsize: {samples per line: 12, number of lines: 3, sample size: 1 bytes}\n\
type: B pre-scan\ncompression: none\nsampling rate: 15 MHz\ndelay samples: 16\nlines:\n\
\u{20}\u{20}- {rx element: 0, tx element: 0.9, angle: 0 °}\n\u{20}\u{20}- {rx element: 10, tx element: 0.9, angle: 0 °}\n\
\u{20}\u{20}- {rx element: 20, tx element: 1.5, angle: 0 °}\nroi: {start line: 0, end line: 2}"
    .as_bytes();

fuzz_target!(|data: &[u8]| {
    let Some((&[kind, count], rest)) = data.split_first_chunk() else { return };
    let mut parameters = PARAMETERS.to_vec();
    let mut raw: Vec<u8> = [1u32, 2, 3, 12, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    raw.resize(20 + 2 * (8 + 36), 7);
    if kind & 1 == 0 {
        // A change is four bytes of the input: file and kind of change, position, value.
        let changes = rest.chunks_exact(4).take(usize::from(count));
        for change in changes {
            let file = if change[0] % 2 == 0 { &mut raw } else { &mut parameters };
            let at = usize::from(u16::from_le_bytes([change[1], change[2]])) % file.len();
            match change[0] / 2 % 4 {
                0 | 1 => file[at] = change[3],
                2 => file.insert(at, change[3]),
                // At least one byte stays for the next change.
                _ if file.len() > 1 => drop(file.remove(at)),
                _ => {}
            }
        }
    } else {
        let (text, samples) = rest.split_at((8 * usize::from(count)).min(rest.len()));
        (parameters, raw) = (text.to_vec(), samples.to_vec());
    }
    let options = Options { bytes_max: 1 << 20, pitch_mm: Some(0.2), ..Options::default() };
    check_recording(clarius::read(Path::new("a.raw"), &raw, &parameters, &options), &options);
});
