//! Time zones with Java's names. All code that parses such names uses this module.

use std::fmt;
use std::str::FromStr;

use chrono::{FixedOffset, LocalResult, NaiveDateTime, Offset, TimeZone as _};
use chrono_tz::Tz;

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeZone {
    /// A zone of the time zone database.
    Named(Tz),
    /// A fixed offset from UTC, such as `GMT+08:00`.
    Fixed(FixedOffset),
}

/// A text that is not the name of a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a time zone")]
pub struct UnknownTimeZone(String);

/// Java's three-letter names that the time zone database lacks or defines differently.
const SHORT_NAMES: [(&str, &str); 12] = [
    ("PST", "America/Los_Angeles"),
    ("CST", "America/Chicago"),
    ("IST", "Asia/Kolkata"),
    ("JST", "Asia/Tokyo"),
    ("CTT", "Asia/Shanghai"),
    ("ECT", "Europe/Paris"),
    ("ACT", "Australia/Darwin"),
    ("AET", "Australia/Sydney"),
    ("AST", "America/Anchorage"),
    ("BST", "Asia/Dhaka"),
    ("ART", "Africa/Cairo"),
    ("VST", "Asia/Ho_Chi_Minh"),
];

impl TimeZone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Seconds east of UTC at an instant, given as the time in UTC.
    pub fn offset_at(self, utc: &NaiveDateTime) -> i32 {
        match self {
            Self::Named(zone) => zone.offset_from_utc_datetime(utc).fix().local_minus_utc(),
            Self::Fixed(offset) => offset.local_minus_utc(),
        }
    }

    /// Seconds east of UTC at a local time: none if the zone skips that time, two values if the time occurs twice.
    pub fn offset_of_local(self, wall: &NaiveDateTime) -> LocalResult<i32> {
        match self {
            Self::Named(zone) => zone.offset_from_local_datetime(wall).map(|offset| offset.fix().local_minus_utc()),
            Self::Fixed(offset) => LocalResult::Single(offset.local_minus_utc()),
        }
    }
}

/// Parses names such as `Europe/Berlin`, `PST`, `UTC`, `UT`, `Z`, `GMT+08:00`, `GMT-8`, `UTC+1`, `+08:00`.
impl FromStr for TimeZone {
    type Err = UnknownTimeZone;

    fn from_str(id: &str) -> Result<Self, UnknownTimeZone> {
        let named = match SHORT_NAMES.iter().find(|(short, _)| *short == id) {
            Some((_, name)) => name,
            None if matches!(id, "Z" | "UT") => "UTC",
            None => id,
        };
        if let Ok(zone) = Tz::from_str(named) {
            return Ok(Self::Named(zone));
        }
        let offset = ["GMT", "UTC", "UT"].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id);
        parse_offset(offset)
            .and_then(FixedOffset::east_opt)
            .map(Self::Fixed)
            .ok_or_else(|| UnknownTimeZone(id.to_owned()))
    }
}

/// The name, which [`TimeZone::from_str`] parses.
impl fmt::Display for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(zone) => f.write_str(zone.name()),
            Self::Fixed(offset) => write!(f, "GMT{}", offset_text(i64::from(offset.local_minus_utc()), true)),
        }
    }
}

/// Parses an offset such as `+08`, `+0800`, `+08:00` or `-8` into seconds east of UTC.
pub fn parse_offset(text: &str) -> Option<i32> {
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let digits = &text[1..];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b':') {
        return None;
    }
    let (hours, minutes) = match digits.split_once(':') {
        Some((hours, minutes)) => (hours.parse::<i32>().ok()?, minutes.parse::<i32>().ok()?),
        None if digits.len() <= 2 => (digits.parse::<i32>().ok()?, 0),
        None if digits.len() <= 4 => {
            let split = digits.len() - 2;
            (digits[..split].parse().ok()?, digits[split..].parse().ok()?)
        }
        None => return None,
    };
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// Formats an offset in seconds as `+08:00`, or as `+0800` without `colon`.
pub fn offset_text(seconds: i64, colon: bool) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{}{:02}", minutes / 60, if colon { ":" } else { "" }, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_as_java_names_them() {
        let names = [
            ("UTC", "UTC", 0),
            ("UT", "UTC", 0),
            ("Z", "UTC", 0),
            ("GMT", "GMT", 0),
            ("GMT+08:00", "GMT+08:00", 8 * 3_600),
            ("GMT-8", "GMT-08:00", -8 * 3_600),
            ("UTC+1", "GMT+01:00", 3_600),
            ("UT-03:30", "GMT-03:30", -12_600),
            ("+08:00", "GMT+08:00", 8 * 3_600),
            ("+0530", "GMT+05:30", 19_800),
            ("PST", "America/Los_Angeles", -8 * 3_600),
            ("IST", "Asia/Kolkata", 19_800),
            ("Europe/Berlin", "Europe/Berlin", 3_600),
        ];
        for (id, name, seconds) in names {
            let zone: TimeZone = id.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((zone.to_string().as_str(), zone.offset_at(&NaiveDateTime::default())), (name, seconds), "{id}");
            assert_eq!(name.parse(), Ok(zone), "{id} is found again by its name");
        }
    }

    #[test]
    fn what_is_no_zone_is_named() {
        for id in ["Mars/Base", "GMT+25", "+8:99", "", "GMT+", "8"] {
            let error = id.parse::<TimeZone>().expect_err(id);
            assert_eq!(error.to_string(), format!("{id} is not a time zone"));
        }
    }
}
