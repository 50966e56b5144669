//! Formats: how the bytes of records and files become columns, and columns become bytes.
//!
//! `json`, `csv` and `raw` are record formats: one record (the value of a Kafka message, a line of a file) is one row.
//! In the formats of change data capture, such as `debezium-json` (module [`cdc`]), a record is a change.
//! A [`RecordDecoder`] turns records into Arrow batches, a [`RecordEncoder`] turns batches into records. `parquet` is a
//! file format with its own interface.
//!
//! Without the feature `io` there is only [`FormatConfig`]: the options of a table's DDL, typed and checked, which is
//! what the planner needs. Option keys and the meaning of values are Flink's.
//!
//! A record that cannot be read is a [`BadRecord`]: what is wrong with it and where in it. The connector adds the place
//! (topic, partition and offset, or file and line) and applies the policy; nothing of a bad record stays in a batch.

pub mod cdc;
mod config;
pub mod csv;
pub mod json;
pub mod parquet;
pub mod raw;
mod schema;

#[cfg(feature = "io")]
mod columns;
#[cfg(feature = "io")]
mod datetime;
#[cfg(feature = "io")]
mod decode;
#[cfg(feature = "io")]
mod encode;
#[cfg(feature = "io")]
mod numbers;
#[cfg(feature = "io")]
mod text;

pub use config::{ConfigError, FormatConfig, FormatOptions, Framing, OnBadRecord};

#[cfg(feature = "io")]
pub use decode::{BATCH_BYTES_MAX, BadRecord, Lines, RECORD_BYTES_MAX, RecordDecoder};
#[cfg(feature = "io")]
pub use encode::{EncodedRecords, RecordEncoder};
#[cfg(feature = "io")]
pub use text::read_text;

/// An error of a format, other than a record that cannot be read.
#[cfg(feature = "io")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The schema has a type that the format does not support.
    #[error("{format} cannot carry column '{column}' of type {data_type}: {reason}")]
    UnsupportedType {
        /// Which format.
        format: &'static str,
        /// Which column.
        column: String,
        /// Its Arrow type.
        data_type: arrow::datatypes::DataType,
        /// Why.
        reason: &'static str,
    },
    /// A projected column that the table does not have.
    #[error("the table has {columns} columns, there is none with index {index}")]
    NoSuchColumn {
        /// The index asked for.
        index: usize,
        /// The number of columns.
        columns: usize,
    },
    /// A format of whole files is used for records, or the other way round.
    #[error("format '{format}' {reason}")]
    Framing {
        /// Which format.
        format: &'static str,
        /// What it does not support.
        reason: &'static str,
    },
    /// A batch does not have the columns that the encoder was made for.
    #[error("the batch does not fit the table: {0}")]
    Batch(String),
    /// A row that is not an insert, for a format that writes only inserts. The planner should have refused the table.
    #[error("format '{format}' cannot write a row")]
    NotInsertOnly {
        /// Which format.
        format: &'static str,
        /// The kind of the row.
        source: eddyline_stream::NotInsertOnly,
    },
    /// A column of a file that is missing or has a type that does not fit the table.
    #[error("file '{file}': column '{column}': {reason}")]
    FileColumn {
        /// Which file.
        file: String,
        /// Which column of the table.
        column: String,
        /// What does not fit, with both types.
        reason: String,
    },
    /// A file that cannot be read.
    #[error("cannot read file '{file}'")]
    ReadFile {
        /// Which file.
        file: String,
        /// Why.
        source: ::parquet::errors::ParquetError,
    },
    /// A file that cannot be written.
    #[error("cannot write a parquet file")]
    WriteFile(#[source] ::parquet::errors::ParquetError),
    /// Columns could not be combined, which is a defect in a decoder.
    #[error("cannot build a batch")]
    Build(#[source] arrow::error::ArrowError),
}
