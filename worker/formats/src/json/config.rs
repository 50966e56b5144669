//! The options of `json`.

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_stream::sql_type;

use crate::config::{ConfigError, OptionReader};
use crate::schema::{is_scalar, map_fields};

/// How timestamps are written in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `2026-03-01 23:59:00.123`.
    #[default]
    Sql,
    /// `2026-03-01T23:59:00.123`.
    Iso8601,
}

/// What happens to a map entry with a NULL key when it is written. Arrow maps have none. The option is accepted so that
/// DDL for Flink works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NullMapKeys {
    /// The job fails.
    #[default]
    Fail,
    /// The entry is left out.
    Drop,
    /// The key is written as this text.
    Literal(String),
}

/// The options of `json`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `json.ignore-parse-errors`: a value that cannot be read becomes NULL, a record that is not JSON is skipped.
    pub ignore_parse_errors: bool,
    /// `json.fail-on-missing-field`: a missing field is an error instead of NULL.
    pub fail_on_missing_field: bool,
    /// `json.timestamp-format.standard`.
    pub timestamp_format: TimestampFormat,
    /// `json.encode.decimal-as-plain-number`: never write a decimal with an exponent.
    pub decimals_plain: bool,
    /// `json.encode.ignore-null-fields`: leave out fields that are NULL instead of writing `null`.
    pub nulls_left_out: bool,
    /// `json.map-null-key.mode` and `json.map-null-key.literal`.
    pub null_map_keys: NullMapKeys,
}

impl Config {
    pub(crate) fn parse(options: &mut OptionReader<'_>, schema: &SchemaRef) -> Result<Self, ConfigError> {
        let fail_on_missing_field = options.flag("fail-on-missing-field")?;
        // This selects one of two parsers in Flink. There is only one here.
        options.flag("decode.json-parser.enabled")?;
        let rows = Self::parse_rows(options, schema)?;
        if rows.ignore_parse_errors && fail_on_missing_field {
            let key = options.key("fail-on-missing-field");
            let other = options.key("ignore-parse-errors");
            return Err(ConfigError::of(key.clone(), format!("'{key}' and '{other}' cannot both be true")));
        }
        Ok(Self { fail_on_missing_field, ..rows })
    }

    /// Reads the options that all formats have in which rows are JSON objects.
    pub(crate) fn parse_rows(options: &mut OptionReader<'_>, schema: &SchemaRef) -> Result<Self, ConfigError> {
        let ignore_parse_errors = options.flag("ignore-parse-errors")?;
        let timestamp_format = options.parsed("timestamp-format.standard", |text| match text {
            "SQL" => Ok(TimestampFormat::Sql),
            "ISO-8601" => Ok(TimestampFormat::Iso8601),
            _ => Err("expected SQL or ISO-8601"),
        })?;
        let literal = options.text("map-null-key.literal").unwrap_or_else(|| "null".to_owned());
        let null_map_keys = options.parsed("map-null-key.mode", |text| match text.to_ascii_uppercase().as_str() {
            "FAIL" => Ok(NullMapKeys::Fail),
            "DROP" => Ok(NullMapKeys::Drop),
            "LITERAL" => Ok(NullMapKeys::Literal(literal)),
            _ => Err("expected FAIL, DROP or LITERAL"),
        })?;
        for field in schema.fields() {
            check_type(field.data_type()).map_err(|reason| {
                ConfigError::table(format!(
                    "format '{}' cannot carry column '{}' of type {}: {reason}",
                    options.format(),
                    field.name(),
                    sql_type(field.data_type())
                ))
            })?;
        }
        Ok(Self {
            ignore_parse_errors,
            fail_on_missing_field: false,
            timestamp_format: timestamp_format.unwrap_or_default(),
            decimals_plain: options.flag("encode.decimal-as-plain-number")?,
            nulls_left_out: options.flag("encode.ignore-null-fields")?,
            null_map_keys: null_map_keys.unwrap_or_default(),
        })
    }
}

/// Checks that JSON can carry a type.
pub(crate) fn check_type(data_type: &DataType) -> Result<(), &'static str> {
    match data_type {
        DataType::List(element) => check_type(element.data_type()),
        DataType::Map(entries, _) => match map_fields(entries) {
            Some((key, value)) if *key.data_type() == DataType::Utf8 => check_type(value.data_type()),
            _ => Err("the keys of a MAP must be STRING, as they are in JSON"),
        },
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        other if is_scalar(other) => Ok(()),
        _ => Err("not a type of SQL"),
    }
}
