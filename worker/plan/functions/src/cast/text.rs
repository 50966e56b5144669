//! Values as strings, in the forms of Flink's CAST.
//!
//! A TIMESTAMP prints as many digits of its fraction as its precision: 3 for Arrow milliseconds, 6 for microseconds. A
//! TIME prints a fraction only when the value has milliseconds.

use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use eddyline_expression::Result;

use crate::arguments::Arguments;
use crate::time::format::{push_date, push_time};
use crate::time::zone::Zone;
use crate::time::{DAY, MILLISECOND, SECOND};

/// Whether Arrow prints a type as Flink does.
pub(crate) fn arrow_prints(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Utf8 | DataType::Decimal128(..))
}

/// Casts the argument to STRING.
pub(crate) fn print(args: &Arguments, zone: Zone) -> Result<ArrayRef> {
    let argument = &args.columns[0];
    args.write_text(|row, out| push_value(argument.array().as_ref(), argument.index(row), None, zone, out))
}

/// Appends a value. `None` if it is NULL.
pub(crate) fn push_value(
    array: &dyn Array,
    index: usize,
    precision: Option<usize>,
    zone: Zone,
    out: &mut String,
) -> Option<()> {
    if *array.data_type() == DataType::Null || array.is_null(index) {
        return None;
    }
    // Writing to a String does not fail.
    let _ = match array.data_type() {
        DataType::Boolean => out.write_str(if array.as_boolean().value(index) { "TRUE" } else { "FALSE" }),
        DataType::Int8 => write!(out, "{}", array.as_primitive::<Int8Type>().value(index)),
        DataType::Int16 => write!(out, "{}", array.as_primitive::<Int16Type>().value(index)),
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(index)),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(index)),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(index);
            push_floating(f64::from(value), &format!("{value:e}"), out);
            Ok(())
        }
        DataType::Float64 => {
            push_double(array.as_primitive::<Float64Type>().value(index), out);
            Ok(())
        }
        DataType::Decimal128(..) => out.write_str(&array.as_primitive::<Decimal128Type>().value_as_string(index)),
        DataType::Utf8 => out.write_str(array.as_string::<i32>().value(index)),
        DataType::Binary => out.write_str(&String::from_utf8_lossy(array.as_binary::<i32>().value(index))),
        DataType::Date32 => {
            push_date(i64::from(array.as_primitive::<Date32Type>().value(index)), out);
            Ok(())
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            let milliseconds = i64::from(array.as_primitive::<Time32MillisecondType>().value(index));
            push_time_of_day(milliseconds * MILLISECOND, precision, out);
            Ok(())
        }
        DataType::Timestamp(unit, instant) => {
            let (raw, digits) = match unit {
                TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(index), 6),
                _ => (array.as_primitive::<TimestampMillisecondType>().value(index).saturating_mul(MILLISECOND), 3),
            };
            let local = if instant.is_some() { zone.local(raw) } else { raw };
            push_timestamp(local, precision.unwrap_or(digits), out);
            Ok(())
        }
        _ => {
            push_collection(array, index, zone, out);
            Ok(())
        }
    };
    Some(())
}

/// Appends `yyyy-MM-dd HH:mm:ss` and the fraction's digits.
pub(crate) fn push_timestamp(local: i64, precision: usize, out: &mut String) {
    push_date(local.div_euclid(DAY), out);
    out.push(' ');
    push_time(local.rem_euclid(DAY), precision, out);
}

/// Appends a time. As in Flink, its fraction has no trailing zeros but at least one digit.
fn push_time_of_day(of_day: i64, precision: Option<usize>, out: &mut String) {
    let default = if of_day % SECOND == 0 { 0 } else { 3 };
    let digits = precision.unwrap_or(default).min(3);
    push_time(of_day, digits, out);
    if digits > 0 {
        let kept = out.trim_end_matches('0').len();
        out.truncate(kept);
        if out.ends_with('.') {
            out.push('0');
        }
    }
}

fn push_collection(array: &dyn Array, index: usize, zone: Zone, out: &mut String) {
    let push = |values: &dyn Array, index: usize, out: &mut String| {
        if push_value(values, index, None, zone, out).is_none() {
            out.push_str("NULL");
        }
    };
    match array.data_type() {
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(index);
            out.push('[');
            for element in 0..elements.len() {
                out.push_str(if element > 0 { ", " } else { "" });
                push(&elements, element, out);
            }
            out.push(']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(index);
            out.push('{');
            for entry in 0..entries.len() {
                out.push_str(if entry > 0 { ", " } else { "" });
                push(entries.column(0), entry, out);
                out.push('=');
                push(entries.column(1), entry, out);
            }
            out.push('}');
        }
        DataType::Struct(_) => {
            out.push('(');
            for (position, column) in array.as_struct().columns().iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                push(column, index, out);
            }
            out.push(')');
        }
        other => {
            let _ = write!(out, "<{other}>");
        }
    }
}

/// Appends a DOUBLE as Java prints it: `1.0`, `1.0E10`, `NaN`.
pub(crate) fn push_double(value: f64, out: &mut String) {
    push_floating(value, &format!("{value:e}"), out);
}

/// Appends a number as Java prints it. `shortest` is the value in the form `d.dde-x`.
fn push_floating(value: f64, shortest: &str, out: &mut String) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" });
    }
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let unsigned = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if mantissa.starts_with('-') {
        out.push('-');
    }
    let digits = format!("{whole}{fraction}");
    match usize::try_from(exponent) {
        _ if value == 0.0 => out.push_str("0.0"),
        // From 0.001 to below 10 000 000 there is no exponent.
        Ok(before) if before < 7 => {
            let (whole, fraction) = digits.split_at(digits.len().min(before + 1));
            let zeros = (before + 1).saturating_sub(digits.len());
            out.push_str(whole);
            out.extend(std::iter::repeat_n('0', zeros));
            out.push('.');
            out.push_str(if fraction.is_empty() { "0" } else { fraction });
        }
        Err(_) if exponent >= -3 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
            out.push_str(&digits);
        }
        _ => {
            let fraction = if fraction.is_empty() { "0" } else { fraction };
            let _ = write!(out, "{whole}.{fraction}E{exponent}");
        }
    }
}
