//! `sonotrace eval cine` from outside: its tables and files, and its errors for bad data.

use super::{folder, json, refuse, sonotrace, succeed, text};
use image::{GrayImage, ImageBuffer, Luma, RgbImage};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// Runs `eval cine` in a folder.
fn cine(folder: &Path, arguments: &[&str]) -> Output {
    sonotrace(folder, &[&["eval", "cine"], arguments].concat())
}

/// Asserts that the loops in `data` are refused with these words.
fn refuse_data(folder: &Path, words: &[&str]) {
    refuse(&cine(folder, &["data"]), words);
}

/// A disc: id, middle and radius.
type Disc = (u8, [i32; 2], i32);

/// Writes a frame: dark discs on grey, and their ids.
fn frame(of: &Path, name: &str, size: [u32; 2], discs: &[Disc]) {
    let disc_at = |x: u32, y: u32| {
        let is_inside = |([at_x, at_y], radius): ([i32; 2], i32)| {
            (x as i32 - at_x).pow(2) + (y as i32 - at_y).pow(2) <= radius * radius
        };
        discs.iter().find(|&&(_, at, radius)| is_inside((at, radius)))
    };
    for part in ["images", "masks"] {
        std::fs::create_dir_all(of.join(part)).expect("the folder can be made");
    }
    let grey = |x: u32, y: u32| match disc_at(x, y) {
        Some(_) => Luma([20 + ((x * 7 + y * 13) % 10) as u8]),
        None => Luma([120 + ((x * 31 + y * 17 + x * y) % 60) as u8]),
    };
    let ids = |x: u32, y: u32| Luma([disc_at(x, y).map_or(0, |&(id, ..)| id)]);
    let write = |part: &str, picture: GrayImage| {
        picture.save(of.join(part).join(format!("{name}.png"))).expect("the picture is written");
    };
    write("images", GrayImage::from_fn(size[0], size[1], grey));
    write("masks", GrayImage::from_fn(size[0], size[1], ids));
}

const SIZE: [u32; 2] = [128, 96];

/// A loop of three frames with two discs that move apart; the second one leaves on the last frame.
fn discs(of: &Path, numbers: [&str; 3]) {
    for (at, number) in (0..).zip(numbers) {
        let mut discs = vec![(3, [40 - at, 48], 18), (5, [90 + at, 40 + at], 14)];
        discs.truncate(if at == 2 { 1 } else { 2 });
        frame(of, number, SIZE, &discs);
    }
}

#[test]
fn interventions_are_reported_by_object() {
    let folder = folder("cine-table");
    // By number, 10 comes after 9; the number 8 is missing.
    discs(&folder.join("data/a"), ["7", "9", "10"]);
    discs(&folder.join("data/b"), ["t_001", "t_002", "t_003"]);
    // An object that is too small on the first frame, and one that comes later.
    frame(&folder.join("data/b"), "t_001", SIZE, &[(3, [40, 48], 18), (5, [90, 40], 14), (8, [10, 10], 1)]);
    frame(&folder.join("data/b"), "t_003", SIZE, &[(3, [38, 48], 18), (9, [90, 40], 14)]);
    std::fs::write(folder.join("data/README.txt"), "notes").expect("the file is written");
    std::fs::write(folder.join("data/a/images/Thumbs.db"), "no picture").expect("the file is written");
    let printed = succeed(&cine(&folder, &["data", "--json", "cine.json", "--out", "plots"]));
    for words in [
        "interventions",
        "drop before",
        "over 2 loops",
        "b: not followed",
        ": 8, 9",
        "2 files were passed over",
    ] {
        assert!(printed.contains(words), "{words:?} is not in: {printed}");
    }
    let report = json(&folder.join("cine.json"));
    assert_eq!((&report["loops"], &report["objects"]["3"]["loops"]), (&2.into(), &2.into()));
    let ids: Vec<&String> = report["objects"].as_object().expect("objects").keys().collect();
    assert_eq!(ids, ["3", "5"]);
    for object in report["objects"].as_object().expect("objects").values() {
        let keys = [
            "interventions_per_loop",
            "drop_before",
            "clicks_per_loop",
            "clicks_per_intervention",
            "first_clicks_per_loop",
        ];
        assert!(keys.iter().all(|key| object[key].is_number()), "{object}");
        let dice = object["dice_mean"].as_f64().expect("Dice is a number");
        assert!((0.5..=1.0).contains(&dice), "{dice}");
    }
    assert_eq!(report["left_out"], serde_json::json!({"b": [8, 9]}));
    assert!(report.get("frames").is_none() && report.get("hard").is_none(), "{report}");
    assert_eq!(report["by_loop"].as_array().map(Vec::len), Some(4));
    for name in ["cine.svg", "loops.svg"] {
        assert!(
            std::fs::read_to_string(folder.join("plots").join(name))
                .expect("it is there")
                .starts_with("<svg")
        );
    }
    assert!(!folder.join("plots/hard.svg").exists());
    // The same again, bit for bit.
    succeed(&cine(&folder, &["data", "--json", "again.json"]));
    assert_eq!(report, json(&folder.join("again.json")));
}

#[test]
fn uncorrected_loops_have_frames_and_kinds() {
    let folder = folder("cine-uncorrected");
    discs(&folder.join("data/slide/a"), ["07", "09", "10"]);
    discs(&folder.join("data/b"), ["0", "1", "2"]);
    let printed = succeed(&cine(
        &folder,
        &["data", "--uncorrected", "--checks", "1", "--json", "cine.json", "--out", "plots"],
    ));
    for words in ["uncorrected", "slide", "ordinary", "share flagged"] {
        assert!(printed.contains(words), "{words:?} is not in: {printed}");
    }
    let report = json(&folder.join("cine.json"));
    assert_eq!((&report["loops"], &report["checks"]), (&2.into(), &1.into()));
    assert_eq!(report["objects"]["5"]["interventions_per_loop"], 0.0);
    assert_eq!(report["hard"]["kinds"]["slide"]["objects"], 2);
    assert_eq!(report["hard"]["all"]["objects"], 4);
    let frames = report["frames"].as_array().expect("frames");
    let of = |name: &str, object: u64| {
        let is = move |frame: &&Value| frame["loop"] == name && frame["object"] == object;
        frames
            .iter()
            .filter(is)
            .map(|frame| (frame["frame"].as_u64(), frame["dice"].is_null()))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("slide/a", 3), [(Some(9), false), (Some(10), false)]);
    assert_eq!(of("slide/a", 5), [(Some(9), false), (Some(10), true)]);
    assert_eq!(of("b", 5), [(Some(1), false), (Some(2), true)]);
    assert_eq!(frames.len(), 8);
    for frame in frames {
        let confidence = frame["confidence"].as_f64().expect("a number");
        let state = frame["state"].as_str().expect("a word");
        assert!((0.0..=1.0).contains(&confidence), "{frame}");
        assert!(["tracked", "attention", "absent"].contains(&state), "{frame}");
    }
    assert!(folder.join("plots/hard.svg").exists());
    // With corrections, loops of a kind are followed without them.
    succeed(&cine(&folder, &["data", "--json", "both.json"]));
    let both = json(&folder.join("both.json"));
    assert_eq!(
        (&both["loops"], &both["hard"]["loops"], &both["objects"]["3"]["loops"]),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(both["hard"]["kinds"]["slide"], report_of_ten_checks(&folder));
}

/// The slide of `uncorrected_loops_have_frames_and_kinds` with ten checks a frame.
fn report_of_ten_checks(folder: &Path) -> Value {
    succeed(&cine(folder, &["data", "--uncorrected", "--json", "ten.json"]));
    json(&folder.join("ten.json"))["hard"]["kinds"]["slide"].take()
}

#[test]
fn wrong_folders_are_named() {
    let folder = folder("cine-folders");
    refuse_data(&folder, &["cannot read data"]);
    std::fs::create_dir_all(folder.join("data/empty")).expect("the folder can be made");
    refuse_data(&folder, &["data/empty has no folder images", "kind"]);
    std::fs::remove_dir(folder.join("data/empty")).expect("it can be removed");
    refuse_data(&folder, &["data has no loops", "images/NN.png"]);
    let of = folder.join("data/slide/a");
    std::fs::create_dir_all(of.join("images")).expect("the folder can be made");
    refuse_data(&folder, &["data/slide/a/masks does not exist"]);
    std::fs::create_dir_all(of.join("masks")).expect("the folder can be made");
    refuse_data(&folder, &["data/slide/a/images has no pictures"]);
    std::fs::create_dir_all(folder.join("data/slide/b")).expect("the folder can be made");
    refuse_data(&folder, &["data/slide/a/images has no pictures"]);
    discs(&of, ["0", "1", "2"]);
    refuse_data(&folder, &["data/slide/b has no folder images"]);
    let output = cine(&folder, &["data/slide/a"]);
    assert!(text(&output.stderr).contains("is a loop itself"), "{}", text(&output.stderr));
    let output = cine(&folder, &["data", "--checks", "11"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn wrong_frames_are_named() {
    let folder = folder("cine-frames");
    let of = folder.join("data/a");
    let again = || {
        let _ = std::fs::remove_dir_all(&of);
        discs(&of, ["00", "01", "02"]);
    };
    let mask = of.join("masks/01.png");
    let written = |result: image::ImageResult<()>| result.expect("the picture is written");

    again();
    std::fs::remove_file(&mask).expect("it is there");
    refuse_data(&folder, &["masks/01.png does not exist"]);
    std::fs::write(of.join("masks/01.jpg"), "").expect("the file is written");
    refuse_data(&folder, &["masks/01.png does not exist", "there is 01.jpg"]);
    again();
    std::fs::remove_file(of.join("images/01.png")).expect("it is there");
    refuse_data(&folder, &["masks/01.png has no image"]);
    again();
    frame(&of, "1", SIZE, &[(3, [40, 48], 18)]);
    refuse_data(&folder, &["01.png", "1.png", "same number"]);
    again();
    std::fs::copy(of.join("images/01.png"), of.join("images/01.JPG")).expect("it is copied");
    refuse_data(&folder, &["01.JPG", "are the same frame"]);
    again();
    frame(&of, "first", SIZE, &[(3, [40, 48], 18)]);
    refuse_data(&folder, &["first.png has no number"]);
    again();
    frame(&of, "1234567890123456789012", SIZE, &[(3, [40, 48], 18)]);
    refuse_data(&folder, &["more than 18 digits"]);
    again();
    for name in ["01", "02"] {
        for part in ["images", "masks"] {
            std::fs::remove_file(of.join(part).join(format!("{name}.png"))).expect("it is there");
        }
    }
    refuse_data(&folder, &["images has one frame", "two"]);
    again();
    frame(&of, "02", [64, 96], &[(3, [40, 48], 18)]);
    refuse_data(&folder, &["images/02.png has 64 x 96 pixels", "first frame 128 x 96"]);
    again();
    written(GrayImage::new(64, 48).save(&mask));
    refuse_data(&folder, &["masks/01.png has 64 x 48 pixels, its image 128 x 96"]);
    written(ImageBuffer::<Luma<u16>, _>::new(SIZE[0], SIZE[1]).save(&mask));
    refuse_data(&folder, &["masks/01.png has 16 bits"]);
    written(RgbImage::new(SIZE[0], SIZE[1]).save(&mask));
    refuse_data(&folder, &["masks/01.png has 8 bits of colour type 2"]);
    std::fs::write(&mask, b"no picture").expect("the file is written");
    refuse_data(&folder, &["masks/01.png is not a PNG"]);
    again();
    std::fs::write(of.join("images/02.png"), b"no picture").expect("the file is written");
    refuse_data(&folder, &["images/02.png"]);
    again();
    frame(&of, "00", SIZE, &[(3, [40, 48], 1)]);
    refuse_data(&folder, &["masks/00.png has no object of at least 40 pixels"]);
    let many: Vec<Disc> = (0..11).map(|at| (at as u8 + 1, [12 + at % 4 * 30, 12 + at / 4 * 30], 8)).collect();
    frame(&of, "00", SIZE, &many);
    refuse_data(&folder, &["masks/00.png has 11 objects, at most 10"]);
}
