//! Finding: `POSITION`, `LOCATE`, `INSTR`. Positions count characters from 1; 0 means not found.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int32Type};
use eddyline_expression::{Result, ScalarFunction, value_err};

use super::pad::first_characters;
use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Int, Text};
    const SOUGHT_FIRST: &[&[Parameter]] = &[&[Text, Text], &[Text, Text, Int]];
    let int = || Returns::Type(DataType::Int32);
    vec![
        function("position", SOUGHT_FIRST, int(), locate).build(),
        function("locate", SOUGHT_FIRST, int(), locate).build(),
        function("instr", &[&[Text, Text], &[Text, Text, Int], &[Text, Text, Int, Int]], int(), instr).build(),
    ]
}

/// The position of `sought` in `text` at or after position `from`. 0 if it is missing. An empty `sought` is at the start,
/// wherever the search begins.
fn find(text: &str, sought: &str, from: i32) -> i32 {
    if sought.is_empty() {
        return 1;
    }
    // As in Java the smallest INT wraps around to a position after the end.
    let start = first_characters(text, usize::try_from(from.wrapping_sub(1)).unwrap_or(0)).len();
    match text[start..].find(sought) {
        Some(offset) => i32::try_from(text[..start + offset].chars().count()).map_or(0, |before| before + 1),
        None => 0,
    }
}

fn locate(args: &Arguments) -> Result<ArrayRef> {
    let (sought, text) = (args.text(0)?, args.text(1)?);
    let from = if args.len() > 2 { Some(args.int(2)?) } else { None };
    args.write::<Int32Type>(|row| {
        let from = from.as_ref().map_or(Some(1), |from| from.get(row))?;
        let (text, sought) = (text.get(row)?, sought.get(row)?);
        Some(find(text, sought, from))
    })
}

fn instr(args: &Arguments) -> Result<ArrayRef> {
    let (text, sought) = (args.text(0)?, args.text(1)?);
    let from = if args.len() > 2 { Some(args.int(2)?) } else { None };
    let nth = if args.len() > 3 { Some(args.int(3)?) } else { None };
    args.try_write::<Int32Type>(|row| {
        let from = from.as_ref().map_or(Some(1), |from| from.get(row));
        let nth = nth.as_ref().map_or(Some(1), |nth| nth.get(row));
        let (Some(text), Some(sought), Some(from), Some(nth)) = (text.get(row), sought.get(row), from, nth) else {
            return Ok(None);
        };
        if nth <= 0 {
            return value_err!("INSTR: the number of the occurrence must be positive, not {nth}");
        }
        if from >= 0 {
            return Ok(Some(find_nth(text, sought, from, nth)));
        }
        // A search from the end searches the reversed strings.
        let reverse = |text: &str| text.chars().rev().collect::<String>();
        Ok(Some(match find_nth(&reverse(text), &reverse(sought), from.saturating_neg(), nth) {
            0 => 0,
            found => {
                let length = |text: &str| i32::try_from(text.chars().count()).unwrap_or(i32::MAX);
                length(text) + 2 - found - length(sought)
            }
        }))
    })
}

fn find_nth(text: &str, sought: &str, from: i32, nth: i32) -> i32 {
    let mut found = 0;
    let mut from = from;
    if from == 0 {
        return 0;
    }
    for _ in 0..nth {
        found = find(text, sought, from);
        if found == 0 {
            return 0;
        }
        from = found + 1;
    }
    found
}
