//! Functions of texts and bytes.

use super::Body;
use crate::evaluation::Value;

pub(super) fn of_texts(name: &str) -> Option<Body> {
    fn number(value: &Value) -> Result<i64, String> {
        match value {
            Value::Whole(number) => Ok(*number),
            other => Err(format!("{other:?} is no whole number")),
        }
    }
    fn text(value: &Value) -> Result<&str, String> {
        match value {
            Value::Text(text) => Ok(text),
            other => Err(format!("{other:?} is no text")),
        }
    }
    macro_rules! of_values {
        ($body:expr) => {
            |called| {
                let body: fn(&[Value]) -> Result<Value, String> = $body;
                if called.has_null() { Ok(Value::Null) } else { body(called.values) }
            }
        };
    }
    Some(Body::Of(match name {
        "concat" => {
            of_values!(|values| { Ok(Value::Text(values.iter().map(text).collect::<Result<Vec<_>, _>>()?.concat())) })
        }
        "upper" => of_values!(|values| Ok(Value::Text(text(&values[0])?.to_uppercase()))),
        "lower" => of_values!(|values| Ok(Value::Text(text(&values[0])?.to_lowercase()))),
        "char_length" => of_values!(|values| Ok(Value::Whole(text(&values[0])?.chars().count() as i64))),
        "reverse" => of_values!(|values| Ok(Value::Text(text(&values[0])?.chars().rev().collect()))),
        "left" => of_values!(|values| {
            let count = usize::try_from(number(&values[1])?).unwrap_or(0);
            Ok(Value::Text(text(&values[0])?.chars().take(count).collect()))
        }),
        "right" => of_values!(|values| {
            let letters: Vec<char> = text(&values[0])?.chars().collect();
            let count = usize::try_from(number(&values[1])?).unwrap_or(0).min(letters.len());
            Ok(Value::Text(letters[letters.len() - count..].iter().collect()))
        }),
        "substring" => of_values!(|values| {
            let letters: Vec<char> = text(&values[0])?.chars().collect();
            let (all, start) = (letters.len() as i64, number(&values[1])?);
            let length = values.get(2).map_or(Ok(i64::MAX), number)?;
            if length < 0 {
                return Ok(Value::Null);
            }
            let first = match start {
                0 => 0,
                1.. => start - 1,
                _ => all.saturating_add(start),
            };
            if !(0..all).contains(&first) {
                return Ok(Value::Text(String::new()));
            }
            let end = first.saturating_add(length).min(all);
            Ok(Value::Text(letters[first as usize..end as usize].iter().collect()))
        }),
        "hex" => of_values!(|values| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
            Ok(Value::Text(match &values[0] {
                Value::Whole(number) => format!("{number:X}"),
                Value::Bytes(bytes) => hex(bytes),
                other => hex(text(other)?.as_bytes()),
            }))
        }),
        "encode" => of_values!(|values| match text(&values[1])? {
            "UTF-8" => Ok(Value::Bytes(text(&values[0])?.as_bytes().to_vec())),
            other => Err(format!("the reference does not know the character set {other}")),
        }),
        "decode" => of_values!(|values| match (&values[0], text(&values[1])?) {
            (Value::Bytes(bytes), "UTF-8") => Ok(Value::Text(String::from_utf8_lossy(bytes).into_owned())),
            (_, other) => Err(format!("the reference does not know the character set {other}")),
        }),
        _ => return None,
    }))
}
