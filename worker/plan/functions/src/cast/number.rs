//! Numbers: read from strings as in Flink, and converted as in Java.

use arrow::array::ArrayRef;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use eddyline_expression::{Result, internal_err, value_err};
use eddyline_stream::sql_type;

use super::text::push_double;
use crate::arguments::Arguments;

/// The text without the characters that Java's `String.trim` removes.
fn java_trim(text: &str) -> &str {
    text.trim_matches(|character| character <= ' ')
}

/// Reads an integer. A fraction is allowed and cut off. Blanks around it are allowed, but not tabs and newlines.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(' ');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    if digits.is_empty() {
        // Flink reads ".5", "-.5" and even "." as 0. A sign alone and an empty text are not numbers.
        return text.contains('.').then_some(0);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    whole.parse().ok()
}

/// The text without the suffix that Java allows. `None` if Java's `Double.parseDouble` refuses the text.
fn java_number(text: &str) -> Option<&str> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match unsigned {
        // A sign before NaN is accepted and has no meaning.
        "NaN" => return Some(unsigned),
        "Infinity" => return Some(text),
        _ => {}
    }
    let text = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    (numeric && text.bytes().any(|byte| byte.is_ascii_digit())).then_some(text)
}

/// A DOUBLE as Java reads it: `1`, `1.5e3`, `NaN`, `-Infinity`, `1d`.
pub(crate) fn parse_double(text: &str) -> Option<f64> {
    java_number(java_trim(text))?.parse().ok()
}

/// A FLOAT as Java reads it.
pub(crate) fn parse_float(text: &str) -> Option<f32> {
    java_number(java_trim(text))?.parse().ok()
}

/// A BOOLEAN as Flink reads it.
pub(crate) fn parse_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "t" | "true" | "y" | "yes" | "1" => Some(true),
        "f" | "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// Reads a DECIMAL of a precision and scale. Halves are rounded away from zero. Blanks, tabs and newlines around it are
/// allowed. `None` if the text is not a number, `Some(None)` if the number does not fit.
pub(crate) fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<Option<i128>> {
    let text = text.trim_matches([' ', '\t', '\n']);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let negative = mantissa.starts_with('-');
    let unsigned = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return None;
    }
    // The digits up to `scale` places after the point are kept.
    let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').collect();
    let kept = i64::try_from(whole.len()).ok()? + i64::from(exponent) + i64::from(scale);
    let mut value: i128 = 0;
    for place in 0..kept.max(0) {
        let digit = usize::try_from(place).ok().and_then(|place| digits.get(place)).copied().unwrap_or(0);
        match value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit))) {
            Some(next) => value = next,
            None => return Some(None),
        }
        if value == 0 && place > 400 {
            break;
        }
    }
    let next = usize::try_from(kept).ok().and_then(|place| digits.get(place));
    if next.is_some_and(|digit| *digit >= 5) {
        value += 1;
    }
    Some(fits(if negative { -value } else { value }, precision))
}

/// The value, if a DECIMAL of the precision can hold it.
pub(crate) fn fits(value: i128, precision: u8) -> Option<i128> {
    let limit = 10_i128.checked_pow(u32::from(precision))?;
    (value.unsigned_abs() < limit.unsigned_abs()).then_some(value)
}

fn is_decimal(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal128(..))
}

/// Whether [`convert`] is needed for a pair of types.
pub(crate) fn differs_from_arrow(from: &DataType, to: &DataType) -> bool {
    let number_or_boolean = |data_type: &DataType| {
        *data_type == DataType::Boolean || is_decimal(data_type) || data_type.is_integer() || data_type.is_floating()
    };
    if !number_or_boolean(from) || !number_or_boolean(to) {
        return false;
    }
    let narrows = from.is_integer() && to.is_integer() && from.primitive_width() > to.primitive_width();
    is_decimal(from) || is_decimal(to) || narrows || (from.is_floating() && to.is_integer())
}

/// The largest precision of a DECIMAL that Flink holds as a BIGINT.
const COMPACT: u8 = 18;

/// A number that is converted from one type to another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Integer(i64),
    Floating(f64),
    /// A FLOAT. Its value is the shortest text that reads as this FLOAT, and not its exact binary value.
    Single(f32),
    Decimal {
        unscaled: i128,
        precision: u8,
        scale: u8,
    },
}

impl Number {
    fn to_long(self) -> i64 {
        match self {
            Self::Integer(value) => value,
            Self::Floating(value) => value as i64,
            Self::Single(value) => value as i64,
            // As BigDecimal.longValue: cuts the fraction, then the bits above 64.
            Self::Decimal { unscaled, scale, .. } => (unscaled / 10_i128.pow(u32::from(scale))) as i64,
        }
    }

    /// The INT from which narrower integers are cut, because Java converts floating-point numbers through INT.
    fn to_int(self) -> i32 {
        match self {
            Self::Floating(value) => value as i32,
            Self::Single(value) => value as i32,
            other => other.to_long() as i32,
        }
    }

    fn to_double(self) -> f64 {
        match self {
            Self::Integer(value) => value as f64,
            Self::Floating(value) => value,
            Self::Single(value) => f64::from(value),
            // If all values of the type fit a BIGINT, Flink divides doubles. That rounds a value with many digits
            // twice.
            Self::Decimal { unscaled, precision, scale }
                if precision <= COMPACT || (unscaled.unsigned_abs() <= 1 << 53 && scale <= 22) =>
            {
                unscaled as f64 / 10_f64.powi(i32::from(scale))
            }
            // The conversion through the text rounds once.
            Self::Decimal { unscaled, scale, .. } => format!("{unscaled}e-{scale}").parse().unwrap_or(f64::NAN),
        }
    }

    fn to_decimal(self, precision: u8, scale: u8) -> Option<i128> {
        let scale_i8 = i8::try_from(scale).ok()?;
        match self {
            Self::Integer(value) => {
                fits(i128::from(value).checked_mul(10_i128.checked_pow(u32::from(scale))?)?, precision)
            }
            Self::Floating(value) => parse_decimal(&format!("{value:e}"), precision, scale_i8).flatten(),
            // Java widens a FLOAT to DOUBLE on the way.
            Self::Single(value) => parse_decimal(&format!("{:e}", f64::from(value)), precision, scale_i8).flatten(),
            Self::Decimal { unscaled, scale: own, .. } if own <= scale => {
                fits(unscaled.checked_mul(10_i128.checked_pow(u32::from(scale - own))?)?, precision)
            }
            Self::Decimal { unscaled, scale: own, .. } => {
                let divisor = 10_i128.checked_pow(u32::from(own - scale))?;
                let (quotient, remainder) = (unscaled / divisor, unscaled % divisor);
                let up = remainder.unsigned_abs() * 2 >= divisor.unsigned_abs();
                fits(quotient + if up { unscaled.signum() } else { 0 }, precision)
            }
        }
    }
}

/// The error of NaN and the infinities as a DECIMAL.
fn not_a_decimal(value: f64, to: &DataType) -> Result<Option<i128>> {
    let mut text = String::new();
    push_double(value, &mut text);
    value_err!("cannot cast {text} to {}; TRY_CAST gives NULL instead", sql_type(to))
}

/// Casts between numbers and BOOLEAN. With `or_null` a value that cannot be a DECIMAL is NULL.
pub(crate) fn convert(args: &Arguments, or_null: bool) -> Result<ArrayRef> {
    fn read<'a, T: ArrowPrimitiveType>(
        args: &'a Arguments,
        to_number: impl Fn(T::Native) -> Number + 'a,
    ) -> Result<Box<dyn Fn(usize) -> Option<Number> + 'a>> {
        let column = args.primitive::<T>(0)?;
        Ok(Box::new(move |row| column.get(row).map(&to_number)))
    }
    let number = match args.data_type(0) {
        DataType::Boolean => {
            let column = args.boolean(0)?;
            Box::new(move |row| column.get(row).map(|value| Number::Integer(i64::from(value))))
        }
        DataType::Int8 => read::<Int8Type>(args, |value| Number::Integer(i64::from(value)))?,
        DataType::Int16 => read::<Int16Type>(args, |value| Number::Integer(i64::from(value)))?,
        DataType::Int32 => read::<Int32Type>(args, |value| Number::Integer(i64::from(value)))?,
        DataType::Int64 => read::<Int64Type>(args, Number::Integer)?,
        DataType::Float32 => read::<Float32Type>(args, Number::Single)?,
        DataType::Float64 => read::<Float64Type>(args, Number::Floating)?,
        DataType::Decimal128(precision, scale) => {
            let (precision, scale) = (*precision, scale.unsigned_abs());
            read::<Decimal128Type>(args, move |unscaled| Number::Decimal { unscaled, precision, scale })?
        }
        other => return internal_err!("{other} is not a number"),
    };
    match args.return_type {
        DataType::Boolean => args.write_boolean(|row| Some(number(row)?.to_double() != 0.0)),
        DataType::Int8 => args.write::<Int8Type>(|row| Some(number(row)?.to_int() as i8)),
        DataType::Int16 => args.write::<Int16Type>(|row| Some(number(row)?.to_int() as i16)),
        DataType::Int32 => args.write::<Int32Type>(|row| Some(number(row)?.to_int())),
        DataType::Int64 => args.write::<Int64Type>(|row| Some(number(row)?.to_long())),
        DataType::Float32 => args.write::<Float32Type>(|row| Some(number(row)?.to_double() as f32)),
        DataType::Float64 => args.write::<Float64Type>(|row| Some(number(row)?.to_double())),
        DataType::Decimal128(precision, scale) => {
            args.try_write::<Decimal128Type>(|row| match number(row) {
                // Java's BigDecimal has neither NaN nor infinities.
                Some(Number::Floating(value)) if !value.is_finite() && !or_null => {
                    not_a_decimal(value, &args.return_type)
                }
                Some(Number::Single(value)) if !value.is_finite() && !or_null => {
                    not_a_decimal(value.into(), &args.return_type)
                }
                number => Ok(number.and_then(|number| number.to_decimal(precision, scale.unsigned_abs()))),
            })
        }
        ref other => internal_err!("{other} is not a number"),
    }
}
