//! Finds files and cuts them into pieces.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::ops::Range;
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
    /// The sizes of the files that were handed out and are not read to their end. Files are immutable.
    given: BTreeMap<String, u64>,
    /// The files that have pieces in the checkpoint.
    begun: BTreeMap<String, Begun>,
    /// Whether the watched folder existed when it was last listed. `None` before that.
    existed: Option<bool>,
}

/// A file that has pieces in the checkpoint which are not read to their end.
#[derive(Clone, Debug, Default)]
struct Begun {
    size: u64,
    /// How the file was cut, as far as these pieces show it. A file keeps its cut.
    cut: Option<Cut>,
    /// Whether row groups were also cut.
    by_halves: bool,
    /// The bytes of the pieces.
    pieces: Vec<Range<u64>>,
}

impl FileEnumerator {
    pub(super) fn new(config: Arc<Config>, store: Store, read: SharedReadFiles, io: tokio::runtime::Handle) -> Self {
        Self { config, store, io, read, given: BTreeMap::new(), begun: BTreeMap::new(), existed: None }
    }

    /// How to cut a file. Text may be cut at any line. Compressed files are not cut. CSV is not cut either, because a
    /// record may span several lines. A changelog is not cut, because its changes are read in order. Row groups of
    /// Parquet are also cut, so that two slots read rows of about the same time. In a bucket row groups are not cut,
    /// because reading one twice costs requests.
    fn cut(&self, file: &File) -> Result<Cut, Error> {
        let format = &self.config.format;
        let is_whole = format.name() == "csv" || !format.changelog_mode().is_insert_only();
        if Compression::of_path(&file.path)?.is_some() || is_whole {
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
        let exists = found.is_some() || matches!(self.store, Store::S3(_));
        let location = &self.config.location;
        match self.existed.replace(exists) {
            Some(true) if !exists => {
                self.existed = Some(true);
                let what = format!("'{location}' is gone; files are read again when it is back");
                return Err(Error::Unavailable { what, source: None, retryable: true });
            }
            None if !exists => {
                warn!(%location, "there is nothing at this place yet; its files are read once it exists")
            }
            _ => {}
        }
        Ok(found.unwrap_or_default())
    }

    /// The pieces of a file that are not read to their end, in order. The parts between pieces that are read or begun
    /// are cut in the same way as those. If that is not known, they are cut as for a new file.
    fn unread(&self, file: &File, reading: Option<Reading>, begun: Option<&Begun>) -> Result<Vec<Piece>, Error> {
        let (known, read) = match reading {
            Some(Reading::Begun { cut, read, .. }) => (cut, read),
            Some(Reading::Whole(_)) | None => (None, Vec::new()),
        };
        let cut = match known.or_else(|| begun?.cut) {
            Some(cut) => cut,
            None => {
                let cut = self.cut(file)?;
                Cut { by_halves: begun.map_or(cut.by_halves, |begun| begun.by_halves), ..cut }
            }
        };
        let whole = |bytes: &Range<u64>| Piece::of_bytes(file, bytes.clone(), Cut { bytes: 0, ..cut });
        let begun = begun.map_or(&[][..], |begun| begun.pieces.as_slice());
        let begun: Vec<&Range<u64>> = begun.iter().filter(|piece| !covers(&read, piece)).collect();
        let mut pieces: Vec<Piece> = begun.iter().flat_map(|bytes| whole(bytes)).collect();
        let mut taken: Vec<Range<u64>> = read.iter().chain(begun).cloned().collect();
        taken.sort_by_key(|bytes| bytes.start);
        let mut from = 0;
        for bytes in taken.into_iter().chain(std::iter::once(file.size..file.size)) {
            pieces.extend(Piece::of_bytes(file, from..bytes.start.max(from), cut));
            from = from.max(bytes.end);
        }
        pieces.sort_by_key(|piece| piece.start);
        Ok(pieces)
    }

    /// The pieces of new files: those that were not handed out before and are not read to their end.
    fn pieces(&mut self, files: Vec<File>) -> Result<Discovery, Error> {
        let mut new = Vec::new();
        for file in files {
            let reading = self.read.lock().of(&file.path);
            if matches!(reading, Some(Reading::Whole(_))) {
                self.given.remove(&file.path);
            }
            let begun = self.begun.get(&file.path);
            let size_then = match (&reading, self.given.get(&file.path), begun) {
                (Some(Reading::Whole(size) | Reading::Begun { size, .. }), ..) | (_, Some(size), _) => *size,
                (None, None, begun) => begun.map_or(file.size, |begun| begun.size),
            };
            if size_then != file.size {
                let size_now = file.size;
                warn!(file = file.path, size_then, size_now, "a file that was already read has changed");
            }
            let is_whole = matches!(reading, Some(Reading::Whole(_)));
            if !is_whole && !self.given.contains_key(&file.path) {
                let file = File { size: size_then, ..file };
                new.push((self.unread(&file, reading, begun)?, file));
            }
        }
        // Nothing can fail after this, so all recorded files are handed out.
        for (_, file) in &new {
            self.begun.remove(&file.path);
            self.given.insert(file.path.clone(), file.size);
        }
        let splits = new.into_iter().flat_map(|(pieces, _)| pieces).map(|piece| piece.into_split(false));
        Ok(Discovery { splits: splits.collect(), complete: self.config.monitor_interval.is_none() })
    }
}

impl SplitEnumerator for FileEnumerator {
    fn discover(&mut self) -> BoxFuture<'_, Result<Discovery, Error>> {
        async move {
            let (config, store) = (Arc::clone(&self.config), self.store.clone());
            // The task runs on the I/O runtime, whoever polls this future.
            let found = self.io.spawn(async move { find(&config, &store).await }).await;
            let found =
                found.map_err(|error| super::store::failed("the search for files ended early".to_owned(), error))??;
            let files = self.watched(found)?;
            self.pieces(files)
        }
        .boxed()
    }

    fn restored(&mut self, known: &[SplitId]) {
        for id in known {
            let (Some((path, piece, size)), Some((cut, by_halves))) = (Piece::place_of_id(id), Piece::cut_of_id(id))
            else {
                continue;
            };
            if !matches!(self.read.lock().of(path), Some(Reading::Whole(_))) {
                let begun = self.begun.entry(path.to_owned()).or_default();
                begun.pieces.push(piece);
                begun.cut = cut.or(begun.cut);
                (begun.size, begun.by_halves) = (size, by_halves);
            }
        }
    }
}

/// Whether the bytes are all among these.
fn covers(among: &[Range<u64>], bytes: &Range<u64>) -> bool {
    among.iter().any(|range| range.start <= bytes.start && bytes.end <= range.end)
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
