//! Java's arithmetic: whole numbers wrap, and only a division by zero fails. FLOAT and DOUBLE follow IEEE 754 and have
//! one NaN. DECIMAL is exact, and rounded once.

use arrow::datatypes::{DataType, IntervalUnit};
use eddyline_expression::Arithmetic;
use num_bigint::BigInt;

use super::calendar::{plus_months, split};
use super::value::{DAY, Value};

/// The result of an operator on two values of these types.
pub fn calculate(
    operator: Arithmetic,
    (left, of_left): (&Value, &DataType),
    (right, of_right): (&Value, &DataType),
) -> Result<Value, String> {
    if left.is_null() || right.is_null() {
        return Ok(Value::Null);
    }
    Ok(match (left, right) {
        (Value::Whole(left), Value::Whole(right)) => Value::Whole(cut(whole(operator, *left, *right)?, of_left)),
        (Value::Float(left), Value::Float(right)) => Value::Float(one_nan_f32(match operator {
            Arithmetic::Plus => left + right,
            Arithmetic::Minus => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Modulo => left % right,
        })),
        (Value::Double(left), Value::Double(right)) => Value::Double(double(operator, *left, *right)),
        (Value::Moment(left), Value::Span(right)) | (Value::Span(left), Value::Span(right)) => {
            let moved = left + signed(operator, *right)?;
            let per_unit = if of_left.to_string().contains("ms") || *of_left == DataType::Date32 { 1_000 } else { 1 };
            if i64::try_from(moved.div_euclid(per_unit)).is_err() {
                return Err(format!("{left} {operator} {right} is out of range"));
            }
            if matches!(of_left, DataType::Duration(_)) { Value::Span(moved) } else { Value::Moment(moved) }
        }
        (Value::Moment(left), Value::Months(right)) => {
            let (day, of_day) = split(*left);
            let months = signed(operator, i128::from(*right))?;
            Value::Moment(i128::from(plus_months(day, months as i64)) * DAY + i128::from(of_day))
        }
        (Value::Months(left), Value::Months(right)) => {
            let sum = i128::from(*left) + signed(operator, i128::from(*right))?;
            Value::Months(i32::try_from(sum).map_err(|_| "an interval is out of range")?)
        }
        _ => return Err(format!("{operator} of {of_left} and {of_right}")),
    })
}

fn signed(operator: Arithmetic, amount: i128) -> Result<i128, String> {
    match operator {
        Arithmetic::Plus => Ok(amount),
        Arithmetic::Minus => Ok(-amount),
        other => Err(format!("{other} of an interval")),
    }
}

/// The exact result, in a type that is wide enough.
fn whole(operator: Arithmetic, left: i64, right: i64) -> Result<i128, String> {
    let (left, right) = (i128::from(left), i128::from(right));
    Ok(match operator {
        Arithmetic::Plus => left + right,
        Arithmetic::Minus => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide | Arithmetic::Modulo if right == 0 => return Err("division by zero".to_owned()),
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
    })
}

/// Narrows a number to the lowest bits that a type has.
pub fn cut(number: i128, to: &DataType) -> i64 {
    match to {
        DataType::Int8 => i64::from(number as i8),
        DataType::Int16 => i64::from(number as i16),
        DataType::Int32 => i64::from(number as i32),
        _ => number as i64,
    }
}

/// The result of an operator on two DOUBLEs.
pub fn double(operator: Arithmetic, left: f64, right: f64) -> f64 {
    one_nan(match operator {
        Arithmetic::Plus => left + right,
        Arithmetic::Minus => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide => left / right,
        Arithmetic::Modulo => left % right,
    })
}

/// The number, with any NaN replaced by Java's canonical one.
pub fn one_nan(number: f64) -> f64 {
    if number.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { number }
}

/// The same for FLOAT.
pub fn one_nan_f32(number: f32) -> f32 {
    if number.is_nan() { f32::from_bits(0x7fc0_0000) } else { number }
}

/// The negated value.
pub fn negate(value: Value, data_type: &DataType) -> Result<Value, String> {
    Ok(match value {
        Value::Null => Value::Null,
        Value::Whole(number) => Value::Whole(cut(-i128::from(number), data_type)),
        Value::Float(number) => Value::Float(one_nan_f32(-number)),
        Value::Double(number) => Value::Double(one_nan(-number)),
        Value::Decimal(number) => Value::Decimal(-number),
        Value::Span(amount) => Value::Span(-amount),
        Value::Months(amount) if matches!(data_type, DataType::Interval(IntervalUnit::YearMonth)) => {
            Value::Months(amount.wrapping_neg())
        }
        other => return Err(format!("-{other:?}")),
    })
}

/// A decimal number with unlimited digits.
#[derive(Clone, Debug)]
pub struct Exact {
    pub unscaled: BigInt,
    /// The number of digits after the point; negative for zeros before it.
    pub scale: i64,
}

fn ten_to(exponent: i64) -> BigInt {
    BigInt::from(10).pow(u32::try_from(exponent).unwrap_or(0))
}

/// The quotient of two numbers, rounded half away from zero.
fn half_up(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let negative = (dividend < &BigInt::ZERO) != (divisor < &BigInt::ZERO);
    let (dividend, divisor) = (dividend.magnitude(), divisor.magnitude());
    let rounded = BigInt::from((dividend * 2u32 + divisor) / (divisor * 2u32));
    if negative { -rounded } else { rounded }
}

impl Exact {
    /// The number with this unscaled value and scale.
    pub fn new(unscaled: i128, scale: i8) -> Self {
        Self { unscaled: unscaled.into(), scale: scale.into() }
    }

    /// Parses a text like `-12.5e-3`; `None` if it is not a number.
    pub fn of_text(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(place) => (&text[..place], text[place + 1..].parse::<i64>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(&digits);
        if unsigned.is_empty() || !unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let unscaled: BigInt = unsigned.parse().ok()?;
        let unscaled = if digits.starts_with('-') { -unscaled } else { unscaled };
        Some(Self { unscaled, scale: i64::try_from(fraction.len()).ok()? - exponent })
    }

    /// The unscaled value after rounding half away from zero to a scale.
    pub fn rounded(&self, scale: i64) -> BigInt {
        let dropped = self.scale - scale;
        // 4 000 is more than the digits of any number, so beyond it nothing remains.
        match dropped {
            ..=0 if self.unscaled == BigInt::ZERO => BigInt::ZERO,
            ..=0 => &self.unscaled * ten_to(-dropped),
            1..=4_000 => half_up(&self.unscaled, &ten_to(dropped)),
            _ => BigInt::ZERO,
        }
    }

    /// The unscaled value as a DECIMAL of this type; `None` if it has too many digits.
    pub fn as_decimal(&self, precision: u8, scale: i8) -> Option<i128> {
        if self.scale < -4_000 && self.unscaled != BigInt::ZERO {
            return None;
        }
        fitting(&self.rounded(scale.into()), precision)
    }
}

fn fitting(unscaled: &BigInt, precision: u8) -> Option<i128> {
    let bound = ten_to(precision.into());
    if unscaled.magnitude() < bound.magnitude() { i128::try_from(unscaled.clone()).ok() } else { None }
}

/// Divides like `BigDecimal` with a `MathContext`: rounds to a number of significant digits. Returns a fraction.
fn in_digits(digits: u32, dividend: BigInt, divisor: BigInt) -> (BigInt, BigInt) {
    let (bound, ten) = (ten_to(digits.into()), BigInt::from(10));
    let (mut up, mut down) = (BigInt::from(1), BigInt::from(1));
    let whole = |up: &BigInt, down: &BigInt| BigInt::from(((&dividend * up) / (&divisor * down)).magnitude().clone());
    if dividend == BigInt::ZERO {
        return (dividend, divisor);
    }
    while whole(&up, &down) >= bound {
        down *= &ten;
    }
    while &whole(&up, &down) * &ten < bound {
        up *= &ten;
    }
    (half_up(&(&dividend * &up), &(&divisor * &down)) * down, up)
}

/// The result of an operator on two decimals; `None` if it has too many digits for its type.
pub fn decimal(
    operator: Arithmetic,
    (left, left_scale): (i128, i8),
    (right, right_scale): (i128, i8),
    (precision, scale): (u8, i8),
) -> Result<Option<i128>, String> {
    // Both operands are integers over one power of ten.
    let (left, right) =
        (BigInt::from(left) * ten_to(right_scale.into()), BigInt::from(right) * ten_to(left_scale.into()));
    let over = ten_to(i64::from(left_scale) + i64::from(right_scale));
    let (dividend, divisor) = match operator {
        Arithmetic::Plus => (left + right, over),
        Arithmetic::Minus => (left - right, over),
        Arithmetic::Multiply => (left * right, &over * &over),
        Arithmetic::Divide | Arithmetic::Modulo if right == BigInt::ZERO => return Err("division by zero".to_owned()),
        Arithmetic::Divide => in_digits(38, left, right),
        Arithmetic::Modulo => (left % right, over),
    };
    Ok(fitting(&half_up(&(dividend * ten_to(scale.into())), &divisor), precision))
}

/// The arithmetic of ROUND, TRUNCATE, CEIL and FLOOR.
impl Exact {
    /// Rounds to a scale, half away from zero.
    pub fn rounded_half_up(&self, scale: i64) -> Self {
        Self { unscaled: self.rounded(scale), scale }
    }

    /// Rounds to a scale, toward zero.
    pub fn rounded_down(&self, scale: i64) -> Self {
        let dropped = self.scale - scale;
        let unscaled = if dropped > 4_000 { BigInt::ZERO } else { &self.unscaled / ten_to(dropped) };
        Self { unscaled, scale }
    }

    /// The smallest whole number that is not less.
    pub fn ceiling(&self) -> i128 {
        -Self { unscaled: -&self.unscaled, scale: self.scale }.floor()
    }

    /// The greatest whole number that is not greater.
    pub fn floor(&self) -> i128 {
        let one = ten_to(self.scale);
        let toward_zero = &self.unscaled / &one;
        let is_less = self.unscaled < BigInt::ZERO && &toward_zero * &one != self.unscaled;
        // A DECIMAL has at most 38 digits.
        i128::try_from(if is_less { toward_zero - 1 } else { toward_zero }).unwrap_or(0)
    }
}
