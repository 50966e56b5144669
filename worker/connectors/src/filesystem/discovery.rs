//! Finds files and cuts them into pieces.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;

use eddyline_stream::SplitId;
use futures::FutureExt;
use futures::future::BoxFuture;
use tracing::warn;

use super::compression::Compression;
use super::config::Config;
use super::location::Glob;
use super::piece::{Cut, Piece};
use super::read_files::{Reading, SharedReadFiles};
use super::store::{File, Store};
use crate::Error;
use crate::source::{Discovery, SplitEnumerator};

/// The number of pieces of a file of medium size.
const CUTS_AIMED_AT: u64 = 64;
/// The smallest piece of a file on disk, in bytes.
const CUT_MIN_LOCAL: u64 = 1 << 20;
/// The smallest piece of an object, in bytes: each piece costs requests.
const CUT_MIN_OBJECTS: u64 = 8 << 20;
/// The largest piece, in bytes.
const CUT_MAX: u64 = 16 << 20;

/// Finds the files of a source.
pub(super) struct FileEnumerator {
    // Fixed at start.
    config: Arc<Config>,
    store: Store,
    io: tokio::runtime::Handle,
    /// The files that have been read.
    read: SharedReadFiles,
    // Changing.
    /// Sizes of the files that were handed out and are not read to their end. Files are immutable.
    given: BTreeMap<String, u64>,
    /// Size and cut of the files in the checkpoint. The cut of a file never changes.
    cuts: BTreeMap<String, (u64, Cut)>,
    /// Whether the watched folder existed at the last discovery.
    was_there: Option<bool>,
}

impl FileEnumerator {
    pub(super) fn new(config: Arc<Config>, store: Store, read: SharedReadFiles, io: tokio::runtime::Handle) -> Self {
        Self { config, store, io, read, given: BTreeMap::new(), cuts: BTreeMap::new(), was_there: None }
    }

    /// How to cut a file. Text may be cut at any line, compressed files not at all. A CSV record may span several
    /// lines, so CSV is not cut either. Row groups are also cut, so that two slots read rows of about the same time. In
    /// a bucket they are not, because reading a row group twice costs requests.
    fn cut(&self, file: &File) -> Result<Cut, Error> {
        if Compression::of_path(&file.path)?.is_some() || self.config.format.name() == "csv" {
            return Ok(Cut::NONE);
        }
        let bytes = self.config.split_bytes.map_or_else(|| usual_cut(file.size, &self.store), NonZeroU64::get);
        let by_halves = self.config.format.parquet().is_some() && matches!(self.store, Store::Local);
        Ok(if file.size <= bytes { Cut::NONE } else { Cut { bytes, by_halves } })
    }

    /// The files of a watched folder. The folder may not exist yet, or no longer.
    ///
    /// # Errors
    /// When the folder is missing and existed before. The caller reports that and tries again.
    fn watched(&mut self, found: Option<Vec<File>>) -> Result<Vec<File>, Error> {
        // A bucket has no folders that could be missing.
        let is_there = found.is_some() || matches!(self.store, Store::S3(_));
        let location = &self.config.location;
        match self.was_there.replace(is_there) {
            Some(true) if !is_there => {
                self.was_there = Some(true);
                let what = format!("'{location}' is gone; files are read again when it is back");
                return Err(Error::Unavailable { what, source: None, retryable: true });
            }
            None if !is_there => {
                warn!(%location, "there is nothing at this place yet; its files are read once it exists")
            }
            _ => {}
        }
        Ok(found.unwrap_or_default())
    }

    /// The pieces of new files: those that were not handed out before and are not read to their end.
    fn pieces(&mut self, files: Vec<File>) -> Result<Discovery, Error> {
        let mut new = Vec::new();
        for file in files {
            let reading = self.read.lock().of(&file.path);
            let given = self.given.get(&file.path).copied();
            let (size, cut) = match (reading, given, self.cuts.get(&file.path)) {
                (Some(Reading::Whole(size)), ..) | (_, Some(size), _) => (size, None),
                (Some(Reading::Begun(size, cut)), ..) | (None, None, Some(&(size, cut))) => (size, Some(cut)),
                (None, None, None) => (file.size, Some(self.cut(&file)?)),
            };
            if size != file.size {
                warn!(
                    file = file.path,
                    size_then = size,
                    size_now = file.size,
                    "a file that was already read has changed"
                );
            }
            if matches!(reading, Some(Reading::Whole(_))) {
                self.given.remove(&file.path);
            }
            new.extend(cut.map(|cut| (File { size, ..file }, cut)));
        }
        // Nothing can fail from here on, so the files that are recorded as handed out really are.
        for (file, _) in &new {
            self.cuts.remove(&file.path);
            self.given.insert(file.path.clone(), file.size);
        }
        let splits = new.iter().flat_map(|(file, cut)| Piece::of_file(file, *cut).map(|piece| piece.into_split(false)));
        Ok(Discovery { splits: splits.collect(), complete: self.config.monitor_interval.is_none() })
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        async move {
            let (config, store) = (Arc::clone(&self.config), self.store.clone());
            // Runs on the I/O runtime, whoever polls it.
            let found = self.io.spawn(async move { find(&config, &store).await }).await;
            let found =
                found.map_err(|error| super::store::failed("the search for files ended early".to_owned(), error))??;
            let files = self.watched(found)?;
            self.pieces(files)
        }
        .boxed()
    }

    fn restored(&mut self, known: &[SplitId]) {
        for (path, size, cut) in known.iter().filter_map(Piece::file_of_id) {
            // Pieces are handed out in order: if a last piece is known, so is an earlier one.
            let Some(cut) = cut else { continue };
            if !matches!(self.read.lock().of(path), Some(Reading::Whole(_))) {
                self.cuts.insert(path.to_owned(), (size, cut));
            }
        }
    }
}

/// The default size of pieces. They are small enough that slots end together and read rows of about the same time, so
/// that few windows are open. They are large enough to keep the number of requests and of splits in checkpoints low.
fn usual_cut(file_bytes: u64, store: &Store) -> u64 {
    let least = match store {
        Store::Local => CUT_MIN_LOCAL,
        Store::S3(_) => CUT_MIN_OBJECTS,
    };
    (file_bytes / CUTS_AIMED_AT).clamp(least, CUT_MAX)
}

/// Lists the files of a table, in order. `None` if the watched folder does not exist.
async fn find(config: &Config, store: &Store) -> Result<Option<Vec<File>>, Error> {
    let path = store.absolute(config.location.path())?;
    let mut files = match store.head(&path).await? {
        Some(file) => vec![file],
        None => match store.list(&path, is_visible).await? {
            Some(files) => files,
            None => match find_by_wildcards(config, store, &path).await? {
                Some(files) => files,
                None => return Ok(None),
            },
        },
    };
    if let Some(pattern) = &config.path_pattern {
        files.retain(|file| pattern.is_match(&file.path));
    }
    if files.is_empty() && config.monitor_interval.is_none() {
        let what = format!("no files at '{}'", config.location);
        return Err(Error::Unavailable { what, source: None, retryable: false });
    }
    Ok(Some(files))
}

async fn find_by_wildcards(config: &Config, store: &Store, path: &str) -> Result<Option<Vec<File>>, Error> {
    let missing = |what: &str| {
        if config.monitor_interval.is_some() {
            return Ok(None);
        }
        let what = format!("{what} at '{}': create it, or correct 'path'", config.location);
        Err(Error::Unavailable { what, source: None, retryable: false })
    };
    let glob =
        Glob::parse(path).map_err(|reason| Error::Unavailable { what: reason, source: None, retryable: false })?;
    let Some(glob) = glob else { return missing("there is no file or folder") };
    let Some(mut files) = store.list(&glob.folder, is_visible).await? else { return missing("there is no folder") };
    files.retain(|file| glob.matches(&file.path));
    Ok(Some(files))
}

/// Whether a name is not hidden. `_SUCCESS`, `.part-0` and everything in such a folder are not read.
fn is_visible(name: &str) -> bool {
    !name.starts_with(['.', '_'])
}
