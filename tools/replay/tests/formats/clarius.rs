//! Clarius recordings, written by hand after the documentation and real files.

use crate::common::{assert_sound, refusal, scratch, small, survive, write_seed};
use proptest::prelude::*;
use sonotrace_hal::geometry::LineSample;
use sonotrace_replay::{DisplayHint, Options, Recording, ReplayError, clarius, open};
use std::path::Path;

const LINES: u32 = 5;
const SAMPLES: u32 = 301;

fn options() -> Options {
    Options { pitch_mm: Some(0.2), ..Options::default() }
}

fn yml() -> String {
    let mut text = String::from(
        "# raw data parameters\n\nframes: 2\nframe rate: 18 Hz\ntransmit frequency: 10 MHz\nimaging depth: 15.4 mm\n\
         focal depth: 15 mm\ntgc: { 0.00mm, 23.00dB }{ 30.00mm, 26.00dB }\n\
         size: {samples per line: 301, number of lines: 5, sample size: 1 bytes}\ntype: B pre-scan\n\
         compression: none\nsampling rate: 15 MHz\ndelay samples: 16\nlines:\n",
    );
    for line in 0..LINES {
        let element = f64::from(line) * 47.75;
        text += &format!("  - {{rx element: {element}, tx element: 0.945, angle: 0 °}}\n");
    }
    text + "focus:\n  - depth: 15 mm\n    receive:\n      - {shallowfreq: 11 MHz, deepfreq: 8 MHz}\nroi: {start line: 0}"
}

fn raw_of(header: [u32; 5], times_ns: [u64; 2]) -> Vec<u8> {
    let mut bytes: Vec<u8> = header.iter().flat_map(|word| word.to_le_bytes()).collect();
    for (frame, time_ns) in (0u32..).zip(times_ns) {
        bytes.extend(time_ns.to_le_bytes());
        bytes.extend((0..LINES * SAMPLES).map(|at| (at * 3 + frame) as u8));
    }
    bytes
}

fn raw() -> Vec<u8> {
    raw_of([1, 2, LINES, SAMPLES, 1], [272_500_000_000, 272_555_000_000])
}

fn read(raw: &[u8], yml: &str) -> Result<Recording, ReplayError> {
    clarius::read(Path::new("a.raw"), raw, yml.as_bytes(), &options())
}

#[test]
fn envelope_is_read() {
    let recording = read(&raw(), &yml()).unwrap();
    assert_sound(&recording);
    let [first, second] = recording.frames.as_slice() else { panic!("{}", recording.frames.len()) };
    assert_eq!([first.descriptor.t_acq_ns, second.descriptor.t_acq_ns], [272_500_000_000, 272_555_000_000]);
    assert_eq!(second.payload, (0..LINES * SAMPLES).map(|at| (at * 3 + 1) as u8).collect::<Vec<_>>());
    let frame = first.descriptor.check().unwrap();
    let corner = frame.geometry.to_plane(LineSample { line: 4.0, sample: 300.0 });
    // 191 elements apart; 300 steps of 1540 m/s over twice 15 MHz.
    assert!((corner.x - 19.1).abs() < 1e-4 && (corner.y - 15.4).abs() < 1e-4, "{corner:?}");
    assert_eq!(frame.geometry.to_plane(LineSample::default()).y, 0.0);
    assert_eq!(first.descriptor.frame_rate_hz, 18.0);
    assert_eq!((frame.tgc_points, frame.tgc[1].depth_mm, frame.tgc[1].gain_db), (2, 30.0, 26.0));
    assert_eq!(recording.display, DisplayHint::Raster { width: 640, height: 258 });
    assert!(recording.notes[0].contains("0.2 mm between elements, as given with --pitch"));
    assert!(recording.notes[1].contains("60 dB"));
}

#[test]
fn either_file_opens_the_recording() {
    let folder = scratch("clarius");
    std::fs::write(folder.join("a.raw"), raw()).unwrap();
    let text = refusal(open(&folder.join("a.raw"), &options()));
    assert!(text.contains("a.yml next to it"), "{text}");
    std::fs::write(folder.join("a.yml"), yml()).unwrap();
    let recording = open(&folder.join("a.raw"), &options()).unwrap();
    assert_eq!(open(&folder.join("a.yml"), &options()).unwrap(), recording);
    let text = refusal(open(&folder.join("a.raw"), &Options::default()));
    assert!(text.contains("is not in the recording; give --pitch MM"), "{text}");
}

#[test]
fn malformed_and_unsupported_parameters_are_refused() {
    let cases = [
        (
            "type: B pre-scan",
            "type: IQ",
            "a.yml, line 10: Doppler IQ, not B-mode; give the recording's env.raw",
        ),
        ("type: B pre-scan", "type: RF", "a.yml, line 10: radio-frequency data"),
        ("type: B pre-scan", "type: odd", "a.yml, line 10: data of type `odd`"),
        ("type: B pre-scan\n", "", "a.yml, field `type`: missing"),
        ("compression: none", "compression: lz4", "a.yml, line 11: compressed with `lz4`; decompress it"),
        ("sampling rate: 15 MHz\n", "", "a.yml, field `sampling rate`: missing"),
        (
            "sampling rate: 15 MHz",
            "sampling rate: 15",
            "a.yml, line 12: `sampling rate` is `15`, not a number of MHz",
        ),
        ("sampling rate: 15 MHz", "sampling rate: 0 MHz", "a.yml, field `sampling rate`: 0 Hz, not within"),
        ("sampling rate: 15 MHz", "sampling rate: nan MHz", "a.yml, line 12: `sampling rate`"),
        ("number of lines: 5", "number of lines: 6", "a.yml, line 14: 5 lines are listed, `size` declares 6"),
        ("number of lines: 5", "number of lines: 99999", "a.yml, line 9: lines: 99999, at most 4096"),
        ("number of lines: 5", "number of lines: -5", "a.yml, line 9: lines: 4294967295, at most 4096"),
        ("samples per line: 301", "samples per line: x", "a.yml, line 9: `size` is `x`, not a number"),
        ("samples per line: 301, ", "", "a.yml, line 9: `samples per line` is missing"),
        (
            "samples per line: 301",
            "samples per line: 300",
            "a.raw, byte 12: 301 samples per line, but the .yml declares 300",
        ),
        ("frames: 2", "frames: 3", "a.raw, byte 4: 2 frames, but the .yml declares 3"),
        (
            "rx element: 0,",
            "rx element: 8,",
            "a.yml, line 16: line on element 47.75, expected on 53.75; only",
        ),
        ("rx element: 0,", "rx: 0,", "a.yml, line 15: `rx element` is missing"),
        ("angle: 0 °}\nfocus", "angle: 15 °}\nfocus", "a.yml, line 19: a line steered by 15 degrees"),
        ("angle: 0 °}\nfocus", "angle: -2.5 °}\nfocus", "a.yml, line 19: a line steered by -2.5 degrees"),
        (
            "focus:",
            "probe: {elements: 192, radius: 45 mm}\nfocus:",
            "a.yml, line 20: curved probes are not supported",
        ),
        ("focus:", "probe:\n  radius: 45\nfocus:", "a.yml, line 21: curved probes are not supported"),
        ("tgc: { 0.00mm,", "tgc: { 0.00cm,", "a.yml, line 8: `tgc` is `0.00cm`, not a number of mm"),
        ("tgc: { 0.00mm,", "tgc: { 0.00mm", "a.yml, line 8: `dB` is missing"),
        ("tgc: { 0.00mm,", "tgc: { 50.00mm,", "a.raw, frame 1: frame field `tgc.depth_mm`"),
    ];
    for (from, to, expected) in cases {
        assert!(yml().contains(from), "{from}");
        let text = refusal(read(&raw(), &yml().replacen(from, to, 1)));
        assert!(text.starts_with(expected), "{text}\nand not {expected}");
    }
    let flat = yml().replace("focus:", "probe: {elements: 192, radius: 0 mm}\nfocus:");
    assert!(read(&raw(), &flat).is_ok());
    let deep = yml().replace("imaging depth: 15.4", "imaging depth: 30");
    assert!(read(&raw(), &deep).unwrap().notes[2].contains("axial measurements may be wrong"));
    // The degree sign in Latin-1.
    let latin: Vec<u8> = yml().chars().map(|c| c as u8).collect();
    assert_eq!(
        clarius::read(Path::new("a.raw"), &raw(), &latin, &options()).unwrap(),
        read(&raw(), &yml()).unwrap()
    );
    let long = yml() + &"\n".repeat(1 << 22);
    assert!(refusal(read(&raw(), &long)).starts_with("a.yml: bytes: 41"));
}

#[test]
fn malformed_headers_are_refused() {
    let with = |header| refusal(read(&raw_of(header, [1, 2]), &yml()));
    assert_eq!(
        with([1, 2, LINES, SAMPLES, 4]),
        "a.raw, byte 16: samples of 4 bytes; an envelope has samples of one byte: give the recording's env.raw"
    );
    assert!(
        with([1, 3, LINES, SAMPLES, 1])
            .starts_with("a.raw, frame 3: truncated: 3 frames of 5 x 301 need 4539 bytes")
    );
    assert!(
        with([1, 1, LINES, SAMPLES, 1])
            .starts_with("a.raw, byte 1533: 1513 bytes more than the header declares")
    );
    assert!(with([1, u32::MAX, LINES, SAMPLES, 1]).starts_with("a.raw, byte 4: frames: 4294967295, at most"));
    assert!(with([1, 2, u32::MAX, u32::MAX, 1]).starts_with("a.raw, frame 1: truncated"));
    assert!(with([1, 0, LINES, SAMPLES, 1]).starts_with("a.raw, byte 20: 3026 bytes more"));
    let none = [1, 0, LINES, SAMPLES, 1].map(u32::to_le_bytes).concat();
    let yml = yml().replace("frames: 2", "frames: 0");
    assert_eq!(refusal(read(&none, &yml)), "a.raw: contains no frame");
}

/// Times of the scanner are kept as they are; a note counts those that decrease.
#[test]
fn decreasing_times_are_noted() {
    let recording = read(&raw_of([1, 2, LINES, SAMPLES, 1], [9, 4]), &yml()).unwrap();
    assert_eq!(recording.frames[1].descriptor.t_acq_ns, 4);
    assert!(recording.notes[0].contains("1 frames have an earlier time"));
}

#[test]
fn truncated_files_are_refused() {
    let (raw, yml) = (raw(), yml());
    for length in (0..raw.len()).filter(|length| *length < 60 || length % 7 == 0 || *length > raw.len() - 20)
    {
        assert!(refusal(read(&raw[..length], &yml)).starts_with("a.raw, "));
    }
    let until_lines = yml.find("focus").unwrap();
    for length in (0..until_lines - 2).filter(|&length| yml.is_char_boundary(length)) {
        let text = refusal(read(&raw, &yml[..length]));
        assert!(text.starts_with("a.yml, ") || text.starts_with("a.raw, "), "{length}: {text}");
    }
}

/// The layout of fuzz target `replay_clarius`: kind, length of the `.yml` in units of eight bytes, both files.
#[test]
fn valid_files_seed_the_fuzz_targets() {
    let (raw, mut yml) = (raw(), yml());
    yml += &"\n".repeat(yml.len().next_multiple_of(8) - yml.len());
    assert_sound(&read(&raw, &yml).unwrap());
    write_seed("replay_clarius", "envelope", &[&[1, (yml.len() / 8) as u8], yml.as_bytes(), &raw]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_files_give_errors_or_valid_frames(
        changes in prop::collection::vec((0..36usize, any::<u8>()), 0..3),
        text_changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let (mut raw, mut yml) = (raw(), yml().into_bytes());
        for (at, value) in changes {
            raw[at] = value;
        }
        for (at, value) in text_changes {
            let at = at.index(yml.len());
            yml[at] = value;
        }
        let options = Options { pitch_mm: Some(0.2), ..small() };
        survive(clarius::read(Path::new("a.raw"), &raw, &yml, &options), "a.");
    }
}
