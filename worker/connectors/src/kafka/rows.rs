//! Converts records to rows: value, key and metadata columns of a table.

use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use eddyline_formats::{Decoded, OnBadRecord, RecordDecoder};

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
    /// one.
    ///
    /// # Errors
    /// Says what is wrong with the record. Then nothing of it is kept.
    pub fn decode(&mut self, topic: &str, partition: i32, message: &Message) -> Result<(), Refusal> {
        let decoded = match message.value() {
            Some(value) => self.value.decode(value),
            None => self.value.decode_null(),
        };
        match decoded {
            Ok(Decoded::Row) => {}
            Ok(Decoded::Nothing) => return Ok(()),
            Err(bad) => {
                return Err(Refusal { reason: bad.to_string(), skip: self.value_on_bad == OnBadRecord::Skip });
            }
        }
        if let Some(key) = &mut self.key {
            let decoded = match message.key() {
                Some(bytes) => key.decoder.decode(bytes),
                None => key.decoder.decode_null(),
            };
            match decoded {
                Ok(Decoded::Row) => {}
                Ok(Decoded::Nothing) => {
                    self.dropped.push(self.value.len() - 1);
                    return Ok(());
                }
                Err(bad) => {
                    self.dropped.push(self.value.len() - 1);
                    return Err(Refusal { reason: format!("key: {bad}"), skip: key.on_bad == OnBadRecord::Skip });
                }
            }
        }
        for column in &mut self.metadata {
            column.append(topic, partition, message);
        }
        Ok(())
    }

    /// Returns the rows so far, and begins an empty batch.
    ///
    /// # Errors
    /// Says which declaration the rows break.
    pub fn take(&mut self) -> Result<RecordBatch, Error> {
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
            value = filter_record_batch(&value, &BooleanArray::from(keep)).map_err(|error| broken(&error))?;
        }
        let key = match &mut self.key {
            Some(key) => Some(key.decoder.flush().map_err(|error| broken(&error))?),
            None => None,
        };
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for origin in &self.columns {
            columns.push(match (origin, &key) {
                (Origin::Value(index), _) => Arc::clone(value.column(*index)),
                (Origin::Key(index), Some(key)) => Arc::clone(key.column(*index)),
                (Origin::Key(_), None) => unreachable!("a column comes from the key only where there is a key format"),
            });
        }
        for column in &mut self.metadata {
            columns.push(column.finish()?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(|error| broken(&error))
    }
}
