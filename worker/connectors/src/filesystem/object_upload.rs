//! An object of a bucket while it is written, in parts that are uploaded side by side.
//!
//! A bucket keeps, and bills, the parts of an upload that is neither completed nor aborted, and no listing shows them. So
//! each upload has a note in the staging folder with its id, from its beginning to its end: whoever finds a note of a dead
//! attempt aborts the upload. Small objects have no parts and need no note.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_stream::crash_point;
use object_store::aws::AmazonS3;
use object_store::multipart::{MultipartStore, PartId};
use object_store::{ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::store::{Store, failed, key};
use crate::Error;

/// The size of a part; S3 takes none below 5 MiB, but for the last.
const PART_BYTES: usize = 10 << 20;
/// Parts of an object on their way at the same time.
const PARTS_MAX: usize = 4;

/// An upload that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unfinished {
    /// The key of the object.
    path: String,
    /// What the bucket calls the upload.
    upload: String,
}

impl Unfinished {
    /// Reads a note.
    pub(super) fn parse(note: &[u8]) -> Option<Self> {
        serde_json::from_slice(note).ok()
    }

    /// Has the bucket throw its parts away; it is no error when there are none any more.
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
    path: String,
    /// Where the note of its upload is.
    note: String,
    // Changing.
    buffer: Vec<u8>,
    upload: Option<Unfinished>,
    /// Parts so far.
    parts: usize,
    uploading: JoinSet<object_store::Result<(usize, PartId)>>,
    uploaded: BTreeMap<usize, PartId>,
}

impl ObjectUpload {
    /// Nothing is sent before there is a part.
    pub(super) fn new(store: Arc<AmazonS3>, path: String, note: String) -> Self {
        Self {
            store,
            path,
            note,
            buffer: Vec::new(),
            upload: None,
            parts: 0,
            uploading: JoinSet::new(),
            uploaded: BTreeMap::new(),
        }
    }

    /// Appends bytes. Waits while enough parts are on their way.
    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        while self.buffer.len() >= PART_BYTES {
            let rest = self.buffer.split_off(PART_BYTES);
            let part = std::mem::replace(&mut self.buffer, rest);
            self.send(part).await?;
        }
        Ok(())
    }

    /// Makes the object.
    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        let last = std::mem::take(&mut self.buffer);
        if self.upload.is_none() {
            let put = self.store.put(&key(&self.path)?, PutPayload::from_bytes(Bytes::from(last))).await;
            return put.map(drop).map_err(|error| self.failed(error));
        }
        if !last.is_empty() {
            self.send(last).await?;
        }
        while !self.uploading.is_empty() {
            self.next_uploaded().await?;
        }
        let upload = self.upload.as_ref().expect("it has begun");
        let parts = std::mem::take(&mut self.uploaded).into_values().collect();
        let completed = self.store.complete_multipart(&key(&self.path)?, &upload.upload, parts).await;
        completed.map_err(|error| self.failed(error))?;
        self.upload = None;
        Store::S3(Arc::clone(&self.store)).remove(&self.note).await
    }

    /// Throws away what is uploaded.
    pub(super) async fn abort(&mut self) -> Result<(), Error> {
        self.uploading.shutdown().await;
        let Some(upload) = self.upload.take() else { return Ok(()) };
        upload.abort(&self.store).await?;
        Store::S3(Arc::clone(&self.store)).remove(&self.note).await
    }

    async fn send(&mut self, part: Vec<u8>) -> Result<(), Error> {
        let path = key(&self.path)?;
        if self.upload.is_none() {
            let id = self.store.create_multipart(&path).await.map_err(|error| self.failed(error))?;
            let upload = Unfinished { path: self.path.clone(), upload: id };
            let text = serde_json::to_vec(&upload).expect("plain data");
            self.upload = Some(upload);
            let noted = self.store.put(&key(&self.note)?, PutPayload::from(text)).await;
            noted.map_err(|error| failed(format!("cannot write object '{}'", self.note), error))?;
            crash_point("file-sink.upload-begun");
        }
        while self.uploading.len() >= PARTS_MAX {
            self.next_uploaded().await?;
        }
        let id = self.upload.as_ref().expect("it has begun").upload.clone();
        let (store, number) = (Arc::clone(&self.store), self.parts);
        self.parts += 1;
        self.uploading.spawn(async move {
            let uploaded = store.put_part(&path, &id, number, PutPayload::from(part)).await?;
            Ok((number, uploaded))
        });
        Ok(())
    }

    async fn next_uploaded(&mut self) -> Result<(), Error> {
        match self.uploading.join_next().await {
            None => Ok(()),
            Some(Ok(Ok((number, part)))) => {
                self.uploaded.insert(number, part);
                Ok(())
            }
            Some(Ok(Err(error))) => Err(self.failed(error)),
            Some(Err(error)) => Err(failed("an I/O task ended early".to_owned(), error)),
        }
    }

    fn failed(&self, error: object_store::Error) -> Error {
        failed(format!("cannot write object '{}'", self.path), error)
    }
}
