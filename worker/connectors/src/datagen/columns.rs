//! Columns of generated values: each value depends only on seed, column and row number.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::error::ArrowError;

use super::config::{Rule, Values};
use crate::generated::random::{Stream, of_name};

const DAY_MS: i64 = 86_400_000;
/// Separates the random numbers for NULL from those of the values.
const NULL_SALT: u64 = 0x6E75_6C6C;

/// The rows of a batch: their numbers, and the time of the clock at each, in milliseconds since 1970.
pub(super) struct Rows {
    pub(super) seed: u64,
    pub(super) numbers: Vec<u64>,
    pub(super) clock_ms: Vec<i64>,
}

impl Rows {
    fn streams(&self, path: &str) -> impl Iterator<Item = Stream> + '_ {
        let seed = self.seed ^ of_name(path);
        self.numbers.iter().map(move |number| Stream::new(seed, *number))
    }
}

/// The column of `rule` with this type.
pub(super) fn column(rule: &Rule, data_type: &DataType, rows: &Rows) -> Result<ArrayRef, ArrowError> {
    let nulls = (rule.null_rate > 0.0).then(|| {
        let seed = rows.seed ^ of_name(&rule.path) ^ NULL_SALT;
        rows.numbers.iter().map(|number| Stream::new(seed, *number).unit() >= rule.null_rate).collect::<NullBuffer>()
    });
    match &rule.values {
        Values::Sequence { start, .. } => {
            let values = rows.numbers.iter().map(|number| i128::from(*start) + i128::from(*number));
            numbers(data_type, values, nulls)
        }
        Values::Boolean => {
            let values = rows.streams(&rule.path).map(|mut stream| stream.below(2) == 1).collect();
            Ok(Arc::new(BooleanArray::new(values, nulls)))
        }
        Values::Integer { min, max } => {
            let span = max.abs_diff(*min);
            let values =
                rows.streams(&rule.path).map(|mut stream| min.wrapping_add_unsigned(within(&mut stream, span)));
            numbers(data_type, values, nulls)
        }
        Values::Float { min, max } => {
            let values = rows.streams(&rule.path).map(|mut stream| min + stream.unit() * (max - min));
            Ok(match data_type {
                DataType::Float32 => Arc::new(Float32Array::new(values.map(|value| value as f32).collect(), nulls)),
                _ => Arc::new(Float64Array::new(values.collect(), nulls)),
            })
        }
        Values::Text { length, variable } => text(rule, data_type, rows, *length, *variable, nulls),
        Values::Time { past_ms_max } => time(rule, data_type, rows, *past_ms_max, nulls),
        Values::List { length, element } => {
            let DataType::List(field) = data_type else { return Err(mismatch(rule, data_type)) };
            let values = column(element, field.data_type(), &inner(rows, *length))?;
            let offsets = OffsetBuffer::from_repeated_length(*length, rows.numbers.len());
            Ok(Arc::new(ListArray::try_new(Arc::clone(field), offsets, values, nulls)?))
        }
        Values::Map { length, key, value } => map(rule, data_type, rows, *length, key, value, nulls),
        Values::Row(rules) => {
            let DataType::Struct(fields) = data_type else { return Err(mismatch(rule, data_type)) };
            let columns = rules.iter().zip(fields).map(|(rule, field)| column(rule, field.data_type(), rows));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, rows.numbers.len())?))
        }
    }
}

fn mismatch(rule: &Rule, data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("the rule of column '{}' does not make {data_type}", rule.path))
}

/// Uniform from 0 to `span`, both included.
fn within(stream: &mut Stream, span: u128) -> u128 {
    match u64::try_from(span) {
        Ok(u64::MAX) => u128::from(stream.draw()),
        Ok(span) => u128::from(stream.below(span + 1)),
        Err(_) => {
            let wide = (u128::from(stream.draw()) << 64) | u128::from(stream.draw());
            if span == u128::MAX { wide } else { wide % (span + 1) }
        }
    }
}

fn numbers(
    data_type: &DataType,
    values: impl Iterator<Item = i128>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    Ok(match data_type {
        DataType::Int8 => Arc::new(Int8Array::new(values.map(|value| value as i8).collect(), nulls)),
        DataType::Int16 => Arc::new(Int16Array::new(values.map(|value| value as i16).collect(), nulls)),
        DataType::Int32 => Arc::new(Int32Array::new(values.map(|value| value as i32).collect(), nulls)),
        DataType::Int64 => Arc::new(Int64Array::new(values.map(|value| value as i64).collect(), nulls)),
        DataType::Float32 => Arc::new(Float32Array::new(values.map(|value| value as f32).collect(), nulls)),
        DataType::Float64 => Arc::new(Float64Array::new(values.map(|value| value as f64).collect(), nulls)),
        DataType::Decimal128(precision, scale) => {
            let array = Decimal128Array::new(values.collect(), nulls);
            Arc::new(array.with_precision_and_scale(*precision, *scale)?)
        }
        DataType::Utf8 => {
            let texts = StringArray::from_iter_values(values.map(|value| value.to_string()));
            let (offsets, bytes, _) = texts.into_parts();
            Arc::new(StringArray::try_new(offsets, bytes, nulls)?)
        }
        other => return Err(ArrowError::SchemaError(format!("numbers do not make {other}"))),
    })
}

fn text(
    rule: &Rule,
    data_type: &DataType,
    rows: &Rows,
    length: usize,
    variable: bool,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let is_text = *data_type == DataType::Utf8;
    let mut bytes = Vec::with_capacity(rows.numbers.len() * length);
    let mut lengths = Vec::with_capacity(rows.numbers.len());
    for mut stream in rows.streams(&rule.path) {
        let length = if variable { 1 + stream.below(length as u64) as usize } else { length };
        let end = bytes.len() + length;
        while bytes.len() < end {
            let mut bits = stream.draw();
            for _ in 0..(end - bytes.len()).min(if is_text { 16 } else { 8 }) {
                bytes.push(if is_text { DIGITS[(bits & 15) as usize] } else { bits as u8 });
                bits >>= if is_text { 4 } else { 8 };
            }
        }
        lengths.push(length);
    }
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(if is_text {
        Arc::new(StringArray::try_new(offsets, bytes.into(), nulls)?)
    } else {
        Arc::new(BinaryArray::try_new(offsets, bytes.into(), nulls)?)
    })
}

fn time(
    rule: &Rule,
    data_type: &DataType,
    rows: &Rows,
    past_ms_max: i64,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let times: Vec<i64> = if past_ms_max == 0 {
        rows.clock_ms.clone()
    } else {
        let past = |mut stream: Stream| stream.below(past_ms_max.unsigned_abs().saturating_add(1)) as i64;
        rows.streams(&rule.path).map(past).zip(&rows.clock_ms).map(|(past, now)| now.saturating_sub(past)).collect()
    };
    Ok(match data_type {
        DataType::Date32 => {
            Arc::new(Date32Array::new(times.iter().map(|ms| ms.div_euclid(DAY_MS) as i32).collect(), nulls))
        }
        DataType::Time32(TimeUnit::Millisecond) => {
            Arc::new(Time32MillisecondArray::new(times.iter().map(|ms| ms.rem_euclid(DAY_MS) as i32).collect(), nulls))
        }
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(TimestampMillisecondArray::new(times.into(), nulls).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros: ScalarBuffer<i64> = times.iter().map(|ms| ms.saturating_mul(1000)).collect();
            Arc::new(TimestampMicrosecondArray::new(micros, nulls).with_timezone_opt(zone.clone()))
        }
        other => return Err(mismatch(rule, other)),
    })
}

/// The rows inside collections of `length`: each has its own number.
fn inner(rows: &Rows, length: usize) -> Rows {
    let repeated = |number: &u64| {
        let first = number.wrapping_mul(length as u64);
        (0..length as u64).map(move |place| first.wrapping_add(place))
    };
    Rows {
        seed: rows.seed,
        numbers: rows.numbers.iter().flat_map(repeated).collect(),
        clock_ms: rows.clock_ms.iter().flat_map(|ms| std::iter::repeat_n(*ms, length)).collect(),
    }
}

fn map(
    rule: &Rule,
    data_type: &DataType,
    rows: &Rows,
    length: usize,
    key: &Rule,
    value: &Rule,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::Map(entries, _) = data_type else { return Err(mismatch(rule, data_type)) };
    let DataType::Struct(fields) = entries.data_type() else { return Err(mismatch(rule, data_type)) };
    let inner = inner(rows, length);
    let columns = vec![column(key, fields[0].data_type(), &inner)?, column(value, fields[1].data_type(), &inner)?];
    let pairs = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_repeated_length(length, rows.numbers.len());
    Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, pairs, nulls, false)?))
}
