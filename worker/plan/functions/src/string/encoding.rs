//! Encodings: `TO_BASE64`, `FROM_BASE64`, `ENCODE`, `DECODE`, `UNHEX`.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use eddyline_expression::{Result, ScalarFunction, plan_err, value_err};

use crate::arguments::Arguments;
use crate::function::{Returns, function, literal_text};
use crate::parameters::Parameter;

/// Base64 as Java's: written with padding, read with or without it. The unused bits after the last byte are ignored.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A character set of `ENCODE` and `DECODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    Utf16 { little_endian: bool, mark: bool },
}

impl Charset {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_uppercase().as_str() {
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16BE" => Self::Utf16 { little_endian: false, mark: false },
            "UTF-16LE" => Self::Utf16 { little_endian: true, mark: false },
            "UTF-16" => Self::Utf16 { little_endian: false, mark: true },
            _ => return None,
        })
    }

    fn encode(self, text: &str, out: &mut Vec<u8>) {
        let limit = if self == Self::Ascii { 0x7F } else { 0xFF };
        match self {
            Self::Utf8 => out.extend_from_slice(text.as_bytes()),
            Self::Ascii | Self::Latin1 => out.extend(text.chars().map(|character| match u8::try_from(character) {
                Ok(byte) if byte <= limit => byte,
                _ => b'?',
            })),
            Self::Utf16 { little_endian, mark } => {
                if mark && !text.is_empty() {
                    out.extend_from_slice(&[0xFE, 0xFF]);
                }
                for unit in text.encode_utf16() {
                    out.extend_from_slice(&if little_endian { unit.to_le_bytes() } else { unit.to_be_bytes() });
                }
            }
        }
    }

    fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Self::Ascii => {
                out.extend(bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '\u{FFFD}' }))
            }
            Self::Latin1 => out.extend(bytes.iter().map(|byte| char::from(*byte))),
            Self::Utf16 { little_endian, mark } => {
                let (little_endian, bytes) = match bytes {
                    [0xFE, 0xFF, rest @ ..] if mark => (false, rest),
                    [0xFF, 0xFE, rest @ ..] if mark => (true, rest),
                    bytes => (little_endian, bytes),
                };
                let units = bytes.chunks(2).map(|pair| match *pair {
                    [first, second] if little_endian => u16::from_le_bytes([first, second]),
                    [first, second] => u16::from_be_bytes([first, second]),
                    _ => 0xFFFD,
                });
                out.extend(char::decode_utf16(units).map(|decoded| decoded.unwrap_or('\u{FFFD}')));
            }
        }
    }
}

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    const TEXT: &[&[Parameter]] = &[&[Parameter::Text]];
    let check: fn(&[eddyline_expression::Expr]) -> Result<()> = |args| match literal_text(args, 1) {
        Some(name) if Charset::named(name).is_none() => plan_err!("'{name}' is not a supported character set"),
        _ => Ok(()),
    };
    vec![
        function("to_base64", &[&[Parameter::TextOrBytes]], Returns::Type(DataType::Utf8), |args| {
            if *args.data_type(0) == DataType::Binary {
                let bytes = args.bytes(0)?;
                return args.write_text(|row, out| Some(BASE64.encode_string(bytes.get(row)?, out)));
            }
            let text = args.text(0)?;
            args.write_text(|row, out| Some(BASE64.encode_string(text.get(row)?, out)))
        })
        .build(),
        function("from_base64", TEXT, Returns::Type(DataType::Utf8), |args| {
            let text = args.text(0)?;
            args.write_text(|row, out| {
                let text = text.get(row)?;
                // Padding may be missing, but not incomplete.
                let bytes = if text.ends_with('=') && text.len() % 4 != 0 { None } else { BASE64.decode(text).ok() }?;
                Some(out.push_str(&String::from_utf8_lossy(&bytes)))
            })
        })
        .build(),
        function("unhex", TEXT, Returns::Type(DataType::Binary), |args| {
            let text = args.text(0)?;
            args.try_write_bytes(|row, out| Ok(text.get(row).and_then(|text| unhex(text, out))))
        })
        .build(),
        function("encode", &[&[Parameter::Text, Parameter::Text]], Returns::Type(DataType::Binary), encode)
            .check(check)
            .build(),
        function("decode", &[&[Parameter::Bytes, Parameter::Text]], Returns::Type(DataType::Utf8), decode)
            .check(check)
            .build(),
    ]
}

fn charset(name: &str) -> Result<Charset> {
    match Charset::named(name) {
        Some(charset) => Ok(charset),
        None => value_err!("'{name}' is not a supported character set"),
    }
}

fn encode(args: &Arguments) -> Result<ArrayRef> {
    let (text, name) = (args.text(0)?, args.text(1)?);
    args.try_write_bytes(|row, out| match (text.get(row), name.get(row)) {
        (Some(text), Some(name)) => Ok(Some(charset(name)?.encode(text, out))),
        _ => Ok(None),
    })
}

fn decode(args: &Arguments) -> Result<ArrayRef> {
    let (bytes, name) = (args.bytes(0)?, args.text(1)?);
    args.try_write_text(|row, out| match (bytes.get(row), name.get(row)) {
        (Some(bytes), Some(name)) => Ok(Some(charset(name)?.decode(bytes, out))),
        _ => Ok(None),
    })
}

fn unhex(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut nibbles = text.chars().map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    if text.chars().count() % 2 == 1 {
        out.push(nibbles.next()??);
    }
    while let Some(high) = nibbles.next() {
        out.push(high? << 4 | nibbles.next()??);
    }
    Some(())
}
