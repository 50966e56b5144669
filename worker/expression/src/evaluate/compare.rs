//! `=`, `<>`, `<`, `<=`, `>`, `>=`, `IS DISTINCT FROM`.
//!
//! FLOAT and DOUBLE follow IEEE 754, even inside ARRAY and ROW. Arrow's kernels compare everything else.

use arrow::array::{Array, ArrowPrimitiveType, AsArray, BooleanArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{DataType, Float32Type, Float64Type};

use super::equality::{equality, has_floats};
use crate::{Comparison, Result, Value, internal_err};

/// Compares two values of one type.
pub(super) fn compare(operator: Comparison, left: &Value, right: &Value) -> Result<Value> {
    let result = match left.array().data_type() {
        DataType::Float32 => floats::<Float32Type>(operator, left, right),
        DataType::Float64 => floats::<Float64Type>(operator, left, right),
        data_type if data_type.is_nested() => nested(operator, left, right)?,
        _ => match operator {
            Comparison::Eq => cmp::eq(left, right)?,
            Comparison::NotEq => cmp::neq(left, right)?,
            Comparison::Lt => cmp::lt(left, right)?,
            Comparison::LtEq => cmp::lt_eq(left, right)?,
            Comparison::Gt => cmp::gt(left, right)?,
            Comparison::GtEq => cmp::gt_eq(left, right)?,
            Comparison::Distinct => cmp::distinct(left, right)?,
            Comparison::NotDistinct => cmp::not_distinct(left, right)?,
        },
    };
    Ok(Value::condition(&[left, right], result))
}

fn floats<T: ArrowPrimitiveType>(operator: Comparison, left: &Value, right: &Value) -> BooleanArray
where
    T::Native: PartialOrd,
{
    match operator {
        Comparison::Eq => test::<T>(left, right, |left, right| left == right),
        Comparison::NotEq => test::<T>(left, right, |left, right| left != right),
        Comparison::Lt => test::<T>(left, right, |left, right| left < right),
        Comparison::LtEq => test::<T>(left, right, |left, right| left <= right),
        Comparison::Gt => test::<T>(left, right, |left, right| left > right),
        Comparison::GtEq => test::<T>(left, right, |left, right| left >= right),
        Comparison::Distinct | Comparison::NotDistinct => {
            let (lefts, rights) = (left.array().as_primitive::<T>(), right.array().as_primitive::<T>());
            by_row(left, right, |l, r| {
                let is_distinct = match (lefts.is_valid(l), rights.is_valid(r)) {
                    (true, true) => lefts.value(l) != rights.value(r),
                    (left, right) => left != right,
                };
                Some(is_distinct == (operator == Comparison::Distinct))
            })
        }
    }
}

fn test<T: ArrowPrimitiveType>(
    left: &Value,
    right: &Value,
    holds: impl Fn(T::Native, T::Native) -> bool,
) -> BooleanArray {
    let (lefts, rights) = (left.array().as_primitive::<T>(), right.array().as_primitive::<T>());
    match (left.is_constant(), right.is_constant()) {
        (true, false) if lefts.is_null(0) => BooleanArray::new_null(rights.len()),
        (false, true) if rights.is_null(0) => BooleanArray::new_null(lefts.len()),
        (true, false) => BooleanArray::from_unary(rights, |right| holds(lefts.value(0), right)),
        (false, true) => BooleanArray::from_unary(lefts, |left| holds(left, rights.value(0))),
        _ => BooleanArray::from_binary(lefts, rights, holds),
    }
}

/// Compares ARRAYs and ROWs. A NULL operand makes the answer unknown. A NULL inside is a value.
fn nested(operator: Comparison, left: &Value, right: &Value) -> Result<BooleanArray> {
    let (lefts, rights) = (left.array(), right.array());
    let are_known = |l, r| lefts.is_valid(l) && rights.is_valid(r);
    let is_equality = |operator| {
        matches!(operator, Comparison::Eq | Comparison::NotEq | Comparison::Distinct | Comparison::NotDistinct)
    };
    if is_equality(operator) {
        let equal = equality(lefts, rights)?;
        let is_negated = matches!(operator, Comparison::NotEq | Comparison::Distinct);
        let knows_null = matches!(operator, Comparison::Distinct | Comparison::NotDistinct);
        return Ok(by_row(left, right, |l, r| (knows_null || are_known(l, r)).then(|| equal(l, r) != is_negated)));
    }
    if has_floats(lefts.data_type()) {
        return internal_err!("{operator} of {}", lefts.data_type());
    }
    let order = make_comparator(lefts, rights, SortOptions::default())?;
    Ok(by_row(left, right, |l, r| {
        let order = are_known(l, r).then(|| order(l, r))?;
        Some(match operator {
            Comparison::Lt => order.is_lt(),
            Comparison::LtEq => order.is_le(),
            Comparison::Gt => order.is_gt(),
            _ => order.is_ge(),
        })
    }))
}

/// A condition on each pair of values.
fn by_row(left: &Value, right: &Value, test: impl Fn(usize, usize) -> Option<bool>) -> BooleanArray {
    let rows = match (left, right) {
        (Value::Array(array), _) | (_, Value::Array(array)) => array.len(),
        _ => 1,
    };
    (0..rows).map(|row| test(left.index(row), right.index(row))).collect()
}
