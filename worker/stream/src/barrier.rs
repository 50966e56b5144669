//! Checkpoint ids and the barriers that carry them through the channels.

use std::fmt;

/// The number of a checkpoint. Ids grow within an attempt, and each completed checkpoint of a job has its own. The next
/// attempt reuses the number of a checkpoint that was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointId(u64);

impl CheckpointId {
    /// The value before the first checkpoint of a job.
    pub const NONE: CheckpointId = CheckpointId(0);

    /// The checkpoint with this number; 0 is [`CheckpointId::NONE`].
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The plain number, for formats and metrics.
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The id that follows this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for CheckpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a barrier was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierKind {
    /// A periodic checkpoint. The job continues after it.
    Checkpoint,
    /// A self-contained savepoint. With `stop`, sources send nothing after the barrier.
    Savepoint {
        /// Whether the job stops once the savepoint is complete.
        stop: bool,
    },
}

/// Cuts a stream: elements before it belong to the checkpoint, elements after it do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint this barrier belongs to.
    pub checkpoint: CheckpointId,
    /// Why it was sent.
    pub kind: BarrierKind,
    /// The attempt's latest completed checkpoint, if the changes since then suffice. `None`: all state is needed.
    pub since: Option<CheckpointId>,
    /// Which part of the unchanged state is needed in addition: the number of completed checkpoints of the attempt,
    /// modulo the number of parts.
    pub part: u8,
}

impl Barrier {
    /// A barrier that requests all state.
    pub const fn of_all_state(checkpoint: CheckpointId, kind: BarrierKind) -> Self {
        Self { checkpoint, kind, since: None, part: 0 }
    }
}
