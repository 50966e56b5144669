//! Time zones: conversions between wall-clock times and instants, with Java's rules for gaps and overlaps.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta};
use eddyline_stream::TimeZone;

use super::SECOND;

/// A time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Zone(pub(crate) TimeZone);

/// The instant of a wall-clock time that occurs twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    /// The first one, as in `java.time`.
    Earlier,
    /// The second one, as in `java.text.SimpleDateFormat`.
    Later,
}

impl Zone {
    /// UTC.
    pub(crate) const UTC: Self = Self(TimeZone::UTC);

    /// The zone that Java's `TimeZone.getTimeZone` gives for an id. It is UTC if Java does not know the id.
    pub(crate) fn of_java_id(id: &str) -> Self {
        Self::parse(id).unwrap_or(Self::UTC)
    }

    /// The zone with an id.
    pub(crate) fn parse(id: &str) -> Option<Self> {
        id.parse().ok().map(Self)
    }

    /// Seconds east of UTC at an instant (microseconds).
    pub(crate) fn offset_seconds(self, instant: i64) -> i64 {
        let Some(utc) = DateTime::from_timestamp_micros(instant) else { return 0 };
        i64::from(self.0.offset_at(&utc.naive_utc()))
    }

    /// The wall-clock time at an instant.
    pub(crate) fn local(self, instant: i64) -> i64 {
        instant.saturating_add(self.offset_seconds(instant) * SECOND)
    }

    /// The instant of a wall-clock time. A time in a gap moves forward by the length of the gap.
    pub(crate) fn instant(self, local: i64, overlap: Overlap) -> i64 {
        if self == Self::UTC {
            return local;
        }
        let Some(wall) = DateTime::from_timestamp_micros(local).map(|utc| utc.naive_utc()) else { return local };
        let offset = match self.0.offset_of_local(&wall) {
            LocalResult::Single(offset) => offset,
            LocalResult::Ambiguous(first, second) => match overlap {
                Overlap::Earlier => first.max(second),
                Overlap::Later => first.min(second),
            },
            LocalResult::None => self.offset_before_gap(wall),
        };
        local.saturating_sub(i64::from(offset) * SECOND)
    }

    /// The offset before the gap that a wall-clock time is in. Gaps have an hour or two, but Samoa once skipped a whole
    /// day.
    fn offset_before_gap(self, wall: NaiveDateTime) -> i32 {
        [3, 26]
            .into_iter()
            .filter_map(|hours| wall.checked_sub_signed(TimeDelta::hours(hours)))
            .find_map(|before| self.0.offset_of_local(&before).latest())
            .unwrap_or(0)
    }

    /// The zone as `z` or `VV` prints it.
    pub(crate) fn id(self) -> String {
        self.0.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::HOUR;
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
