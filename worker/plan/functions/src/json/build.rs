//! Writing JSON: `JSON_STRING`, `JSON_OBJECT`, `JSON_ARRAY`.
//!
//! If the result of one of these is an argument of another, it is nested as JSON and not as a string. The members of an
//! object are sorted by key, as in Flink.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, TimeUnit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eddyline_expression::{Expr, Kind, Result, ScalarFunction, plan_err, value_err};

use super::document::{push_exact_number, push_text};
use crate::arguments::Arguments;
use crate::cast::text::push_value;
use crate::function::{Returns, function, literal_text};
use crate::parameters::Parameter;
use crate::time::zone::Zone;

/// The functions of this module.
pub(super) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Any, Text};
    vec![
        function("json_string", &[&[Any]], Returns::Type(DataType::Utf8), |args| {
            let argument = &args.columns[0];
            args.write_text(|row, out| {
                let index = argument.index(row);
                if is_null(argument.array().as_ref(), index) {
                    return None;
                }
                Some(push_json(argument.array().as_ref(), index, out))
            })
        })
        .build(),
        function("json_object", &[&[Text, Text, Any], &[Text]], Returns::Type(DataType::Utf8), json_object)
            .repeats_last()
            .check(check_object)
            .build(),
        function("json_array", &[&[Text, Any], &[Text]], Returns::Type(DataType::Utf8), json_array)
            .repeats_last()
            .check(check_on_null)
            .build(),
    ]
}

fn check_on_null(args: &[Expr]) -> Result<()> {
    match literal_text(args, 0) {
        None | Some("NULL" | "ABSENT") => Ok(()),
        Some(other) => plan_err!("'{other}' ON NULL is not NULL or ABSENT"),
    }
}

fn check_object(args: &[Expr]) -> Result<()> {
    check_on_null(args)?;
    match args.len() % 2 {
        1 => Ok(()),
        _ => plan_err!("JSON_OBJECT takes pairs of a key and a value"),
    }
}

fn is_null(array: &dyn Array, index: usize) -> bool {
    *array.data_type() == DataType::Null || array.is_null(index)
}

/// Appends the argument at a position. `None` if it is NULL.
fn push_argument(args: &Arguments, position: usize, row: usize, out: &mut String) -> Option<()> {
    let argument = &args.columns[position];
    let index = argument.index(row);
    if is_null(argument.array().as_ref(), index) {
        return None;
    }
    match argument.array().as_string_opt::<i32>() {
        Some(texts) if args.expressions.get(position).is_some_and(is_json) => out.push_str(texts.value(index)),
        _ => push_json(argument.array().as_ref(), index, out),
    }
    Some(())
}

/// Whether a value is JSON already.
fn is_json(expression: &Expr) -> bool {
    match expression.kind() {
        Kind::Call(call) => matches!(call.function.name(), "json_object" | "json_array"),
        _ => false,
    }
}

fn json_object(args: &Arguments) -> Result<ArrayRef> {
    let keeps_nulls = args.constant_text(0) != Some("ABSENT");
    args.try_write_text(|row, out| {
        let mut members = BTreeMap::new();
        for position in (1..args.len()).step_by(2) {
            let key = &args.columns[position];
            let index = key.index(row);
            let mut name = String::new();
            if push_value(key.array().as_ref(), index, None, Zone::UTC, &mut name).is_none() {
                return value_err!("JSON_OBJECT: a key is NULL");
            }
            let mut value = String::new();
            match push_argument(args, position + 1, row, &mut value) {
                Some(()) => members.insert(name, value),
                None if keeps_nulls => members.insert(name, "null".to_owned()),
                None => None,
            };
        }
        push_members(members.iter().map(|(key, value)| (key.as_str(), value.as_str())), out);
        Ok(Some(()))
    })
}

fn json_array(args: &Arguments) -> Result<ArrayRef> {
    let keeps_nulls = args.constant_text(0) == Some("NULL");
    args.write_text(|row, out| {
        out.push('[');
        let start = out.len();
        for position in 1..args.len() {
            let before = out.len();
            if before > start {
                out.push(',');
            }
            if push_argument(args, position, row, out).is_none() {
                if keeps_nulls {
                    out.push_str("null");
                } else {
                    out.truncate(before);
                }
            }
        }
        out.push(']');
        Some(())
    })
}

/// Appends a value as JSON.
fn push_json(array: &dyn Array, index: usize, out: &mut String) {
    if is_null(array, index) {
        return out.push_str("null");
    }
    let utc = Zone::UTC;
    match array.data_type() {
        DataType::Boolean => out.push_str(if array.as_boolean().value(index) { "true" } else { "false" }),
        DataType::Decimal128(..) => out.push_str(&array.as_primitive::<Decimal128Type>().value_as_string(index)),
        DataType::Utf8 => push_text(array.as_string::<i32>().value(index), out),
        DataType::Binary => push_text(&STANDARD.encode(array.as_binary::<i32>().value(index)), out),
        DataType::Timestamp(unit, instant) => {
            let mut text = String::new();
            let digits = if *unit == TimeUnit::Microsecond { 6 } else { 3 };
            push_value(array, index, Some(digits), utc, &mut text);
            let short = text.trim_end_matches('0').trim_end_matches('.').len();
            // Trailing zeros of the fraction are removed, but not those of the seconds.
            let text = text[..short.max(19)].replacen(' ', "T", 1);
            push_text(&if instant.is_some() { format!("{text}Z") } else { text }, out);
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(index);
            out.push('[');
            for element in 0..elements.len() {
                out.push_str(if element > 0 { "," } else { "" });
                push_json(&elements, element, out);
            }
            out.push(']');
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(index);
            let mut members = BTreeMap::new();
            for entry in 0..entries.len() {
                let (mut key, mut value) = (String::new(), String::new());
                push_value(entries.column(0), entry, None, utc, &mut key);
                push_json(entries.column(1), entry, &mut value);
                members.insert(key, value);
            }
            push_members(members.iter().map(|(key, value)| (key.as_str(), value.as_str())), out);
        }
        DataType::Struct(fields) => {
            let mut members = BTreeMap::new();
            for (field, column) in fields.iter().zip(array.as_struct().columns()) {
                let mut value = String::new();
                push_json(column, index, &mut value);
                members.insert(field.name().as_str(), value);
            }
            push_members(members.iter().map(|(key, value)| (*key, value.as_str())), out);
        }
        DataType::Float32 => push_double(f64::from(array.as_primitive::<Float32Type>().value(index)), out),
        DataType::Float64 => push_double(array.as_primitive::<Float64Type>().value(index), out),
        number if number.is_numeric() => {
            push_value(array, index, None, utc, out);
        }
        _ => {
            let mut text = String::new();
            push_value(array, index, None, utc, &mut text);
            push_text(&text, out);
        }
    }
}

/// Appends a DOUBLE with the digits that Java prints, in the form of a BigDecimal.
fn push_double(value: f64, out: &mut String) {
    let mut text = String::new();
    crate::cast::text::push_double(value, &mut text);
    if value.is_finite() { push_exact_number(&text, out) } else { out.push_str(&text) }
}

fn push_members<'a>(members: impl Iterator<Item = (&'a str, &'a str)>, out: &mut String) {
    out.push('{');
    for (position, (key, value)) in members.enumerate() {
        out.push_str(if position > 0 { "," } else { "" });
        push_text(key, out);
        out.push(':');
        out.push_str(value);
    }
    out.push('}');
}
