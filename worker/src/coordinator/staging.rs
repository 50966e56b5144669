//! Staged sink output, kept beside the checkpoints that refer to it.

use bytes::Bytes;
use eddyline_checkpoint::JobStore;
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
