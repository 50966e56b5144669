//! Flink's types: their classes, and which conversions exist with and without a CAST.

use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};

/// TIMESTAMP(3).
pub(crate) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// A day-time interval, in milliseconds.
pub(crate) const DAY_TIME: DataType = DataType::Duration(TimeUnit::Millisecond);

/// A year-month interval, in months.
pub(crate) const YEAR_MONTH: DataType = DataType::Interval(IntervalUnit::YearMonth);

/// Whether it is a whole number.
pub(crate) fn is_integer(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64)
}

/// Whether it is a number of any kind.
pub(crate) fn is_numeric(data_type: &DataType) -> bool {
    is_integer(data_type) || matches!(data_type, DataType::Decimal128(..)) || is_approximate(data_type)
}

/// Whether it is FLOAT or DOUBLE.
pub(crate) fn is_approximate(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

/// Whether it is a DATE or a timestamp.
pub(crate) fn is_point_in_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

/// Whether Flink has no CAST between the types, although Arrow could convert the underlying number.
pub(crate) fn has_no_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{Binary, Boolean, Date32, Time32, Timestamp};
    let is_moment = |t: &DataType| matches!(t, Date32 | Time32(_) | Timestamp(..));
    let is_number = |t: &DataType| is_numeric(t) || *t == Boolean;
    match (from, to) {
        (DataType::Null, _) => false,
        (from, to) if to.is_nested() && !from.is_nested() => true,
        (Date32, Time32(_)) | (Time32(_), Date32) => true,
        (from, Binary) => is_number(from) || is_moment(from),
        (from, to) => (is_number(from) && is_moment(to)) || (is_moment(from) && is_number(to)),
    }
}

/// Whether Flink converts `from` to `to` without a CAST when a row is inserted.
pub(crate) fn converts_implicitly(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, List, Map, Null, Struct, Time32};
    if from == to || *from == Null {
        return true;
    }
    match (from, to) {
        (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
        (from, Float32) => is_integer(from) || matches!(from, Decimal128(..)),
        (from, Float64 | Decimal128(..)) => is_numeric(from),
        (DataType::Timestamp(..), DataType::Timestamp(..)) | (DataType::Timestamp(_, None), Date32 | Time32(_)) => true,
        (Date32, DataType::Timestamp(_, None)) => false,
        (List(from), List(to)) => converts_implicitly(from.data_type(), to.data_type()),
        (Map(from, _), Map(to, _)) => converts_implicitly(from.data_type(), to.data_type()),
        (Struct(from), Struct(to)) => {
            from.len() == to.len()
                && from.iter().zip(to).all(|(from, to)| converts_implicitly(from.data_type(), to.data_type()))
        }
        _ => false,
    }
}
