//! NumPy arrays with their descriptions.

use crate::common::{assert_sound, refusal, scratch, small, survive, write_seed};
use proptest::prelude::*;
use sonotrace_hal::frame::{
    Domain, FrameDescriptor, GeometryKind, LAW_LINEAR, LAW_LOGARITHMIC, LAW_VENDOR_TABLE, SampleType,
    TgcPoint, flags,
};
use sonotrace_replay::{DisplayHint, Options, Recording, ReplayError, npy, open};
use std::path::Path;

const LINEAR: &str = r#"{
  "geometry": "linear", "left_mm": -10, "right_mm": 10, "first_depth_mm": 0, "last_depth_mm": 40,
  "amplitude_law": "logarithmic", "range_db": 60, "speed_of_sound_m_s": 1540, "frame_rate_hz": 20
}"#;

/// Encodes an array as NumPy does: version 1, the header padded to a multiple of 64 bytes.
fn npy_of(descr: &str, fortran: bool, shape: &str, samples: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), samples].concat()
}

fn read(npy: &[u8], json: &str) -> Result<Recording, ReplayError> {
    npy::read(Path::new("a.npy"), npy, json.as_bytes(), &Options::default())
}

/// Every geometry, and every domain.
const KINDS: [(GeometryKind, Domain); 6] = [
    (GeometryKind::Linear, Domain::PolarEnvelope),
    (GeometryKind::Convex, Domain::PolarEnvelope),
    (GeometryKind::Phased, Domain::PolarIq),
    (GeometryKind::Linear, Domain::PolarIq),
    (GeometryKind::Raster, Domain::ScanConverted),
    (GeometryKind::RasterUnknown, Domain::ScanConverted),
];

/// A frame of this domain and geometry.
fn descriptor(kind: GeometryKind, domain: Domain) -> FrameDescriptor {
    let sample_type = if domain == Domain::PolarIq { SampleType::I16Pair } else { SampleType::U8 };
    let (lines, samples) = (6, 10);
    let stride_bytes = samples * sample_type.bytes() + 4;
    let blank = FrameDescriptor {
        domain: domain as u32,
        sample_type: sample_type as u32,
        lines,
        samples,
        stride_bytes,
        payload_bytes: lines * stride_bytes,
        geometry: kind as u32,
        amplitude_law: LAW_LINEAR,
        law_range_db: 72.5,
        gain_db: -3.25,
        frame_rate_hz: 31.7,
        ..FrameDescriptor::blank()
    };
    let polar = FrameDescriptor {
        first_depth_mm: 0.1,
        last_depth_mm: 123.456,
        speed_of_sound_m_s: 1_538.7,
        tgc_points: 2,
        tgc: [[0.0, 20.1], [60.3, 31.4], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2], [0.0; 2]]
            .map(|[depth_mm, gain_db]| TgcPoint { depth_mm, gain_db }),
        flags: flags::TGC_PENDING,
        ..blank
    };
    match kind {
        GeometryKind::Linear => FrameDescriptor { left_mm: -19.1, right_mm: 19.3, ..polar },
        GeometryKind::Convex | GeometryKind::Phased => {
            FrameDescriptor { apex_radius_mm: 45.2, first_angle_rad: -0.61, last_angle_rad: 0.63, ..polar }
        }
        GeometryKind::Raster => FrameDescriptor {
            spacing_x_mm: 0.21,
            spacing_y_mm: 0.34,
            left_mm: -1.1,
            top_mm: 2.2,
            content_column: 1,
            content_row: 2,
            content_columns: 8,
            content_rows: 3,
            speed_of_sound_m_s: 1_540.0,
            amplitude_law: LAW_LOGARITHMIC,
            flags: flags::BURNT_IN_OVERLAY,
            ..blank
        },
        GeometryKind::RasterUnknown => FrameDescriptor { amplitude_law: LAW_LOGARITHMIC, ..blank },
    }
}

fn payloads(descriptor: &FrameDescriptor) -> Vec<Vec<u8>> {
    let bytes = descriptor.payload_bytes;
    (0..3u32).map(|frame| (0..bytes).map(|at| (at * 7 + frame * 31) as u8).collect()).collect()
}

/// Everything that a file stores is the same after writing and reading.
#[test]
fn written_frames_are_read_back() {
    let folder = scratch("round_trip");
    for (kind, domain) in KINDS {
        let written = descriptor(kind, domain);
        let payloads = payloads(&written);
        let times_ns = [5, u64::MAX, 1 << 60];
        let mut descriptors = [written; 3];
        for (descriptor, t_acq_ns) in descriptors.iter_mut().zip(times_ns) {
            (descriptor.t_acq_ns, descriptor.seq) = (t_acq_ns, t_acq_ns);
        }
        let path = folder.join(format!("{kind:?}_{domain:?}.npy"));
        npy::write(&path, descriptors.iter().zip(payloads.iter().map(Vec::as_slice))).unwrap();
        let recording = open(&path, &Options::default()).unwrap();
        assert_sound(&recording);
        assert_eq!(open(&path.with_extension("json"), &Options::default()).unwrap(), recording);
        let line_bytes = written.samples
            * SampleType::bytes(if domain == Domain::PolarIq { SampleType::I16Pair } else { SampleType::U8 });
        for ((frame, payload), t_acq_ns) in recording.frames.iter().zip(&payloads).zip(times_ns) {
            let expected = FrameDescriptor {
                seq: frame.descriptor.seq,
                t_acq_ns,
                clock_id: sonotrace_replay::CLOCK_OF_RECORDING,
                geometry_epoch: 1,
                flags: written.flags | flags::REPLAYED,
                stride_bytes: line_bytes,
                payload_bytes: written.lines * line_bytes,
                ..written
            };
            assert_eq!(frame.descriptor, expected);
            let lines =
                payload.chunks(written.stride_bytes as usize).flat_map(|line| &line[..line_bytes as usize]);
            assert_eq!(frame.payload, lines.copied().collect::<Vec<_>>());
        }
        let is_picture = domain == Domain::ScanConverted;
        assert_eq!(recording.display == DisplayHint::Source, is_picture);
        if let DisplayHint::Raster { width, height } = recording.display {
            let view = recording.frames[0].descriptor.check().unwrap().geometry.field_of_view();
            assert_eq!(width.max(height), 640);
            assert!((width as f32 / height as f32 / (view.width() / view.height()) - 1.0).abs() < 0.01);
        }
    }
}

#[test]
fn frames_that_cannot_be_written_are_refused() {
    let encode = |frames: &[(FrameDescriptor, Vec<u8>)]| {
        let frames = frames.iter().map(|(descriptor, payload)| (descriptor, payload.as_slice()));
        npy::encode(Path::new("a.npy"), frames).unwrap_err().to_string()
    };
    assert_eq!(encode(&[]), "a.npy: no frame to write");
    let good = descriptor(GeometryKind::Linear, Domain::PolarEnvelope);
    let payload = vec![0; good.payload_bytes as usize];
    let other = FrameDescriptor { right_mm: 21.0, ..good };
    let text = encode(&[(good, payload.clone()), (other, payload.clone())]);
    assert!(text.starts_with("a.npy, frame 2: differs from the first frame"), "{text}");
    let bad = FrameDescriptor { lines: 0, ..good };
    assert!(encode(&[(bad, payload.clone())]).starts_with("a.npy, frame 1: frame field `lines`"));
    assert!(encode(&[(good, vec![])]).starts_with("a.npy, frame 1: frame payload holds 0 bytes"));
    let vendor = FrameDescriptor { amplitude_law: LAW_VENDOR_TABLE, flags: 0, ..good };
    assert!(encode(&[(vendor, payload)]).contains("vendor's amplitude table"));
}

#[test]
fn shapes_and_times_are_read() {
    let recording = read(&npy_of("|u1", false, "(4, 5)", &[9; 20]), LINEAR).unwrap();
    assert_eq!((recording.frames.len(), recording.frames[0].descriptor.lines), (1, 4));
    let recording = read(&npy_of("|u1", false, "(2, 4, 5)", &[9; 40]), LINEAR).unwrap();
    assert_eq!(recording.frames[1].descriptor.t_acq_ns, 50_000_000);
    assert_eq!(recording.notes, [""; 0]);
    let recording =
        read(&npy_of("<i2", false, "(2, 4, 5, 2)", &[9; 160]), &LINEAR.replace("logarithmic", "linear"))
            .unwrap();
    assert_eq!(recording.frames[1].descriptor.domain, Domain::PolarIq as u32);
    let recording =
        read(&npy_of("<i2", false, "(4, 5, 2)", &[9; 80]), &LINEAR.replace("logarithmic", "linear")).unwrap();
    assert_eq!(recording.frames.len(), 1);
    let no_rate = LINEAR.replace(r#", "frame_rate_hz": 20"#, "");
    let recording = read(&npy_of("|u1", false, "(2, 4, 5)", &[9; 40]), &no_rate).unwrap();
    assert_eq!(recording.frames[1].descriptor.t_acq_ns, 40_000_000);
    assert!(recording.notes[0].contains("assumed 25 frames per second"), "{:?}", recording.notes);
}

#[test]
fn malformed_and_unsupported_arrays_are_refused() {
    let refused = |npy: &[u8]| refusal(read(npy, LINEAR));
    let cases = [
        (npy_of("<f4", false, "(4, 5)", &[0; 80]), "a.npy, field `descr`: samples are <f4; save them as u8"),
        (npy_of(">i2", false, "(4, 5, 2)", &[0; 80]), "a.npy, field `descr`: samples are >i2"),
        (
            npy_of("|u1", true, "(4, 5)", &[0; 20]),
            "a.npy, field `fortran_order`: array is in Fortran order; save np.",
        ),
        (npy_of("|u1", false, "(20,)", &[0; 20]), "a.npy, field `shape`: shape is [20]; give u8 as"),
        (npy_of("|u1", false, "()", &[0; 1]), "a.npy, field `shape`: shape is []"),
        (npy_of("<i2", false, "(4, 5)", &[0; 40]), "a.npy, field `shape`: shape is [4, 5]"),
        (npy_of("<i2", false, "(2,)", &[0; 4]), "a.npy, field `shape`: shape is [2]"),
        (npy_of("|u1", false, "(3, 4, 5)", &[0; 45]), "a.npy, frame 3: truncated: the shape needs 60 bytes"),
        (npy_of("|u1", false, "(4, 5)", &[0; 21]), "a.npy, byte 148: 1 bytes more than the shape needs"),
        (npy_of("|u1", false, "(0, 4, 5)", &[]), "a.npy: contains no frame"),
        (npy_of("|u1", false, "(1, 0, 5)", &[]), "a.npy: contains no frame"),
        (npy_of("|u1", false, "(1, 5000, 5)", &[]), "a.npy, field `shape`: lines: 5000, at most 4096"),
        (
            npy_of("|u1", false, "(1, 5, 9000)", &[]),
            "a.npy, field `shape`: samples per line: 9000, at most 8192",
        ),
        (
            npy_of("|u1", false, "(18446744073709551615, 5, 9)", &[]),
            "a.npy, field `shape`: frames: 18446744073709551615",
        ),
        (npy_of("|u1", false, "(-1, 5, 9)", &[]), "a.npy, byte 10: not the header of a plain array"),
        (npy_of("|u1", false, &"(".repeat(1000), &[]), "a.npy, byte 8: bytes of header: 1"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "a.npy, byte 8: bytes of header: 4294967"),
        (b"\x93NUMPY\x09\x00\x10\x00".to_vec(), "a.npy, byte 0: not the header of a .npy"),
        (b"\x93NUMPY\x01\x00\x10\x00{}".to_vec(), "a.npy, byte 12: truncated within its header"),
        (npy_of("|u1", false, "(4, 1)", &[0; 4]), "a.npy, frame 1: frame field `samples` is 1"),
    ];
    for (npy, expected) in cases {
        let text = refused(&npy);
        assert!(text.starts_with(expected), "{text}\nand not {expected}");
    }
    // npyz needs more than an hour for thirty of these.
    for deep in ["(", "[", "{'a':", "-", "'"] {
        let shape = deep.repeat((1024 - 100) / deep.len());
        assert!(refused(&npy_of("|u1", false, &shape, &[])).contains("not the header of a plain array"));
    }
    for header in
        ["{}", "{'descr': '|u1'}", "", "'descr'", "{'shape': (1,), 'shape'}", "{'descr': '|u1', 'x': 1}"]
    {
        let length = (header.len() as u16).to_le_bytes();
        let npy = [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes()].concat();
        assert!(refused(&npy).contains("byte 10: not the header of a plain array"), "{header}");
    }
}

#[test]
fn npyz_reads_our_arrays_and_writes_readable_ones() {
    use npyz::WriterBuilder;
    let samples: Vec<u8> = (0..40).collect();
    let mut theirs = Vec::new();
    let mut writer =
        npyz::WriteOptions::new().default_dtype().shape(&[2, 4, 5]).writer(&mut theirs).begin_nd().unwrap();
    writer.extend(samples.iter().copied()).unwrap();
    writer.finish().unwrap();
    let recording = read(&theirs, LINEAR).unwrap();
    assert_eq!([recording.frames[0].payload.clone(), recording.frames[1].payload.clone()].concat(), samples);
    let frames = recording.frames.iter().map(|frame| (&frame.descriptor, frame.payload.as_slice()));
    let (ours, _) = npy::encode(Path::new("a.npy"), frames).unwrap();
    let back = npyz::NpyFile::new(ours.as_slice()).unwrap();
    assert_eq!(back.shape(), [2, 4, 5]);
    assert_eq!(back.into_vec::<u8>().unwrap(), samples);

    let words: Vec<i16> = (0..32).map(|word| word * 1000 - 16000).collect();
    let mut theirs = Vec::new();
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[2, 2, 4, 2])
        .writer(&mut theirs)
        .begin_nd()
        .unwrap();
    writer.extend(words.iter().copied()).unwrap();
    writer.finish().unwrap();
    let recording = read(&theirs, &LINEAR.replace("logarithmic", "linear")).unwrap();
    let frames = recording.frames.iter().map(|frame| (&frame.descriptor, frame.payload.as_slice()));
    let (ours, _) = npy::encode(Path::new("a.npy"), frames).unwrap();
    assert_eq!(npyz::NpyFile::new(ours.as_slice()).unwrap().into_vec::<i16>().unwrap(), words);
}

#[test]
fn malformed_descriptions_are_refused() {
    let npy = npy_of("|u1", false, "(2, 4, 5)", &[9; 40]);
    let with = |from: &str, to: &str| {
        assert!(LINEAR.contains(from));
        refusal(read(&npy, &LINEAR.replace(from, to)))
    };
    let cases = [
        (r#""range_db""#, r#""range_dB""#, "a.json, line 3: unknown field `range_dB`, expected one of"),
        (r#""range_db": 60, "#, "", "a.json, line 4: missing field `range_db`"),
        ("logarithmic", "sqrt", "a.json, line 3: unknown variant `sqrt`, expected `linear` or `logarithmic`"),
        (r#""linear""#, r#""trapezoid""#, "a.json, line 2: unknown variant `trapezoid`"),
        (r#""left_mm": -10, "#, "", "a.json, field `left_mm`: missing, but required by the geometry"),
        (
            r#""left_mm": -10"#,
            r#""left_mm": -10, "apex_radius_mm": 5"#,
            "a.json, field `apex_radius_mm`: not used by the geometry",
        ),
        (r#""linear""#, r#""convex""#, "a.json, field `apex_radius_mm`: missing"),
        (r#""linear""#, r#""raster""#, "a.json, field `right_mm`: not used by the geometry"),
        (r#""speed_of_sound_m_s": 1540, "#, "", "a.json, field `speed_of_sound_m_s`: missing"),
        ("1540", "1540, \"t_acq_ns\": [1]", "a.json, field `t_acq_ns`: 1 times for 2 frames"),
        ("1540", "1540, \"t_acq_ns\": [-1, 2]", "a.json, line 3: invalid value: integer `-1`, expected u64"),
        (
            "1540",
            "1540, \"tgc\": [[0,0],[1,0],[2,0],[3,0],[4,0],[5,0],[6,0],[7,0],[8,0]]",
            "a.json, field `tgc`: points: 9, at most 8",
        ),
        ("-10", "10.05", "a.npy, frame 1: frame field `right_mm` is 10"),
        ("20\n", "1e30\n", "a.npy, frame 1: frame field `frame_rate_hz`"),
        ("20\n", "1e999\n", "a.json, line 3: number out of range"),
        ("60", "0", "a.npy, frame 1: frame field `law_range_db` is 0"),
        ("60", "\"60\"", "a.json, line 3: invalid type: string \"60\", expected f32"),
    ];
    for (from, to, expected) in cases {
        let text = with(from, to);
        assert!(text.starts_with(expected), "{text}\nand not {expected}");
    }
    // Names in an error are printable and short.
    let text = with("left_mm", &format!(r"\u001b[31m{}", "x".repeat(10_000)));
    assert!(text.starts_with("a.json, line 2: unknown field `[31mxxx") && text.len() < 1000, "{text}");
    let raster = r#"{"geometry": "raster", "spacing_x_mm": 0.1, "spacing_y_mm": 0.1, "amplitude_law": "linear", "range_db": 60}"#;
    let iq = npy_of("<i2", false, "(1, 4, 5, 2)", &[0; 80]);
    assert_eq!(refusal(read(&iq, raster)), "a.json, field `geometry`: a raster, but the samples are IQ");
    let infinite = raster.replace("60}", "60, \"speed_of_sound_m_s\": 1e39}");
    assert_eq!(refusal(read(&npy, &infinite)), "a.json, field `speed_of_sound_m_s`: not a finite number");
    assert!(read(&npy, raster).unwrap().frames[0].descriptor.check().unwrap().geometry.is_millimetres());
    assert!(refusal(read(&npy, &"[".repeat(10_000))).starts_with("a.json, line 1: "));
    let long = LINEAR.to_owned() + &" ".repeat(1 << 24);
    assert!(refusal(read(&npy, &long)).starts_with("a.json: bytes: 1677"));

    let folder = scratch("no_description");
    std::fs::write(folder.join("a.npy"), &npy).unwrap();
    let text = refusal(open(&folder.join("a.npy"), &Options::default()));
    assert!(text.contains("a.npy: needs ") && text.contains("a.json next to it; describe"), "{text}");
}

/// Neither of the two files may be truncated.
#[test]
fn truncated_files_are_refused() {
    let npy = npy_of("|u1", false, "(2, 4, 5)", &[9; 40]);
    for length in 0..npy.len() {
        assert!(refusal(read(&npy[..length], LINEAR)).starts_with("a.npy, "));
    }
    for length in 0..LINEAR.len() {
        assert!(refusal(read(&npy, &LINEAR[..length])).starts_with("a.json, line "));
    }
}

/// The layouts of fuzz targets. `replay_npy`: kind, length of the `.json` in two bytes, both files. `frame_descriptor`:
/// descriptor, payload.
#[test]
fn valid_files_seed_the_fuzz_targets() {
    for (kind, domain) in KINDS {
        let name = format!("{kind:?}_{domain:?}");
        let descriptor = descriptor(kind, domain);
        let payloads = payloads(&descriptor);
        let frames = payloads.iter().map(|payload| (&descriptor, payload.as_slice()));
        let (npy, json) = npy::encode(Path::new("a.npy"), frames).unwrap();
        assert_sound(&read(&npy, &json).unwrap());
        let length = (json.len() as u16).to_le_bytes();
        write_seed("replay_npy", &name, &[&[3], &length, json.as_bytes(), &npy]);
        write_seed("frame_descriptor", &name, &[bytemuck::bytes_of(&descriptor), &payloads[0]]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_files_give_errors_or_valid_frames(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        json_changes in prop::collection::vec((any::<prop::sample::Index>(), 32..127u8), 0..3),
    ) {
        let mut npy = npy_of("|u1", false, "(2, 4, 5)", &[9; 40]);
        let mut json = LINEAR.as_bytes().to_vec();
        for (bytes, changes) in [(&mut npy, changes), (&mut json, json_changes)] {
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
        }
        survive(npy::read(Path::new("a.npy"), &npy, &json, &small()), "a.");
    }
}
