//! The options of `raw`.

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_stream::sql_type;

use crate::config::{ConfigError, OptionReader};

/// The order of the bytes of a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Endianness {
    /// The most significant byte first.
    #[default]
    Big,
    /// The least significant byte first.
    Little,
}

/// The options of `raw`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// `raw.endianness`.
    pub endianness: Endianness,
}

impl Config {
    pub(crate) fn parse(options: &mut OptionReader<'_>, schema: &SchemaRef) -> Result<Self, ConfigError> {
        options.parsed("charset", |text| {
            if text.eq_ignore_ascii_case("UTF-8") { Ok(()) } else { Err("UTF-8 is the only charset") }
        })?;
        let endianness = options.parsed("endianness", |text| match text {
            "big-endian" => Ok(Endianness::Big),
            "little-endian" => Ok(Endianness::Little),
            _ => Err("expected big-endian or little-endian"),
        })?;
        let [field] = &schema.fields()[..] else {
            return Err(ConfigError::table(format!(
                "format 'raw' needs a table with exactly one physical column, this one has {}",
                schema.fields().len()
            )));
        };
        if !is_carried(field.data_type()) {
            return Err(ConfigError::table(format!(
                "format 'raw' cannot carry column '{}' of type {}, only STRING, BYTES, BOOLEAN and numbers but DECIMAL",
                field.name(),
                sql_type(field.data_type())
            )));
        }
        Ok(Self { endianness: endianness.unwrap_or_default() })
    }
}

/// Whether raw records support a type.
pub(crate) fn is_carried(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8
            | DataType::Binary
            | DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
    )
}
