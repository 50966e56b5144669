//! Columns of one type as columns of another: the conversions that need no knowledge of SQL. Numbers and texts as `CAST` reads
//! and prints them are functions of the planner.
//!
//! The types are a closed set, those of SQL and those that files have for them. So this is a fraction of the code of Arrow's
//! kernel, which knows every type of Arrow.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, Decimal128Array, Float64Array, Int64Array,
    ListArray, MapArray, PrimitiveArray, StringArray, StringBuilder, StructArray, new_empty_array, new_null_array,
};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DecimalType as _, DurationMicrosecondType, DurationMillisecondType,
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, IntervalYearMonthType,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type,
};
use arrow::error::ArrowError;

use crate::sql_type;

/// Whether [`cast`] has a conversion between two types.
pub fn can_cast(from: &DataType, to: &DataType) -> bool {
    // Of no values, none is wrong.
    cast(&new_empty_array(from), to).is_ok()
}

/// The values as another type. Values of that type already are not copied.
///
/// - Whole numbers, FLOAT, DOUBLE and BOOLEAN become each other. Fractions are cut off; a number other than 0 is true.
/// - Whole numbers become DECIMAL, and a DECIMAL becomes one of another precision and scale, rounded half up, or a DOUBLE.
/// - Whole numbers and DECIMAL become STRING; STRING and BYTES become each other.
/// - A TIMESTAMP of one unit becomes one of another; finer digits are cut off towards the past. The time zone is a part of the
///   type and moves nothing. DATE, TIME, TIMESTAMP and intervals of days become the whole number that they are stored
///   as; DATE and intervals are made of one.
/// - ARRAY, MAP and ROW are converted element by element, the fields of a ROW by position.
/// - NULL becomes every type, and a dictionary becomes its values.
///
/// # Errors
/// When there is no such conversion, and when a value does not fit the type.
pub fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    convert(array, to, false)
}

/// The same, but with NULL for each value that does not fit the type.
///
/// # Errors
/// When there is no such conversion.
pub fn cast_or_null(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    convert(array, to, true)
}

/// The whole numbers that numbers without a fraction, DATE, TIME, TIMESTAMP and intervals of days are stored as; none for
/// other types.
pub fn whole_numbers(array: &ArrayRef) -> Option<Int64Array> {
    macro_rules! widened {
        ($T:ty) => {
            array.as_primitive::<$T>().unary(i64::from)
        };
    }
    macro_rules! ticks {
        ($T:ty) => {
            array.as_primitive::<$T>().reinterpret_cast::<Int64Type>()
        };
    }
    Some(match array.data_type() {
        DataType::Int8 => widened!(Int8Type),
        DataType::Int16 => widened!(Int16Type),
        DataType::Int32 => widened!(Int32Type),
        DataType::Int64 => array.as_primitive::<Int64Type>().clone(),
        DataType::UInt8 => widened!(UInt8Type),
        DataType::UInt16 => widened!(UInt16Type),
        DataType::UInt32 => widened!(UInt32Type),
        DataType::Date32 => widened!(Date32Type),
        DataType::Time32(TimeUnit::Second) => widened!(Time32SecondType),
        DataType::Time32(TimeUnit::Millisecond) => widened!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => ticks!(Time64MicrosecondType),
        DataType::Time64(TimeUnit::Nanosecond) => ticks!(Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => ticks!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => ticks!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => ticks!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => ticks!(TimestampNanosecondType),
        DataType::Duration(TimeUnit::Millisecond) => ticks!(DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => ticks!(DurationMicrosecondType),
        _ => return None,
    })
}

fn convert(array: &ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef, ArrowError> {
    let from = array.data_type();
    if from == to {
        return Ok(Arc::clone(array));
    }
    let none = || ArrowError::CastError(format!("{} cannot be converted to {}", sql_type(from), sql_type(to)));
    match (from, to) {
        (DataType::Null, _) => Ok(new_null_array(to, array.len())),
        (DataType::Dictionary(..), _) => {
            let dictionary = array.as_any_dictionary();
            convert(&take(dictionary.values(), dictionary.keys(), None)?, to, or_null)
        }
        (DataType::List(_), DataType::List(element)) => {
            let (_, offsets, values, nulls) = array.as_list::<i32>().clone().into_parts();
            let values = convert(&values, element.data_type(), or_null)?;
            Ok(Arc::new(ListArray::try_new(Arc::clone(element), offsets, values, nulls)?))
        }
        (DataType::Map(..), DataType::Map(entries, _)) => {
            let (_, offsets, values, nulls, ordered) = array.as_map().clone().into_parts();
            let values = convert(&(Arc::new(values) as ArrayRef), entries.data_type(), or_null)?;
            let values = values.as_struct().clone();
            Ok(Arc::new(MapArray::try_new(Arc::clone(entries), offsets, values, nulls, ordered)?))
        }
        (DataType::Struct(from), DataType::Struct(fields)) if from.len() == fields.len() => {
            let columns = array.as_struct().columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| convert(column, field.data_type(), or_null));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let nulls = array.nulls().cloned();
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, array.len())?))
        }
        (DataType::Timestamp(of, _), DataType::Timestamp(unit, _))
        | (DataType::Duration(of), DataType::Duration(unit)) => {
            let ticks = whole_numbers(array).ok_or_else(none)?;
            of_ticks(&rescaled(&ticks, per_second(*of), per_second(*unit), to, or_null)?, to)
        }
        (DataType::Int64, DataType::Duration(_)) => of_ticks(array.as_primitive(), to),
        (DataType::Int32, DataType::Date32) => Ok(Arc::new(stored::<Date32Type>(array))),
        (DataType::Int32, DataType::Interval(IntervalUnit::YearMonth)) => {
            Ok(Arc::new(stored::<IntervalYearMonthType>(array)))
        }
        // For most of what is converted, in one go.
        (DataType::Int32, DataType::Float64) => {
            Ok(Arc::new(array.as_primitive::<Int32Type>().unary::<_, Float64Type>(f64::from)))
        }
        (DataType::Float32, _) => {
            let wide: Float64Array = array.as_primitive::<Float32Type>().unary(f64::from);
            of_floating(&wide, to, or_null).ok_or_else(none)?
        }
        (DataType::Float64, _) => of_floating(array.as_primitive(), to, or_null).ok_or_else(none)?,
        (DataType::Boolean, _) if to.is_integer() || to.is_floating() => {
            let numbers: Int64Array = array.as_boolean().iter().map(|value| value.map(i64::from)).collect();
            of_whole(&numbers, to, or_null).ok_or_else(none)?
        }
        (DataType::Decimal128(_, scale), _) => {
            of_decimal(array.as_primitive(), *scale, to, or_null).ok_or_else(none)?
        }
        (_, DataType::Utf8 | DataType::Binary) if texts(from) => text(array, to, or_null),
        (from, to) => {
            // A time is a number as it is stored, and nothing else.
            let fits = from.is_integer() || matches!(to, DataType::Int32 | DataType::Int64);
            let numbers = whole_numbers(array).filter(|_| fits).ok_or_else(none)?;
            of_whole(&numbers, to, or_null).ok_or_else(none)?
        }
    }
}

/// Whole numbers as what is stored as such a number.
fn stored<T: ArrowPrimitiveType<Native = i32>>(array: &ArrayRef) -> PrimitiveArray<T> {
    array.as_primitive::<Int32Type>().reinterpret_cast::<T>()
}

fn misfit(value: impl std::fmt::Display, to: &DataType) -> ArrowError {
    ArrowError::CastError(format!("{value} does not fit {}", sql_type(to)))
}

/// Each value by a function that has none for those that do not fit.
fn fitted<F: ArrowPrimitiveType, T: ArrowPrimitiveType>(
    values: &PrimitiveArray<F>,
    to: &DataType,
    or_null: bool,
    fit: impl Fn(F::Native) -> Option<T::Native>,
) -> Result<ArrayRef, ArrowError>
where
    F::Native: std::fmt::Display,
{
    let fitted: PrimitiveArray<T> = if or_null {
        values.unary_opt(fit)
    } else {
        values.try_unary(|value| fit(value).ok_or_else(|| misfit(value, to)))?
    };
    Ok(Arc::new(fitted.with_data_type(to.clone())))
}

type Converted = Option<Result<ArrayRef, ArrowError>>;

fn of_whole(values: &Int64Array, to: &DataType, or_null: bool) -> Converted {
    Some(match to {
        DataType::Int8 => fitted::<_, Int8Type>(values, to, or_null, |value| i8::try_from(value).ok()),
        DataType::Int16 => fitted::<_, Int16Type>(values, to, or_null, |value| i16::try_from(value).ok()),
        DataType::Int32 => fitted::<_, Int32Type>(values, to, or_null, |value| i32::try_from(value).ok()),
        DataType::Int64 => Ok(Arc::new(values.clone())),
        DataType::Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| value as f32))),
        DataType::Float64 => Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64))),
        DataType::Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |value| value != 0))),
        DataType::Decimal128(precision, scale) => {
            let wide: Decimal128Array = values.unary(i128::from);
            decimals(&wide, 0, (*precision, *scale), or_null)
        }
        DataType::Utf8 => Ok(printed(values, |value, out| write!(out, "{value}"))),
        _ => return None,
    })
}

fn of_floating(values: &Float64Array, to: &DataType, or_null: bool) -> Converted {
    /// The number without its fraction, if it is from `min` to `max`, which is one more than the greatest.
    fn cut(value: f64, min: f64, max: f64) -> Option<f64> {
        Some(value.trunc()).filter(|value| *value >= min && *value < max)
    }
    Some(match to {
        DataType::Int8 => {
            fitted::<_, Int8Type>(values, to, or_null, |value| cut(value, -128.0, 128.0).map(|value| value as i8))
        }
        DataType::Int16 => {
            fitted::<_, Int16Type>(values, to, or_null, |value| cut(value, -32768.0, 32768.0).map(|value| value as i16))
        }
        DataType::Int32 => {
            let (min, max) = (-2_147_483_648.0, 2_147_483_648.0);
            fitted::<_, Int32Type>(values, to, or_null, |value| cut(value, min, max).map(|value| value as i32))
        }
        DataType::Int64 => {
            let (min, max) = (-9_223_372_036_854_775_808.0, 9_223_372_036_854_775_808.0);
            fitted::<_, Int64Type>(values, to, or_null, |value| cut(value, min, max).map(|value| value as i64))
        }
        DataType::Float32 => Ok(Arc::new(values.unary::<_, Float32Type>(|value| value as f32)) as ArrayRef),
        DataType::Float64 => Ok(Arc::new(values.clone()) as ArrayRef),
        DataType::Boolean => Ok(Arc::new(BooleanArray::from_unary(values, |value| value != 0.0)) as ArrayRef),
        _ => return None,
    })
}

fn of_decimal(values: &Decimal128Array, scale: i8, to: &DataType, or_null: bool) -> Converted {
    Some(match to {
        DataType::Decimal128(precision, to) => decimals(values, scale, (*precision, *to), or_null),
        DataType::Float64 => {
            let divisor = 10_f64.powi(i32::from(scale));
            Ok(Arc::new(values.unary::<_, Float64Type>(|value| value as f64 / divisor)))
        }
        DataType::Utf8 => {
            let precision = values.precision();
            Ok(printed(values, |value, out| out.write_str(&Decimal128Type::format_decimal(value, precision, scale))))
        }
        _ => return None,
    })
}

fn decimals(
    values: &Decimal128Array,
    scale: i8,
    (precision, to_scale): (u8, i8),
    or_null: bool,
) -> Result<ArrayRef, ArrowError> {
    let to = DataType::Decimal128(precision, to_scale);
    let steps = (i16::from(to_scale) - i16::from(scale)).unsigned_abs();
    let factor = 10_i128.checked_pow(u32::from(steps));
    let is_finer = to_scale >= scale;
    fitted::<_, Decimal128Type>(values, &to, or_null, |value| {
        let moved = match factor {
            Some(factor) if is_finer => value.checked_mul(factor)?,
            // Half of the factor is a whole number, but for 1.
            Some(factor) => {
                let (whole, rest) = (value / factor, value % factor);
                let up = rest.abs() >= factor - factor / 2 && factor > 1;
                if up { whole + value.signum() } else { whole }
            }
            None if is_finer && value != 0 => return None,
            None => 0,
        };
        Decimal128Type::is_valid_decimal_precision(moved, precision).then_some(moved)
    })
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

fn rescaled(ticks: &Int64Array, from: i64, unit: i64, to: &DataType, or_null: bool) -> Result<Int64Array, ArrowError> {
    if from == unit {
        return Ok(ticks.clone());
    }
    if from > unit {
        let divisor = from / unit;
        return Ok(ticks.unary(|value| value.div_euclid(divisor)));
    }
    let factor = unit / from;
    if or_null {
        return Ok(ticks.unary_opt(|value| value.checked_mul(factor)));
    }
    ticks.try_unary(|value| value.checked_mul(factor).ok_or_else(|| misfit(value, to)))
}

fn of_ticks(ticks: &Int64Array, to: &DataType) -> Result<ArrayRef, ArrowError> {
    Ok(match to {
        DataType::Timestamp(TimeUnit::Second, _) => {
            Arc::new(ticks.reinterpret_cast::<TimestampSecondType>().with_data_type(to.clone()))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            Arc::new(ticks.reinterpret_cast::<TimestampMillisecondType>().with_data_type(to.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Arc::new(ticks.reinterpret_cast::<TimestampMicrosecondType>().with_data_type(to.clone()))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Arc::new(ticks.reinterpret_cast::<TimestampNanosecondType>().with_data_type(to.clone()))
        }
        DataType::Duration(TimeUnit::Millisecond) => Arc::new(ticks.reinterpret_cast::<DurationMillisecondType>()),
        DataType::Duration(TimeUnit::Microsecond) => Arc::new(ticks.reinterpret_cast::<DurationMicrosecondType>()),
        _ => return Err(ArrowError::CastError(format!("{} is no TIMESTAMP", sql_type(to)))),
    })
}

fn printed<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    print: impl Fn(T::Native, &mut StringBuilder) -> std::fmt::Result,
) -> ArrayRef {
    let mut texts = StringBuilder::with_capacity(values.len(), values.len() * 8);
    for value in values {
        match value {
            // Memory that cannot be had ends the process; nothing else goes wrong.
            Some(value) if print(value, &mut texts).is_ok() => texts.append_value(""),
            _ => texts.append_null(),
        }
    }
    Arc::new(texts.finish())
}

/// Whether values of a type are texts or bytes.
fn texts(data_type: &DataType) -> bool {
    use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary, LargeUtf8, Utf8, Utf8View};
    matches!(data_type, Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView | FixedSizeBinary(_))
}

/// Texts and bytes as STRING or BYTES.
fn text(array: &ArrayRef, to: &DataType, or_null: bool) -> Result<ArrayRef, ArrowError> {
    let bytes = match array.data_type() {
        DataType::Utf8 => BinaryArray::from(array.as_string::<i32>().clone()),
        DataType::Binary => array.as_binary::<i32>().clone(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().map(|text| text.map(str::as_bytes)).collect(),
        DataType::Utf8View => array.as_string_view().iter().map(|text| text.map(str::as_bytes)).collect(),
        DataType::LargeBinary => array.as_binary::<i64>().iter().collect(),
        DataType::BinaryView => array.as_binary_view().iter().collect(),
        _ => array.as_fixed_size_binary().iter().collect(),
    };
    if *to == DataType::Binary {
        return Ok(Arc::new(bytes));
    }
    let (offsets, values, nulls) = bytes.clone().into_parts();
    if let Ok(texts) = StringArray::try_new(offsets, values, nulls) {
        return Ok(Arc::new(texts));
    }
    let mut texts = StringBuilder::with_capacity(bytes.len(), bytes.value_data().len());
    for value in &bytes {
        match value.map(std::str::from_utf8) {
            Some(Ok(text)) => texts.append_value(text),
            Some(Err(_)) if !or_null => {
                return Err(ArrowError::CastError("bytes that are no UTF-8 are no STRING".to_owned()));
            }
            _ => texts.append_null(),
        }
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests;
