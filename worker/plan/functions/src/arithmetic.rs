//! Arithmetic: `ABS`, `MOD`, `POWER`, logarithms, trigonometry, `BIN`, `HEX`.
//!
//! Conventions: functions that compute in DOUBLE take any number and return DOUBLE; `ABS` and `SIGN` keep their
//! argument's type; `MOD` returns the divisor's type for integers and Flink's remainder type for DECIMAL. Rounding is
//! in [`crate::rounding`]. Operators (`+`, `/`, `%`) are not functions.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use eddyline_expression::{Arithmetic, Canonical, Expr, Result, ScalarFunction, plan_err, value_err};
use eddyline_stream::sql_type;

use crate::arguments::Arguments;
use crate::decimal::Computation;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// Evaluates `$body` with `$T` as the Arrow type of an integer or floating point number, or `$decimal` for a DECIMAL.
macro_rules! for_number {
    ($data_type:expr, $T:ident => $body:expr, decimal $D:ident => $decimal:expr) => {
        match $data_type {
            DataType::Int8 => {
                type $T = Int8Type;
                $body
            }
            DataType::Int16 => {
                type $T = Int16Type;
                $body
            }
            DataType::Int32 => {
                type $T = Int32Type;
                $body
            }
            DataType::Int64 => {
                type $T = Int64Type;
                $body
            }
            DataType::Float32 => {
                type $T = Float32Type;
                $body
            }
            DataType::Float64 => {
                type $T = Float64Type;
                $body
            }
            DataType::Decimal128(..) => {
                type $D = Decimal128Type;
                $decimal
            }
            other => eddyline_expression::internal_err!("{other} is not a number"),
        }
    };
}

const DOUBLE: &[&[Parameter]] = &[&[Parameter::Double]];
const TWO_DOUBLES: &[&[Parameter]] = &[&[Parameter::Double, Parameter::Double]];

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    let mut functions = doubles();
    functions.extend([
        function("pi", &[&[]], Returns::Type(DataType::Float64), |args| {
            args.write::<Float64Type>(|_| Some(std::f64::consts::PI))
        })
        .build(),
        function("e", &[&[]], Returns::Type(DataType::Float64), |args| {
            args.write::<Float64Type>(|_| Some(std::f64::consts::E))
        })
        .build(),
        function("abs", &[&[Parameter::Number]], Returns::Argument(0), abs).build(),
        function("sign", &[&[Parameter::Number]], Returns::Argument(0), sign).build(),
        function("mod", &[&[Parameter::Number, Parameter::Number]], Returns::From(remainder_type), remainder).build(),
        function("bin", &[&[Parameter::Long]], Returns::Type(DataType::Utf8), |args| {
            let number = args.long(0)?;
            args.write_text(|row, out| write!(out, "{:b}", number.get(row)?).ok())
        })
        .build(),
        function("hex", &[&[Parameter::Long], &[Parameter::TextOrBytes]], Returns::Type(DataType::Utf8), hex).build(),
    ]);
    functions
}

fn doubles() -> Vec<Arc<dyn ScalarFunction>> {
    type OfOne = fn(f64) -> f64;
    type OfTwo = fn(f64, f64) -> f64;
    let one: [(&'static str, OfOne); 18] = [
        ("sqrt", f64::sqrt),
        ("ln", f64::ln),
        ("log10", f64::log10),
        ("log2", |x| x.ln() / std::f64::consts::LN_2),
        ("exp", f64::exp),
        ("sin", f64::sin),
        ("cos", f64::cos),
        ("tan", f64::tan),
        ("cot", |x| 1.0 / x.tan()),
        ("asin", f64::asin),
        ("acos", f64::acos),
        ("atan", f64::atan),
        ("sinh", f64::sinh),
        ("cosh", f64::cosh),
        ("tanh", f64::tanh),
        ("degrees", f64::to_degrees),
        ("radians", f64::to_radians),
        ("cbrt", f64::cbrt),
    ];
    let mut functions: Vec<_> = one
        .into_iter()
        .map(|(name, compute)| {
            function(name, DOUBLE, Returns::Type(DataType::Float64), move |args| {
                let number = args.double(0)?;
                args.write::<Float64Type>(|row| Some(compute(number.get(row)?).canonical()))
            })
            .build()
        })
        .collect();
    let two: [(&'static str, OfTwo); 2] = [("power", power), ("atan2", f64::atan2)];
    functions.extend(two.into_iter().map(|(name, compute)| {
        function(name, TWO_DOUBLES, Returns::Type(DataType::Float64), move |args| {
            let (first, second) = (args.double(0)?, args.double(1)?);
            args.write::<Float64Type>(|row| Some(compute(first.get(row)?, second.get(row)?).canonical()))
        })
        .build()
    }));
    functions.push(
        function(
            "log",
            &[&[Parameter::Double], &[Parameter::Double, Parameter::Double]],
            Returns::Type(DataType::Float64),
            |args| {
                let first = args.double(0)?;
                if args.len() == 1 {
                    return args.write::<Float64Type>(|row| Some(first.get(row)?.ln().canonical()));
                }
                let second = args.double(1)?;
                args.write::<Float64Type>(|row| Some((second.get(row)?.ln() / first.get(row)?.ln()).canonical()))
            },
        )
        .build(),
    );
    functions
}

/// Java's `Math.pow`. Unlike C's `pow`, 1 to the power of NaN or an infinity is NaN.
fn power(base: f64, exponent: f64) -> f64 {
    let unknown = exponent.is_nan() || (base.abs() == 1.0 && exponent.is_infinite());
    if unknown { f64::NAN } else { base.powf(exponent) }
}

fn abs(args: &Arguments) -> Result<ArrayRef> {
    trait Magnitude {
        fn magnitude(self) -> Self;
    }
    macro_rules! magnitude {
        ($($native:ty: $compute:expr),*) => { $(impl Magnitude for $native { fn magnitude(self) -> Self { $compute(self) } })* };
    }
    // Java's Math.abs returns the smallest integer unchanged.
    magnitude!(i8: i8::wrapping_abs, i16: i16::wrapping_abs, i32: i32::wrapping_abs, i64: i64::wrapping_abs);
    magnitude!(f32: f32::abs, f64: f64::abs);
    for_number!(args.data_type(0),
        T => {
            let number = args.primitive::<T>(0)?;
            args.write::<T>(|row| Some(number.get(row)?.magnitude()))
        },
        decimal D => {
            let number = args.primitive::<D>(0)?;
            args.write::<D>(|row| Some(number.get(row)?.wrapping_abs()))
        }
    )
}

fn sign(args: &Arguments) -> Result<ArrayRef> {
    trait Sign {
        fn sign(self) -> Self;
    }
    macro_rules! sign {
        ($($native:ty: $compute:expr),*) => { $(impl Sign for $native { fn sign(self) -> Self { $compute(self) } })* };
    }
    sign!(i8: i8::signum, i16: i16::signum, i32: i32::signum, i64: i64::signum);
    // Zero keeps its sign, NaN stays NaN.
    sign!(f32: |x: f32| if x == 0.0 { x } else { x.signum() }, f64: |x: f64| if x == 0.0 { x } else { x.signum() });
    let scale = match args.data_type(0) {
        DataType::Decimal128(_, scale) => u32::from(scale.unsigned_abs()),
        _ => 0,
    };
    for_number!(args.data_type(0),
        T => {
            let number = args.primitive::<T>(0)?;
            args.write::<T>(|row| Some(number.get(row)?.sign()))
        },
        decimal D => {
            let number = args.primitive::<D>(0)?;
            args.write::<D>(|row| Some(number.get(row)?.signum() * 10_i128.pow(scale)))
        }
    )
}

fn precision_and_scale(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Int8 => (3, 0),
        DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::Decimal128(precision, scale) => (*precision, *scale),
        _ => return None,
    })
}

fn remainder_type(args: &[Expr]) -> Result<DataType> {
    let [dividend, divisor] = args else { return plan_err!("MOD takes two arguments") };
    let (dividend, divisor) = (dividend.data_type(), divisor.data_type());
    let is_decimal = |data_type: &DataType| matches!(data_type, DataType::Decimal128(..));
    if dividend.is_floating() || divisor.is_floating() {
        return Ok(DataType::Float64);
    }
    if !is_decimal(dividend) && !is_decimal(divisor) {
        return Ok(divisor.clone());
    }
    match (precision_and_scale(dividend), precision_and_scale(divisor)) {
        (Some((p1, s1)), Some((p2, s2))) => {
            let (d1, d2) = (i16::from(p1) - i16::from(s1), i16::from(p2) - i16::from(s2));
            let scale = s1.max(s2);
            let precision = (d1.min(d2) + i16::from(scale)).clamp(1, 38);
            Ok(DataType::Decimal128(u8::try_from(precision).unwrap_or(38), scale))
        }
        _ => plan_err!("MOD takes numbers, not {} and {}", sql_type(dividend), sql_type(divisor)),
    }
}

fn remainder(args: &Arguments) -> Result<ArrayRef> {
    if args.return_type == DataType::Float64 {
        let (dividend, divisor) = (as_double(args, 0)?, as_double(args, 1)?);
        return args.write::<Float64Type>(|row| Some((dividend(row)? % divisor(row)?).canonical()));
    }
    let types = (precision_and_scale(args.data_type(0)), precision_and_scale(args.data_type(1)));
    let ((Some(left), Some(right)), Some(result)) = (types, precision_and_scale(&args.return_type)) else {
        return value_err!("MOD takes numbers");
    };
    let of_decimals = Computation::new(Arithmetic::Modulo, left, right, result);
    let is_decimal = matches!(args.return_type, DataType::Decimal128(..));
    let (dividend, divisor) = (as_unscaled(args, 0)?, as_unscaled(args, 1)?);
    let compute = |row: usize| -> Result<Option<i128>> {
        match (dividend(row), divisor(row)) {
            (Some(_), Some(0)) => value_err!("MOD: division by zero"),
            (Some(dividend), Some(divisor)) if is_decimal => Ok(of_decimals.compute(dividend, divisor)),
            (Some(dividend), Some(divisor)) => Ok(Some(dividend % divisor)),
            _ => Ok(None),
        }
    };
    // A remainder is smaller than the divisor, so it fits the divisor's type. Java narrows it by cutting bits.
    match args.return_type {
        DataType::Int8 => args.try_write::<Int8Type>(|row| Ok(compute(row)?.map(|value| value as i8))),
        DataType::Int16 => args.try_write::<Int16Type>(|row| Ok(compute(row)?.map(|value| value as i16))),
        DataType::Int32 => args.try_write::<Int32Type>(|row| Ok(compute(row)?.map(|value| value as i32))),
        DataType::Int64 => args.try_write::<Int64Type>(|row| Ok(compute(row)?.map(|value| value as i64))),
        _ => args.try_write::<Decimal128Type>(compute),
    }
}

type Reader<'a, T> = Box<dyn Fn(usize) -> Option<T> + 'a>;

/// A numeric argument read as DOUBLE.
#[expect(clippy::unnecessary_cast, reason = "one of the types is DOUBLE already")]
pub(crate) fn as_double<'a>(args: &'a Arguments, position: usize) -> Result<Reader<'a, f64>> {
    let scale = match args.data_type(position) {
        DataType::Decimal128(_, scale) => 10_f64.powi(i32::from(*scale)),
        _ => 1.0,
    };
    for_number!(args.data_type(position),
        T => {
            let number = args.primitive::<T>(position)?;
            Ok(Box::new(move |row| Some(number.get(row)? as f64)))
        },
        decimal D => {
            let number = args.primitive::<D>(position)?;
            Ok(Box::new(move |row| Some(number.get(row)? as f64 / scale)))
        }
    )
}

/// An integer or DECIMAL argument as an unscaled value of its own scale.
fn as_unscaled<'a>(args: &'a Arguments, position: usize) -> Result<Reader<'a, i128>> {
    for_number!(args.data_type(position),
        T => {
            let number = args.primitive::<T>(position)?;
            Ok(Box::new(move |row| Some(number.get(row)? as i128)))
        },
        decimal D => {
            let number = args.primitive::<D>(position)?;
            Ok(Box::new(move |row| number.get(row)))
        }
    )
}

fn hex(args: &Arguments) -> Result<ArrayRef> {
    match args.data_type(0) {
        DataType::Int64 => {
            let number = args.long(0)?;
            args.write_text(|row, out| write!(out, "{:X}", number.get(row)?).ok())
        }
        DataType::Binary => {
            let bytes = args.bytes(0)?;
            args.write_text(|row, out| Some(push_hex(bytes.get(row)?, true, out)))
        }
        _ => {
            let text = args.text(0)?;
            args.write_text(|row, out| Some(push_hex(text.get(row)?.as_bytes(), true, out)))
        }
    }
}

/// Appends bytes as hexadecimal digits.
pub(crate) fn push_hex(bytes: &[u8], upper: bool, out: &mut String) {
    let digits = if upper { b"0123456789ABCDEF" } else { b"0123456789abcdef" };
    for byte in bytes {
        out.push(char::from(digits[usize::from(byte >> 4)]));
        out.push(char::from(digits[usize::from(byte & 15)]));
    }
}
