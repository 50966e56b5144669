//! Files of a disk or a bucket: listing, sizes, moving and removing. All of it runs on the I/O runtime.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use eddyline_api::refusal::is_refusal;
use futures::TryStreamExt;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};
use serde::{Deserialize, Serialize};

use super::config::S3;
use super::location::Location;
use crate::Error;

/// The maximum depth of folders. Anything deeper is a loop of links.
const DEPTH_MAX: usize = 64;

/// How long the client repeats a request. After that the caller repeats it and reports why it waits.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
const RETRIES: usize = 3;

/// A file as it was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct File {
    /// Its absolute path, or its key.
    pub(super) path: String,
    /// The size in bytes.
    pub(super) size: u64,
    /// When it was last written, in milliseconds since 1970.
    pub(super) modified_ms: i64,
}

/// A disk or a bucket.
#[derive(Clone, Debug)]
pub(super) enum Store {
    /// This machine's disks.
    Local,
    /// A bucket.
    S3(Arc<AmazonS3>),
}

/// The error of a failed request. `what` names the request and the file. A retry is useless if the store refuses the
/// request as invalid.
pub(super) fn failed(what: String, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let retryable = !is_refusal(&error);
    Error::Unavailable { what, source: Some(Box::new(error)), retryable }
}

/// Does the same as [`failed`] for errors of a disk. A retry can succeed only after a full disk: others share it and
/// may make room, and the next attempt removes what this one has staged.
pub(super) fn failed_on_disk(what: String, error: std::io::Error) -> Error {
    let is_full = matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    let what = if is_full { format!("{what}: the disk is full, make room on it") } else { what };
    Error::Unavailable { what, source: Some(Box::new(error)), retryable: is_full }
}

impl Store {
    /// The store that `location` is in.
    pub(super) fn open(location: &Location, s3: &S3) -> Result<Self, Error> {
        let Location::S3 { bucket, .. } = location else { return Ok(Self::Local) };
        let retries = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket).with_retry(retries);
        if let Some(endpoint) = &s3.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &s3.region {
            builder = builder.with_region(region);
        }
        if let (Some(access_key), Some(secret_key)) = (&s3.access_key, &s3.secret_key) {
            builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
        }
        builder = builder.with_virtual_hosted_style_request(!s3.path_style && s3.endpoint.is_none());
        builder
            .build()
            .map(|store| Self::S3(Arc::new(store)))
            .map_err(|error| failed(format!("cannot use bucket '{bucket}'"), error))
    }

    /// The absolute form of a path, so that names in checkpoints do not depend on the working directory.
    pub(super) fn absolute(&self, path: &str) -> Result<String, Error> {
        match self {
            Self::S3(_) => Ok(path.to_owned()),
            Self::Local => std::path::absolute(path)
                .map(|absolute| absolute.to_string_lossy().into_owned())
                .map_err(|error| failed_on_disk(format!("cannot resolve path '{path}'"), error)),
        }
    }

    /// The file at a path. `None` if there is none. A folder is not a file.
    pub(super) async fn head(&self, path: &str) -> Result<Option<File>, Error> {
        match self {
            Self::Local => {
                let path = path.to_owned();
                blocking(move || match std::fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => Ok(Some(local_file(path, &metadata))),
                    Ok(_) => Ok(None),
                    Err(error) if is_absent(&error) => Ok(None),
                    Err(error) => Err(failed_on_disk(format!("cannot look at '{path}'"), error)),
                })
                .await
            }
            Self::S3(store) => {
                if path.is_empty() {
                    return Ok(None);
                }
                match store.head(&key(path)?).await {
                    Ok(meta) => Ok(Some(object_file(&meta))),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(failed(format!("cannot look at object '{path}'"), error)),
                }
            }
        }
    }

    /// All files below a folder at any depth, in the order of their paths. `is_wanted` must accept the name of the file
    /// and those of the folders between. `None` if the folder does not exist.
    pub(super) async fn list(&self, folder: &str, is_wanted: fn(&str) -> bool) -> Result<Option<Vec<File>>, Error> {
        let mut files = match self {
            Self::Local => {
                let folder = folder.to_owned();
                blocking(move || {
                    if !Path::new(&folder).is_dir() {
                        return Ok(None);
                    }
                    let mut files = Vec::new();
                    walk(Path::new(&folder), is_wanted, 0, &mut files)?;
                    Ok(Some(files))
                })
                .await?
            }
            Self::S3(store) => {
                let prefix = if folder.is_empty() { None } else { Some(key(folder)?) };
                let listed: Vec<_> = store
                    .list(prefix.as_ref())
                    .try_collect()
                    .await
                    .map_err(|error| failed(format!("cannot list folder '{folder}' of the bucket"), error))?;
                // A folder of a bucket exists only through its keys.
                let below = |path: &str| path[folder.len()..].trim_start_matches('/').split('/').all(is_wanted);
                let files: Vec<_> = listed.iter().map(object_file).filter(|file| below(&file.path)).collect();
                (!listed.is_empty()).then_some(files)
            }
        };
        if let Some(files) = &mut files {
            files.sort_by(|one, other| one.path.cmp(&other.path));
        }
        Ok(files)
    }

    /// A range of bytes of an object.
    pub(super) async fn read(&self, path: &str, range: std::ops::Range<u64>) -> Result<Bytes, Error> {
        match self {
            Self::S3(store) => store.get_range(&key(path)?, range).await.map_err(|error| read_failed(path, error)),
            Self::Local => {
                let path = path.to_owned();
                blocking(move || {
                    use std::os::unix::fs::FileExt;
                    let mut bytes = vec![0; (range.end - range.start) as usize];
                    std::fs::File::open(&path)
                        .and_then(|file| file.read_exact_at(&mut bytes, range.start))
                        .map_err(|error| open_failed(&path, error))?;
                    Ok(Bytes::from(bytes))
                })
                .await
            }
        }
    }

    /// Writes a small file durably. Replaces an existing one.
    pub(super) async fn replace(&self, path: &str, content: Vec<u8>) -> Result<(), Error> {
        match self {
            Self::Local => {
                let path = path.to_owned();
                blocking(move || {
                    replace_on_disk(&path, &content)
                        .map_err(|error| failed_on_disk(format!("cannot write file '{path}'"), error))
                })
                .await
            }
            Self::S3(store) => {
                let put = store.put(&key(path)?, object_store::PutPayload::from(content)).await;
                put.map(drop).map_err(|error| failed(format!("cannot write object '{path}'"), error))
            }
        }
    }

    /// Removes a file. It is not an error if it does not exist.
    pub(super) async fn remove(&self, path: &str) -> Result<(), Error> {
        match self {
            Self::Local => {
                let path = path.to_owned();
                blocking(move || match std::fs::remove_file(&path) {
                    Err(error) if !is_absent(&error) => Err(failed_on_disk(format!("cannot remove '{path}'"), error)),
                    _ => Ok(()),
                })
                .await
            }
            Self::S3(store) => match store.delete(&key(path)?).await {
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                    Err(failed(format!("cannot remove object '{path}'"), error))
                }
                _ => Ok(()),
            },
        }
    }
}

fn replace_on_disk(path: &str, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let (path, unfinished) = (Path::new(path), format!("{path}.unfinished"));
    let folder = path.parent().unwrap_or(Path::new("/"));
    super::upload::create_folder(folder)?;
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    std::fs::File::open(folder)?.sync_all()
}

fn walk(folder: &Path, is_wanted: fn(&str) -> bool, depth: usize, files: &mut Vec<File>) -> Result<(), Error> {
    let cannot = |error| failed_on_disk(format!("cannot list folder '{}'", folder.display()), error);
    if depth > DEPTH_MAX {
        let what = format!("folder '{}' is {DEPTH_MAX} levels deep: is there a circular link?", folder.display());
        return Err(Error::Unavailable { what, source: None, retryable: false });
    }
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if !is_wanted(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let metadata = match std::fs::metadata(&path) {
            Ok(metadata) => metadata,
            // The file was removed or renamed after the folder was read.
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(failed_on_disk(format!("cannot look at '{}'", path.display()), error)),
        };
        if metadata.is_dir() {
            walk(&path, is_wanted, depth + 1, files)?;
        } else if metadata.is_file() {
            files.push(local_file(path.to_string_lossy().into_owned(), &metadata));
        }
    }
    Ok(())
}

fn local_file(path: String, metadata: &std::fs::Metadata) -> File {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    File { path, size: metadata.len(), modified_ms: i64::try_from(modified.as_millis()).unwrap_or(i64::MAX) }
}

fn object_file(meta: &object_store::ObjectMeta) -> File {
    let path = meta.location.as_ref().to_owned();
    File { path, size: meta.size, modified_ms: meta.last_modified.timestamp_millis() }
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// A key as it is in the bucket, without escaping.
pub(super) fn key(path: &str) -> Result<Key, Error> {
    Key::parse(path).map_err(|error| failed(format!("'{path}' cannot be the key of an object"), error))
}

/// The error of a listed file that cannot be opened or read.
pub(super) fn open_failed(path: &str, error: std::io::Error) -> Error {
    if is_absent(&error) {
        let what = format!("file '{path}' is gone: it was listed when the source looked for files");
        return Error::Unavailable { what, source: Some(Box::new(error)), retryable: false };
    }
    failed_on_disk(format!("cannot read file '{path}'"), error)
}

fn read_failed(path: &str, error: object_store::Error) -> Error {
    if !matches!(error, object_store::Error::NotFound { .. }) {
        return failed(format!("cannot read object '{path}'"), error);
    }
    let what = format!("object '{path}' is gone: it was listed when the source looked for files");
    Error::Unavailable { what, source: Some(Box::new(error)), retryable: false }
}

/// Runs blocking disk access on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(failed("an I/O task ended early".to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// A bucket whose server gives every request this answer.
    fn answering(status: &str, code: &str) -> Store {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let body = format!("<Error><Code>{code}</Code><Message>the store says no</Message></Error>");
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
        // The thread ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut stream = stream;
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let key = || Some("key".to_owned());
        let s3 = S3 { endpoint: Some(endpoint), access_key: key(), secret_key: key(), ..S3::default() };
        let location = Location::S3 { bucket: "b".to_owned(), key: "in".to_owned() };
        Store::open(&location, &s3).expect("a bucket")
    }

    #[tokio::test]
    async fn a_request_that_the_store_takes_for_a_wrong_one_is_no_outage() {
        let error = answering("400 Bad Request", "InvalidRequest").read("in/a.json", 0..9).await.expect_err("no bytes");
        let text = eddyline_api::message::chain_of(&error);
        assert!(text.contains("'in/a.json'") && text.contains("the store says no"), "{text}");
        assert!(!error.is_outage() && matches!(error, Error::Unavailable { retryable: false, .. }), "{error:?}");
        for (status, code) in [
            ("400 Bad Request", "RequestTimeout"),
            ("403 Forbidden", "RequestTimeTooSkewed"),
            ("408 Request Timeout", ""),
        ] {
            let error = answering(status, code).read("in/a.json", 0..9).await.expect_err("no bytes");
            assert!(error.is_outage(), "{status}: {error:?}");
        }
    }
}
