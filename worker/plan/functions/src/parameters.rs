//! The parameters of a function, and which argument types each one takes.
//!
//! Coercion is Flink's implicit conversion: integers widen, DECIMAL and integers become DOUBLE if a function computes
//! in DOUBLE, and a bare NULL takes the parameter's type. Any other argument is an error that names function, position
//! and type.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use eddyline_expression::{Result, plan_err};
use eddyline_stream::sql_type;

/// What one parameter of a function takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// STRING. Integers, DECIMAL and BOOLEAN are printed.
    Text,
    /// INT: any integer.
    Int,
    /// BIGINT: any integer.
    Long,
    /// DOUBLE: any number.
    Double,
    /// Any number, kept as it is.
    Number,
    /// BOOLEAN.
    Boolean,
    /// BYTES.
    Bytes,
    /// STRING or BYTES, kept as it is.
    TextOrBytes,
    /// DATE, TIME, TIMESTAMP or TIMESTAMP_LTZ, kept as it is.
    Moment,
    /// Anything, kept as it is.
    Any,
    /// Anything that has a common type with all other parameters of this kind.
    Common,
}

/// The coerced types of a call, or why no overload takes these arguments.
pub(crate) fn coerce(
    function: &str,
    overloads: &[&[Parameter]],
    repeats_last: bool,
    types: &[DataType],
) -> Result<Vec<DataType>> {
    let mut refusal = None;
    for parameters in overloads {
        let Some(parameters) = spread(parameters, repeats_last, types.len()) else { continue };
        let common = common_type(&parameters, types);
        let mut coerced = Vec::with_capacity(types.len());
        for (position, (parameter, given)) in parameters.iter().zip(types).enumerate() {
            let accepted = if *parameter == Parameter::Common { common.clone() } else { accept(*parameter, given) };
            match accepted {
                Some(data_type) => coerced.push(data_type),
                None => {
                    refusal = Some((position + 1, *parameter, given));
                    break;
                }
            }
        }
        if coerced.len() == types.len() {
            return Ok(coerced);
        }
    }
    match refusal {
        Some((position, parameter, given)) => plan_err!(
            "{} takes {} as argument {position}, not {}; CAST it",
            function.to_uppercase(),
            describe(parameter),
            sql_type(given)
        ),
        None => plan_err!("{} does not take {} arguments", function.to_uppercase(), types.len()),
    }
}

/// The parameters of an overload for a call with `count` arguments.
fn spread(parameters: &[Parameter], repeats_last: bool, count: usize) -> Option<Vec<Parameter>> {
    if parameters.len() == count {
        return Some(parameters.to_vec());
    }
    let last = parameters.last().filter(|_| repeats_last && count > parameters.len())?;
    let mut spread = parameters.to_vec();
    spread.resize(count, *last);
    Some(spread)
}

fn common_type(parameters: &[Parameter], types: &[DataType]) -> Option<DataType> {
    let shared: Vec<DataType> = parameters
        .iter()
        .zip(types)
        .filter(|(parameter, _)| **parameter == Parameter::Common)
        .map(|(_, data_type)| plain(data_type))
        .collect();
    let common = shared.into_iter().try_fold(DataType::Null, |so_far, next| common(&so_far, &next))?;
    Some(if common == DataType::Null { DataType::Utf8 } else { plain(&common) })
}

/// The type to which both convert without loss, by Flink's rules. CASE, COALESCE, IN, UNION and comparisons use it.
pub fn common(left: &DataType, right: &DataType) -> Option<DataType> {
    use DataType::{Date32, List, Null, Struct, Timestamp};
    if left == right {
        return Some(left.clone());
    }
    match (left, right) {
        (Null, other) | (other, Null) => Some(other.clone()),
        (a, b) if a.is_numeric() && b.is_numeric() => common_number(a, b),
        (Timestamp(a, zone_a), Timestamp(b, zone_b)) => {
            let unit = if *a == TimeUnit::Microsecond { a } else { b };
            Some(Timestamp(*unit, zone_a.clone().or_else(|| zone_b.clone())))
        }
        (Date32, timestamp @ Timestamp(..)) | (timestamp @ Timestamp(..), Date32) => Some(timestamp.clone()),
        (List(a), List(b)) => {
            let element = common(a.data_type(), b.data_type())?;
            Some(List(Arc::new(Field::new("element", element, a.is_nullable() || b.is_nullable()))))
        }
        (Struct(a), Struct(b)) if a.len() == b.len() => {
            let fields: Option<Vec<Field>> = a
                .iter()
                .zip(b)
                .map(|(a, b)| {
                    let field = common(a.data_type(), b.data_type())?;
                    Some(Field::new(a.name(), field, a.is_nullable() || b.is_nullable()))
                })
                .collect();
            Some(Struct(Fields::from(fields?)))
        }
        _ => None,
    }
}

/// The common type of two numbers, by Flink's rules. DOUBLE and DECIMAL have DOUBLE. DECIMALs and whole numbers have a
/// DECIMAL that holds both. `None` if one of them is not a number.
fn common_number(left: &DataType, right: &DataType) -> Option<DataType> {
    let rank = |data_type: &DataType| {
        [DataType::Int8, DataType::Int16, DataType::Int32, DataType::Int64].iter().position(|known| known == data_type)
    };
    if !left.is_numeric() || !right.is_numeric() {
        return None;
    }
    if left.is_floating() || right.is_floating() {
        let is_wide = |data_type: &DataType| matches!(data_type, DataType::Float64 | DataType::Decimal128(..));
        return Some(if is_wide(left) || is_wide(right) { DataType::Float64 } else { DataType::Float32 });
    }
    if let (Some(first), Some(second)) = (rank(left), rank(right)) {
        return Some(if first < second { right.clone() } else { left.clone() });
    }
    let ((left_precision, left_scale), (right_precision, right_scale)) = (exact(left)?, exact(right)?);
    let scale = left_scale.max(right_scale);
    let whole = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
    let digits = whole(left_precision, left_scale).max(whole(right_precision, right_scale)) + i16::from(scale);
    Some(DataType::Decimal128(u8::try_from(digits.clamp(1, 38)).unwrap_or(38), scale))
}

/// The precision and the scale of an exact number type.
pub fn exact(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

/// A type without the Arrow variants that batches never carry.
pub(crate) fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Date64 => DataType::Date32,
        DataType::Time32(_) | DataType::Time64(_) => DataType::Time32(TimeUnit::Millisecond),
        DataType::Timestamp(unit, zone) => {
            let unit = match unit {
                TimeUnit::Second | TimeUnit::Millisecond => TimeUnit::Millisecond,
                TimeUnit::Microsecond | TimeUnit::Nanosecond => TimeUnit::Microsecond,
            };
            DataType::Timestamp(unit, zone.as_ref().map(|_| "UTC".into()))
        }
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}

fn accept(parameter: Parameter, given: &DataType) -> Option<DataType> {
    let given = plain(given);
    let is_null = given == DataType::Null;
    match parameter {
        Parameter::Text => {
            let printable = given.is_integer() || matches!(given, DataType::Decimal128(..)) || given == DataType::Utf8;
            (printable || is_null).then_some(DataType::Utf8)
        }
        Parameter::Int => (given.is_integer() || is_null).then_some(DataType::Int32),
        Parameter::Long => (given.is_integer() || is_null).then_some(DataType::Int64),
        Parameter::Double => (given.is_numeric() || is_null).then_some(DataType::Float64),
        Parameter::Number if is_null => Some(DataType::Int32),
        Parameter::Number => given.is_numeric().then_some(given),
        Parameter::Boolean => (given == DataType::Boolean || is_null).then_some(DataType::Boolean),
        Parameter::Bytes => (given == DataType::Binary || is_null).then_some(DataType::Binary),
        Parameter::TextOrBytes if is_null => Some(DataType::Utf8),
        Parameter::TextOrBytes => matches!(given, DataType::Utf8 | DataType::Binary).then_some(given),
        Parameter::Moment if is_null => Some(DataType::Timestamp(TimeUnit::Millisecond, None)),
        Parameter::Moment => {
            matches!(given, DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..)).then_some(given)
        }
        Parameter::Any => Some(given),
        Parameter::Common => None,
    }
}

fn describe(parameter: Parameter) -> &'static str {
    match parameter {
        Parameter::Text => "STRING",
        Parameter::Int => "INT",
        Parameter::Long => "BIGINT",
        Parameter::Double | Parameter::Number => "a number",
        Parameter::Boolean => "BOOLEAN",
        Parameter::Bytes => "BYTES",
        Parameter::TextOrBytes => "STRING or BYTES",
        Parameter::Moment => "DATE, TIME or TIMESTAMP",
        Parameter::Any => "any type",
        Parameter::Common => "the common type of its arguments",
    }
}
