//! The contract of sinks: writers that stage output, and a committer that makes it visible.
//!
//! Exactly once, in three steps. During an epoch a writer stages rows where no reader sees them. At the barrier it
//! hands over committables: small, self-contained descriptions of what is staged, which become part of the checkpoint.
//! When the checkpoint is complete the committer makes them visible; it does so again after a crash, so a commit must
//! be idempotent.
//!
//! A checkpoint may be abandoned at any moment. Then nobody awaits its committables until a later checkpoint contains
//! them. So the work of [`SinkWriter::prepare_commit`] begins when it is called, and ends even if nobody awaits it.
//! Meanwhile the writer accepts rows, up to a bound, and further barriers.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use eddyline_stream::{Batch, CheckpointId};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::Error;

/// Staged output that a commit makes visible.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Committable {
    /// A description of the staged output, in the connector's own format. It is part of checkpoints: extend it, never
    /// change a meaning.
    pub description: serde_json::Value,
}

/// What a writer hands over at a barrier: committables, which are ready when everything before the barrier is staged or
/// acknowledged. The work continues whether or not anybody waits for it.
#[derive(Debug)]
pub struct Prepared(Work);

#[derive(Debug)]
enum Work {
    Done(Option<Result<Vec<Committable>, Error>>),
    Running(JoinHandle<Result<Vec<Committable>, Error>>),
}

impl Prepared {
    /// Committables that are ready at once.
    pub fn done(committables: Vec<Committable>) -> Self {
        Self(Work::Done(Some(Ok(committables))))
    }

    /// Starts the work on the I/O runtime.
    pub fn start(
        io: &tokio::runtime::Handle,
        work: impl Future<Output = Result<Vec<Committable>, Error>> + Send + 'static,
    ) -> Self {
        Self(Work::Running(io.spawn(work)))
    }
}

impl Future for Prepared {
    type Output = Result<Vec<Committable>, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Work::Done(result) => Poll::Ready(result.take().expect("a future is not polled after its end")),
            Work::Running(task) => Pin::new(task).poll(context).map(|ended| {
                ended.unwrap_or_else(|error| {
                    let what = "the work of a sink at a barrier was interrupted".to_owned();
                    Err(Error::Unavailable { what, source: Some(Box::new(error)), retryable: true })
                })
            }),
        }
    }
}

/// Writes rows on a slot thread.
pub trait SinkWriter: Send {
    /// Writes rows of the kinds that the sink's [`changelog_mode`](crate::SinkConfig::changelog_mode) has. It may
    /// buffer rows. It must not block for long (see [`SinkWriter::is_ready`]).
    ///
    /// # Errors
    /// When the rows cannot be written, or an external system has failed.
    fn write(&mut self, batch: &Batch) -> Result<(), Error>;

    /// Whether the writer accepts more rows now. `false` is back-pressure. The waker is called when it ends.
    fn is_ready(&mut self) -> Result<bool, Error> {
        Ok(true)
    }

    /// A barrier: everything written so far belongs to `checkpoint`. Begins at once to stage it durably, or
    /// (at-least-once) to have it acknowledged, on the I/O runtime. The checkpoint is complete only if the returned
    /// work ends with `Ok`.
    fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Prepared;

    /// The number of bytes written since the writer was made, for metrics.
    fn bytes(&self) -> u64;
}

/// Makes staged output visible. A sink of a job has one. It runs on the I/O runtime.
pub trait SinkCommitter: Send {
    /// Commits everything of one checkpoint, from all writers. Idempotent: after a crash it is called again with the
    /// same arguments, possibly by another process. Checkpoints come strictly in order.
    fn commit<'a>(
        &'a mut self,
        checkpoint: CheckpointId,
        committables: &'a [Committable],
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Removes what earlier attempts have staged, except `kept`. Called once after recovery, when the commits of what
    /// is restored are done. `kept` belongs to checkpoints that this start has skipped and another one may restore.
    fn abort_stale<'a>(&'a mut self, kept: &'a [Committable]) -> BoxFuture<'a, Result<(), Error>>;
}

/// What a writer gets from the runtime.
#[derive(Clone)]
pub struct WriterContext {
    /// The I/O runtime.
    pub io: tokio::runtime::Handle,
    /// Wakes the slot thread of this writer.
    pub waker: Arc<dyn Fn() + Send + Sync>,
    /// This writer's subtask index, and how many there are.
    pub subtask: (usize, usize),
    /// The number of the attempt, for names that must not be reused.
    pub attempt: u64,
    /// Receives the error of an outage that the writer waits out. The next checkpoint ends the outage.
    pub waits: Arc<dyn Fn(&Error) + Send + Sync>,
}

/// A sink of a job, opened from its configuration.
pub trait Sink: Send + Sync {
    /// Makes one writer.
    fn writer(&self, context: WriterContext) -> Result<Box<dyn SinkWriter>, Error>;

    /// Makes the committer. `None` if there is nothing to commit.
    fn committer(&self, io: tokio::runtime::Handle) -> Result<Option<Box<dyn SinkCommitter>>, Error>;
}

/// Stores output of a sink between a barrier and its commit, beside the checkpoints and as durably.
///
/// Objects are written once, under names a sink never uses again. Only the collector of old checkpoints deletes what a
/// committable names: a commit may be repeated until a later control record covers it.
pub trait Staging: Send + Sync {
    /// Writes an object. It is durable when the future is `Ok`.
    fn put(&self, name: String, data: Bytes) -> BoxFuture<'_, Result<(), Error>>;

    /// Reads a whole object.
    fn get(&self, name: String) -> BoxFuture<'_, Result<Bytes, Error>>;
}
