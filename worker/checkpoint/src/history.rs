//! Histories: sequences of checkpoints in which each continues the output of the one before it.
//!
//! Sinks decide by the number of a checkpoint whether its output is visible: if the output of a checkpoint is visible,
//! so is that of all earlier ones of the same history. A start from anything but the latest checkpoint skips what that
//! checkpoint has staged, perhaps for ever, and its output does not continue that of the skipped one. Such a start
//! begins a new history. Numbers are compared within one history only.

use crate::error::Result;
use crate::handle::CheckpointHandle;
use crate::job::JobStore;
use crate::record::CheckpointRef;

/// The history that a job's folder names. The others are named by their numbers.
pub(crate) const FIRST: u32 = 0;

/// A new history.
pub(crate) fn drawn() -> u32 {
    (JobStore::nonce() as u32).max(FIRST + 1)
}

/// The name of a history outside the job.
pub(crate) async fn name(store: &JobStore, history: u32) -> Result<String> {
    if history == FIRST { store.history().await } else { Ok(text(history)) }
}

/// The name of a history that is not the first.
pub(crate) fn text(history: u32) -> String {
    format!("{history:08x}")
}

/// Whether the restored state is that of a checkpoint of the job, or of a savepoint that was taken with it.
pub(crate) async fn is_of(store: &JobStore, latest: &CheckpointRef, restored: &CheckpointHandle) -> Result<bool> {
    if restored.uri() == store.completed(latest).uri {
        return Ok(true);
    }
    let of = (restored.id(), restored.attempt(), restored.job());
    if of != (latest.checkpoint, latest.attempt, store.job()) || !restored.is_savepoint() {
        return Ok(false);
    }
    Ok(restored.history().await? == Some(name(store, latest.history).await?))
}
