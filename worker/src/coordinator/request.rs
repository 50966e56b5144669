//! Requests to a running job.

use std::time::Instant;

/// A savepoint that somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavepointOrder {
    /// Its name in [`Status`](super::status::Status).
    pub name: String,
    /// The folder that the savepoint's own folder is made in, as a URI.
    pub folder: String,
}

/// A request to a running job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Take a savepoint and continue.
    Savepoint(SavepointOrder),
    /// Stop, with a savepoint or with a checkpoint. When the savepoint fails, the job continues.
    Stop {
        /// The savepoint.
        savepoint: Option<SavepointOrder>,
        /// When the stop is taken back if the job has not stopped by then.
        deadline: Option<Instant>,
    },
    /// Take back a stop that has not ended the job yet.
    Resume,
    /// Run on another number of slots.
    Rescale {
        /// How many.
        parallelism: u16,
    },
}
