//! Recordings and graphs that were once read wrongly: each must give the value that its README states, or a refusal.
//!
//! The folder is in `SONOTRACE_CASES`. Most recordings show the grey picture `pictures/plain.png` (P) in some disguise.

use prost::Message;
use sonotrace_compiler::{Options as Compile, Weights, compile_graphs, frontend, run_compiled};
use sonotrace_hal::frame::GeometryKind;
use sonotrace_hal::geometry::Point;
use sonotrace_replay::{Options, Recording, open};
use std::path::{Path, PathBuf};
use tract_onnx::pb::{ModelProto, TensorProto};

/// Largest mean difference of grey levels after JPEG.
const JPEG_LOSS: f64 = 2.0;

/// The folder, and the picture P.
fn cases() -> Option<(PathBuf, image::GrayImage)> {
    let cases = sonotrace_tests::folder("SONOTRACE_CASES")?;
    let plain = image::open(cases.join("pictures/plain.png")).expect("the picture can be read").into_luma8();
    Some((cases, plain))
}

fn read_with(path: &Path, options: &Options) -> Recording {
    let recording = open(path, options).unwrap_or_else(|error| panic!("{error}"));
    println!("{}: {} frames, {:?}", path.display(), recording.frames.len(), recording.notes);
    recording
}

fn read(path: &Path) -> Recording {
    read_with(path, &Options::default())
}

/// Asserts that a note contains each of the words.
#[track_caller]
fn assert_note(recording: &Recording, words: &[&str]) {
    let has = |note: &String| words.iter().all(|word| note.contains(word));
    assert!(recording.notes.iter().any(has), "{words:?} in {:?}", recording.notes);
}

/// Asserts size and grey levels of each frame: each at most `each` off, and `mean` on average.
#[track_caller]
fn assert_shows(recording: &Recording, frames: usize, picture: &image::GrayImage, each: u8, mean: f64) {
    assert_eq!(recording.frames.len(), frames);
    for frame in &recording.frames {
        let size = (frame.descriptor.samples, frame.descriptor.lines);
        assert_eq!(size, picture.dimensions());
        let off: Vec<u8> =
            frame.payload.iter().zip(picture.as_raw()).map(|(&seen, &right)| seen.abs_diff(right)).collect();
        let (most, sum) = (off.iter().max().copied(), off.iter().map(|&off| f64::from(off)).sum::<f64>());
        assert!(most <= Some(each), "a grey level is {most:?} off");
        assert!(sum / off.len() as f64 <= mean, "grey levels are {} off on average", sum / off.len() as f64);
    }
}

/// The pixel pitch of the region at a pixel; `None` if it has no scale.
fn pitch_mm_at(recording: &mut Recording, x: f32, y: f32) -> Option<[f32; 2]> {
    let region = recording.region_at(Point { x, y }).unwrap_or_else(|fault| panic!("({x}, {y}): {fault}"));
    recording.select_region(region.expect("the recording has regions"));
    let descriptor = &recording.frames[0].descriptor;
    let has_scale = descriptor.geometry == GeometryKind::Raster as u32;
    has_scale.then_some([descriptor.spacing_x_mm, descriptor.spacing_y_mm])
}

#[test]
fn dicom_files_show_their_grey_levels() {
    let Some((cases, plain)) = cases() else { return };
    let file = |name: &str| cases.join("dicom").join(name);
    let recording = read(&file("ybr422_label_3bytes.dcm"));
    assert_shows(&recording, 1, &plain, 1, 1.0);
    assert_note(&recording, &["YBR_FULL_422", "three"]);
    assert_shows(&read(&file("rgb_label_ycbcr_jpeg_420.dcm")), 1, &plain, 30, JPEG_LOSS);
    assert_shows(&read(&file("mono16_window.dcm")), 1, &plain, 1, 1.0);
    assert_shows(&read(&file("mono8_rescale_neg.dcm")), 1, &plain, 1, 1.0);
    // The note names the option that gives P.
    let dark = file("mono16_values8bit_nowindow.dcm");
    assert_note(&read(&dark), &["dark", "--window 128,256"]);
    let options = Options { window: Some((128.0, 256.0).into()), ..Options::default() };
    assert_shows(&read_with(&dark, &options), 1, &plain, 1, 1.0);
}

#[test]
fn dicom_files_have_all_their_frames_and_times() {
    let Some((cases, _)) = cases() else { return };
    let file = |name: &str| cases.join("dicom").join(name);
    let recording = read(&file("nframes_absent_native6.dcm"));
    assert_eq!(recording.frames.len(), 6);
    assert_note(&recording, &["number of frames is missing", "6"]);
    let recording = read(&file("nframes_zero.dcm"));
    assert!(!recording.frames.is_empty());
    assert_note(&recording, &["number of frames is empty or 0"]);
    let recording = read(&file("time_frametime_us.dcm"));
    let times =
        recording.frames.windows(2).map(|pair| pair[1].descriptor.t_acq_ns - pair[0].descriptor.t_acq_ns);
    let times: Vec<u64> = times.collect();
    assert!(!times.is_empty() && times.iter().all(|&ns| ns == 20_000_000), "{times:?}");
    assert_note(&recording, &["20000 ms", "20 ms", "--fps"]);
}

#[test]
fn dicom_regions_give_millimetres() {
    let Some((cases, _)) = cases() else { return };
    let file = |name: &str| cases.join("dicom").join(name);
    let mut dual = read(&file("dual_two_scales.dcm"));
    assert_eq!(pitch_mm_at(&mut dual, 356.0, 90.0), Some([0.5; 2]));
    assert_eq!(pitch_mm_at(&mut dual, 100.0, 90.0), Some([0.2; 2]));
    assert_eq!(pitch_mm_at(&mut read(&file("thumbnail_first.dcm")), 90.0, 70.0), Some([0.2; 2]));
    let mut huge = read(&file("delta_in_mm_600.dcm"));
    assert_eq!(pitch_mm_at(&mut huge, 100.0, 90.0), None);
    assert_note(&huge, &["no calibration", "mm are possible"]);
}

#[test]
fn pictures_are_read_as_shown() {
    let Some((cases, plain)) = cases() else { return };
    let file = |name: &str| cases.join("pictures").join(name);
    assert_shows(&read(&file("plain.png")), 1, &plain, 0, 0.0);
    assert_shows(&read(&file("trailer.jpg")), 1, &plain, 30, JPEG_LOSS);
    let turned = read(&file("exif6.jpg"));
    assert_shows(&turned, 1, &image::imageops::rotate90(&plain), 30, JPEG_LOSS);
    assert_note(&turned, &["EXIF"]);
    let deep = file("g16_12bit.png");
    assert_note(&read(&deep), &["dark", "--window 2048,4096"]);
    let options = Options { window: Some((2048.0, 4096.0).into()), ..Options::default() };
    assert_shows(&read_with(&deep, &options), 1, &plain, 1, 1.0);
    let mut half = plain.clone();
    for (x, _, pixel) in half.enumerate_pixels_mut() {
        pixel.0[0] *= u8::from(x < plain.width() / 2);
    }
    let hidden = read(&file("alpha_hidden_white.png"));
    assert_shows(&hidden, 1, &half, 0, 0.0);
    assert_note(&hidden, &["transparent", "black"]);
    assert_eq!(read(&file("anim.png")).frames.len(), 3);
}

#[test]
fn folders_are_read_in_order_and_name_what_they_pass_over() {
    let Some((cases, _)) = cases() else { return };
    let folder = |name: &str| cases.join("folders").join(name);
    let times = folder("decimal_times");
    let recording = read(&times);
    let names = ["0.0.png", "0.05.png", "0.1.png", "0.15.png"];
    assert_eq!(recording.frames.len(), names.len());
    for (frame, name) in recording.frames.iter().zip(names) {
        let picture = image::open(times.join(name)).expect("the picture can be read").into_luma8();
        assert!(frame.payload == *picture.as_raw(), "{name}");
    }
    let mixed = read(&folder("mixed_ext"));
    if mixed.frames.len() < 4 {
        assert_note(&mixed, &["passed over", "f2.bmp", "f4.tif"]);
    }
}

/// A constant of a graph.
fn constant(model: &ModelProto, name: &str) -> TensorProto {
    let graph = model.graph.as_ref().expect("there is a graph");
    graph.initializer.iter().find(|tensor| tensor.name == name).expect("the constant is there").clone()
}

fn floats(tensor: &TensorProto) -> Vec<f32> {
    match tensor.raw_data.is_empty() {
        true => tensor.float_data.clone(),
        false => tensor.raw_data.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect(),
    }
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    match tensor.raw_data.is_empty() {
        true => tensor.int64_data.clone(),
        false => tensor.raw_data.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect(),
    }
}

/// Runs a graph of one input, and compares it with `right`, which gets the graph and the input. A refusal must name a node.
fn assert_computes(graph: &Path, inputs: usize, right: impl Fn(&ModelProto, &[f32]) -> Vec<f32>) {
    let bytes = std::fs::read(graph).expect("the graph can be read");
    let model = ModelProto::decode(bytes.as_slice()).expect("a graph");
    let input: Vec<f32> = (0..inputs).map(|at| ((at * 37 + 11) % 64) as f32 / 16.0 - 2.0).collect();
    let options = Compile { weights: Weights::F32, ..Compile::default() };
    let compiled = frontend::load("program", graph).and_then(|loaded| compile_graphs(&[loaded], &options));
    let compiled = match compiled {
        Ok(compiled) => compiled,
        Err(error) => {
            println!("{}: {error}", graph.display());
            assert!(!error.to_string().contains("panicked"), "{error}");
            return;
        }
    };
    let outputs = run_compiled(&compiled.bytes, "program", std::slice::from_ref(&input), &Default::default());
    let seen = outputs.expect("the program runs").remove(0);
    let right = right(&model, &input);
    assert_eq!(seen.len(), right.len(), "{}", graph.display());
    for (at, (seen, right)) in seen.iter().zip(&right).enumerate() {
        assert!(
            (seen - right).abs() <= 1e-5 * right.abs().max(1.0),
            "{} at {at}: {seen}, not {right}",
            graph.display()
        );
    }
}

#[test]
fn graphs_compute_what_onnx_says() {
    let Some((cases, _)) = cases() else { return };
    let graph = |name: &str| cases.join("onnx").join(name);
    assert_computes(&graph("celu_0.5.onnx"), 24, |_, input| {
        input.iter().map(|&x| x.max(0.0) + (0.5 * ((x / 0.5).exp() - 1.0)).min(0.0)).collect()
    });
    // `[1, 4, 4, 8]`: the last axis times the transposed weights.
    assert_computes(&graph("ein_linear.onnx"), 128, |model, input| {
        let [weights, bias] = ["w", "b"].map(|name| floats(&constant(model, name)));
        let output = |row: &[f32], o: usize| {
            bias[o] + row.iter().zip(&weights[8 * o..]).map(|(x, w)| x * w).sum::<f32>()
        };
        input.chunks(8).flat_map(|row| (0..8).map(move |o| output(row, o)).collect::<Vec<_>>()).collect()
    });
    // Strides of 2 and a kernel of 4 give 10 rows; an output of 8 leaves out one at each edge.
    assert_computes(&graph("dco_cmp.onnx"), 16, |model, input| {
        let weights = floats(&constant(model, "w"));
        let mut output = vec![0.0; 64];
        for (at, x) in input.iter().enumerate() {
            for (tap, w) in weights.iter().enumerate() {
                let (row, column) = (2 * (at / 4) + tap / 4, 2 * (at % 4) + tap % 4);
                if (1..9).contains(&row) && (1..9).contains(&column) {
                    output[8 * (row - 1) + column - 1] += x * w;
                }
            }
        }
        output
    });
    assert_computes(&graph("rs10_official.onnx"), 4, |_, _| {
        (0..4 * 6).map(|at: usize| [1.0, 2.0, 3.0, 4.0][2 * (at / 12) + at % 6 / 3]).collect()
    });
    assert_computes(&graph("func_shadow.onnx"), 4, |_, input| input.iter().map(|x| -x).collect());
    assert_computes(&graph("pad_neg.onnx"), 20, |model, input| {
        let pads = integers(&constant(model, "p"));
        let [rows, columns] =
            [(2, 4), (3, 5)].map(|(axis, extent)| (pads[axis], extent + pads[axis] + pads[4 + axis]));
        let value = |row: i64, column: i64| match (0..4).contains(&row) && (0..5).contains(&column) {
            true => input[(5 * row + column) as usize],
            false => 0.0,
        };
        let places = (0..rows.1).flat_map(|row| (0..columns.1).map(move |column| (row, column)));
        places.map(|(row, column)| value(row - rows.0, column - columns.0)).collect()
    });
    assert_computes(&graph("squeeze_neg.onnx"), 8, |_, input| input.to_vec());
}
