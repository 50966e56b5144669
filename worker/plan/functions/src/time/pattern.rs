//! Date patterns as Java writes them (`yyyy-MM-dd HH:mm:ss.SSS`), compiled to fields.
//!
//! Java has two dialects: `SimpleDateFormat` (FROM_UNIXTIME, UNIX_TIMESTAMP, TO_DATE, DATE_FORMAT of a DATE or STRING)
//! and `DateTimeFormatter` (TO_TIMESTAMP, DATE_FORMAT of a TIMESTAMP). They differ in `S`, `u`, widths and leniency.

use std::iter::Peekable;
use std::str::Chars;

use eddyline_expression::{Result, value_err};

/// One of Java's two pattern languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// `java.text.SimpleDateFormat`: lenient, `S` is milliseconds.
    Simple,
    /// `java.time.format.DateTimeFormatter`: exact widths, `S` is a fraction of a second.
    Formatter,
}

/// One part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// Literal text.
    Literal(String),
    /// A pattern letter and the number of its repetitions.
    Field { letter: char, count: usize },
    /// A part in brackets, which may be missing in a text that is read. Only `DateTimeFormatter` has it.
    Optional(Vec<Item>),
}

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    pub(crate) dialect: Dialect,
    pub(crate) items: Vec<Item>,
}

/// The supported letters, by dialect.
const SIMPLE_LETTERS: &str = "GyYMLwWDdFEuaHkKhmsSzZX";
const FORMATTER_LETTERS: &str = "GuyYDMLdQqwEeaHkKhmsSAnNVzOXxZ";

impl Pattern {
    /// Compiles a pattern. The error names it and the letter that is not supported.
    pub(crate) fn compile(pattern: &str, dialect: Dialect) -> Result<Self> {
        let mut chars = pattern.chars().peekable();
        let items = compile_items(pattern, &mut chars, dialect, false)?;
        Ok(Self { dialect, items })
    }
}

fn compile_items(
    pattern: &str,
    chars: &mut Peekable<Chars<'_>>,
    dialect: Dialect,
    in_brackets: bool,
) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    while let Some(letter) = chars.next() {
        match letter {
            '\'' => push_literal(&mut items, &quoted(pattern, chars)?),
            '[' if dialect == Dialect::Formatter => {
                items.push(Item::Optional(compile_items(pattern, chars, dialect, true)?));
            }
            ']' if dialect == Dialect::Formatter => {
                return if in_brackets {
                    Ok(items)
                } else {
                    value_err!("date pattern '{pattern}' closes a bracket it never opened")
                };
            }
            letter if letter.is_ascii_alphabetic() => {
                let known = if dialect == Dialect::Simple { SIMPLE_LETTERS } else { FORMATTER_LETTERS };
                if !known.contains(letter) {
                    return value_err!("date pattern '{pattern}' has the letter '{letter}', which is not supported");
                }
                let mut count = 1;
                while chars.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                items.push(Item::Field { letter, count });
            }
            other => push_literal(&mut items, other.encode_utf8(&mut [0; 4])),
        }
    }
    // Java closes brackets that are still open at the end.
    Ok(items)
}

fn quoted(pattern: &str, chars: &mut Peekable<Chars<'_>>) -> Result<String> {
    if chars.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    while let Some(letter) = chars.next() {
        if letter != '\'' {
            text.push(letter);
        } else if chars.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    value_err!("date pattern '{pattern}' has a quote that is never closed")
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    if let Some(Item::Literal(before)) = items.last_mut() {
        before.push_str(text);
    } else {
        items.push(Item::Literal(text.to_owned()));
    }
}

/// English month names, as both dialects print them.
pub(crate) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// English day names, Monday first.
pub(crate) const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
