//! Requests to a running job.

use std::time::Instant;

/// A savepoint that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavepointOrder {
    /// Its name in [`Status`](super::status::Status).
    pub name: String,
    /// The URI of the folder in which the savepoint gets its own folder.
    pub folder: String,
}

/// A request to a running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take a savepoint and continue.
    Savepoint(SavepointOrder),
    /// Stop, with a savepoint or with a checkpoint. If the savepoint fails, the job keeps running.
    Stop {
        /// The savepoint.
        savepoint: Option<SavepointOrder>,
        /// When the stop is canceled, if the job has not stopped by then.
        deadline: Option<Instant>,
    },
    /// Cancel a stop that has not ended the job yet.
    Resume,
    /// Run on another number of slots.
    Rescale {
        /// The number of slots.
        parallelism: u16,
    },
}
