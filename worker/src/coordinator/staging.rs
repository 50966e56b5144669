//! Staged sink output, stored beside the checkpoints that refer to it.

use std::sync::Arc;

use bytes::Bytes;
use eddyline_checkpoint::{CheckpointHandle, JobStore};
use eddyline_connectors::Error;
use eddyline_connectors::backoff::Backoff;
use eddyline_connectors::sink::Staging;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tracing::warn;

use super::status::Status;

/// Small named objects in the job's checkpoint folder. Garbage collection keeps them until the checkpoint that names
/// them is committed.
///
/// An outage of storage is waited out, as long as the attempt lasts. Sinks that have enough in flight accept no rows
/// meanwhile, and the status says why.
#[derive(Clone)]
pub struct CheckpointStaging {
    store: JobStore,
    status: Arc<Status>,
    /// The sender is dropped when the attempt is over.
    attempt: watch::Receiver<()>,
}

impl CheckpointStaging {
    /// Staging beside the checkpoints of a job, for an attempt that is over when the sender of `attempt` is dropped.
    pub fn new(store: JobStore, status: Arc<Status>, attempt: watch::Receiver<()>) -> Self {
        Self { store, status, attempt }
    }

    async fn put_when_there(&self, name: &str, data: Bytes) -> Result<(), eddyline_checkpoint::Error> {
        let mut attempt = self.attempt.clone();
        let mut backoff = Backoff::new();
        loop {
            let error = match self.store.put_staged(name, data.clone()).await {
                Err(error) if error.is_retryable() => error,
                done => return done,
            };
            let wait = backoff.wait();
            let wait_ms = wait.as_millis() as u64;
            warn!(name, error = %crate::chain_of(&error), wait_ms, "output could not be staged, retrying");
            self.status.checkpoint_error(crate::reason_of(&error));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                // Nothing is ever sent.
                _ = attempt.changed() => return Err(error),
            }
        }
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
        async move { self.put_when_there(&name, data).await.map_err(|error| unavailable("write", &name, error)) }
            .boxed()
    }

    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>> {
        async move { self.store.get_staged(&name).await.map_err(|error| unavailable("read", &name, error)) }.boxed()
    }
}

/// The copies in a savepoint. They are read-only, for commits.
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
}
