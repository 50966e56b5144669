//! The life of a job: attempts, checkpoints, savepoints, restarts.
//!
//! [`rounds`] decides about checkpoints. It does no I/O and reads no clock. [`attempt`] runs one attempt and carries
//! out the decisions. [`job`] starts attempts until one succeeds.

pub mod attempt;
pub mod job;
mod recovery;
pub mod request;
pub mod restarts;
pub mod rounds;
pub mod staging;
pub mod status;
mod stop;
mod storing;
pub mod verdict;
