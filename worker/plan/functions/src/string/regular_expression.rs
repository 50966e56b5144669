//! Java regular expressions: `REGEXP`, `REGEXP_REPLACE`, `REGEXP_EXTRACT`, `REGEXP_COUNT`, `STR_TO_MAP`.
//!
//! Patterns are Java's and are translated: `\d`, `\w`, `\s` and `\b` are ASCII, and `.` stops at every line end.
//! Look-around, backreferences and possessive quantifiers are not supported. A literal pattern with one of them is
//! refused while planning. If such a pattern comes with the data, the job fails. A pattern that is malformed in Java
//! too gives Flink's NULL (FALSE for `REGEXP`), and so does a group that the pattern does not have, whether it is a
//! literal or not. A malformed delimiter of `STR_TO_MAP` is an error, as in Flink.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, MapBuilder, MapFieldNames, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use eddyline_expression::{Expr, Result, ScalarFunction, plan_err, value_err};
use regex::Regex;

use crate::arguments::Arguments;
use crate::function::{Returns, function, literal_text};
use crate::parameters::Parameter;

/// The number of compiled patterns that a function keeps. If patterns come with the data, a query may have many more.
const PATTERNS_MAX: usize = 128;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Refusal {
    /// Java supports it, and Eddyline does not.
    Unsupported(&'static str),
    /// It is not a regular expression in Java either.
    Malformed,
}

/// The patterns that one function has compiled.
#[derive(Debug, Default)]
struct Patterns(Mutex<BTreeMap<String, std::result::Result<Arc<Regex>, Refusal>>>);

impl Patterns {
    /// The compiled pattern. `None` if it is malformed, an error if only Java supports it.
    fn get(&self, pattern: &str) -> Result<Option<Arc<Regex>>> {
        let mut patterns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !patterns.contains_key(pattern) {
            if patterns.len() >= PATTERNS_MAX {
                patterns.clear();
            }
            patterns.insert(pattern.to_owned(), compile(pattern).map(Arc::new));
        }
        match patterns.get(pattern) {
            Some(Ok(regex)) => Ok(Some(Arc::clone(regex))),
            Some(Err(Refusal::Unsupported(what))) => {
                value_err!("regular expression '{pattern}' uses {what}, which is not supported")
            }
            _ => Ok(None),
        }
    }
}

fn compile(pattern: &str) -> std::result::Result<Regex, Refusal> {
    let translated = translate(pattern)?;
    Regex::new(&translated).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => Refusal::Unsupported("too many repetitions"),
        _ => Refusal::Malformed,
    })
}

/// A Java pattern in the syntax of the `regex` crate.
fn translate(pattern: &str) -> std::result::Result<String, Refusal> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    let mut class_depth = 0_usize;
    let mut after_quantifier = false;
    let dot_matches_all = pattern.contains("(?s") || pattern.contains("(?is") || pattern.contains("(?ms");
    while let Some(character) = chars.next() {
        let mut quantifier = false;
        match character {
            '\\' => translate_escape(&mut chars, class_depth > 0, &mut out)?,
            '[' => {
                class_depth += 1;
                out.push('[');
                if chars.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' => {
                class_depth = class_depth.saturating_sub(1);
                out.push(']');
            }
            other if class_depth > 0 => out.push(other),
            '(' => {
                out.push('(');
                translate_group(&mut chars)?;
            }
            '.' if !dot_matches_all => out.push_str(r"[^\n\r\u{85}\u{2028}\u{2029}]"),
            '+' if after_quantifier => return Err(Refusal::Unsupported("a possessive quantifier")),
            '?' if after_quantifier => out.push('?'),
            '*' | '+' | '?' | '}' => {
                quantifier = true;
                out.push(character);
            }
            other => out.push(other),
        }
        after_quantifier = quantifier;
    }
    Ok(out)
}

/// Refuses the kinds of groups that the `regex` crate does not support. The opening parenthesis has been read.
fn translate_group(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> std::result::Result<(), Refusal> {
    let mut ahead = chars.clone();
    if ahead.next() != Some('?') {
        return Ok(());
    }
    match (ahead.next(), ahead.next()) {
        (Some('=' | '!'), _) => Err(Refusal::Unsupported("look-ahead")),
        (Some('<'), Some('=' | '!')) => Err(Refusal::Unsupported("look-behind")),
        (Some('>'), _) => Err(Refusal::Unsupported("an atomic group")),
        _ => Ok(()),
    }
}

fn translate_escape(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    in_class: bool,
    out: &mut String,
) -> std::result::Result<(), Refusal> {
    let Some(escaped) = chars.next() else {
        return Err(Refusal::Malformed);
    };
    match escaped {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[ \t\n\x0B\f\r]"),
        'S' => out.push_str(r"[^ \t\n\x0B\f\r]"),
        'h' => out.push_str(r"[ \t\u{A0}\u{1680}\u{180E}\u{2000}-\u{200A}\u{202F}\u{205F}\u{3000}]"),
        'v' => out.push_str(r"[\n\x0B\f\r\u{85}\u{2028}\u{2029}]"),
        'R' if !in_class => out.push_str(r"(?:\r\n|[\n\x0B\f\r\u{85}\u{2028}\u{2029}])"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'B' if !in_class => return Err(Refusal::Unsupported(r"\B")),
        'Z' if !in_class => out.push_str(r"(?:\r?\n)?\z"),
        'G' | 'X' => return Err(Refusal::Unsupported(r"\G or \X")),
        'e' => out.push_str(r"\x1B"),
        'k' | '1'..='9' => return Err(Refusal::Unsupported("a backreference")),
        'Q' => {
            let mut quoted = String::new();
            while let Some(character) = chars.next() {
                if character == '\\' && chars.next_if_eq(&'E').is_some() {
                    break;
                }
                quoted.push(character);
            }
            out.push_str(&regex::escape(&quoted));
        }
        'p' | 'P' => translate_property(escaped, chars, out)?,
        letter if letter.is_ascii_alphanumeric() => {
            out.push('\\');
            out.push(letter);
        }
        symbol => out.push_str(&regex::escape(symbol.encode_utf8(&mut [0; 4]))),
    }
    Ok(())
}

fn translate_property(
    kind: char,
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> std::result::Result<(), Refusal> {
    let mut name = String::new();
    if chars.next_if_eq(&'{').is_some() {
        name.extend(chars.by_ref().take_while(|character| *character != '}'));
    } else {
        name.extend(chars.next());
    }
    let posix = [
        "Lower", "Upper", "ASCII", "Alpha", "Digit", "Alnum", "Punct", "Graph", "Print", "Blank", "Cntrl", "XDigit",
        "Space",
    ];
    if posix.contains(&name.as_str()) {
        let negation = if kind == 'P' { "^" } else { "" };
        out.push_str(&format!("[[:{negation}{}:]]", name.to_ascii_lowercase()));
        return Ok(());
    }
    let name = if name.starts_with("java") {
        return Err(Refusal::Unsupported("a java character class"));
    } else {
        name.strip_prefix("Is").or(name.strip_prefix("In")).unwrap_or(&name)
    };
    out.push_str(&format!("\\{kind}{{{name}}}"));
    Ok(())
}

/// Refuses a literal pattern at argument 1 that cannot be used.
fn check_pattern(args: &[Expr]) -> Result<()> {
    check_pattern_at(args, 1)
}

fn check_pattern_at(args: &[Expr], position: usize) -> Result<()> {
    let Some(pattern) = literal_text(args, position) else { return Ok(()) };
    match compile(pattern) {
        Ok(_) => Ok(()),
        Err(Refusal::Unsupported(what)) => {
            plan_err!("regular expression '{pattern}' uses {what}, which is not supported")
        }
        // The result is NULL or FALSE, as for a pattern that comes with the data.
        Err(Refusal::Malformed) => Ok(()),
    }
}

/// Refuses a literal delimiter of `STR_TO_MAP` that cannot be used.
fn check_delimiter(args: &[Expr], position: usize) -> Result<()> {
    check_pattern_at(args, position)?;
    match literal_text(args, position) {
        Some(pattern) if compile(pattern).is_err() => plan_err!("{}", no_delimiter(pattern)),
        _ => Ok(()),
    }
}

fn no_delimiter(pattern: &str) -> String {
    format!("the delimiter '{pattern}' of STR_TO_MAP is no regular expression; escape special characters with \\")
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Int, Text};
    const TWO: &[&[Parameter]] = &[&[Text, Text]];
    let (matches, counts, replaces, extracts, maps) =
        (Patterns::default(), Patterns::default(), Patterns::default(), Patterns::default(), Patterns::default());
    vec![
        function("regexp", TWO, Returns::Type(DataType::Boolean), move |args| regexp(args, &matches))
            .check(check_pattern)
            .build(),
        function("regexp_count", TWO, Returns::Type(DataType::Int32), move |args| regexp_count(args, &counts))
            .check(check_pattern)
            .build(),
        function("regexp_replace", &[&[Text, Text, Text]], Returns::Type(DataType::Utf8), move |args| {
            regexp_replace(args, &replaces)
        })
        .check(check_pattern)
        .build(),
        function("regexp_extract", &[&[Text, Text], &[Text, Text, Int]], Returns::Type(DataType::Utf8), move |args| {
            regexp_extract(args, &extracts)
        })
        .check(check_pattern)
        .build(),
        function("str_to_map", &[&[Text], &[Text, Text, Text]], Returns::Type(text_map_type()), move |args| {
            str_to_map(args, &maps)
        })
        .check(|args| {
            check_delimiter(args, 1)?;
            check_delimiter(args, 2)
        })
        .build(),
    ]
}

fn regexp(args: &Arguments, patterns: &Patterns) -> Result<ArrayRef> {
    let (text, pattern) = (args.text(0)?, args.text(1)?);
    if let Some(constant) = args.constant_text(1) {
        let regex = if constant.is_empty() { None } else { patterns.get(constant)? };
        return args.write_boolean(|row| {
            let text = text.get(row)?;
            Some(regex.as_ref().is_some_and(|regex| regex.is_match(text)))
        });
    }
    let mut answers = Vec::with_capacity(args.rows);
    for row in 0..args.rows {
        answers.push(match (text.get(row), pattern.get(row)) {
            (Some(_), Some("")) => Some(false),
            (Some(text), Some(pattern)) => Some(patterns.get(pattern)?.is_some_and(|regex| regex.is_match(text))),
            _ => None,
        });
    }
    args.write_boolean(|row| answers[row])
}

/// The pattern of each row. A constant one is looked up once.
fn each_pattern<'a>(
    args: &'a Arguments,
    patterns: &'a Patterns,
) -> Result<impl Fn(usize) -> Result<Option<Arc<Regex>>> + 'a> {
    let pattern = args.text(1)?;
    let constant = args.constant_text(1).map(|constant| patterns.get(constant)).transpose()?;
    Ok(move |row| match (&constant, pattern.get(row)) {
        (Some(regex), _) => Ok(regex.clone()),
        (None, Some(pattern)) => patterns.get(pattern),
        (None, None) => Ok(None),
    })
}

/// The matches of Java's `Matcher.find`. After an empty match the search continues one character later. After another
/// match there can be an empty one at its end.
fn matches<'t>(regex: &Regex, text: &'t str) -> impl Iterator<Item = regex::Match<'t>> {
    let mut from = Some(0);
    std::iter::from_fn(move || {
        let found = regex.find_at(text, from?)?;
        from = if found.is_empty() {
            // The search ends at the end of the text.
            text[found.end()..].chars().next().map(|skipped| found.end() + skipped.len_utf8())
        } else {
            Some(found.end())
        };
        Some(found)
    })
}

/// The pieces of Java's `String.split`, at most `pieces_max`. An empty match at the start separates nothing.
fn split<'t>(regex: &Regex, text: &'t str, pieces_max: usize) -> Vec<&'t str> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for found in matches(regex, text).filter(|found| found.end() > 0) {
        if pieces.len() + 1 == pieces_max {
            break;
        }
        pieces.push(&text[from..found.start()]);
        from = found.end();
    }
    pieces.push(&text[from..]);
    pieces
}

fn regexp_count(args: &Arguments, patterns: &Patterns) -> Result<ArrayRef> {
    let (text, regex) = (args.text(0)?, each_pattern(args, patterns)?);
    args.try_write::<Int32Type>(|row| match (text.get(row), regex(row)?) {
        (Some(text), Some(regex)) => Ok(i32::try_from(matches(&regex, text).count()).ok()),
        _ => Ok(None),
    })
}

fn regexp_replace(args: &Arguments, patterns: &Patterns) -> Result<ArrayRef> {
    let (text, replacement, regex) = (args.text(0)?, args.text(2)?, each_pattern(args, patterns)?);
    args.try_write_text(|row, out| match (text.get(row), regex(row)?, replacement.get(row)) {
        (Some(text), Some(regex), Some(replacement)) => {
            let mut from = 0;
            for found in matches(&regex, text) {
                out.push_str(&text[from..found.start()]);
                out.push_str(replacement);
                from = found.end();
            }
            out.push_str(&text[from..]);
            Ok(Some(()))
        }
        _ => Ok(None),
    })
}

fn regexp_extract(args: &Arguments, patterns: &Patterns) -> Result<ArrayRef> {
    let (text, regex) = (args.text(0)?, each_pattern(args, patterns)?);
    let group = if args.len() > 2 { Some(args.int(2)?) } else { None };
    args.try_write_text(|row, out| {
        let group = group.as_ref().map_or(Some(0), |group| group.get(row));
        let (Some(text), Some(regex), Some(group)) = (text.get(row), regex(row)?, group) else { return Ok(None) };
        let Ok(group) = usize::try_from(group) else { return Ok(None) };
        let found =
            if group == 0 { regex.find(text) } else { regex.captures(text).and_then(|captures| captures.get(group)) };
        Ok(found.map(|found| out.push_str(found.as_str())))
    })
}

/// MAP<STRING, STRING> as batches carry it.
fn text_map_type() -> DataType {
    let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entry), false)), false)
}

fn str_to_map(args: &Arguments, patterns: &Patterns) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let delimiters = if args.len() > 1 { Some((args.text(1)?, args.text(2)?)) } else { None };
    let delimiter = |pattern: &str| match patterns.get(pattern)? {
        Some(regex) => Ok(regex),
        // Flink fails too here, unlike in other functions of patterns.
        None => value_err!("{}", no_delimiter(pattern)),
    };
    let names = MapFieldNames { entry: "entries".into(), key: "key".into(), value: "value".into() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
    for row in 0..args.rows {
        let (between_pairs, in_pair) = match &delimiters {
            Some((pairs, values)) => (pairs.get(row), values.get(row)),
            None => (Some(","), Some("=")),
        };
        let (Some(text), Some(between_pairs), Some(in_pair)) = (text.get(row), between_pairs, in_pair) else {
            builder.append(false)?;
            continue;
        };
        // A later pair replaces an earlier one with the same key. The map is sorted by key.
        let mut entries = BTreeMap::new();
        if !text.is_empty() {
            let (between_pairs, in_pair) = (delimiter(between_pairs)?, delimiter(in_pair)?);
            let mut pairs = split(&between_pairs, text, usize::MAX);
            while pairs.last().is_some_and(|pair| pair.is_empty()) {
                pairs.pop();
            }
            for pair in pairs {
                match split(&in_pair, pair, 2).as_slice() {
                    [key, value] => entries.insert(*key, Some(*value)),
                    _ => entries.insert(pair, None),
                };
            }
        }
        for (key, value) in entries {
            builder.keys().append_value(key);
            builder.values().append_option(value);
        }
        builder.append(true)?;
    }
    Ok(Arc::new(builder.finish()))
}
