//! Expressions a second time: evaluated one row at a time, after the documentation of Flink and Java.
//!
//! It shares only the syntax tree with the engine: no kernel of Arrow, and no code of `eddyline-expression` or
//! `eddyline-functions` that computes a value. So a fault there shows as a difference in the golden queries and in the
//! random expressions of the tests. The exceptions are the functions in [`NOT_JUDGED`], for which the engine's own
//! implementation is called.

mod arithmetic;
mod calendar;
mod compare;
mod convert;
mod functions;
mod json;
mod pattern;
#[cfg(test)]
mod random;
mod regex;
#[cfg(test)]
mod tests;
mod text;
mod value;
mod zone;

use arrow::datatypes::DataType;
use eddyline_expression::{Call, Case, Expr, In, Invocation, Kind};
use eddyline_expression::{Comparison, Value as Column};

pub use compare::java_order;
pub use functions::NOT_JUDGED;
pub use value::{Value, array_of};

use convert::Cast;
use functions::Body;
use zone::Zone;

/// Converts a value to another type, as the planner's casts without a function do.
///
/// # Errors
/// When the types have no such conversion, or it fails for the value.
pub fn convert(value: &Value, from: &DataType, to: &DataType) -> Result<Value, String> {
    Cast { or_null: false, zone: Zone::UTC }.convert_exactly(value, from, to)
}

/// The value of an expression for one row.
///
/// # Errors
/// When the evaluation fails.
pub fn evaluate(expression: &Expr, row: &[Value]) -> Result<Value, String> {
    let of = |expression: &Expr| evaluate(expression, row);
    Ok(match expression.kind() {
        Kind::Column { index, name } => match row.get(*index) {
            Some(value) => value.clone(),
            None => return Err(format!("there is no column {index} ({name})")),
        },
        Kind::Literal(literal) => Value::of(literal.value().to_array().as_ref(), 0)?,
        Kind::Compare { operator, left, right } => truth(compare::compare(*operator, &of(left)?, &of(right)?)?),
        Kind::Calculate { operator, left, right } => {
            arithmetic::calculate(*operator, (&of(left)?, left.data_type()), (&of(right)?, right.data_type()))?
        }
        Kind::Negate(value) => arithmetic::negate(of(value)?, expression.data_type())?,
        Kind::And(left, right) => match condition(left, row)? {
            Some(false) => Value::Boolean(false),
            left => match (left, condition(right, row)?) {
                (_, Some(false)) => Value::Boolean(false),
                (Some(true), Some(true)) => Value::Boolean(true),
                _ => Value::Null,
            },
        },
        Kind::Or(left, right) => match condition(left, row)? {
            Some(true) => Value::Boolean(true),
            left => match (left, condition(right, row)?) {
                (_, Some(true)) => Value::Boolean(true),
                (Some(false), Some(false)) => Value::Boolean(false),
                _ => Value::Null,
            },
        },
        Kind::Not(value) => truth(condition(value, row)?.map(|truth| !truth)),
        Kind::Case(case) => of_case(case, row)?,
        Kind::In(one_of) => of_in(one_of, row)?,
        Kind::Like { value, pattern, negated } => match (of(value)?, of(pattern)?) {
            (Value::Text(text), Value::Text(pattern)) => Value::Boolean(pattern::is_like(&text, &pattern) != *negated),
            _ => Value::Null,
        },
        Kind::Similar(similar) => match of(&similar.value)? {
            Value::Text(text) => Value::Boolean(pattern::is_similar(&text, &similar.pattern)? != similar.negated),
            _ => Value::Null,
        },
        Kind::IsNull(value) => Value::Boolean(of(value)?.is_null()),
        Kind::IsNotNull(value) => Value::Boolean(!of(value)?.is_null()),
        Kind::Cast { value, or_null } => {
            let cast = Cast { or_null: *or_null, zone: Zone::UTC };
            cast.convert_exactly(&of(value)?, value.data_type(), expression.data_type())?
        }
        Kind::Field { row: of_row, index, .. } => match of(of_row)? {
            Value::Row(mut parts) if *index < parts.len() => parts.swap_remove(*index),
            _ => Value::Null,
        },
        Kind::Element { of: container, at } => element(of(container)?, &of(at)?),
        Kind::Call(call) => of_call(call, expression.data_type(), row)?,
    })
}

fn truth(truth: Option<bool>) -> Value {
    truth.map_or(Value::Null, Value::Boolean)
}

/// The value of a condition; `None` is UNKNOWN.
fn condition(expression: &Expr, row: &[Value]) -> Result<Option<bool>, String> {
    match evaluate(expression, row)? {
        Value::Boolean(truth) => Ok(Some(truth)),
        Value::Null => Ok(None),
        other => Err(format!("{other:?} is not a condition")),
    }
}

/// Evaluates conditions up to the first that holds, and then only the result of its branch.
fn of_case(case: &Case, row: &[Value]) -> Result<Value, String> {
    let operand = case.operand.as_ref().map(|operand| evaluate(operand, row)).transpose()?;
    for (when, then) in &case.branches {
        let is_taken = match &operand {
            Some(operand) => compare::compare(Comparison::Eq, operand, &evaluate(when, row)?)?,
            None => condition(when, row)?,
        };
        if is_taken == Some(true) {
            return evaluate(then, row);
        }
    }
    case.otherwise.as_ref().map_or(Ok(Value::Null), |otherwise| evaluate(otherwise, row))
}

/// `value = first OR value = second …`
fn of_in(one_of: &In, row: &[Value]) -> Result<Value, String> {
    let value = evaluate(&one_of.value, row)?;
    let mut found = Some(false);
    for item in &one_of.list {
        match compare::compare(Comparison::Eq, &value, &evaluate(item, row)?)? {
            Some(true) => return Ok(Value::Boolean(!one_of.negated)),
            Some(false) => {}
            None => found = None,
        }
    }
    Ok(truth(found.map(|found| found != one_of.negated)))
}

/// The element of an array at a position counted from 1, or the value of a map under a key.
fn element(of: Value, at: &Value) -> Value {
    match (of, at) {
        (Value::Array(mut elements), Value::Whole(at)) => match usize::try_from(*at) {
            Ok(at) if (1..=elements.len()).contains(&at) => elements.swap_remove(at - 1),
            _ => Value::Null,
        },
        (Value::Map(entries), key) if !key.is_null() => entries
            .into_iter()
            .find(|(known, _)| convert::is_one_key(known, key))
            .map_or(Value::Null, |(_, value)| value),
        _ => Value::Null,
    }
}

fn of_call(call: &Call, data_type: &DataType, row: &[Value]) -> Result<Value, String> {
    let name = call.function.name();
    let fault = |error: String| format!("{name}: {error}");
    match functions::body(name) {
        Some(Body::FirstValue) => {
            for argument in &call.arguments {
                let value = evaluate(argument, row)?;
                if !value.is_null() {
                    return Ok(value);
                }
            }
            Ok(Value::Null)
        }
        Some(Body::If) => match call.arguments.as_slice() {
            [test, yes, no] => evaluate(if condition(test, row)? == Some(true) { yes } else { no }, row),
            _ => Err(fault("takes three arguments".to_owned())),
        },
        Some(Body::Of(compute)) => {
            let values =
                call.arguments.iter().map(|argument| evaluate(argument, row)).collect::<Result<Vec<_>, _>>()?;
            compute(&functions::Called { call, values: &values, data_type }).map_err(fault)
        }
        None if NOT_JUDGED.contains(&name) => own_body(call, data_type, row),
        None => Err(fault("the reference neither implements the function nor lists it as not judged".to_owned())),
    }
}

/// The result of the engine's own implementation, for one row.
fn own_body(call: &Call, data_type: &DataType, row: &[Value]) -> Result<Value, String> {
    if let Some(instead) = call.function.instead(&call.arguments) {
        return evaluate(&instead, row);
    }
    let value = |argument: &Expr| {
        let array = array_of(&[&evaluate(argument, row)?], argument.data_type())?;
        // Some functions read an argument only if it is a constant.
        Ok(if argument.as_literal().is_some() { Column::Constant(array) } else { Column::Array(array) })
    };
    let values = call.arguments.iter().map(value).collect::<Result<Vec<_>, String>>()?;
    let invocation = Invocation { values, rows: 1, return_type: data_type, arguments: &call.arguments };
    Value::of(call.function.invoke(invocation).map_err(|error| error.to_string())?.as_ref(), 0)
}
