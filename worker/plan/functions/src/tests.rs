//! Tables of calls and the results they must have.
//!
//! Every call is made with constants, with columns, with no rows at all, and with each argument NULL in turn.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field};
use eddyline_expression::{Expr, Result, Rows, Scalar, ScalarFunction};

use crate::cast::text::push_value;
use crate::time::zone::Zone;
use crate::{Clock, FunctionContext, scalar_function};

mod arithmetic;
mod cast;
mod collection;
mod json;
mod properties;
mod registry;
mod string;
mod temporal;

/// A literal NULL.
const NULL: Scalar = Scalar::Null;

/// The arguments of a call: anything that becomes a `Scalar`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$(eddyline_expression::Scalar::from($value)),*] };
}
use args;

fn in_zone(time_zone: &str) -> FunctionContext {
    // 2026-03-01 12:34:56.789 UTC
    FunctionContext::new(time_zone.parse().expect("a time zone"), Clock::Fixed { epoch_ms: 1_772_368_496_789 })
}

fn utc() -> FunctionContext {
    in_zone("UTC")
}

fn timestamp(text: &str) -> Scalar {
    Scalar::TimestampMillisecond(crate::time::parse::timestamp(text).map(|us| us.div_euclid(1_000)), None)
}

fn instant(text: &str) -> Scalar {
    let ms = crate::time::parse::timestamp(text).map(|us| us.div_euclid(1_000));
    Scalar::TimestampMillisecond(ms, Some("UTC".into()))
}

fn date(text: &str) -> Scalar {
    Scalar::Date32(crate::time::parse::date(text).and_then(|days| i32::try_from(days).ok()))
}

fn time(text: &str) -> Scalar {
    Scalar::Time32Millisecond(crate::time::parse::time(text).and_then(|ms| i32::try_from(ms).ok()))
}

fn decimal(text: &str, precision: u8, scale: i8) -> Scalar {
    let unscaled = crate::cast::number::parse_decimal(text, precision, scale).flatten();
    Scalar::Decimal128(unscaled, precision, scale)
}

fn bytes(text: &str) -> Scalar {
    Scalar::Binary(Some(text.as_bytes().to_vec()))
}

/// The result of a call with its type.
#[derive(Debug)]
struct Outcome {
    text: String,
    data_type: DataType,
}

fn named(name: &str, context: &FunctionContext) -> Arc<dyn ScalarFunction> {
    scalar_function(name, context).unwrap_or_else(|| panic!("{name} is not registered"))
}

/// Calls a function in all the ways the engine may call it.
fn call(udf: &Arc<dyn ScalarFunction>, args: Vec<Scalar>) -> Result<Outcome> {
    let result = call_once(udf, &args)?;
    for position in 0..args.len() {
        let mut with_null = args.to_vec();
        with_null[position] = Scalar::null(&args[position].data_type())?;
        // The call may be refused, but it must not panic.
        let _ = call_once(udf, &with_null);
    }
    Ok(result)
}

/// A value as the planner gives it to a function that takes another type.
fn converted(value: &Scalar, data_type: &DataType) -> Result<Scalar> {
    if value.data_type() == *data_type {
        return Ok(value.clone());
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    Scalar::try_from_array(&cast_with_options(&value.to_array(), data_type, &strict)?, 0)
}

fn call_once(udf: &Arc<dyn ScalarFunction>, args: &[Scalar]) -> Result<Outcome> {
    let given: Vec<DataType> = args.iter().map(Scalar::data_type).collect();
    let types = udf.coerce(&given)?;
    let args: Vec<Scalar> =
        args.iter().zip(&types).map(|(value, data_type)| converted(value, data_type)).collect::<Result<_>>()?;
    let of_constants = Expr::call(Arc::clone(udf), args.iter().cloned().map(Expr::literal).collect())?;
    let return_type = of_constants.data_type();
    let result = of_constants.evaluate(Rows { columns: &[], len: 2 })?.into_array(2)?;
    assert_eq!(result.data_type(), return_type, "{} declares another type than it gives", udf.name());
    let text = printed(&result, 0);

    let literal_only = |position: usize| match udf.name() {
        "extract" | "floor_to" | "ceil_to" | "timestampadd" | "timestampdiff" => position == 0,
        "json_value" | "json_query" | "json_exists" | "is_json" => position > 0,
        "json_object" | "json_array" => position == 0,
        // Types follow from the digits.
        "round" | "truncate" | "to_timestamp_ltz" => position == 1,
        _ => false,
    };
    if !args.is_empty() && !udf.is_volatile() {
        let column = |(position, value): (usize, &Scalar)| {
            if literal_only(position) {
                Expr::literal(value.clone())
            } else {
                Expr::column(position, &Field::new("argument", value.data_type(), true))
            }
        };
        let of_columns = Expr::call(Arc::clone(udf), args.iter().enumerate().map(column).collect())?;
        let by_row = |len: usize| {
            let spread = |value: &Scalar| {
                let constant = Expr::literal(value.clone()).evaluate(Rows { columns: &[], len })?;
                if len == 0 { Ok(new_empty_array(&value.data_type())) } else { constant.into_array(len) }
            };
            let columns = args.iter().map(spread).collect::<Result<Vec<_>>>()?;
            of_columns.evaluate(Rows { columns: &columns, len })?.into_array(len)
        };
        let two = by_row(2)?;
        assert_eq!(two.data_type(), return_type, "{}", udf.name());
        assert_eq!((printed(&two, 0), printed(&two, 1)), (text.clone(), text.clone()), "{} by row", udf.name());
        let none = by_row(0)?;
        assert_eq!(none.len(), 0, "{} of an empty batch", udf.name());
        assert_eq!(none.data_type(), return_type, "{} of an empty batch", udf.name());
    }
    Ok(Outcome { text, data_type: return_type.clone() })
}

fn printed(array: &ArrayRef, row: usize) -> String {
    let mut out = String::new();
    match push_value(array.as_ref(), row, None, Zone::UTC, &mut out) {
        Some(()) => out,
        None => "NULL".to_owned(),
    }
}

/// Calls each function and compares the printed results.
fn expect_in(context: &FunctionContext, table: Vec<(&str, Vec<Scalar>, &str)>) {
    for (name, args, expected) in table {
        let outcome =
            call(&named(name, context), args.clone()).unwrap_or_else(|error| panic!("{name}{args:?}: {error}"));
        assert_eq!(outcome.text, expected, "{name}{args:?}");
    }
}

fn expect(table: Vec<(&str, Vec<Scalar>, &str)>) {
    expect_in(&utc(), table);
}

/// Calls each function and expects an error with a text in it.
fn expect_refusal(table: Vec<(&str, Vec<Scalar>, &str)>) {
    for (name, args, expected) in table {
        let error = call(&named(name, &utc()), args.clone()).expect_err(&format!("{name}{args:?} is refused"));
        assert!(error.to_string().contains(expected), "{name}{args:?}: {error}");
    }
}

/// Calls each function and compares the declared types.
fn expect_types(table: Vec<(&str, Vec<Scalar>, DataType)>) {
    for (name, args, expected) in table {
        let outcome =
            call(&named(name, &utc()), args.clone()).unwrap_or_else(|error| panic!("{name}{args:?}: {error}"));
        assert_eq!(outcome.data_type, expected, "{name}{args:?}");
    }
}
