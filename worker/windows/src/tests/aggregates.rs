//! Aggregate calls with naive implementations.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use eddyline_job_graph::{AggregateCall, AggregateFunction};

use super::rows::{DECIMAL, DOUBLE, FLAG, INT, LONG, Row, TEXT, schema};

/// Computes an aggregate over rows in order. The result is text, which is empty for NULL.
pub(super) type Naive = fn(&[&Row]) -> String;

pub(super) type Call = (AggregateCall, Naive);

fn call(function: AggregateFunction, argument: Option<usize>, result_type: DataType) -> AggregateCall {
    let argument_type = argument.map(|argument| schema().field(argument).data_type().clone());
    let name = format!("{function:?}");
    AggregateCall { function, argument, distinct: false, filter: None, argument_type, result_type, name }
}

fn distinct(call: AggregateCall) -> AggregateCall {
    AggregateCall { distinct: true, ..call }
}

fn filtered(call: AggregateCall) -> AggregateCall {
    AggregateCall { filter: Some(FLAG), ..call }
}

fn values(rows: &[&Row]) -> Vec<i64> {
    rows.iter().filter_map(|row| row.value).collect()
}

fn flagged<'a>(rows: &[&'a Row]) -> Vec<&'a Row> {
    rows.iter().copied().filter(|row| row.flag == Some(true)).collect()
}

fn texts(rows: &[&Row]) -> Vec<String> {
    rows.iter().filter_map(|row| row.text.clone()).collect()
}

fn or_null<T>(values: &[i64], result: impl FnOnce(&[i64]) -> T) -> String
where
    T: ToString,
{
    if values.is_empty() { String::new() } else { result(values).to_string() }
}

fn total(values: &[i64]) -> i64 {
    values.iter().sum()
}

fn hundredths(value: i64) -> String {
    format!("{}{}.{:02}", if value < 0 { "-" } else { "" }, value.abs() / 100, value.abs() % 100)
}

/// `sum / count` with six digits after the point. Halves are rounded away from zero.
fn decimal_average(values: &[i64]) -> String {
    let (sum, count) = (i128::from(total(values)) * 25 * 10_000, values.len() as i128);
    let rounded = (2 * sum.abs() + count) / (2 * count);
    let sign = if sum < 0 && rounded > 0 { "-" } else { "" };
    format!("{sign}{}.{:06}", rounded / 1_000_000, rounded % 1_000_000)
}

fn variance(values: &[i64]) -> f64 {
    let mean = total(values) as f64 / values.len() as f64;
    values.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / values.len() as f64
}

/// Counts and sums that can be subtracted from a running total.
pub(super) fn invertible() -> Vec<Call> {
    vec![
        (call(AggregateFunction::CountStar, None, DataType::Int64), |rows| rows.len().to_string()),
        (call(AggregateFunction::Count, Some(INT), DataType::Int64), |rows| values(rows).len().to_string()),
        (call(AggregateFunction::Sum, Some(INT), DataType::Int32), |rows| or_null(&values(rows), total)),
        (call(AggregateFunction::Avg, Some(INT), DataType::Int32), |rows| {
            or_null(&values(rows), |values| total(values) / values.len() as i64)
        }),
        (call(AggregateFunction::Sum, Some(LONG), DataType::Int64), |rows| {
            or_null(&values(rows), |values| total(values) * 1_000_000_007)
        }),
        (filtered(call(AggregateFunction::Sum, Some(INT), DataType::Int32)), |rows| {
            or_null(&values(&flagged(rows)), total)
        }),
        (filtered(call(AggregateFunction::CountStar, None, DataType::Int64)), |rows| flagged(rows).len().to_string()),
        (call(AggregateFunction::Sum, Some(DECIMAL), DataType::Decimal128(38, 2)), |rows| {
            or_null(&values(rows), |values| hundredths(total(values) * 25))
        }),
        (call(AggregateFunction::Avg, Some(DECIMAL), DataType::Decimal128(38, 6)), |rows| {
            or_null(&values(rows), decimal_average)
        }),
    ]
}

/// Extremes, floats and moments, which are mergeable but not invertible.
pub(super) fn mergeable() -> Vec<Call> {
    vec![
        (call(AggregateFunction::Min, Some(INT), DataType::Int32), |rows| {
            or_null(&values(rows), |values| *values.iter().min().expect("not empty"))
        }),
        (call(AggregateFunction::Max, Some(LONG), DataType::Int64), |rows| {
            or_null(&values(rows), |values| values.iter().max().expect("not empty") * 1_000_000_007)
        }),
        (call(AggregateFunction::Max, Some(DECIMAL), DataType::Decimal128(10, 2)), |rows| {
            or_null(&values(rows), |values| hundredths(values.iter().max().expect("not empty") * 25))
        }),
        (call(AggregateFunction::Min, Some(TEXT), DataType::Utf8), |rows| {
            texts(rows).into_iter().min().unwrap_or_default()
        }),
        (filtered(call(AggregateFunction::Max, Some(TEXT), DataType::Utf8)), |rows| {
            texts(&flagged(rows)).into_iter().max().unwrap_or_default()
        }),
        (call(AggregateFunction::Min, Some(DOUBLE), DataType::Float64), |rows| {
            or_null(&values(rows), |values| format!("{:.6}", *values.iter().min().expect("not empty") as f64 / 2.0))
        }),
        (call(AggregateFunction::Sum, Some(DOUBLE), DataType::Float64), |rows| {
            or_null(&values(rows), |values| format!("{:.6}", total(values) as f64 / 2.0))
        }),
        (call(AggregateFunction::Avg, Some(DOUBLE), DataType::Float64), |rows| {
            or_null(&values(rows), |values| format!("{:.6}", total(values) as f64 / 2.0 / values.len() as f64))
        }),
        (call(AggregateFunction::VarPop, Some(INT), DataType::Float64), |rows| {
            or_null(&values(rows), |values| format!("{:.6}", variance(values)))
        }),
        (call(AggregateFunction::StddevSamp, Some(INT), DataType::Float64), |rows| {
            let values = values(rows);
            let count = values.len() as f64;
            match values.len() {
                0 | 1 => String::new(),
                _ => format!("{:.6}", (variance(&values) * count / (count - 1.0)).sqrt()),
            }
        }),
    ]
}

/// DISTINCT calls, with and without a filter.
pub(super) fn distinct_values() -> Vec<Call> {
    fn set(rows: &[&Row]) -> Vec<i64> {
        values(rows).into_iter().collect::<BTreeSet<_>>().into_iter().collect()
    }
    vec![
        (distinct(call(AggregateFunction::Count, Some(INT), DataType::Int64)), |rows| set(rows).len().to_string()),
        (distinct(call(AggregateFunction::Sum, Some(INT), DataType::Int32)), |rows| or_null(&set(rows), total)),
        (distinct(filtered(call(AggregateFunction::Count, Some(INT), DataType::Int64))), |rows| {
            set(&flagged(rows)).len().to_string()
        }),
        (distinct(call(AggregateFunction::Count, Some(TEXT), DataType::Int64)), |rows| {
            texts(rows).into_iter().collect::<BTreeSet<_>>().len().to_string()
        }),
        (distinct(call(AggregateFunction::Sum, Some(DECIMAL), DataType::Decimal128(38, 2))), |rows| {
            or_null(&set(rows), |values| hundredths(total(values) * 25))
        }),
        (call(AggregateFunction::Count, Some(TEXT), DataType::Int64), |rows| texts(rows).len().to_string()),
    ]
}

/// Calls whose result depends on the order of rows.
pub(super) fn ordered() -> Vec<Call> {
    let joined = AggregateFunction::ListAgg { separator: "; ".to_owned() };
    vec![
        (call(AggregateFunction::FirstValue, Some(INT), DataType::Int32), |rows| {
            values(rows).first().map(i64::to_string).unwrap_or_default()
        }),
        (call(AggregateFunction::LastValue, Some(TEXT), DataType::Utf8), |rows| {
            texts(rows).last().cloned().unwrap_or_default()
        }),
        (call(AggregateFunction::LastValue, Some(DECIMAL), DataType::Decimal128(10, 2)), |rows| {
            values(rows).last().map(|value| hundredths(value * 25)).unwrap_or_default()
        }),
        (call(joined.clone(), Some(TEXT), DataType::Utf8), |rows| texts(rows).join("; ")),
        (distinct(call(joined, Some(TEXT), DataType::Utf8)), |rows| {
            let mut seen = Vec::new();
            for text in texts(rows) {
                if !seen.contains(&text) {
                    seen.push(text);
                }
            }
            seen.join("; ")
        }),
    ]
}
