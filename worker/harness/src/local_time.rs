//! Windows of TIMESTAMP_LTZ align in the session time zone: times are converted to local time before rows are assigned.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta};
use eddyline_stream::TimeZone;

const HOUR_MS: i64 = 3_600_000;

/// The clock of the session time zone; `None` for TIMESTAMP, which is not converted.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock(Option<TimeZone>);

impl LocalClock {
    /// The clock of the time zone with this name.
    pub fn new(time_zone: Option<&str>) -> Result<Self, String> {
        let parse = |name: &str| name.parse::<TimeZone>().map_err(|error| error.to_string());
        Ok(Self(time_zone.map(parse).transpose()?))
    }

    /// The local time at an instant, in milliseconds as if it were UTC.
    pub fn local(self, instant_ms: i64) -> i64 {
        let (Some(zone), Some(instant)) = (self.0, DateTime::from_timestamp_millis(instant_ms)) else {
            return instant_ms;
        };
        instant_ms + i64::from(zone.offset_at(&instant.naive_utc())) * 1_000
    }

    /// The instant of a local time: the earlier one if there are two. A local time in a gap counts as the time after
    /// the gap.
    pub fn instant(self, local_ms: i64) -> i64 {
        let (Some(zone), Some(local)) = (self.0, DateTime::from_timestamp_millis(local_ms)) else { return local_ms };
        match zone.offset_of_local(&local.naive_utc()) {
            LocalResult::Single(offset) => local_ms - i64::from(offset) * 1_000,
            LocalResult::Ambiguous(one, other) => local_ms - i64::from(one.max(other)) * 1_000,
            LocalResult::None => local_ms - offset_before_gap(zone, local.naive_utc()),
        }
    }

    /// The instant at which a window with this last millisecond fires. If the clock is set back, it is the later of two
    /// instants, so that the repeated hour belongs to one window.
    pub fn timer(self, local_ms: i64) -> i64 {
        if self.0.is_none() {
            return local_ms;
        }
        let (first, second) = (self.instant(local_ms), self.instant(local_ms.saturating_add(HOUR_MS)));
        if second - first > HOUR_MS {
            second - HOUR_MS
        } else if first == second {
            first - first.rem_euclid(HOUR_MS)
        } else {
            first
        }
    }
}

fn offset_before_gap(zone: TimeZone, local: NaiveDateTime) -> i64 {
    let before = local - TimeDelta::hours(6);
    i64::from(zone.offset_of_local(&before).earliest().unwrap_or(0)) * 1_000
}
