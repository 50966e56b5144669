//! The grammar of types, in DDL and casts.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use eddyline_functions::{Declared, Shape};
use sqlparser::tokenizer::{Span, Token};

use super::tokens::Tokens;
use crate::diagnostics::{Diagnostic, Result};
use crate::suggestion::nearest;

/// A type as written: the Arrow type, whether it allows NULL, and the declared lengths and precisions.
///
/// Inside of ARRAY, MAP and ROW the Arrow type always allows NULL. Declarations there matter for sinks only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SqlType {
    /// The Arrow type of its columns.
    pub data_type: DataType,
    /// Whether it allows NULL.
    pub nullable: bool,
    /// The declarations that the Arrow type does not express.
    pub shape: Shape,
}

impl SqlType {
    fn declared(self) -> Declared {
        Declared { not_null: !self.nullable, shape: self.shape }
    }
}

/// Parses a type with its `NOT NULL` or `NULL`.
pub(crate) fn parse_type(tokens: &mut Tokens<'_>) -> Result<SqlType> {
    parse_nested(tokens, 0)
}

fn parse_nested(tokens: &mut Tokens<'_>, depth: usize) -> Result<SqlType> {
    if depth > 32 {
        return Err(Diagnostic::at(tokens.span(), "the type is nested too deeply"));
    }
    let (data_type, shape) = parse_base(tokens, depth)?;
    let mut sql_type = SqlType { data_type, nullable: true, shape };
    loop {
        if tokens.accept(&["NOT", "NULL"]) {
            sql_type.nullable = false;
        } else if tokens.accept(&["NULL"]) {
            sql_type.nullable = true;
        } else if tokens.accept(&["ARRAY"]) {
            let (data_type, shape) = list_of(sql_type);
            sql_type = SqlType { data_type, nullable: true, shape };
        } else {
            return Ok(sql_type);
        }
    }
}

fn parse_base(tokens: &mut Tokens<'_>, depth: usize) -> Result<(DataType, Shape)> {
    let span = tokens.span();
    let name = tokens.identifier("a type")?;
    let plain = |data_type| Ok((data_type, Shape::Plain));
    if name.quote_style.is_some() {
        return Err(unknown_type(span, &name.value));
    }
    match name.value.to_ascii_uppercase().as_str() {
        "BOOLEAN" | "BOOL" => plain(DataType::Boolean),
        "TINYINT" => plain(DataType::Int8),
        "SMALLINT" => plain(DataType::Int16),
        "INT" | "INTEGER" => plain(DataType::Int32),
        "BIGINT" => plain(DataType::Int64),
        "FLOAT" => plain(DataType::Float32),
        "DOUBLE" => {
            tokens.accept(&["PRECISION"]);
            plain(DataType::Float64)
        }
        "DECIMAL" | "DEC" | "NUMERIC" => plain(parse_decimal(tokens, span)?),
        "STRING" => plain(DataType::Utf8),
        "CHAR" | "CHARACTER" => {
            if tokens.accept(&["VARYING"]) {
                return Ok((DataType::Utf8, at_most(parse_length(tokens)?, Shape::Varchar)));
            }
            Ok((DataType::Utf8, Shape::Char(parse_length(tokens)?.unwrap_or(1))))
        }
        "VARCHAR" => Ok((DataType::Utf8, at_most(parse_length(tokens)?, Shape::Varchar))),
        "BYTES" => plain(DataType::Binary),
        "BINARY" => {
            if tokens.accept(&["VARYING"]) {
                return Ok((DataType::Binary, at_most(parse_length(tokens)?, Shape::Varbinary)));
            }
            Ok((DataType::Binary, Shape::Binary(parse_length(tokens)?.unwrap_or(1))))
        }
        "VARBINARY" => Ok((DataType::Binary, at_most(parse_length(tokens)?, Shape::Varbinary))),
        "DATE" => plain(DataType::Date32),
        "TIME" => {
            let precision = parse_precision(tokens, 0)?;
            tokens.accept(&["WITHOUT", "TIME", "ZONE"]);
            Ok((DataType::Time32(TimeUnit::Millisecond), digits(precision)))
        }
        "TIMESTAMP" => parse_timestamp(tokens, span),
        "TIMESTAMP_LTZ" => {
            let precision = parse_precision(tokens, 6)?;
            Ok((DataType::Timestamp(unit_of(precision), Some("UTC".into())), digits(precision)))
        }
        "ARRAY" => {
            tokens.expect_token(&Token::Lt)?;
            let element = parse_nested(tokens, depth + 1)?;
            close_angle(tokens)?;
            Ok(list_of(element))
        }
        "MAP" => parse_map(tokens, depth),
        "ROW" => parse_row(tokens, depth),
        "MULTISET" | "RAW" | "VARIANT" | "BITMAP" | "NULL" => {
            Err(Diagnostic::at(span, format!("type {} is not supported", name.value.to_ascii_uppercase())))
        }
        "TIMESTAMP_TZ" => Err(Diagnostic::at(span, "type TIMESTAMP WITH TIME ZONE is not supported")
            .help("use TIMESTAMP_LTZ for a point in time")),
        _ => Err(unknown_type(span, &name.value)),
    }
}

/// The names of types, for suggestions.
const NAMES: [&str; 20] = [
    "BOOLEAN",
    "TINYINT",
    "SMALLINT",
    "INT",
    "INTEGER",
    "BIGINT",
    "FLOAT",
    "DOUBLE",
    "DECIMAL",
    "STRING",
    "CHAR",
    "VARCHAR",
    "BYTES",
    "BINARY",
    "VARBINARY",
    "DATE",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMP_LTZ",
    "ARRAY",
];

fn unknown_type(span: Span, name: &str) -> Diagnostic {
    let help = match name.to_ascii_uppercase().as_str() {
        "TEXT" | "NVARCHAR" => "use STRING",
        "LONG" | "INT8" | "UINT64" | "INT64" => "use BIGINT",
        "INT4" | "INT32" => "use INT",
        "FLOAT4" | "REAL" => "use FLOAT",
        "FLOAT8" | "FLOAT64" => "use DOUBLE",
        "DATETIME" => "use TIMESTAMP(3)",
        "TIMESTAMPTZ" => "use TIMESTAMP_LTZ(3)",
        "BLOB" | "BYTEA" => "use BYTES",
        "STRUCT" => "use ROW<…>",
        "JSON" | "JSONB" => "use STRING and the JSON functions",
        _ => {
            let diagnostic = Diagnostic::at(span, format!("unknown type '{name}'"));
            return match nearest(name, NAMES.into_iter()) {
                Some(near) => diagnostic.help(format!("did you mean {near}?")),
                None => diagnostic,
            };
        }
    };
    Diagnostic::at(span, format!("unknown type '{name}'")).help(help)
}

fn parse_decimal(tokens: &mut Tokens<'_>, span: Span) -> Result<DataType> {
    let (mut precision, mut scale) = (10, 0);
    if tokens.accept_token(&Token::LParen) {
        precision = tokens.number("a precision")?;
        if tokens.accept_token(&Token::Comma) {
            scale = tokens.number("a scale")?;
        }
        tokens.expect_token(&Token::RParen)?;
    }
    if !(1..=38).contains(&precision) || scale > precision {
        return Err(Diagnostic::at(
            span,
            format!("DECIMAL({precision}, {scale}): the precision is from 1 to 38, the scale from 0 to the precision"),
        ));
    }
    // Both were checked to be at most 38.
    Ok(DataType::Decimal128(precision as u8, scale as i8))
}

fn parse_length(tokens: &mut Tokens<'_>) -> Result<Option<u32>> {
    if !tokens.accept_token(&Token::LParen) {
        return Ok(None);
    }
    let span = tokens.span();
    let length = tokens.number("a length")?;
    tokens.expect_token(&Token::RParen)?;
    if length == 0 {
        return Err(Diagnostic::at(span, "the length must be at least 1"));
    }
    Ok(Some(length))
}

fn parse_precision(tokens: &mut Tokens<'_>, default: u32) -> Result<u32> {
    if !tokens.accept_token(&Token::LParen) {
        return Ok(default);
    }
    let span = tokens.span();
    let precision = tokens.number("a precision")?;
    tokens.expect_token(&Token::RParen)?;
    if precision > 9 {
        return Err(Diagnostic::at(span, "the precision is from 0 to 9"));
    }
    Ok(precision)
}

fn parse_timestamp(tokens: &mut Tokens<'_>, span: Span) -> Result<(DataType, Shape)> {
    let precision = parse_precision(tokens, 6)?;
    let (unit, shape) = (unit_of(precision), digits(precision));
    if tokens.accept(&["WITH", "LOCAL", "TIME", "ZONE"]) {
        return Ok((DataType::Timestamp(unit, Some("UTC".into())), shape));
    }
    if tokens.sees(&["WITH", "TIME", "ZONE"]) {
        return Err(Diagnostic::at(span, "type TIMESTAMP WITH TIME ZONE is not supported")
            .help("use TIMESTAMP_LTZ for a point in time"));
    }
    tokens.accept(&["WITHOUT", "TIME", "ZONE"]);
    Ok((DataType::Timestamp(unit, None), shape))
}

/// The declared digits of a fraction, if the Arrow unit (milliseconds or microseconds) has more.
fn digits(precision: u32) -> Shape {
    if precision < 6 && precision != 3 { Shape::Digits(precision) } else { Shape::Plain }
}

/// The optional length of VARCHAR and VARBINARY. Without one they hold values of any length, also in a CAST.
fn at_most(length: Option<u32>, shape: fn(u32) -> Shape) -> Shape {
    match length {
        Some(length) if length < i32::MAX as u32 => shape(length),
        _ => Shape::Plain,
    }
}

fn unit_of(precision: u32) -> TimeUnit {
    if precision <= 3 { TimeUnit::Millisecond } else { TimeUnit::Microsecond }
}

fn list_of(element: SqlType) -> (DataType, Shape) {
    let data_type = DataType::List(Arc::new(Field::new("element", element.data_type.clone(), true)));
    (data_type, Shape::Array(Box::new(element.declared())))
}

fn parse_map(tokens: &mut Tokens<'_>, depth: usize) -> Result<(DataType, Shape)> {
    tokens.expect_token(&Token::Lt)?;
    let key = parse_nested(tokens, depth + 1)?;
    tokens.expect_token(&Token::Comma)?;
    let value = parse_nested(tokens, depth + 1)?;
    close_angle(tokens)?;
    let entry = Fields::from(vec![
        Field::new("key", key.data_type.clone(), false),
        Field::new("value", value.data_type.clone(), true),
    ]);
    let data_type = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false);
    Ok((data_type, Shape::Map { key: Box::new(key.declared()), value: Box::new(value.declared()) }))
}

fn parse_row(tokens: &mut Tokens<'_>, depth: usize) -> Result<(DataType, Shape)> {
    let in_parentheses = tokens.accept_token(&Token::LParen);
    if !in_parentheses {
        tokens.expect_token(&Token::Lt)?;
    }
    let mut fields: Vec<Field> = Vec::new();
    let mut declared = Vec::new();
    loop {
        let name = tokens.identifier("a field name")?;
        if fields.iter().any(|field| *field.name() == name.value) {
            return Err(Diagnostic::at(name.span, format!("field '{}' is declared twice", name.value)));
        }
        let field = parse_nested(tokens, depth + 1)?;
        if let Token::SingleQuotedString(_) = tokens.peek().token {
            tokens.next();
        }
        fields.push(Field::new(&name.value, field.data_type.clone(), true));
        declared.push((name.value, field.declared()));
        if !tokens.accept_token(&Token::Comma) {
            break;
        }
    }
    if in_parentheses {
        tokens.expect_token(&Token::RParen)?;
    } else {
        close_angle(tokens)?;
    }
    Ok((DataType::Struct(Fields::from(fields)), Shape::Row(declared)))
}

/// Consumes one `>`. The tokens have every `>>` already split in two.
fn close_angle(tokens: &mut Tokens<'_>) -> Result<()> {
    tokens.expect_token(&Token::Gt).map(|_| ())
}
