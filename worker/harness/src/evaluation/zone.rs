//! Local times of a time zone.

use chrono::{DateTime, LocalResult, NaiveDateTime, TimeDelta};
use eddyline_stream::TimeZone;

/// The time zone that TIMESTAMP_LTZ is read and printed in.
#[derive(Clone, Copy, Debug)]
pub struct Zone(TimeZone);

const SECOND: i128 = 1_000_000;

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone at the end of a function's detail, such as `AS STRING in Europe/Berlin`; UTC if there is none.
    pub fn of_detail(detail: &str) -> Result<Self, String> {
        match detail.rsplit_once("in ") {
            Some((_, name)) => name.parse().map(Self).map_err(|_| format!("'{name}' is not a time zone")),
            None => Ok(Self::UTC),
        }
    }

    fn naive(micros: i128) -> Option<NaiveDateTime> {
        Some(DateTime::from_timestamp_micros(i64::try_from(micros).ok()?)?.naive_utc())
    }

    /// The local time at an instant, both in microseconds.
    pub fn local(self, instant: i128) -> i128 {
        let Some(naive) = Self::naive(instant) else { return instant };
        instant + i128::from(self.0.offset_at(&naive)) * SECOND
    }

    /// The instant of a local time: the first one if there are two. A local time in a gap counts as the time after the
    /// gap by the same amount.
    pub fn instant(self, local: i128) -> i128 {
        let Some(naive) = Self::naive(local) else { return local };
        let offset = match self.0.offset_of_local(&naive) {
            LocalResult::Single(offset) => offset,
            LocalResult::Ambiguous(one, other) => one.max(other),
            LocalResult::None => {
                let before = |hours| self.0.offset_of_local(&(naive - TimeDelta::hours(hours))).latest();
                before(3).or_else(|| before(26)).unwrap_or(0)
            }
        };
        local - i128::from(offset) * SECOND
    }
}
