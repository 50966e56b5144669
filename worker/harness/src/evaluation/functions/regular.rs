//! Functions with regular expressions.

use super::{Body, Called};
use crate::evaluation::Value;
use crate::evaluation::regex::{Refusal, Regex};

pub(super) fn of_regular_expressions(name: &str) -> Option<Body> {
    Some(Body::Of(match name {
        "regexp" => |called| {
            let [Value::Text(text), Value::Text(pattern)] = called.values else { return Ok(Value::Null) };
            let found = compiled(pattern)?.is_some_and(|regex| !regex.all(text).is_empty());
            Ok(Value::Boolean(found && !pattern.is_empty()))
        },
        "regexp_count" => |called| {
            let Some((text, regex)) = text_and_regex(called)? else { return Ok(Value::Null) };
            Ok(Value::Whole(regex.all(text).len() as i64))
        },
        "regexp_replace" => |called| {
            let Some((text, regex)) = text_and_regex(called)? else { return Ok(Value::Null) };
            let Some(Value::Text(new)) = called.values.get(2) else { return Ok(Value::Null) };
            let (mut replaced, mut from) = (String::new(), 0);
            for found in regex.all(text).into_iter().filter_map(|groups| groups[0].clone()) {
                replaced.push_str(&text[from..found.start]);
                replaced.push_str(new);
                from = found.end;
            }
            Ok(Value::Text(replaced + &text[from..]))
        },
        "regexp_extract" => |called| {
            let Some((text, regex)) = text_and_regex(called)? else { return Ok(Value::Null) };
            let group = match called.values.get(2) {
                None => 0,
                Some(Value::Whole(group)) if (0..=regex.groups() as i64).contains(group) => *group as usize,
                _ => return Ok(Value::Null),
            };
            let found = regex.all(text).into_iter().next().and_then(|groups| groups[group].clone());
            Ok(found.map_or(Value::Null, |found| Value::Text(text[found].to_owned())))
        },
        "str_to_map" => str_to_map,
        _ => return None,
    }))
}

/// Parses a pattern; `None` if it is not a regular expression.
fn compiled(pattern: &str) -> Result<Option<Regex>, String> {
    match Regex::parse(pattern) {
        Ok(regex) => Ok(Some(regex)),
        Err(Refusal::Malformed) => Ok(None),
        Err(Refusal::Unknown(what)) => Err(format!("the reference does not know {what} in '{pattern}'")),
    }
}

fn text_and_regex<'a>(called: &'a Called) -> Result<Option<(&'a str, Regex)>, String> {
    let [Value::Text(text), Value::Text(pattern), ..] = called.values else { return Ok(None) };
    Ok(compiled(pattern)?.map(|regex| (text.as_str(), regex)))
}

/// `String.split` into at most `most` pieces. An empty match at the start does not count. Without a match, the text is
/// one piece.
fn split<'a>(text: &'a str, regex: &Regex, most: Option<usize>) -> Vec<&'a str> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for found in regex.all(text).into_iter().filter_map(|groups| groups[0].clone()) {
        let is_empty_at_start = found.end == 0;
        if !is_empty_at_start && most.is_none_or(|most| pieces.len() + 1 < most) {
            pieces.push(&text[from..found.start]);
            from = found.end;
        }
    }
    pieces.push(&text[from..]);
    pieces
}

fn str_to_map(called: &Called) -> Result<Value, String> {
    let (text, between, inside) = match called.values {
        [Value::Text(text)] => (text, ",", "="),
        [Value::Text(text), Value::Text(between), Value::Text(inside)] => (text, between.as_str(), inside.as_str()),
        _ => return Ok(Value::Null),
    };
    if text.is_empty() {
        return Ok(Value::Map(Vec::new()));
    }
    let regex = |pattern: &str| compiled(pattern)?.ok_or_else(|| format!("'{pattern}' is no regular expression"));
    let (between, inside) = (regex(between)?, regex(inside)?);
    let mut pairs = split(text, &between, None);
    while pairs.last().is_some_and(|pair| pair.is_empty()) {
        pairs.pop();
    }
    let mut entries: Vec<(String, Value)> = Vec::new();
    for pair in pairs {
        let entry = match split(pair, &inside, Some(2)).as_slice() {
            [key, value] => ((*key).to_owned(), Value::Text((*value).to_owned())),
            _ => (pair.to_owned(), Value::Null),
        };
        entries.retain(|(key, _)| *key != entry.0);
        entries.push(entry);
    }
    // Java's map has no order. The engine sorts by key.
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Value::Map(entries.into_iter().map(|(key, value)| (Value::Text(key), value)).collect()))
}
