//! Time zones with Java's names. All code that parses such names uses this module.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::{LazyLock, Mutex, PoisonError};

use chrono::{Datelike, FixedOffset, LocalResult, NaiveDateTime, Timelike};
use jiff::tz::{AmbiguousOffset, TimeZoneDatabase};
use jiff::{Timestamp, civil};

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimeZone {
    /// Greenwich.
    Utc,
    /// A zone of the time zone database.
    Named(&'static Zone),
    /// A fixed offset from UTC, such as `GMT+08:00`.
    Fixed(FixedOffset),
}

/// A zone of the time zone database, which the program contains. Its rules apply from the year -9999 to 9999; before and
/// after, the first and the last offset do.
#[derive(Debug)]
pub struct Zone {
    name: String,
    rules: jiff::tz::TimeZone,
}

impl Zone {
    /// The zone of a name, spelled as in the database. Read once, and kept as long as the process.
    fn find(name: &str) -> Option<&'static Self> {
        static KNOWN: LazyLock<Mutex<BTreeMap<String, &'static Zone>>> = LazyLock::new(Mutex::default);
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(zone) = known.get(name) {
            return Some(zone);
        }
        let rules = TimeZoneDatabase::bundled().get(name).ok()?;
        if rules.iana_name() != Some(name) {
            return None;
        }
        let zone: &'static Self = Box::leak(Box::new(Self { name: name.to_owned(), rules }));
        known.insert(name.to_owned(), zone);
        Some(zone)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
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
    /// Greenwich.
    pub const UTC: Self = Self::Utc;

    /// Seconds east of UTC at an instant, given as the time in UTC.
    pub fn offset_at(self, utc: &NaiveDateTime) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Named(zone) => {
                let seconds = utc.and_utc().timestamp().clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
                zone.rules.to_offset(Timestamp::from_second(seconds).unwrap_or_default()).seconds()
            }
            Self::Fixed(offset) => offset.local_minus_utc(),
        }
    }

    /// Seconds east of UTC at a local time: none if the zone skips that time, two values if the time occurs twice.
    pub fn offset_of_local(self, wall: &NaiveDateTime) -> LocalResult<i32> {
        match self {
            Self::Utc => LocalResult::Single(0),
            Self::Named(zone) => match zone.rules.to_ambiguous_timestamp(civil(wall)).offset() {
                AmbiguousOffset::Unambiguous { offset } => LocalResult::Single(offset.seconds()),
                AmbiguousOffset::Gap { .. } => LocalResult::None,
                AmbiguousOffset::Fold { before, after } => LocalResult::Ambiguous(before.seconds(), after.seconds()),
            },
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
        if named == "UTC" {
            return Ok(Self::Utc);
        }
        if let Some(zone) = Zone::find(named) {
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
            Self::Utc => f.write_str("UTC"),
            Self::Named(zone) => f.write_str(&zone.name),
            Self::Fixed(offset) => write!(f, "GMT{}", offset_text(i64::from(offset.local_minus_utc()), true)),
        }
    }
}

/// A local time to the second, in the years that the database knows.
fn civil(wall: &NaiveDateTime) -> civil::DateTime {
    let year = wall.year().clamp(-9_999, 9_999) as i16;
    let (month, day) = (wall.month() as i8, wall.day() as i8);
    // The 29th of February is none in a year that stands for another.
    let date = civil::Date::new(year, month, day).unwrap_or_else(|_| civil::date(year, 3, 1));
    date.at(wall.hour() as i8, wall.minute() as i8, wall.second() as i8, 0)
}

/// Seconds east of UTC of `+08`, `+0800`, `+08:00`, `-8`.
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
    use chrono::{DateTime, NaiveDate, Offset as _, TimeZone as _};
    use proptest::prelude::*;

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

    #[test]
    fn names_are_spelled_as_in_the_database() {
        for id in ["europe/berlin", "Europe/berlin", "utc"] {
            assert!(id.parse::<TimeZone>().is_err(), "{id}");
        }
    }

    #[test]
    fn rules_go_on_for_ever() {
        let berlin: TimeZone = "Europe/Berlin".parse().expect("a zone");
        let noon = |year, month| {
            NaiveDate::from_ymd_opt(year, month, 1).and_then(|day| day.and_hms_opt(12, 0, 0)).expect("a time")
        };
        let offsets = |year| [1, 7].map(|month| berlin.offset_at(&noon(year, month)));
        assert_eq!(offsets(2024), [3_600, 7_200]);
        assert_eq!(offsets(2150), [3_600, 7_200]);
        assert_eq!(offsets(9_990), [3_600, 7_200]);
        // Outside of what the database knows, nothing fails.
        let far =
            |year: i32| NaiveDate::from_ymd_opt(year, 2, 28).and_then(|day| day.and_hms_opt(0, 0, 0)).expect("a time");
        for time in [far(-200_000), far(200_000), NaiveDateTime::MIN, NaiveDateTime::MAX] {
            assert!(berlin.offset_of_local(&time).earliest().is_some());
            berlin.offset_at(&time);
        }
    }

    proptest! {
        /// The other implementation has another copy of the database, so the years are those that no longer change.
        #[test]
        fn offsets_are_those_of_another_implementation(
            zone in proptest::sample::select(chrono_tz::TZ_VARIANTS.as_slice()),
            seconds in 946_684_800_i64..1_640_000_000,
            near in proptest::option::of(-7_200_i64..7_200),
        ) {
            let found: TimeZone = zone.name().parse().map_err(|error: UnknownTimeZone| TestCaseError::fail(error.to_string()))?;
            // At an hour of a year at which offsets change, or anywhere.
            let seconds = near.map_or(seconds, |near| change_after(zone, seconds).saturating_add(near).max(0));
            let time = DateTime::from_timestamp(seconds, 0).expect("in range").naive_utc();
            let offset = |offset: chrono_tz::TzOffset| offset.fix().local_minus_utc();
            prop_assert_eq!(found.offset_at(&time), offset(zone.offset_from_utc_datetime(&time)));
            prop_assert_eq!(found.offset_of_local(&time), zone.offset_from_local_datetime(&time).map(offset));
        }
    }

    /// A time, as if it were local, near which the offset of a zone changes next; or the time itself.
    fn change_after(zone: chrono_tz::Tz, seconds: i64) -> i64 {
        let offset = |seconds: i64| {
            let time = DateTime::from_timestamp(seconds, 0).expect("in range").naive_utc();
            i64::from(zone.offset_from_utc_datetime(&time).fix().local_minus_utc())
        };
        let (mut low, mut high) = (seconds, seconds + 200 * 86_400);
        if offset(low) == offset(high) {
            return seconds;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if offset(middle) == offset(low) { low = middle } else { high = middle }
        }
        high + offset(low)
    }
}
