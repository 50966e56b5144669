//! Flink's CAST and TRY_CAST, where the plain conversions of [`eddyline_stream::cast`] differ.
//!
//! [`flink_cast`] gives a function of one argument for a pair of types, or `None` if the plain conversion has Flink's
//! semantics. Numbers narrow as in Java: integers cut bits, and floating point numbers saturate. A DECIMAL that does
//! not fit is NULL. Blanks around a string are ignored. A string that cannot be read is an error. NaN and the
//! infinities cannot become a DECIMAL: CAST fails and TRY_CAST gives NULL. Lengths and digits, as in `VARCHAR(n)` and
//! `TIME(p)`, are cut afterwards, in [`crate::declared`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, TimeUnit};
use eddyline_expression::{Result, ScalarFunction, Syntax, value_err};
use eddyline_stream::sql_type;

use self::nested::Caster;
use crate::arguments::Arguments;
use crate::context::FunctionContext;
use crate::function::{Returns, function};
use crate::moments::is_instant;
use crate::parameters::plain;
use crate::time::zone::{Overlap, Zone};
use crate::time::{DAY, MILLISECOND, parse};

mod nested;
pub(crate) mod number;
pub(crate) mod text;

/// The function that casts `from` to `to` as Flink does, or `None` when the plain conversion does the same.
///
/// With `try_` a value that cannot be cast becomes NULL; without it the call fails with an error that names the value.
/// The function takes exactly one argument, of type `from`, and returns exactly `to`.
pub fn flink_cast(
    from: &DataType,
    to: &DataType,
    try_: bool,
    context: &FunctionContext,
) -> Option<Arc<dyn ScalarFunction>> {
    let (from, to) = (plain(from), plain(to));
    if from == to || from == DataType::Null {
        return None;
    }
    let zone = Zone(context.time_zone);
    let (name, body): (&'static str, Body) = match (&from, &to) {
        (
            from @ (DataType::List(_) | DataType::Map(..) | DataType::Struct(_)),
            to @ (DataType::List(_) | DataType::Map(..) | DataType::Struct(_)),
        ) => {
            let caster = Caster::of(from, to, try_, context)?;
            ("cast_nested", Box::new(move |args| caster.cast(&args.spread(0)?)))
        }
        (DataType::Utf8, _) => ("cast_from_string", text_body(&to, zone, try_)?),
        (_, DataType::Utf8) if !text::arrow_prints(&from) => {
            ("cast_to_string", Box::new(move |args| text::print(args, zone)))
        }
        (DataType::Binary, _) | (_, DataType::Utf8 | DataType::Binary) => return None,
        (from, to) if is_moment(from) && is_moment(to) => ("cast_time", Box::new(move |args| moment(args, zone))),
        (from, to) if number::differs_from_arrow(from, to) => {
            ("cast_number", Box::new(move |args| number::convert(args, try_)))
        }
        _ => return None,
    };
    let identity = format!("{from} {to} {try_} {context:?}");
    let detail = detail(&from, &to, try_, context);
    let syntax = Syntax::Cast { to: sql_type(&to), or_null: try_ };
    let cast = function(name, &[], Returns::Type(to), body).exactly(vec![from], identity).detail(detail);
    Some(cast.syntax(syntax).build())
}

/// The settings of a cast.
fn detail(from: &DataType, to: &DataType, try_: bool, context: &FunctionContext) -> String {
    let or_null = if try_ { " or NULL" } else { "" };
    let in_zone =
        if has_instant(from) || has_instant(to) { format!(" in {}", context.time_zone) } else { String::new() };
    format!("AS {}{or_null}{in_zone}", sql_type(to))
}

fn has_instant(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(element) | DataType::Map(element, _) => has_instant(element.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_instant(field.data_type())),
        plain => is_instant(plain),
    }
}

type Body = Box<dyn Fn(&Arguments) -> Result<ArrayRef> + Send + Sync>;

fn is_moment(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..))
}

/// Casts between DATE, TIME, TIMESTAMP and TIMESTAMP_LTZ.
fn moment(args: &Arguments, zone: Zone) -> Result<ArrayRef> {
    let moments = args.moments(0)?;
    let to_instant = is_instant(&args.return_type);
    let to_time = matches!(args.return_type, DataType::Time32(_));
    let from_time = matches!(args.data_type(0), DataType::Time32(_));
    args.write_moments(|row| {
        let moved = if to_instant { moments.instant(row, zone)? } else { moments.local(row, zone)? };
        if to_time && !from_time { Some(moved.rem_euclid(DAY)) } else { Some(moved) }
    })
}

fn text_body(to: &DataType, zone: Zone, try_: bool) -> Option<Body> {
    macro_rules! parsed {
        ($T:ident, $parse:expr) => {
            Box::new(move |args: &Arguments| {
                let text = args.text(0)?;
                args.try_write::<arrow::datatypes::$T>(|row| match text.get(row) {
                    Some(text) => or_refuse($parse(text), text, try_, &args.return_type),
                    None => Ok(None),
                })
            })
        };
    }
    Some(match to {
        DataType::Boolean => Box::new(move |args| {
            let text = args.text(0)?;
            let mut values = Vec::with_capacity(args.rows);
            for row in 0..args.rows {
                values.push(match text.get(row) {
                    Some(text) => or_refuse(number::parse_boolean(text.trim()), text, try_, &args.return_type)?,
                    None => None,
                });
            }
            args.write_boolean(|row| values[row])
        }),
        DataType::Int8 => parsed!(Int8Type, |text| i8::try_from(number::parse_integer(text)?).ok()),
        DataType::Int16 => parsed!(Int16Type, |text| i16::try_from(number::parse_integer(text)?).ok()),
        DataType::Int32 => parsed!(Int32Type, |text| i32::try_from(number::parse_integer(text)?).ok()),
        DataType::Int64 => parsed!(Int64Type, number::parse_integer),
        DataType::Float32 => parsed!(Float32Type, number::parse_float),
        DataType::Float64 => parsed!(Float64Type, number::parse_double),
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            Box::new(move |args| {
                let text = args.text(0)?;
                args.try_write::<arrow::datatypes::Decimal128Type>(|row| match text.get(row) {
                    // A number that does not fit is NULL, as in Flink.
                    Some(text) => {
                        let parsed = number::parse_decimal(text, precision, scale);
                        or_refuse(parsed, text, try_, &args.return_type).map(Option::flatten)
                    }
                    None => Ok(None),
                })
            })
        }
        DataType::Binary => return None,
        DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) | DataType::Timestamp(..) => {
            Box::new(move |args| parse_moments(args, zone, try_))
        }
        _ => return None,
    })
}

fn parse_moments(args: &Arguments, zone: Zone, try_: bool) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let parse: fn(&str) -> Option<i64> = match args.return_type {
        DataType::Date32 => |text| Some(parse::date(text)? * DAY),
        DataType::Time32(_) => |text| Some(parse::time(text)? * MILLISECOND),
        _ => parse::timestamp,
    };
    let to_instant = is_instant(&args.return_type);
    args.try_write_moments(|row| {
        let Some(text) = text.get(row) else { return Ok(None) };
        let local = or_refuse(parse(text.trim()), text, try_, &args.return_type)?;
        Ok(local.map(|local| if to_instant { zone.instant(local, Overlap::Earlier) } else { local }))
    })
}

/// The value that was read. If there is none, an error, or NULL for TRY_CAST.
fn or_refuse<T>(parsed: Option<T>, text: &str, try_: bool, to: &DataType) -> Result<Option<T>> {
    match parsed {
        Some(value) => Ok(Some(value)),
        None if try_ => Ok(None),
        None => value_err!("cannot cast '{}' to {}; TRY_CAST gives NULL instead", text.escape_debug(), sql_type(to)),
    }
}
