//! Tables of calls and the results they must have.
//!
//! Every call is made with constants, with columns, with no rows at all, and with each argument NULL in turn.

use std::sync::Arc;

use arrow::array::{ArrayRef, new_empty_array};
use arrow::datatypes::{DataType, Field, FieldRef};
use chrono_tz::Tz;
use datafusion_common::config::ConfigOptions;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, Volatility};
use eddyline_stream::TimeZone;

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
const NULL: ScalarValue = ScalarValue::Null;

/// The arguments of a call: anything that becomes a `ScalarValue`.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$(datafusion_common::ScalarValue::from($value)),*] };
}
use args;

fn in_zone(time_zone: Tz) -> FunctionContext {
    // 2026-03-01 12:34:56.789 UTC
    FunctionContext::new(TimeZone::Named(time_zone), Clock::Fixed { epoch_ms: 1_772_368_496_789 })
}

fn utc() -> FunctionContext {
    in_zone(Tz::UTC)
}

fn timestamp(text: &str) -> ScalarValue {
    ScalarValue::TimestampMillisecond(crate::time::parse::timestamp(text).map(|us| us.div_euclid(1_000)), None)
}

fn instant(text: &str) -> ScalarValue {
    let ms = crate::time::parse::timestamp(text).map(|us| us.div_euclid(1_000));
    ScalarValue::TimestampMillisecond(ms, Some("UTC".into()))
}

fn date(text: &str) -> ScalarValue {
    ScalarValue::Date32(crate::time::parse::date(text).and_then(|days| i32::try_from(days).ok()))
}

fn time(text: &str) -> ScalarValue {
    ScalarValue::Time32Millisecond(crate::time::parse::time(text).and_then(|ms| i32::try_from(ms).ok()))
}

fn decimal(text: &str, precision: u8, scale: i8) -> ScalarValue {
    let unscaled = crate::cast::number::parse_decimal(text, precision, scale).flatten();
    ScalarValue::Decimal128(unscaled, precision, scale)
}

fn bytes(text: &str) -> ScalarValue {
    ScalarValue::Binary(Some(text.as_bytes().to_vec()))
}

/// The result of a call with its type.
#[derive(Debug)]
struct Outcome {
    text: String,
    data_type: DataType,
}

fn named(name: &str, context: &FunctionContext) -> Arc<ScalarUDF> {
    scalar_function(name, context).unwrap_or_else(|| panic!("{name} is not registered"))
}

/// Calls a function in all the ways the engine may call it.
fn call(udf: &Arc<ScalarUDF>, args: Vec<ScalarValue>) -> Result<Outcome> {
    let result = call_once(udf, &args)?;
    for position in 0..args.len() {
        let mut with_null = args.to_vec();
        with_null[position] = ScalarValue::try_new_null(&args[position].data_type())?;
        // It may be refused, but it must not panic.
        let _ = call_once(udf, &with_null);
    }
    Ok(result)
}

fn call_once(udf: &Arc<ScalarUDF>, args: &[ScalarValue]) -> Result<Outcome> {
    let given: Vec<FieldRef> =
        args.iter().map(|value| Arc::new(Field::new("argument", value.data_type(), true))).collect();
    let arg_fields = fields_with_udf(&given, udf.as_ref())?;
    let args: Vec<ScalarValue> =
        args.iter().zip(&arg_fields).map(|(value, field)| value.cast_to(field.data_type())).collect::<Result<_>>()?;
    let literals: Vec<Option<&ScalarValue>> = args.iter().map(Some).collect();
    let return_field =
        udf.return_field_from_args(ReturnFieldArgs { arg_fields: &arg_fields, scalar_arguments: &literals })?;
    let invoke = |values: Vec<ColumnarValue>, rows: usize| {
        udf.invoke_with_args(ScalarFunctionArgs {
            args: values,
            arg_fields: arg_fields.clone(),
            number_rows: rows,
            return_field: Arc::clone(&return_field),
            config_options: Arc::new(ConfigOptions::default()),
        })
    };
    let constants = args.iter().cloned().map(ColumnarValue::Scalar).collect();
    let result = invoke(constants, 2)?.into_array(2)?;
    assert_eq!(result.data_type(), return_field.data_type(), "{} declares another type than it gives", udf.name());
    let text = printed(&result, 0);

    let literal_only = |position: usize| match udf.name() {
        "extract" | "floor_to" | "ceil_to" | "timestampadd" | "timestampdiff" => position == 0,
        "json_value" | "json_query" | "json_exists" | "is_json" => position > 0,
        "json_object" | "json_array" => position == 0,
        "get_field" => position > 0,
        _ => false,
    };
    if !args.is_empty() && udf.signature().volatility == Volatility::Immutable {
        let columns = |rows: usize| {
            args.iter()
                .enumerate()
                .map(|(position, value)| {
                    Ok(if literal_only(position) {
                        ColumnarValue::Scalar(value.clone())
                    } else if rows == 0 {
                        ColumnarValue::Array(new_empty_array(&value.data_type()))
                    } else {
                        ColumnarValue::Array(value.to_array_of_size(rows)?)
                    })
                })
                .collect::<Result<Vec<_>>>()
        };
        let by_row = invoke(columns(2)?, 2)?.into_array(2)?;
        assert_eq!(by_row.data_type(), return_field.data_type(), "{}", udf.name());
        assert_eq!((printed(&by_row, 0), printed(&by_row, 1)), (text.clone(), text.clone()), "{} by row", udf.name());
        let none = invoke(columns(0)?, 0)?.into_array(0)?;
        assert_eq!(none.len(), 0, "{} of an empty batch", udf.name());
        assert_eq!(none.data_type(), return_field.data_type(), "{} of an empty batch", udf.name());
    }
    Ok(Outcome { text, data_type: return_field.data_type().clone() })
}

fn printed(array: &ArrayRef, row: usize) -> String {
    let mut out = String::new();
    match push_value(array.as_ref(), row, None, Zone::UTC, &mut out) {
        Some(()) => out,
        None => "NULL".to_owned(),
    }
}

/// Calls each function and compares the printed results.
fn expect_in(context: &FunctionContext, table: Vec<(&str, Vec<ScalarValue>, &str)>) {
    for (name, args, expected) in table {
        let outcome =
            call(&named(name, context), args.clone()).unwrap_or_else(|error| panic!("{name}{args:?}: {error}"));
        assert_eq!(outcome.text, expected, "{name}{args:?}");
    }
}

fn expect(table: Vec<(&str, Vec<ScalarValue>, &str)>) {
    expect_in(&utc(), table);
}

/// Calls each function and expects an error with a text in it.
fn expect_refusal(table: Vec<(&str, Vec<ScalarValue>, &str)>) {
    for (name, args, expected) in table {
        let error = call(&named(name, &utc()), args.clone()).expect_err(&format!("{name}{args:?} is refused"));
        assert!(error.to_string().contains(expected), "{name}{args:?}: {error}");
    }
}

/// Calls each function and compares the declared types.
fn expect_types(table: Vec<(&str, Vec<ScalarValue>, DataType)>) {
    for (name, args, expected) in table {
        let outcome =
            call(&named(name, &utc()), args.clone()).unwrap_or_else(|error| panic!("{name}{args:?}: {error}"));
        assert_eq!(outcome.data_type, expected, "{name}{args:?}");
    }
}
