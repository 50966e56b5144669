//! Windows of TIMESTAMP_LTZ align in the session time zone: times are shifted to the local clock before windows are cut.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

const HOUR_MS: i64 = 3_600_000;

/// A session time zone; `None` is a clock that is never shifted.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock(Option<Tz>);

impl LocalClock {
    /// The clock of a time zone by its IANA name.
    pub fn new(time_zone: Option<&str>) -> Result<Self, String> {
        let parse = |name: &str| name.parse().map_err(|error| format!("time zone {name}: {error}"));
        Ok(Self(time_zone.map(parse).transpose()?))
    }

    /// What the local clock shows at an instant, as if it were UTC.
    pub fn local(self, instant_ms: i64) -> i64 {
        let (Some(zone), Some(instant)) = (self.0, DateTime::from_timestamp_millis(instant_ms)) else {
            return instant_ms;
        };
        let offset = zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc();
        instant_ms + i64::from(offset) * 1_000
    }

    /// The instant at which the local clock shows a time: the earlier of two, and behind the gap for a time that never is.
    pub fn instant(self, local_ms: i64) -> i64 {
        let (Some(zone), Some(local)) = (self.0, DateTime::from_timestamp_millis(local_ms)) else { return local_ms };
        match zone.from_local_datetime(&local.naive_utc()) {
            LocalResult::Single(instant) | LocalResult::Ambiguous(instant, _) => instant.timestamp_millis(),
            LocalResult::None => local_ms - offset_before_gap(zone, local.naive_utc()),
        }
    }

    /// The instant at which a window with this last millisecond fires. Where the clock is put back it is the later of the
    /// two instants, so that the repeated hour belongs to one window.
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

fn offset_before_gap(zone: Tz, local: NaiveDateTime) -> i64 {
    let before = local - TimeDelta::hours(6);
    let offset = zone.offset_from_local_datetime(&before).earliest().map_or(0, |offset| offset.fix().local_minus_utc());
    i64::from(offset) * 1_000
}
