//! A directory as a store.
//!
//! The local store of `object_store` does not sync, so this is not based on it. A name must not appear before its
//! content is on disk, or a power cut leaves a torn control record. Content is written to a temporary file, which is
//! synced, then linked (create) or renamed (put) into place. Then the directory is synced.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

use super::{Backend, Created, Entry, Error, Part};

/// The prefix of names of unfinished files. Listings leave them out.
const UNFINISHED: &str = ".unfinished-";
/// How often a write is retried when another process has removed its directory.
const TRIES: usize = 8;

static NEXT_UNFINISHED: AtomicU64 = AtomicU64::new(0);
/// Distinguishes this process from others that write to the same directory, because process ids repeat between
/// containers.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));

#[derive(Clone, Debug)]
pub(crate) struct Local {
    root: PathBuf,
}

impl Local {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    async fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        name: &str,
        work: impl FnOnce(&Path, PathBuf) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let root = self.root.clone();
        let path = root.join(name);
        let shown = format!("file://{}", path.display());
        match tokio::task::spawn_blocking(move || work(&root, path)).await {
            Ok(result) => result.map_err(|error| match error.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    Error::Full { action, object: shown, source: error }
                }
                _ => Error::access(action, shown, error),
            }),
            Err(error) => Err(Error::access(action, shown, error)),
        }
    }
}

/// A file that has no name in the store yet. It is removed if it never gets one.
struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    fn new(root: &Path, target: &Path) -> io::Result<Self> {
        let folder = target.parent().unwrap_or(root);
        for tried in 0.. {
            create_folder(folder)?;
            let number = NEXT_UNFINISHED.fetch_add(1, Ordering::Relaxed);
            let path = folder.join(format!("{UNFINISHED}{:016x}-{number}", *PROCESS));
            match File::options().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok(Self { path, file }),
                // Another process has removed the folder because it was empty.
                Err(error) if error.kind() == ErrorKind::NotFound && tried < TRIES => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the loop ends only by returning")
    }

    fn rename(self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        sync_folder_of(target)
    }

    fn link(self, target: &Path) -> io::Result<Created> {
        self.file.sync_all()?;
        match fs::hard_link(&self.path, target) {
            Ok(()) => {
                fs::remove_file(&self.path)?;
                sync_folder_of(target)?;
                Ok(Created::Yes)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Created::Refused),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename or a link the temporary name no longer exists.
        let _ = fs::remove_file(&self.path);
    }
}

/// Makes a folder and its parents, each synced into the one above it.
fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folder(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => sync_folder_of(folder),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn absent_is_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All unfinished or all finished files below a folder.
fn walk(root: &Path, folder: &Path, unfinished: bool, entries: &mut Vec<Entry>) -> io::Result<()> {
    let Some(listing) = absent_is_none(fs::read_dir(folder))? else { return Ok(()) };
    for item in listing {
        let item = item?;
        let path = item.path();
        // Files may be created and removed meanwhile. A removed one counts as missing.
        let Some(metadata) = absent_is_none(item.metadata())? else { continue };
        if metadata.is_dir() {
            walk(root, &path, unfinished, entries)?;
        } else if item.file_name().to_string_lossy().starts_with(UNFINISHED) == unfinished {
            let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
            let modified_ms = i64::try_from(modified.as_millis()).unwrap_or(i64::MAX);
            entries.push(Entry { name, bytes: metadata.len(), modified_ms });
        }
    }
    Ok(())
}

impl Backend for Local {
    fn create<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<Created, Error>> {
        Box::pin(self.run("create", name, move |root, path| {
            let mut unfinished = Unfinished::new(root, &path)?;
            unfinished.file.write_all(&content)?;
            unfinished.link(&path)
        }))
    }

    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.run("write", name, move |root, path| {
            let mut unfinished = Unfinished::new(root, &path)?;
            unfinished.file.write_all(&content)?;
            unfinished.rename(&path)
        }))
    }

    fn upload<'a>(&'a self, name: &'a str, mut parts: mpsc::Receiver<Part>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.run("write", name, move |root, path| {
            let mut unfinished = Unfinished::new(root, &path)?;
            while let Some(part) = parts.blocking_recv() {
                unfinished.file.write_all(&part.map_err(io::Error::other)?)?;
            }
            unfinished.rename(&path)
        }))
    }

    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(self.run("read", name, |_, path| Ok(absent_is_none(fs::read(path))?.map(Bytes::from))))
    }

    fn get_range<'a>(&'a self, name: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Bytes>, Error>> {
        Box::pin(self.run("read", name, move |_, path| {
            let Some(mut file) = absent_is_none(File::open(path))? else { return Ok(None) };
            // The buffer is never larger than the file, whatever length was asked for.
            let end = range.end.min(file.metadata()?.len());
            let mut content = vec![0; usize::try_from(end.saturating_sub(range.start)).map_err(io::Error::other)?];
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(&mut content)?;
            Ok(Some(Bytes::from(content)))
        }))
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>> {
        Box::pin(self.run("list", folder, |root, path| {
            let mut entries = Vec::new();
            walk(root, &path, false, &mut entries)?;
            Ok(entries)
        }))
    }

    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.run("delete", name, |root, path| {
            absent_is_none(fs::remove_file(&path))?;
            // Folders have no meaning in a store. A parent that is not empty stays, so this is safe.
            let mut folder = path.parent();
            while let Some(empty) = folder.filter(|folder| *folder != root && folder.starts_with(root)) {
                if fs::remove_dir(empty).is_err() {
                    break;
                }
                folder = empty.parent();
            }
            Ok(())
        }))
    }

    fn delete_unfinished<'a>(&'a self, folder: &'a str, until_ms: i64) -> BoxFuture<'a, Result<usize, Error>> {
        Box::pin(self.run("tidy up", folder, move |root, path| {
            let mut left = Vec::new();
            walk(root, &path, true, &mut left)?;
            left.retain(|entry| entry.modified_ms <= until_ms);
            for entry in &left {
                absent_is_none(fs::remove_file(root.join(&entry.name)))?;
            }
            Ok(left.len())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_created_only_once() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = Local::new(folder.path().join("jobs"));
        assert_eq!(local.create("a/b", Bytes::from_static(b"one")).await.expect("written"), Created::Yes);
        assert_eq!(local.create("a/b", Bytes::from_static(b"two")).await.expect("asked"), Created::Refused);
        assert_eq!(local.get("a/b").await.expect("read").as_deref(), Some(b"one".as_slice()));
        let names: Vec<_> = local.list("").await.expect("listed").into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, ["a/b"], "unfinished files are not listed");
        let left = fs::read_dir(folder.path().join("jobs/a")).expect("a folder").count();
        assert_eq!(left, 1, "unfinished files are removed");
    }

    #[tokio::test]
    async fn an_abandoned_upload_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = Local::new(folder.path().to_owned());
        let (sender, parts) = mpsc::channel(2);
        sender.send(Ok(Bytes::from_static(b"half"))).await.expect("room");
        sender.send(Err(super::super::Abandoned)).await.expect("room");
        drop(sender);
        assert!(local.upload("x", parts).await.is_err());
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }

    #[tokio::test]
    async fn what_a_dead_process_has_begun_is_removed_when_it_is_old() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = Local::new(folder.path().to_owned());
        local.put("jobs/a", Bytes::from_static(b"x")).await.expect("written");
        let left = folder.path().join(format!("jobs/{UNFINISHED}of-another-process"));
        fs::write(&left, "half").expect("written");
        let listed = local.list("jobs").await.expect("listed");
        assert_eq!(listed.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["jobs/a"]);
        let written_ms = listed[0].modified_ms;
        assert_eq!(local.delete_unfinished("jobs", written_ms - 60_000).await.expect("tidied"), 0);
        assert!(left.exists(), "somebody may be at it");
        assert_eq!(local.delete_unfinished("jobs", written_ms + 60_000).await.expect("tidied"), 1);
        assert!(!left.exists() && folder.path().join("jobs/a").exists());
    }

    #[tokio::test]
    async fn deleting_the_last_file_removes_its_folders() {
        let folder = tempfile::tempdir().expect("a directory");
        let local = Local::new(folder.path().to_owned());
        local.put("a/b/c", Bytes::from_static(b"x")).await.expect("written");
        local.delete("a/b/c").await.expect("deleted");
        local.delete("a/b/c").await.expect("deleted twice");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
        assert_eq!(local.get("a/b/c").await.expect("read"), None);
        assert_eq!(local.get_range("a/b/c", 0..1).await.expect("read"), None);
    }
}
