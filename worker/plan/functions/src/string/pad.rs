//! Blanks and padding: `TRIM`, `BTRIM`, `LTRIM`, `RTRIM`, `LPAD`, `RPAD`.
//!
//! `trim(s)` removes blanks, which are only the space character. With a second argument it removes any of its
//! characters.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use eddyline_expression::{Result, ScalarFunction, value_err};

use super::join::TEXT_BYTES_MAX;
use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    const TRIM: &[&[Parameter]] = &[&[Parameter::Text], &[Parameter::Text, Parameter::Text]];
    const PAD: &[&[Parameter]] = &[&[Parameter::Text, Parameter::Int, Parameter::Text]];
    let text = || Returns::Type(DataType::Utf8);
    vec![
        function("btrim", TRIM, text(), |args| trim(args, true, true)).aliases(&["trim"]).build(),
        function("ltrim", TRIM, text(), |args| trim(args, true, false)).build(),
        function("rtrim", TRIM, text(), |args| trim(args, false, true)).build(),
        function("lpad", PAD, text(), |args| pad(args, true)).build(),
        function("rpad", PAD, text(), |args| pad(args, false)).build(),
    ]
}

fn trim(args: &Arguments, leading: bool, trailing: bool) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let characters = if args.len() > 1 { Some(args.text(1)?) } else { None };
    args.write_text(|row, out| {
        let mut text = text.get(row)?;
        let characters = characters.as_ref().map_or(Some(" "), |characters| characters.get(row))?;
        if leading {
            text = text.trim_start_matches(|character| characters.contains(character));
        }
        if trailing {
            text = text.trim_end_matches(|character| characters.contains(character));
        }
        Some(out.push_str(text))
    })
}

/// The first `count` characters.
pub(crate) fn first_characters(text: &str, count: usize) -> &str {
    if text.len() <= count {
        return text;
    }
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

fn pad(args: &Arguments, leading: bool) -> Result<ArrayRef> {
    let (text, length, padding) = (args.text(0)?, args.int(1)?, args.text(2)?);
    args.try_write_text(|row, out| {
        let (Some(text), Some(length), Some(padding)) = (text.get(row), length.get(row), padding.get(row)) else {
            return Ok(None);
        };
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        if padding.is_empty() {
            return Ok(None);
        }
        if length > TEXT_BYTES_MAX / 4 {
            return value_err!("padding to {length} characters is longer than a string may be");
        }
        let kept = first_characters(text, length);
        let missing = length.saturating_sub(kept.chars().count());
        let filling = padding.chars().cycle().take(missing);
        if leading {
            out.extend(filling);
            out.push_str(kept);
        } else {
            out.push_str(kept);
            out.extend(filling);
        }
        Ok(Some(()))
    })
}
