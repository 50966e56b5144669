//! What an operator gives to a checkpoint and gets back from it.

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The bucket of rows that belong to no period of time.
pub const NO_BUCKET: i64 = i64::MIN;

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
}

impl StateTable {
    /// A table whose columns are found by their place.
    pub fn new(name: impl Into<String>, schema: SchemaRef) -> Self {
        Self { name: name.into(), schema, contents: Vec::new() }
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
#[derive(Clone, Debug)]
pub struct TableRows {
    /// The table's name, unique within the operator.
    pub table: String,
    /// The period the rows belong to, such as the end of a slice in milliseconds; [`NO_BUCKET`] if none.
    pub bucket: i64,
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

/// One subtask's state at a barrier; or what a subtask restores: the rows of the key groups it owns now, from every
/// former subtask.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Keyed rows.
    pub keyed: Vec<TableRows>,
    /// Small values that belong to no key, by name. A restoring subtask gets those of *every* former subtask, so a name
    /// can occur several times; the operator says what that means (a watermark restores as the smallest).
    pub union: Vec<(String, Vec<u8>)>,
}

impl Snapshot {
    /// All values stored under a name, one for each former subtask that had it.
    pub fn union_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.union.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_slice())
    }

    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty() && self.union.is_empty()
    }
}
