//! ffmpeg as a child process that writes grey frames to a pipe.
//!
//! It may open nothing but the given file. Its time, its output and its messages are bounded; what it delivers is held to
//! the header.

use super::pipe::Pipe;
use super::yuv4mpeg::{Header, frames};
use crate::error::{Place, ReplayError, Source, shown_text};
use std::io::{BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

/// What to do without ffmpeg.
const INSTALL: &str = "install it, for example with `apt-get install ffmpeg`";
/// What to do if ffmpeg cannot decode a video.
const CONVERT: &str = "if it is not damaged, convert it to pictures and give their folder";
/// Bytes of messages that are kept.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// Characters of a message in an error.
const MESSAGE_CHARS_MAX: usize = 200;

/// How long ffmpeg may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until its next output.
    stall: Duration,
    /// In all.
    total: Duration,
}

const PATIENCE: Patience = Patience { stall: Duration::from_secs(60), total: Duration::from_secs(600) };

/// Names of the option that says how frames become those of the output: since version 5.1, and before. Neither version knows
/// the other's name.
const FRAME_MODES: [&str; 2] = ["-fps_mode", "-vsync"];

/// The program and its arguments, with the name of the option for the frames.
fn command(input: &Path, frame_mode: &str) -> (PathBuf, Vec<std::ffi::OsString>) {
    // A name with a protocol, so that no other is read from it.
    let mut file = std::ffi::OsString::from("file:");
    file.push(input);
    let before = [
        "-nostdin",
        "-hide_banner",
        "-loglevel",
        "error",
        // Concealed damage must not be measured.
        "-xerror",
        "-err_detect",
        "explode",
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        "h264,hevc,mpegvideo,mpeg,mpegts,mov,m4v,avi,matroska",
        "-i",
    ];
    let after =
        ["-map", "0:v:0", "-f", "yuv4mpegpipe", "-pix_fmt", "gray", frame_mode, "passthrough", "pipe:1"];
    let words = |words: &[&str]| words.iter().map(std::ffi::OsString::from).collect::<Vec<_>>();
    ("ffmpeg".into(), [words(&before), vec![file], words(&after)].concat())
}

/// A child process, which ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Decodes a video and calls `each` with each frame. Returns a note on what ffmpeg reported.
pub(super) fn decode(
    source: Source<'_>,
    input: &Path,
    each: impl FnMut(Header, Vec<u8>) -> Result<(), ReplayError>,
) -> Result<Option<String>, ReplayError> {
    decode_by(source, |frame_mode| command(input, frame_mode), PATIENCE, each)
}

/// The same with any command.
fn decode_by(
    source: Source<'_>,
    command: impl Fn(&str) -> (PathBuf, Vec<std::ffi::OsString>),
    patience: Patience,
    mut each: impl FnMut(Header, Vec<u8>) -> Result<(), ReplayError>,
) -> Result<Option<String>, ReplayError> {
    let [new, old] = FRAME_MODES;
    match run(source, &command(new), patience, &mut each) {
        // ffmpeg reads its options first, so that no frame was delivered.
        Err(error) if error.to_string().contains("Unrecognized option 'fps_mode'") => {
            run(source, &command(old), patience, &mut each)
        }
        done => done,
    }
}

/// Runs ffmpeg once.
fn run(
    source: Source<'_>,
    (program, arguments): &(PathBuf, Vec<std::ffi::OsString>),
    patience: Patience,
    mut each: impl FnMut(Header, Vec<u8>) -> Result<(), ReplayError>,
) -> Result<Option<String>, ReplayError> {
    let end = Instant::now() + patience.total;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            source.unsupported(Place::Whole, "videos are decoded by ffmpeg, which is not installed", INSTALL)
        }
        _ => source.unsupported(Place::Whole, format!("ffmpeg cannot be started: {error}"), INSTALL),
    })?);
    let (Some(output), Some(errors)) = (running.0.stdout.take(), running.0.stderr.take()) else {
        return Err(source.io(ErrorKind::BrokenPipe.into()));
    };
    let mut pipe = BufReader::new(Pipe::new(output, patience.stall, end));
    let messages = message(errors);
    let words = || {
        // The pipe is closed when the process ends; if a process of its own keeps it open, there are no messages.
        let text = messages.recv_timeout(Duration::from_secs(1)).unwrap_or_default();
        text.trim().to_owned()
    };
    let late = |error: std::io::Error| match error.kind() {
        ErrorKind::TimedOut => {
            let (stall, total) = (patience.stall.as_secs_f32(), patience.total.as_secs_f32());
            let what = format!("ffmpeg delivered nothing for {stall} s, or took more than {total} s");
            source.unsupported(Place::Whole, what, "cut the video into shorter ones")
        }
        _ => source.io(error),
    };
    let mut read = 0u64;
    let ended = frames(source, &mut pipe, late, |header, grey| {
        read += 1;
        each(header, grey)
    });
    let (ended, is_wrong) = match ended {
        Ok(()) => (Ok(()), false),
        // Only a fault of the output can be a consequence of a failure.
        Err(error @ ReplayError::Malformed { .. }) => (Err(error), true),
        Err(error) => return Err(error),
    };
    let status =
        wait(&mut running.0, if is_wrong { Duration::from_secs(1) } else { patience.stall }).map_err(&late);
    match (status, ended) {
        (Ok(status), _) if !status.success() => {
            let what = match words() {
                words if words.is_empty() => format!("ffmpeg failed ({status})"),
                words => format!("ffmpeg cannot decode the video: {words}"),
            };
            Err(source.unsupported(Place::Frame(read + 1), what, CONVERT))
        }
        (_, Err(error)) => Err(error),
        (Err(error), _) => Err(error),
        (Ok(_), Ok(())) if read == 0 => {
            Err(source.malformed(Place::Whole, "ffmpeg found no frame in the video"))
        }
        (Ok(_), Ok(())) => {
            let words = words();
            Ok((!words.is_empty()).then(|| format!("ffmpeg reported: {words}")))
        }
    }
}

/// The exit status, within this time.
fn wait(child: &mut Child, patience: Duration) -> std::io::Result<std::process::ExitStatus> {
    let end = Instant::now() + patience;
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(status),
            None if Instant::now() >= end => return Err(ErrorKind::TimedOut.into()),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

/// The first line that ffmpeg writes to its error output, fit for a terminal. All of the output is read, so that ffmpeg never
/// waits.
fn message(mut errors: impl Read + Send + 'static) -> Receiver<String> {
    let (send, messages) = sync_channel(1);
    std::thread::spawn(move || {
        let mut text = Vec::new();
        // What was read before a failure counts.
        let _ = errors.by_ref().take(MESSAGE_BYTES_MAX).read_to_end(&mut text);
        let _ = std::io::copy(&mut errors, &mut std::io::sink());
        let text = String::from_utf8_lossy(&text).into_owned();
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        // The receiver may have left.
        let _ = send.send(shown_text(first).chars().take(MESSAGE_CHARS_MAX).collect());
    });
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script as if it were ffmpeg; its first argument is the option for the frames. Returns the frames, or the
    /// error.
    fn run(script: &str) -> Result<Vec<Vec<u8>>, String> {
        let program = |mode: &str| ("sh".into(), ["-c", script, "sh", mode].map(Into::into).to_vec());
        let patience = Patience { stall: Duration::from_millis(500), total: Duration::from_secs(2) };
        let mut frames = Vec::new();
        let seen = decode_by(Source(Path::new("a.mp4")), program, patience, |header, grey| {
            assert_eq!((header.width, header.height, header.rate_hz), (4, 2, 12.5));
            frames.push(grey);
            Ok(())
        });
        seen.map(|_| frames).map_err(|error| error.to_string())
    }

    const HEADER: &str = r"printf 'YUV4MPEG2 W4 H2 F25:2 Ip A1:1 Cmono\n'; ";

    #[test]
    fn frames_are_held_to_the_header() {
        let two = format!(r"{HEADER} printf 'FRAME\nabcdefghFRAME Ip\n\nbcdefgh'");
        assert_eq!(run(&two).unwrap(), [b"abcdefgh", b"\nbcdefgh"]);
        for (script, words) in [
            (r"printf 'FRAME\nabcde'", "a.mp4, frame 1: ffmpeg delivered 5 bytes, a frame has 8"),
            (r"printf 'FRAME\nabcdefghijk'", "a.mp4, frame 2: ffmpeg delivered other bytes"),
            (r"printf 'FRAME\nabcdefghijk\n'", "a.mp4, frame 2: ffmpeg delivered other bytes"),
            ("true", "found no frame"),
            (
                r"printf 'FRAME\nabcdefgh'; echo 'no \033[31mmoov' >&2; exit 1",
                "a.mp4, frame 2: ffmpeg cannot decode the video: no ",
            ),
            ("exit 7", "ffmpeg failed (exit status: 7)"),
            (r"printf 'FRAME\nabc'; kill $$", "ffmpeg failed (signal: 15"),
        ] {
            let text = run(&format!("{HEADER} {script}")).unwrap_err();
            assert!(text.contains(words) && !text.contains('\x1b'), "{script}: {text}");
        }
        for script in ["true", "printf abc", r"printf 'YUV4MPEG2 W4 H2 F25:2 C420jpeg\n'", "cat /dev/zero"] {
            assert!(run(script).unwrap_err().contains("ffmpeg delivered"), "{script}");
        }
        let large = r"printf 'YUV4MPEG2 W99999 H2 F25:2 Cmono\n'; cat /dev/zero";
        assert!(run(large).unwrap_err().contains("pixels in width: 99999"));
    }

    #[test]
    fn old_and_new_versions_get_the_option_that_they_know() {
        let frame = format!(r"{HEADER} printf 'FRAME\nabcdefgh'");
        for (known, other) in [("-fps_mode", "vsync"), ("-vsync", "fps_mode")] {
            let wrong = format!("echo \"Unrecognized option '{other}'.\" >&2; exit 1");
            let script = format!(r"if [ $1 = {known} ]; then {frame}; else {wrong}; fi");
            assert_eq!(run(&script).unwrap(), [b"abcdefgh"], "{known}");
        }
    }

    /// Also if a process of its own keeps the pipe open.
    #[test]
    fn a_process_that_hangs_is_ended() {
        let started = Instant::now();
        for script in ["exec sleep 30", "sleep 30; true", "exec >&- 2>&-; sleep 30"] {
            let text = run(&format!("{HEADER} {script}")).unwrap_err();
            assert!(text.contains("ffmpeg delivered nothing for 0.5 s"), "{script}: {text}");
        }
        // Output without end, but slowly.
        let text = run(&format!(r"{HEADER} while sleep 0.2; do printf 'FRAME\nabcdefgh'; done")).unwrap_err();
        assert!(text.contains("took more than 2 s"), "{text}");
        assert!(started.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_missing_program_is_named_with_the_remedy() {
        let program = |_: &str| ("no-such-program".into(), Vec::new());
        let seen = decode_by(Source(Path::new("a.mp4")), program, PATIENCE, |_, _| Ok(()));
        let text = seen.unwrap_err().to_string();
        assert!(text.contains("ffmpeg, which is not installed; install it, for example with"), "{text}");
    }
}
