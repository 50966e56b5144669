//! The options of `parquet`.

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_stream::sql_type;

use crate::config::{ConfigError, OptionReader};
use crate::schema::{is_scalar, map_fields};

/// How the pages of a file are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// No compression.
    Uncompressed,
    /// Snappy.
    #[default]
    Snappy,
    /// Gzip.
    Gzip,
    /// LZ4 in raw blocks.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// The options of `parquet`. Timestamps are written as whole numbers of the column's unit and never as INT96. INT96 can
/// be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `parquet.compression`.
    pub compression: Compression,
    /// `parquet.block.size`: the maximum size of a row group in bytes, before compression.
    pub row_group_bytes_max: usize,
    /// `parquet.page.size`: the maximum size of a page in bytes, before compression.
    pub page_bytes_max: usize,
    /// `parquet.dictionary.page.size`: the size in bytes from which a column is written without a dictionary.
    pub dictionary_bytes_max: usize,
    /// `parquet.enable.dictionary`.
    pub dictionary: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            row_group_bytes_max: 128 << 20,
            page_bytes_max: 1 << 20,
            dictionary_bytes_max: 1 << 20,
            dictionary: true,
        }
    }
}

impl Config {
    pub(crate) fn parse(options: &mut OptionReader<'_>, schema: &SchemaRef) -> Result<Self, ConfigError> {
        let default = Self::default();
        let compression = options.parsed("compression", |text| match text.to_ascii_uppercase().as_str() {
            "UNCOMPRESSED" => Ok(Compression::Uncompressed),
            "SNAPPY" => Ok(Compression::Snappy),
            "GZIP" => Ok(Compression::Gzip),
            "LZ4" | "LZ4_RAW" => Ok(Compression::Lz4),
            "ZSTD" => Ok(Compression::Zstd),
            _ => Err("expected UNCOMPRESSED, SNAPPY, GZIP, LZ4_RAW or ZSTD"),
        })?;
        let dictionary = match options.text("enable.dictionary") {
            Some(_) => options.flag("enable.dictionary")?,
            None => default.dictionary,
        };
        // INT96 is read as UTC. A worker's time zone is UTC, so the option does not change what is read.
        options.flag("utc-timezone")?;
        options.parsed("write.int64.timestamp", |text| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(()),
            _ => Err("timestamps are always written as INT64"),
        })?;
        for field in schema.fields() {
            if !is_carried(field.data_type()) {
                return Err(ConfigError::table(format!(
                    "format 'parquet' cannot carry column '{}' of type {}",
                    field.name(),
                    sql_type(field.data_type())
                )));
            }
        }
        Ok(Self {
            compression: compression.unwrap_or_default(),
            row_group_bytes_max: size(options, "block.size")?.unwrap_or(default.row_group_bytes_max),
            page_bytes_max: size(options, "page.size")?.unwrap_or(default.page_bytes_max),
            dictionary_bytes_max: size(options, "dictionary.page.size")?.unwrap_or(default.dictionary_bytes_max),
            dictionary,
        })
    }
}

/// A positive number of bytes.
fn size(options: &mut OptionReader<'_>, name: &str) -> Result<Option<usize>, ConfigError> {
    options.parsed(name, |text| match text.trim().parse::<u32>() {
        Ok(bytes) if bytes > 0 => Ok(bytes as usize),
        _ => Err("expected a number of bytes"),
    })
}

/// Whether files support a type.
fn is_carried(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(element) => is_carried(element.data_type()),
        DataType::Map(entries, _) => {
            map_fields(entries).is_some_and(|(key, value)| is_carried(key.data_type()) && is_carried(value.data_type()))
        }
        DataType::Struct(fields) => !fields.is_empty() && fields.iter().all(|field| is_carried(field.data_type())),
        other => is_scalar(other),
    }
}
