//! Rows as text, in the form of Flink's `Row.toString`: `+I[a, 1, 2026-03-01T23:59]`. The kind precedes the values. A
//! ROW inside a row is always `+I`.

use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};
use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use eddyline_stream::{Batch, RowKind};

/// Appends row `row` of a batch, with its kind.
pub(super) fn write_row(out: &mut String, batch: &Batch, row: usize) {
    write_fields(out, batch.kind(row), batch.rows().columns().iter().map(AsRef::as_ref), row);
}

fn write_fields<'a>(out: &mut String, kind: RowKind, columns: impl Iterator<Item = &'a dyn Array>, row: usize) {
    out.push_str(kind.symbol());
    out.push('[');
    for (index, column) in columns.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_value(out, column, row);
    }
    out.push(']');
}

/// Appends one value, as Java prints it.
pub(crate) fn write_value(out: &mut String, column: &dyn Array, row: usize) {
    if column.is_null(row) {
        out.push_str("null");
        return;
    }
    match column.data_type() {
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => display(out, column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => display(out, column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => display(out, column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => display(out, column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            write_float(out, f64::from(value), &format!("{value:e}"));
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            write_float(out, value, &format!("{value:e}"));
        }
        DataType::Decimal128(_, scale) => {
            write_decimal(out, column.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Utf8 => out.push_str(column.as_string::<i32>().value(row)),
        DataType::Binary => {
            let bytes = column.as_binary::<i32>().value(row);
            write_list(out, '[', bytes.iter(), ']', |out, byte| display(out, *byte as i8));
        }
        DataType::Date32 => write_date(out, i64::from(column.as_primitive::<Date32Type>().value(row)) * 86_400_000),
        DataType::Time32(_) => {
            let time = NaiveTime::MIN
                + TimeDelta::milliseconds(column.as_primitive::<Time32MillisecondType>().value(row).into());
            write_time(out, time, false);
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            let value = column.as_primitive::<TimestampMillisecondType>().value(row);
            write_timestamp(out, DateTime::from_timestamp_millis(value), zone.is_some(), value);
        }
        DataType::Timestamp(_, zone) => {
            let value = column.as_primitive::<TimestampMicrosecondType>().value(row);
            write_timestamp(out, DateTime::from_timestamp_micros(value), zone.is_some(), value);
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            write_list(out, '[', 0..items.len(), ']', |out, item| write_value(out, &items, item));
        }
        DataType::Map(..) => {
            let pairs = column.as_map().value(row);
            write_list(out, '{', 0..pairs.len(), '}', |out, pair| {
                write_value(out, pairs.column(0), pair);
                out.push('=');
                write_value(out, pairs.column(1), pair);
            });
        }
        DataType::Struct(_) => {
            write_fields(out, RowKind::Insert, column.as_struct().columns().iter().map(AsRef::as_ref), row);
        }
        other => {
            // This is not a SQL type, so the planner has refused the table.
            let _ = write!(out, "<{other}>");
        }
    }
}

fn display(out: &mut String, value: impl std::fmt::Display) {
    let _ = write!(out, "{value}");
}

fn write_list<T>(
    out: &mut String,
    open: char,
    items: impl Iterator<Item = T>,
    close: char,
    mut write: impl FnMut(&mut String, T),
) {
    out.push(open);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(out, item);
    }
    out.push(close);
}

/// Appends a float in Java's form: plain from 10^-3 to below 10^7, with at least one digit after the point, otherwise
/// `1.0E10`. `scientific` is the shortest exact form that Rust gives, such as `1.25e-7`.
fn write_float(out: &mut String, value: f64, scientific: &str) {
    if value.is_nan() {
        return out.push_str("NaN");
    }
    if value.is_infinite() {
        return out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    out.push_str(sign);
    match exponent {
        0..=6 => {
            let whole = exponent.unsigned_abs() as usize + 1;
            let padded = format!("{digits:0<whole$}");
            let fraction = if padded.len() > whole { &padded[whole..] } else { "0" };
            let _ = write!(out, "{}.{fraction}", &padded[..whole]);
        }
        -3..=-1 => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            let _ = write!(out, "0.{zeros}{digits}");
        }
        _ => {
            let fraction = if digits.len() > 1 { &digits[1..] } else { "0" };
            let _ = write!(out, "{}.{fraction}E{exponent}", &digits[..1]);
        }
    }
}

/// Appends a decimal as Java's `BigDecimal.toString` does: plain unless the first digit is seven or more places after
/// the point.
fn write_decimal(out: &mut String, unscaled: i128, scale: i8) {
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let Ok(scale) = usize::try_from(scale) else { return display(out, digits) };
    if scale == 0 {
        return out.push_str(&digits);
    }
    let exponent = digits.len() as i64 - 1 - scale as i64;
    if exponent < -6 {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            let _ = write!(out, ".{}", &digits[1..]);
        }
        let _ = write!(out, "E{exponent}");
        return;
    }
    let width = scale + 1;
    let padded = format!("{digits:0>width$}");
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let _ = write!(out, "{whole}.{fraction}");
}

fn write_date(out: &mut String, ms: i64) {
    match DateTime::from_timestamp_millis(ms) {
        Some(time) => write_day(out, time.date_naive()),
        None => display(out, ms / 86_400_000),
    }
}

fn write_day(out: &mut String, day: NaiveDate) {
    let _ = write!(out, "{:04}-{:02}-{:02}", day.year(), day.month(), day.day());
}

/// Appends a time as Java does: with 0, 3, 6 or 9 digits of a second. Seconds that are zero are left out unless
/// `always_seconds` is set, as for an instant.
fn write_time(out: &mut String, time: NaiveTime, always_seconds: bool) {
    let _ = write!(out, "{:02}:{:02}", time.hour(), time.minute());
    let nanos = time.nanosecond();
    if time.second() == 0 && nanos == 0 && !always_seconds {
        return;
    }
    let _ = write!(out, ":{:02}", time.second());
    if nanos == 0 {
        return;
    }
    let _ = match nanos % 1_000_000 {
        0 => write!(out, ".{:03}", nanos / 1_000_000),
        _ => write!(out, ".{:06}", nanos / 1_000),
    };
}

fn write_timestamp(out: &mut String, time: Option<DateTime<chrono::Utc>>, is_instant: bool, raw: i64) {
    let Some(time) = time else { return display(out, raw) };
    let time: NaiveDateTime = time.naive_utc();
    write_day(out, time.date());
    out.push('T');
    write_time(out, time.time(), is_instant);
    if is_instant {
        out.push('Z');
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
        RecordBatch, StringArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
        TimestampMillisecondArray,
    };
    use arrow::datatypes::{Field, Int32Type};

    use super::*;

    fn printed(column: ArrayRef) -> Vec<String> {
        (0..column.len())
            .map(|row| {
                let mut text = String::new();
                write_value(&mut text, &column, row);
                text
            })
            .collect()
    }

    #[test]
    fn a_row_has_its_kind_and_brackets() {
        let time = TimestampMillisecondArray::from(vec![1_772_409_540_000]);
        let rows = RecordBatch::try_from_iter([
            ("a", Arc::new(StringArray::from(vec!["a"])) as ArrayRef),
            ("b", Arc::new(Int64Array::from(vec![1]))),
            ("c", Arc::new(time)),
            ("d", Arc::new(BooleanArray::from(vec![None]))),
        ])
        .expect("columns of one length");
        let mut text = String::new();
        write_row(&mut text, &Batch::new(rows), 0);
        assert_eq!(text, "+I[a, 1, 2026-03-01T23:59, null]");
    }

    #[test]
    fn times_print_as_in_java() {
        let times = vec![0, 1_000, 1_230, -1];
        assert_eq!(
            printed(Arc::new(TimestampMillisecondArray::from(times.clone()))),
            ["1970-01-01T00:00", "1970-01-01T00:00:01", "1970-01-01T00:00:01.230", "1969-12-31T23:59:59.999"]
        );
        assert_eq!(
            printed(Arc::new(TimestampMillisecondArray::from(times).with_timezone("UTC")))[0],
            "1970-01-01T00:00:00Z"
        );
        assert_eq!(printed(Arc::new(TimestampMicrosecondArray::from(vec![1]))), ["1970-01-01T00:00:00.000001"]);
        assert_eq!(printed(Arc::new(Time32MillisecondArray::from(vec![3_600_000, 5]))), ["01:00", "00:00:00.005"]);
        assert_eq!(printed(Arc::new(Date32Array::from(vec![0, -1]))), ["1970-01-01", "1969-12-31"]);
    }

    #[test]
    fn numbers_print_as_in_java() {
        let floats = vec![1.0, 0.1, 1e7, 1234567.5, 1e-3, 1.5e-4, -2.5, f64::NAN, f64::INFINITY, 0.0, 100.0];
        assert_eq!(
            printed(Arc::new(Float64Array::from(floats))),
            ["1.0", "0.1", "1.0E7", "1234567.5", "0.001", "1.5E-4", "-2.5", "NaN", "Infinity", "0.0", "100.0"]
        );
        let decimals = Decimal128Array::from(vec![-150, 5, 0]).with_precision_and_scale(10, 2).expect("fits");
        assert_eq!(printed(Arc::new(decimals)), ["-1.50", "0.05", "0.00"]);
        let small = Decimal128Array::from(vec![12, 1_000_000]).with_precision_and_scale(20, 9).expect("fits");
        assert_eq!(printed(Arc::new(small)), ["1.2E-8", "0.001000000"]);
    }

    #[test]
    fn nested_values_print_as_in_java() {
        assert_eq!(printed(Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..]]))), ["[1, -1]"]);
        let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        assert_eq!(printed(Arc::new(list)), ["[1, null]"]);
        let inner = Arc::new(Field::new("x", DataType::Int64, true));
        let row = StructArray::from(vec![(inner, Arc::new(Int64Array::from(vec![7])) as ArrayRef)]);
        assert_eq!(printed(Arc::new(row)), ["+I[7]"]);
    }
}
