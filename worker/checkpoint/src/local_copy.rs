//! Copies of run files on a disk of the worker, from which a restore reads faster than from storage.
//!
//! A run file is copied while it is uploaded: the same bytes, encoded once. Copies stay of the files that the latest
//! completed checkpoint names, earlier files of its chains included. A restore reads a copy where there is one, and
//! storage otherwise, file by file and range by range.
//!
//! Only time depends on copies:
//! - A copy gets its name when all of its bytes are written. The name has what a manifest knows of the file: the attempt
//!   and the checkpoint that wrote it, its size, and the checksum of its footer, which has those of all blocks. So a file
//!   of another history has another name.
//! - Copies are not synced. What a power cut tears has a wrong checksum, like any other damage, and is read from storage.
//! - A disk that is full, read-only or slow costs the copy, and not the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use eddyline_stream::crash_point;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use crate::manifest::FileProto;
use crate::paths;
use crate::spool::Room;

/// The prefix of names of unfinished copies.
const UNFINISHED: &str = ".unfinished-";
/// The ending of names of copies.
const ENDING: &str = ".run";
/// Parts that wait for the disk.
const PARTS_WAITING: usize = 2;
/// How long a checkpoint waits for the disk at a time. After that it is stored without a copy.
const DISK_WAIT: Duration = Duration::from_secs(10);

/// The copies of the run files of one job. Cheap to clone.
#[derive(Clone, Debug)]
pub struct LocalCopies {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,

    state: Mutex<State>,
    failures: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// The sizes of copies, by name.
    copies: BTreeMap<String, u64>,
    /// Whether the latest copy failed. Then its failure has been logged.
    is_failing: bool,
}

impl LocalCopies {
    /// The copies of a job, in a folder of its own below `directory`. The folder depends on the job and on where its
    /// storage is. All copies together have at most `bytes_max` bytes.
    ///
    /// What a dead process has begun to write is removed. Blocks the thread.
    pub fn open(directory: &Path, bytes_max: u64, job: &str, storage_uri: &str) -> Self {
        let folder = directory.join(format!("{}-{:016x}", paths::job_folder(job), xxh3_64(storage_uri.as_bytes())));
        let state = State { copies: found(&folder), is_failing: false };
        Self { inner: Arc::new(Inner { folder, bytes_max, state: Mutex::new(state), failures: AtomicU64::new(0) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The size of all copies in bytes.
    pub fn bytes(&self) -> u64 {
        self.state().copies.values().sum()
    }

    /// The folder, and how many bytes may be added to it.
    pub(crate) fn room(&self) -> Room {
        Room { folder: self.inner.folder.clone(), bytes: self.inner.bytes_max.saturating_sub(self.bytes()) }
    }

    /// How many copies this process could not write.
    pub fn failures(&self) -> u64 {
        self.inner.failures.load(Ordering::Relaxed)
    }

    /// Begins the copy of a run file. It is abandoned if it is dropped before its end.
    pub(crate) fn begin(&self) -> Copying {
        let (steps, receiver) = mpsc::channel(PARTS_WAITING);
        let copies = self.clone();
        let writing = tokio::task::spawn_blocking(move || {
            if let Err(error) = copies.write(receiver) {
                copies.failed(&error);
            }
        });
        Copying { copies: self.clone(), disk: Some((steps, writing)) }
    }

    /// Writes what comes, on a thread that may block.
    fn write(&self, mut steps: mpsc::Receiver<Step>) -> io::Result<()> {
        let folder = &self.inner.folder;
        fs::create_dir_all(folder)?;
        let mut unfinished = Unfinished::create(folder)?;
        let mut written = 0;
        crash_point("local-copy.begun");
        while let Some(step) = steps.blocking_recv() {
            match step {
                Step::Part(part) => {
                    written += part.len() as u64;
                    if self.bytes() + written > self.inner.bytes_max {
                        let reason = format!("copies may have {} bytes together", self.inner.bytes_max);
                        return Err(io::Error::new(ErrorKind::QuotaExceeded, reason));
                    }
                    unfinished.file.write_all(&part)?;
                    crash_point("local-copy.part-written");
                }
                Step::End(name) => {
                    crash_point("local-copy.before-rename");
                    fs::rename(&unfinished.path, folder.join(&name))?;
                    crash_point("local-copy.after-rename");
                    let mut state = self.state();
                    state.copies.insert(name, written);
                    state.is_failing = false;
                    return Ok(());
                }
            }
        }
        // The file was not uploaded, or is part of the manifest.
        Ok(())
    }

    fn failed(&self, error: &io::Error) {
        self.inner.failures.fetch_add(1, Ordering::Relaxed);
        let was_failing = std::mem::replace(&mut self.state().is_failing, true);
        if !was_failing {
            let folder = self.inner.folder.display();
            warn!(%folder, %error, "checkpoints have no local copy as long as it cannot be written; restores read storage");
        }
    }

    /// Removes the copies of all other files. Does not wait until they are gone.
    pub(crate) fn keep(&self, files: &[FileProto]) {
        let kept: BTreeSet<String> = files.iter().filter_map(name_of).collect();
        let unneeded: Vec<String> = self.state().copies.keys().filter(|name| !kept.contains(*name)).cloned().collect();
        if unneeded.is_empty() {
            return;
        }
        let copies = self.clone();
        tokio::task::spawn_blocking(move || unneeded.iter().for_each(|name| copies.remove(name)));
    }

    /// Removes a copy. One that cannot be removed still counts.
    fn remove(&self, name: &str) {
        match fs::remove_file(self.inner.folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                let folder = self.inner.folder.display();
                warn!(%folder, name, %error, "a local copy that is no longer needed cannot be removed");
            }
            _ => {
                self.state().copies.remove(name);
                crash_point("local-copy.removed-one");
            }
        }
    }

    /// The copy of a run file, if there is one of the right size. Blocks the thread.
    pub(crate) fn find(&self, file: &FileProto) -> Option<Copy> {
        let name = name_of(file)?;
        if !self.state().copies.contains_key(&name) {
            return None;
        }
        let path = self.inner.folder.join(&name);
        let opened = File::open(&path).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
        match opened {
            Ok((bytes, opened)) if bytes == file.bytes => {
                Some(Copy { copies: self.clone(), name, path, file: opened, is_damaged: AtomicBool::new(false) })
            }
            Ok((bytes, _)) => {
                self.damaged(&name, &format!("it has {bytes} bytes, and should have {}", file.bytes));
                None
            }
            Err(error) => {
                self.damaged(&name, &error.to_string());
                None
            }
        }
    }

    fn damaged(&self, name: &str, reason: &str) {
        let folder = self.inner.folder.display();
        warn!(%folder, name, reason, "a local copy is damaged; its run file is read from storage");
        self.remove(name);
    }
}

/// The name of the copy of a run file; `None` for one that lies in its manifest.
fn name_of(file: &FileProto) -> Option<String> {
    let (checkpoint, attempt) = paths::writer_of(&file.name)?;
    let (attempt, checkpoint) = (attempt.number(), checkpoint.number());
    Some(format!("{attempt:010}-{checkpoint:010}-{}-{:08x}{ENDING}", file.bytes, file.footer_crc32c))
}

/// The copies in a folder. Removes unfinished ones.
fn found(folder: &Path) -> BTreeMap<String, u64> {
    let mut copies = BTreeMap::new();
    // A folder that cannot be read has no copies. If it cannot be written either, the first copy says so.
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(UNFINISHED) {
            let _stays_for_the_next_start = fs::remove_file(entry.path());
        } else if name.ends_with(ENDING)
            && let Ok(metadata) = entry.metadata()
        {
            copies.insert(name, metadata.len());
        }
    }
    copies
}

/// What the disk has to do next for a copy.
enum Step {
    Part(Bytes),
    /// All parts are written. This is the name.
    End(String),
}

/// A copy that is being written.
pub(crate) struct Copying {
    copies: LocalCopies,
    /// Absent when the copy has been abandoned.
    disk: Option<(mpsc::Sender<Step>, JoinHandle<()>)>,
}

impl Copying {
    /// The next part of the file.
    pub(crate) async fn part(&mut self, part: Bytes) {
        self.step(Step::Part(part)).await;
    }

    /// The file is uploaded, and a manifest is going to name it.
    pub(crate) async fn finish(mut self, file: &FileProto) {
        let Some(name) = name_of(file) else { return };
        self.step(Step::End(name)).await;
        if let Some((_, writing)) = self.disk.take()
            && tokio::time::timeout(DISK_WAIT, writing).await.is_err()
        {
            self.copies.failed(&too_slow());
        }
    }

    async fn step(&mut self, step: Step) {
        let Some((steps, _)) = &self.disk else { return };
        match tokio::time::timeout(DISK_WAIT, steps.send(step)).await {
            Ok(Ok(())) => {}
            // The disk has failed, which is logged.
            Ok(Err(_)) => self.disk = None,
            Err(_) => {
                self.disk = None;
                self.copies.failed(&too_slow());
            }
        }
    }
}

fn too_slow() -> io::Error {
    io::Error::new(ErrorKind::TimedOut, format!("the disk has not answered for {} s", DISK_WAIT.as_secs()))
}

/// A file that is removed unless it is renamed.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn create(folder: &Path) -> io::Result<Self> {
        // Another process may have begun a copy here.
        let path = folder.join(format!("{UNFINISHED}{:016x}", RandomState::new().hash_one(std::process::id())));
        Ok(Self { file: File::options().write(true).create_new(true).open(&path)?, path })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the rename there is no such name.
        let _ = fs::remove_file(&self.path);
    }
}

/// A copy that is read. It can be read to its end even if it is removed meanwhile.
#[derive(Debug)]
pub(crate) struct Copy {
    copies: LocalCopies,
    name: String,
    path: PathBuf,
    file: File,

    is_damaged: AtomicBool,
}

impl Copy {
    /// What messages call it.
    pub(crate) fn object(&self) -> String {
        format!("file://{}", self.path.display())
    }

    /// Whether no damage has been found.
    pub(crate) fn is_whole(&self) -> bool {
        !self.is_damaged.load(Ordering::Relaxed)
    }

    /// Reads a part. Blocks the thread.
    pub(crate) fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut content = vec![0; length];
        self.file.read_exact_at(&mut content, range.start)?;
        Ok(content.into())
    }

    /// Reads it no longer: its content is not that of the run file. Blocks the thread.
    pub(crate) fn found_damaged(&self, reason: &str) {
        if !self.is_damaged.swap(true, Ordering::Relaxed) {
            self.copies.damaged(&self.name, reason);
        }
    }
}
