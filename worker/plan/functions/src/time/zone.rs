//! Time zones: from wall-clock time to instants and back, with Java's rules for gaps and overlaps.

use std::str::FromStr;

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::{HOUR, SECOND};

/// A time zone as Java names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// A zone of the time zone database.
    Named(Tz),
    /// A fixed distance from UTC, such as `GMT+08:00`.
    Fixed(FixedOffset),
}

/// Which instant a wall-clock time that occurs twice means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// The first, as `java.time` takes it.
    Earlier,
    /// The second, as `java.text.SimpleDateFormat` takes it.
    Later,
}

/// Java's three-letter zones that the time zone database lacks or defines otherwise.
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

impl Zone {
    /// The zone Java's `TimeZone.getTimeZone` gives for an id: UTC when it does not know the id.
    pub(crate) fn of_java_id(id: &str) -> Self {
        Self::parse(id).unwrap_or(Self::Named(Tz::UTC))
    }

    /// The zone of an id: a name, a short name, or `GMT+hh:mm` and the like.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        if let Some((_, name)) = SHORT_NAMES.iter().find(|(short, _)| *short == id) {
            return Tz::from_str(name).ok().map(Self::Named);
        }
        if id == "Z" {
            return Some(Self::Named(Tz::UTC));
        }
        if let Ok(zone) = Tz::from_str(id) {
            return Some(Self::Named(zone));
        }
        let custom = ["GMT", "UTC", "UT"].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id);
        parse_offset(custom).and_then(FixedOffset::east_opt).map(Self::Fixed)
    }

    /// Seconds east of UTC at an instant (microseconds).
    pub(crate) fn offset_seconds(self, instant: i64) -> i64 {
        let Some(utc) = DateTime::from_timestamp_micros(instant) else { return 0 };
        i64::from(match self {
            Self::Named(zone) => zone.offset_from_utc_datetime(&utc.naive_utc()).fix().local_minus_utc(),
            Self::Fixed(offset) => offset.local_minus_utc(),
        })
    }

    /// The wall-clock time at an instant.
    pub(crate) fn local(self, instant: i64) -> i64 {
        instant.saturating_add(self.offset_seconds(instant) * SECOND)
    }

    /// The instant of a wall-clock time. A time in a gap moves forward by the length of the gap.
    pub(crate) fn instant(self, local: i64, overlap: Overlap) -> i64 {
        if self == Self::Named(Tz::UTC) {
            return local;
        }
        let Some(wall) = DateTime::from_timestamp_micros(local).map(|utc| utc.naive_utc()) else { return local };
        let offset = match self.offset_from_local(wall) {
            LocalResult::Single(offset) => offset,
            LocalResult::Ambiguous(first, second) => match overlap {
                Overlap::Earlier => first.max(second),
                Overlap::Later => first.min(second),
            },
            LocalResult::None => self.offset_before_gap(wall),
        };
        local.saturating_sub(i64::from(offset) * SECOND)
    }

    fn offset_from_local(self, wall: NaiveDateTime) -> LocalResult<i32> {
        match self {
            Self::Named(zone) => zone.offset_from_local_datetime(&wall).map(|offset| offset.fix().local_minus_utc()),
            Self::Fixed(offset) => LocalResult::Single(offset.local_minus_utc()),
        }
    }

    /// Gaps are an hour or two; Samoa once left out a whole day.
    fn offset_before_gap(self, wall: NaiveDateTime) -> i32 {
        [3, 26]
            .into_iter()
            .filter_map(|hours| wall.checked_sub_signed(TimeDelta::hours(hours)))
            .find_map(|before| self.offset_from_local(before).latest())
            .unwrap_or(0)
    }

    /// The zone as `z` or `VV` prints it.
    pub(crate) fn id(self) -> String {
        match self {
            Self::Named(zone) => zone.name().to_owned(),
            Self::Fixed(offset) => format!("GMT{}", offset_text(i64::from(offset.local_minus_utc()), true)),
        }
    }
}

/// Seconds east of UTC of `+08`, `+0800`, `+08:00`, `-8`.
pub(crate) fn parse_offset(text: &str) -> Option<i32> {
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

/// An offset as `+08:00` or `+0800`.
pub(crate) fn offset_text(seconds: i64, colon: bool) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}{}{:02}", minutes / (HOUR / super::MINUTE), if colon { ":" } else { "" }, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::calendar::Civil;

    fn wall(month: i64, day: i64, hour: i64, minute: i64) -> i64 {
        Civil { year: 2026, month, day }.days() * super::super::DAY + hour * HOUR + minute * super::super::MINUTE
    }

    #[test]
    fn a_time_in_a_gap_moves_forward_by_the_gap() {
        let berlin = Zone::parse("Europe/Berlin").expect("a zone");
        let instant = berlin.instant(wall(3, 29, 2, 30), Overlap::Earlier);
        assert_eq!(berlin.local(instant), wall(3, 29, 3, 30));
    }

    #[test]
    fn a_time_that_occurs_twice_is_the_earlier_unless_asked_otherwise() {
        let berlin = Zone::parse("Europe/Berlin").expect("a zone");
        let earlier = berlin.instant(wall(10, 25, 2, 30), Overlap::Earlier);
        let later = berlin.instant(wall(10, 25, 2, 30), Overlap::Later);
        assert_eq!(later - earlier, HOUR);
        assert_eq!(berlin.offset_seconds(earlier), 7_200);
    }

    #[test]
    fn custom_ids_are_distances_from_utc_and_unknown_ids_are_utc() {
        for (id, hours) in [("GMT-08:00", -8), ("UTC+8", 8), ("+0530", 0), ("PST", -8), ("Nowhere/Land", 0)] {
            let expected = if id == "+0530" { 19_800 } else { hours * 3_600 };
            assert_eq!(Zone::of_java_id(id).offset_seconds(0), expected, "{id}");
        }
    }
}
