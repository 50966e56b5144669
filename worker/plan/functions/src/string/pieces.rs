//! Parts of a string: `SUBSTRING`, `LEFT`, `RIGHT`, `OVERLAY`, `SPLIT_INDEX`, `SPLIT`, `REPLACE`, `TRANSLATE`.
//!
//! `SUBSTRING` from a negative position counts from the end. From 0 it starts at the first character. With a negative
//! length it is NULL. `SPLIT_INDEX` counts pieces from 0 and is NULL outside them. An INT separator is a character
//! code.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field};
use eddyline_expression::{Result, ScalarFunction};

use super::pad::first_characters;
use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Int, Long, Text};
    const SIDE: &[&[Parameter]] = &[&[Text, Int]];
    let text = || Returns::Type(DataType::Utf8);
    vec![
        function("substring", &[&[Text, Long], &[Text, Long, Long]], text(), substring).aliases(&["substr"]).build(),
        function("left", SIDE, text(), |args| {
            let (text, count) = (args.text(0)?, args.int(1)?);
            args.write_text(|row, out| {
                Some(out.push_str(first_characters(text.get(row)?, usize::try_from(count.get(row)?).unwrap_or(0))))
            })
        })
        .build(),
        function("right", SIDE, text(), |args| {
            let (text, count) = (args.text(0)?, args.int(1)?);
            args.write_text(|row, out| {
                let text = text.get(row)?;
                let dropped = text.chars().count().saturating_sub(usize::try_from(count.get(row)?).unwrap_or(0));
                Some(out.push_str(&text[first_characters(text, dropped).len()..]))
            })
        })
        .build(),
        function("overlay", &[&[Text, Text, Long], &[Text, Text, Long, Long]], text(), overlay).build(),
        function("split_index", &[&[Text, Int, Int], &[Text, Text, Int]], text(), split_index).build(),
        function("split", &[&[Text, Text]], Returns::Type(texts_type()), split).build(),
        function("replace", &[&[Text, Text, Text]], text(), replace).build(),
        function("translate", &[&[Text, Text, Text]], text(), translate).aliases(&["translate3"]).build(),
    ]
}

fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new("element", DataType::Utf8, true)))
}

fn substring(args: &Arguments) -> Result<ArrayRef> {
    let (text, start) = (args.text(0)?, args.long(1)?);
    let length = if args.len() > 2 { Some(args.long(2)?) } else { None };
    args.write_text(|row, out| {
        let (text, start) = (text.get(row)?, start.get(row)?);
        let length = length.as_ref().map_or(Some(i64::MAX), |length| length.get(row))?;
        Some(out.push_str(piece(text, start, usize::try_from(length).ok()?)))
    })
}

/// At most `length` characters from a position. It counts from 1, or from the end if it is negative.
fn piece(text: &str, start: i64, length: usize) -> &str {
    let skipped = if start > 0 {
        usize::try_from(start - 1).unwrap_or(usize::MAX)
    } else if start == 0 {
        0
    } else {
        let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
        match text.chars().count().checked_sub(back) {
            Some(skipped) => skipped,
            None => return "",
        }
    };
    first_characters(&text[first_characters(text, skipped).len()..], length)
}

fn overlay(args: &Arguments) -> Result<ArrayRef> {
    let (text, replacement, start) = (args.text(0)?, args.text(1)?, args.long(2)?);
    let length = if args.len() > 3 { Some(args.long(3)?) } else { None };
    args.write_text(|row, out| {
        let (text, replacement, start) = (text.get(row)?, replacement.get(row)?, start.get(row)?);
        let length = match &length {
            Some(length) => length.get(row)?,
            None => i64::try_from(replacement.chars().count()).ok()?,
        };
        let characters = i64::try_from(text.chars().count()).ok()?;
        if start <= 0 || start > characters {
            return Some(out.push_str(text));
        }
        out.push_str(first_characters(text, usize::try_from(start - 1).ok()?));
        out.push_str(replacement);
        if length > 0 && start.saturating_add(length) <= characters {
            out.push_str(piece(text, start + length, usize::MAX));
        }
        Some(())
    })
}

fn split_index(args: &Arguments) -> Result<ArrayRef> {
    let (text, index) = (args.text(0)?, args.int(2)?);
    if *args.data_type(1) == DataType::Int32 {
        let code = args.int(1)?;
        return args.write_text(|row, out| {
            let code = u8::try_from(code.get(row)?).ok().filter(|code| *code > 0)?;
            let (text, index) = (text.get(row)?, usize::try_from(index.get(row)?).ok()?);
            let piece = if text.is_empty() { None } else { text.split(char::from(code)).nth(index) };
            Some(out.push_str(piece?))
        });
    }
    let separator = args.text(1)?;
    args.write_text(|row, out| {
        let (text, separator, index) = (text.get(row)?, separator.get(row)?, usize::try_from(index.get(row)?).ok()?);
        let piece = if text.is_empty() {
            None
        } else if separator.is_empty() {
            // An empty separator means white space.
            text.split(is_java_whitespace).nth(index)
        } else {
            text.split(separator).nth(index)
        };
        Some(out.push_str(piece?))
    })
}

/// Java's `Character.isWhitespace`, which does not accept non-breaking spaces.
fn is_java_whitespace(character: char) -> bool {
    match character {
        '\u{1C}'..='\u{1F}' => true,
        '\u{85}' | '\u{A0}' | '\u{2007}' | '\u{202F}' => false,
        other => other.is_whitespace(),
    }
}

fn split(args: &Arguments) -> Result<ArrayRef> {
    let (text, separator) = (args.text(0)?, args.text(1)?);
    let element = Arc::new(Field::new("element", DataType::Utf8, true));
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(element);
    for row in 0..args.rows {
        match (text.get(row), separator.get(row)) {
            (Some(""), Some(_)) => builder.append(true),
            (Some(text), Some("")) => {
                text.chars().for_each(|character| builder.values().append_value(character.encode_utf8(&mut [0; 4])));
                builder.append(true);
            }
            (Some(text), Some(separator)) => {
                text.split(separator).for_each(|piece| builder.values().append_value(piece));
                builder.append(true);
            }
            _ => builder.append(false),
        }
    }
    Ok(Arc::new(builder.finish()))
}

fn replace(args: &Arguments) -> Result<ArrayRef> {
    let (text, old, new) = (args.text(0)?, args.text(1)?, args.text(2)?);
    args.write_text(|row, out| {
        let (text, old, new) = (text.get(row)?, old.get(row)?, new.get(row)?);
        let mut end = 0;
        for (start, found) in text.match_indices(old) {
            out.push_str(&text[end..start]);
            out.push_str(new);
            end = start + found.len();
        }
        Some(out.push_str(&text[end..]))
    })
}

/// Replaces each character of the second string by the one at its place in the third, or removes it if there is none.
fn translate(args: &Arguments) -> Result<ArrayRef> {
    let (text, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
    args.write_text(|row, out| {
        let (text, from, to) = (text.get(row)?, from.get(row)?, to.get(row)?);
        for character in text.chars() {
            match from.chars().position(|candidate| candidate == character) {
                Some(place) => out.extend(to.chars().nth(place)),
                None => out.push(character),
            }
        }
        Some(())
    })
}
