//! The work on a checkpoint beside the loop of an attempt: it is assembled, written, and its output committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::error::ArrowError;
use bytes::Bytes;
use eddyline_checkpoint::{
    CheckpointContents, CompletedCheckpoint, EncodedState, HeldState, Snapshots, StateEncoder, Writer,
};
use eddyline_connectors::backoff::Backoff;
use eddyline_connectors::sink::{Committable, SinkCommitter};
use eddyline_state::{Frozen, Inventory, Snapshot};
use eddyline_stream::{Assignment, Barrier, CheckpointId, OperatorUid, SlotIndex};
use tracing::warn;

use super::attempt::Error;
use super::request::SavepointOrder;
use super::status::Status;
use super::verdict::{self, Verdict};
use crate::runtime::output::Staged;

/// What is staged for a checkpoint.
pub(super) type BySink = BTreeMap<OperatorUid, Vec<Committable>>;
/// The committers of the sinks.
pub(super) type Committers = BTreeMap<OperatorUid, Box<dyn SinkCommitter>>;
/// Requested savepoints, each with its location or the reason why it could not be written.
pub(super) type Written = Vec<(SavepointOrder, Result<String, String>)>;

/// A complete checkpoint.
pub(super) struct Stored {
    pub(super) completed: CompletedCheckpoint,
    /// The state in memory, if the next attempt continues with it.
    pub(super) held: Option<HeldState>,
    pub(super) savepoints: Written,
}

/// Why a checkpoint is not complete.
pub(super) enum StoreError {
    Stage { sink: OperatorUid, source: Box<eddyline_connectors::Error> },
    Gather { operator: OperatorUid, source: ArrowError },
    Write(Box<eddyline_checkpoint::Error>),
}

/// Everything that tasks have handed over for a checkpoint.
pub(super) struct Parts {
    /// The barrier at which they were handed over.
    pub(super) barrier: Barrier,
    pub(super) frozen: Vec<(OperatorUid, SlotIndex, Frozen)>,
    pub(super) splits: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    pub(super) finished: BTreeMap<OperatorUid, Vec<Bytes>>,
    /// The staged output, including that of abandoned checkpoints.
    pub(super) staged: Vec<(OperatorUid, Staged)>,
    pub(super) assignment: Assignment,
    /// The savepoints that are taken with it.
    pub(super) orders: Vec<SavepointOrder>,
    /// The most bytes of state that stay in memory, because the job continues from it in this process. `None` if it
    /// does not.
    pub(super) held_bytes_max: Option<u64>,
}

/// Stores a checkpoint. Even if that fails, returns what is staged, for the next checkpoint.
pub(super) async fn store(parts: Parts, writer: &Writer, status: &Status) -> (BySink, Result<Stored, StoreError>) {
    let Parts { barrier, frozen, splits, finished, staged, assignment, orders, held_bytes_max } = parts;
    // State is gathered before output is staged: while state is frozen, an operator must copy what it changes.
    let encoder = writer.state_encoder(assignment.max_parallelism());
    let encoding = tokio::task::spawn_blocking(move || encode(frozen, encoder, held_bytes_max));
    let mut by_sink = BySink::new();
    for (sink, staged) in staged {
        match staged.await {
            Ok(committables) => by_sink.entry(sink).or_default().extend(committables),
            Err(source) => return (by_sink, Err(StoreError::Stage { sink, source: Box::new(source) })),
        }
    }
    eddyline_stream::crash_point("coordinator.staged");
    let value = |one: &Committable| serde_json::to_value(one).expect("a committable is plain data");
    let committables =
        by_sink.iter().map(|(sink, of_sink)| (sink.clone(), of_sink.iter().map(value).collect())).collect();
    let (state, snapshots) = match encoding.await.expect("encoding does not panic and is not abandoned") {
        Ok((state, snapshots)) => (Arc::new(state), snapshots),
        Err(failed) => return (by_sink, Err(failed)),
    };
    let Barrier { checkpoint, since, part, .. } = barrier;
    let contents = CheckpointContents { state, since, part, splits, finished, committables, assignment };
    let written = write(writer, checkpoint, contents, (orders, snapshots), status).await;
    (by_sink, written.map_err(|error| StoreError::Write(Box::new(error))))
}

/// Encodes the frozen state of subtasks while it is gathered, a piece at a time. All rows are also kept if they have at
/// most `held_bytes_max` bytes.
fn encode(
    frozen: Vec<(OperatorUid, SlotIndex, Frozen)>,
    mut encoder: StateEncoder,
    held_bytes_max: Option<u64>,
) -> Result<(EncodedState, Option<Snapshots>), StoreError> {
    let mut held = held_bytes_max.map(|_| Snapshots::new());
    let mut held_bytes = 0u64;
    for (operator, slot, frozen) in frozen {
        let mut keyed = Vec::new();
        let mut refused = None;
        let gathered = frozen.gather_into(&mut |rows| {
            if let Err(error) = encoder.rows(&operator, slot, &rows) {
                refused = Some(error);
                return Err(ArrowError::ExternalError("the rows cannot be encoded".into()));
            }
            held_bytes += (rows.rows.get_array_memory_size() + 8 * rows.key_hashes.len()) as u64;
            if held_bytes_max.is_some_and(|max| held_bytes > max) {
                held = None;
                keyed.clear();
            }
            if held.is_some() {
                keyed.push(rows);
            }
            Ok(())
        });
        let inventory = match (gathered, refused) {
            (_, Some(error)) => return Err(StoreError::Write(Box::new(error))),
            (Err(source), None) => return Err(StoreError::Gather { operator, source }),
            (Ok(inventory), None) => inventory,
        };
        if let Some(held) = &mut held {
            let Inventory { buckets, union } = inventory.clone();
            held.push((operator.clone(), slot, Snapshot { keyed, buckets, union }));
        }
        encoder.inventory(&operator, slot, inventory);
    }
    Ok((encoder.finish(), held))
}

/// Writes a checkpoint and its savepoints.
async fn write(
    writer: &Writer,
    checkpoint: CheckpointId,
    contents: CheckpointContents,
    (orders, snapshots): (Vec<SavepointOrder>, Option<Snapshots>),
    status: &Status,
) -> Result<Stored, eddyline_checkpoint::Error> {
    let mut savepoints = Vec::with_capacity(orders.len());
    for order in orders {
        let written = writer.write_savepoint(&order.folder, checkpoint, &contents).await;
        let result = match written {
            Err(error) if error.ends_attempt() => return Err(error),
            written => written.map_err(|error| crate::chain_of(&error)),
        };
        savepoints.push((order, result));
    }
    let mut backoff = Backoff::new();
    let mut written = writer.write(checkpoint, contents).await;
    while let Err(error) = &written
        && matches!(error, eddyline_checkpoint::Error::Unresolved { source: Some(why), .. } if why.is_retryable())
    {
        // A new attempt would wait for the same storage, and would read the input of this checkpoint again.
        let wait = backoff.wait();
        let wait_ms = wait.as_millis() as u64;
        warn!(%checkpoint, error = %crate::chain_of(error), wait_ms, "the control record of the checkpoint could not be written, retrying");
        status.checkpoint_error(crate::reason_of(error));
        tokio::time::sleep(wait).await;
        written = writer.resolve(checkpoint).await;
    }
    let completed = written?;
    let held = snapshots.map(|snapshots| HeldState::new(completed.clone(), Arc::new(snapshots)));
    Ok(Stored { completed, held, savepoints })
}

/// Commits the staged output of a checkpoint, and marks its savepoints as committed. Returns the savepoints that cannot
/// be handed over, with the reasons.
pub(super) async fn commit(
    committers: &mut Committers,
    checkpoint: CheckpointId,
    to_commit: &BySink,
    writer: &Writer,
    savepoints: &[String],
    status: &Status,
) -> Result<BTreeMap<String, String>, Error> {
    if !savepoints.is_empty() {
        eddyline_stream::crash_point("savepoint.stored");
    }
    let mut backoff = Backoff::new();
    while let Err(error) = commit_all(committers, checkpoint, to_commit, writer).await {
        let Error::Commit { source, .. } = &error else { return Err(error) };
        if verdict::of_connector(source) != Verdict::Outage {
            return Err(error);
        }
        // A new attempt would also have to wait, and would read the rows after the checkpoint again.
        let wait = backoff.wait();
        let wait_ms = wait.as_millis() as u64;
        warn!(%checkpoint, error = %crate::chain_of(&error), wait_ms, "staged output could not be committed, retrying");
        status.checkpoint_error(crate::reason_of(&error));
        tokio::time::sleep(wait).await;
    }
    let mut lost = BTreeMap::new();
    for uri in savepoints {
        eddyline_stream::crash_point("savepoint.before-mark");
        if let Err(error) = writer.mark_savepoint_committed(uri).await {
            // A job that restores the savepoint commits its output again, which changes nothing.
            warn!(%uri, error = %crate::chain_of(&error), "the savepoint could not be marked as committed");
        }
        let mut backoff = Backoff::new();
        while let Err(error) = writer.hand_over_savepoint(uri).await {
            if !error.is_retryable() {
                lost.insert(uri.clone(), crate::chain_of(&error));
                break;
            }
            let wait = backoff.wait();
            let wait_ms = wait.as_millis() as u64;
            warn!(%uri, error = %crate::chain_of(&error), wait_ms, "the savepoint could not be handed over, retrying");
            status.checkpoint_error(crate::reason_of(&error));
            tokio::time::sleep(wait).await;
        }
    }
    Ok(lost)
}

/// Commits the staged output of a checkpoint, and records that. Recovery also begins with this.
pub(super) async fn commit_all(
    committers: &mut Committers,
    checkpoint: CheckpointId,
    to_commit: &BySink,
    writer: &Writer,
) -> Result<(), Error> {
    for (sink, committer) in committers {
        let committables = to_commit.get(sink).map_or(&[][..], Vec::as_slice);
        committer.commit(checkpoint, committables).await.map_err(|source| Error::Commit {
            sink: sink.clone(),
            checkpoint,
            source: Box::new(source),
        })?;
        eddyline_stream::crash_point("coordinator.committed-one");
    }
    eddyline_stream::crash_point("coordinator.committed");
    writer.mark_committed(checkpoint).await.map_err(|error| Error::Checkpoint(Box::new(error)))
}
