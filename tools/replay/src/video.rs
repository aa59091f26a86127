//! Videos, decoded by the user's ffmpeg: MP4, MOV, AVI and Matroska files, and the bitstreams of DICOM files.
//!
//! ffmpeg is a child process that writes grey frames to a pipe, as YUV4MPEG2: a header with the size, then each frame. It may
//! open nothing but the given file. Its time, its output and its messages are bounded; what it delivers is held to the header.

use crate::error::{Place, ReplayError, Source, shown_text};
use crate::levels::Levels;
use crate::options::Options;
use crate::recording::{Recorder, Recording, check_picture_size, note_on_scale, picture_descriptor};
use std::io::{BufRead, BufReader, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// What to do without ffmpeg.
const INSTALL: &str = "install it, for example with `apt-get install ffmpeg`";
/// What to do if ffmpeg cannot decode a video.
const CONVERT: &str = "if it is not damaged, convert it to pictures and give their folder";
/// Bytes of messages that are kept.
const MESSAGE_BYTES_MAX: u64 = 4096;
/// Characters of a message in an error.
const MESSAGE_CHARS_MAX: usize = 200;
/// Longest line of a header; ffmpeg writes some 60 bytes.
const LINE_BYTES_MAX: u64 = 256;
/// Bytes that are read from the pipe at a time. Few such pieces wait.
const PIECE_BYTES: usize = 1 << 16;

/// How long ffmpeg may take.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// Until its next output.
    stall: Duration,
    /// In all.
    total: Duration,
}

const PATIENCE: Patience = Patience { stall: Duration::from_secs(60), total: Duration::from_secs(600) };

/// What the header states.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Header {
    width: u32,
    height: u32,
    /// Frames per second; 0 if unknown.
    rate_hz: f64,
}

/// Whether these first bytes are those of a video.
pub(crate) fn is_video(head: &[u8]) -> bool {
    let has = |at: usize, words: &[&[u8]]| {
        words.iter().any(|word| head.get(at..).is_some_and(|rest| rest.starts_with(word)))
    };
    has(4, &[b"ftyp", b"moov", b"mdat", b"wide"])
        || (has(0, &[b"RIFF"]) && has(8, &[b"AVI "]))
        || has(0, &[&[0x1a, 0x45, 0xdf, 0xa3], &[0, 0, 1, 0xba], &[0, 0, 1, 0xb3]])
}

/// Reads a video file of this length.
///
/// # Errors
/// A system without ffmpeg; a video that it cannot decode, with its message; frames beyond the limits.
pub(crate) fn read(file: &Path, bytes: u64, options: &Options) -> Result<Recording, ReplayError> {
    let source = Source(file);
    let mut recorder = Recorder::of_file(source, options, bytes);
    let mut levels = Levels::of_picture(8, options);
    let mut rate_hz = 0.0;
    let messages = decode(source, &command(file), PATIENCE, |header, grey| {
        let place = Place::Frame(recorder.len() + 1);
        let mut descriptor = picture_descriptor(header.width, header.height, options);
        rate_hz = if header.rate_hz > 0.0 { header.rate_hz } else { options.rate_hz().into() };
        descriptor.t_acq_ns = (recorder.len() as f64 * 1e9 / rate_hz).round() as u64;
        descriptor.frame_rate_hz = rate_hz as f32;
        let grey = levels.map(grey.into_iter().map(u16::from));
        recorder.push(descriptor, grey, place)
    })?;
    recorder.notes(messages);
    if recorder.len() > 1 && options.frame_rate_hz.is_none() {
        recorder
            .note(format!("{rate_hz} frames per second, evenly spaced, from the video; --fps changes it"));
    }
    recorder.notes(levels.note());
    note_on_scale(&mut recorder, options, "a video");
    recorder.finish()
}

/// Decodes the bitstream of another file, whose frames must have this size. Returns their grey levels, and notes.
///
/// # Errors
/// As for [`read`]; frames of another size; a file that cannot be written for ffmpeg.
pub(crate) fn decode_stream(
    source: Source<'_>,
    parts: &[&[u8]],
    size: (u32, u32),
    options: &Options,
    recorder: &Recorder<'_>,
) -> Result<(Vec<Vec<u8>>, Option<String>), ReplayError> {
    let stream = Stream::write(parts).map_err(|error| source.io(error))?;
    let (mut frames, mut bytes) = (Vec::new(), 0u64);
    let messages = decode(source, &command(&stream.0), PATIENCE, |header, grey| {
        let place = Place::Frame(frames.len() as u64 + 1);
        if (header.width, header.height) != size {
            let seen = format!("the video is {}x{}", header.width, header.height);
            return Err(source.malformed(place, format!("{seen}, the file declares {}x{}", size.0, size.1)));
        }
        bytes += grey.len() as u64;
        recorder.make_room(place, bytes)?;
        frames.push(crate::levels::windowed(grey, options));
        Ok(())
    })?;
    Ok((frames, messages))
}

/// A bitstream in a file of its own, which only this user can read, and which is removed at the end.
struct Stream(PathBuf);

impl Stream {
    fn write(parts: &[&[u8]]) -> std::io::Result<Self> {
        use std::io::Write;
        use std::sync::atomic::{AtomicU32, Ordering};
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("sonotrace-{}-{number}.video", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = std::fs::OpenOptions::new();
        // Never follows a link that somebody else placed there.
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&path)?;
        let stream = Self(path);
        parts.iter().try_for_each(|part| file.write_all(part))?;
        Ok(stream)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nothing can be done about a file that cannot be removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The program and its arguments.
fn command(input: &Path) -> (PathBuf, Vec<std::ffi::OsString>) {
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
        ["-map", "0:v:0", "-f", "yuv4mpegpipe", "-pix_fmt", "gray", "-fps_mode", "passthrough", "pipe:1"];
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

/// Runs ffmpeg and calls `each` with each frame. Returns a note on what it reported.
fn decode(
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

/// Reads header and frames.
fn frames(
    source: Source<'_>,
    pipe: &mut impl BufRead,
    late: impl Fn(std::io::Error) -> ReplayError,
    mut each: impl FnMut(Header, Vec<u8>) -> Result<(), ReplayError>,
) -> Result<(), ReplayError> {
    let Some(first) = line(pipe).map_err(&late)? else {
        return Err(source.malformed(Place::Whole, "ffmpeg delivered nothing"));
    };
    let header = header(&first).ok_or_else(|| {
        source.malformed(Place::Whole, "ffmpeg delivered something else than grey frames (YUV4MPEG2)")
    })?;
    check_picture_size(source, Place::Whole, header.width.into(), header.height.into())?;
    let needed = u64::from(header.width) * u64::from(header.height);
    for number in 1.. {
        let place = Place::Frame(number);
        match line(pipe).map_err(&late)? {
            None => break,
            Some(line) if line.starts_with(b"FRAME") => {}
            Some(_) => {
                let problem = "ffmpeg delivered other bytes than the frames of its header";
                return Err(source.malformed(place, problem));
            }
        }
        let mut grey = Vec::with_capacity(needed as usize);
        pipe.by_ref().take(needed).read_to_end(&mut grey).map_err(&late)?;
        if grey.len() as u64 != needed {
            let problem = format!("ffmpeg delivered {} bytes, a frame has {needed}", grey.len());
            return Err(source.malformed(place, problem));
        }
        each(header, grey)?;
    }
    Ok(())
}

/// A line without its end; `None` at the end of the output.
fn line(pipe: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    pipe.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(match line.pop() {
        None => None,
        Some(b'\n') => Some(line),
        // A line that is cut off, or too long: no line of the format.
        Some(_) => Some(Vec::new()),
    })
}

/// Parses the header; `None` if it does not announce grey frames.
fn header(line: &[u8]) -> Option<Header> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    (words.next() == Some("YUV4MPEG2")).then_some(())?;
    let mut found = Header { width: 0, height: 0, rate_hz: 0.0 };
    let mut is_grey = false;
    for word in words.filter(|word| word.is_ascii()) {
        let (name, value) = word.split_at_checked(1)?;
        match name {
            "W" => found.width = value.parse().ok()?,
            "H" => found.height = value.parse().ok()?,
            "F" => {
                let (numerator, denominator) = value.split_once(':')?;
                let rate_hz =
                    f64::from(numerator.parse::<u32>().ok()?) / f64::from(denominator.parse::<u32>().ok()?);
                if (0.01..=10_000.0).contains(&rate_hz) {
                    found.rate_hz = rate_hz;
                }
            }
            "C" => is_grey = value == "mono",
            _ => {}
        }
    }
    (is_grey && found.width > 0 && found.height > 0).then_some(found)
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

/// The output of a child process, with a limit on the time that it takes. A thread reads it: a read itself has no limit.
struct Pipe {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    stall: Duration,
    end: Instant,
}

impl Pipe {
    fn new(mut output: impl Read + Send + 'static, stall: Duration, end: Instant) -> Self {
        let (send, pieces) = sync_channel(4);
        std::thread::spawn(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = output.read(&mut piece).map(|read| {
                    piece.truncate(read);
                    piece
                });
                let is_last = !matches!(&read, Ok(piece) if !piece.is_empty());
                // The receiver may have left.
                if send.send(read).is_err() || is_last {
                    break;
                }
            }
        });
        Self { pieces, piece: Cursor::default(), stall, end }
    }
}

impl Read for Pipe {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.piece.read(to)?;
        if read > 0 || to.is_empty() {
            return Ok(read);
        }
        let left = self.end.saturating_duration_since(Instant::now()).min(self.stall);
        match self.pieces.recv_timeout(left) {
            Ok(piece) => {
                self.piece = Cursor::new(piece?);
                // Nothing, at the end.
                self.piece.read(to)
            }
            Err(RecvTimeoutError::Timeout) => Err(ErrorKind::TimedOut.into()),
            Err(RecvTimeoutError::Disconnected) => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a shell script as if it were ffmpeg. Returns the frames, or the error.
    fn run(script: &str) -> Result<Vec<Vec<u8>>, String> {
        let program = ("sh".into(), ["-c", script].map(Into::into).to_vec());
        let patience = Patience { stall: Duration::from_millis(500), total: Duration::from_secs(2) };
        let mut frames = Vec::new();
        let seen = decode(Source(Path::new("a.mp4")), &program, patience, |header, grey| {
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
        let program = ("no-such-program".into(), Vec::new());
        let seen = decode(Source(Path::new("a.mp4")), &program, PATIENCE, |_, _| Ok(()));
        let text = seen.unwrap_err().to_string();
        assert!(text.contains("ffmpeg, which is not installed; install it, for example with"), "{text}");
    }
}
