//! Conversions between event time and local time.
//!
//! Windows are cut in local time. For TIMESTAMP_LTZ that is the session time zone, for TIMESTAMP the time itself.
//! Watermarks are instants. Local times are milliseconds, counted as in UTC.

use chrono::{DateTime, NaiveDateTime};
use eddyline_stream::{TimeZone, Watermark};

use crate::Error;

const HOUR_MS: i64 = 3_600_000;

/// The relation between instants and local times.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    // Fixed at start.
    zone: Option<TimeZone>,
    // Changing: the hour of the last instant, and its offset if the whole hour has the same one.
    hour: i64,
    offset_ms: Option<i64>,
}

impl Zone {
    /// The relation in a time zone. `None` and UTC need no conversion.
    pub(crate) fn new(name: Option<&str>) -> Result<Self, Error> {
        let parse = |name: &str| name.parse().map_err(|_| Error::UnknownTimeZone(name.to_owned()));
        let zone = name.map(parse).transpose()?;
        Ok(Self { zone: zone.filter(|zone| *zone != TimeZone::UTC), hour: i64::MIN, offset_ms: None })
    }

    /// Whether local times are instants.
    pub(crate) fn is_utc(&self) -> bool {
        self.zone.is_none()
    }

    /// The local time of an instant.
    pub(crate) fn local(&mut self, instant_ms: i64) -> i64 {
        let Some(zone) = self.zone else { return instant_ms };
        let hour = instant_ms.div_euclid(HOUR_MS);
        if hour != self.hour {
            let first = offset_ms(zone, hour.saturating_mul(HOUR_MS));
            let last = offset_ms(zone, hour.saturating_mul(HOUR_MS).saturating_add(HOUR_MS - 1));
            self.hour = hour;
            self.offset_ms = (first == last).then_some(first);
        }
        instant_ms.saturating_add(self.offset_ms.unwrap_or_else(|| offset_ms(zone, instant_ms)))
    }

    /// The instant at which a local time has passed. For a time that occurs twice this is the later instant. For a
    /// skipped time it is the instant of the change.
    pub(crate) fn instant(&self, local_ms: i64) -> i64 {
        let Some(zone) = self.zone else { return local_ms };
        let Some(local) = naive(local_ms) else { return local_ms };
        match zone.offset_of_local(&local).latest() {
            Some(offset) => local_ms - i64::from(offset) * 1000,
            None => {
                // The first instant whose local time is later. Offsets are below a day.
                let (mut before, mut after) = (local_ms - 24 * HOUR_MS, local_ms + 24 * HOUR_MS);
                while after - before > 1 {
                    let middle = before + (after - before) / 2;
                    if middle + offset_ms(zone, middle) > local_ms {
                        after = middle;
                    } else {
                        before = middle;
                    }
                }
                after
            }
        }
    }

    /// Whether a window that ends at this local time has fired: the watermark has reached its last millisecond.
    pub(crate) fn is_fired(&self, window_end: i64, watermark: Watermark) -> bool {
        self.instant(window_end.saturating_sub(1)) <= watermark.time_ms()
    }

    /// The last window end of a grid that has fired. `i64::MIN` before the first watermark.
    pub(crate) fn last_fired(&mut self, step: i64, offset: i64, watermark: Watermark) -> i64 {
        match watermark {
            Watermark::MIN => return i64::MIN,
            Watermark::MAX => return i64::MAX,
            _ => {}
        }
        let local = self.local(watermark.time_ms()).saturating_add(1);
        let mut end = local.saturating_sub(local.saturating_sub(offset).rem_euclid(step));
        // If the clocks change, the guess can be wrong by the amount of the change.
        while self.is_fired(end.saturating_add(step), watermark) && end < i64::MAX - step {
            end += step;
        }
        while !self.is_fired(end, watermark) && end > i64::MIN + step {
            end -= step;
        }
        end
    }
}

fn naive(time_ms: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_millis(time_ms).map(|time| time.naive_utc())
}

fn offset_ms(zone: TimeZone, instant_ms: i64) -> i64 {
    naive(instant_ms).map_or(0, |time| i64::from(zone.offset_at(&time)) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect("a time").timestamp_millis()
    }

    #[test]
    fn local_times_follow_the_clock_of_the_zone() {
        let mut berlin = Zone::new(Some("Europe/Berlin")).expect("a zone");
        assert_eq!(berlin.local(ms("2024-01-15T11:00:00Z")), ms("2024-01-15T12:00:00Z"));
        assert_eq!(berlin.local(ms("2024-07-15T11:00:00Z")), ms("2024-07-15T13:00:00Z"));
        assert_eq!(berlin.local(ms("2024-03-31T00:59:59Z")), ms("2024-03-31T01:59:59Z"));
        assert_eq!(berlin.local(ms("2024-03-31T01:00:00Z")), ms("2024-03-31T03:00:00Z"));
    }

    #[test]
    fn a_repeated_hour_is_over_the_second_time_and_a_skipped_one_at_once() {
        let berlin = Zone::new(Some("Europe/Berlin")).expect("a zone");
        assert_eq!(berlin.instant(ms("2024-10-27T02:59:59.999Z")), ms("2024-10-27T01:59:59.999Z"));
        assert_eq!(berlin.instant(ms("2024-03-31T02:59:59.999Z")), ms("2024-03-31T01:00:00Z"));
        assert_eq!(berlin.instant(ms("2024-03-31T23:59:59.999Z")), ms("2024-03-31T21:59:59.999Z"));
    }

    #[test]
    fn the_last_fired_end_lies_on_the_grid() {
        let mut utc = Zone::new(Some("UTC")).expect("a zone");
        assert_eq!(utc.last_fired(10, 3, Watermark::new(12)), 13);
        assert_eq!(utc.last_fired(10, 3, Watermark::new(11)), 3);
        assert_eq!(utc.last_fired(10, 3, Watermark::new(-8)), -7);
        let mut berlin = Zone::new(Some("Europe/Berlin")).expect("a zone");
        let end = berlin.last_fired(HOUR_MS, 0, Watermark::new(ms("2024-10-27T01:00:00Z")));
        assert_eq!(end, ms("2024-10-27T02:00:00Z"), "02:00 to 03:00 occurs twice and is not over");
    }

    #[test]
    fn a_fixed_offset_is_a_zone() {
        let mut zone = Zone::new(Some("GMT+08:00")).expect("a zone");
        assert_eq!(zone.local(0), 8 * HOUR_MS);
        assert_eq!(zone.instant(8 * HOUR_MS), 0);
    }

    #[test]
    fn an_unknown_zone_is_named() {
        assert_eq!(Zone::new(Some("Mars/Base")).unwrap_err().to_string(), "Mars/Base is not a time zone");
    }
}
