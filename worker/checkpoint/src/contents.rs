//! What a checkpoint is made of, and what it is called afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_state::Snapshot;
use eddyline_stream::{Assignment, Attempt, CheckpointId, MaxParallelism, OperatorUid, SlotIndex};

/// The state of each subtask.
pub type Snapshots = Vec<(OperatorUid, SlotIndex, Snapshot)>;

/// What all subtasks handed over at one barrier.
#[derive(Clone, Debug)]
pub struct CheckpointContents {
    /// The state of each subtask, as it was asked for.
    pub snapshots: Arc<Snapshots>,
    /// The latest completed checkpoint of the attempt, if snapshots may leave out what has not changed since. `None`: they
    /// have all rows, as savepoints need them.
    pub since: Option<CheckpointId>,
    /// Which part of the state they have in any case: the number of completed checkpoints of the attempt, modulo
    /// [`PARTS`](eddyline_state::snapshot::PARTS).
    pub part: u8,
    /// Every split of each source, with its position.
    pub splits: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    /// What of a source has been read to its end, in blocks of its connector's own form.
    pub finished: BTreeMap<OperatorUid, Vec<Bytes>>,
    /// What each sink has staged for this checkpoint.
    pub committables: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    /// Who owned which key group.
    pub assignment: Assignment,
}

/// What of a job cannot change while it has state, and how much of its past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobIdentity {
    /// How many key groups there are.
    pub max_parallelism: MaxParallelism,
    /// The version of the key hash.
    pub hash_version: u32,
    /// How many completed checkpoints are kept, at least 1.
    pub retain: usize,
}

/// A checkpoint that counts: its control record exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// Where it is; can be opened by this.
    pub uri: String,
    /// Bytes of state written for it. What it shares with earlier checkpoints is not counted.
    pub bytes: u64,
}
