//! The storage of checkpoints: an object store or a directory.
//!
//! It uses only what every store can do: create an object whose name is free, write, read ranges, list, delete. It does
//! not know what the bytes mean. A refused create does not prove that another process has written the object: the
//! answer to the caller's own write may have been lost. So callers read the object back ([`Storage::put_once`], and the
//! control log, whose records have a nonce).

mod credentials;
mod local;
mod memory;
mod object;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_api::refusal::is_refusal;
use futures::future::BoxFuture;
use tokio::sync::mpsc;

pub use memory::{Fault, Memory};

/// Objects larger than this are uploaded in parts of this size.
pub const PART_BYTES: usize = 8 << 20;

/// Errors of storage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A location that is not valid or not supported.
    #[error("{uri} is not a usable storage location: {reason}")]
    Location {
        /// What was given.
        uri: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A request failed. It is not known whether a write took effect.
    #[error("failed to {action} {object}")]
    Access {
        /// What was tried: "read", "create", and so on.
        action: &'static str,
        /// The full name of the object.
        object: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The disk has no room for an object.
    #[error("failed to {action} {object}: the disk is full, make room on it")]
    Full {
        /// What was tried: "write", "create".
        action: &'static str,
        /// The full name of the object.
        object: String,
        /// What the disk said.
        source: std::io::Error,
    },
    /// An object that is written only once exists with other content.
    #[error("{object} exists already with other content")]
    NameTaken {
        /// The full name of the object.
        object: String,
    },
    /// An object that must exist does not.
    #[error("{object} does not exist")]
    Absent {
        /// The full name of the object.
        object: String,
    },
    /// The requested part of an object is after its end.
    #[error("{object} ends before byte {end}")]
    TooShort {
        /// The full name of the object.
        object: String,
        /// The end of the requested part.
        end: u64,
    },
}

impl Error {
    /// Whether a retry can succeed. A request that the store refuses as invalid fails again.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Access { source, .. } => !is_refusal(&**source),
            other => matches!(other, Self::Full { .. }),
        }
    }

    /// Whether this is an outage: the store does not answer, has no room, or refuses access, and the same request can
    /// succeed when that is over. A bucket that does not exist, or a path that cannot be a folder, is not an outage.
    pub fn is_outage(&self) -> bool {
        use std::io::ErrorKind;
        let Self::Access { source, .. } = self else { return matches!(self, Self::Full { .. }) };
        if let Some(error) = source.downcast_ref::<object_store::Error>() {
            use object_store::Error as E;
            return match error {
                E::Generic { .. } => !is_refusal(error),
                E::JoinError { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
                _ => false,
            };
        }
        let Some(error) = source.downcast_ref::<std::io::Error>() else { return true };
        !matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::AlreadyExists
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::InvalidInput
        )
    }

    fn access(
        action: &'static str,
        object: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Access { action, object: object.into(), source: source.into() }
    }
}

/// The answer to a create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The object was absent and exists now.
    Yes,
    /// The store answers that the object exists or that another process is writing it. That can be the caller's own
    /// earlier try.
    Refused,
}

/// An object in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, relative to the listed storage.
    pub name: String,
    /// Its size, in bytes.
    pub bytes: u64,
    /// When it was last written, in milliseconds since the epoch, by the store's clock.
    pub modified_ms: i64,
}

/// A part of a streamed upload. `Err` abandons the upload.
pub(crate) type Part = Result<Bytes, Abandoned>;

/// The producer has abandoned the upload, so the uploaded parts must not become an object.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the upload was abandoned")]
pub(crate) struct Abandoned;

/// A kind of store. Names are relative to the root, with `/` between their parts and no leading `/`.
pub(crate) trait Backend: Send + Sync {
    /// Writes a whole object if its name is free. Atomic, and durable when it returns.
    fn create<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<Created, Error>>;
    /// Writes a whole object and replaces an old one, if any. Atomic, and durable when it returns.
    fn put<'a>(&'a self, name: &'a str, content: Bytes) -> BoxFuture<'a, Result<(), Error>>;
    /// Does the same as [`Backend::put`], for content that comes in parts of [`PART_BYTES`]. Only the last part is
    /// smaller.
    fn upload<'a>(&'a self, name: &'a str, parts: mpsc::Receiver<Part>) -> BoxFuture<'a, Result<(), Error>>;
    /// Reads a whole object. `None` if it does not exist.
    fn get<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Bytes>, Error>>;
    /// Reads a range of an object, in bytes. `None` if the object does not exist.
    fn get_range<'a>(&'a self, name: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Option<Bytes>, Error>>;
    /// Lists all objects below a folder in any order. The empty name is the root.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<Entry>, Error>>;
    /// Removes an object. A missing one counts as removed.
    fn delete<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<(), Error>>;
    /// Removes the unfinished files below a folder that were last written before this time, because their processes are
    /// dead. Returns their number. Stores that do this by themselves have nothing to do.
    fn delete_unfinished<'a>(&'a self, _folder: &'a str, _until_ms: i64) -> BoxFuture<'a, Result<usize, Error>> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// A folder in an object store or a file system. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    backend: Arc<dyn Backend>,
    /// The location of the backend's root, without a trailing `/`.
    uri: String,
    /// The folder below the backend's root: empty, or with a trailing `/`.
    folder: String,
    /// The options with which the storage was opened.
    options: Arc<BTreeMap<String, String>>,
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Storage").field(&self.uri()).finish()
    }
}

impl Storage {
    /// Opens a location: `file:///path`, a plain path, or `s3://bucket/folder`.
    ///
    /// Options for S3, each falling back to the `AWS_*` variables of the environment: `s3.endpoint`, `s3.region`
    /// (default `us-east-1`), `s3.access-key`, `s3.secret-key`, `s3.session-token`, `s3.path.style.access` (default: on
    /// when there is an endpoint). `s3.credentials-dir` names a folder with files `AWS_ACCESS_KEY_ID`,
    /// `AWS_SECRET_ACCESS_KEY` and, if there is one, `AWS_SESSION_TOKEN`, which are read again for each
    /// request. An `http://` endpoint is used as it is, without TLS. Other options are ignored.
    ///
    /// # Errors
    /// When the location or an option is not valid. Whether the store can be reached shows at the first access.
    pub fn open(uri: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let invalid = |reason: &str| Error::Location { uri: uri.to_owned(), reason: reason.to_owned() };
        match uri.split_once("://") {
            None if uri.is_empty() => Err(invalid("it is empty")),
            None => Self::local(uri, uri, options),
            Some(("file", path)) if path.starts_with('/') => Self::local(uri, path, options),
            Some(("file", _)) => Err(invalid("a file location needs an absolute path, as in file:///path")),
            Some(("s3" | "s3a", rest)) => {
                let (bucket, folder) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(invalid("the bucket is missing, as in s3://bucket/folder"));
                }
                let backend = object::s3(uri, bucket, options)?;
                Ok(Self::new(Arc::new(backend), format!("s3://{bucket}"), options).under(folder))
            }
            Some((scheme, _)) => Err(invalid(&format!("the scheme {scheme} is not supported; use file or s3"))),
        }
    }

    fn new(backend: Arc<dyn Backend>, uri: String, options: &BTreeMap<String, String>) -> Self {
        Self { backend, uri, folder: String::new(), options: Arc::new(options.clone()) }
    }

    fn local(uri: &str, path: &str, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        let root = std::path::absolute(path)
            .map_err(|error| Error::Location { uri: uri.to_owned(), reason: error.to_string() })?;
        let name = format!("file://{}", root.display());
        Ok(Self::new(Arc::new(local::Local::new(root)), name.trim_end_matches('/').to_owned(), options))
    }

    /// A store in memory: for tests, and for jobs that need not survive their process.
    pub fn in_memory(memory: Memory) -> Self {
        Self::new(Arc::new(memory), "memory:".to_owned(), &BTreeMap::new())
    }

    /// Opens another location with the same options. A location in the same store shares the connections.
    pub fn open_beside(&self, uri: &str) -> Result<Self, Error> {
        match uri.strip_prefix(&self.uri).and_then(|rest| rest.strip_prefix('/')) {
            Some(folder) => Ok(Self { folder: String::new(), ..self.clone() }.under(folder)),
            None => Self::open(uri, &self.options),
        }
    }

    /// A folder of this storage.
    pub fn under(&self, folder: &str) -> Self {
        let folder = folder.trim_matches('/');
        let folder = if folder.is_empty() { self.folder.clone() } else { format!("{}{folder}/", self.folder) };
        Self { folder, ..self.clone() }
    }

    /// The location, in the form that [`Storage::open`] takes.
    pub fn uri(&self) -> String {
        format!("{}/{}", self.uri, self.folder).trim_end_matches('/').to_owned()
    }

    /// The full name of an object, for messages.
    pub fn name_of(&self, name: &str) -> String {
        format!("{}/{}{name}", self.uri, self.folder)
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.folder)
    }

    /// Writes a whole object if its name is free. Atomic, and durable when it returns.
    pub async fn create(&self, name: &str, content: Bytes) -> Result<Created, Error> {
        self.backend.create(&self.full(name), content).await
    }

    /// Writes an object that never has other content. A second try after a lost answer succeeds.
    ///
    /// # Errors
    /// [`Error::NameTaken`] when the object exists with other content.
    pub async fn put_once(&self, name: &str, content: Bytes) -> Result<(), Error> {
        if self.create(name, content.clone()).await? == Created::Yes {
            return Ok(());
        }
        match self.get(name).await? {
            Some(found) if found == content => Ok(()),
            Some(_) => Err(Error::NameTaken { object: self.name_of(name) }),
            None => Err(Error::access(
                "create",
                self.name_of(name),
                "the store refused the write, and the object is absent",
            )),
        }
    }

    /// Writes a whole object, over an old one if there is any.
    pub async fn put(&self, name: &str, content: Bytes) -> Result<(), Error> {
        self.backend.put(&self.full(name), content).await
    }

    pub(crate) async fn upload(&self, name: &str, parts: mpsc::Receiver<Part>) -> Result<(), Error> {
        self.backend.upload(&self.full(name), parts).await
    }

    /// Reads a whole object. `None` if it does not exist.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, Error> {
        self.backend.get(&self.full(name)).await
    }

    /// Reads a range of an object, in bytes. `None` if the object does not exist.
    ///
    /// # Errors
    /// [`Error::TooShort`] when the object ends before the range does.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let (bytes, end) = (range.end - range.start, range.end);
        match self.backend.get_range(&self.full(name), range).await? {
            Some(part) if part.len() as u64 != bytes => Err(Error::TooShort { object: self.name_of(name), end }),
            part => Ok(part),
        }
    }

    /// Lists all objects below a folder by name. The empty name is the root.
    pub async fn list(&self, folder: &str) -> Result<Vec<Entry>, Error> {
        let mut entries = self.backend.list(self.full(folder).trim_end_matches('/')).await?;
        for entry in &mut entries {
            entry.name = entry.name.strip_prefix(&self.folder).unwrap_or(&entry.name).to_owned();
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Removes unfinished files of dead processes: those last written before this time by the store's clock, in
    /// milliseconds. Returns their number.
    pub(crate) async fn delete_unfinished(&self, until_ms: i64) -> Result<usize, Error> {
        self.backend.delete_unfinished(self.folder.trim_end_matches('/'), until_ms).await
    }

    /// Removes an object. A missing one counts as removed.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        self.backend.delete(&self.full(name)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_of_other_kinds_are_refused_by_name() {
        let refused = |uri: &str| Storage::open(uri, &BTreeMap::new()).expect_err("not a location").to_string();
        assert!(refused("gs://bucket/x").contains("the scheme gs is not supported"));
        assert!(refused("s3:///x").contains("the bucket is missing"));
        assert!(refused("file://x").contains("absolute path"));
        assert!(refused("").contains("it is empty"));
    }

    #[test]
    fn the_location_of_a_folder_opens_again() {
        let storage = Storage::open("file:///tmp/jobs/", &BTreeMap::new()).expect("a path").under("a/b");
        assert_eq!(storage.uri(), "file:///tmp/jobs/a/b");
        assert_eq!(storage.name_of("c"), "file:///tmp/jobs/a/b/c");
        let storage = Storage::open("s3://bucket/jobs", &BTreeMap::new()).expect("a bucket");
        assert_eq!(storage.under("a").uri(), "s3://bucket/jobs/a");
    }
}
