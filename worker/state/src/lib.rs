//! Keyed state: how operators keep it, and the form in which it leaves and enters them.
//!
//! [`GroupTable`] holds one packed row of accumulators for every distinct key it has seen. What the accumulators mean is
//! the operator's business; this crate finds the row of a key, and knows which rows have changed since which barrier.
//!
//! [`Frozen`] is the state of a subtask at a barrier, shared rather than copied. Gathered, it is a [`Snapshot`]: one subtask's
//! part of a checkpoint, and also what a subtask restores from. Operators give and take whole rows with their key hashes.
//! The `checkpoint` crate decides how rows become files, and which rows a subtask gets after a change of parallelism.
//!
//! A [`Meaning`] says which computation state belongs to, and whether another query can restore it.

mod changes;
mod chunk;
pub mod chunked;
mod directory;
pub mod fixed;
mod free_groups;
pub mod group_table;
mod key_encoding;
pub mod keys;
pub mod meaning;
pub mod packed_rows;
mod prefetch;
pub mod rows;
mod shared_vec;
pub mod snapshot;
pub mod strings;
pub mod timers;

pub use chunk::by_chunk;
pub use chunked::Chunked;
pub use group_table::{GroupTable, Handover, Part};
pub use keys::{Keys, encode_keys};
pub use meaning::Meaning;
pub use packed_rows::PackedRows;
pub use rows::{Accumulators, ChunkRows, RowsMut};
pub use snapshot::{
    Bucket, Frozen, NO_BUCKET, PARTS, Snapshot, SnapshotRequest, StateTable, TableRows, column_types, input_column,
};
pub use timers::{TimeDomain, Timer, Timers};
