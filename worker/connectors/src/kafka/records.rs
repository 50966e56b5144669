//! Converts rows to records: keys, values, partitions, timestamps and headers.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use arrow::error::ArrowError;
use eddyline_formats::{EncodedRecords, RecordEncoder};
use eddyline_stream::Batch;
use eddyline_stream::cast::cast;

use super::config::{Partitioner, SinkConfig};
use crate::{Error, TableDescriptor};

/// Replaces the timestamp 0, which means "now" for librdkafka.
const EARLIEST_TIMESTAMP: i64 = 1;

/// A record as it goes to Kafka.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record<'a> {
    /// The key, if any.
    pub key: Option<&'a [u8]>,
    /// The value. `None`: a tombstone.
    pub value: Option<&'a [u8]>,
    /// The partition. `None`: the client's partitioner chooses.
    pub partition: Option<i32>,
    /// The timestamp in milliseconds since 1970. `None`: the time of sending.
    pub timestamp: Option<i64>,
    /// Names and values of headers.
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// The partition of a writer's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionChoice {
    /// The client decides, by the key.
    Client,
    /// Always this one.
    Fixed(i32),
    /// All partitions in turn.
    InTurns {
        /// The next partition.
        next: i32,
        /// The number of partitions.
        count: i32,
    },
}

impl PartitionChoice {
    /// The choice of writer `writer` on a topic with `partitions` partitions (at least one).
    pub fn new(partitioner: Partitioner, writer: usize, partitions: i32) -> Self {
        let count = partitions.max(1);
        let own = i32::try_from(writer % usize::try_from(count).unwrap_or(1)).unwrap_or(0);
        match partitioner {
            Partitioner::Default => Self::Client,
            Partitioner::Fixed => Self::Fixed(own),
            Partitioner::RoundRobin => Self::InTurns { next: own, count },
        }
    }

    fn next(&mut self) -> Option<i32> {
        match self {
            Self::Client => None,
            Self::Fixed(partition) => Some(*partition),
            Self::InTurns { next, count } => {
                let partition = *next;
                *next = (partition + 1) % *count;
                Some(partition)
            }
        }
    }
}

/// Encodes rows: the physical columns, then the written metadata columns.
pub struct RowEncoder {
    topic: String,
    value: Box<dyn RecordEncoder>,
    value_columns: Vec<usize>,
    key: Option<(Box<dyn RecordEncoder>, Vec<usize>)>,
    headers: Option<usize>,
    timestamp: Option<usize>,

    choice: PartitionChoice,
}

/// Encoded rows.
pub struct EncodedRows {
    values: EncodedRecords,
    keys: Option<EncodedRecords>,
    headers: Option<ArrayRef>,
    timestamps: Option<ArrayRef>,
    partitions: Vec<Option<i32>>,
}

impl RowEncoder {
    /// An encoder for a table.
    ///
    /// # Errors
    /// Says what the formats do not support.
    pub fn new(config: &SinkConfig, table: &TableDescriptor, choice: PartitionChoice) -> Result<Self, Error> {
        let unsupported = |error: eddyline_formats::Error| Error::Unavailable {
            what: format!("table {}: {error}", table.name),
            source: Some(Box::new(error)),
            retryable: false,
        };
        let layout = &config.layout;
        let value = layout.value_format.encoder(&layout.value_schema).map_err(unsupported)?;
        let key = layout.key.as_ref().map(|key| {
            let encoder = key.format.encoder(&key.schema).map_err(unsupported)?;
            Ok((encoder, key.columns.clone()))
        });
        let written = || table.metadata.iter().filter(|column| !column.is_virtual);
        let place =
            |key: &str| written().position(|column| column.key == key).map(|at| table.schema.fields().len() + at);
        Ok(Self {
            topic: config.topic.clone(),
            value,
            value_columns: layout.value_columns.clone(),
            key: key.transpose()?,
            headers: place("headers"),
            timestamp: place("timestamp"),
            choice,
        })
    }

    /// Encodes a batch.
    ///
    /// # Errors
    /// Names the topic and says what cannot be encoded.
    pub fn encode(&mut self, batch: &Batch) -> Result<EncodedRows, Error> {
        let rows = batch.rows();
        let topic = &self.topic;
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| Error::Unavailable {
            what: format!("topic {topic}: cannot encode rows: {error}"),
            source: Some(error),
            retryable: false,
        };
        let encode = |encoder: &mut dyn RecordEncoder, part: Result<Batch, ArrowError>| {
            let mut records = EncodedRecords::records();
            let part = part.map_err(|error| failed(Box::new(error)))?;
            encoder.encode(&part, &mut records).map_err(|error| failed(Box::new(error)))?;
            Ok::<_, Error>(records)
        };
        let values = encode(self.value.as_mut(), batch.project(&self.value_columns))?;
        let keys = match &mut self.key {
            // A key says whose row it is, not what becomes of it.
            Some((encoder, columns)) => Some(encode(encoder.as_mut(), rows.project(columns).map(Batch::new))?),
            None => None,
        };
        let timestamps = match self.timestamp {
            Some(column) => {
                let wanted = DataType::Timestamp(TimeUnit::Millisecond, None);
                Some(cast(rows.column(column), &wanted).map_err(|error| failed(Box::new(error)))?)
            }
            None => None,
        };
        let headers = self.headers.map(|column| rows.column(column).clone());
        if let Some(headers) = &headers
            && !is_headers(headers.data_type())
        {
            let reason = format!("headers are MAP<STRING, BYTES>, not {}", headers.data_type());
            return Err(failed(reason.into()));
        }
        let partitions = match self.choice {
            PartitionChoice::Client => Vec::new(),
            _ => (0..values.len()).map(|_| self.choice.next()).collect(),
        };
        Ok(EncodedRows { values, keys, headers, timestamps, partitions })
    }
}

fn is_headers(data_type: &DataType) -> bool {
    let DataType::Map(entries, _) = data_type else { return false };
    let DataType::Struct(fields) = entries.data_type() else { return false };
    fields.len() == 2 && *fields[0].data_type() == DataType::Utf8 && *fields[1].data_type() == DataType::Binary
}

impl EncodedRows {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Bytes of keys and values.
    pub fn bytes(&self) -> u64 {
        (self.values.bytes().len() + self.keys.as_ref().map_or(0, |keys| keys.bytes().len())) as u64
    }

    /// One record.
    pub fn record(&self, index: usize) -> Record<'_> {
        let timestamps = self.timestamps.as_ref().map(|column| column.as_primitive::<TimestampMillisecondType>());
        Record {
            key: self.keys.as_ref().and_then(|keys| keys.get(index)),
            value: self.values.get(index),
            partition: self.partitions.get(index).copied().flatten(),
            timestamp: timestamps
                .filter(|column| column.is_valid(index))
                .map(|column| if column.value(index) == 0 { EARLIEST_TIMESTAMP } else { column.value(index) }),
            headers: self.headers.as_ref().map(|column| headers_of(column, index)).unwrap_or_default(),
        }
    }
}

fn headers_of(column: &ArrayRef, row: usize) -> Vec<(&str, Option<&[u8]>)> {
    let map = column.as_map();
    if map.is_null(row) {
        return Vec::new();
    }
    let (names, values) = (map.keys().as_string::<i32>(), map.values().as_binary::<i32>());
    let offsets = map.value_offsets();
    let entries = usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0);
    entries.map(|entry| (names.value(entry), values.is_valid(entry).then(|| values.value(entry)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_keeps_its_partition_or_takes_turns() {
        let mut fixed = PartitionChoice::new(Partitioner::Fixed, 5, 3);
        assert_eq!([fixed.next(), fixed.next()], [Some(2), Some(2)]);
        let mut turns = PartitionChoice::new(Partitioner::RoundRobin, 2, 3);
        assert_eq!([turns.next(), turns.next(), turns.next()], [Some(2), Some(0), Some(1)]);
        assert_eq!(PartitionChoice::new(Partitioner::Default, 1, 3).next(), None);
    }
}
