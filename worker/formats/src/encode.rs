//! The contract of record encoders, and the buffer that they fill.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use crate::Error;

/// Writes rows as records.
pub trait RecordEncoder: Send {
    /// Appends one record for each row of `batch`, which has the columns that the encoder was made for, in that order.
    ///
    /// # Errors
    /// The batch has other columns, or rows of a kind that the format cannot write. Nothing is appended then.
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error>;
}

/// Records end to end in one buffer. If it is cleared and reused, it allocates nothing in the long run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EncodedRecords {
    bytes: Vec<u8>,
    /// The end of each record, and whether it is a null record.
    ends: Vec<(usize, bool)>,
    lines: bool,
}

impl EncodedRecords {
    /// A buffer without separators, for messages.
    pub fn records() -> Self {
        Self::default()
    }

    /// A buffer with a newline after each record, so that [`EncodedRecords::bytes`] is a piece of a text file.
    pub fn lines() -> Self {
        Self { lines: true, ..Self::default() }
    }

    /// The number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Removes the records and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// All records, with their separators.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer itself.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A record without its newline. `None` for a null record, such as the raw form of a NULL.
    ///
    /// # Panics
    /// There is no record with that index.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let (_, is_null) = self.ends[index];
        (!is_null).then(|| &self.bytes[self.range(index)])
    }

    /// The records in order, `None` for null records.
    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|index| self.get(index))
    }

    fn range(&self, index: usize) -> Range<usize> {
        let start = if index == 0 { 0 } else { self.ends[index - 1].0 };
        start..self.ends[index].0 - usize::from(self.lines)
    }

    /// The buffer, to append a record to.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the record that was appended.
    pub(crate) fn end_record(&mut self) {
        self.end(false);
    }

    /// Adds a null record.
    pub(crate) fn push_null(&mut self) {
        self.end(true);
    }

    fn end(&mut self, is_null: bool) {
        if self.lines {
            self.bytes.push(b'\n');
        }
        self.ends.push((self.bytes.len(), is_null));
    }
}

/// The columns of a batch, for a format that writes only inserts. Checks that the encoder was made for these columns.
pub(crate) fn inserts<'a>(
    format: &'static str,
    batch: &'a Batch,
    schema: &SchemaRef,
) -> Result<&'a RecordBatch, Error> {
    let rows = batch.inserts().map_err(|source| Error::NotInsertOnly { format, source })?;
    check_columns(rows, schema)?;
    Ok(rows)
}

/// Checks that a batch has the columns that an encoder was made for.
pub(crate) fn check_columns(batch: &RecordBatch, schema: &SchemaRef) -> Result<(), Error> {
    let (found, expected) = (batch.columns(), schema.fields());
    if found.len() != expected.len() {
        return Err(Error::Batch(format!("it has {} columns instead of {}", found.len(), expected.len())));
    }
    match found.iter().zip(expected).find(|(column, field)| !column.data_type().equals_datatype(field.data_type())) {
        Some((column, field)) => Err(Error::Batch(format!(
            "column '{}' is {} instead of {}",
            field.name(),
            column.data_type(),
            field.data_type()
        ))),
        None => Ok(()),
    }
}
