//! The contents of a checkpoint, and the description of a completed one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_state::Snapshot;
use eddyline_stream::{Assignment, Attempt, CheckpointId, MaxParallelism, OperatorUid, SlotIndex};

use crate::encode::EncodedState;

/// The state of each subtask.
pub type Snapshots = Vec<(OperatorUid, SlotIndex, Snapshot)>;

/// What all subtasks have handed over at one barrier.
#[derive(Clone, Debug)]
pub struct CheckpointContents {
    /// The state of all subtasks.
    pub state: Arc<EncodedState>,
    /// The latest completed checkpoint of the attempt, if subtasks may leave out rows that have not changed since.
    /// `None` if they hand over all rows, as savepoints need them.
    pub since: Option<CheckpointId>,
    /// The part of the state that there is whether or not it has changed: the number of completed checkpoints of
    /// the attempt, modulo [`PARTS`](eddyline_state::snapshot::PARTS).
    pub part: u8,
    /// Every split of each source, with its position.
    pub splits: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    /// The parts of each source that have been read to their end, as blocks in the connector's own format.
    pub finished: BTreeMap<OperatorUid, Vec<Bytes>>,
    /// What each sink has staged for this checkpoint.
    pub committables: BTreeMap<OperatorUid, Vec<serde_json::Value>>,
    /// The slot that owned each key group.
    pub assignment: Assignment,
}

/// The properties of a job that cannot change while it has state, and how many of its checkpoints are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobIdentity {
    /// The number of key groups.
    pub max_parallelism: MaxParallelism,
    /// The version of the key hash.
    pub hash_version: u32,
    /// The number of completed checkpoints that are kept, at least 1.
    pub retain: usize,
}

/// A completed checkpoint: its control record exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletedCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// The attempt that wrote it.
    pub attempt: Attempt,
    /// Its location, by which it can be opened.
    pub uri: String,
    /// The bytes of state that were written for it, without what it shares with earlier checkpoints.
    pub bytes: u64,
}
