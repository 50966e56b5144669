//! JSON functions, without their ON EMPTY and ON ERROR clauses.

use arrow::datatypes::DataType;
use eddyline_expression::Kind;

use super::{Body, Called};
use crate::evaluation::Value;
use crate::evaluation::json::{Found, Json, follow, quoted};
use crate::evaluation::text::print;
use crate::evaluation::zone::Zone;

pub(super) fn of_json(name: &str) -> Option<Body> {
    Some(Body::Of(match name {
        "is_json" => |called| {
            let of_kind = |json: &Json| match called.values.get(1) {
                Some(Value::Text(kind)) if kind == "SCALAR" => json.is_scalar(),
                Some(Value::Text(kind)) if kind == "ARRAY" => matches!(json, Json::Array(_)),
                Some(Value::Text(kind)) if kind == "OBJECT" => matches!(json, Json::Object(_)),
                _ => true,
            };
            Ok(Value::Boolean(match &called.values[0] {
                Value::Text(text) => Json::parse(text).is_some_and(|json| of_kind(&json)),
                _ => false,
            }))
        },
        "json_exists" => |called| match called.values {
            [Value::Text(text), Value::Text(path)] => Ok(Value::Boolean(matches!(follow(text, path)?, Found::One(_)))),
            [_, _] => Ok(Value::Null),
            _ => unknown(),
        },
        "json_value" => |called| match called.values {
            [Value::Text(text), Value::Text(path)] => Ok(match follow(text, path)? {
                Found::One(Json::Text(text)) => Value::Text(text),
                Found::One(Json::Boolean(truth)) => Value::Text(truth.to_string()),
                Found::One(Json::Number(text)) => Value::Text(as_java_prints(text)?),
                _ => Value::Null,
            }),
            [_, _] => Ok(Value::Null),
            _ => unknown(),
        },
        "json_query" => |called| match called.values {
            [Value::Text(text), Value::Text(path)] => Ok(match follow(text, path)? {
                Found::One(json) if !json.is_scalar() => Value::Text(json.write()),
                _ => Value::Null,
            }),
            [_, _] => Ok(Value::Null),
            _ => unknown(),
        },
        "json_string" => |called| match &called.values[0] {
            Value::Null => Ok(Value::Null),
            value => Ok(Value::Text(written(value, called.type_of(0)?)?)),
        },
        "json_object" => |called| {
            let keeps_nulls = !matches!(&called.values[0], Value::Text(text) if text == "ABSENT");
            let mut members: Vec<(String, String)> = Vec::new();
            for place in (1..called.values.len()).step_by(2) {
                let Value::Text(key) = &called.values[place] else { return Err("a key is NULL".to_owned()) };
                let value = member(called, place + 1)?;
                if value.is_some() || keeps_nulls {
                    members.retain(|(known, _)| known != key);
                    members.push((key.clone(), value.unwrap_or_else(|| "null".to_owned())));
                }
            }
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            let members: Vec<String> =
                members.into_iter().map(|(key, value)| format!("{}:{value}", quoted(&key))).collect();
            Ok(Value::Text(format!("{{{}}}", members.join(","))))
        },
        "json_array" => |called| {
            let keeps_nulls = matches!(&called.values[0], Value::Text(text) if text == "NULL");
            let mut elements = Vec::new();
            for place in 1..called.values.len() {
                let element = member(called, place)?;
                elements.extend(element.or_else(|| keeps_nulls.then(|| "null".to_owned())));
            }
            Ok(Value::Text(format!("[{}]", elements.join(","))))
        },
        _ => return None,
    }))
}

fn unknown() -> Result<Value, String> {
    Err("the reference does not know the clauses of JSON".to_owned())
}

/// Prints a whole number as it is, any other number as a DOUBLE.
fn as_java_prints(number: String) -> Result<String, String> {
    if number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return Ok(number);
    }
    let double: f64 = number.parse().map_err(|_| format!("{number} is not a number"))?;
    print(&Value::Double(double), &DataType::Float64, Zone::UTC)
}

/// An argument as JSON; `None` for NULL. An argument that is JSON already is not quoted again.
fn member(called: &Called, place: usize) -> Result<Option<String>, String> {
    let is_json = match called.argument(place)?.kind() {
        Kind::Call(call) => matches!(call.function.name(), "json_object" | "json_array"),
        _ => false,
    };
    Ok(match &called.values[place] {
        Value::Null => None,
        Value::Text(text) if is_json => Some(text.clone()),
        value => Some(written(value, called.type_of(place)?)?),
    })
}

fn written(value: &Value, data_type: &DataType) -> Result<String, String> {
    Ok(match (value, data_type) {
        (Value::Null, _) => "null".to_owned(),
        (Value::Boolean(truth), _) => truth.to_string(),
        (Value::Whole(number), _) => number.to_string(),
        (Value::Decimal(_), _) => print(value, data_type, Zone::UTC)?,
        (Value::Text(text), _) => quoted(text),
        (Value::Array(elements), DataType::List(field)) => {
            let elements = elements.iter().map(|element| written(element, field.data_type()));
            format!("[{}]", elements.collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ => return Err(format!("the reference does not write {data_type} as JSON")),
    })
}
