//! The worker: runs jobs. `eddyline run` is this, on one machine and in one process.
//!
//! `exchange` moves elements between tasks, `runtime` builds tasks from a job graph and steps them on slot threads,
//! `coordinator` decides about checkpoints and attempts, `cli` is the command line, `pod` the role in a cluster. Everything the tasks are made of lives
//! in crates of its own beside this one.

pub mod cli;
pub mod coordinator;
pub mod exchange;
pub mod job_file;
pub mod metrics_server;
pub mod pod;
mod reason;
pub mod runtime;

pub use reason::reason_of;

/// An error and everything behind it in one line, for people.
pub fn chain_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let cause = error.to_string();
        // Some libraries repeat the cause in the text of the error itself.
        if !text.ends_with(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
        source = error.source();
    }
    text
}
