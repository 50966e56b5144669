//! The common interface of tasks: how a slot steps them, and what they report to the coordinator.

use std::time::{Duration, Instant};

use eddyline_connectors::source::Split;
use eddyline_state::Frozen;
use eddyline_stream::{CheckpointId, OperatorUid, SlotIndex};
use tokio::sync::mpsc::UnboundedSender;

use super::output::Staged;

/// Why a task has failed, and so the attempt.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operator failed on its input.
    #[error("{label} ({operator}) failed")]
    Operator {
        /// Which operator.
        operator: OperatorUid,
        /// Its label in EXPLAIN.
        label: String,
        /// Why.
        source: Box<eddyline_operators::Error>,
    },
    /// A source or sink failed.
    #[error("{operator} failed")]
    Connector {
        /// Which source or sink.
        operator: OperatorUid,
        /// Why.
        source: Box<eddyline_connectors::Error>,
    },
    /// Rows could not be distributed to the subtasks of a receiver.
    #[error("failed to partition rows by key")]
    Partition(#[source] crate::exchange::partitioner::Error),
    /// Memory is used up, and nothing more can be moved to the local disk.
    #[error(
        "the job needs more memory than its limit of {} MiB: {} MiB are in use, and no more state can be moved to the \
         local disk. The most state in memory have: {operators}. Raise the limit (workers.resources.limits.memory, or \
         --memory), or raise the parallelism",
        limit >> 20,
        resident >> 20
    )]
    OutOfMemory {
        /// The limit, in bytes.
        limit: u64,
        /// The resident memory, in bytes.
        resident: u64,
        /// The operators with the most state in memory, and how much they have.
        operators: String,
    },
    /// The slot thread panicked, which is a defect.
    #[error("slot {slot} stopped: {message}; this is a defect of eddyline, please report it")]
    Panicked {
        /// Which slot.
        slot: SlotIndex,
        /// The panic's message.
        message: String,
    },
}

/// The part of one task in a checkpoint.
#[derive(Default)]
pub struct TaskSnapshot {
    /// State of the operators in the chain.
    pub operators: Vec<(OperatorUid, Frozen)>,
    /// The splits of a source, with their positions.
    pub splits: Option<(OperatorUid, Vec<Split>)>,
    /// The staged output of a sink.
    pub staged: Option<(OperatorUid, Staged)>,
}

/// An event that a task reports to the coordinator.
pub enum Event {
    /// A barrier has passed.
    Acknowledged {
        /// The checkpoint.
        checkpoint: CheckpointId,
        /// The slot of the task.
        slot: SlotIndex,
        /// The task's part of the checkpoint.
        snapshot: TaskSnapshot,
        /// The time for which channels were blocked for alignment.
        alignment: Duration,
    },
    /// All inputs have ended and everything has been sent on. Barriers still pass.
    Ended,
    /// The task cannot continue.
    Failed(Error),
}

/// Sends events to the coordinator.
pub type EventSender = UnboundedSender<Event>;

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Work was done, and there may be more.
    Worked,
    /// There is nothing to do at the moment.
    Idle,
    /// There is no room downstream.
    Backpressured,
}

/// A subtask of a chain, stepped by its slot thread.
pub trait Task: Send {
    /// Does a bounded amount of work, if there is some.
    fn step(&mut self) -> Result<Progress, Error>;

    /// When an idle task has something to do again, although nothing wakes its slot. `None` if there is no such time.
    fn due_at(&self) -> Option<Instant> {
        None
    }

    /// Counts time in which the task did nothing. `progress` is the result of its last step, which is the reason.
    fn account(&self, progress: Progress, time: Duration);
}
