//! Numbers as text, as SQL on the JVM reads and writes them.

use std::io::Write as _;

/// Ten to the power of the index: every scale a DECIMAL can have.
const POWERS_OF_TEN: [i128; 39] = {
    let mut powers = [1i128; 39];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * 10;
        index += 1;
    }
    powers
};

/// The largest exponent that matters. Beyond it a decimal is zero or too large.
const EXPONENT_MAX: i64 = 100_000;

/// A decimal read from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decimal {
    /// It fits, rounded half up to the scale: the unscaled value.
    Fits(i128),
    /// It needs more digits than the precision allows; SQL reads that as NULL.
    TooLarge,
}

/// Reads `[+-]digits[.digits][e[+-]digits]`. `None` if the text has another form.
pub(crate) fn parse_decimal(text: &[u8], precision: u8, scale: i8) -> Option<Decimal> {
    let (negative, rest) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let exponent_at = rest.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(rest.len());
    let exponent = match rest.get(exponent_at + 1..) {
        Some(digits) => parse_exponent(digits)?,
        None => 0,
    };
    let mantissa = &rest[..exponent_at];
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or(&[]));
    if whole.len() + fraction.len() == 0 || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return None;
    }
    // The digit at index i has the weight 10^(whole.len() - 1 - i + exponent). Those down to 10^-scale are kept.
    let kept = whole.len() as i64 + exponent + i64::from(scale);
    let digits = whole.iter().chain(fraction).map(|byte| i128::from(byte - b'0'));
    let mut unscaled: i128 = 0;
    let mut count = 0i64;
    let mut round_up = false;
    for digit in digits {
        if count < kept {
            match unscaled.checked_mul(10).and_then(|value| value.checked_add(digit)) {
                Some(value) => unscaled = value,
                None => return Some(Decimal::TooLarge),
            }
        } else {
            round_up = count == kept && digit >= 5;
            break;
        }
        count += 1;
    }
    if count < kept && unscaled != 0 {
        let missing = usize::try_from(kept - count).unwrap_or(usize::MAX);
        match POWERS_OF_TEN.get(missing).and_then(|power| unscaled.checked_mul(*power)) {
            Some(value) => unscaled = value,
            None => return Some(Decimal::TooLarge),
        }
    }
    unscaled += i128::from(round_up);
    if POWERS_OF_TEN.get(usize::from(precision)).is_some_and(|limit| unscaled >= *limit) {
        return Some(Decimal::TooLarge);
    }
    Some(Decimal::Fits(if negative { -unscaled } else { unscaled }))
}

fn parse_exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_MAX));
    Some(if negative { -value } else { value })
}

/// Reads a floating-point number, including `NaN`, `Infinity` and `-Infinity`.
pub(crate) fn parse_float<T: std::str::FromStr>(text: &str) -> Option<T> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number =
        unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    match unsigned {
        // A sign before NaN is accepted and has no meaning.
        "NaN" => unsigned.parse().ok(),
        "Infinity" => text.parse().ok(),
        _ if is_number => text.parse().ok(),
        _ => None,
    }
}

/// Writes a decimal. With `plain` it has the digits of its scale. Otherwise trailing zeros are left out, and a number
/// that would need zeros before its digits or after them has an exponent: `1.50` is `1.5`, `100` is `1E+2`, and
/// `0.000000027` is `2.7E-8`.
pub(crate) fn write_decimal(unscaled: i128, scale: i8, plain: bool, out: &mut Vec<u8>) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(unscaled.unsigned_abs()).as_bytes();
    let scale = usize::try_from(scale).unwrap_or(0);
    if unscaled < 0 {
        out.push(b'-');
    }
    if plain {
        return write_digits(digits, scale, out);
    }
    let kept = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    if kept == 0 {
        return out.push(b'0');
    }
    let zeros = digits.len() - kept;
    let digits = &digits[..kept];
    // The power of ten of the first digit, with the smallest that is written without an exponent.
    let magnitude = (kept + zeros) as i64 - 1 - scale as i64;
    if zeros <= scale && magnitude >= -6 {
        return write_digits(digits, scale - zeros, out);
    }
    out.push(digits[0]);
    if digits.len() > 1 {
        out.push(b'.');
        out.extend_from_slice(&digits[1..]);
    }
    out.extend_from_slice(if magnitude < 0 { b"E" } else { b"E+" });
    out.extend_from_slice(itoa::Buffer::new().format(magnitude).as_bytes());
}

/// Writes all digits, the last `scale` of them after the point.
fn write_digits(digits: &[u8], scale: usize, out: &mut Vec<u8>) {
    if digits.len() > scale {
        out.extend_from_slice(&digits[..digits.len() - scale]);
        if scale > 0 {
            out.push(b'.');
            out.extend_from_slice(&digits[digits.len() - scale..]);
        }
    } else {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + scale - digits.len(), b'0');
        out.extend_from_slice(digits);
    }
}

/// Writes a floating-point number: the fewest digits that distinguish it from its neighbours, always with a point, and
/// with an exponent outside of 0.001 to 10 000 000: `1.0`, `0.5`, `1.0E10`, `1.25E-4`.
pub(crate) fn write_float<T>(value: T, out: &mut Vec<u8>)
where
    T: std::fmt::LowerExp + Copy + Into<f64>,
{
    let wide: f64 = value.into();
    if !wide.is_finite() {
        let name = if wide.is_nan() {
            "NaN"
        } else if wide > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        out.extend_from_slice(name.as_bytes());
        return;
    }
    // 24 bytes are enough for every f64.
    let mut text = [0u8; 32];
    let mut rest = &mut text[..];
    write!(rest, "{value:e}").expect("the longest number has 24 characters");
    let unused = rest.len();
    let text = &text[..text.len() - unused];
    let (sign, text) = match text.strip_prefix(b"-") {
        Some(text) => (&b"-"[..], text),
        None => (&b""[..], text),
    };
    let exponent_at = text.iter().position(|byte| *byte == b'e').unwrap_or(text.len());
    let (first, fraction) = (text[0], text[1..exponent_at].strip_prefix(b".").unwrap_or(&[]));
    let exponent = text.get(exponent_at + 1..).and_then(parse_exponent).unwrap_or(0);
    out.extend_from_slice(sign);
    match usize::try_from(exponent) {
        Ok(whole) if whole < 7 => {
            out.push(first);
            let split = whole.min(fraction.len());
            out.extend_from_slice(&fraction[..split]);
            out.resize(out.len() + whole - split, b'0');
            out.push(b'.');
            out.extend_from_slice(if fraction.len() > split { &fraction[split..] } else { b"0" });
        }
        Err(_) if exponent >= -3 => {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-exponent) as usize - 1, b'0');
            out.push(first);
            out.extend_from_slice(fraction);
        }
        _ => {
            out.extend_from_slice(&[first, b'.']);
            out.extend_from_slice(if fraction.is_empty() { b"0" } else { fraction });
            out.push(b'E');
            out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_rounded_half_up_and_refused_when_too_large() {
        let cases = [
            ("1.005", 10, 2, Some(Decimal::Fits(101))),
            ("-1.005", 10, 2, Some(Decimal::Fits(-101))),
            ("1.0049", 10, 2, Some(Decimal::Fits(100))),
            ("12", 10, 2, Some(Decimal::Fits(1200))),
            ("1.5e3", 10, 2, Some(Decimal::Fits(150_000))),
            ("15e-4", 10, 3, Some(Decimal::Fits(2))),
            ("4e-4", 10, 3, Some(Decimal::Fits(0))),
            ("5e-9", 10, 3, Some(Decimal::Fits(0))),
            ("0e999999999999", 10, 3, Some(Decimal::Fits(0))),
            ("1e999999999999", 10, 3, Some(Decimal::TooLarge)),
            ("999.995", 5, 2, Some(Decimal::TooLarge)),
            ("999.99", 5, 2, Some(Decimal::Fits(99_999))),
            ("99999999999999999999999999999999999999", 38, 0, Some(Decimal::Fits(POWERS_OF_TEN[38] - 1))),
            ("999999999999999999999999999999999999999", 38, 0, Some(Decimal::TooLarge)),
            ("", 5, 2, None),
            ("-", 5, 2, None),
            (".", 5, 2, None),
            ("1e", 5, 2, None),
            ("1.2.3", 5, 2, None),
            ("0x1", 5, 2, None),
        ];
        for (text, precision, scale, expected) in cases {
            assert_eq!(parse_decimal(text.as_bytes(), precision, scale), expected, "{text}");
        }
    }

    #[test]
    fn decimals_are_written_without_zeros_at_the_end_unless_they_are_to_be_plain() {
        let cases = [
            (27, 9, false, "2.7E-8"),
            (27, 9, true, "0.000000027"),
            (0, 10, false, "0"),
            (0, 2, false, "0"),
            (0, 2, true, "0.00"),
            (-150, 2, false, "-1.5"),
            (-150, 2, true, "-1.50"),
            (5, 0, false, "5"),
            (1_000, 2, false, "1E+1"),
            (1_000, 2, true, "10.00"),
            (-1_234_500, 0, false, "-1.2345E+6"),
            (100, 2, false, "1"),
            (120, 0, false, "1.2E+2"),
            (100_050, 2, false, "1000.5"),
            (1, 6, false, "0.000001"),
            (1, 7, false, "1E-7"),
        ];
        for (unscaled, scale, plain, expected) in cases {
            let mut out = Vec::new();
            write_decimal(unscaled, scale, plain, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn floats_are_written_shortest_with_a_point() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (0.908, "0.908"),
            (100.0, "100.0"),
            (123_456.789, "123456.789"),
            (9_999_999.0, "9999999.0"),
            (10_000_000.0, "1.0E7"),
            (0.001, "0.001"),
            (0.000_125, "1.25E-4"),
            (-1.5e300, "-1.5E300"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            write_float(value, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
        let mut out = Vec::new();
        write_float(0.1f32, &mut out);
        assert_eq!(out, b"0.1");
    }

    #[test]
    fn float_texts_of_other_languages_are_refused() {
        for text in ["inf", "infinity", "nan", "0x1p3", "", "1_0", "--1"] {
            assert_eq!(parse_float::<f64>(text), None, "{text}");
        }
        assert_eq!(parse_float::<f64>("-Infinity"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_float::<f64>(".5"), Some(0.5));
    }
}
