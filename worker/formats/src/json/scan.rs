//! The grammar of JSON over a byte slice: tokens, and values that are only checked and skipped.
//!
//! Every string is checked (control characters, escapes, UTF-8), wanted or not. The scan detects strings of ASCII only;
//! other strings need a separate UTF-8 check. So the values of each record are known to be UTF-8, and an error can name
//! its record.

/// The maximum nesting of objects and arrays.
pub(crate) const DEPTH_MAX: usize = 127;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Where and why a record cannot be read. Boxed, so that a result fits in a register.
#[derive(Debug)]
pub(crate) struct Fault {
    /// The byte in the record.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) reason: String,
}

/// The result of reading a part of a record.
pub(crate) type Scan<T> = Result<T, Box<Fault>>;

/// The error at byte `at`.
#[cold]
#[inline(never)]
pub(crate) fn fault(at: usize, reason: impl Into<String>) -> Box<Fault> {
    Box::new(Fault { at, reason: reason.into() })
}

/// The content of a string, between its quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its first byte.
    pub(crate) start: usize,
    /// The end, after its last byte.
    pub(crate) end: usize,
    /// Whether it has escapes, so that its bytes are not its value.
    pub(crate) escaped: bool,
}

/// A number as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    /// Its first byte.
    pub(crate) start: usize,
    /// The end, after its last byte.
    pub(crate) end: usize,
    /// Whether it has neither a fraction nor an exponent.
    pub(crate) is_whole: bool,
}

/// A place in a record.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    /// The record.
    pub(crate) bytes: &'a [u8],
    /// The next byte.
    pub(crate) at: usize,
}

/// The eight bytes at `at`, the first one lowest.
#[inline(always)]
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
    let chunk = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*chunk))
}

/// Marks, in the highest bit of each byte, quotes, backslashes and control characters. Only the lowest mark is exact.
#[inline(always)]
fn string_stops(word: u64) -> u64 {
    let quote = word ^ (LOW * 0x22);
    let backslash = word ^ (LOW * 0x5c);
    ((quote.wrapping_sub(LOW) & !quote)
        | (backslash.wrapping_sub(LOW) & !backslash)
        | (word.wrapping_sub(LOW * 0x20) & !word))
        & HIGH
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next byte, if there is one.
    #[inline(always)]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Skips white space.
    #[inline]
    pub(crate) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The error for the current place.
    #[cold]
    pub(crate) fn unexpected(&self, expected: &str) -> Box<Fault> {
        match self.peek() {
            Some(_) => fault(self.at, format!("expected {expected}")),
            None => fault(self.at, format!("the record ends where {expected} should be")),
        }
    }

    /// Scans a string, from its opening quote.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Scan<Text> {
        let start = self.at + 1;
        let mut at = start;
        let mut high = 0;
        while let Some(word) = word(self.bytes, at) {
            let stops = string_stops(word);
            if stops == 0 {
                high |= word & HIGH;
                at += 8;
                continue;
            }
            let before = stops.trailing_zeros() & !7;
            high |= word & HIGH & !(u64::MAX << before);
            at += (before / 8) as usize;
            if self.bytes[at] == b'"' && high == 0 {
                self.at = at + 1;
                return Ok(Text { start, end: at, escaped: false });
            }
            break;
        }
        self.string_rest(start, at, high != 0)
    }

    /// Scans the rest of a string at `at`, byte by byte.
    #[cold]
    fn string_rest(&mut self, start: usize, mut at: usize, mut beyond_ascii: bool) -> Scan<Text> {
        let mut escaped = false;
        let end = loop {
            match self.bytes.get(at) {
                Some(b'"') => break at,
                Some(b'\\') => {
                    escaped = true;
                    at = self.escape(at)?.1;
                }
                Some(0..0x20) => return Err(fault(at, "a control character in a string must be escaped")),
                Some(byte) => {
                    beyond_ascii |= !byte.is_ascii();
                    at += 1;
                }
                None => return Err(fault(at, "the record ends inside a string")),
            }
        };
        if beyond_ascii && let Err(error) = std::str::from_utf8(&self.bytes[start..end]) {
            return Err(fault(start + error.valid_up_to(), "a string that is not UTF-8"));
        }
        self.at = end + 1;
        Ok(Text { start, end, escaped })
    }

    /// Reads the escape whose backslash is at `at`. Returns the character, and the place after the escape.
    fn escape(&self, at: usize) -> Scan<(char, usize)> {
        let character = match self.bytes.get(at + 1) {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(*byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(at),
            Some(_) => return Err(fault(at, "no such escape in a string")),
            None => return Err(fault(at, "the record ends inside a string")),
        };
        Ok((character, at + 2))
    }

    fn unicode_escape(&self, at: usize) -> Scan<(char, usize)> {
        let lone = || fault(at, "half of a surrogate pair in a string");
        let first = self.hex(at)?;
        match first {
            0xd800..0xdc00 => {
                if self.bytes.get(at + 6..at + 8) != Some(b"\\u") {
                    return Err(lone());
                }
                let second = self.hex(at + 6)?;
                if !(0xdc00..0xe000).contains(&second) {
                    return Err(lone());
                }
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                Ok((char::from_u32(code).ok_or_else(lone)?, at + 12))
            }
            _ => Ok((char::from_u32(first).ok_or_else(lone)?, at + 6)),
        }
    }

    /// The four hexadecimal digits of the `\u` at `at`.
    fn hex(&self, at: usize) -> Scan<u32> {
        let digits = self.bytes.get(at + 2..at + 6).unwrap_or(&[]);
        if digits.len() < 4 {
            return Err(fault(at, "the record ends inside a string"));
        }
        digits.iter().try_fold(0, |code, digit| {
            char::from(*digit)
                .to_digit(16)
                .map(|value| code * 16 + value)
                .ok_or_else(|| fault(at, "expected four hexadecimal digits"))
        })
    }

    /// Appends the value of a string that [`Scanner::string`] has scanned.
    pub(crate) fn unescape(&self, text: Text, out: &mut Vec<u8>) -> Scan<()> {
        let mut at = text.start;
        while let Some(run) = memchr::memchr(b'\\', &self.bytes[at..text.end]) {
            out.extend_from_slice(&self.bytes[at..at + run]);
            let (character, after) = self.escape(at + run)?;
            out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            at = after;
        }
        out.extend_from_slice(&self.bytes[at..text.end]);
        Ok(())
    }

    /// Scans a whole number of up to 18 digits. `None`, at the same place, for anything else.
    #[inline(always)]
    pub(crate) fn integer(&mut self) -> Option<i64> {
        let negative = self.peek() == Some(b'-');
        let start = self.at + usize::from(negative);
        let mut value: i64 = 0;
        let mut at = start;
        if let Some(word) = word(self.bytes, at) {
            let (digits, first) = leading_digits(word);
            value = first as i64;
            at += digits;
        }
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(at) {
            if at - start >= 18 {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            at += 1;
        }
        let digits = at - start;
        if digits == 0 || digits > 18 || (digits > 1 && self.bytes[start] == b'0') {
            return None;
        }
        if let Some(b'.' | b'e' | b'E') = self.bytes.get(at) {
            return None;
        }
        self.at = at;
        Some(if negative { -value } else { value })
    }

    /// Scans a number.
    pub(crate) fn number(&mut self) -> Scan<Number> {
        let start = self.at;
        let mut at = start + usize::from(self.bytes[start] == b'-');
        match self.bytes.get(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => at = self.digits(at),
            _ => return Err(fault(start, "expected a value")),
        }
        if self.bytes[at - 1] == b'0' && at - start <= 2 && self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            let digits_from = start + usize::from(self.bytes[start] == b'-');
            if at - digits_from == 1 {
                return Err(fault(start, "a number must not start with a zero"));
            }
        }
        let mut is_whole = true;
        if self.bytes.get(at) == Some(&b'.') {
            is_whole = false;
            let from = at + 1;
            at = self.digits(from);
            if at == from {
                return Err(fault(start, "a number must have digits after its point"));
            }
        }
        if let Some(b'e' | b'E') = self.bytes.get(at) {
            is_whole = false;
            let signed = matches!(self.bytes.get(at + 1), Some(b'+' | b'-'));
            let from = at + 1 + usize::from(signed);
            at = self.digits(from);
            if at == from {
                return Err(fault(start, "a number must have digits in its exponent"));
            }
        }
        self.at = at;
        Ok(Number { start, end: at, is_whole })
    }

    /// The place after the digits at `at`.
    fn digits(&self, mut at: usize) -> usize {
        while self.bytes.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    }

    /// Scans a fixed word: `null`, `true` or `false`.
    #[inline]
    pub(crate) fn literal(&mut self, literal: &str) -> Scan<()> {
        if self.bytes[self.at..].starts_with(literal.as_bytes()) {
            self.at += literal.len();
            Ok(())
        } else {
            Err(fault(self.at, "expected a value"))
        }
    }

    /// Scans the end of the record.
    #[inline]
    pub(crate) fn end(&mut self) -> Scan<()> {
        if self.at == self.bytes.len() {
            return Ok(());
        }
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(fault(self.at, "something follows the end of the value")),
        }
    }

    /// Checks and skips a value of any kind. `depth` is the number of objects and arrays around it.
    pub(crate) fn skip_value(&mut self, depth: usize) -> Scan<()> {
        self.skip_space();
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            Some(b'n') => self.literal("null"),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'{') => {
                self.open(depth)?;
                let mut first = true;
                while self.next_key(&mut first)?.is_some() {
                    self.skip_value(depth + 1)?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.open(depth)?;
                let mut first = true;
                while self.next_element(&mut first)? {
                    self.skip_value(depth + 1)?;
                }
                Ok(())
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Scans the opening bracket of an object or array inside `depth` others.
    #[inline]
    pub(crate) fn open(&mut self, depth: usize) -> Scan<()> {
        if depth >= DEPTH_MAX {
            return Err(fault(self.at, format!("objects and arrays are nested more than {DEPTH_MAX} deep")));
        }
        self.at += 1;
        Ok(())
    }

    /// Scans up to the next value of an object: separators and the key, up to the colon. `None` at the end of the
    /// object, which is scanned too.
    pub(crate) fn next_key(&mut self, first: &mut bool) -> Scan<Option<Text>> {
        self.skip_space();
        match (self.peek(), *first) {
            (Some(b'}'), _) => {
                self.at += 1;
                return Ok(None);
            }
            (Some(b','), false) => {
                self.at += 1;
                self.skip_space();
            }
            (_, true) => {}
            (_, false) => return Err(self.unexpected("',' or '}'")),
        }
        *first = false;
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a field name in quotes"));
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.unexpected("':'"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Scans up to the next value of an array. `false` at the end of the array, which is scanned too.
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Scan<bool> {
        self.skip_space();
        match (self.peek(), *first) {
            (Some(b']'), _) => {
                self.at += 1;
                return Ok(false);
            }
            (Some(b','), false) => self.at += 1,
            (_, true) => {}
            (_, false) => return Err(self.unexpected("',' or ']'")),
        }
        *first = false;
        Ok(true)
    }
}

/// The number of leading digits in the eight bytes, and their value.
#[inline(always)]
fn leading_digits(word: u64) -> (usize, u64) {
    let values = word ^ (LOW * 0x30);
    // The highest bit of each byte that is not a digit. A carry reaches only bytes after a marked one.
    let others = (values.wrapping_add(LOW * 0x76) | values) & HIGH;
    let digits = (others.trailing_zeros() / 8) as usize;
    if digits == 0 {
        return (0, 0);
    }
    // Zeros are put before the digits. The first byte is the most significant one.
    let padded = values << (64 - 8 * digits);
    let pairs = padded.wrapping_mul(10).wrapping_add(padded >> 8);
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100).wrapping_add((pairs >> 16) & 0x0000_00ff_0000_00ff);
    let high = fours & 0xffff_ffff;
    let low = fours >> 32;
    (digits, (high & 0xffff) * 10_000 + (low & 0xffff))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_of_a_word_are_read_at_once(text in "[0-9]{0,8}[^0-9]{8}") {
            let digits: String = text.chars().take_while(char::is_ascii_digit).take(8).collect();
            let expected = digits.parse().unwrap_or(0);
            let word = word(text.as_bytes(), 0).expect("at least eight bytes");
            prop_assert_eq!(leading_digits(word), (digits.len(), expected));
        }

        #[test]
        fn the_first_stop_of_a_word_is_found(bytes in any::<[u8; 8]>()) {
            let expected = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
            let stops = string_stops(u64::from_le_bytes(bytes));
            let found = (stops != 0).then(|| (stops.trailing_zeros() / 8) as usize);
            prop_assert_eq!(found, expected);
        }
    }
}
