//! Tests of a string: `IS_ALPHA`, `IS_DIGIT`, `IS_DECIMAL`, `STARTSWITH`, `ENDSWITH`.
//!
//! `IS_ALPHA`, `IS_DIGIT` and `IS_DECIMAL` are FALSE for NULL and for the empty string.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::DataType;
use eddyline_expression::ScalarFunction;
use regex::Regex;

use crate::cast::number::parse_double;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// Java's `Character.isLetter`, which accepts neither marks nor letter-like numbers.
static LETTERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A\p{L}+\z").expect("a pattern"));
/// Java's `Character.isDigit`, which accepts neither fractions nor Roman numerals.
static DIGITS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A\p{Nd}+\z").expect("a pattern"));

fn is_all(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text)
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    type Question = fn(&str) -> bool;
    let questions: [(&'static str, Question); 3] = [
        ("is_alpha", |text| is_all(&LETTERS, text)),
        ("is_digit", |text| is_all(&DIGITS, text)),
        ("is_decimal", |text| parse_double(text).is_some()),
    ];
    let mut functions: Vec<_> = questions
        .into_iter()
        .map(|(name, answer)| {
            function(name, &[&[Parameter::Any]], Returns::Type(DataType::Boolean), move |args| {
                if *args.data_type(0) != DataType::Utf8 {
                    let given = args.data_type(0);
                    let number =
                        (name == "is_digit" && given.is_integer()) || (name == "is_decimal" && given.is_numeric());
                    let valid = args.spread(0)?;
                    return args.write_boolean(|row| Some(number && arrow::array::Array::is_valid(&valid, row)));
                }
                let text = args.text(0)?;
                args.write_boolean(|row| Some(text.get(row).is_some_and(answer)))
            })
            .build()
        })
        .collect();
    type Affix = fn(&[u8], &[u8]) -> bool;
    let affixes: [(&'static str, &'static str, Affix); 2] = [
        ("startswith", "starts_with", |text, affix| text.starts_with(affix)),
        ("endswith", "ends_with", |text, affix| text.ends_with(affix)),
    ];
    functions.extend(affixes.into_iter().map(|(name, alias, answer)| {
        function(
            name,
            &[&[Parameter::Text, Parameter::Text], &[Parameter::Bytes, Parameter::Bytes]],
            Returns::Type(DataType::Boolean),
            move |args| {
                if *args.data_type(0) == DataType::Binary {
                    let (bytes, affix) = (args.bytes(0)?, args.bytes(1)?);
                    return args.write_boolean(|row| Some(answer(bytes.get(row)?, affix.get(row)?)));
                }
                let (text, affix) = (args.text(0)?, args.text(1)?);
                args.write_boolean(|row| Some(answer(text.get(row)?.as_bytes(), affix.get(row)?.as_bytes())))
            },
        )
        .aliases(&[alias])
        .build()
    }));
    functions
}
