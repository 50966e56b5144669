//! `+ - * / %` and `-` as Java computes them.
//!
//! - Whole numbers wrap: the least one divided by -1 is itself. Only a division by zero is an error.
//! - FLOAT and DOUBLE have one NaN.
//! - Arrow computes points in time and intervals. Functions compute DECIMAL, by Flink's rules.

use std::ops::{Add, Div, Mul, Rem, Sub};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::compute::kernels::numeric;
use arrow::compute::{binary, try_binary, unary};
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use eddyline_stream::cast::cast;

use super::equality::Canonical;
use crate::{Arithmetic, Result, Value, internal_err};

/// A calculation with two values.
pub(crate) fn calculate(operator: Arithmetic, left: &Value, right: &Value) -> Result<Value> {
    use Arithmetic::{Divide, Minus, Modulo, Multiply, Plus};
    let (of_left, of_right) = (left.array().data_type(), right.array().data_type());
    if (of_left.is_numeric() || of_right.is_numeric()) && of_left != of_right {
        return internal_err!("{of_left} {operator} {of_right}");
    }
    let result = match (of_left, operator) {
        (DataType::Float32, _) => floats::<Float32Type>(operator, left, right)?,
        (DataType::Float64, _) => floats::<Float64Type>(operator, left, right)?,
        (DataType::Int8, Divide) => divided::<Int8Type>(left, right, i8::wrapping_div)?,
        (DataType::Int16, Divide) => divided::<Int16Type>(left, right, i16::wrapping_div)?,
        (DataType::Int32, Divide) => divided::<Int32Type>(left, right, i32::wrapping_div)?,
        (DataType::Int64, Divide) => divided::<Int64Type>(left, right, i64::wrapping_div)?,
        (DataType::Int8, Modulo) => divided::<Int8Type>(left, right, i8::wrapping_rem)?,
        (DataType::Int16, Modulo) => divided::<Int16Type>(left, right, i16::wrapping_rem)?,
        (DataType::Int32, Modulo) => divided::<Int32Type>(left, right, i32::wrapping_rem)?,
        (DataType::Int64, Modulo) => divided::<Int64Type>(left, right, i64::wrapping_rem)?,
        (DataType::Decimal128(..), _) => return internal_err!("{operator} of DECIMAL is a function"),
        (_, Plus) => moved(left, right, |left, right| numeric::add_wrapping(left, right))?,
        (_, Minus) => moved(left, right, |left, right| numeric::sub_wrapping(left, right))?,
        (_, Multiply) => numeric::mul_wrapping(left, right)?,
        (other, Divide | Modulo) => return internal_err!("{operator} of {other}"),
    };
    Ok(Value::made_of(&[left, right], result))
}

/// Computes points in time and intervals. A point in a time zone is one of UTC, and stands for one without a zone meanwhile:
/// Arrow needs a database for the rules of zones.
fn moved(
    left: &Value,
    right: &Value,
    compute: impl Fn(&Value, &Value) -> std::result::Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef> {
    let zone = |value: &Value| match value.array().data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        _ => None,
    };
    let Some(zone) = zone(left).or_else(|| zone(right)) else { return Ok(compute(left, right)?) };
    let without_zone = |value: &Value| match value.array().data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let unit = *unit;
            value.clone().mapped(|array| Ok(cast(array, &DataType::Timestamp(unit, None))?))
        }
        _ => Ok(value.clone()),
    };
    let result = compute(&without_zone(left)?, &without_zone(right)?)?;
    Ok(match result.data_type() {
        DataType::Timestamp(unit, None) => cast(&result, &DataType::Timestamp(*unit, Some(zone)))?,
        _ => result,
    })
}

fn floats<T: ArrowPrimitiveType>(operator: Arithmetic, left: &Value, right: &Value) -> Result<ArrayRef>
where
    T::Native: Canonical
        + Add<Output = T::Native>
        + Sub<Output = T::Native>
        + Mul<Output = T::Native>
        + Div<Output = T::Native>
        + Rem<Output = T::Native>,
{
    match operator {
        Arithmetic::Plus => combined::<T>(left, right, |left, right| (left + right).canonical()),
        Arithmetic::Minus => combined::<T>(left, right, |left, right| (left - right).canonical()),
        Arithmetic::Multiply => combined::<T>(left, right, |left, right| (left * right).canonical()),
        Arithmetic::Divide => combined::<T>(left, right, |left, right| (left / right).canonical()),
        Arithmetic::Modulo => combined::<T>(left, right, |left, right| (left % right).canonical()),
    }
}

/// Computes a number for each row from two numbers of its type.
fn combined<T: ArrowPrimitiveType>(
    left: &Value,
    right: &Value,
    compute: impl Fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let (lefts, rights) = (left.array().as_primitive::<T>(), right.array().as_primitive::<T>());
    Ok(Arc::new(match (left.is_constant(), right.is_constant()) {
        (true, false) if lefts.is_null(0) => PrimitiveArray::<T>::new_null(rights.len()),
        (false, true) if rights.is_null(0) => PrimitiveArray::<T>::new_null(lefts.len()),
        (true, false) => unary::<_, _, T>(rights, |right| compute(lefts.value(0), right)),
        (false, true) => unary::<_, _, T>(lefts, |left| compute(left, rights.value(0))),
        _ => binary::<_, _, _, T>(lefts, rights, compute)?,
    }))
}

fn divided<T: ArrowPrimitiveType>(
    left: &Value,
    right: &Value,
    quotient: fn(T::Native, T::Native) -> T::Native,
) -> Result<ArrayRef> {
    let zero = T::Native::default();
    if right.is_constant() && right.array().is_valid(0) && right.array().as_primitive::<T>().value(0) != zero {
        return combined::<T>(left, right, quotient);
    }
    let rows = if left.is_constant() { right.array().len() } else { left.array().len() };
    let (left, right) = (left.clone().into_array(rows)?, right.clone().into_array(rows)?);
    let divided = try_binary::<_, _, _, T>(left.as_primitive::<T>(), right.as_primitive::<T>(), |left, right| {
        if right == zero { Err(ArrowError::DivideByZero) } else { Ok(quotient(left, right)) }
    });
    Ok(Arc::new(divided?))
}

/// The negated values. The least whole number and NaN stay the same.
pub(crate) fn negate(array: &ArrayRef) -> Result<ArrayRef> {
    fn of<T: ArrowPrimitiveType>(array: &ArrayRef, compute: fn(T::Native) -> T::Native) -> ArrayRef {
        Arc::new(unary::<_, _, T>(array.as_primitive::<T>(), compute))
    }
    Ok(match array.data_type() {
        DataType::Int8 => of::<Int8Type>(array, i8::wrapping_neg),
        DataType::Int16 => of::<Int16Type>(array, i16::wrapping_neg),
        DataType::Int32 => of::<Int32Type>(array, i32::wrapping_neg),
        DataType::Int64 => of::<Int64Type>(array, i64::wrapping_neg),
        DataType::Float32 => of::<Float32Type>(array, |value| (-value).canonical()),
        DataType::Float64 => of::<Float64Type>(array, |value| (-value).canonical()),
        _ => numeric::neg_wrapping(array)?,
    })
}
