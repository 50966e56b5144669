//! Staged sink output, kept beside the checkpoints that refer to it.

use bytes::Bytes;
use eddyline_checkpoint::{CheckpointHandle, JobStore};
use eddyline_connectors::Error;
use eddyline_connectors::sink::Staging;
use futures::FutureExt;
use futures::future::BoxFuture;

/// Small named objects in the job's checkpoint folder. Garbage collection knows them: they stay until the checkpoint that
/// names them is committed.
#[derive(Clone)]
pub struct CheckpointStaging {
    store: JobStore,
}

impl CheckpointStaging {
    /// Staging beside the checkpoints of a job.
    pub fn new(store: JobStore) -> Self {
        Self { store }
    }
}

fn unavailable(action: &str, name: &str, source: eddyline_checkpoint::Error) -> Error {
    Error::Unavailable {
        what: format!("failed to {action} staged output {name}"),
        retryable: source.is_retryable(),
        source: Some(Box::new(source)),
    }
}

impl Staging for CheckpointStaging {
    fn put(&self, name: String, data: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.store.put_staged(&name, data).await.map_err(|error| unavailable("write", &name, error)) }
            .boxed()
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move { self.store.get_staged(&name).await.map_err(|error| unavailable("read", &name, error)) }.boxed()
    }

    fn delete(&self, name: String) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.store.delete_staged(&name).await.map_err(|error| unavailable("delete", &name, error)) }
            .boxed()
    }
}

/// The copies in a savepoint: for commits, which only read.
pub(super) struct SavepointStaging {
    savepoint: CheckpointHandle,
}

impl SavepointStaging {
    /// What is staged in a savepoint.
    pub(super) fn new(savepoint: CheckpointHandle) -> Self {
        Self { savepoint }
    }
}

impl Staging for SavepointStaging {
    fn put(&self, name: String, _: Bytes) -> BoxFuture<'_, Result<(), Error>> {
        let what = format!("staged output {name} cannot be written into a savepoint");
        futures::future::ready(Err(Error::Unavailable { what, source: None, retryable: false })).boxed()
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move { self.savepoint.get_staged(&name).await.map_err(|error| unavailable("read", &name, error)) }.boxed()
    }

    fn delete(&self, _: String) -> BoxFuture<'_, Result<(), Error>> {
        // It goes when the savepoint is marked.
        futures::future::ready(Ok(())).boxed()
    }
}
