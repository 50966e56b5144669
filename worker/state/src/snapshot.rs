//! What an operator gives to a checkpoint and gets back from it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;
use eddyline_stream::{Barrier, CheckpointId};

/// The bucket of rows that belong to no period of time.
pub const NO_BUCKET: i64 = i64::MIN;

/// In how many parts state is handed over again although it has not changed.
pub const PARTS: u8 = 8;

/// What a snapshot is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotRequest {
    /// The checkpoint whose barrier this is.
    pub checkpoint: CheckpointId,
    /// The last checkpoint of this attempt that has completed with this subtask's part in it: rows that have changed since
    /// its barrier are enough. `None`: all rows.
    pub since: Option<CheckpointId>,
    /// Which of [`PARTS`] parts of the state is handed over besides what has changed. It moves on by one with each checkpoint
    /// that completes, so that after [`PARTS`] of them nothing older is needed.
    pub part: u8,
}

impl SnapshotRequest {
    /// All rows.
    pub fn all(checkpoint: CheckpointId) -> Self {
        Self { checkpoint, since: None, part: 0 }
    }
}

impl From<Barrier> for SnapshotRequest {
    fn from(Barrier { checkpoint, since, part, .. }: Barrier) -> Self {
        Self { checkpoint, since, part }
    }
}

/// A table of keyed state, by name and columns. The types of the columns are part of the savepoint format: a restore is
/// refused when they differ. Their names are for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateTable {
    /// The name, unique within the operator.
    pub name: String,
    /// The columns of its rows.
    pub schema: SchemaRef,
    /// What each column holds, in terms of the operator's input; canonical, so that it is found again in another place.
    /// Empty: columns are found by their place.
    pub contents: Vec<String>,
    /// So many columns at the beginning identify a row within its bucket. 0: nothing does, and the rows of a bucket are only
    /// handed over as a whole.
    pub identity: usize,
}

impl StateTable {
    /// A table whose columns are found by their place, and whose rows are not identified.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema, contents: Vec::new(), identity: 0 }
    }

    /// The same with rows that are identified by so many columns at the beginning.
    pub fn identified_by(self, identity: usize) -> Self {
        debug_assert!(identity <= self.schema.fields().len(), "only columns that the table has");
        Self { identity, ..self }
    }

    /// The same with what its columns hold.
    pub fn holding(self, contents: Vec<String>) -> Self {
        debug_assert_eq!(contents.len(), self.schema.fields().len(), "one text for each column");
        Self { contents, ..self }
    }
}

/// The types of the columns of a table. State is restored where these are the same; names and nullability may differ.
pub fn column_types(schema: &Schema) -> Vec<DataType> {
    schema.fields().iter().map(|field| field.data_type().clone()).collect()
}

/// What a column of an operator's input is. `inputs` are the columns as the job graph spells them; without them, their
/// places.
pub fn input_column(inputs: &[String], index: usize) -> String {
    inputs.get(index).cloned().unwrap_or_else(|| format!("#{index}"))
}

/// Rows of one table in one time bucket, in no particular order.
///
/// A bucket can come in several pieces. Within a snapshot all pieces of a bucket have the same `is_whole`, and no row is in
/// two of them.
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The table's name, unique within the operator.
    pub table: String,
    /// The period the rows belong to, such as the end of a slice in milliseconds; [`NO_BUCKET`] if none.
    pub bucket: i64,
    /// Whether these are, with the other pieces of the bucket, all rows that the subtask has in it: what it handed over for it
    /// earlier is out of date. Otherwise each row takes the place of the one with the same
    /// [identity](StateTable::identity), or is added. Without meaning in what is restored.
    pub is_whole: bool,
    /// [Key hash v1](eddyline_stream::key_hash) of each row; it says to which key group the row belongs.
    pub key_hashes: Vec<u64>,
    /// The rows. The schema is that of the [`StateTable`].
    pub rows: RecordBatch,
}

/// One subtask's state as it was at a barrier, not yet gathered into rows.
///
/// A barrier waits only until it is taken. It shares its rows with the operator, which copies them before it changes them.
/// Gathering takes time and happens on another thread.
#[must_use = "a snapshot is taken to be gathered"]
pub struct Frozen(Box<dyn FnOnce() -> Result<Snapshot, ArrowError> + Send>);

impl Frozen {
    /// State that this function gathers.
    pub fn new(gather: impl FnOnce() -> Result<Snapshot, ArrowError> + Send + 'static) -> Self {
        Self(Box::new(gather))
    }

    /// The state in rows.
    ///
    /// # Errors
    /// When rows do not fit in columns.
    pub fn gather(self) -> Result<Snapshot, ArrowError> {
        (self.0)()
    }
}

impl From<Snapshot> for Frozen {
    /// For state that is small, or that only the operator can gather.
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
    /// The period, as in [`TableRows::bucket`].
    pub bucket: i64,
    /// How many rows it has.
    pub rows: u64,
}

/// One subtask's state at a barrier; or what a subtask restores: the rows of the key groups it owns now, from every
/// former subtask. Of a bucket that was handed over in several snapshots it gets the rows of the oldest first, so that the
/// last row of an identity counts.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Keyed rows: all of them, or as much of them as a [`SnapshotRequest`] asks for.
    pub keyed: Vec<TableRows>,
    /// Every bucket that the subtask has, also those of which `keyed` has no rows because they have not changed. A bucket that
    /// is not listed is gone, and what was handed over for it earlier is out of date. Empty in what is restored.
    pub buckets: Vec<Bucket>,
    /// Small values that belong to no key, by name. A restoring subtask gets those of *every* former subtask, so a name
    /// can occur several times; the operator says what that means (a watermark restores as the smallest).
    pub union: Vec<(String, Vec<u8>)>,
}

impl Snapshot {
    /// A snapshot with all rows that the subtask has.
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

    /// All values stored under a name, one for each former subtask that had it.
    pub fn union_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.union.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty() && self.buckets.is_empty() && self.union.is_empty()
    }
}
