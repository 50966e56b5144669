//! Partitions as folders: `day=2026-03-01/hm=23%3A59`, with Flink's escaping.

use arrow::datatypes::{DataType, TimeUnit};

/// Whether values of a type can be part of the name of a folder.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Boolean
            | DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::Float32
            | DataType::Float64
            | DataType::Decimal128(..)
            | DataType::Utf8
            | DataType::Date32
            | DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond, None)
    )
}

/// Escapes a name or value: characters that the name of a folder must not have become `%XX`.
#[cfg(feature = "io")]
pub(super) fn escape(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        let is_special = character < ' ' || "\"#%'*/:=?\\\u{7f}{}[]^".contains(character);
        if is_special {
            let _ = write!(out, "%{:02X}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

/// Reverses [`escape`]. `%` without two hexadecimal digits after it means itself.
#[cfg(feature = "io")]
pub(super) fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        let escaped = (byte == b'%').then(|| behind.get(..2)).flatten().and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            if digits.starts_with('+') { None } else { u8::from_str_radix(digits, 16).ok() }
        });
        match escaped {
            Some(code) => {
                bytes.push(code);
                rest = &behind[2..];
            }
            None => {
                bytes.push(byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The `key=value` pairs in the folders of a path, unescaped.
#[cfg(feature = "io")]
pub(super) fn of_path(path: &str) -> Vec<(String, String)> {
    let folders = path.rsplit_once('/').map_or("", |(folders, _)| folders);
    let pair = |folder: &str| folder.split_once('=').map(|(key, value)| (unescape(key), unescape(value)));
    folders.split('/').filter_map(pair).collect()
}

#[cfg(all(test, feature = "io"))]
mod tests {
    use super::*;

    #[test]
    fn escaping_is_that_of_flink_and_is_undone() {
        assert_eq!(escape("23:59"), "23%3A59");
        assert_eq!(escape("a b/c=d"), "a b%2Fc%3Dd");
        assert_eq!(escape("100%"), "100%25");
        assert_eq!(escape("a{b}c it's"), "a%7Bb%7Dc it%27s");
        for text in ["23:59", "a/b=c%", "\u{1}x", "grün", "{[]}^", "%zz", "%"] {
            assert_eq!(unescape(&escape(text)), text);
        }
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }

    #[test]
    fn partitions_are_read_from_folders() {
        let pairs = of_path("/in/day=2026-03-01/hm=23%3A59/part=0.json");
        assert_eq!(pairs, [("day".to_owned(), "2026-03-01".to_owned()), ("hm".to_owned(), "23:59".to_owned())]);
    }
}
