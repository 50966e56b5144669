//! Metadata columns: the properties of a record besides key and value.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, MapBuilder, MapFieldNames, StringBuilder,
    TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field};
use eddyline_stream::cast::cast;

use super::partition_queue::Message;
use crate::{Error, MetadataColumn};

/// Collects one metadata column.
pub struct MetadataBuilder {
    declared: Field,
    values: Values,
}

enum Values {
    Topic(StringBuilder),
    Partition(Int32Builder),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    LeaderEpoch(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    TimestampType(StringBuilder),
}

impl MetadataBuilder {
    /// A builder of a column.
    ///
    /// # Errors
    /// Names a column whose key is not one of Kafka's.
    pub fn new(column: &MetadataColumn) -> Result<Self, Error> {
        let values = match column.key.as_str() {
            "topic" => Values::Topic(StringBuilder::new()),
            "partition" => Values::Partition(Int32Builder::new()),
            "headers" => {
                let names =
                    MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
                Values::Headers(Box::new(MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new())))
            }
            "leader-epoch" => Values::LeaderEpoch(Int32Builder::new()),
            "offset" => Values::Offset(Int64Builder::new()),
            "timestamp" => Values::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
            "timestamp-type" => Values::TimestampType(StringBuilder::new()),
            other => {
                return Err(Error::Unavailable {
                    what: format!("metadata column {}: Kafka has no '{other}'", column.name),
                    source: None,
                    retryable: false,
                });
            }
        };
        Ok(Self { declared: Field::new(&column.name, column.data_type.clone(), true), values })
    }

    /// The column as the batch declares it.
    pub fn field(&self) -> &Field {
        &self.declared
    }

    /// Appends the value of a record.
    pub fn append(&mut self, topic: &str, partition: i32, message: &Message) {
        match &mut self.values {
            Values::Topic(values) => values.append_value(topic),
            Values::Partition(values) => values.append_value(partition),
            Values::Headers(values) => {
                message.each_header(|name, value| {
                    values.keys().append_value(name);
                    values.values().append_option(value);
                });
                values.append(true).expect("a key was appended for every value");
            }
            Values::LeaderEpoch(values) => values.append_option(message.leader_epoch()),
            Values::Offset(values) => values.append_value(message.offset()),
            Values::Timestamp(values) => values.append_value(message.timestamp().0),
            Values::TimestampType(values) => values.append_value(message.timestamp().1),
        }
    }

    /// Returns the column so far, in its declared type, and begins an empty one.
    pub fn finish(&mut self) -> Result<ArrayRef, Error> {
        let column: ArrayRef = match &mut self.values {
            Values::Topic(values) | Values::TimestampType(values) => Arc::new(values.finish()),
            Values::Partition(values) | Values::LeaderEpoch(values) => Arc::new(values.finish()),
            Values::Headers(values) => Arc::new(values.finish()),
            Values::Offset(values) => Arc::new(values.finish()),
            Values::Timestamp(values) => Arc::new(values.finish()),
        };
        as_declared(column, &self.declared)
    }
}

fn as_declared(column: ArrayRef, declared: &Field) -> Result<ArrayRef, Error> {
    let wanted: &DataType = declared.data_type();
    cast(&column, wanted).map_err(|error| Error::Unavailable {
        what: format!("metadata column {} cannot be declared as {wanted}", declared.name()),
        source: Some(Box::new(error)),
        retryable: false,
    })
}
