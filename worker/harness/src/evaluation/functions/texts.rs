//! Functions of texts and bytes.

use super::Body;
use crate::evaluation::Value;

pub(super) fn of_texts(name: &str) -> Option<Body> {
    fn number(value: &Value) -> Result<i64, String> {
        match value {
            Value::Whole(number) => Ok(*number),
            other => Err(format!("{other:?} is not a whole number")),
        }
    }
    fn text(value: &Value) -> Result<&str, String> {
        match value {
            Value::Text(text) => Ok(text),
            other => Err(format!("{other:?} is not a text")),
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
        "btrim" => of_values!(|values| trimmed(values, true, true)),
        "ltrim" => of_values!(|values| trimmed(values, true, false)),
        "rtrim" => of_values!(|values| trimmed(values, false, true)),
        "concat_ws" => |called| {
            let Some((Value::Text(separator), parts)) = called.values.split_first() else { return Ok(Value::Null) };
            let parts = parts.iter().filter(|part| !part.is_null()).map(text);
            Ok(Value::Text(parts.collect::<Result<Vec<_>, _>>()?.join(separator)))
        },
        "position" | "locate" => of_values!(|values| {
            let (sought, all) = (text(&values[0])?, text(&values[1])?);
            if sought.is_empty() {
                return Ok(Value::Whole(1));
            }
            // The position is an INT, which wraps in Java: the smallest one is beyond the end.
            let from = (values.get(2).map_or(Ok(1), number)? as i32).wrapping_sub(1);
            let from = usize::try_from(from).unwrap_or(0);
            let letters: Vec<char> = all.chars().collect();
            let is_there = |place: &usize| letters[*place..].iter().collect::<String>().starts_with(sought);
            Ok(Value::Whole((from..letters.len()).find(is_there).map_or(0, |place| place as i64 + 1)))
        }),
        "repeat" => of_values!(|values| {
            let (text, count) = (text(&values[0])?, number(&values[1])?.max(0));
            // Java has no array for a longer text.
            if text.len() as i64 * count > i64::from(i32::MAX) {
                return Err("the text is too long".to_owned());
            }
            Ok(Value::Text(if text.is_empty() { String::new() } else { text.repeat(count as usize) }))
        }),
        "replace" => {
            of_values!(|values| { Ok(Value::Text(text(&values[0])?.replace(text(&values[1])?, text(&values[2])?))) })
        }
        "translate" => of_values!(|values| {
            let (from, to): (Vec<char>, Vec<char>) =
                (text(&values[1])?.chars().collect(), text(&values[2])?.chars().collect());
            let of = |letter: char| match from.iter().position(|other| *other == letter) {
                Some(place) => to.get(place).copied(),
                None => Some(letter),
            };
            Ok(Value::Text(text(&values[0])?.chars().filter_map(of).collect()))
        }),
        _ => return None,
    }))
}

/// Trims blanks, or the characters of the second argument, from the ends of a text.
fn trimmed(values: &[Value], leading: bool, trailing: bool) -> Result<Value, String> {
    let characters = match values.get(1) {
        Some(Value::Text(characters)) => characters.as_str(),
        _ => " ",
    };
    let Value::Text(text) = &values[0] else { return Err("no text".to_owned()) };
    let mut letters: Vec<char> = text.chars().collect();
    while trailing && letters.last().is_some_and(|letter| characters.contains(*letter)) {
        letters.pop();
    }
    let kept = letters.iter().skip_while(|letter| leading && characters.contains(**letter));
    Ok(Value::Text(kept.collect()))
}
