//! Rounding: `ROUND`, `TRUNCATE`, `CEIL`, `FLOOR`.
//!
//! Conventions: integers and floating point numbers keep their type. DECIMAL gets Flink's result type: with a literal
//! number of places `r` it is `DECIMAL(1 + p - s + r, r)`, and `CEIL` and `FLOOR` give `DECIMAL(p, 0)`. Halves round
//! away from zero. A DOUBLE is rounded by the shortest decimal form, as Java prints it. A FLOAT is widened first. NaN
//! and the infinities have no digits, so the job fails where `ROUND` and `TRUNCATE` need digits.
//!
//! `CEIL`/`FLOOR` of a point in time to a unit are `ceil_to`/`floor_to`, in [`crate::temporal`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use eddyline_expression::{Expr, Result, ScalarFunction, plan_err, value_err};

use crate::arguments::Arguments;
use crate::cast::number::fits;
use crate::function::{Returns, function, literal_integer};
use crate::parameters::Parameter;

/// How to drop digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Halves away from zero.
    HalfUp,
    /// Toward zero.
    Down,
    /// Toward positive infinity.
    Ceiling,
    /// Toward negative infinity.
    Floor,
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    const PLACES: &[&[Parameter]] = &[&[Parameter::Number], &[Parameter::Number, Parameter::Int]];
    const NUMBER: &[&[Parameter]] = &[&[Parameter::Number]];
    vec![
        function("round", PLACES, Returns::From(rounded_type), |args| round_to(args, Mode::HalfUp)).build(),
        function("truncate", PLACES, Returns::From(rounded_type), |args| round_to(args, Mode::Down)).build(),
        function("ceil", NUMBER, Returns::From(whole_type), |args| whole(args, Mode::Ceiling))
            .aliases(&["ceiling"])
            .build(),
        function("floor", NUMBER, Returns::From(whole_type), |args| whole(args, Mode::Floor)).build(),
    ]
}

fn rounded_type(args: &[Expr]) -> Result<DataType> {
    let Some(number) = args.first() else { return plan_err!("ROUND takes a number") };
    let DataType::Decimal128(precision, scale) = *number.data_type() else { return Ok(number.data_type().clone()) };
    let places = match (args.len(), literal_integer(args, 1)) {
        (1, _) => 0,
        (_, Some(places)) => places,
        // The scale shrinks only for a literal number of places.
        (_, None) => return Ok(number.data_type().clone()),
    };
    if places >= i64::from(scale) {
        return Ok(DataType::Decimal128(precision, scale));
    }
    let kept = places.max(0);
    let digits = (1 + i64::from(precision) - i64::from(scale) + kept).clamp(1, 38);
    Ok(DataType::Decimal128(u8::try_from(digits).unwrap_or(38), i8::try_from(kept).unwrap_or(scale)))
}

fn whole_type(args: &[Expr]) -> Result<DataType> {
    match args.first().map(Expr::data_type) {
        Some(DataType::Decimal128(precision, _)) => Ok(DataType::Decimal128(*precision, 0)),
        Some(other) => Ok(other.clone()),
        None => plan_err!("CEIL and FLOOR take a number"),
    }
}

fn whole(args: &Arguments, mode: Mode) -> Result<ArrayRef> {
    match args.data_type(0) {
        DataType::Float64 => {
            let number = args.double(0)?;
            let compute = if mode == Mode::Ceiling { f64::ceil } else { f64::floor };
            args.write::<Float64Type>(|row| Some(compute(number.get(row)?)))
        }
        DataType::Float32 => {
            let number = args.primitive::<Float32Type>(0)?;
            let compute = if mode == Mode::Ceiling { f32::ceil } else { f32::floor };
            args.write::<Float32Type>(|row| Some(compute(number.get(row)?)))
        }
        DataType::Decimal128(_, scale) => {
            let scale = i64::from(*scale);
            let number = args.primitive::<Decimal128Type>(0)?;
            args.write::<Decimal128Type>(|row| Some(drop_digits(number.get(row)?, scale, mode)))
        }
        _ => Ok(Arc::clone(args.columns[0].array())),
    }
}

fn round_to(args: &Arguments, mode: Mode) -> Result<ArrayRef> {
    let places = if args.len() > 1 { Some(args.int(1)?) } else { None };
    let places = |row: usize| places.as_ref().map_or(Some(0), |places| places.get(row)).map(i64::from);
    macro_rules! integers {
        ($T:ty, $native:ty) => {{
            let number = args.primitive::<$T>(0)?;
            // Java narrows the rounded value by cutting bits.
            args.write::<$T>(|row| Some(round_integer(i128::from(number.get(row)?), places(row)?, mode) as $native))
        }};
    }
    match (args.data_type(0), &args.return_type) {
        (DataType::Int8, _) => integers!(Int8Type, i8),
        (DataType::Int16, _) => integers!(Int16Type, i16),
        (DataType::Int32, _) => integers!(Int32Type, i32),
        (DataType::Int64, _) => integers!(Int64Type, i64),
        (DataType::Float32, _) => {
            let number = args.primitive::<Float32Type>(0)?;
            args.try_write::<Float32Type>(|row| {
                let (Some(number), Some(places)) = (number.get(row), places(row)) else { return Ok(None) };
                let rounded = round_shortest(number.into(), places, mode)?;
                Ok(Some(rounded.and_then(|text| text.parse().ok()).unwrap_or(number + 0.0)))
            })
        }
        (DataType::Decimal128(_, from), DataType::Decimal128(precision, to)) => {
            let (from, to, precision) = (i64::from(*from), i64::from(*to), *precision);
            let number = args.primitive::<Decimal128Type>(0)?;
            args.write::<Decimal128Type>(|row| {
                let kept = places(row)?.min(from);
                let rounded = drop_digits(number.get(row)?, from - kept, mode);
                // ROUND of 38 nines needs 39 digits.
                fits(rounded.checked_mul(power_of_ten(to - kept)?)?, precision)
            })
        }
        _ => {
            let number = args.double(0)?;
            args.try_write::<Float64Type>(|row| {
                let (Some(number), Some(places)) = (number.get(row), places(row)) else { return Ok(None) };
                let rounded = round_shortest(number, places, mode)?;
                Ok(Some(rounded.and_then(|text| text.parse().ok()).unwrap_or(number + 0.0)))
            })
        }
    }
}

fn power_of_ten(exponent: i64) -> Option<i128> {
    10_i128.checked_pow(u32::try_from(exponent).ok()?)
}

/// Drops the last `digits` decimal digits of a number.
fn drop_digits(number: i128, digits: i64, mode: Mode) -> i128 {
    if digits <= 0 {
        return number;
    }
    let Some(divisor) = power_of_ten(digits) else {
        return match mode {
            Mode::Ceiling if number > 0 => 1,
            Mode::Floor if number < 0 => -1,
            _ => 0,
        };
    };
    let (quotient, remainder) = (number / divisor, number % divisor);
    quotient
        + match mode {
            Mode::Down => 0,
            Mode::HalfUp if remainder.unsigned_abs() >= divisor.unsigned_abs().div_ceil(2) => remainder.signum(),
            Mode::HalfUp => 0,
            Mode::Ceiling => i128::from(remainder > 0),
            Mode::Floor => -i128::from(remainder < 0),
        }
}

fn round_integer(number: i128, places: i64, mode: Mode) -> i128 {
    if places >= 0 {
        return number;
    }
    match power_of_ten(-places) {
        Some(power) => drop_digits(number, -places, mode).saturating_mul(power),
        None => 0,
    }
}

/// The digits of a rounded number. `None` if rounding does not change it. Negative zero is not kept, because Java's
/// digits have no sign of zero.
fn round_shortest(number: f64, places: i64, mode: Mode) -> Result<Option<String>> {
    if !number.is_finite() {
        return value_err!("{} of {number}: it has no digits", if mode == Mode::Down { "TRUNCATE" } else { "ROUND" });
    }
    let digits = |text: &str| {
        let (mantissa, exponent) = text.split_once('e')?;
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        Some((digits, i64::try_from(fraction.len()).ok()? - exponent))
    };
    // The form is `d.dde-x`.
    Ok(digits(&format!("{number:e}"))
        .filter(|(_, scale)| places < *scale)
        .map(|(digits, scale)| format!("{}e{}", drop_digits(digits, scale - places, mode), -places)))
}
