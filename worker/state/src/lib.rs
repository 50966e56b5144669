//! Keyed state: how operators keep it, and the form in which it leaves and enters them.
//!
//! [`GroupTable`] holds one packed row of accumulators for every distinct key it has seen. What the accumulators mean is
//! the operator's business; this crate finds the row of a key.
//!
//! [`Frozen`] is what a barrier takes of a subtask, without copying it; gathered, it is a [`Snapshot`]: one subtask's part of a checkpoint, and also what a subtask restores from. Operators give and take
//! whole rows with their key hashes; how rows become files, and which rows a subtask gets back after a change of
//! parallelism, is the `checkpoint` room's business.
//!
//! A [`Meaning`] says which computation state belongs to, and whether another query can go on with it.

mod directory;
pub mod fixed;
pub mod group_table;
mod key_encoding;
pub mod keys;
pub mod meaning;
pub mod packed_rows;
mod prefetch;
pub mod snapshot;
pub mod strings;

pub use group_table::GroupTable;
pub use keys::{Keys, encode_keys};
pub use meaning::Meaning;
pub use packed_rows::PackedRows;
pub use snapshot::{Frozen, NO_BUCKET, Snapshot, StateTable, TableRows, column_types, input_column};
