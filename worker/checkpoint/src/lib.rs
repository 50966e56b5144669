//! Checkpoints and savepoints: how state becomes durable, which of it counts, and how it comes back.
//!
//! A checkpoint is a [manifest](manifest), the [run files](run_file) that it names, and a [record](record) in the job's
//! control log. It is complete when the record exists. Only the newest attempt can append to the log, so a process that
//! was wrongly taken for dead does no harm. The decisions about the log ([`control`]) and about deletion
//! ([`retention`]) are pure functions. All I/O goes through [`storage`]. The coordinator decides when a checkpoint is
//! taken and which subtasks take part.
//!
//! `docs/formats` describes the formats of all objects. They outlive releases: tags and numbers are never reused.

mod block;
mod chain;
pub mod collector;
pub mod contents;
pub mod control;
mod control_log;
pub mod copy;
mod encode;
mod envelope;
pub mod error;
pub mod fit;
pub mod handle;
pub mod held;
mod history;
pub mod inspect;
pub mod job;
mod kept;
pub mod local_copy;
mod manifest;
mod merge;
pub mod mismatch;
pub mod operators;
mod paths;
mod record;
pub mod removal;
pub mod retention;
mod run_file;
mod schema;
mod spool;
mod staged;
pub mod storage;
mod upload;
pub mod writer;

pub use contents::{CheckpointContents, CompletedCheckpoint, JobIdentity, Snapshots};
pub use copy::{Copied, copy_savepoint};
pub use encode::{EncodedState, StateEncoder};
pub use error::{Error, Result};
pub use fit::Fit;
pub use handle::{BytesRead, CheckpointHandle};
pub use held::HeldState;
pub use inspect::{Inspection, fuzz_open_manifest, fuzz_open_run, inspect};
pub use job::{JobStore, Started};
pub use local_copy::LocalCopies;
pub use mismatch::{StateMismatch, TableMismatch};
pub use operators::JobOperator;
pub use removal::{remove_savepoint, remove_savepoints};
pub use storage::Storage;
pub use writer::Writer;
