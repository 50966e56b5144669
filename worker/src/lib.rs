//! The worker: runs jobs. `eddyline run` runs it on one machine and in one process.
//!
//! `exchange` moves elements between tasks. `runtime` builds tasks from a job graph and steps them on slot threads.
//! `coordinator` decides about checkpoints and attempts. `cli` is the command line, `pod` the role in a cluster,
//! `memory` what the process may have and has. The parts of tasks (operators, connectors, formats, state) have their own crates.

pub mod cli;
pub mod coordinator;
pub mod exchange;
pub mod job_file;
pub mod memory;
pub mod metrics_server;
pub mod pod;
pub mod runtime;

pub use eddyline_api::message::chain_of;

/// An error and its causes, as a text for a status.
pub fn reason_of(error: &(dyn std::error::Error + 'static)) -> String {
    eddyline_api::message::shown(&chain_of(error))
}
