//! State on a local disk that does not fit in memory.
//!
//! A [`SpillDirectory`] is the place, with a limit and a count of its bytes. A [`Run`] has rows of groups in order of their key
//! hashes. It is written once and never changed.
//!
//! Files are temporary: each is removed from the directory as soon as it is created, so the file system frees its space when the
//! process ends, however it ends. No other process reads them, so their form may change with every release.

mod run;

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use run::{Block, Run, RunWriter};

/// Numbers the files of the process.
static FILES: AtomicU64 = AtomicU64::new(0);

/// What can go wrong with state on disk. Each ends the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file could be created.
    #[error("failed to create a file for state in {}: the directory must be writable", directory.display())]
    Create {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk did not take what was written.
    #[error(
        "failed to write state that does not fit in memory to {}: make room on this disk, or run the job with more memory",
        directory.display()
    )]
    Write {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The limit of the directory is reached.
    #[error(
        "state that does not fit in memory has reached the limit of {bytes_max} bytes in {}: raise the limit, or run the job \
         with more memory",
        directory.display()
    )]
    Full {
        /// The directory.
        directory: PathBuf,
        /// Its limit.
        bytes_max: u64,
    },
    /// The disk did not return what was written.
    #[error("failed to read state from {}: check this disk", directory.display())]
    Read {
        /// The directory.
        directory: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The disk returned something else than what was written.
    #[error("state in {} is corrupt at byte {offset} of its file: {reason}; check this disk", directory.display())]
    Corrupt {
        /// The directory.
        directory: PathBuf,
        /// The place in the file.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
}

/// The result of reading and writing state on disk.
pub type Result<T> = std::result::Result<T, Error>;

/// A directory on a local disk for state that does not fit in memory. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SpillDirectory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Fixed at start.
    path: PathBuf,
    bytes_max: u64,
    // Changing.
    bytes: AtomicU64,
}

impl SpillDirectory {
    /// A directory in which all files together may have `bytes_max` bytes. It is created with its first file.
    pub fn new(path: impl Into<PathBuf>, bytes_max: u64) -> Self {
        Self { inner: Arc::new(Inner { path: path.into(), bytes_max, bytes: AtomicU64::new(0) }) }
    }

    /// The path of the directory.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The bytes of all files of this directory and its clones.
    pub fn bytes(&self) -> u64 {
        self.inner.bytes.load(Ordering::Relaxed)
    }

    /// Creates a file without a name.
    fn create(&self) -> Result<SpillFile> {
        let path = self.path();
        let number = FILES.fetch_add(1, Ordering::Relaxed);
        let name = path.join(format!(".spilled-{}-{number}", std::process::id()));
        let file = fs::create_dir_all(path)
            .and_then(|()| OpenOptions::new().read(true).write(true).create_new(true).open(&name))
            .and_then(|file| fs::remove_file(&name).map(|()| file))
            .map_err(|source| Error::Create { directory: path.to_owned(), source })?;
        Ok(SpillFile { directory: self.clone(), file, bytes: 0 })
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let bytes_max = self.inner.bytes_max;
        let before = self.inner.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > bytes_max {
            self.release(bytes);
            return Err(Error::Full { directory: self.path().to_owned(), bytes_max });
        }
        Ok(())
    }

    fn release(&self, bytes: u64) {
        self.inner.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A file without a name. It exists until it is dropped.
#[derive(Debug)]
struct SpillFile {
    directory: SpillDirectory,
    file: File,
    bytes: u64,
}

impl SpillFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let length = bytes.len() as u64;
        self.directory.take(length)?;
        let at = self.bytes;
        self.bytes += length;
        let written = self.file.write_all_at(bytes, at);
        written.map_err(|source| Error::Write { directory: self.directory.path().to_owned(), source })
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        let read = self.file.read_exact_at(bytes, at);
        read.map_err(|source| Error::Read { directory: self.directory.path().to_owned(), source })
    }
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        self.directory.release(self.bytes);
    }
}

#[cfg(test)]
mod tests;
