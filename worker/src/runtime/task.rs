//! What all tasks have in common: how a slot steps them, and what they report to the coordinator.

use std::time::{Duration, Instant};

use eddyline_connectors::source::Split;
use eddyline_state::Frozen;
use eddyline_stream::{CheckpointId, OperatorUid, SlotIndex};
use tokio::sync::mpsc::UnboundedSender;

use super::output::Staged;

/// Why a task, and with it the attempt, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An operator failed on its input.
    #[error("{label} ({operator}) failed")]
    Operator {
        /// Which operator.
        operator: OperatorUid,
        /// What it does.
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
    /// Rows could not be dealt to the subtasks of a receiver.
    #[error("failed to partition rows by key")]
    Partition(#[source] crate::exchange::partitioner::Error),
    /// The slot thread ended by a panic: a defect, reported with what it said.
    #[error("slot {slot} stopped: {message}; this is a defect of eddyline, please report it")]
    Panicked {
        /// Which slot.
        slot: SlotIndex,
        /// The panic's message.
        message: String,
    },
}

/// One task's part of a checkpoint.
#[derive(Default)]
pub struct TaskSnapshot {
    /// State of the operators in the chain.
    pub operators: Vec<(OperatorUid, Frozen)>,
    /// How far each split of a source has been read.
    pub splits: Option<(OperatorUid, Vec<Split>)>,
    /// What a sink has staged; ready when the future is.
    pub staged: Option<(OperatorUid, Staged)>,
}

/// What a task reports to the coordinator.
pub enum Event {
    /// The barrier has passed; this is the task's part.
    Acknowledged {
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// In which slot.
        slot: SlotIndex,
        /// The part.
        snapshot: TaskSnapshot,
        /// How long channels were blocked for alignment.
        alignment: Duration,
    },
    /// All inputs have ended and everything has been sent on. Barriers still pass.
    Ended,
    /// The task cannot continue.
    Failed(Error),
}

/// The way from tasks to the coordinator.
pub type EventSender = UnboundedSender<Event>;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Work was done; there may be more.
    Worked,
    /// Nothing to do at the moment.
    Idle,
    /// There is no room downstream.
    Backpressured,
}

/// A subtask of a chain, stepped by its slot thread.
pub trait Task: Send {
    /// Does a bounded piece of work, if there is some.
    fn step(&mut self) -> Result<Progress, Error>;

    /// When it has something to do although nothing wakes its slot, if it is idle until then.
    fn due_at(&self) -> Option<Instant> {
        None
    }

    /// Counts time in which the task did nothing, for the reason its last step gave.
    fn account(&self, progress: Progress, time: Duration);
}
