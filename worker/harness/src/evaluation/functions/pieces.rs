//! Functions that split, pad and test texts. They count characters, not UTF-16 code units as Java does.

use super::{Body, Called};
use crate::evaluation::Value;
use crate::evaluation::text::is_java_number;

pub(super) fn of_pieces(name: &str) -> Option<Body> {
    Some(Body::Of(match name {
        "lpad" => |called| padded(called, |text, filling| format!("{filling}{text}")),
        "rpad" => |called| padded(called, |text, filling| format!("{text}{filling}")),
        "overlay" => overlay,
        "elt" => |called| match called.values.split_first() {
            Some((Value::Whole(index @ 1..), texts)) => {
                Ok(texts.get(*index as usize - 1).cloned().unwrap_or(Value::Null))
            }
            _ => Ok(Value::Null),
        },
        "split" => |called| match called.values {
            [Value::Text(text), Value::Text(_)] if text.is_empty() => Ok(Value::Array(Vec::new())),
            [Value::Text(text), Value::Text(separator)] if separator.is_empty() => {
                Ok(Value::Array(text.chars().map(|letter| Value::Text(letter.to_string())).collect()))
            }
            [Value::Text(text), Value::Text(separator)] => {
                Ok(Value::Array(pieces(text, separator).into_iter().map(Value::Text).collect()))
            }
            _ => Ok(Value::Null),
        },
        "split_index" => split_index,
        "instr" => instr,
        "startswith" => |called| {
            Ok(match called.values {
                [Value::Text(text), Value::Text(start)] => {
                    Value::Boolean(text.get(..start.len()) == Some(start.as_str()))
                }
                [Value::Bytes(bytes), Value::Bytes(start)] => {
                    Value::Boolean(bytes.get(..start.len()) == Some(start.as_slice()))
                }
                _ => Value::Null,
            })
        },
        "endswith" => |called| {
            let from = |all: usize, end: usize| all.checked_sub(end);
            Ok(match called.values {
                [Value::Text(text), Value::Text(end)] => Value::Boolean(
                    from(text.len(), end.len()).is_some_and(|from| text.get(from..) == Some(end.as_str())),
                ),
                [Value::Bytes(bytes), Value::Bytes(end)] => Value::Boolean(
                    from(bytes.len(), end.len()).is_some_and(|from| bytes.get(from..) == Some(end.as_slice())),
                ),
                _ => Value::Null,
            })
        },
        "is_alpha" => |called| Ok(Value::Boolean(is_text_of(called, is_letter))),
        "is_digit" => |called| {
            let data_type = called.type_of(0)?;
            let is_number = data_type.is_integer() && !called.has_null();
            Ok(Value::Boolean(is_number || is_text_of(called, is_digit)))
        },
        "is_decimal" => |called| {
            let data_type = called.type_of(0)?;
            Ok(Value::Boolean(match &called.values[0] {
                Value::Text(text) => is_java_number(text),
                Value::Null => false,
                _ => data_type.is_numeric(),
            }))
        },
        _ => return None,
    }))
}

fn padded(called: &Called, put: fn(&str, &str) -> String) -> Result<Value, String> {
    let [Value::Text(text), Value::Whole(length), Value::Text(padding)] = called.values else { return Ok(Value::Null) };
    if *length < 0 || padding.is_empty() {
        return Ok(Value::Null);
    }
    // Java has no array, or no memory, for a longer text.
    if *length > i64::from(i32::MAX) / 4 {
        return Err("the text is too long".to_owned());
    }
    let (letters, length) = (text.chars().count(), *length as usize);
    if letters >= length {
        return Ok(Value::Text(text.chars().take(length).collect()));
    }
    let filling: Vec<char> = padding.chars().collect();
    let filling: String = (0..length - letters).map(|place| filling[place % filling.len()]).collect();
    Ok(Value::Text(put(text, &filling)))
}

fn overlay(called: &Called) -> Result<Value, String> {
    if called.has_null() {
        return Ok(Value::Null);
    }
    let [Value::Text(text), Value::Text(new), Value::Whole(start), more @ ..] = called.values else {
        return Err("no text".to_owned());
    };
    let (letters, new): (Vec<char>, Vec<char>) = (text.chars().collect(), new.chars().collect());
    let length = match more {
        [Value::Whole(length)] => *length,
        _ => new.len() as i64,
    };
    if !(1..=letters.len() as i64).contains(start) {
        return Ok(Value::Text(text.clone()));
    }
    let before = &letters[..*start as usize - 1];
    let end = i128::from(*start) - 1 + i128::from(length);
    let behind = if length > 0 && end < letters.len() as i128 { &letters[end as usize..] } else { &[] };
    Ok(Value::Text(before.iter().chain(&new).chain(behind).collect()))
}

/// The pieces between separators, including empty ones.
fn pieces(text: &str, separator: &str) -> Vec<String> {
    match text.find(separator) {
        None => vec![text.to_owned()],
        Some(at) => {
            let mut all = vec![text[..at].to_owned()];
            all.extend(pieces(&text[at + separator.len()..], separator));
            all
        }
    }
}

fn split_index(called: &Called) -> Result<Value, String> {
    let (text, index) = match called.values {
        [Value::Text(text), _, Value::Whole(index)] if !text.is_empty() => (text, *index),
        _ => return Ok(Value::Null),
    };
    let at_each = |is_separator: &dyn Fn(char) -> bool| {
        let mut all = vec![String::new()];
        for letter in text.chars() {
            if is_separator(letter) {
                all.push(String::new());
            } else if let Some(last) = all.last_mut() {
                last.push(letter);
            }
        }
        all
    };
    let all = match &called.values[1] {
        Value::Whole(code @ 1..=255) => at_each(&|letter| letter == char::from(*code as u8)),
        Value::Text(separator) if separator.is_empty() => at_each(&is_whitespace),
        Value::Text(separator) => pieces(text, separator),
        _ => return Ok(Value::Null),
    };
    let piece = usize::try_from(index).ok().and_then(|index| all.into_iter().nth(index));
    Ok(piece.map_or(Value::Null, Value::Text))
}

fn instr(called: &Called) -> Result<Value, String> {
    if called.has_null() {
        return Ok(Value::Null);
    }
    let [Value::Text(text), Value::Text(sought), more @ ..] = called.values else { return Err("no text".to_owned()) };
    let number = |place: usize| match more.get(place) {
        Some(Value::Whole(number)) => *number,
        _ => 1,
    };
    let (from, nth) = (number(0), number(1));
    if nth <= 0 {
        return Err("the number of the occurrence is not positive".to_owned());
    }
    let (letters, sought): (Vec<char>, Vec<char>) = (text.chars().collect(), sought.chars().collect());
    // The position, counted from 1, of the n-th occurrence at or after `from`. An empty text is found at position 1.
    let nth_from = |letters: &[char], sought: &[char], from: i64| -> Option<i64> {
        let (mut from, mut found) = (usize::try_from(from - 1).ok()?, 0);
        for _ in 0..nth {
            if sought.is_empty() {
                return Some(1);
            }
            found = (from..letters.len()).find(|place| letters[*place..].starts_with(sought))? + 1;
            from = found;
        }
        Some(found as i64)
    };
    let reversed = |letters: &[char]| letters.iter().rev().copied().collect::<Vec<_>>();
    Ok(Value::Whole(match from {
        0 => 0,
        1.. => nth_from(&letters, &sought, from).unwrap_or(0),
        // The negation of Java's smallest INT overflows, so nothing is found.
        _ => match nth_from(&reversed(&letters), &reversed(&sought), -from) {
            Some(place) => letters.len() as i64 + 2 - place - sought.len() as i64,
            None => 0,
        },
    }))
}

fn is_text_of(called: &Called, is_one: fn(char) -> bool) -> bool {
    matches!(&called.values[0], Value::Text(text) if !text.is_empty() && text.chars().all(is_one))
}

/// `Character.isLetter`: alphabetic characters without letter numbers and marks.
fn is_letter(letter: char) -> bool {
    let is_mark = matches!(letter, '\u{345}' | '\u{903}' | '\u{94c}' | '\u{e4d}' | '\u{1dfa}');
    let is_number = matches!(letter, '\u{2160}'..='\u{2188}' | '\u{3007}' | '\u{3021}'..='\u{3029}');
    letter.is_alphabetic() && !is_mark && !is_number && !matches!(letter, '\u{24b6}'..='\u{24e9}')
}

/// `Character.isDigit`: ten consecutive digits of each script. The list has the scripts that occur in random texts.
fn is_digit(letter: char) -> bool {
    ['0', '٠', '०', '০', '０', '𝟎'].iter().any(|zero| (0..10).contains(&(letter as i64 - *zero as i64)))
}

/// `Character.isWhitespace`: separators except non-breaking ones, and some control characters.
fn is_whitespace(letter: char) -> bool {
    let is_control = matches!(letter, '\t'..='\r' | '\u{1c}'..='\u{1f}');
    let does_not_break = matches!(letter, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}');
    is_control || letter.is_whitespace() && !does_not_break
}
