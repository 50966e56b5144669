//! Functions of numbers.

use arrow::datatypes::DataType;
use eddyline_expression::Arithmetic;

use super::{Body, Called, scale_of};
use crate::evaluation::Value;
use crate::evaluation::arithmetic::{self, Exact, cut, one_nan, one_nan_f32};
use crate::evaluation::convert::as_double;

pub(super) fn of_numbers(name: &str) -> Option<Body> {
    fn double(called: &Called, compute: fn(f64) -> f64) -> Result<Value, String> {
        Ok(match called.values {
            [Value::Double(number)] => Value::Double(one_nan(compute(*number))),
            _ => Value::Null,
        })
    }
    Some(Body::Of(match name {
        "pi" => |_| Ok(Value::Double(std::f64::consts::PI)),
        "e" => |_| Ok(Value::Double(std::f64::consts::E)),
        "sqrt" => |called| double(called, f64::sqrt),
        "ln" => |called| double(called, f64::ln),
        "sin" => |called| double(called, f64::sin),
        "sinh" => |called| double(called, f64::sinh),
        "acos" => |called| double(called, f64::acos),
        "asin" => |called| double(called, f64::asin),
        "atan" => |called| double(called, f64::atan),
        "tan" => |called| double(called, f64::tan),
        "tanh" => |called| double(called, f64::tanh),
        "cos" => |called| double(called, f64::cos),
        "cosh" => |called| double(called, f64::cosh),
        "cot" => |called| double(called, |number| 1.0 / number.tan()),
        "cbrt" => |called| double(called, f64::cbrt),
        "exp" => |called| double(called, f64::exp),
        "log10" => |called| double(called, f64::log10),
        "log2" => |called| double(called, |number| number.ln() / 2_f64.ln()),
        "log" => |called| match called.values {
            [Value::Double(base), Value::Double(number)] => Ok(Value::Double(one_nan(number.ln() / base.ln()))),
            _ => double(called, f64::ln),
        },
        "degrees" => |called| double(called, |number| number * (180.0 / std::f64::consts::PI)),
        "radians" => |called| double(called, |number| number * (std::f64::consts::PI / 180.0)),
        "atan2" => |called| match called.values {
            [Value::Double(y), Value::Double(x)] => Ok(Value::Double(one_nan(y.atan2(*x)))),
            _ => Ok(Value::Null),
        },
        "power" => |called| match called.values {
            // Java's Math.pow and C's pow differ only in these cases.
            [Value::Double(base), Value::Double(exponent)]
                if exponent.is_nan() || base.abs() == 1.0 && exponent.is_infinite() =>
            {
                Ok(Value::Double(f64::NAN))
            }
            [Value::Double(base), Value::Double(exponent)] => Ok(Value::Double(one_nan(base.powf(*exponent)))),
            _ => Ok(Value::Null),
        },
        "abs" => |called| {
            Ok(match called.values[0] {
                Value::Whole(number) => Value::Whole(cut(i128::from(number).abs(), called.data_type)),
                Value::Float(number) => Value::Float(one_nan_f32(number.abs())),
                Value::Double(number) => Value::Double(one_nan(number.abs())),
                Value::Decimal(number) => Value::Decimal(number.abs()),
                _ => Value::Null,
            })
        },
        "sign" => |called| {
            Ok(match called.values[0] {
                Value::Whole(number) => Value::Whole(number.signum()),
                Value::Float(number) if number == 0.0 || number.is_nan() => Value::Float(number),
                Value::Float(number) => Value::Float(1_f32.copysign(number)),
                Value::Double(number) if number == 0.0 || number.is_nan() => Value::Double(number),
                Value::Double(number) => Value::Double(1_f64.copysign(number)),
                Value::Decimal(number) => {
                    Value::Decimal(number.signum() * 10_i128.pow(scale_of(called.data_type).unsigned_abs().into()))
                }
                _ => Value::Null,
            })
        },
        "mod" => remainder,
        "round" => |called| rounded(called, Exact::rounded_half_up),
        "truncate" => |called| rounded(called, Exact::rounded_down),
        "ceil" => |called| whole(called, f64::ceil, Exact::ceiling),
        "floor" => |called| whole(called, f64::floor, Exact::floor),
        _ => return None,
    }))
}

fn remainder(called: &Called) -> Result<Value, String> {
    if called.has_null() {
        return Ok(Value::Null);
    }
    let (left, right) = (&called.values[0], &called.values[1]);
    let as_decimal = |value: &Value| match value {
        Value::Whole(number) => Some(i128::from(*number)),
        Value::Decimal(unscaled) => Some(*unscaled),
        _ => None,
    };
    let number = |value: &Value, position| {
        Ok(match value {
            Value::Whole(number) => *number as f64,
            Value::Float(number) => f64::from(*number),
            Value::Double(number) => *number,
            Value::Decimal(unscaled) => as_double(*unscaled, called.type_of(position)?),
            other => return Err(format!("{other:?} is not a number")),
        })
    };
    Ok(match called.data_type {
        DataType::Float64 => Value::Double(arithmetic::double(Arithmetic::Modulo, number(left, 0)?, number(right, 1)?)),
        DataType::Decimal128(precision, scale) => {
            let (Some(left), Some(right)) = (as_decimal(left), as_decimal(right)) else {
                return Err("no DECIMAL".to_owned());
            };
            let (left, right) = ((left, scale_of(called.type_of(0)?)), (right, scale_of(called.type_of(1)?)));
            let computed = arithmetic::decimal(Arithmetic::Modulo, left, right, (*precision, *scale))?;
            computed.map_or(Value::Null, Value::Decimal)
        }
        whole => match (left, right) {
            (_, Value::Whole(0)) => return Err("division by zero".to_owned()),
            (Value::Whole(left), Value::Whole(right)) => {
                Value::Whole(cut(i128::from(*left) % i128::from(*right), whole))
            }
            _ => return Err("no whole number".to_owned()),
        },
    })
}

fn exact_of(number: f64) -> Result<Exact, String> {
    Exact::of_text(&format!("{number:e}")).ok_or_else(|| format!("{number} has no digits"))
}

/// ROUND and TRUNCATE. FLOAT and DOUBLE are rounded by the digits that Java prints.
fn rounded(called: &Called, round: fn(&Exact, i64) -> Exact) -> Result<Value, String> {
    if called.has_null() {
        return Ok(Value::Null);
    }
    let places = match called.values.get(1) {
        Some(Value::Whole(places)) => *places,
        _ => 0,
    };
    let text = |exact: &Exact| format!("{}e{}", exact.unscaled, -exact.scale);
    Ok(match &called.values[0] {
        Value::Whole(number) if places >= 0 => Value::Whole(*number),
        Value::Whole(number) => {
            let rounded = round(&Exact::new((*number).into(), 0), places.max(-40)).rounded(0);
            Value::Whole(cut(i128::try_from(rounded).map_err(|error| error.to_string())?, called.data_type))
        }
        // `BigDecimal.valueOf` takes a DOUBLE, throws for NaN and infinities, and has no negative zero.
        Value::Float(number) => match exact_of(f64::from(*number))? {
            exact if exact.scale > places => {
                Value::Float(text(&round(&exact, places)).parse().map_err(|_| "no number")?)
            }
            _ => Value::Float(*number + 0.0),
        },
        Value::Double(number) => match exact_of(*number)? {
            exact if exact.scale > places => {
                Value::Double(text(&round(&exact, places)).parse().map_err(|_| "no number")?)
            }
            _ => Value::Double(*number + 0.0),
        },
        Value::Decimal(unscaled) => {
            let (from, to) = (scale_of(called.type_of(0)?), scale_of(called.data_type));
            let exact = Exact::new(*unscaled, from);
            let exact = if i64::from(from) > places { round(&exact, places.max(-40)) } else { exact };
            match called.data_type {
                DataType::Decimal128(precision, _) => {
                    exact.as_decimal(*precision, to).map_or(Value::Null, Value::Decimal)
                }
                other => return Err(format!("{other} is not a DECIMAL")),
            }
        }
        other => return Err(format!("{other:?} is not a number")),
    })
}

fn whole(called: &Called, of_double: fn(f64) -> f64, of_exact: fn(&Exact) -> i128) -> Result<Value, String> {
    Ok(match &called.values[0] {
        // A FLOAT is exact as a DOUBLE, and so is the nearest whole number.
        Value::Float(number) => Value::Float(one_nan_f32(of_double(f64::from(*number)) as f32)),
        Value::Double(number) => Value::Double(one_nan(of_double(*number))),
        Value::Decimal(unscaled) => Value::Decimal(of_exact(&Exact::new(*unscaled, scale_of(called.type_of(0)?)))),
        other => other.clone(),
    })
}
