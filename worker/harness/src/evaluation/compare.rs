//! Comparisons: FLOAT and DOUBLE follow IEEE 754, texts and bytes compare byte by byte, and a NULL makes the result
//! UNKNOWN.

use std::cmp::Ordering;

use eddyline_expression::Comparison;

use super::value::Value;

/// The result of a comparison of two values of one type; `None` is UNKNOWN.
pub fn compare(operator: Comparison, left: &Value, right: &Value) -> Result<Option<bool>, String> {
    use Comparison::{Distinct, Eq, Gt, GtEq, Lt, LtEq, NotDistinct, NotEq};
    if let Distinct | NotDistinct = operator {
        return Ok(Some(equal_or_both_null(left, right) == (operator == NotDistinct)));
    }
    if left.is_null() || right.is_null() {
        return Ok(None);
    }
    if let Eq | NotEq = operator {
        return Ok(Some(equal(left, right) == (operator == Eq)));
    }
    let order = order(left, right)?;
    Ok(Some(match operator {
        Lt => order == Some(Ordering::Less),
        LtEq => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        Gt => order == Some(Ordering::Greater),
        GtEq => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        other => return Err(format!("{other} is no order")),
    }))
}

/// Equality of values that are not NULL. Inside of them, a NULL equals a NULL.
pub fn equal(left: &Value, right: &Value) -> bool {
    let all = |left: &[Value], right: &[Value]| {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal_or_both_null(left, right))
    };
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => left == right,
        (Value::Double(left), Value::Double(right)) => left == right,
        (Value::Array(left), Value::Array(right)) | (Value::Row(left), Value::Row(right)) => all(left, right),
        _ => left.is_same(right),
    }
}

/// Equality where NULL equals NULL.
pub fn equal_or_both_null(left: &Value, right: &Value) -> bool {
    match (left.is_null(), right.is_null()) {
        (false, false) => equal(left, right),
        (left, right) => left == right,
    }
}

/// The order of two values by Java's `compareTo`: `-0.0` is less than `0.0`, and NaN is greater than everything.
pub fn java_order(left: &Value, right: &Value) -> Result<Ordering, String> {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        (Value::Double(left), Value::Double(right)) => Ok(left.total_cmp(right)),
        _ => order(left, right)?.ok_or_else(|| format!("{left:?} and {right:?} have no order")),
    }
}

/// The order of two values; `None` if one is NaN.
pub fn order(left: &Value, right: &Value) -> Result<Option<Ordering>, String> {
    Ok(Some(match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => left.cmp(right),
        (Value::Whole(left), Value::Whole(right)) => left.cmp(right),
        (Value::Float(left), Value::Float(right)) => return Ok(left.partial_cmp(right)),
        (Value::Double(left), Value::Double(right)) => return Ok(left.partial_cmp(right)),
        (Value::Decimal(left), Value::Decimal(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::Moment(left), Value::Moment(right)) | (Value::Span(left), Value::Span(right)) => left.cmp(right),
        (Value::Months(left), Value::Months(right)) => left.cmp(right),
        _ => return Err(format!("{left:?} and {right:?} have no order")),
    }))
}
