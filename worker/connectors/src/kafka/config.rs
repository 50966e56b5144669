//! The WITH options of a Kafka table. The keys and their meanings are Flink's; `scan.dead-letter.topic` is our own.
//!
//! One table can be both read and written, so both configurations read all options, and each keeps its part.

use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use eddyline_formats::{FormatConfig, FormatOptions, Framing};
use regex::Regex;

use super::modes::{BoundedMode, StartupMode};
use super::properties::ClientProperties;
use crate::{MetadataColumn, OptionError, OptionErrors, Options, TableDescriptor};

/// How often to look for new partitions by default.
pub const DISCOVERY_INTERVAL_DEFAULT: Duration = Duration::from_secs(300);

/// Metadata columns that can be read, by key.
pub const READABLE_METADATA: [&str; 7] =
    ["topic", "partition", "headers", "leader-epoch", "offset", "timestamp", "timestamp-type"];

/// Metadata columns that can be written, by key.
pub const WRITABLE_METADATA: [&str; 2] = ["headers", "timestamp"];

/// Which topics a source reads.
#[derive(Clone, Debug)]
pub enum Topics {
    /// These, in this order.
    Named(Vec<String>),
    /// All whose whole name matches, including future ones.
    Pattern(Regex),
}

impl Default for Topics {
    /// None.
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl Topics {
    /// A topic for requests, if the table names one.
    pub fn first(&self) -> Option<&str> {
        match self {
            Self::Named(names) => names.first().map(String::as_str),
            Self::Pattern(_) => None,
        }
    }
}

impl PartialEq for Topics {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(one), Self::Named(two)) => one == two,
            (Self::Pattern(one), Self::Pattern(two)) => one.as_str() == two.as_str(),
            _ => false,
        }
    }
}

/// How the columns of a table are distributed to keys and values of records.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordLayout {
    /// The key's format, and the table's columns in it. `None` if the table does not use keys.
    pub key: Option<KeyLayout>,
    /// The value's format.
    pub value_format: FormatConfig,
    /// The value's columns, as indices into the table's physical columns.
    pub value_columns: Vec<usize>,
    /// The value's columns as the format knows them.
    pub value_schema: SchemaRef,
}

/// The columns of a table in the keys of records.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyLayout {
    /// The format.
    pub format: FormatConfig,
    /// The columns, as indices into the table's physical columns.
    pub columns: Vec<usize>,
    /// The columns as the format knows them: without `key.fields-prefix`.
    pub schema: SchemaRef,
}

/// How to read a table.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceConfig {
    /// What to read.
    pub topics: Topics,
    /// How to reach the brokers.
    pub properties: ClientProperties,
    /// What records look like.
    pub layout: RecordLayout,
    /// Where to begin.
    pub startup: StartupMode,
    /// Where to end.
    pub bounded: BoundedMode,
    /// How often to look for new partitions. `None`: once.
    pub discovery_interval: Option<Duration>,
    /// The topic for records that cannot be read. Without it such a record ends the job.
    pub dead_letter_topic: Option<String>,
    /// Whether to commit group offsets when a checkpoint is complete.
    pub commit_group_offsets: bool,
    /// `scan.parallelism`: the maximum number of readers.
    pub parallelism: Option<NonZeroU16>,
}

/// What a sink promises about rows after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryGuarantee {
    /// Nothing.
    None,
    /// Each row is written, some perhaps twice.
    AtLeastOnce,
    /// Each row is visible once, to readers with `isolation.level = read_committed`.
    ExactlyOnce,
}

/// How a sink chooses partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Partitioner {
    /// As Kafka's Java clients: by the hash of the key. Records without a key stay on a random partition for some time.
    Default,
    /// Each writer has one partition.
    Fixed,
    /// Each writer uses the partitions in turn.
    RoundRobin,
}

/// How to write a table.
#[derive(Clone, Debug, PartialEq)]
pub struct SinkConfig {
    /// The topic.
    pub topic: String,
    /// How to reach the brokers.
    pub properties: ClientProperties,
    /// What records look like.
    pub layout: RecordLayout,
    /// The delivery guarantee.
    pub guarantee: DeliveryGuarantee,
    /// The prefix of the names of transactions, instead of the job's name.
    pub transactional_id_prefix: Option<String>,
    /// How partitions are chosen.
    pub partitioner: Partitioner,
    /// `sink.parallelism`: the maximum number of writers.
    pub parallelism: Option<NonZeroU16>,
}

/// All options of a table, read once.
struct TableOptions {
    topics: Topics,
    properties: ClientProperties,
    layout: RecordLayout,
    startup: StartupMode,
    bounded: BoundedMode,
    discovery_interval: Option<Duration>,
    dead_letter_topic: Option<String>,
    commit_group_offsets: bool,
    scan_parallelism: Option<NonZeroU16>,
    guarantee: DeliveryGuarantee,
    transactional_id_prefix: Option<String>,
    partitioner: Partitioner,
    sink_parallelism: Option<NonZeroU16>,
}

impl SourceConfig {
    /// Reads and checks the options of a source table.
    ///
    /// # Errors
    /// Names the option, or what the table lacks, and what to do.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        let options = Options::read(&table.options, |options| TableOptions::of(options, table))?;
        Ok(Self::of(options, table)?)
    }

    fn of(options: TableOptions, table: &TableDescriptor) -> Result<Self, OptionError> {
        check_metadata(table.metadata.iter(), &READABLE_METADATA, "read")?;
        if options.startup == StartupMode::GroupOffsets || options.bounded == BoundedMode::GroupOffsets {
            options.properties.consumer.get("group.id").ok_or_else(|| {
                OptionError::table(
                    "group offsets need 'properties.group.id'; or choose another 'scan.startup.mode', such as \
                     'earliest-offset'",
                )
            })?;
        }
        let specific = matches!(options.startup, StartupMode::SpecificOffsets(_))
            || matches!(options.bounded, BoundedMode::SpecificOffsets(_));
        if specific && !matches!(&options.topics, Topics::Named(names) if names.len() == 1) {
            return Err(OptionError::table("specific offsets name partitions of one topic, but the table has several"));
        }
        Ok(Self {
            topics: options.topics,
            properties: options.properties,
            layout: options.layout,
            startup: options.startup,
            bounded: options.bounded,
            discovery_interval: options.discovery_interval,
            dead_letter_topic: options.dead_letter_topic,
            commit_group_offsets: options.commit_group_offsets,
            parallelism: options.scan_parallelism,
        })
    }

    /// Whether the source ends by itself.
    pub fn is_bounded(&self) -> bool {
        self.bounded != BoundedMode::Unbounded
    }
}

impl SinkConfig {
    /// Reads and checks the options of a sink table.
    ///
    /// # Errors
    /// Names the option, or what the table lacks, and what to do.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        let options = Options::read(&table.options, |options| TableOptions::of(options, table))?;
        Ok(Self::of(options, table)?)
    }

    fn of(options: TableOptions, table: &TableDescriptor) -> Result<Self, OptionError> {
        check_metadata(table.metadata.iter().filter(|column| !column.is_virtual), &WRITABLE_METADATA, "written")?;
        let prefix = if table.options.contains_key("value.format") { "value." } else { "" };
        options.layout.value_format.check_encoding(prefix)?;
        let topic = match options.topics {
            Topics::Named(mut names) if names.len() == 1 => names.remove(0),
            Topics::Named(_) => {
                return Err(OptionError::of("topic", "a sink writes to one topic, but 'topic' lists several"));
            }
            Topics::Pattern(_) => {
                return Err(OptionError::of("topic-pattern", "a sink needs 'topic', not 'topic-pattern'"));
            }
        };
        Ok(Self {
            topic,
            properties: options.properties,
            layout: options.layout,
            guarantee: options.guarantee,
            transactional_id_prefix: options.transactional_id_prefix,
            partitioner: options.partitioner,
            parallelism: options.sink_parallelism,
        })
    }
}

impl TableOptions {
    fn of(options: &mut Options<'_>, table: &TableDescriptor) -> Result<Self, OptionError> {
        let topics = topics(options);
        let topics = options.check(topics);
        let java = options.with_prefix("properties.");
        let commits = java.get("commit.offsets.on.checkpoint").is_none_or(|value| value.trim() != "false");
        let discovery =
            options.duration("scan.topic-partition-discovery.interval").unwrap_or(DISCOVERY_INTERVAL_DEFAULT);
        let properties = options.check(ClientProperties::of(&java));
        let (startup, bounded) = (StartupMode::parse(options), BoundedMode::parse(options));
        Ok(Self {
            topics,
            properties,
            layout: RecordLayout::parse(options, &table.schema)?,
            startup: options.check(startup),
            bounded: options.check(bounded),
            discovery_interval: Some(discovery).filter(|interval| !interval.is_zero()),
            dead_letter_topic: options.get("scan.dead-letter.topic").map(str::to_owned),
            commit_group_offsets: commits,
            scan_parallelism: options.parallelism("scan.parallelism"),
            guarantee: choice(
                options,
                "sink.delivery-guarantee",
                DeliveryGuarantee::AtLeastOnce,
                &[
                    ("none", DeliveryGuarantee::None),
                    ("at-least-once", DeliveryGuarantee::AtLeastOnce),
                    ("exactly-once", DeliveryGuarantee::ExactlyOnce),
                ],
            ),
            transactional_id_prefix: options.get("sink.transactional-id-prefix").map(str::to_owned),
            partitioner: choice(
                options,
                "sink.partitioner",
                Partitioner::Default,
                &[
                    ("default", Partitioner::Default),
                    ("fixed", Partitioner::Fixed),
                    ("round-robin", Partitioner::RoundRobin),
                ],
            ),
            sink_parallelism: options.parallelism("sink.parallelism"),
        })
    }
}

impl RecordLayout {
    fn parse(options: &mut Options<'_>, schema: &SchemaRef) -> Result<Self, OptionError> {
        let prefix = options.get("key.fields-prefix").unwrap_or_default();
        let except_key = choice(options, "value.fields-include", false, &[("ALL", false), ("EXCEPT_KEY", true)]);
        if !prefix.is_empty() && !except_key {
            return Err(OptionError::of(
                "key.fields-prefix",
                "'key.fields-prefix' needs 'value.fields-include' = 'EXCEPT_KEY': otherwise the value would have the prefixed names",
            ));
        }
        let key = key_layout(options, schema, prefix)?;
        if let Some(key) = &key
            && !key.format.changelog_mode().is_insert_only()
        {
            let name = key.format.name();
            return Err(OptionError::of("key.format", format!("'key.format' = '{name}': a key describes no changes")));
        }
        let value_columns: Vec<usize> = match &key {
            Some(key) if except_key => {
                (0..schema.fields().len()).filter(|column| !key.columns.contains(column)).collect()
            }
            _ => (0..schema.fields().len()).collect(),
        };
        let value_schema = part_of(schema, &value_columns, "");
        let value_prefix = match (options.get("format"), options.get("value.format")) {
            (Some(_), Some(_)) => {
                return Err(OptionError::of(
                    "value.format",
                    "'format' and 'value.format' mean the same; give one of them",
                ));
            }
            (Some(_), None) => "",
            (None, Some(_)) => "value.",
            (None, None) => {
                return Err(OptionError::missing("format", "option 'format' (or 'value.format') is missing"));
            }
        };
        let value_format = format(options, value_prefix, &value_schema)?;
        Ok(Self { key, value_format, value_columns, value_schema })
    }
}

fn key_layout(options: &mut Options<'_>, schema: &SchemaRef, prefix: &str) -> Result<Option<KeyLayout>, OptionError> {
    let fields = options.get("key.fields");
    if options.get("key.format").is_none() {
        return match fields {
            Some(_) => Err(OptionError::of("key.fields", "'key.fields' needs 'key.format'")),
            None => Ok(None),
        };
    }
    let Some(fields) = fields.filter(|fields| !fields.trim().is_empty()) else {
        return Err(OptionError::of("key.format", "'key.format' needs 'key.fields': the columns that are in the key"));
    };
    let mut columns = Vec::new();
    for name in fields.split(';').map(str::trim) {
        let (index, _) = schema.column_with_name(name).ok_or_else(|| {
            OptionError::of(
                "key.fields",
                format!("'key.fields' names '{name}', which is not a physical column of the table"),
            )
        })?;
        if !name.starts_with(prefix) {
            return Err(OptionError::of(
                "key.fields-prefix",
                format!("column '{name}' in 'key.fields' does not start with the prefix '{prefix}'"),
            ));
        }
        columns.push(index);
    }
    let schema = part_of(schema, &columns, prefix);
    let format = format(options, "key.", &schema)?;
    Ok(Some(KeyLayout { format, columns, schema }))
}

/// Some columns of a table, with a prefix removed from their names.
fn part_of(schema: &SchemaRef, columns: &[usize], prefix: &str) -> SchemaRef {
    let field = |index: &usize| {
        let field = schema.field(*index);
        Field::new(
            field.name().strip_prefix(prefix).unwrap_or(field.name()),
            field.data_type().clone(),
            field.is_nullable(),
        )
    };
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// Lets a format read its options, so that they count as known.
struct OptionsOfFormat<'o, 'a>(&'o mut Options<'a>);

impl FormatOptions for OptionsOfFormat<'_, '_> {
    fn get(&mut self, key: &str) -> Option<String> {
        self.0.get(key).map(str::to_owned)
    }
}

fn format(options: &mut Options<'_>, prefix: &str, schema: &SchemaRef) -> Result<FormatConfig, OptionError> {
    let format = FormatConfig::parse(&mut OptionsOfFormat(options), prefix, schema).map_err(OptionError::from)?;
    match format.framing() {
        Framing::Records => Ok(format),
        Framing::Files => {
            let key = format!("{prefix}format");
            Err(OptionError::of(&key, format!("'{key}' = '{}' makes whole files, not single records", format.name())))
        }
    }
}

fn topics(options: &mut Options<'_>) -> Result<Topics, OptionError> {
    let pattern = options.parsed("topic-pattern", |text| {
        Regex::new(&format!("^(?:{text})$")).map_err(|error| format!("not a regular expression: {error}"))
    });
    match (options.get("topic"), pattern) {
        (Some(_), Some(_)) => Err(OptionError::of("topic-pattern", "give either 'topic' or 'topic-pattern', not both")),
        (None, None) => Err(OptionError::missing("topic", "option 'topic' (or 'topic-pattern') is missing")),
        (None, Some(pattern)) => Ok(Topics::Pattern(pattern)),
        (Some(list), None) => {
            let mut names: Vec<String> = Vec::new();
            for name in list.split(';').map(str::trim).filter(|name| !name.is_empty()) {
                if name.len() > 249 || !name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
                {
                    return Err(OptionError::of("topic", format!("'{name}' is not a name Kafka allows for a topic")));
                }
                if !names.iter().any(|known| known == name) {
                    names.push(name.to_owned());
                }
            }
            if names.is_empty() { Err(OptionError::of("topic", "'topic' is empty")) } else { Ok(Topics::Named(names)) }
        }
    }
}

fn choice<T: Copy>(options: &mut Options<'_>, key: &str, default: T, choices: &[(&str, T)]) -> T {
    let names = || choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let chosen = options.parsed(key, |text| {
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim()));
        found.map(|(_, choice)| *choice).ok_or_else(|| format!("expected one of {}", names()))
    });
    chosen.unwrap_or(default)
}

fn check_metadata<'a>(
    columns: impl Iterator<Item = &'a MetadataColumn>,
    known: &[&str],
    done: &str,
) -> Result<(), OptionError> {
    for column in columns {
        if !known.contains(&column.key.as_str()) {
            return Err(OptionError::table(format!(
                "metadata column '{}': '{}' cannot be {done}; Kafka has {}{}",
                column.name,
                column.key,
                known.join(", "),
                if READABLE_METADATA.contains(&column.key.as_str()) { "; declare the column VIRTUAL" } else { "" },
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
