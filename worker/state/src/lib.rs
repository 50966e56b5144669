//! Keyed state: how operators keep it, and the form in which it leaves and enters them.
//!
//! [`Snapshot`] is one subtask's part of a checkpoint, and also what a subtask restores from. Operators give and take
//! whole rows with their key hashes; how rows become files, and which rows a subtask gets back after a change of
//! parallelism, is the `checkpoint` room's business.

pub mod snapshot;

pub use snapshot::{NO_BUCKET, Snapshot, StateTable, TableRows};
