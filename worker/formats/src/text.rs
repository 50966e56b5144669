//! Texts as values: the meaning of JSON strings and CSV fields in a column of a type, and values written as text.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::columns::{Column, Tick};
use crate::datetime::{self, TimestampStyle};
use crate::numbers::{self, Decimal};

/// The text is not a value of the column's type. The field names what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch(pub(crate) &'static str);

/// Adds the value that `text` means in `column`, which is of a scalar type. White space around numbers is ignored. A
/// decimal with too many digits is NULL, as in SQL.
///
/// Returns whether the value added is not NULL.
pub(crate) fn push_text(column: &mut Column, text: &str, timestamps: TimestampStyle) -> Result<bool, Mismatch> {
    match column {
        Column::Utf8(strings) => strings.push(text.as_bytes()),
        Column::Binary(strings) => {
            strings.push_with(|out| BASE64.decode_vec(text, out).map_err(|_| Mismatch("expected base64")))?
        }
        Column::Boolean(booleans) => booleans.push(text.trim().eq_ignore_ascii_case("true")),
        Column::Int8(values) => values.push(text.trim().parse().map_err(|_| Mismatch("expected a TINYINT"))?),
        Column::Int16(values) => values.push(text.trim().parse().map_err(|_| Mismatch("expected a SMALLINT"))?),
        Column::Int32(values) => values.push(text.trim().parse().map_err(|_| Mismatch("expected an INT"))?),
        Column::Int64(values) => values.push(text.trim().parse().map_err(|_| Mismatch("expected a BIGINT"))?),
        Column::Float32(values) => {
            values.push(numbers::parse_float(text.trim()).ok_or(Mismatch("expected a FLOAT"))?);
        }
        Column::Float64(values) => {
            values.push(numbers::parse_float(text.trim()).ok_or(Mismatch("expected a DOUBLE"))?);
        }
        Column::Decimal { values, precision, scale } => {
            match numbers::parse_decimal(text.trim().as_bytes(), *precision, *scale) {
                Some(Decimal::Fits(unscaled)) => values.push(unscaled),
                Some(Decimal::TooLarge) => {
                    column.push_null();
                    return Ok(false);
                }
                None => return Err(Mismatch("expected a DECIMAL")),
            }
        }
        Column::Date(values) => {
            values.push(datetime::parse_date(text.as_bytes()).ok_or(Mismatch("expected a DATE, 'YYYY-MM-DD'"))?);
        }
        Column::Time(values) => {
            values.push(datetime::parse_time(text.as_bytes()).ok_or(Mismatch("expected a TIME, 'HH:MM:SS[.fff]'"))?);
        }
        Column::Timestamp { values, tick, utc } => {
            let parsed = datetime::parse_timestamp(text.as_bytes(), timestamps, *tick, *utc);
            values.push(parsed.ok_or(timestamp_mismatch(timestamps, *utc))?);
        }
        Column::List(_) => return Err(Mismatch("expected an ARRAY")),
        Column::Map(_) => return Err(Mismatch("expected a MAP")),
        Column::Struct(_) => return Err(Mismatch("expected a ROW")),
    }
    Ok(true)
}

/// The value that a text means in a column, as an array of one row; none if it means no value of the column's type.
pub fn read_text(text: &str, field: &Field) -> Option<ArrayRef> {
    let mut column = Column::new(field, 1, "text").ok()?;
    push_text(&mut column, text, TimestampStyle::SQL).ok()?;
    column.finish(field.data_type()).ok()
}

fn timestamp_mismatch(style: TimestampStyle, utc: bool) -> Mismatch {
    Mismatch(match (style.separator == b'T', utc) {
        (false, false) => "expected a TIMESTAMP, 'YYYY-MM-DD HH:MM:SS[.fff]'",
        (false, true) => "expected a TIMESTAMP_LTZ, 'YYYY-MM-DD HH:MM:SS[.fff]Z'",
        (true, false) => "expected a TIMESTAMP, 'YYYY-MM-DDTHH:MM:SS[.fff]'",
        (true, true) => "expected a TIMESTAMP_LTZ, 'YYYY-MM-DDTHH:MM:SS[.fff]Z'",
    })
}

/// What kind of text a value became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// A number or boolean, which needs no quotes in any format.
    Bare,
    /// A text: a date, a time, base64, or one of `NaN`, `Infinity` and `-Infinity`.
    Text,
}

/// Writes the value at `row` of an array of a scalar type other than STRING. The value is not NULL.
pub(crate) fn write_scalar(
    array: &dyn Array,
    row: usize,
    timestamps: TimestampStyle,
    plain_decimals: bool,
    out: &mut Vec<u8>,
) -> Written {
    match array.data_type() {
        DataType::Boolean => {
            out.extend_from_slice(if array.as_boolean().value(row) { b"true" } else { b"false" });
        }
        DataType::Int8 => write_integer(array.as_primitive::<Int8Type>().value(row), out),
        DataType::Int16 => write_integer(array.as_primitive::<Int16Type>().value(row), out),
        DataType::Int32 => write_integer(array.as_primitive::<Int32Type>().value(row), out),
        DataType::Int64 => write_integer(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            numbers::write_float(value, out);
            return if value.is_finite() { Written::Bare } else { Written::Text };
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            numbers::write_float(value, out);
            return if value.is_finite() { Written::Bare } else { Written::Text };
        }
        DataType::Decimal128(_, scale) => {
            numbers::write_decimal(array.as_primitive::<Decimal128Type>().value(row), *scale, plain_decimals, out);
        }
        other => {
            write_text(array, other, row, timestamps, out);
            return Written::Text;
        }
    }
    Written::Bare
}

fn write_integer(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn write_text(array: &dyn Array, data_type: &DataType, row: usize, timestamps: TimestampStyle, out: &mut Vec<u8>) {
    match data_type {
        DataType::Binary => {
            let value = array.as_binary::<i32>().value(row);
            let start = out.len();
            let len = base64::encoded_len(value.len(), true).unwrap_or(0);
            out.resize(start + len, 0);
            let written = BASE64.encode_slice(value, &mut out[start..]).unwrap_or(0);
            out.truncate(start + written);
        }
        DataType::Date32 => datetime::write_date(i64::from(array.as_primitive::<Date32Type>().value(row)), out),
        DataType::Time32(_) => {
            let ms = array.as_primitive::<Time32MillisecondType>().value(row);
            datetime::write_time(u64::try_from(ms).unwrap_or(0) * 1_000, out);
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let ticks = array.as_primitive::<TimestampMillisecondType>().value(row);
            datetime::write_timestamp(ticks, Tick::Millisecond, timestamps, zone.is_some(), out);
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let ticks = array.as_primitive::<TimestampMicrosecondType>().value(row);
            datetime::write_timestamp(ticks, Tick::Microsecond, timestamps, zone.is_some(), out);
        }
        // Encoders check the types of their schema when they are made.
        other => unreachable!("an encoder was made for a column of type {other}"),
    }
}
