//! Keyed state: the data structures of operators, and the form in which checkpoints and restores exchange it.
//!
//! [`GroupTable`] has one packed row of accumulators for every distinct key. This crate finds the row of a key, and
//! knows which rows have changed since a barrier. The operator defines what the accumulators mean.
//!
//! [`RowLog`] has rows as they arrived, and [`Chains`] the rows of each key in order.
//!
//! [`Frozen`] is the state of a subtask at a barrier. It is shared and not copied. Gathered, it is a [`Snapshot`]: the
//! subtask's part of a checkpoint. A subtask also restores from a `Snapshot`. Operators hand over and restore whole
//! rows with their key hashes. The `checkpoint` crate decides how rows are stored in files, and which rows a subtask
//! restores after a change of parallelism.
//!
//! [`spill`] keeps state on a local disk that does not fit in memory, for as long as the process lives.
//!
//! A [`Meaning`] describes the computation that state belongs to, and so whether another query can restore it.

mod changes;
mod directory;
pub mod fixed;
pub mod group_table;
pub mod handover;
mod key_encoding;
pub mod keys;
pub mod meaning;
mod order;
pub mod packed_rows;
mod prefetch;
pub mod row_log;
pub mod snapshot;
mod spare;
pub mod spill;
pub mod strings;
pub mod timers;
mod vacancies;

pub use group_table::GroupTable;
pub use handover::Handover;
pub use keys::{Keys, encode_keys};
pub use meaning::Meaning;
pub use packed_rows::PackedRows;
pub use row_log::{Chains, Link, RowLog, RowRef};
pub use snapshot::{
    Bucket, Frozen, Inventory, NO_BUCKET, PARTS, RowSink, Snapshot, SnapshotRequest, StateTable, TableRows,
    column_types, input_column,
};
pub use spill::SpillDirectory;
pub use timers::{TimeDomain, Timer, Timers};
