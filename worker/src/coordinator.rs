//! The life of a job: attempts, checkpoints, savepoints, restarts.
//!
//! Decisions about checkpoints are in [`rounds`], which does no I/O and reads no clock; [`attempt`] runs one attempt and
//! carries the decisions out; [`job`] starts attempts until one ends well.

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
