//! The options of the formats of change data capture.

use arrow::datatypes::SchemaRef;
use regex::Regex;

use super::dialect::Dialect;
use crate::config::{ConfigError, OptionReader};
use crate::json;

/// The options of a format of change data capture.
#[derive(Clone, Debug)]
pub struct Config {
    /// The tool whose messages are read and written.
    pub dialect: Dialect,
    /// How the rows in messages are read and written.
    pub rows: json::Config,
    /// `debezium-json.schema-include`: the field `payload` has the message, and another field has its schema.
    pub schema_include: bool,
    /// `canal-json.database.include`: only changes in databases whose whole name matches are read.
    pub databases: Option<Regex>,
    /// `canal-json.table.include`: only changes of tables whose whole name matches are read.
    pub tables: Option<Regex>,
}

impl PartialEq for Config {
    fn eq(&self, other: &Self) -> bool {
        let text = |pattern: &Option<Regex>| pattern.as_ref().map(|pattern| pattern.as_str().to_owned());
        self.dialect == other.dialect
            && self.rows == other.rows
            && self.schema_include == other.schema_include
            && text(&self.databases) == text(&other.databases)
            && text(&self.tables) == text(&other.tables)
    }
}

impl Config {
    /// The defaults of a dialect.
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, rows: json::Config::default(), schema_include: false, databases: None, tables: None }
    }

    pub(crate) fn parse(
        dialect: Dialect,
        options: &mut OptionReader<'_>,
        schema: &SchemaRef,
    ) -> Result<Self, ConfigError> {
        let rows = json::Config::parse_rows(options, schema)?;
        let schema_include = dialect == Dialect::Debezium && options.flag("schema-include")?;
        let mut pattern = |name: &str| match dialect {
            Dialect::Canal => options.parsed(name, |text| {
                Regex::new(&format!("^(?:{text})$")).map_err(|error| format!("not a regular expression: {error}"))
            }),
            _ => Ok(None),
        };
        let (databases, tables) = (pattern("database.include")?, pattern("table.include")?);
        Ok(Self { dialect, rows, schema_include, databases, tables })
    }

    /// Checks that the format can be written.
    pub(crate) fn check_encoding(&self) -> Result<(), (&'static str, &'static str)> {
        if self.schema_include {
            return Err(("schema-include", "messages cannot be written with their schema"));
        }
        Ok(())
    }
}
