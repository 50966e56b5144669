//! Values as plain Rust types, with conversions from and to arrays.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    DurationMillisecondArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    IntervalYearMonthArray, ListArray, MapArray, NullArray, StringArray, StructArray, Time32MillisecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, new_empty_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, Fields, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
};

/// A value. The expression that it comes from knows its SQL type.
#[derive(Clone, Debug)]
pub enum Value {
    /// NULL of any type.
    Null,
    /// BOOLEAN
    Boolean(bool),
    /// TINYINT, SMALLINT, INT, BIGINT
    Whole(i64),
    /// FLOAT
    Float(f32),
    /// DOUBLE
    Double(f64),
    /// The unscaled value of a DECIMAL. The type has the scale.
    Decimal(i128),
    /// STRING
    Text(String),
    /// BYTES
    Bytes(Vec<u8>),
    /// DATE, TIME, TIMESTAMP and TIMESTAMP_LTZ, all in microseconds: since 1970, or since midnight.
    Moment(i128),
    /// INTERVAL YEAR TO MONTH, in months.
    Months(i32),
    /// INTERVAL DAY TO SECOND, in microseconds.
    Span(i128),
    /// ARRAY
    Array(Vec<Value>),
    /// MAP, in insertion order
    Map(Vec<(Value, Value)>),
    /// ROW
    Row(Vec<Value>),
}

/// Microseconds in a day.
pub const DAY: i128 = 86_400_000_000;

impl Value {
    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether both have the same bits: NaN is NaN, and `0.0` is not `-0.0`.
    pub fn is_same(&self, other: &Self) -> bool {
        let all = |left: &[Self], right: &[Self]| {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| left.is_same(right))
        };
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(left), Self::Boolean(right)) => left == right,
            (Self::Whole(left), Self::Whole(right)) => left == right,
            (Self::Float(left), Self::Float(right)) => left.to_bits() == right.to_bits(),
            (Self::Double(left), Self::Double(right)) => left.to_bits() == right.to_bits(),
            (Self::Decimal(left), Self::Decimal(right)) => left == right,
            (Self::Text(left), Self::Text(right)) => left == right,
            (Self::Bytes(left), Self::Bytes(right)) => left == right,
            (Self::Moment(left), Self::Moment(right)) | (Self::Span(left), Self::Span(right)) => left == right,
            (Self::Months(left), Self::Months(right)) => left == right,
            (Self::Array(left), Self::Array(right)) | (Self::Row(left), Self::Row(right)) => all(left, right),
            (Self::Map(left), Self::Map(right)) => {
                let is_same = |((a, b), (x, y)): (&(Self, Self), &(Self, Self))| a.is_same(x) && b.is_same(y);
                left.len() == right.len() && left.iter().zip(right).all(is_same)
            }
            _ => false,
        }
    }

    /// The value in a row of an array.
    pub fn of(array: &dyn Array, row: usize) -> Result<Self, String> {
        if *array.data_type() == DataType::Null || array.is_null(row) {
            return Ok(Self::Null);
        }
        macro_rules! primitive {
            ($T:ident) => {
                array.as_primitive::<$T>().value(row)
            };
        }
        let elements =
            |values: &dyn Array| (0..values.len()).map(|row| Self::of(values, row)).collect::<Result<Vec<_>, _>>();
        Ok(match array.data_type() {
            DataType::Boolean => Self::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => Self::Whole(primitive!(Int8Type).into()),
            DataType::Int16 => Self::Whole(primitive!(Int16Type).into()),
            DataType::Int32 => Self::Whole(primitive!(Int32Type).into()),
            DataType::Int64 => Self::Whole(primitive!(Int64Type)),
            DataType::Float32 => Self::Float(primitive!(Float32Type)),
            DataType::Float64 => Self::Double(primitive!(Float64Type)),
            DataType::Decimal128(..) => Self::Decimal(primitive!(Decimal128Type)),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => Self::Bytes(array.as_binary::<i32>().value(row).to_owned()),
            DataType::Date32 => Self::Moment(i128::from(primitive!(Date32Type)) * DAY),
            DataType::Time32(TimeUnit::Millisecond) => {
                Self::Moment(i128::from(primitive!(Time32MillisecondType)) * 1_000)
            }
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Self::Moment(i128::from(primitive!(TimestampMillisecondType)) * 1_000)
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => Self::Moment(primitive!(TimestampMicrosecondType).into()),
            DataType::Interval(IntervalUnit::YearMonth) => Self::Months(primitive!(IntervalYearMonthType)),
            DataType::Duration(TimeUnit::Millisecond) => {
                Self::Span(i128::from(primitive!(DurationMillisecondType)) * 1_000)
            }
            DataType::Duration(TimeUnit::Microsecond) => Self::Span(primitive!(DurationMicrosecondType).into()),
            DataType::List(_) => Self::Array(elements(&array.as_list::<i32>().value(row))?),
            DataType::Map(..) => {
                let entries = array.as_map().value(row);
                let (keys, values) = (elements(entries.column(0))?, elements(entries.column(1))?);
                Self::Map(keys.into_iter().zip(values).collect())
            }
            DataType::Struct(_) => {
                let columns = array.as_struct().columns().iter();
                Self::Row(columns.map(|column| Self::of(column, row)).collect::<Result<_, _>>()?)
            }
            other => return Err(format!("there is no value of type {other}")),
        })
    }
}

/// An array of values of a type.
pub fn array_of(values: &[&Value], data_type: &DataType) -> Result<ArrayRef, String> {
    macro_rules! collected {
        ($Array:ident, $variant:ident) => {
            Arc::new(
                values
                    .iter()
                    .map(|value| match value {
                        Value::$variant(value) => Ok(Some(value.clone())),
                        other => missing(other, data_type),
                    })
                    .collect::<Result<$Array, String>>()?,
            )
        };
    }
    macro_rules! narrowed {
        ($Array:ident, $variant:ident, $by:expr) => {
            values
                .iter()
                .map(|value| match value {
                    Value::$variant(value) => {
                        let narrowed = i128::from(*value).div_euclid($by).try_into();
                        narrowed.map(Some).map_err(|_| format!("{value} does not fit {data_type}"))
                    }
                    other => missing(other, data_type),
                })
                .collect::<Result<$Array, String>>()?
        };
    }
    Ok(match data_type {
        DataType::Null => Arc::new(NullArray::new(values.len())),
        DataType::Boolean => collected!(BooleanArray, Boolean),
        DataType::Int8 => Arc::new(narrowed!(Int8Array, Whole, 1)),
        DataType::Int16 => Arc::new(narrowed!(Int16Array, Whole, 1)),
        DataType::Int32 => Arc::new(narrowed!(Int32Array, Whole, 1)),
        DataType::Int64 => Arc::new(narrowed!(Int64Array, Whole, 1)),
        DataType::Float32 => collected!(Float32Array, Float),
        DataType::Float64 => collected!(Float64Array, Double),
        DataType::Decimal128(..) => {
            let array = narrowed!(Decimal128Array, Decimal, 1);
            Arc::new(array.with_data_type(data_type.clone()))
        }
        DataType::Utf8 => collected!(StringArray, Text),
        DataType::Binary => collected!(BinaryArray, Bytes),
        DataType::Date32 => Arc::new(narrowed!(Date32Array, Moment, DAY)),
        DataType::Time32(TimeUnit::Millisecond) => Arc::new(narrowed!(Time32MillisecondArray, Moment, 1_000)),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            Arc::new(narrowed!(TimestampMillisecondArray, Moment, 1_000).with_timezone_opt(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            Arc::new(narrowed!(TimestampMicrosecondArray, Moment, 1).with_timezone_opt(zone.clone()))
        }
        DataType::Interval(IntervalUnit::YearMonth) => Arc::new(narrowed!(IntervalYearMonthArray, Months, 1)),
        DataType::Duration(TimeUnit::Millisecond) => Arc::new(narrowed!(DurationMillisecondArray, Span, 1_000)),
        DataType::Duration(TimeUnit::Microsecond) => Arc::new(narrowed!(DurationMicrosecondArray, Span, 1)),
        _ => return nested(values, data_type),
    })
}

fn missing<T>(value: &Value, data_type: &DataType) -> Result<Option<T>, String> {
    if value.is_null() { Ok(None) } else { Err(format!("{value:?} is not of type {data_type}")) }
}

fn nested(values: &[&Value], data_type: &DataType) -> Result<ArrayRef, String> {
    let nulls = || Some(NullBuffer::from_iter(values.iter().map(|value| !value.is_null())));
    let fault = |error: arrow::error::ArrowError| error.to_string();
    Ok(match data_type {
        DataType::List(field) => {
            let elements = values.iter().map(|value| match value {
                Value::Array(elements) => elements.as_slice(),
                _ => &[],
            });
            let offsets = OffsetBuffer::from_lengths(elements.clone().map(<[Value]>::len));
            let elements = array_of(&elements.flatten().collect::<Vec<_>>(), field.data_type())?;
            Arc::new(ListArray::try_new(Arc::clone(field), offsets, elements, nulls()).map_err(fault)?)
        }
        DataType::Map(field, sorted) => {
            let DataType::Struct(fields) = field.data_type() else { return Err(format!("{data_type} has no entries")) };
            let entries = values.iter().map(|value| match value {
                Value::Map(entries) => entries.as_slice(),
                _ => &[],
            });
            let offsets = OffsetBuffer::from_lengths(entries.clone().map(<[(Value, Value)]>::len));
            let keys: Vec<&Value> = entries.clone().flatten().map(|(key, _)| key).collect();
            let held: Vec<&Value> = entries.flatten().map(|(_, value)| value).collect();
            let columns = vec![array_of(&keys, fields[0].data_type())?, array_of(&held, fields[1].data_type())?];
            let entries = StructArray::try_new(fields.clone(), columns, None).map_err(fault)?;
            Arc::new(MapArray::try_new(Arc::clone(field), offsets, entries, nulls(), *sorted).map_err(fault)?)
        }
        DataType::Struct(fields) if fields.is_empty() => new_empty_array(data_type),
        DataType::Struct(fields) => Arc::new(rows(values, fields, nulls())?),
        other => return Err(format!("there is no value of type {other}")),
    })
}

fn rows(values: &[&Value], fields: &Fields, nulls: Option<NullBuffer>) -> Result<StructArray, String> {
    let field = |(index, field): (usize, &arrow::datatypes::FieldRef)| {
        let parts = values.iter().map(|value| match value {
            Value::Row(parts) => parts.get(index).unwrap_or(&Value::Null),
            _ => &Value::Null,
        });
        array_of(&parts.collect::<Vec<_>>(), field.data_type())
    };
    let columns = fields.iter().enumerate().map(field).collect::<Result<Vec<_>, _>>()?;
    StructArray::try_new(fields.clone(), columns, nulls).map_err(|error| error.to_string())
}
