//! The state of a checkpoint that the process which took it still has in memory.
//!
//! A change of parallelism within the process stops the job with a checkpoint and resumes from it at once. The
//! snapshots of the old subtasks are distributed to the new ones without reading from storage. Rows of key groups that
//! stay together are shared, and only rows that move are copied out of their batch.

use std::sync::Arc;

use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use eddyline_state::{Snapshot, TableRows};
use eddyline_stream::{KeyGroupSet, OperatorUid};

use crate::contents::{CompletedCheckpoint, Snapshots};
use crate::error::{Error, Result};
use crate::handle::CheckpointHandle;

/// The snapshots of a completed checkpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct HeldState {
    checkpoint: CompletedCheckpoint,
    snapshots: Arc<Snapshots>,
}

impl HeldState {
    /// `snapshots` are those of the contents that were written as `checkpoint`.
    pub fn new(checkpoint: CompletedCheckpoint, snapshots: Arc<Snapshots>) -> Self {
        Self { checkpoint, snapshots }
    }

    /// Whether the handle would read this state.
    pub fn is_of(&self, handle: &CheckpointHandle) -> bool {
        !handle.is_savepoint()
            && (self.checkpoint.id, self.checkpoint.attempt, self.checkpoint.uri.as_str())
                == (handle.id(), handle.attempt(), handle.uri())
    }

    /// Does the same as [`CheckpointHandle::restore`], but from memory.
    ///
    /// # Errors
    /// [`Error::Columns`] when rows cannot be copied out of their batch.
    pub async fn restore(&self, operator: &OperatorUid, key_groups: &KeyGroupSet) -> Result<Snapshot> {
        let (snapshots, operator, key_groups) = (Arc::clone(&self.snapshots), operator.clone(), key_groups.clone());
        tokio::task::spawn_blocking(move || {
            let mut restored = Snapshot::default();
            for (_, _, snapshot) in snapshots.iter().filter(|(own, _, _)| *own == operator) {
                for rows in &snapshot.keyed {
                    restored.keyed.extend(of_key_groups(&operator, rows, &key_groups)?);
                }
                restored.union.extend_from_slice(&snapshot.union);
            }
            Ok(restored)
        })
        .await?
    }
}

/// The rows of some key groups. `None` if there are none.
fn of_key_groups(operator: &OperatorUid, part: &TableRows, key_groups: &KeyGroupSet) -> Result<Option<TableRows>> {
    let wanted: BooleanArray = part.key_hashes.iter().map(|hash| Some(key_groups.contains_hash(*hash))).collect();
    let count = wanted.true_count();
    if count == 0 {
        return Ok(None);
    }
    if count == part.key_hashes.len() {
        return Ok(Some(part.clone()));
    }
    let rows = filter_record_batch(&part.rows, &wanted).map_err(|source| Error::Columns {
        action: "take apart",
        operator: operator.as_str().to_owned(),
        table: part.table.clone(),
        source,
    })?;
    let key_hashes = part.key_hashes.iter().copied().filter(|hash| key_groups.contains_hash(*hash)).collect();
    let (table, bucket) = (part.table.clone(), part.bucket);
    Ok(Some(TableRows { table, bucket, is_whole: part.is_whole, key_hashes, rows }))
}
