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
    /// The bytes before and after the row in a message of an insert, and the same for a delete.
    insert: (Vec<u8>, Vec<u8>),
    delete: (Vec<u8>, Vec<u8>),
}

impl Encoder {
    /// Makes an encoder for batches of these columns.
    ///
    /// # Errors
    /// The format does not support the type of a column, or the options are for reading only.
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

/// The bytes of a message before and after its row. The fields have the order in which Flink writes them.
fn around(config: &Config, is_insert: bool) -> (Vec<u8>, Vec<u8>) {
    let dialect = config.dialect;
    let (insert, delete) = dialect.written();
    let operation = format!("\"{}\":\"{}\"", dialect.operation_field(), if is_insert { insert } else { delete });
    let (before, after) = (dialect.before(), dialect.after());
    let (before_row, after_row) = if dialect.has_arrays() {
        (format!("{{\"{after}\":["), format!("],{operation}}}"))
    } else if dialect.is_partial() {
        (format!("{{\"{after}\":"), format!(",{operation}}}"))
    } else {
        // Either the old or the new row is NULL. It is left out if the options leave out NULL fields.
        let null = |field: &str| format!("\"{field}\":null,");
        let shown = |field: &str| if config.rows.nulls_left_out { String::new() } else { null(field) };
        if is_insert {
            (format!("{{{}\"{after}\":", shown(before)), format!(",{operation}}}"))
        } else {
            (format!("{{\"{before}\":"), format!(",{}{operation}}}", shown(after)))
        }
    };
    (before_row.into_bytes(), after_row.into_bytes())
}

impl RecordEncoder for Encoder {
    fn encode(&mut self, batch: &Batch, out: &mut EncodedRecords) -> Result<(), Error> {
        check_columns(batch.rows(), &self.schema)?;
        for row in 0..batch.num_rows() {
            let (before_row, after_row) = if batch.kind(row).is_retraction() { &self.delete } else { &self.insert };
            let buffer = out.buffer();
            buffer.extend_from_slice(before_row);
            self.rows.write(batch.rows(), row, buffer);
            buffer.extend_from_slice(after_row);
            out.end_record();
        }
        Ok(())
    }
}
