//! The options of `csv`.

use arrow::datatypes::{DataType, SchemaRef};
use eddyline_stream::sql_type;

use crate::config::{ConfigError, OptionReader};
use crate::schema::is_scalar;

/// The options of `csv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `csv.field-delimiter`: an ASCII character.
    pub field_delimiter: u8,
    /// `csv.quote-character`: an ASCII character; `None` after `csv.disable-quote-character`.
    pub quote_character: Option<u8>,
    /// `csv.escape-character`: an ASCII character.
    pub escape_character: Option<u8>,
    /// `csv.null-literal`: the text that means NULL.
    pub null_literal: Option<String>,
    /// `csv.array-element-delimiter`: the text between the elements of an ARRAY.
    pub array_element_delimiter: String,
    /// `csv.allow-comments`: lines that start with `#` are skipped.
    pub allow_comments: bool,
    /// `csv.ignore-parse-errors`: a value that cannot be read becomes NULL, a record that is not CSV is skipped.
    pub ignore_parse_errors: bool,
    /// The opposite of `csv.write-bigdecimal-in-scientific-notation`: never write a decimal with an exponent.
    pub decimals_plain: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            field_delimiter: b',',
            quote_character: Some(b'"'),
            escape_character: None,
            null_literal: None,
            array_element_delimiter: ";".to_owned(),
            allow_comments: false,
            ignore_parse_errors: false,
            decimals_plain: false,
        }
    }
}

impl Config {
    pub(crate) fn parse(options: &mut OptionReader<'_>, schema: &SchemaRef) -> Result<Self, ConfigError> {
        let default = Self::default();
        let quote_character = options.character("quote-character")?;
        let quotes_disabled = options.flag("disable-quote-character")?;
        if quotes_disabled && quote_character.is_some() {
            let key = options.key("quote-character");
            let other = options.key("disable-quote-character");
            return Err(ConfigError::of(key.clone(), format!("'{key}' has no meaning when '{other}' is true")));
        }
        let array_element_delimiter = options.parsed("array-element-delimiter", |text| {
            if text.is_empty() { Err("expected at least one character") } else { Ok(text.to_owned()) }
        })?;
        let scientific = options.text("write-bigdecimal-in-scientific-notation").is_some();
        let config = Self {
            field_delimiter: options.character("field-delimiter")?.unwrap_or(default.field_delimiter),
            quote_character: if quotes_disabled { None } else { quote_character.or(default.quote_character) },
            escape_character: options.character("escape-character")?,
            null_literal: options.text("null-literal"),
            array_element_delimiter: array_element_delimiter.unwrap_or(default.array_element_delimiter),
            allow_comments: options.flag("allow-comments")?,
            ignore_parse_errors: options.flag("ignore-parse-errors")?,
            decimals_plain: scientific && !options.flag("write-bigdecimal-in-scientific-notation")?,
        };
        if config.quote_character == Some(config.field_delimiter)
            || config.escape_character == Some(config.field_delimiter)
        {
            let key = options.key("field-delimiter");
            return Err(ConfigError::of(key, "quote, escape and field delimiter must be different characters"));
        }
        for field in schema.fields() {
            if !is_carried(field.data_type()) {
                return Err(ConfigError::table(format!(
                    "format 'csv' cannot carry column '{}' of type {}, only scalar types and arrays of them",
                    field.name(),
                    sql_type(field.data_type())
                )));
            }
        }
        Ok(config)
    }
}

/// Whether CSV supports a type.
pub(crate) fn is_carried(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(element) => is_scalar(element.data_type()),
        other => is_scalar(other),
    }
}
