//! Why a running job is being stopped, and whether that can still be canceled.

use std::time::Instant;

use super::request::SavepointOrder;

/// Why a job is being stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// On request.
    With {
        /// The savepoint to stop with. None: a checkpoint.
        order: Option<SavepointOrder>,
        /// When the stop is canceled, if the job has not stopped by then.
        deadline: Option<Instant>,
    },
    /// To continue at once with another number of slots.
    Rescale {
        /// The number of slots.
        parallelism: u16,
        /// When the change was requested.
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

    /// Whether its deadline is over.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        matches!(self, Self::With { deadline: Some(deadline), .. } if *deadline <= now)
    }

    /// Adds a further request while the job is being stopped. A stop takes precedence over a rescale. The latest
    /// deadline of all requests counts; a request without one has no limit. Returns a savepoint to take besides that of
    /// the first stop.
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
