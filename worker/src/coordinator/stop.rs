//! What a running job is being stopped for, and whether that can still be taken back.

use std::time::Instant;

use super::request::SavepointOrder;

/// What a job is stopped for.
#[derive(Debug)]
pub(super) enum Stop {
    /// For somebody who wants it stopped.
    With {
        /// The savepoint that it is stopped with; a checkpoint if there is none.
        order: Option<SavepointOrder>,
        /// When it is taken back if the job has not stopped by then.
        deadline: Option<Instant>,
    },
    /// To continue at once with another number of slots.
    Rescale {
        /// How many.
        parallelism: u16,
        /// When it was asked for.
        requested: Instant,
    },
}

impl Stop {
    /// The savepoint that the job is stopped with.
    pub(super) fn order(&self) -> Option<&SavepointOrder> {
        match self {
            Self::With { order, .. } => order.as_ref(),
            Self::Rescale { .. } => None,
        }
    }

    /// Whether it was to have come to its end by now.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        matches!(self, Self::With { deadline: Some(deadline), .. } if *deadline <= now)
    }

    /// A further request while the job is being stopped. A stop takes precedence over a rescale, and the request with the
    /// latest deadline decides how long the stop may take. Returns a savepoint that was requested beside that of the first
    /// stop.
    pub(super) fn join(&mut self, other: Stop) -> Option<SavepointOrder> {
        match (&mut *self, other) {
            (Self::With { deadline, .. }, Self::With { order, deadline: theirs }) => {
                *deadline = deadline.zip(theirs).map(|(own, theirs)| own.max(theirs));
                order
            }
            (Self::With { .. }, Self::Rescale { .. }) => None,
            (Self::Rescale { .. }, other) => {
                *self = other;
                None
            }
        }
    }
}
