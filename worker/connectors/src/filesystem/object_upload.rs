//! Writes an object of a bucket, in parts that are uploaded concurrently.
//!
//! A bucket keeps, and bills, the parts of an upload that is neither completed nor aborted, and no listing shows them.
//! So each upload has a note with its id in the staging folder, from its beginning to its end. A later attempt that
//! finds the note of a dead attempt aborts the upload. Small objects have no parts and need no note.
//!
//! An outage is waited out: a part is kept until it is acknowledged, and sent again with its number. An upload whose id
//! was lost is forgotten, but it has no parts and costs nothing. If the answer to a completion was lost, the upload no
//! longer exists, but its object does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use eddyline_stream::crash_point;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::patience::Patience;
use super::store::{Store, failed, key};
use crate::Error;

/// The size of a part in bytes. S3 refuses parts below 5 MiB, except the last one.
pub(super) const PART_BYTES: usize = 10 << 20;
/// The number of parts in flight, over all objects of a writer.
pub(super) const PARTS_MAX: usize = 4;

/// How long an abort waits for parts in flight.
const ARRIVAL_WAIT: Duration = Duration::from_secs(5);

/// An upload that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    /// The key of the object.
    path: String,
    /// The bucket's id of the upload.
    upload: String,
}

impl Unfinished {
    /// Reads a note.
    pub(super) fn parse(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }

    /// Makes the bucket delete the parts. It is not an error if there are none.
    pub(super) async fn abort(&self, store: &AmazonS3) -> Result<(), Error> {
        match store.abort_multipart(&key(&self.path)?, &self.upload).await {
            Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => {
                Err(failed(format!("cannot abort the upload of object '{}'", self.path), error))
            }
            _ => Ok(()),
        }
    }
}

/// An object while it is written.
pub(super) struct ObjectUpload {
    // Fixed at start.
    store: Arc<AmazonS3>,
    patience: Patience,
    /// Limits the parts in flight.
    room: Arc<Semaphore>,
    path: String,
    /// The path of the note of its upload.
    note: String,
    // Changing.
    buffer: Vec<u8>,
    upload: Option<Unfinished>,
    /// The number of parts so far.
    parts: usize,
    /// The number of bytes in them.
    bytes: u64,
    uploading: JoinSet<Result<(usize, PartId), Error>>,
    uploaded: BTreeMap<usize, PartId>,
}

impl ObjectUpload {
    /// A new object. Nothing is sent before there is a part.
    pub(super) fn new(
        store: Arc<AmazonS3>,
        patience: Patience,
        room: Arc<Semaphore>,
        path: String,
        note: String,
    ) -> Self {
        let (uploading, uploaded) = (JoinSet::new(), BTreeMap::new());
        let buffer = Vec::new();
        Self { store, patience, room, path, note, buffer, upload: None, parts: 0, bytes: 0, uploading, uploaded }
    }

    /// Appends bytes. Waits while enough parts are in flight.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= PART_BYTES {
            let rest = self.buffer.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    /// Completes the object.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        let last = std::mem::take(&mut self.buffer);
        if self.upload.is_none() {
            return self.put(&self.path, last).await;
        }
        if !last.is_empty() {
            self.send(last).await?;
        }
        while let Some(ended) = self.uploading.join_next().await {
            self.take(ended)?;
        }
        let parts: Vec<PartId> = std::mem::take(&mut self.uploaded).into_values().collect();
        self.patience.answer(|| self.complete(parts.clone())).await?;
        self.upload = None;
        self.remove(&self.note).await
    }

    /// Deletes what is uploaded. First waits for parts in flight, because a part that arrives after the abort could
    /// bring the upload back.
    pub(super) async fn abort(&mut self) -> Result<(), Error> {
        let arrived = async { while self.uploading.join_next().await.is_some() {} };
        let _late = tokio::time::timeout(ARRIVAL_WAIT, arrived).await;
        self.uploading.shutdown().await;
        let Some(upload) = self.upload.take() else { return Ok(()) };
        upload.abort(&self.store).await?;
        Store::S3(Arc::clone(&self.store)).remove(&self.note).await
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<(), Error> {
        let path = key(&self.path)?;
        let id = match &self.upload {
            Some(upload) => upload.upload.clone(),
            None => self.begin().await?,
        };
        let room = Arc::clone(&self.room).acquire_owned().await.expect("nobody closes it");
        while let Some(ended) = self.uploading.try_join_next() {
            self.take(ended)?;
        }
        let (store, patience, number) = (Arc::clone(&self.store), self.patience.clone(), self.parts);
        self.parts += 1;
        self.bytes += part.len() as u64;
        let (part, what) = (PutPayload::from(part), self.path.clone());
        self.uploading.spawn(async move {
            let _room = room;
            let put = || async {
                let put = store.put_part(&path, &id, number, part.clone()).await;
                put.map_err(|error| cannot_write(&what, error))
            };
            Ok((number, patience.answer(put).await?))
        });
        Ok(())
    }

    /// Begins an upload, and returns the bucket's id of it.
    async fn begin(&mut self) -> Result<String, Error> {
        // An earlier run of the job may have left an object at this path, in an attempt with the same number.
        self.remove(&self.path).await?;
        let path = key(&self.path)?;
        let create =
            || async { self.store.create_multipart(&path).await.map_err(|error| cannot_write(&self.path, error)) };
        let id = self.patience.answer(create).await?;
        let upload = Unfinished { path: self.path.clone(), upload: id.clone() };
        let text = serde_json::to_vec(&upload).expect("plain data");
        self.upload = Some(upload);
        self.put(&self.note, text).await?;
        crash_point("file-sink.upload-begun");
        Ok(id)
    }

    async fn complete(&self, parts: Vec<PartId>) -> Result<(), Error> {
        let upload = self.upload.as_ref().expect("it has begun");
        match self.store.complete_multipart(&key(&self.path)?, &upload.upload, parts).await {
            Ok(_) => Ok(()),
            // The upload may have been completed before, with a lost answer.
            Err(error @ object_store::Error::NotFound { .. }) => {
                let found = Store::S3(Arc::clone(&self.store)).head(&self.path).await?;
                match found.is_some_and(|file| file.size == self.bytes) {
                    true => Ok(()),
                    false => Err(cannot_write(&self.path, error)),
                }
            }
            Err(error) => Err(cannot_write(&self.path, error)),
        }
    }

    fn take(&mut self, ended: Result<Result<(usize, PartId), Error>, tokio::task::JoinError>) -> Result<(), Error> {
        let (number, part) = ended.map_err(|error| failed("an I/O task ended early".to_owned(), error))??;
        self.uploaded.insert(number, part);
        Ok(())
    }

    async fn put(&self, path: &str, content: Vec<u8>) -> Result<(), Error> {
        let (key, content) = (key(path)?, PutPayload::from_bytes(Bytes::from(content)));
        let put = || async {
            let put = self.store.put(&key, content.clone()).await;
            put.map(drop).map_err(|error| cannot_write(path, error))
        };
        self.patience.answer(put).await
    }

    async fn remove(&self, path: &str) -> Result<(), Error> {
        let store = Store::S3(Arc::clone(&self.store));
        self.patience.answer(|| store.remove(path)).await
    }
}

fn cannot_write(path: &str, error: object_store::Error) -> Error {
    failed(format!("cannot write object '{path}'"), error)
}
