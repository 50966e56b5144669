//! Converts records to rows: value, key and metadata columns of a table.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use eddyline_formats::{OnBadRecord, RecordDecoder};
use eddyline_stream::Batch;

use super::config::RecordLayout;
use super::metadata::MetadataBuilder;
use super::partition_queue::Message;
use crate::{Error, TableDescriptor};

/// The maximum number of rows of a batch: a hint for the decoders' buffers.
pub const BATCH_ROWS_MAX: usize = 8192;

/// Turns records into rows: the projected physical columns, then the metadata columns.
pub struct RowDecoder {
    schema: SchemaRef,
    /// Where each physical column of the batch comes from.
    columns: Vec<Origin>,
    value_on_bad: OnBadRecord,

    value: Box<dyn RecordDecoder>,
    key: Option<KeyDecoder>,
    metadata: Vec<MetadataBuilder>,
    /// Rows decoded from values whose key then gave no row.
    dropped: Vec<usize>,
}

struct KeyDecoder {
    decoder: Box<dyn RecordDecoder>,
    on_bad: OnBadRecord,
}

impl KeyDecoder {
    /// Decodes the key of a record, which is one row or none.
    fn decode(&mut self, message: &Message) -> Result<usize, Refusal> {
        let decoded = match message.key() {
            Some(bytes) => self.decoder.decode(bytes),
            None => self.decoder.decode_null(),
        };
        decoded.map_err(|bad| Refusal { reason: format!("key: {bad}"), skip: self.on_bad == OnBadRecord::Skip })
    }
}

#[derive(Clone, Copy)]
enum Origin {
    Value(usize),
    Key(usize),
}

/// What is wrong with a record.
pub struct Refusal {
    /// Where and why.
    pub reason: String,
    /// Whether the format skips such records.
    pub skip: bool,
}

impl RowDecoder {
    /// A decoder of the columns `projection` and the metadata columns `metadata`, both by index.
    ///
    /// # Errors
    /// Says what the formats do not support.
    pub fn new(
        layout: &RecordLayout,
        table: &TableDescriptor,
        projection: &[usize],
        metadata: &[usize],
    ) -> Result<Self, Error> {
        let unsupported = |error: eddyline_formats::Error| Error::Unavailable {
            what: format!("table {}: {error}", table.name),
            source: Some(Box::new(error)),
            retryable: false,
        };
        let (mut from_value, mut from_key, mut columns) = (Vec::new(), Vec::new(), Vec::new());
        for column in projection {
            // A column that is in key and value is read from the value.
            if let Some(at) = layout.value_columns.iter().position(|of_value| of_value == column) {
                columns.push(Origin::Value(from_value.len()));
                from_value.push(at);
            } else if let Some(at) = layout.key.as_ref().and_then(|key| key.columns.iter().position(|c| c == column)) {
                columns.push(Origin::Key(from_key.len()));
                from_key.push(at);
            }
        }
        let value =
            layout.value_format.decoder(&layout.value_schema, &from_value, BATCH_ROWS_MAX).map_err(unsupported)?;
        let key = layout.key.as_ref().map(|key| {
            let decoder = key.format.decoder(&key.schema, &from_key, BATCH_ROWS_MAX).map_err(unsupported)?;
            Ok(KeyDecoder { decoder, on_bad: key.format.on_bad_record() })
        });
        let metadata = metadata
            .iter()
            .map(|index| MetadataBuilder::new(&table.metadata[*index]))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = projection.iter().map(|index| Arc::clone(&table.schema.fields()[*index]));
        let fields = fields.chain(metadata.iter().map(|column| Arc::<Field>::new(column.field().clone())));
        Ok(Self {
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            columns,
            value_on_bad: layout.value_format.on_bad_record(),
            value,
            key: key.transpose()?,
            metadata,
            dropped: Vec::new(),
        })
    }

    /// Rows decoded and not yet taken.
    pub fn len(&self) -> usize {
        self.value.len() - self.dropped.len()
    }

    /// Whether the rows must be taken before the next record.
    pub fn is_full(&self) -> bool {
        self.value.is_full() || self.key.as_ref().is_some_and(|key| key.decoder.is_full())
    }

    /// Decodes a record. A record without a value gives no row, nor does one without a key if the key's format needs
    /// one. Every row of a record gets its key and its metadata.
    ///
    /// # Errors
    /// Says what is wrong with the record. Then nothing of it is kept.
    pub fn decode(&mut self, topic: &str, partition: i32, message: &Message) -> Result<(), Refusal> {
        let decoded = match message.value() {
            Some(value) => self.value.decode(value),
            None => self.value.decode_null(),
        };
        let rows = match decoded {
            Ok(0) => return Ok(()),
            Ok(rows) => rows,
            Err(bad) => {
                return Err(Refusal { reason: bad.to_string(), skip: self.value_on_bad == OnBadRecord::Skip });
            }
        };
        for row in 0..rows {
            if let Some(key) = &mut self.key {
                // The first row has shown what the key is.
                match key.decode(message) {
                    Ok(0) => {
                        self.drop_last(rows - row);
                        return Ok(());
                    }
                    Ok(_) => {}
                    Err(refusal) => {
                        self.drop_last(rows - row);
                        return Err(refusal);
                    }
                }
            }
            for column in &mut self.metadata {
                column.append(topic, partition, message);
            }
        }
        Ok(())
    }

    /// The last rows of the value are none.
    fn drop_last(&mut self, rows: usize) {
        let behind = self.value.len();
        self.dropped.extend(behind - rows..behind);
    }

    /// Returns the rows so far, and begins an empty batch.
    ///
    /// # Errors
    /// Says which declaration the rows break.
    pub fn take(&mut self) -> Result<Batch, Error> {
        let broken = |error: &dyn std::error::Error| Error::Unavailable {
            what: format!("rows do not fit their declaration: {error}"),
            source: None,
            retryable: false,
        };
        let rows = self.len();
        let mut value = self.value.flush().map_err(|error| broken(&error))?;
        if !self.dropped.is_empty() {
            let mut keep = vec![true; value.num_rows()];
            for row in self.dropped.drain(..) {
                keep[row] = false;
            }
            value = value.filter(&BooleanArray::from(keep)).map_err(|error| broken(&error))?;
        }
        let key = match &mut self.key {
            Some(key) => Some(key.decoder.flush().map_err(|error| broken(&error))?),
            None => None,
        };
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for origin in &self.columns {
            columns.push(match (origin, &key) {
                (Origin::Value(index), _) => Arc::clone(value.rows().column(*index)),
                (Origin::Key(index), Some(key)) => Arc::clone(key.rows().column(*index)),
                (Origin::Key(_), None) => unreachable!("a column comes from the key only where there is a key format"),
            });
        }
        for column in &mut self.metadata {
            columns.push(column.finish()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let complete = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        Ok(value.with_columns(complete.map_err(|error| broken(&error))?))
    }
}
