//! Videos, with scripts in the place of ffmpeg, and with the real one where it is installed.

use super::{folder, medical, refuse, succeed, text};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const WIDTH: usize = 200;
const HEIGHT: usize = 160;

/// Runs the command with only this folder's programs before the system's; without `system`, with no others.
fn run(folder: &Path, has_system: bool, arguments: &[&str]) -> Output {
    let system = if has_system { std::env::var("PATH").unwrap_or_default() } else { String::new() };
    Command::new(env!("CARGO_BIN_EXE_sonotrace"))
        .current_dir(folder)
        .env("PATH", format!("{}:{system}", folder.join("programs").display()))
        .env("TMPDIR", folder.join("temporary"))
        .args([&["run"], arguments, &["--click", "100,80", "--out", "out"]].concat())
        .output()
        .expect("the command starts")
}

/// A folder with a video that only a script can decode, a DICOM file with another, and a frame for the scripts.
fn prepared(name: &str) -> PathBuf {
    let folder = folder(name);
    for inner in ["programs", "temporary"] {
        std::fs::create_dir(folder.join(inner)).expect("the folder can be made");
    }
    std::fs::write(folder.join("a.mp4"), b"\0\0\0\x18ftypisom").expect("written");
    medical(&folder.join("native.dcm"), &[]);
    let native = std::fs::read(folder.join("native.dcm")).expect("it is there");
    std::fs::write(folder.join("frame"), &native[native.len() - WIDTH * HEIGHT..]).expect("written");
    std::fs::write(folder.join("video.dcm"), encapsulated(&native, b"a bitstream!")).expect("written");
    folder
}

/// The file with one H.264 bitstream of three frames in place of its pixels.
fn encapsulated(native: &[u8], stream: &[u8]) -> Vec<u8> {
    let head = &native[..native.len() - WIDTH * HEIGHT - 12];
    let syntax = b"1.2.840.10008.1.2.1\0";
    let at = head.windows(syntax.len()).position(|bytes| bytes == syntax).expect("the syntax is there");
    let video = b"1.2.840.10008.1.2.4.102\0";
    let length = (video.len() as u16).to_le_bytes();
    let frames = b"\x28\0\x08\0IS\x02\x003 ";
    let rows = head.windows(4).position(|bytes| bytes == b"\x28\0\x10\0").expect("the rows are there");
    let fragment =
        |bytes: &[u8]| [b"\xfe\xff\0\xe0", &(bytes.len() as u32).to_le_bytes()[..], bytes].concat();
    [
        &head[..at - 2],
        &length,
        video,
        &head[at + syntax.len()..rows],
        frames,
        &head[rows..],
        b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff",
        &fragment(b""),
        &fragment(&stream[..stream.len() / 2 * 2]),
        b"\xfe\xff\xdd\xe0\0\0\0\0",
    ]
    .concat()
}

/// Writes a script in the place of ffmpeg. It is run in the folder.
fn ffmpeg(folder: &Path, script: &str) {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("programs/ffmpeg");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("made executable");
}

const HEADER: &str = "printf 'YUV4MPEG2 W200 H160 F20:1 Ip A1:1 Cmono XCOLORRANGE=FULL\\n'";
const FRAME: &str = "printf 'FRAME\\n'; cat frame";

#[test]
fn videos_are_decoded_by_ffmpeg() {
    let folder = prepared("video");
    ffmpeg(&folder, &format!("echo \"$@\" >arguments; {HEADER}; {FRAME}; {FRAME}; {FRAME}"));
    let output = run(&folder, true, &["a.mp4"]);
    assert!(succeed(&output).contains("wrote 3 pictures"));
    assert!(text(&output.stderr).contains("20 frames per second"), "{}", text(&output.stderr));
    let arguments = std::fs::read_to_string(folder.join("arguments")).expect("the script ran");
    assert!(
        arguments.contains("-protocol_whitelist file ") && arguments.contains("-i file:a.mp4"),
        "{arguments}"
    );
    // The bitstream of a DICOM file, which only the user can read, is passed as a file and removed.
    let keep = "for last; do case \"$last\" in file:*) cp -p \"${last#file:}\" stream;; esac; done";
    ffmpeg(&folder, &format!("{keep}; {HEADER}; {FRAME}; {FRAME}; {FRAME}"));
    assert!(succeed(&run(&folder, true, &["video.dcm"])).contains("wrote 3 pictures"));
    assert_eq!(std::fs::read(folder.join("stream")).expect("the script kept it"), b"a bitstream!");
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(folder.join("stream")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(folder.join("temporary")).expect("the folder is there").count(), 0);
    // More frames than are declared are read, with a note; fewer are missing.
    ffmpeg(&folder, &format!("{HEADER}; {FRAME}; {FRAME}; {FRAME}; {FRAME}"));
    let output = run(&folder, true, &["video.dcm"]);
    assert!(text(&output.stderr).contains("number of frames is 3, but the pixel data has 4"));
    ffmpeg(&folder, &format!("{HEADER}; {FRAME}"));
    refuse(
        &run(&folder, true, &["video.dcm"]),
        &["video.dcm, frame 2: missing: 3 frames are declared, 1 are present"],
    );
    ffmpeg(&folder, "printf 'YUV4MPEG2 W100 H80 F20:1 Cmono\\nFRAME\\n'; head -c 8000 frame; sleep 1");
    refuse(&run(&folder, true, &["video.dcm"]), &["the video is 100x80, the file declares 200x160"]);
}

#[test]
fn what_ffmpeg_says_and_lacks_is_reported() {
    let folder = prepared("video-faults");
    for (script, words) in [
        (format!("{HEADER}; printf 'FRAME\\nabc'"), "ffmpeg delivered 3 bytes, a frame has 32000"),
        (format!("{HEADER}; {FRAME}; echo more"), "frame 2: ffmpeg delivered other bytes"),
        (
            "echo 'no \\033[31mmoov atom' >&2; exit 1".to_owned(),
            "ffmpeg cannot decode the video: no \\u{1b}[31mmoov atom",
        ),
        ("exit 3".to_owned(), "ffmpeg failed (exit status: 3)"),
    ] {
        ffmpeg(&folder, &script);
        for input in ["a.mp4", "video.dcm"] {
            let output = run(&folder, true, &[input]);
            refuse(&output, &[input, words]);
            assert!(!text(&output.stderr).contains('\x1b'), "{}", text(&output.stderr));
        }
    }
    std::fs::remove_file(folder.join("programs/ffmpeg")).expect("it can be removed");
    for input in ["a.mp4", "video.dcm"] {
        refuse(
            &run(&folder, false, &[input]),
            &["ffmpeg, which is not installed; install it, for example with `apt-get install ffmpeg`"],
        );
    }
}

/// Damaged and whole videos of every kind, where ffmpeg is installed.
#[test]
fn the_installed_ffmpeg_gives_the_grey_levels() {
    let folder = prepared("video-real");
    let make = |arguments: &[&str]| {
        let all = [&["-nostdin", "-loglevel", "error", "-y"], arguments].concat();
        Command::new("ffmpeg").current_dir(&folder).args(all).status().is_ok_and(|status| status.success())
    };
    let source =
        ["-f", "lavfi", "-i", "color=gray:size=200x160:rate=20:duration=0.15", "-pix_fmt", "yuv420p"];
    if !make(&[&source[..], &["-c:v", "mpeg4", "-q:v", "1", "whole.mp4"]].concat()) {
        println!("skipped: there is no ffmpeg, or it cannot encode");
        return;
    }
    for name in ["b.avi", "b.mov", "b.mkv", "b.m2v", "b.h264"] {
        if !make(&[&source[..], &[name]].concat()) {
            println!("{name}: no encoder");
            continue;
        }
        if name == "b.h264" {
            let native = std::fs::read(folder.join("native.dcm")).expect("it is there");
            let mut stream = std::fs::read(folder.join(name)).expect("it was written");
            stream.push(0);
            std::fs::write(folder.join("real.dcm"), encapsulated(&native, &stream)).expect("written");
        }
        let input = if name == "b.h264" { "real.dcm" } else { name };
        // An object need not be found in a grey picture.
        let output = run(&folder, true, &[input]);
        let message = text(&output.stderr);
        assert!(!message.contains("ffmpeg"), "{input}: {message}");
        let picture = image::open(
            folder.join(format!("out/{}-0003.overlay.png", input.rsplit_once('.').expect("a name").0)),
        );
        let picture = picture.expect("three pictures are written").into_luma8();
        // Of the full range: the colour `gray` is 128.
        assert!(
            picture.get_pixel(20, 140).0[0].abs_diff(128) <= 2,
            "{input}: {:?}",
            picture.get_pixel(20, 140)
        );
    }
    let whole = std::fs::read(folder.join("whole.mp4")).expect("it was written");
    std::fs::write(folder.join("half.mp4"), &whole[..whole.len() / 2]).expect("written");
    refuse(&run(&folder, true, &["half.mp4"]), &["half.mp4", "ffmpeg cannot decode the video"]);
}
