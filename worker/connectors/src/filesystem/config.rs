//! The options of filesystem tables. The keys are Flink's; `s3.*` and `source.split.size` are Eddyline's own.
//!
//! One table can be both read and written, so all options are read in either case.

use std::fmt;
use std::num::{NonZeroU16, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use eddyline_formats::{ConfigError, FormatConfig, FormatOptions};
use regex::Regex;

use super::location::{Glob, Location};
use crate::{OptionError, OptionErrors, Options, TableDescriptor};

/// The default size of a part, in bytes.
const PART_BYTES: u64 = 128 << 20;
/// Flink's name of the partition of NULL and of the empty string.
const DEFAULT_PARTITION: &str = "__DEFAULT_PARTITION__";

/// A filesystem table.
#[derive(Clone, Debug)]
pub struct Config {
    /// `path`.
    pub location: Location,
    /// `format`, and its options.
    pub format: FormatConfig,
    /// How to reach S3.
    pub s3: S3,
    /// The columns in the files: all physical ones except the partition keys, in order.
    pub file_columns: Vec<usize>,
    /// `PARTITIONED BY`: physical columns.
    pub partition_columns: Vec<usize>,
    /// `partition.default-name`: the partition of NULL and of the empty string.
    pub default_partition: String,
    /// `source.monitor-interval`: how often to look for new files. `None`: read the existing files and end.
    pub monitor_interval: Option<Duration>,
    /// `source.path.regex-pattern`: read only files whose whole path matches.
    pub path_pattern: Option<Regex>,
    /// `source.split.size`: the approximate size of a piece of a large file, in bytes. The default depends on the file.
    pub split_bytes: Option<NonZeroU64>,
    /// `sink.rolling-policy.file-size`: the size of a part in bytes. A part ends with the batch that exceeds it.
    pub part_bytes: u64,
    /// `sink.parallelism`: the maximum number of writers.
    pub sink_parallelism: Option<NonZeroU16>,
    /// The name of an empty file that is written into a partition after a commit of rows.
    pub success_file: Option<String>,
}

/// How to reach S3. The defaults come from the environment (`AWS_*`).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3 {
    /// `s3.endpoint`.
    pub endpoint: Option<String>,
    /// `s3.region`.
    pub region: Option<String>,
    /// `s3.access-key`.
    pub access_key: Option<String>,
    /// `s3.secret-key`.
    pub secret_key: Option<String>,
    /// `s3.path.style.access`: the bucket is in the path, and not in the host name.
    pub path_style: bool,
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret_key = self.secret_key.as_ref().map(|_| "…");
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("access_key", &self.access_key)
            .field("secret_key", &secret_key)
            .field("path_style", &self.path_style)
            .finish()
    }
}

impl FormatOptions for Options<'_> {
    fn get(&mut self, key: &str) -> Option<String> {
        Options::get(self, key).map(str::to_owned)
    }
}

impl From<ConfigError> for OptionError {
    fn from(ConfigError { key, message }: ConfigError) -> Self {
        match key {
            Some(key) => Self::of(&key, message),
            None => Self::table(message),
        }
    }
}

impl Config {
    /// Reads the options of a source table.
    ///
    /// # Errors
    /// Names the option or the column that is wrong.
    pub fn parse_source(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        Options::read(&table.options, |options| {
            let config = Self::of(options, table)?;
            for column in &table.metadata {
                let expected = match column.key.as_str() {
                    "file.path" | "file.name" => DataType::Utf8,
                    "file.size" => DataType::Int64,
                    "file.modification-time" => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
                    other => {
                        return Err(OptionError::table(format!(
                            "filesystem has no metadata '{other}' (column '{}'); there are file.path, file.name, file.size \
                         and file.modification-time",
                            column.name
                        )));
                    }
                };
                if column.data_type != expected {
                    let sql = if column.key == "file.size" {
                        "BIGINT"
                    } else if expected == DataType::Utf8 {
                        "STRING"
                    } else {
                        "TIMESTAMP_LTZ(3)"
                    };
                    return Err(OptionError::table(format!("metadata column '{}' must be {sql}", column.name)));
                }
            }
            Ok(config)
        })
    }

    /// Reads the options of a sink table.
    ///
    /// # Errors
    /// Names the option or the column that is wrong.
    pub fn parse_sink(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        Options::read(&table.options, |options| {
            let config = Self::of(options, table)?;
            config.format.check_encoding("")?;
            if let Some(column) = table.metadata.iter().find(|column| !column.is_virtual) {
                return Err(OptionError::table(format!(
                    "metadata column '{}' cannot be written; declare it VIRTUAL",
                    column.name
                )));
            }
            if Glob::parse(config.location.path()).ok().flatten().is_some() {
                return Err(OptionError::of(
                    "path",
                    format!("'path' = '{}': a sink writes into one folder", config.location),
                ));
            }
            Ok(config)
        })
    }

    fn of(options: &mut Options<'_>, table: &TableDescriptor) -> Result<Self, OptionError> {
        let path = options.required("path")?;
        let location =
            Location::parse(path).map_err(|reason| OptionError::of("path", format!("'path' = '{path}': {reason}")))?;
        Glob::parse(location.path()).map_err(|reason| OptionError::of("path", reason))?;
        let (file_columns, partition_columns) = split_columns(table)?;
        let format = FormatConfig::parse(options, "", &file_schema(table, &file_columns))?;
        let config = Self {
            location,
            format,
            s3: s3(options)?,
            file_columns,
            partition_columns,
            default_partition: options.get("partition.default-name").unwrap_or(DEFAULT_PARTITION).to_owned(),
            monitor_interval: options.duration("source.monitor-interval").filter(|interval| !interval.is_zero()),
            path_pattern: options.parsed("source.path.regex-pattern", |text| {
                Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())
            }),
            split_bytes: options.parsed("source.split.size", parse_size).and_then(NonZeroU64::new),
            part_bytes: options.parsed("sink.rolling-policy.file-size", parse_size).unwrap_or(PART_BYTES).max(1),
            sink_parallelism: options.parallelism("sink.parallelism"),
            success_file: success_file(options)?,
        };
        refuse_unsupported(options)?;
        Ok(config)
    }

    /// The schema of the files.
    pub fn file_schema(&self, table: &TableDescriptor) -> SchemaRef {
        file_schema(table, &self.file_columns)
    }
}

fn file_schema(table: &TableDescriptor, columns: &[usize]) -> SchemaRef {
    Arc::new(Schema::new(columns.iter().map(|index| Arc::clone(&table.schema.fields()[*index])).collect::<Vec<_>>()))
}

/// The physical columns in files, and those in the names of folders, in the order of the folders.
fn split_columns(table: &TableDescriptor) -> Result<(Vec<usize>, Vec<usize>), OptionError> {
    let mut partition_columns = Vec::new();
    for name in &table.partition_keys {
        let Ok(index) = table.schema.index_of(name) else {
            return Err(OptionError::table(format!("PARTITIONED BY ({name}): '{name}' is not a physical column")));
        };
        let field = table.schema.field(index);
        if !super::partition::is_supported(field.data_type()) {
            return Err(OptionError::table(format!(
                "PARTITIONED BY ({name}): cannot partition by {}",
                field.data_type()
            )));
        }
        partition_columns.push(index);
    }
    let file_columns: Vec<usize> =
        (0..table.schema.fields().len()).filter(|index| !partition_columns.contains(index)).collect();
    if file_columns.is_empty() {
        return Err(OptionError::table("at least one column must not be in PARTITIONED BY"));
    }
    Ok((file_columns, partition_columns))
}

fn s3(options: &mut Options<'_>) -> Result<S3, OptionError> {
    let mut text = |key: &str| options.get(key).map(str::to_owned);
    let (endpoint, region) = (text("s3.endpoint"), text("s3.region"));
    let (access_key, secret_key) = (text("s3.access-key"), text("s3.secret-key"));
    if access_key.is_some() != secret_key.is_some() {
        return Err(OptionError::table("'s3.access-key' and 's3.secret-key' need each other"));
    }
    let path_style = options.boolean("s3.path.style.access").unwrap_or(endpoint.is_some());
    Ok(S3 { endpoint, region, access_key, secret_key, path_style })
}

fn success_file(options: &mut Options<'_>) -> Result<Option<String>, OptionError> {
    let name = options.get("sink.partition-commit.success-file.name").unwrap_or("_SUCCESS").to_owned();
    let kinds = options.parsed("sink.partition-commit.policy.kind", |text| match text.trim() {
        "success-file" => Ok(()),
        _ => Err("only success-file is supported".to_owned()),
    });
    Ok(kinds.map(|()| name))
}

/// Refuses options of Flink that would change the output. Accepts those without effect here, because every part ends at
/// its checkpoint.
fn refuse_unsupported(options: &mut Options<'_>) -> Result<(), OptionError> {
    for key in ["sink.rolling-policy.rollover-interval", "sink.rolling-policy.check-interval"] {
        options.duration(key);
    }
    options.boolean("sink.shuffle-by-partition.enable");
    if options.boolean("auto-compaction") == Some(true) {
        return Err(OptionError::of("auto-compaction", "'auto-compaction' is not supported"));
    }
    options.parsed("sink.partition-commit.trigger", |text| match text.trim() {
        "process-time" => Ok(()),
        _ => Err("only process-time is supported".to_owned()),
    });
    if options.duration("sink.partition-commit.delay").is_some_and(|delay| !delay.is_zero()) {
        return Err(OptionError::of("sink.partition-commit.delay", "a 'sink.partition-commit.delay' is not supported"));
    }
    Ok(())
}

/// Reads a size in Flink's notation: a whole number and a unit (`b`, `kb`, `mb`, `gb`, `tb` and their short forms),
/// each 1024 of the one before; bytes without a unit.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let expected = || "expected a size such as 128 mb".to_owned();
    let number: u64 = text[..digits].parse().map_err(|_| expected())?;
    let shift = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kib" | "kibibytes" => 10,
        "m" | "mb" | "mib" | "mebibytes" => 20,
        "g" | "gb" | "gib" | "gibibytes" => 30,
        "t" | "tb" | "tib" | "tebibytes" => 40,
        _ => return Err(expected()),
    };
    number.checked_mul(1 << shift).ok_or_else(expected)
}
