//! Writes rows as messages: `+I` and `+U` as inserts, `-U` and `-D` as deletes.

use arrow::datatypes::SchemaRef;
use eddyline_stream::Batch;

use super::config::Config;
use crate::Error;
use crate::encode::{EncodedRecords, RecordEncoder, check_columns};
use crate::json::RowWriter;

/// Writes messages of change data capture.
#[derive(Debug)]
pub struct Encoder {
    schema: SchemaRef,
    rows: RowWriter,
    /// What stands around the row of an insert, and of a delete.
    insert: (Vec<u8>, Vec<u8>),
    delete: (Vec<u8>, Vec<u8>),
}

impl Encoder {
    /// Makes an encoder for batches of these columns.
    ///
    /// # Errors
    /// A column's type cannot be carried, or the options are for reading only.
    pub fn new(config: &Config, schema: &SchemaRef) -> Result<Self, Error> {
        let format = config.dialect.format();
        config.check_encoding().map_err(|(_, reason)| Error::Framing { format, reason })?;
        Ok(Self {
            schema: SchemaRef::clone(schema),
            rows: RowWriter::new(&config.rows, schema, format)?,
            insert: around(config, true),
            delete: around(config, false),
        })
    }
}

/// The fields of a message in the order in which Flink writes them, with a gap for the row.
fn around(config: &Config, is_insert: bool) -> (Vec<u8>, Vec<u8>) {
    let dialect = config.dialect;
    let (insert, delete) = dialect.written();
    let operation = format!("\"{}\":\"{}\"", dialect.operation_field(), if is_insert { insert } else { delete });
    let (before, after) = (dialect.before(), dialect.after());
    let (front, behind) = if dialect.has_arrays() {
        (format!("{{\"{after}\":["), format!("],{operation}}}"))
    } else if dialect.is_partial() {
        (format!("{{\"{after}\":"), format!(",{operation}}}"))
    } else {
        // One of both is NULL, and is left out where fields that are NULL are.
        let null = |field: &str| format!("\"{field}\":null,");
        let shown = |field: &str| if config.rows.nulls_left_out { String::new() } else { null(field) };
        if is_insert {
            (format!("{{{}\"{after}\":", shown(before)), format!(",{operation}}}"))
        } else {
            (format!("{{\"{before}\":"), format!(",{}{operation}}}", shown(after)))
        }
    };
    (front.into_bytes(), behind.into_bytes())
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error> {
        check_columns(batch.rows(), &self.schema)?;
        for row in 0..batch.num_rows() {
            let (front, behind) = if batch.kind(row).is_retraction() { &self.delete } else { &self.insert };
            let buffer = out.buffer();
            buffer.extend_from_slice(front);
            self.rows.write(batch.rows(), row, buffer);
            buffer.extend_from_slice(behind);
            out.end_record();
        }
        Ok(())
    }
}
