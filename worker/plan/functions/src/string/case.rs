//! Letters: `UPPER`, `LOWER`, `INITCAP`, `REVERSE`, `CHAR_LENGTH`, `ASCII`, `CHR`.

use std::sync::Arc;

use arrow::datatypes::{DataType, Int32Type};
use eddyline_expression::ScalarFunction;

use crate::function::{Returns, function};
use crate::parameters::Parameter;

const TEXT: &[&[Parameter]] = &[&[Parameter::Text]];

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    vec![
        function("upper", TEXT, Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| {
                let text = text.get(row)?;
                if text.is_ascii() {
                    out.push_str(text);
                    out.make_ascii_uppercase();
                } else {
                    out.extend(text.chars().flat_map(char::to_uppercase));
                }
                Some(())
            })
        })
        .build(),
        function("lower", TEXT, Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| {
                let text = text.get(row)?;
                if text.is_ascii() {
                    out.push_str(text);
                    out.make_ascii_lowercase();
                } else {
                    out.push_str(&text.to_lowercase());
                }
                Some(())
            })
        })
        .build(),
        function("initcap", TEXT, Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| Some(capitalise(text.get(row)?, out)))
        })
        .build(),
        function("reverse", TEXT, Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| Some(out.extend(text.get(row)?.chars().rev())))
        })
        .build(),
        function("char_length", TEXT, Returns::Type(DataType::Int32), |args| {
            let text = args.text(0)?;
            args.write::<Int32Type>(|row| i32::try_from(text.get(row)?.chars().count()).ok())
        })
        .aliases(&["character_length"])
        .build(),
        function("ascii", TEXT, Returns::Type(DataType::Int32), |args| {
            let text = args.text(0)?;
            // Flink reads the first byte as a signed one, as Java does.
            args.write::<Int32Type>(|row| Some(text.get(row)?.bytes().next().map_or(0, |byte| i32::from(byte as i8))))
        })
        .build(),
        function("chr", &[&[Parameter::Long]], Returns::Type(DataType::Utf8), |args| {
            let code = args.long(0)?;
            args.write_text(|row, out| {
                let code = code.get(row)?;
                if code >= 0 {
                    out.push(char::from((code & 0xFF) as u8));
                }
                Some(())
            })
        })
        .build(),
    ]
}

/// Appends a text with each word capitalised. A word is a sequence of ASCII letters and digits.
fn capitalise(text: &str, out: &mut String) {
    let mut starts = true;
    for character in text.chars() {
        if character.is_ascii_alphanumeric() {
            out.push(if starts { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() });
            starts = false;
        } else {
            out.push(character);
            starts = true;
        }
    }
}
