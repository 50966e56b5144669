//! The connector of a table. This is the only module that knows all connectors.

use std::num::NonZeroU16;

use eddyline_stream::ChangelogMode;

use crate::{OptionError, OptionErrors, TableDescriptor, blackhole, datagen, filesystem, kafka, nexmark, print};

const SOURCES: &str = "'kafka', 'filesystem', 'datagen' and 'nexmark' can be read";
const SINKS: &str = "'kafka', 'filesystem', 'print' and 'blackhole' can be written";

/// The aspect of [`SourceConfig::identity`] that lists servers. Two lists with a common server name the same cluster.
pub const SERVERS: &str = "servers";

/// A source table.
#[derive(Clone, Debug)]
pub enum SourceConfig {
    /// `'connector' = 'kafka'`.
    Kafka(kafka::SourceConfig),
    /// `'connector' = 'filesystem'`.
    Filesystem(filesystem::Config),
    /// `'connector' = 'datagen'`.
    Datagen(datagen::Config),
    /// `'connector' = 'nexmark'`.
    Nexmark(nexmark::Config),
}

impl SourceConfig {
    /// Reads the options of a source table.
    ///
    /// # Errors
    /// When the connector is unknown or is not a source, and when an option or a column is wrong.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        match connector(table)? {
            "kafka" => kafka::SourceConfig::parse(table).map(Self::Kafka),
            "filesystem" => filesystem::Config::parse_source(table).map(Self::Filesystem),
            "datagen" => datagen::Config::parse(table).map(Self::Datagen),
            "nexmark" => nexmark::Config::parse(table).map(Self::Nexmark),
            other @ ("print" | "blackhole") => Err(OptionErrors::from(OptionError::of(
                "connector",
                format!("table '{}' cannot be read: '{other}' is a sink; {SOURCES}", table.name),
            ))),
            other => Err(unknown(other).into()),
        }
    }

    /// The connector's name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Filesystem(_) => "filesystem",
            Self::Datagen(_) => "datagen",
            Self::Nexmark(_) => "nexmark",
        }
    }

    /// The options that give positions in the table their meaning, by aspect. When one of them changes, the positions
    /// of a checkpoint become meaningless. All other options may change.
    pub fn identity(&self, table: &TableDescriptor) -> Vec<(&'static str, Vec<String>)> {
        let connector = ("connector", vec![self.name().to_owned()]);
        match self {
            Self::Kafka(config) => {
                let topics = match &config.topics {
                    kafka::config::Topics::Named(names) => ("topic", names.clone()),
                    kafka::config::Topics::Pattern(pattern) => ("topic-pattern", vec![pattern.as_str().to_owned()]),
                };
                let servers = config.properties.consumer.get("bootstrap.servers").map_or("", String::as_str);
                let servers = servers.split(',').map(|server| server.trim().to_owned()).collect();
                vec![connector, topics, (SERVERS, servers)]
            }
            Self::Filesystem(config) => {
                let path = config.location.to_string().trim_end_matches('/').to_owned();
                let mut identity = vec![connector, ("path", vec![path])];
                if matches!(config.location, filesystem::Location::S3 { .. }) {
                    identity.extend(config.s3.endpoint.as_ref().map(|endpoint| ("endpoint", vec![endpoint.clone()])));
                }
                identity
            }
            // Generated rows are stored nowhere, so each table is a place of its own.
            Self::Datagen(_) | Self::Nexmark(_) => vec![connector, ("table", vec![table.name.clone()])],
        }
    }

    /// The kinds of rows that the table can have.
    pub fn changelog_mode(&self) -> ChangelogMode {
        match self {
            Self::Kafka(config) => config.layout.value_format.changelog_mode(),
            Self::Filesystem(config) => config.format.changelog_mode(),
            Self::Datagen(_) | Self::Nexmark(_) => ChangelogMode::INSERT_ONLY,
        }
    }

    /// The maximum number of readers of the table, if it is set. As in Flink, not every connector has the option.
    pub fn parallelism(&self) -> Option<NonZeroU16> {
        match self {
            Self::Kafka(config) => config.parallelism,
            Self::Datagen(config) => config.parallelism,
            Self::Filesystem(_) | Self::Nexmark(_) => None,
        }
    }
}

/// A sink table.
#[derive(Clone, Debug)]
pub enum SinkConfig {
    /// `'connector' = 'kafka'`.
    Kafka(kafka::SinkConfig),
    /// `'connector' = 'filesystem'`.
    Filesystem(filesystem::Config),
    /// `'connector' = 'print'`.
    Print(print::Config),
    /// `'connector' = 'blackhole'`.
    Blackhole(blackhole::Config),
}

impl SinkConfig {
    /// Reads the options of a sink table.
    ///
    /// # Errors
    /// When the connector is unknown or is not a sink, and when an option or a column is wrong.
    pub fn parse(table: &TableDescriptor) -> Result<Self, OptionErrors> {
        match connector(table)? {
            "kafka" => kafka::SinkConfig::parse(table).map(Self::Kafka),
            "filesystem" => filesystem::Config::parse_sink(table).map(Self::Filesystem),
            "print" => print::Config::parse(table).map(Self::Print),
            "blackhole" => blackhole::Config::parse(table).map(Self::Blackhole),
            other @ ("datagen" | "nexmark") => Err(OptionErrors::from(OptionError::of(
                "connector",
                format!("table '{}' cannot be written: '{other}' is a source; {SINKS}", table.name),
            ))),
            other => Err(unknown(other).into()),
        }
    }

    /// The connector's name in SQL.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kafka(_) => "kafka",
            Self::Filesystem(_) => "filesystem",
            Self::Print(_) => "print",
            Self::Blackhole(_) => "blackhole",
        }
    }

    /// The kinds of rows that can be written.
    pub fn changelog_mode(&self) -> ChangelogMode {
        match self {
            Self::Kafka(config) => config.layout.value_format.changelog_mode(),
            Self::Filesystem(config) => config.format.changelog_mode(),
            Self::Print(_) | Self::Blackhole(_) => ChangelogMode::ALL,
        }
    }

    /// The maximum number of writers of the table, if it is set. As in Flink, not every connector has the option.
    pub fn parallelism(&self) -> Option<NonZeroU16> {
        match self {
            Self::Kafka(config) => config.parallelism,
            Self::Filesystem(config) => config.sink_parallelism,
            Self::Print(config) => config.parallelism,
            Self::Blackhole(_) => None,
        }
    }
}

fn connector(table: &TableDescriptor) -> Result<&str, OptionError> {
    let missing = || OptionError::table(format!("table '{}': option 'connector' is missing", table.name));
    table.options.get("connector").map(String::as_str).ok_or_else(missing)
}

fn unknown(name: &str) -> OptionError {
    OptionError::of("connector", format!("unknown connector '{name}'; {SOURCES}, {SINKS}"))
}
