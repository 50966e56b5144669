//! The contract of record decoders, and their common parts: reading lines, and the columns of a batch.

use std::fmt;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use crate::Error;
use crate::columns::Column;

/// The longest record, in bytes. A longer one is a bad record.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// The number of bytes of records in a batch from which [`RecordDecoder::is_full`] asks for a flush.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// The number of bytes of a bad record that its error shows.
const EXCERPT_CHARS: usize = 48;

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BadRecord {
    /// What is wrong.
    pub reason: String,
    /// The place of the error, in bytes from the start of the record.
    pub column: usize,
    /// A few characters from that place.
    pub excerpt: String,
}

impl fmt::Display for BadRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason, self.column)?;
        if !self.excerpt.is_empty() {
            write!(f, ", at `{}`", self.excerpt)?;
        }
        Ok(())
    }
}

impl BadRecord {
    /// The error of `record` at byte `column`.
    pub(crate) fn new(record: &[u8], column: usize, reason: impl Into<String>) -> Self {
        let from = column.min(record.len());
        // Four bytes are the longest character.
        let window = &record[from..record.len().min(from + EXCERPT_CHARS * 4)];
        let excerpt: String = String::from_utf8_lossy(window)
            .chars()
            .take(EXCERPT_CHARS)
            .map(|character| if character.is_control() { char::REPLACEMENT_CHARACTER } else { character })
            .collect();
        Self { reason: reason.into(), column, excerpt }
    }
}

/// The result of [`RecordDecoder::decode_lines`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The number of consumed bytes of the buffer, including a bad line.
    pub consumed: usize,
    /// The number of consumed lines, for line numbers. A bad line is the last one.
    pub lines: u64,
    /// The number of added rows.
    pub rows: usize,
    /// The first line that could not be read. The decoder stopped there.
    pub bad: Option<BadRecord>,
}

/// Reads records into columns. A decoder is made from the table's physical schema and a projection. Its batches have
/// the projected columns.
pub trait RecordDecoder: Send {
    /// The schema of the batches.
    fn schema(&self) -> &SchemaRef;

    /// Reads one record and returns the number of rows that it has added. This is usually one. It is none if the record
    /// is empty, JSON `null`, or a comment. In the formats of changelogs it is two for an update, and any number for a
    /// change of several rows.
    ///
    /// # Errors
    /// The record cannot be read. Nothing of it remains in the batch.
    fn decode(&mut self, record: &[u8]) -> Result<usize, BadRecord>;

    /// Reads a record without a value, such as a Kafka tombstone. It gives a row only in formats that have such
    /// records.
    ///
    /// # Errors
    /// The table cannot hold such a record.
    fn decode_null(&mut self) -> Result<usize, BadRecord> {
        Ok(0)
    }

    /// Reads lines until the batch has `rows_max` rows, the batch is full, a line is bad, or the last complete line is
    /// read. A line that gives several rows may exceed `rows_max`. With `at_end` the last line needs no line end. If
    /// zero bytes are consumed, no line is bad and `at_end` is not set, the buffer has no complete line: the caller
    /// must append more bytes.
    fn decode_lines(&mut self, buffer: &[u8], rows_max: usize, at_end: bool) -> Lines;

    /// The number of rows of the batch.
    fn len(&self) -> usize;

    /// Whether the batch has no rows.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the batch has so many bytes that it should be flushed before the next record.
    fn is_full(&self) -> bool;

    /// Returns the rows so far and starts a new batch.
    ///
    /// # Errors
    /// The columns do not form a batch, which is a defect.
    fn flush(&mut self) -> Result<Batch, Error>;
}

/// The batch that a decoder is filling.
#[derive(Debug)]
pub(crate) struct Intake {
    /// The batch's schema.
    pub(crate) schema: SchemaRef,
    /// The number of finished rows.
    pub(crate) rows: usize,
    /// The number of bytes of records since the last flush. No buffer of the batch is longer.
    bytes: usize,
}

impl Intake {
    /// Starts a batch with the projected columns of a table.
    pub(crate) fn new(schema: &SchemaRef, projection: &[usize]) -> Result<Self, Error> {
        let columns = schema.fields().len();
        if let Some(index) = projection.iter().copied().find(|index| *index >= columns) {
            return Err(Error::NoSuchColumn { index, columns });
        }
        let schema = schema.project(projection).map_err(Error::Build)?;
        Ok(Self { schema: schema.into(), rows: 0, bytes: 0 })
    }

    /// Accounts for a record.
    ///
    /// # Errors
    /// The record is too long, or the batch would have 2 GiB of records or more.
    #[inline]
    pub(crate) fn take(&mut self, record: &[u8]) -> Result<(), BadRecord> {
        if record.len() > RECORD_BYTES_MAX {
            let reason = format!("a record of {} bytes, the longest allowed has {RECORD_BYTES_MAX}", record.len());
            return Err(BadRecord::new(record, 0, reason));
        }
        let bytes = self.bytes + record.len();
        if i32::try_from(bytes).is_err() {
            return Err(BadRecord::new(record, 0, "the batch is full"));
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Whether the batch should be flushed.
    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES_MAX
    }

    /// Returns the batch and starts a new one.
    pub(crate) fn flush(&mut self, columns: &mut [Column]) -> Result<RecordBatch, Error> {
        let arrays = columns
            .iter_mut()
            .zip(self.schema.fields())
            .map(|(column, field)| column.finish(field.data_type()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(Error::Build)?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options).map_err(Error::Build)
    }
}

/// Decodes the lines of a buffer. `line_end` finds the newline that ends the first line of its argument. `skipping`
/// remembers from buffer to buffer that the rest of an overlong line is being skipped.
pub(crate) fn decode_lines<D: RecordDecoder>(
    decoder: &mut D,
    buffer: &[u8],
    rows_max: usize,
    at_end: bool,
    line_end: impl Fn(&D, &[u8]) -> Option<usize>,
    skipping: impl Fn(&mut D) -> &mut bool,
) -> Lines {
    let mut done = Lines::default();
    if *skipping(decoder) {
        match memchr::memchr(b'\n', buffer) {
            Some(end) => {
                done.consumed = end + 1;
                *skipping(decoder) = false;
            }
            None => return Lines { consumed: buffer.len(), ..done },
        }
    }
    while done.consumed < buffer.len() && decoder.len() < rows_max && !decoder.is_full() {
        let rest = &buffer[done.consumed..];
        let (line, taken) = match line_end(decoder, rest) {
            Some(end) => (&rest[..end], end + 1),
            None if at_end => (rest, rest.len()),
            None if rest.len() > RECORD_BYTES_MAX => {
                *skipping(decoder) = true;
                (rest, rest.len())
            }
            None => break,
        };
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        done.consumed += taken;
        done.lines += 1;
        match decoder.decode(line) {
            Ok(rows) => done.rows += rows,
            Err(bad) => {
                done.bad = Some(bad);
                break;
            }
        }
    }
    done
}
