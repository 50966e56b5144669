//! Joining: `CONCAT` (NULL if any argument is), `CONCAT_WS` (skips NULLs; NULL if the separator is), `REPEAT`, `ELT`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use eddyline_expression::{Result, ScalarFunction, value_err};

use crate::arguments::Arguments;
use crate::function::{Returns, function};
use crate::parameters::Parameter;

/// The longest string that a function builds, in bytes. This is Java's limit, and it bounds the memory of one row.
pub(crate) const TEXT_BYTES_MAX: usize = i32::MAX as usize;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    vec![
        function("concat", &[&[Parameter::Text]], Returns::Type(DataType::Utf8), |args| {
            let texts = (0..args.len()).map(|position| args.text(position)).collect::<Result<Vec<_>>>()?;
            args.write_text(|row, out| texts.iter().try_for_each(|text| Some(out.push_str(text.get(row)?))))
        })
        .repeats_last()
        .build(),
        function(
            "concat_ws",
            &[&[Parameter::Text], &[Parameter::Text, Parameter::Text]],
            Returns::Type(DataType::Utf8),
            concat_ws,
        )
        .repeats_last()
        .build(),
        function("repeat", &[&[Parameter::Text, Parameter::Int]], Returns::Type(DataType::Utf8), repeat).build(),
        function("elt", &[&[Parameter::Int, Parameter::Text]], Returns::Type(DataType::Utf8), |args| {
            let index = args.int(0)?;
            let texts = (1..args.len()).map(|position| args.text(position)).collect::<Result<Vec<_>>>()?;
            args.write_text(|row, out| {
                let index = usize::try_from(index.get(row)?).ok()?.checked_sub(1)?;
                Some(out.push_str(texts.get(index)?.get(row)?))
            })
        })
        .repeats_last()
        .build(),
    ]
}

fn concat_ws(args: &Arguments) -> Result<ArrayRef> {
    let separator = args.text(0)?;
    let texts = (1..args.len()).map(|position| args.text(position)).collect::<Result<Vec<_>>>()?;
    args.write_text(|row, out| {
        let separator = separator.get(row)?;
        let mut first = true;
        for text in texts.iter().filter_map(|text| text.get(row)) {
            if !first {
                out.push_str(separator);
            }
            out.push_str(text);
            first = false;
        }
        Some(())
    })
}

fn repeat(args: &Arguments) -> Result<ArrayRef> {
    let (text, count) = (args.text(0)?, args.int(1)?);
    args.try_write_text(|row, out| {
        let (Some(text), Some(count)) = (text.get(row), count.get(row)) else { return Ok(None) };
        let count = usize::try_from(count).unwrap_or(0);
        if text.len().saturating_mul(count) > TEXT_BYTES_MAX {
            return value_err!("REPEAT: {count} times {} bytes is longer than a string may be", text.len());
        }
        (0..count).for_each(|_| out.push_str(text));
        Ok(Some(()))
    })
}
