//! The output of a child process, with limits on time.

use std::io::{Cursor, ErrorKind, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Bytes that are read from the pipe at a time. Few such pieces wait.
const PIECE_BYTES: usize = 1 << 16;

/// The output of a child process, with a limit on the time that it takes. A thread reads it: a read itself has no limit.
pub(super) struct Pipe {
    pieces: Receiver<std::io::Result<Vec<u8>>>,
    piece: Cursor<Vec<u8>>,
    stall: Duration,
    end: Instant,
}

impl Pipe {
    /// Output that may pause for `stall`, and must end by `end`.
    pub fn new(mut output: impl Read + Send + 'static, stall: Duration, end: Instant) -> Self {
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
