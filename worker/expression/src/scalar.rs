//! One value with its type.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DurationMicrosecondArray,
    DurationMillisecondArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    IntervalYearMonthArray, NullArray, StringArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, make_comparator, new_null_array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, DurationMillisecondType, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType,
};

use crate::{Result, internal_err};

mod display;

/// A value of a supported SQL type. `None` is NULL.
///
/// Equal scalars have the same bits: NaN equals itself, `0.0` is not `-0.0`.
#[derive(Clone)]
pub enum Scalar {
    /// NULL without a type.
    Null,
    /// BOOLEAN
    Boolean(Option<bool>),
    /// TINYINT
    Int8(Option<i8>),
    /// SMALLINT
    Int16(Option<i16>),
    /// INT
    Int32(Option<i32>),
    /// BIGINT
    Int64(Option<i64>),
    /// FLOAT
    Float32(Option<f32>),
    /// DOUBLE
    Float64(Option<f64>),
    /// DECIMAL: the unscaled value, precision and scale.
    Decimal128(Option<i128>, u8, i8),
    /// STRING
    Utf8(Option<String>),
    /// BYTES
    Binary(Option<Vec<u8>>),
    /// DATE, as days since 1970.
    Date32(Option<i32>),
    /// TIME, as milliseconds of the day.
    Time32Millisecond(Option<i32>),
    /// TIMESTAMP(3) and, with a zone, TIMESTAMP_LTZ(3).
    TimestampMillisecond(Option<i64>, Option<Arc<str>>),
    /// TIMESTAMP(6) and, with a zone, TIMESTAMP_LTZ(6).
    TimestampMicrosecond(Option<i64>, Option<Arc<str>>),
    /// INTERVAL YEAR TO MONTH, in months.
    IntervalYearMonth(Option<i32>),
    /// INTERVAL DAY TO SECOND, in milliseconds.
    DurationMillisecond(Option<i64>),
    /// INTERVAL DAY TO SECOND, in microseconds.
    DurationMicrosecond(Option<i64>),
    /// ARRAY, MAP or ROW: an array of length 1.
    Nested(ArrayRef),
}

impl Scalar {
    /// NULL of a type.
    ///
    /// # Errors
    /// When no scalar has the type.
    pub fn null(data_type: &DataType) -> Result<Self> {
        Self::try_from_array(&new_null_array(data_type, 1), 0)
    }

    /// The value in a row of an array.
    ///
    /// # Errors
    /// When no scalar has the type.
    pub fn try_from_array(array: &ArrayRef, row: usize) -> Result<Self> {
        macro_rules! primitive {
            ($T:ident) => {
                array.is_valid(row).then(|| array.as_primitive::<$T>().value(row))
            };
        }
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.is_valid(row).then(|| array.as_boolean().value(row))),
            DataType::Int8 => Self::Int8(primitive!(Int8Type)),
            DataType::Int16 => Self::Int16(primitive!(Int16Type)),
            DataType::Int32 => Self::Int32(primitive!(Int32Type)),
            DataType::Int64 => Self::Int64(primitive!(Int64Type)),
            DataType::Float32 => Self::Float32(primitive!(Float32Type)),
            DataType::Float64 => Self::Float64(primitive!(Float64Type)),
            DataType::Decimal128(precision, scale) => Self::Decimal128(primitive!(Decimal128Type), *precision, *scale),
            DataType::Utf8 => Self::Utf8(array.is_valid(row).then(|| array.as_string::<i32>().value(row).to_owned())),
            DataType::Binary => {
                Self::Binary(array.is_valid(row).then(|| array.as_binary::<i32>().value(row).to_owned()))
            }
            DataType::Date32 => Self::Date32(primitive!(Date32Type)),
            DataType::Time32(TimeUnit::Millisecond) => Self::Time32Millisecond(primitive!(Time32MillisecondType)),
            DataType::Timestamp(TimeUnit::Millisecond, zone) => {
                Self::TimestampMillisecond(primitive!(TimestampMillisecondType), zone.clone())
            }
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                Self::TimestampMicrosecond(primitive!(TimestampMicrosecondType), zone.clone())
            }
            DataType::Interval(IntervalUnit::YearMonth) => Self::IntervalYearMonth(primitive!(IntervalYearMonthType)),
            DataType::Duration(TimeUnit::Millisecond) => Self::DurationMillisecond(primitive!(DurationMillisecondType)),
            DataType::Duration(TimeUnit::Microsecond) => Self::DurationMicrosecond(primitive!(DurationMicrosecondType)),
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_) => Self::Nested(array.slice(row, 1)),
            other => return internal_err!("there is no single value of type {other}"),
        })
    }

    /// The value as an array of length 1.
    pub fn to_array(&self) -> ArrayRef {
        match self {
            Self::Null => Arc::new(NullArray::new(1)),
            Self::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
            Self::Int8(value) => Arc::new(Int8Array::from(vec![*value])),
            Self::Int16(value) => Arc::new(Int16Array::from(vec![*value])),
            Self::Int32(value) => Arc::new(Int32Array::from(vec![*value])),
            Self::Int64(value) => Arc::new(Int64Array::from(vec![*value])),
            Self::Float32(value) => Arc::new(Float32Array::from(vec![*value])),
            Self::Float64(value) => Arc::new(Float64Array::from(vec![*value])),
            Self::Decimal128(value, ..) => {
                Arc::new(Decimal128Array::from(vec![*value]).with_data_type(self.data_type()))
            }
            Self::Utf8(value) => Arc::new(StringArray::from(vec![value.as_deref()])),
            Self::Binary(value) => Arc::new(BinaryArray::from(vec![value.as_deref()])),
            Self::Date32(value) => Arc::new(Date32Array::from(vec![*value])),
            Self::Time32Millisecond(value) => Arc::new(Time32MillisecondArray::from(vec![*value])),
            Self::TimestampMillisecond(value, zone) => {
                Arc::new(TimestampMillisecondArray::from(vec![*value]).with_timezone_opt(zone.clone()))
            }
            Self::TimestampMicrosecond(value, zone) => {
                Arc::new(TimestampMicrosecondArray::from(vec![*value]).with_timezone_opt(zone.clone()))
            }
            Self::IntervalYearMonth(value) => Arc::new(IntervalYearMonthArray::from(vec![*value])),
            Self::DurationMillisecond(value) => Arc::new(DurationMillisecondArray::from(vec![*value])),
            Self::DurationMicrosecond(value) => Arc::new(DurationMicrosecondArray::from(vec![*value])),
            Self::Nested(array) => Arc::clone(array),
        }
    }

    /// The value's type.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Null => DataType::Null,
            Self::Boolean(_) => DataType::Boolean,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::Decimal128(_, precision, scale) => DataType::Decimal128(*precision, *scale),
            Self::Utf8(_) => DataType::Utf8,
            Self::Binary(_) => DataType::Binary,
            Self::Date32(_) => DataType::Date32,
            Self::Time32Millisecond(_) => DataType::Time32(TimeUnit::Millisecond),
            Self::TimestampMillisecond(_, zone) => DataType::Timestamp(TimeUnit::Millisecond, zone.clone()),
            Self::TimestampMicrosecond(_, zone) => DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
            Self::IntervalYearMonth(_) => DataType::Interval(IntervalUnit::YearMonth),
            Self::DurationMillisecond(_) => DataType::Duration(TimeUnit::Millisecond),
            Self::DurationMicrosecond(_) => DataType::Duration(TimeUnit::Microsecond),
            Self::Nested(array) => array.data_type().clone(),
        }
    }

    /// Whether it is NULL.
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Boolean(value) => value.is_none(),
            Self::Int8(value) => value.is_none(),
            Self::Int16(value) => value.is_none(),
            Self::Int32(value) | Self::Date32(value) | Self::Time32Millisecond(value) => value.is_none(),
            Self::IntervalYearMonth(value) => value.is_none(),
            Self::Int64(value) | Self::DurationMillisecond(value) | Self::DurationMicrosecond(value) => value.is_none(),
            Self::TimestampMillisecond(value, _) | Self::TimestampMicrosecond(value, _) => value.is_none(),
            Self::Float32(value) => value.is_none(),
            Self::Float64(value) => value.is_none(),
            Self::Decimal128(value, ..) => value.is_none(),
            Self::Utf8(value) => value.is_none(),
            Self::Binary(value) => value.is_none(),
            Self::Nested(array) => array.is_null(0),
        }
    }

    /// The text of a STRING.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Utf8(text) => text.as_deref(),
            _ => None,
        }
    }

    /// The value of a whole number.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Int8(value) => value.map(i64::from),
            Self::Int16(value) => value.map(i64::from),
            Self::Int32(value) => value.map(i64::from),
            Self::Int64(value) => *value,
            _ => None,
        }
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Int8(a), Self::Int8(b)) => a == b,
            (Self::Int16(a), Self::Int16(b)) => a == b,
            (Self::Int32(a), Self::Int32(b)) => a == b,
            (Self::Int64(a), Self::Int64(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => a.map(f32::to_bits) == b.map(f32::to_bits),
            (Self::Float64(a), Self::Float64(b)) => a.map(f64::to_bits) == b.map(f64::to_bits),
            (Self::Decimal128(a, p, s), Self::Decimal128(b, q, t)) => a == b && p == q && s == t,
            (Self::Utf8(a), Self::Utf8(b)) => a == b,
            (Self::Binary(a), Self::Binary(b)) => a == b,
            (Self::Date32(a), Self::Date32(b)) => a == b,
            (Self::Time32Millisecond(a), Self::Time32Millisecond(b)) => a == b,
            (Self::TimestampMillisecond(a, x), Self::TimestampMillisecond(b, y)) => a == b && x == y,
            (Self::TimestampMicrosecond(a, x), Self::TimestampMicrosecond(b, y)) => a == b && x == y,
            (Self::IntervalYearMonth(a), Self::IntervalYearMonth(b)) => a == b,
            (Self::DurationMillisecond(a), Self::DurationMillisecond(b)) => a == b,
            (Self::DurationMicrosecond(a), Self::DurationMicrosecond(b)) => a == b,
            (Self::Nested(a), Self::Nested(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Scalar {}

impl Hash for Scalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.data_type().hash(state);
        match self {
            Self::Utf8(text) => text.hash(state),
            Self::Binary(bytes) => bytes.hash(state),
            Self::Float32(value) => value.map(f32::to_bits).hash(state),
            Self::Float64(value) => value.map(f64::to_bits).hash(state),
            Self::Decimal128(value, ..) => value.hash(state),
            // Equal values have the same text.
            other => other.to_string().hash(state),
        }
    }
}

impl PartialOrd for Scalar {
    /// The order of two values of one type. NULL has none.
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        if self.data_type() != other.data_type() || self.is_null() || other.is_null() {
            return None;
        }
        Some(make_comparator(&self.to_array(), &other.to_array(), SortOptions::default()).ok()?(0, 0))
    }
}

macro_rules! from {
    ($($native:ty => $variant:ident),*) => {
        $(
            impl From<$native> for Scalar {
                fn from(value: $native) -> Self {
                    Self::$variant(Some(value))
                }
            }

            impl From<Option<$native>> for Scalar {
                fn from(value: Option<$native>) -> Self {
                    Self::$variant(value)
                }
            }
        )*
    };
}

from!(bool => Boolean, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, f32 => Float32, f64 => Float64, String => Utf8);

impl From<&str> for Scalar {
    fn from(value: &str) -> Self {
        Self::Utf8(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Scalar {
    fn from(value: Option<&str>) -> Self {
        Self::Utf8(value.map(ToOwned::to_owned))
    }
}
