//! The state that an operator hands over for a checkpoint and restores from it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use eddyline_stream::{Barrier, CheckpointId};

/// The bucket of rows that do not belong to a period of time.
pub const NO_BUCKET: i64 = i64::MIN;

/// The number of parts in which unchanged state is handed over again.
pub const PARTS: u8 = 8;

/// The request for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The checkpoint whose barrier this is.
    pub checkpoint: CheckpointId,
    /// The last completed checkpoint of this attempt. Rows that have changed since its barrier are enough. `None`: all
    /// rows are needed.
    pub since: Option<CheckpointId>,
    /// The part of the state, of [`PARTS`], that is handed over in addition to the changed rows. Each completed
    /// checkpoint takes the next part, so after [`PARTS`] of them nothing older is needed.
    pub part: u8,
}

impl SnapshotRequest {
    /// A request for all rows.
    pub fn all(checkpoint: CheckpointId) -> Self {
        Self { checkpoint, since: None, part: 0 }
    }
}

impl From<Barrier> for SnapshotRequest {
    fn from(Barrier { checkpoint, since, part, .. }: Barrier) -> Self {
        Self { checkpoint, since, part }
    }
}

/// A table of keyed state. The types of its columns are part of the savepoint format: a restore is refused if they
/// differ. Their names are only for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTable {
    /// The name, unique within the operator.
    pub name: String,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// What each column holds, in terms of the operator's input. The form is canonical, so a restore finds the column
    /// at another index. If this is empty, columns are found by their index.
    pub contents: Vec<String>,
    /// The number of leading columns that identify a row within its bucket. 0: rows have no identity, so the rows of a
    /// bucket are only handed over as a whole.
    pub identity: usize,
}

impl StateTable {
    /// A table whose columns are found by their index and whose rows have no identity.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema, contents: Vec::new(), identity: 0 }
    }

    /// The same table, with rows that are identified by the first `identity` columns.
    pub fn identified_by(self, identity: usize) -> Self {
        debug_assert!(identity <= self.schema.fields().len(), "only columns that the table has");
        Self { identity, ..self }
    }

    /// The same table, with what its columns hold.
    pub fn holding(self, contents: Vec<String>) -> Self {
        debug_assert_eq!(contents.len(), self.schema.fields().len(), "one text for each column");
        Self { contents, ..self }
    }
}

/// The types of a table's columns. State is restored if these are the same. Names and nullability may differ.
pub fn column_types(schema: &Schema) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

/// Describes a column of an operator's input. `inputs` has the descriptions of the job graph. Without them, the column
/// is described by its index.
pub fn input_column(inputs: &[String], index: usize) -> String {
    inputs.get(index).cloned().unwrap_or_else(|| format!("#{index}"))
}

/// Rows of one table in one time bucket, in no particular order.
///
/// A bucket can have several pieces. Within a snapshot all pieces of a bucket have the same `is_whole`, and no row is
/// in two of them.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The table's name, unique within the operator.
    pub table: String,
    /// The period that the rows belong to, such as the end of a slice in milliseconds. [`NO_BUCKET`] if there is none.
    pub bucket: i64,
    /// Whether the pieces of the bucket have all of its rows in the subtask. Then they replace everything that was
    /// handed over for the bucket before. Otherwise each row replaces the one with the same
    /// [identity](StateTable::identity), or is added. It has no meaning in restored rows.
    pub is_whole: bool,
    /// The [key hash v1](eddyline_stream::key_hash) of each row. It determines the row's key group.
    pub key_hashes: Vec<u64>,
    /// The rows. The schema is that of the [`StateTable`].
    pub rows: RecordBatch,
}

/// Takes rows as they are gathered. It fails if they cannot be taken, and then nothing more is gathered.
pub type RowSink<'a> = &'a mut dyn FnMut(TableRows) -> Result<(), ArrowError>;

type Gather = dyn FnOnce(RowSink<'_>) -> Result<Inventory, ArrowError> + Send;

/// The state of a subtask at a barrier, not yet gathered into rows.
///
/// The barrier waits only until the state is frozen. Frozen state shares its rows with the operator, which copies them
/// before it changes them. Gathering takes time and happens on another thread.
#[must_use = "a snapshot is taken to be gathered"]
pub struct Frozen(Box<Gather>);

impl Frozen {
    /// Makes frozen state that this function gathers, all rows at once. [`Frozen::in_pieces`] is for large state.
    pub fn new(gather: impl FnOnce() -> Result<Snapshot, ArrowError> + Send + 'static) -> Self {
        Self::in_pieces(move |into| {
            let Snapshot { keyed, buckets, union } = gather()?;
            keyed.into_iter().try_for_each(into)?;
            Ok(Inventory { buckets, union })
        })
    }

    /// Makes frozen state that this function gathers: it passes on a piece of rows as soon as it has made it, so that
    /// not all rows are in memory at the same time.
    pub fn in_pieces(gather: impl FnOnce(RowSink<'_>) -> Result<Inventory, ArrowError> + Send + 'static) -> Self {
        Self(Box::new(gather))
    }

    /// Gathers the state, a piece at a time.
    ///
    /// # Errors
    /// When rows do not fit in columns or cannot be read, and the errors of `into`.
    pub fn gather_into(self, into: RowSink<'_>) -> Result<Inventory, ArrowError> {
        (self.0)(into)
    }

    /// Gathers the state into memory.
    ///
    /// # Errors
    /// When rows do not fit in columns or cannot be read.
    pub fn gather(self) -> Result<Snapshot, ArrowError> {
        let mut keyed = Vec::new();
        let Inventory { buckets, union } = self.gather_into(&mut |rows| {
            keyed.push(rows);
            Ok(())
        })?;
        Ok(Snapshot { keyed, buckets, union })
    }
}

impl From<Snapshot> for Frozen {
    /// Makes frozen state of a finished snapshot. This is for small state, and for state that only the operator can
    /// gather.
    fn from(snapshot: Snapshot) -> Self {
        Self::new(|| Ok(snapshot))
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").finish_non_exhaustive()
    }
}

/// A bucket of a table that a subtask has at a barrier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The table's name.
    pub table: String,
    /// The bucket, as in [`TableRows::bucket`].
    pub bucket: i64,
    /// The number of its rows.
    pub rows: u64,
}

/// What a subtask has at a barrier besides the rows that it hands over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// As in [`Snapshot::buckets`].
    pub buckets: Vec<Bucket>,
    /// As in [`Snapshot::union`].
    pub union: Vec<(String, Vec<u8>)>,
}

/// The state of a subtask at a barrier, or the state that a subtask restores. A subtask restores the rows of its key
/// groups from all former subtasks. If a bucket was handed over in several snapshots, the rows of the oldest one are
/// first, and the last row with an identity is valid.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Keyed rows: all of them, or those that a [`SnapshotRequest`] asks for.
    pub keyed: Vec<TableRows>,
    /// Every bucket that the subtask has, including buckets without rows in `keyed` because they have not changed. A
    /// bucket that is not listed no longer exists, and what was handed over for it is obsolete. Empty in restored
    /// state.
    pub buckets: Vec<Bucket>,
    /// Small values that belong to no key, by name. A restored subtask gets those of *all* former subtasks, so a name
    /// can occur several times. The operator decides how to combine them. For example, it restores the smallest
    /// watermark. If state is restored in several parts, each part has them.
    pub union: Vec<(String, Vec<u8>)>,
}

impl Snapshot {
    /// Makes a snapshot with all rows of the subtask.
    pub fn of_all_rows(keyed: Vec<TableRows>, union: Vec<(String, Vec<u8>)>) -> Self {
        let mut buckets: Vec<Bucket> = Vec::new();
        for part in &keyed {
            let rows = part.rows.num_rows() as u64;
            match buckets.iter_mut().find(|known| known.table == part.table && known.bucket == part.bucket) {
                Some(known) => known.rows += rows,
                None => buckets.push(Bucket { table: part.table.clone(), bucket: part.bucket, rows }),
            }
        }
        Self { keyed, buckets, union }
    }

    /// All values with a name, one for each former subtask that had it.
    pub fn union_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.union.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Whether there is no state.
    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty() && self.buckets.is_empty() && self.union.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::RecordBatch;
    use arrow::datatypes::Schema;
    use std::sync::Arc;

    use super::*;

    fn rows(bucket: i64) -> TableRows {
        let rows = RecordBatch::new_empty(Arc::new(Schema::empty()));
        TableRows { table: "groups".to_owned(), bucket, is_whole: true, key_hashes: Vec::new(), rows }
    }

    fn frozen() -> Frozen {
        Frozen::in_pieces(|into| {
            (1..=3).map(rows).try_for_each(into)?;
            Ok(Inventory { buckets: Vec::new(), union: vec![("watermark".to_owned(), vec![7])] })
        })
    }

    #[test]
    fn pieces_are_passed_on_until_they_are_refused() {
        let mut buckets = Vec::new();
        let refused = frozen().gather_into(&mut |rows| {
            buckets.push(rows.bucket);
            if rows.bucket < 2 { Ok(()) } else { Err(ArrowError::ComputeError("full".to_owned())) }
        });
        assert!(refused.is_err());
        assert_eq!(buckets, [1, 2]);
    }

    #[test]
    fn what_is_gathered_in_pieces_is_a_snapshot() {
        let snapshot = frozen().gather().expect("nothing fails");
        assert_eq!(snapshot.keyed.iter().map(|rows| rows.bucket).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(snapshot.union_values("watermark").collect::<Vec<_>>(), [[7]]);
        let again = Frozen::from(snapshot).gather().expect("nothing fails");
        assert_eq!((again.keyed.len(), again.union.len()), (3, 1));
    }
}
