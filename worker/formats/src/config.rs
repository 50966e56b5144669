//! Which format a table has, from its WITH options.

use std::fmt;

use arrow::datatypes::SchemaRef;
use eddyline_stream::ChangelogMode;

use crate::cdc::{self, Dialect};
use crate::{csv, json, parquet, raw};

/// The WITH options of a table, as far as formats read them.
pub trait FormatOptions {
    /// The text of an option. Options that are never read are refused in the end.
    fn get(&mut self, key: &str) -> Option<String>;
}

/// An error of the options of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConfigError {
    /// The option's key. `None` for an error of the whole table.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub message: String,
}

impl ConfigError {
    /// An error about one option.
    pub(crate) fn of(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: Some(key.into()), message: message.into() }
    }

    /// An error about the table's columns.
    pub(crate) fn table(message: impl Into<String>) -> Self {
        Self { key: None, message: message.into() }
    }
}

/// The unit in which a format is read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Records: values of Kafka messages, or lines of a file.
    Records,
    /// Whole files only.
    Files,
}

/// What a reader does with a record that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBadRecord {
    /// The job fails with an error that names the record.
    Fail,
    /// The record is counted and skipped.
    Skip,
}

/// The format of a table and its options.
#[derive(Clone, Debug, PartialEq)]
pub enum FormatConfig {
    /// `'format' = 'json'`.
    Json(json::Config),
    /// `'format' = 'csv'`.
    Csv(csv::Config),
    /// `'format' = 'raw'`.
    Raw(raw::Config),
    /// `'format' = 'parquet'`.
    Parquet(parquet::Config),
    /// `'format' = 'debezium-json'`, `'canal-json'`, `'maxwell-json'`, `'ogg-json'`.
    Cdc(cdc::Config),
}

impl FormatConfig {
    /// Reads the option `{prefix}format` and the options of that format, such as `{prefix}json.ignore-parse-errors`,
    /// and checks that the format can carry the physical columns `schema`. The prefix is empty, `key.` or `value.`.
    ///
    /// # Errors
    /// Names the option or the column, and what is possible.
    pub fn parse(options: &mut dyn FormatOptions, prefix: &str, schema: &SchemaRef) -> Result<Self, ConfigError> {
        let key = format!("{prefix}format");
        let name = options.get(&key).ok_or_else(|| ConfigError::table(format!("option '{key}' is missing")))?;
        let mut reader = OptionReader { options, prefix, format: &name };
        match name.as_str() {
            "json" => json::Config::parse(&mut reader, schema).map(Self::Json),
            "csv" => csv::Config::parse(&mut reader, schema).map(Self::Csv),
            "raw" => raw::Config::parse(&mut reader, schema).map(Self::Raw),
            "parquet" => parquet::Config::parse(&mut reader, schema).map(Self::Parquet),
            _ => match Dialect::ALL.into_iter().find(|dialect| dialect.format() == name) {
                Some(dialect) => cdc::Config::parse(dialect, &mut reader, schema).map(Self::Cdc),
                None => Err(ConfigError::of(
                    key,
                    format!(
                        "unknown format '{name}'; the formats are 'json', 'csv', 'parquet', 'raw', 'debezium-json', \
                         'canal-json', 'maxwell-json' and 'ogg-json'"
                    ),
                )),
            },
        }
    }

    /// The format's name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json(_) => "json",
            Self::Csv(_) => "csv",
            Self::Raw(_) => "raw",
            Self::Parquet(_) => "parquet",
            Self::Cdc(config) => config.dialect.format(),
        }
    }

    /// The unit in which the format is read and written.
    pub fn framing(&self) -> Framing {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Raw(_) | Self::Cdc(_) => Framing::Records,
            Self::Parquet(_) => Framing::Files,
        }
    }

    /// What a reader does with a bad record.
    pub fn on_bad_record(&self) -> OnBadRecord {
        let skip = match self {
            Self::Json(config) => config.ignore_parse_errors,
            Self::Csv(config) => config.ignore_parse_errors,
            Self::Cdc(config) => config.rows.ignore_parse_errors,
            Self::Raw(_) | Self::Parquet(_) => false,
        };
        if skip { OnBadRecord::Skip } else { OnBadRecord::Fail }
    }

    /// The options of Parquet, if this is that format.
    pub fn parquet(&self) -> Option<&parquet::Config> {
        match self {
            Self::Parquet(config) => Some(config),
            Self::Json(_) | Self::Csv(_) | Self::Raw(_) | Self::Cdc(_) => None,
        }
    }

    /// Which kinds of rows there can be in what is read, and which can be written.
    pub fn changelog_mode(&self) -> ChangelogMode {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Raw(_) | Self::Parquet(_) => ChangelogMode::INSERT_ONLY,
            Self::Cdc(_) => ChangelogMode::ALL,
        }
    }

    /// The option that says how a reader skips bad records, for people; `None` if the format has none.
    pub fn skip_option(&self) -> Option<String> {
        match self {
            Self::Json(_) | Self::Csv(_) | Self::Cdc(_) => Some(format!("{}.ignore-parse-errors", self.name())),
            Self::Raw(_) | Self::Parquet(_) => None,
        }
    }

    /// Checks that records can be written with these options, whose keys begin with `prefix`.
    ///
    /// # Errors
    /// Names the option that is for reading only.
    pub fn check_encoding(&self, prefix: &str) -> Result<(), ConfigError> {
        let Self::Cdc(config) = self else { return Ok(()) };
        config.check_encoding().map_err(|(option, reason)| {
            let key = format!("{prefix}{}.{option}", self.name());
            ConfigError::of(key.clone(), format!("'{key}': {reason}"))
        })
    }
}

#[cfg(feature = "io")]
impl FormatConfig {
    /// Makes a decoder. `schema` has all physical columns of the table. `projection` has the indices of the columns to
    /// read, in the order of the output. `batch_rows` is the usual number of rows of a batch.
    ///
    /// # Errors
    /// The format does not support the type of a column, or has no records.
    pub fn decoder(
        &self,
        schema: &SchemaRef,
        projection: &[usize],
        batch_rows: usize,
    ) -> Result<Box<dyn crate::RecordDecoder>, crate::Error> {
        Ok(match self {
            Self::Json(config) => Box::new(json::Decoder::new(config, schema, projection, batch_rows)?),
            Self::Csv(config) => Box::new(csv::Decoder::new(config, schema, projection, batch_rows)?),
            Self::Raw(config) => Box::new(raw::Decoder::new(config, schema, projection, batch_rows)?),
            Self::Cdc(config) => Box::new(cdc::Decoder::new(config, schema, projection, batch_rows)?),
            Self::Parquet(_) => return Err(self.no_records()),
        })
    }

    /// Makes an encoder for batches of the physical columns `schema`.
    ///
    /// # Errors
    /// The format does not support the type of a column, or has no records.
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn crate::RecordEncoder>, crate::Error> {
        Ok(match self {
            Self::Json(config) => Box::new(json::Encoder::new(config, schema)?),
            Self::Csv(config) => Box::new(csv::Encoder::new(config, schema)?),
            Self::Raw(config) => Box::new(raw::Encoder::new(config, schema)?),
            Self::Cdc(config) => Box::new(cdc::Encoder::new(config, schema)?),
            Self::Parquet(_) => return Err(self.no_records()),
        })
    }

    fn no_records(&self) -> crate::Error {
        crate::Error::Framing { format: self.name(), reason: "reads and writes whole files, not single records" }
    }
}

/// Reads the options of one format.
pub(crate) struct OptionReader<'a> {
    options: &'a mut dyn FormatOptions,
    prefix: &'a str,
    format: &'a str,
}

impl OptionReader<'_> {
    /// The format's name in SQL.
    pub(crate) fn format(&self) -> &str {
        self.format
    }

    /// The full key of an option of this format.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{}.{name}", self.prefix, self.format)
    }

    /// The text of an option.
    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        let key = self.key(name);
        self.options.get(&key)
    }

    /// Reads an option with `parse`, whose error says what is expected. The key and the value are added to the error.
    pub(crate) fn parsed<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let key = self.key(name);
        parse(&text).map(Some).map_err(|reason| ConfigError::of(&key, format!("'{key}' = '{text}': {reason}")))
    }

    /// `true` or `false`; `false` when absent.
    pub(crate) fn flag(&mut self, name: &str) -> Result<bool, ConfigError> {
        let flag = self.parsed(name, |text| match text.trim().to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("expected true or false"),
        })?;
        Ok(flag.unwrap_or(false))
    }

    /// A single ASCII character, possibly written as an escape such as `\t` or `\u0001`.
    pub(crate) fn character(&mut self, name: &str) -> Result<Option<u8>, ConfigError> {
        self.parsed(name, |text| {
            let character = match text {
                "\\t" => '\t',
                "\\\\" => '\\',
                _ => match text.strip_prefix("\\u").map(|hex| u32::from_str_radix(hex, 16)) {
                    Some(Ok(code)) => char::from_u32(code).ok_or("expected one ASCII character")?,
                    _ => {
                        let mut characters = text.chars();
                        match (characters.next(), characters.next()) {
                            (Some(character), None) => character,
                            _ => return Err("expected one character"),
                        }
                    }
                },
            };
            match u8::try_from(character) {
                Ok(byte) if byte.is_ascii() && byte != b'\n' && byte != b'\r' => Ok(byte),
                _ => Err("expected one ASCII character that does not end a line"),
            }
        })
    }
}
