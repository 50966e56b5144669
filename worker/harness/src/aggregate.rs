//! Aggregates over lists of rows.

use std::cmp::Ordering;

use arrow::datatypes::{DataType, i256};
use eddyline_expression::Scalar;
use eddyline_job_graph::{AggregateCall, AggregateFunction};

use crate::row::{Row, cast, order};

/// The result of an aggregate over rows in order of arrival.
pub fn aggregate(call: &AggregateCall, rows: &[&Row]) -> Result<Scalar, String> {
    let is_wanted = |row: &&&Row| call.filter.is_none_or(|filter| matches!(row[filter], Scalar::Boolean(Some(true))));
    let rows: Vec<&Row> = rows.iter().filter(is_wanted).copied().collect();
    let Some(argument) = call.argument else { return count(rows.len(), call) };
    let mut values: Vec<&Scalar> = Vec::new();
    for row in rows {
        let value = &row[argument];
        let is_new = !call.distinct || !values.iter().any(|other| is_same(other, value));
        if !value.is_null() && is_new {
            values.push(value);
        }
    }
    let result = of_values(call, &values)?;
    cast(&result, &call.result_type)
}

fn of_values(call: &AggregateCall, values: &[&Scalar]) -> Result<Scalar, String> {
    use AggregateFunction::{Avg, Count, CountStar, FirstValue, LastValue, ListAgg, Max, Min, Sum};
    let null = || Scalar::null(&call.result_type).map_err(|error| error.to_string());
    if let CountStar | Count = call.function {
        return count(values.len(), call);
    }
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return null() };
    match &call.function {
        FirstValue => Ok((*first).clone()),
        LastValue => Ok((*last).clone()),
        Min => extreme(values, first, Ordering::Less),
        Max => extreme(values, first, Ordering::Greater),
        ListAgg { separator } => {
            let text = |value: &&Scalar| Ok(cast(value, &DataType::Utf8)?.as_str().unwrap_or_default().to_owned());
            let texts = values.iter().map(text).collect::<Result<Vec<_>, String>>()?;
            Ok(Scalar::Utf8(Some(texts.join(separator))))
        }
        Sum | Avg => match first.data_type() {
            DataType::Float32 | DataType::Float64 => float_sum(call, values),
            DataType::Decimal128(_, scale) => decimal_sum(call, values, scale),
            _ => whole_sum(call, values),
        },
        _ => variance(call, values),
    }
}

/// The minimum (`beyond` is less) or maximum (`beyond` is greater) of the values; the first one if several are equal.
fn extreme(values: &[&Scalar], first: &Scalar, beyond: Ordering) -> Result<Scalar, String> {
    let mut best = first;
    for value in values {
        if order(value, best)? == beyond {
            best = value;
        }
    }
    Ok(best.clone())
}

fn count(count: usize, call: &AggregateCall) -> Result<Scalar, String> {
    cast(&Scalar::Int64(i64::try_from(count).ok()), &call.result_type)
}

/// Whether two values are equal for DISTINCT: -0.0 equals 0.0, and NaN equals NaN.
fn is_same(a: &Scalar, b: &Scalar) -> bool {
    let float = |value: &Scalar| match value {
        Scalar::Float64(value) => *value,
        Scalar::Float32(value) => value.map(f64::from),
        _ => None,
    };
    match (float(a), float(b)) {
        (Some(a), Some(b)) => a == b || a.is_nan() && b.is_nan(),
        _ => a == b,
    }
}

fn whole(value: &Scalar) -> Result<i64, String> {
    match cast(value, &DataType::Int64)? {
        Scalar::Int64(Some(value)) => Ok(value),
        other => Err(format!("{other:?} is not a whole number")),
    }
}

fn float(value: &Scalar) -> Result<f64, String> {
    match cast(value, &DataType::Float64)? {
        Scalar::Float64(Some(value)) => Ok(value),
        other => Err(format!("{other:?} is not a number")),
    }
}

/// Sums wrap around. Averages are truncated toward zero.
fn whole_sum(call: &AggregateCall, values: &[&Scalar]) -> Result<Scalar, String> {
    let mut sum = 0i64;
    for value in values {
        sum = sum.wrapping_add(whole(value)?);
    }
    let result = if call.function == AggregateFunction::Avg { sum / values.len() as i64 } else { sum };
    Ok(match call.result_type {
        DataType::Int8 => Scalar::Int8(Some(result as i8)),
        DataType::Int16 => Scalar::Int16(Some(result as i16)),
        DataType::Int32 => Scalar::Int32(Some(result as i32)),
        _ => Scalar::Int64(Some(result)),
    })
}

fn float_sum(call: &AggregateCall, values: &[&Scalar]) -> Result<Scalar, String> {
    let in_single = call.function == AggregateFunction::Sum && call.argument_type == Some(DataType::Float32);
    let mut sum = 0.0;
    for value in values {
        sum += float(value)?;
        if in_single {
            sum = f64::from(sum as f32);
        }
    }
    let result = if call.function == AggregateFunction::Avg { sum / values.len() as f64 } else { sum };
    Ok(Scalar::Float64(Some(result)))
}

/// Averages are rounded half away from zero. A result with too many digits is NULL.
fn decimal_sum(call: &AggregateCall, values: &[&Scalar], scale: i8) -> Result<Scalar, String> {
    let DataType::Decimal128(precision, result_scale) = call.result_type else {
        return Err(format!("{} of decimals gives decimals, not {}", call.name, call.result_type));
    };
    let mut sum = i256::ZERO;
    for value in values {
        let Scalar::Decimal128(Some(value), ..) = value else { return Err(format!("{value:?} is not a decimal")) };
        sum = sum.wrapping_add(i256::from_i128(*value));
    }
    let added_digits = u32::try_from(result_scale - scale).map_err(|_| format!("{} loses digits", call.name))?;
    let scaled = sum.wrapping_mul(i256::from_i128(10).wrapping_pow(added_digits));
    let result = if call.function == AggregateFunction::Avg {
        let (count, two) = (i256::from_i128(values.len() as i128), i256::from_i128(2));
        let half = if scaled < i256::ZERO { count.wrapping_neg() } else { count };
        (scaled.wrapping_mul(two).wrapping_add(half)).wrapping_div(count.wrapping_mul(two))
    } else {
        scaled
    };
    let fits = |value: &i128| value.unsigned_abs() < 10u128.pow(u32::from(precision));
    let sum_fits = sum.to_i128().is_some_and(|sum| fits(&sum));
    let result = result.to_i128().filter(fits).filter(|_| sum_fits);
    Ok(Scalar::Decimal128(result, precision, result_scale))
}

fn variance(call: &AggregateCall, values: &[&Scalar]) -> Result<Scalar, String> {
    use AggregateFunction::{StddevPop, StddevSamp, VarSamp};
    let values = values.iter().map(|value| float(value)).collect::<Result<Vec<_>, _>>()?;
    let is_sample = matches!(call.function, StddevSamp | VarSamp);
    let divisor = if is_sample { values.len() - 1 } else { values.len() };
    if divisor == 0 {
        return Ok(Scalar::Float64(None));
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / divisor as f64;
    let is_deviation = matches!(call.function, StddevPop | StddevSamp);
    Ok(Scalar::Float64(Some(if is_deviation { variance.sqrt() } else { variance })))
}
