//! Dates and times as text: `2026-03-01`, `23:59:00.123`, `2026-03-01 23:59:00.123`, with `T` instead of the space in
//! ISO form and `Z` after an instant.
//!
//! Years have four digits, or a sign and up to nine. More digits of a second than the column keeps are cut off.

use crate::columns::Tick;

const MS_PER_DAY: i64 = 86_400_000;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimestampStyle {
    /// The character between date and time: a space or `T`.
    pub(crate) separator: u8,
    /// Whether the seconds may be missing, as ISO allows.
    pub(crate) seconds_optional: bool,
}

impl TimestampStyle {
    /// `2026-03-01 23:59:00.123`.
    pub(crate) const SQL: Self = Self { separator: b' ', seconds_optional: false };
    /// `2026-03-01T23:59:00.123`.
    pub(crate) const ISO: Self = Self { separator: b'T', seconds_optional: true };
}

/// The day number of a date of the proleptic Gregorian calendar, 1970-01-01 being 0; `None` when there is no such date.
fn day_number(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if day == 0 || day > days_in_month {
        return None;
    }
    // Years start in March here, so that the leap day is the last one; 400 years have 146 097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    Some(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468)
}

/// Year, month and day of a day number.
fn calendar_date(day_number: i64) -> (i64, u32, u32) {
    let shifted = day_number + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as u32, day as u32)
}

fn two_digits(text: &[u8]) -> Option<u32> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0')),
        _ => None,
    }
}

/// Splits a date off the start of a text: its day number, and the rest.
fn split_date(text: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits_from) = match text.first()? {
        b'-' => (true, 1),
        b'+' => (false, 1),
        _ => (false, 0),
    };
    let digits = text[digits_from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits < 4 || digits > if digits_from == 1 { 9 } else { 4 } {
        return None;
    }
    let (year, rest) = text[digits_from..].split_at(digits);
    let year = year.iter().fold(0i64, |year, digit| year * 10 + i64::from(digit - b'0'));
    let year = if negative { -year } else { year };
    if rest.len() < 6 || rest[0] != b'-' || rest[3] != b'-' {
        return None;
    }
    let (month, day) = (two_digits(&rest[1..3])?, two_digits(&rest[4..6])?);
    Some((day_number(year, month, day)?, &rest[6..]))
}

/// Splits a time off the start of a text: nanoseconds since midnight, and the rest.
fn split_time(text: &[u8], seconds_optional: bool) -> Option<(u64, &[u8])> {
    if text.len() < 5 || text[2] != b':' {
        return None;
    }
    let (hour, minute) = (two_digits(&text[..2])?, two_digits(&text[3..5])?);
    let mut rest = &text[5..];
    let mut second = 0;
    let mut nanos = 0;
    if rest.first() == Some(&b':') {
        second = two_digits(rest.get(1..3)?)?;
        rest = &rest[3..];
        if rest.first() == Some(&b'.') {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits > 9 {
                return None;
            }
            nanos = rest[1..=digits].iter().fold(0u64, |value, digit| value * 10 + u64::from(digit - b'0'));
            nanos *= 10u64.pow(9 - digits as u32);
            rest = &rest[1 + digits..];
        }
    } else if !seconds_optional {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some((u64::from(hour * 3_600 + minute * 60 + second) * NANOS_PER_SECOND + nanos, rest))
}

/// Reads a date: days since 1970-01-01.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    match split_date(text)? {
        (days, []) => i32::try_from(days).ok(),
        _ => None,
    }
}

/// Reads a time of day: milliseconds since midnight.
pub(crate) fn parse_time(text: &[u8]) -> Option<i32> {
    match split_time(text, false)? {
        (nanos, []) => i32::try_from(nanos / 1_000_000).ok(),
        _ => None,
    }
}

/// Reads a timestamp: ticks since 1970-01-01 00:00:00. An instant (`utc`) must end in `Z`, others must not.
pub(crate) fn parse_timestamp(text: &[u8], style: TimestampStyle, tick: Tick, utc: bool) -> Option<i64> {
    let (days, rest) = split_date(text)?;
    let (separator, rest) = rest.split_first()?;
    if *separator != style.separator {
        return None;
    }
    match (split_time(rest, style.seconds_optional)?, utc) {
        ((nanos, []), false) | ((nanos, [b'Z']), true) => in_ticks(days, nanos, tick),
        _ => None,
    }
}

fn in_ticks(days: i64, nanos: u64, tick: Tick) -> Option<i64> {
    let (per_day, per_tick) = match tick {
        Tick::Millisecond => (MS_PER_DAY, 1_000_000),
        Tick::Microsecond => (MS_PER_DAY * 1_000, 1_000),
    };
    days.checked_mul(per_day)?.checked_add((nanos / per_tick) as i64)
}

fn write_two(value: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// Writes a date, given in days since 1970-01-01.
pub(crate) fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = calendar_date(days);
    match u32::try_from(year) {
        Ok(year) if year <= 9_999 => {
            write_two(year / 100, out);
            write_two(year % 100, out);
        }
        _ => {
            let digits = format!("{:04}", year.unsigned_abs());
            out.push(if year < 0 { b'-' } else { b'+' });
            out.extend_from_slice(digits.as_bytes());
        }
    }
    out.push(b'-');
    write_two(month, out);
    out.push(b'-');
    write_two(day, out);
}

/// Writes a time of day, given in microseconds since midnight, with as many digits of a second as it has.
pub(crate) fn write_time(micros: u64, out: &mut Vec<u8>) {
    let (seconds, fraction) = (micros / 1_000_000, (micros % 1_000_000) as u32);
    write_two((seconds / 3_600 % 24) as u32, out);
    out.push(b':');
    write_two((seconds / 60 % 60) as u32, out);
    out.push(b':');
    write_two((seconds % 60) as u32, out);
    if fraction != 0 {
        out.push(b'.');
        write_two(fraction / 10_000, out);
        write_two(fraction / 100 % 100, out);
        write_two(fraction % 100, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// Writes a timestamp, given in ticks since 1970-01-01 00:00:00; an instant (`utc`) with a `Z`.
pub(crate) fn write_timestamp(ticks: i64, tick: Tick, style: TimestampStyle, utc: bool, out: &mut Vec<u8>) {
    let (per_day, micros_per_tick) = match tick {
        Tick::Millisecond => (MS_PER_DAY, 1_000),
        Tick::Microsecond => (MS_PER_DAY * 1_000, 1),
    };
    write_date(ticks.div_euclid(per_day), out);
    out.push(style.separator);
    write_time(ticks.rem_euclid(per_day) as u64 * micros_per_tick, out);
    if utc {
        out.push(b'Z');
    }
}

/// Reads timestamps of the usual layout, `YYYY-MM-DD HH:MM:SS.mmm` or without the milliseconds, and remembers the last
/// minute, because successive texts mostly have the same one.
#[derive(Debug)]
pub(crate) struct TimestampCache {
    style: TimestampStyle,
    /// The text of a minute, `YYYY-MM-DD HH:MM`.
    minute: [u8; 16],
    /// Its start in milliseconds since 1970-01-01 00:00.
    minute_ms: i64,
}

impl TimestampCache {
    /// Starts with the first minute of time.
    pub(crate) fn new(style: TimestampStyle) -> Self {
        let mut minute = *b"1970-01-01 00:00";
        minute[10] = style.separator;
        Self { style, minute, minute_ms: 0 }
    }

    /// Reads `YYYY-MM-DD HH:MM:SS.mmm` (23 bytes) or `YYYY-MM-DD HH:MM:SS` (19 bytes): milliseconds since 1970-01-01
    /// 00:00. `None` if the text has another layout. It may still be valid.
    #[inline(always)]
    pub(crate) fn parse_ms(&mut self, text: &[u8]) -> Option<i64> {
        let (minute, rest) = text.split_first_chunk::<16>()?;
        if *minute != self.minute {
            self.remember(*minute)?;
        }
        let [colon, tens, ones, fraction @ ..] = rest else { return None };
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        if *colon != b':' || tens > 5 || ones > 9 {
            return None;
        }
        let second = i64::from(tens) * 10 + i64::from(ones);
        let ms = match fraction {
            [b'.', a, b, c] => {
                let (a, b, c) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'), c.wrapping_sub(b'0'));
                if a > 9 || b > 9 || c > 9 {
                    return None;
                }
                i64::from(a) * 100 + i64::from(b) * 10 + i64::from(c)
            }
            [] => 0,
            _ => return None,
        };
        Some(self.minute_ms + second * 1_000 + ms)
    }

    #[cold]
    fn remember(&mut self, minute: [u8; 16]) -> Option<()> {
        let (days, rest) = split_date(&minute)?;
        let (separator, time) = rest.split_first()?;
        if *separator != self.style.separator {
            return None;
        }
        let (nanos, []) = split_time(time, true)? else { return None };
        self.minute_ms = in_ticks(days, nanos, Tick::Millisecond)?;
        self.minute = minute;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse_ms(text: &str) -> Option<i64> {
        parse_timestamp(text.as_bytes(), TimestampStyle::SQL, Tick::Millisecond, false)
    }

    #[test]
    fn timestamps_are_read_to_the_millisecond() {
        let cases = [
            ("1970-01-01 00:00:00", Some(0)),
            ("1969-12-31 23:59:59.999", Some(-1)),
            ("2026-03-01 23:59:00.123", Some(1_772_409_540_123)),
            ("2026-03-01 23:59:00.123999", Some(1_772_409_540_123)),
            ("2026-03-01 23:59:01.2", Some(1_772_409_541_200)),
            ("2024-02-29 00:00:00", Some(1_709_164_800_000)),
            ("2023-02-29 00:00:00", None),
            ("2026-13-01 00:00:00", None),
            ("2026-03-01 24:00:00", None),
            ("2026-03-01 23:60:00", None),
            ("2026-03-01 23:59:60", None),
            ("2026-03-01T23:59:00", None),
            ("2026-03-01 23:59", None),
            ("2026-03-01 23:59:00Z", None),
            ("2026-03-01 23:59:00.1234567890", None),
            ("2026-3-1 23:59:00", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn instants_need_a_z_and_iso_a_t() {
        let parse = |text: &str, utc| parse_timestamp(text.as_bytes(), TimestampStyle::ISO, Tick::Microsecond, utc);
        assert_eq!(parse("1970-01-01T00:00:00.000001Z", true), Some(1));
        assert_eq!(parse("1970-01-01T00:01", false), Some(60_000_000));
        assert_eq!(parse("1970-01-01T00:00:00", true), None);
        assert_eq!(parse("1970-01-01 00:00:00Z", true), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(ticks in any::<i64>(), micros: bool, utc: bool, iso: bool) {
            let tick = if micros { Tick::Microsecond } else { Tick::Millisecond };
            let style = if iso { TimestampStyle::ISO } else { TimestampStyle::SQL };
            let mut text = Vec::new();
            write_timestamp(ticks, tick, style, utc, &mut text);
            // The first milliseconds of time lie before the first whole day that can be counted.
            if let Some(found) = parse_timestamp(&text, style, tick, utc) {
                prop_assert_eq!(found, ticks);
            } else {
                prop_assert!(ticks < i64::MIN + MS_PER_DAY * 1_000);
            }
        }

        #[test]
        fn the_cache_agrees_with_the_long_way(texts in proptest::collection::vec(
            "[12][09][0-9]{2}-(0[1-9]|1[0-3])-[0-3][0-9][ T][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{3})?", 1..20)
        ) {
            let mut cache = TimestampCache::new(TimestampStyle::SQL);
            for text in texts {
                prop_assert_eq!(cache.parse_ms(text.as_bytes()), parse_ms(&text), "{}", text);
            }
        }

        #[test]
        fn dates_are_read_back(days in any::<i32>()) {
            let mut text = Vec::new();
            write_date(i64::from(days), &mut text);
            prop_assert_eq!(parse_date(&text), Some(days));
        }
    }
}
