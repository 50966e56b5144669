//! Checkpoint ids and the barriers that carry them through the channels.

use std::fmt;

/// The number of a checkpoint. Ids grow within an attempt. No two complete checkpoints of a job have the same. The next
/// attempt uses the number of a checkpoint again that was not completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckpointId(u64);

impl CheckpointId {
    /// The id before the first checkpoint of a job.
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
    /// A periodic checkpoint; the job continues behind it.
    Checkpoint,
    /// A self-contained savepoint. With `stop`, sources send nothing behind the barrier.
    Savepoint {
        /// Whether the job stops once the savepoint is complete.
        stop: bool,
    },
}

/// Cuts a stream: what is before it belongs to the checkpoint, what is behind it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint this barrier belongs to.
    pub checkpoint: CheckpointId,
    /// Why it was sent.
    pub kind: BarrierKind,
    /// The latest completed checkpoint of the attempt, if what has changed since is enough. `None`: all state is wanted.
    pub since: Option<CheckpointId>,
    /// Which part of the state is wanted besides: the number of completed checkpoints of the attempt, modulo the number of
    /// parts.
    pub part: u8,
}

impl Barrier {
    /// A barrier behind which all state is wanted.
    pub const fn of_all_state(checkpoint: CheckpointId, kind: BarrierKind) -> Self {
        Self { checkpoint, kind, since: None, part: 0 }
    }
}
