//! The `sonotrace` command from outside: its output, its files, and its errors for bad input.

#[path = "command/board.rs"]
mod board;
#[path = "command/cine.rs"]
mod cine;
#[path = "command/memory.rs"]
mod memory;
#[path = "command/video.rs"]
mod video;

use npyz::WriterBuilder;
use serde_json::Value;
use sonotrace_tests::onnx::Onnx;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs the command; the folder is its working directory.
fn sonotrace(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sonotrace"));
    command.current_dir(folder).args(arguments).output().expect("the command starts")
}

/// An empty folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    folder
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts success and returns the output.
fn succeed(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// Asserts that the command failed with an error message, not a panic, that contains each of `words`.
fn refuse(output: &Output, words: &[&str]) {
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "exit code of: {message}");
    assert!(!message.contains("panicked"), "{message}");
    for word in words {
        assert!(message.contains(word), "{word:?} is not in: {message}");
    }
}

fn json(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("the file is JSON")
}

#[test]
fn demo_writes_all_files() {
    let folder = folder("demo");
    let arguments =
        ["demo", "--frames", "4", "--policy", "all", "--seed", "3", "--out", "out", "--json", "copy.json"];
    let printed = succeed(&sonotrace(&folder, &arguments));
    for word in ["p50", "p99", "p99.9", "max", "total", "deadline misses", "Dice", "drops", "memory"] {
        assert!(printed.contains(word), "{word:?} is not in: {printed}");
    }
    let out = folder.join("out");
    let report = json(&out.join("report.json"));
    assert_eq!(report, json(&folder.join("copy.json")));
    assert_eq!(report["frames"], 4);
    assert_eq!(report["overlays"], 4);
    assert_eq!(report["allocations_after_start"], 0);
    assert_eq!(report["page_faults_after_start"], 0);
    assert!(report["memory_bytes"].as_u64() > Some(1_000_000));
    assert!(report["dice_mean"].as_f64() > Some(0.5), "{}", report["dice_mean"]);
    for stage in ["queue", "sample", "encode", "decode", "contour", "total"] {
        for quantile in ["p50_ns", "p99_ns", "p999_ns", "max_ns"] {
            assert!(report["stages"][stage][quantile].is_u64(), "{stage} {quantile}");
        }
    }
    let drops = report["drops"].as_object().expect("drops are counted by reason");
    assert!(drops.values().all(|count| count == 0), "{drops:?}");
    let lines = std::fs::read_to_string(out.join("overlays.jsonl")).expect("overlays.jsonl is there");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    assert_eq!(lines.len(), 4);
    for (seq, line) in (1u64..).zip(&lines) {
        assert_eq!(line["seq"], seq);
        assert_eq!(line["outcome"], "overlay");
        assert_eq!(line["state"], if seq == 1 { "fresh" } else { "tracked" });
        let object = &line["objects"][0];
        assert_eq!(
            object["contour_px"].as_array().map(Vec::len),
            object["contour_mm"].as_array().map(Vec::len)
        );
        assert!(object["area_mm2"].as_f64() > Some(100.0));
    }
    let gif = std::fs::read(out.join("overlay.gif")).expect("overlay.gif is there");
    assert_eq!(&gif[..6], b"GIF89a");
    assert!(
        std::fs::read_to_string(out.join("latency.svg")).expect("latency.svg is there").contains("</svg>")
    );
}

#[test]
fn live_demo_accounts_for_every_frame() {
    let folder = folder("live");
    succeed(&sonotrace(
        &folder,
        &["demo", "--frames", "20", "--fps", "30", "--policy", "newest", "--out", "out"],
    ));
    let report = json(&folder.join("out/report.json"));
    let dropped: u64 = report["drops"].as_object().expect("drops").values().filter_map(Value::as_u64).sum();
    assert_eq!(report["frames"], 20);
    assert_eq!(report["overlays"].as_u64().map(|overlays| overlays + dropped), Some(20), "{report}");
}

/// Objects keep their millimetres: a change of depth that the descriptors tell costs at most 0.02 of Dice.
#[test]
fn objects_are_followed_over_changes_of_depth() {
    let folder = folder("depth");
    let changing = sonotrace_sim::scripts::text("depth").expect("a ready script");
    let is_change = |line: &&str| line.starts_with("at ") && line.contains(" s depth ");
    assert_eq!(changing.lines().filter(is_change).count(), 2);
    let still: Vec<&str> = changing.lines().filter(|line| !is_change(line)).collect();
    let [with, without] = [("changing", changing.into()), ("still", still.join("\n"))].map(|(name, text)| {
        let script = format!("{name}.scan");
        std::fs::write(folder.join(&script), text).expect("the file can be written");
        succeed(&sonotrace(&folder, &["demo", "--script", &script, "--policy", "all", "--out", name]));
        let dice = json(&folder.join(name).join("report.json"))["dice_mean"].as_f64();
        dice.expect("objects are followed")
    });
    assert!(with >= without - 0.02, "{with} with two changes of depth, {without} without");
}

/// A picture with a bright disc on a dark ground.
fn disc(path: &Path, width: u32, height: u32) {
    let picture = image::GrayImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x as f32 - width as f32 * 0.5, y as f32 - height as f32 * 0.5);
        let is_inside = (dx * dx + dy * dy).sqrt() < height as f32 * 0.25;
        image::Luma([if is_inside { 20 } else { 120 + ((x * 7 + y * 13) % 40) as u8 }])
    });
    picture.save(path).expect("the picture can be written");
}

#[test]
fn run_tracks_an_object_through_a_folder_of_pictures() {
    let folder = folder("run");
    std::fs::create_dir(folder.join("cine")).expect("the folder can be made");
    for index in 0..3 {
        disc(&folder.join(format!("cine/frame_{index}.png")), 200, 160);
    }
    let printed = succeed(&sonotrace(
        &folder,
        &["run", "cine", "--click", "100,80", "--box", "58,38,142,122", "--spacing", "0.5", "--out", "out"],
    ));
    assert!(printed.contains("wrote 3 pictures"), "{printed}");
    for number in 1..=3 {
        let picture = image::open(folder.join(format!("out/cine-000{number}.overlay.png")))
            .expect("a picture is written");
        assert_eq!((picture.width(), picture.height()), (200, 160));
    }
    let lines = std::fs::read_to_string(folder.join("out/overlays.jsonl")).expect("overlays.jsonl is there");
    let first: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("a line is JSON");
    // The object of the box comes first, then that of the click. The disc has a radius of 40 pixels, 20 mm.
    let objects = first["objects"].as_array().expect("objects");
    assert_eq!(objects.len(), 2);
    let area_mm2 = objects[0]["area_mm2"].as_f64().expect("the spacing is known");
    assert!((area_mm2 / (std::f64::consts::PI * 400.0) - 1.0).abs() < 0.1, "{area_mm2} mm2");
}

/// An animated GIF, two objects by number and name, one of them corrected, and a prompt that cannot be served.
#[test]
fn run_takes_several_objects_and_reports_refused_prompts() {
    let folder = folder("objects");
    disc(&folder.join("disc.png"), 200, 160);
    let picture = image::open(folder.join("disc.png")).expect("the picture is read").to_rgb8();
    let file = std::fs::File::create(folder.join("cine.gif")).expect("the file can be made");
    let mut animation = sonotrace_cli::output::gif::Animation::new(file, 200, 160, 40.0)
        .expect("the animation can be started");
    for _ in 0..2 {
        animation.frame(&picture).expect("a frame is written");
    }
    animation.finish().expect("the animation is written");
    let arguments = [
        "-v",
        "run",
        "cine.gif",
        "--box",
        "2:58,38,142,122",
        "--click",
        "2:100,80",
        "--click",
        "7:30,30",
        "--click",
        "7:60,140,neg",
        "--click",
        "9:900,30",
        "--name",
        "2=disc",
        "--out",
        "out",
    ];
    let output = sonotrace(&folder, &arguments);
    let printed = succeed(&output);
    assert!(printed.contains("prompt 5 for object 9 was refused on frame 1: outside_field"), "{printed}");
    let events = text(&output.stderr);
    assert!(events.contains("session opened") && events.contains("prompt 1 has outcome 1"), "{events}");
    let lines = std::fs::read_to_string(folder.join("out/overlays.jsonl")).expect("overlays.jsonl is there");
    let lines: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let ids: Vec<u64> =
        lines[1]["objects"].as_array().expect("objects").iter().filter_map(|o| o["id"].as_u64()).collect();
    assert_eq!(ids, [2, 7]);
    assert_eq!(lines[0]["answers"].as_array().map(Vec::len), Some(5));
    assert_eq!(lines[1]["t_acq_ns"], 40_000_000, "the GIF's own times");
    // It is an error if all prompts are refused.
    refuse(&sonotrace(&folder, &["run", "cine.gif", "--click", "900,30"]), &["200 x 160"]);
}

#[test]
fn unknown_spacing_gives_no_millimetres() {
    let folder = folder("spacing");
    disc(&folder.join("picture.png"), 200, 160);
    succeed(&sonotrace(&folder, &["run", "picture.png", "--click", "100,80", "--out", "out"]));
    let line = std::fs::read_to_string(folder.join("out/overlays.jsonl")).expect("overlays.jsonl is there");
    let line: Value = serde_json::from_str(line.trim()).expect("one line of JSON");
    let object = &line["objects"][0];
    assert!(object["area_mm2"].is_null() && object["contour_mm"].is_null(), "{object}");
    assert!(object["mm_unavailable"].is_string());
}

#[test]
fn invalid_pictures_get_an_error_that_names_them() {
    let folder = folder("invalid");
    type Make = fn(&Path);
    let cases: [(&str, Make); 6] = [
        ("empty.png", |path| std::fs::write(path, []).expect("written")),
        ("text.jpg", |path| std::fs::write(path, "no picture at all").expect("written")),
        ("one_pixel.png", |path| image::GrayImage::new(1, 1).save(path).expect("written")),
        ("too_wide.png", |path| image::GrayImage::new(9000, 4).save(path).expect("written")),
        ("too_high.png", |path| image::GrayImage::new(4, 5000).save(path).expect("written")),
        ("cut.png", |path| {
            disc(path, 64, 64);
            let whole = std::fs::read(path).expect("read");
            std::fs::write(path, &whole[..whole.len() / 2]).expect("written");
        }),
    ];
    for (name, make) in cases {
        make(&folder.join(name));
        refuse(&sonotrace(&folder, &["run", name, "--click", "1,1"]), &[name]);
    }
    refuse(&sonotrace(&folder, &["run", "nowhere.png", "--click", "1,1"]), &["nowhere.png"]);
    refuse(&sonotrace(&folder, &["run", "one_pixel.png"]), &["--click", "--box"]);
}

#[test]
fn thin_and_black_pictures_are_scanned() {
    let folder = folder("thin");
    for (width, height) in [(2, 2), (3, 4000), (8192, 2)] {
        image::GrayImage::new(width, height).save(folder.join("black.png")).expect("written");
        let printed = succeed(&sonotrace(&folder, &["run", "black.png", "--click", "1,1", "--out", "out"]));
        assert!(printed.contains("wrote 1 pictures"), "{printed}");
    }
}

#[test]
fn bad_models_get_an_error() {
    let folder = folder("models");
    disc(&folder.join("picture.png"), 64, 64);
    std::fs::write(folder.join("short.sono"), b"SONOFILE").expect("written");
    std::fs::write(folder.join("wrong.onnx"), b"not a graph").expect("written");
    refuse(&sonotrace(&folder, &["inspect", "short.sono"]), &["8 bytes"]);
    refuse(
        &sonotrace(&folder, &["run", "picture.png", "--click", "9,9", "--model", "short.sono"]),
        &["8 bytes"],
    );
    refuse(
        &sonotrace(&folder, &["compile", "--program", "encoder=wrong.onnx", "-o", "out.sono"]),
        &["wrong.onnx"],
    );
    assert!(!folder.join("out.sono").exists());
}

/// Writes a `.npy` of one type.
fn npy<T: npyz::AutoSerialize + Copy>(path: &Path, shape: &[u64], values: &[T]) {
    let mut bytes = Vec::new();
    let writer = npyz::WriteOptions::new().default_dtype().shape(shape).writer(&mut bytes).begin_nd();
    let mut writer = writer.expect("the header is written");
    writer.extend(values.iter().copied()).expect("written");
    writer.finish().expect("written");
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn infer_runs_one_program_on_arrays() {
    let folder = folder("infer");
    let graph = Onnx::default()
        .input("x", &[2, 3])
        .input("gain", &[1])
        .node("Mul", &["x", "gain"], &["a"], &[])
        .node("Neg", &["a"], &["group/y:0"], &[])
        .node("ReduceSum", &["a"], &["total"], &[])
        .output("group/y:0")
        .output("total");
    std::fs::write(folder.join("graph.onnx"), graph.bytes()).expect("written");
    let compile = ["compile", "--weights", "f32", "--program", "main=graph.onnx", "-o", "main.sono"];
    succeed(&sonotrace(&folder, &compile));
    npy(&folder.join("x.npy"), &[2, 3], &[1f32, 2.0, 3.0, 4.0, 5.0, 6.0]);
    npy(&folder.join("flat.npy"), &[6], &[1f32; 6]);
    npy(&folder.join("double.npy"), &[2, 3], &[1f64; 6]);
    npy(&folder.join("gain.npy"), &[1], &[0.5f32]);
    std::fs::write(folder.join("text.npy"), "1 2 3").expect("written");
    let brackets = format!("\u{93}NUMPY{}\n", "[".repeat(40));
    let brackets: Vec<u8> = brackets.chars().map(|letter| letter as u8).collect();
    std::fs::write(folder.join("brackets.npy"), brackets).expect("written");
    let x = std::fs::read(folder.join("x.npy")).expect("read");
    std::fs::write(folder.join("short.npy"), &x[..x.len() - 4]).expect("written");

    let infer = |program: &str, inputs: &[&str]| {
        let mut arguments = vec!["infer", "main.sono", program, "--out", "out"];
        inputs.iter().for_each(|input| arguments.extend(["--input", input]));
        sonotrace(&folder, &arguments)
    };
    let printed = succeed(&infer("main", &["x=x.npy", "gain=gain.npy"]));
    assert!(printed.contains("group/y:0") && printed.contains("group_y_0.npy"), "{printed}");
    let read = |name: &str| {
        let bytes = std::fs::read(folder.join("out").join(name)).expect("the output is written");
        let array = npyz::NpyFile::new(bytes.as_slice()).expect("the output is an array");
        (array.shape().to_vec(), array.into_vec::<f32>().expect("the output is f32"))
    };
    assert_eq!(read("group_y_0.npy"), (vec![2, 3], vec![-0.5, -1.0, -1.5, -2.0, -2.5, -3.0]));
    assert_eq!(read("total.npy").1, [10.5]);

    let all = ["x [2, 3]", "gain [1]"];
    refuse(&infer("other", &[]), &["no program other", "main"]);
    refuse(&infer("main", &["x=x.npy"]), &[&["input gain is missing"], &all[..]].concat());
    refuse(&infer("main", &["z=x.npy"]), &[&["no input z"], &all[..]].concat());
    refuse(&infer("main", &["x=x.npy", "x=x.npy"]), &["x is given twice"]);
    for (file, words) in [
        ("flat.npy", ["shape [6]", "expected [2, 3]"]),
        ("double.npy", ["f8", "float32"]),
        ("text.npy", ["not a .npy", "numpy.save"]),
        ("brackets.npy", ["header", "float32"]),
        ("short.npy", ["damaged", "x [2, 3]"]),
        ("none.npy", ["cannot be read", "none.npy"]),
    ] {
        refuse(&infer("main", &[&format!("x={file}"), "gain=gain.npy"]), &words);
    }
    refuse(&sonotrace(&folder, &["infer", "graph.onnx", "main", "--out", "out"]), &["graph.onnx"]);
}

#[test]
fn inspect_shows_programs_and_plan() {
    let printed = succeed(&sonotrace(&folder("inspect"), &["inspect", "--ops"]));
    for word in [
        "program encoder",
        "program decoder",
        "GMAC",
        "embedding",
        "bank features",
        "features@frame",
        "no provenance",
        "matmul",
    ] {
        assert!(printed.contains(word), "{word:?} is not in: {printed}");
    }
}

/// What training wrote into a graph is shown, as text and as JSON, without control characters.
#[test]
fn inspect_shows_where_the_weights_come_from() {
    let folder = folder("inspect-training");
    let record = serde_json::json!({
        "use": "not for commercial use",
        "licences": ["HEARTS: CC BY-NC-SA 4.0", "\u{1b}[31mLiteMedSAM: Apache-2.0"],
        "data": {"sha256": "abcd"},
        "commit": null,
        "made_from": [{"role": "start", "file": "best.pt", "sha256": "ef01"}],
    });
    let graph = Onnx::default().input("x", &[1, 4]).node("Relu", &["x"], &["y"], &[]).output("y");
    let bytes = graph.metadata("sonotrace.provenance", &record.to_string()).bytes();
    std::fs::write(folder.join("graph.onnx"), bytes).expect("the graph is written");
    succeed(&sonotrace(&folder, &["compile", "--program", "main=graph.onnx", "-o", "model.sono"]));
    let printed = succeed(&sonotrace(&folder, &["inspect", "model.sono"]));
    for line in [
        "training        main: not for commercial use",
        "  data          abcd",
        "  code          not known",
        "  from          start best.pt ef01",
        "  licence       HEARTS: CC BY-NC-SA 4.0",
    ] {
        assert!(printed.contains(line), "{line:?} is not in: {printed}");
    }
    assert!(!printed.contains('\x1b'));
    let printed = succeed(&sonotrace(&folder, &["inspect", "model.sono", "--json"]));
    let shown: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(shown["provenance"]["training"][0]["record"], record);
    assert_eq!(
        (&shown["programs"][0]["name"], &shown["programs"][0]["operations"]),
        (&"main".into(), &1.into())
    );
    let printed = succeed(&sonotrace(&folder, &["inspect", "--json"]));
    let packaged: Value = serde_json::from_str(&printed).expect("JSON");
    assert!(packaged["provenance"]["programs"].is_array() && packaged["provenance"]["training"].is_null());
}

/// A DICOM file of one frame of 200x160 pixels with ultrasound regions: first and last column, data type, and pixel size
/// in centimetres. The frame shows a disc in each half.
fn medical(path: &Path, regions: &[([u32; 2], u16, f64)]) {
    fn element(tag: [u16; 2], vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
        let head = [&tag[0].to_le_bytes()[..], &tag[1].to_le_bytes(), vr].concat();
        let length = match vr {
            b"OB" | b"SQ" => [&[0, 0][..], &(value.len() as u32).to_le_bytes()].concat(),
            _ => (value.len() as u16).to_le_bytes().to_vec(),
        };
        [head, length, value.to_vec()].concat()
    }
    let us = |group: u16, number: u16, value: u16| element([group, number], b"US", &value.to_le_bytes());
    let ul = |number: u16, value: u32| element([0x18, number], b"UL", &value.to_le_bytes());
    let fd = |number: u16, value: f64| element([0x18, number], b"FD", &value.to_le_bytes());
    let items = regions.iter().flat_map(|&([first, last], data_type, cm)| {
        let content = [
            us(0x18, 0x6012, 1),
            us(0x18, 0x6014, data_type),
            ul(0x6018, first),
            ul(0x601a, 0),
            ul(0x601c, last),
            ul(0x601e, 159),
            us(0x18, 0x6024, 3),
            us(0x18, 0x6026, 3),
            fd(0x602c, cm),
            fd(0x602e, cm),
        ]
        .concat();
        [&[0xfe, 0xff, 0, 0xe0][..], &(content.len() as u32).to_le_bytes(), &content].concat()
    });
    let pixels: Vec<u8> = (0..160 * 200)
        .map(|at| {
            let (x, y) = (at % 200, at / 200);
            let (dx, dy) = (x % 100 - 50, y - 80);
            if dx * dx + dy * dy < 30 * 30 { 20 } else { 120 + ((x * 7 + y * 13) % 40) as u8 }
        })
        .collect();
    let file = [
        vec![0; 128],
        b"DICM".to_vec(),
        element([2, 0x10], b"UI", b"1.2.840.10008.1.2.1\0"),
        element([8, 0x60], b"CS", b"US"),
        element([0x18, 0x6011], b"SQ", &items.collect::<Vec<u8>>()),
        us(0x28, 2, 1),
        element([0x28, 4], b"CS", b"MONOCHROME2 "),
        us(0x28, 0x10, 160),
        us(0x28, 0x11, 200),
        us(0x28, 0x100, 8),
        element([0x7fe0, 0x10], b"OB", &pixels),
    ];
    std::fs::write(path, file.concat()).expect("the file is written");
}

/// The first object's area in the first line of `overlays.jsonl`.
fn area_mm2(out: &Path) -> f64 {
    let lines = std::fs::read_to_string(out.join("overlays.jsonl")).expect("overlays.jsonl is there");
    let line: Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("a line is JSON");
    line["objects"][0]["area_mm2"].as_f64().unwrap_or_else(|| panic!("no area: {line}"))
}

/// Discs of 30 pixels radius in two regions: 0.2 and 0.5 mm a pixel.
#[test]
fn each_prompt_gets_the_scale_of_its_region() {
    let folder = folder("regions");
    medical(&folder.join("dual.dcm"), &[([0, 99], 1, 0.02), ([100, 199], 1, 0.05)]);
    let run = |more: &[&str]| sonotrace(&folder, &[&["run", "dual.dcm", "--out", "out"], more].concat());
    let is_area = |seen: f64, radius_mm: f64| {
        (seen / (std::f64::consts::PI * radius_mm * radius_mm) - 1.0).abs() < 0.15
    };
    succeed(&run(&["--box", "118,48,182,112"]));
    assert!(is_area(area_mm2(&folder.join("out")), 15.0), "{}", area_mm2(&folder.join("out")));
    let output = run(&["--box", "18,48,82,112", "--box", "118,48,182,112"]);
    succeed(&output);
    let areas = ["region-1", "region-2"].map(|region| area_mm2(&folder.join("out").join(region)));
    assert!(is_area(areas[0], 6.0) && is_area(areas[1], 15.0), "{areas:?}");
    let notes = text(&output.stderr);
    assert!(notes.contains("0.2000 x 0.2000") && notes.contains("0.5000 x 0.5000"), "{notes}");
}

#[test]
fn refused_prompts_name_their_fault() {
    let folder = folder("faults");
    medical(&folder.join("dual.dcm"), &[([0, 89], 1, 0.02), ([100, 199], 3, 0.05), ([92, 98], 1, 0.05)]);
    disc(&folder.join("picture.png"), 200, 160);
    let cases: [(&str, &[&str], &[&str]); 7] = [
        ("picture.png", &["--click", "1:100,80,neg"], &["unknown_object", "there is no object 1"]),
        ("picture.png", &["--box", "20,20,20,60"], &["(20, 20) to (20, 60) has no extent"]),
        ("picture.png", &["--click", "300,80"], &["(300, 80), is outside the picture of 200 x 160 pixels"]),
        (
            "dual.dcm",
            &["--click", "150,80"],
            &["ultrasound region 2 of 3, which shows another kind of picture"],
        ),
        (
            "dual.dcm",
            &["--click", "90.6,80"],
            &["outside ultrasound region 1 of 3 (columns 0..89 and rows 0..159)"],
        ),
        (
            "dual.dcm",
            &["--box", "20,20,95,60"],
            &["corners are in ultrasound region 1 of 3 and in ultrasound region 3"],
        ),
        (
            "picture.png",
            &["--click", "300,80", "--box", "5,5,5,5"],
            &["prompt 1 for object 1", "prompt 2 for object 2"],
        ),
    ];
    for (input, prompts, words) in cases {
        let output = sonotrace(&folder, &[&["run", input, "--out", "out"], prompts].concat());
        refuse(&output, &[&["no prompt could be served"], words].concat());
    }
    // The second prompt of an object in another region.
    let prompts = ["--box", "1:20,20,70,90", "--click", "1:95,60"];
    let printed =
        succeed(&sonotrace(&folder, &[&["run", "dual.dcm", "--out", "out"], &prompts[..]].concat()));
    assert!(printed.contains("object 1 is already in ultrasound region 1 of 3"), "{printed}");
}

/// Objects are added, corrected and removed on later frames, by a script or by the options.
#[test]
fn prompts_on_later_frames() {
    let folder = folder("script");
    std::fs::create_dir(folder.join("cine")).expect("the folder can be made");
    for index in 0..5 {
        disc(&folder.join(format!("cine/frame_{index}.png")), 200, 160);
    }
    let script = "at frame 2 box 2 58,38,142,122  # the disc\nat 0.08 s click 1 not 10,10\nat frame 3 click 9 not 5,5\nat 0.12 s remove 1\n";
    std::fs::write(folder.join("prompts.scan"), script).expect("written");
    let arguments = ["run", "cine", "--click", "1:100,80", "--script", "prompts.scan", "--out", "out"];
    let printed = succeed(&sonotrace(&folder, &arguments));
    assert!(printed.contains("prompt 4 for object 9 was refused on frame 3: unknown_object"), "{printed}");
    let lines = std::fs::read_to_string(folder.join("out/overlays.jsonl")).expect("overlays.jsonl is there");
    let of_line = |line: &str| -> (Vec<u64>, usize) {
        let line: Value = serde_json::from_str(line).expect("a line is JSON");
        let objects = line["objects"].as_array().expect("objects");
        let ids = objects.iter().filter_map(|object| object["id"].as_u64()).collect();
        (ids, line["answers"].as_array().map_or(0, Vec::len))
    };
    let seen: Vec<(Vec<u64>, usize)> = lines.lines().map(of_line).collect();
    assert_eq!(seen, [(vec![1], 1), (vec![1, 2], 1), (vec![1, 2], 2), (vec![2], 1), (vec![2], 0)]);
    // The same prompts in the short form, without the removal.
    let short = [
        "--click",
        "1:100,80",
        "--box",
        "2@2:58,38,142,122",
        "--click",
        "3@1:10,10,neg",
        "--click",
        "3@9:5,5,neg",
    ];
    let run = |prompts: &[&str]| sonotrace(&folder, &[&["run", "cine", "--out", "short"], prompts].concat());
    let printed = succeed(&run(&short));
    assert!(printed.contains("for object 9 was refused on frame 3: unknown_object"), "{printed}");
    let lines =
        std::fs::read_to_string(folder.join("short/overlays.jsonl")).expect("overlays.jsonl is there");
    let seen: Vec<(Vec<u64>, usize)> = lines.lines().map(of_line).collect();
    assert_eq!(seen, [(vec![1], 1), (vec![1, 2], 1), (vec![1, 2], 2), (vec![1, 2], 0), (vec![1, 2], 0)]);
    refuse(
        &run(&["--click", "6@100,80"]),
        &["the prompt for object 1 is on frame 6, but the recording has 5"],
    );
    refuse(&run(&["--click", "4@300,80"]), &["refused on frame 4", "(300, 80), is outside the picture"]);
    assert!(text(&run(&["--click", "0@100,80"]).stderr).contains("a frame's number is 1 or more"));
    // Prompts of a script alone, and a line with other words.
    let alone = ["run", "cine", "--script", "prompts.scan", "--out", "out"];
    assert!(succeed(&sonotrace(&folder, &alone)).contains("there is no object 1"));
    std::fs::write(folder.join("prompts.scan"), "at 1 s gain +6 dB").expect("written");
    refuse(&sonotrace(&folder, &alone), &["prompts.scan: line 1", "expected `click OBJECT X,Y`"]);
}

#[test]
fn windows_and_rates_are_options() {
    let folder = folder("options");
    let picture =
        image::ImageBuffer::<image::Luma<u16>, _>::from_fn(64, 64, |x, _| image::Luma([x as u16 * 4]));
    std::fs::create_dir(folder.join("cine")).expect("the folder can be made");
    for name in ["cine/0.05.png", "cine/0.1.png"] {
        picture.save(folder.join(name)).expect("the picture is written");
    }
    std::fs::write(folder.join("cine/other\x1b[31m.bmp"), "?").expect("written");
    let run = |more: &[&str]| {
        sonotrace(&folder, &[&["run", "cine", "--click", "30,30", "--out", "out"], more].concat())
    };
    let notes = text(&run(&[]).stderr);
    assert!(notes.contains("--window 128,256") && notes.contains("assumed 25 per second"), "{notes}");
    assert!(notes.contains("other\\u{1b}[31m.bmp") && !notes.contains('\x1b'), "{notes}");
    let output = run(&["--window", "128,256", "--fps", "50"]);
    assert!(!text(&output.stderr).contains("--window"), "{}", text(&output.stderr));
    let lines = std::fs::read_to_string(folder.join("out/overlays.jsonl")).expect("overlays.jsonl is there");
    assert!(lines.lines().last().is_some_and(|line| line.contains("\"t_acq_ns\":20000000")), "{lines}");
    refuse(&run(&["--window", "128,0"]), &["--window (width) is 0"]);
}

#[test]
fn errors_are_printed_once_without_control_characters() {
    let folder = folder("messages");
    std::fs::write(folder.join("x\x1b[31m.png"), "?").expect("written");
    let output = sonotrace(&folder, &["run", "x\x1b[31m.png", "--click", "1,1"]);
    refuse(&output, &["x\\u{1b}[31m.png"]);
    assert!(!text(&output.stderr).contains('\x1b'));
    let output = sonotrace(&folder, &["run", "nowhere.png", "--click", "1,1"]);
    assert_eq!(text(&output.stderr).matches("No such file").count(), 1, "{}", text(&output.stderr));
    let output = sonotrace(&folder, &["compile", "--program", "encoder=nowhere.onnx", "-o", "out.sono"]);
    assert_eq!(text(&output.stderr).matches("No such file").count(), 1, "{}", text(&output.stderr));
}

/// A folder of one set: bright pictures with a dark disc, a tiny disc, and no disc.
fn set_of_discs(folder: &Path) {
    for name in ["images", "masks"] {
        std::fs::create_dir_all(folder.join("DISCS").join(name)).expect("the folder can be made");
    }
    let draw = |of: &str, name: &str, grey: &dyn Fn(bool) -> u8, radius: i32| {
        let picture = image::GrayImage::from_fn(128, 96, |x, y| {
            let is_inside = (x as i32 - 50).pow(2) + (y as i32 - 48).pow(2) <= radius * radius;
            image::Luma([grey(radius > 0 && is_inside)])
        });
        picture
            .save(folder.join("DISCS").join(of).join(format!("{name}.png")))
            .expect("the picture is written");
    };
    for (name, radius) in [("large", 24), ("small", 1), ("empty", 0)] {
        draw("images", name, &|inside| if inside { 20 } else { 200 }, radius);
        draw("masks", name, &|inside| u8::from(inside) * 3, radius);
    }
    let rows = "set,name,split\nDISCS,large,test\nDISCS,small,test\nDISCS,empty,val\n";
    std::fs::write(folder.join("MANIFEST.csv"), rows).expect("the manifest is written");
}

#[test]
fn eval_clicks_counts_objects_and_reports_dice() {
    let folder = folder("eval");
    set_of_discs(&folder);
    let arguments = ["eval", "clicks", ".", "--split", "test", "--json", "clicks.json"];
    let printed = succeed(&sonotrace(&folder, &arguments));
    for word in ["DISCS", "mean", "box", "1 objects under 40 pixels were left out"] {
        assert!(printed.contains(word), "{word:?} is not in: {printed}");
    }
    let report = json(&folder.join("clicks.json"));
    let set = &report["sets"]["DISCS"];
    assert_eq!((&set["objects"], &report["left_out"]), (&1.into(), &1.into()));
    for clicks in ["1", "2", "3", "5", "10"] {
        let dice = set["dice_by_clicks"][clicks].as_f64().expect("Dice is a number");
        assert!((0.85..=1.0).contains(&dice), "a plain disc after {clicks} clicks: {dice}");
        assert_eq!(set["by_id"]["3"]["dice_by_clicks"][clicks], set["dice_by_clicks"][clicks]);
    }
    assert!(set["dice_box"].as_f64() > Some(0.85), "{}", set["dice_box"]);
}

#[test]
fn eval_names_errors_in_its_data() {
    let folder = folder("eval-bad");
    refuse(&sonotrace(&folder, &["eval", "clicks", "."]), &["MANIFEST.csv"]);
    set_of_discs(&folder);
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--split", "tset"]), &["tset", "test", "val"]);
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--split", "train"]), &["no row", "test, val"]);
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--set", "DICS"]), &["no set DICS", "DISCS"]);
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--split", "val"]), &["no image", "40 pixels"]);
    image::GrayImage::new(64, 48).save(folder.join("DISCS/masks/large.png")).expect("the mask is written");
    let words = ["masks/large.png has 64 x 48 pixels, its image 128 x 96"];
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--split", "test"]), &words);
    std::fs::write(folder.join("DISCS/masks/large.png"), b"no picture").expect("the file is written");
    refuse(&sonotrace(&folder, &["eval", "clicks", ".", "--split", "test"]), &["large.png"]);
    std::fs::write(folder.join("MANIFEST.csv"), "set,split\nDISCS,test\n").expect("the file is written");
    refuse(&sonotrace(&folder, &["eval", "clicks", "."]), &["MANIFEST.csv", "name"]);
}

/// `bench` measures programs and frames, writes report, plot and trace, and compares with an earlier report.
#[test]
fn bench_measures_and_compares() {
    let folder = folder("bench");
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/data/disc.sono");
    let model = model.to_str().expect("a path of text");
    let small = ["bench", model, "--runs", "3", "--frames", "4", "--fps", "40", "--threads", "2"];
    let output = [&small[..], &["--json", "old.json", "--svg", "plot.svg", "--trace", "trace.json"]].concat();
    let table = succeed(&sonotrace(&folder, &output));
    for row in
        ["program encoder", "program decoder", "frame encode", "frame total", "4 frames at 40 a second"]
    {
        assert!(table.contains(row), "{row:?} is not in: {table}");
    }
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("the file was written");
    let report: Value = serde_json::from_str(&read("old.json")).expect("JSON");
    assert_eq!((report["frames"].as_u64(), report["threads"].as_u64()), (Some(4), Some(2)));
    assert!(read("plot.svg").starts_with("<svg"));
    let trace: Value = serde_json::from_str(&read("trace.json")).expect("JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    // Each frame and its six stages.
    assert_eq!(events.len(), 4 * 7);
    assert!(events.iter().all(|event| event["ph"] == "X" && event["dur"].as_f64().is_some()));
    let portable = [&small[..], &["--kernels", "portable", "--compare", "old.json"]].concat();
    let table = succeed(&sonotrace(&folder, &portable));
    assert!(table.contains("kernels portable") && table.contains("verdict: "), "{table}");
}

#[test]
fn bench_refuses_what_it_cannot_do() {
    let folder = folder("bench-refusals");
    std::fs::write(folder.join("old.json"), "{}").expect("written");
    refuse(&sonotrace(&folder, &["bench", "--compare", "old.json"]), &["old.json", "no report"]);
    refuse(&sonotrace(&folder, &["bench", "--fps", "0"]), &["--fps is 0"]);
    let output = sonotrace(&folder, &["bench", "--kernels", "abacus"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("this processor has portable"), "{}", text(&output.stderr));
}
