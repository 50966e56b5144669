//! Finds the parts of a message. They are only checked and skipped here, because the old row must be read before the
//! new one.

use crate::json::scan::{Scan, Scanner, Text, fault};

/// The places of the parts of a message, in the order of their names in [`parts`].
#[derive(Debug)]
pub(crate) struct Parts<const N: usize>([Option<usize>; N]);

impl<const N: usize> Parts<N> {
    /// The place where the value of a part begins. `None` if it is missing or `null`.
    pub(crate) fn place(&self, part: usize) -> Option<usize> {
        self.0[part]
    }
}

/// Finds the fields with these names in the object at the scanner's place, and scans the object. If several fields have
/// the same name, the last one counts.
pub(crate) fn parts<const N: usize>(
    scanner: &mut Scanner<'_>,
    names: [&str; N],
    depth: usize,
    scratch: &mut Vec<u8>,
) -> Scan<Parts<N>> {
    scanner.skip_space();
    if scanner.peek() != Some(b'{') {
        return Err(scanner.unexpected("an object"));
    }
    scanner.open(depth)?;
    let (mut found, mut first) = ([None; N], true);
    while let Some(key) = scanner.next_key(&mut first)? {
        let part = {
            let key = text(scanner, key, scratch)?;
            names.iter().position(|name| name.as_bytes() == key)
        };
        scanner.skip_space();
        let (at, is_null) = (scanner.at, scanner.peek() == Some(b'n'));
        scanner.skip_value(depth + 1)?;
        if let Some(part) = part {
            found[part] = (!is_null).then_some(at);
        }
    }
    Ok(Parts(found))
}

/// The value of a string that was scanned.
pub(crate) fn text<'a>(scanner: &Scanner<'a>, text: Text, scratch: &'a mut Vec<u8>) -> Scan<&'a [u8]> {
    if !text.escaped {
        return Ok(&scanner.bytes[text.start..text.end]);
    }
    scratch.clear();
    scanner.unescape(text, scratch)?;
    Ok(scratch)
}

/// The string at a place.
pub(crate) fn string_at<'a>(record: &'a [u8], at: usize, what: &str, scratch: &'a mut Vec<u8>) -> Scan<&'a str> {
    let mut scanner = Scanner::new(record);
    scanner.at = at;
    if scanner.peek() != Some(b'"') {
        return Err(fault(at, format!("\"{what}\" must be a string")));
    }
    let passed = scanner.string()?;
    // The scan has checked that it is UTF-8.
    std::str::from_utf8(text(&scanner, passed, scratch)?).map_err(|_| fault(at, "a string that is not UTF-8"))
}
