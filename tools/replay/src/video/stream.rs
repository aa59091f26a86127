//! The bitstream of another file, in a file of its own, because ffmpeg can seek only in files.

use std::path::{Path, PathBuf};

/// The file, which only this user can read, and which is removed at the end.
pub(super) struct Stream(PathBuf);

impl Stream {
    /// Writes the parts of a bitstream, one after the other.
    pub fn write(parts: &[&[u8]]) -> std::io::Result<Self> {
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

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // Nothing can be done about a file that cannot be removed.
        let _ = std::fs::remove_file(&self.0);
    }
}
