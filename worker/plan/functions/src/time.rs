//! The calendar, time zones and Java's date patterns: pure functions over counts of microseconds and days.
//!
//! A *local* time counts microseconds from 1970-01-01 00:00:00 on the wall clock; an *instant* counts them in UTC.

pub(crate) mod calendar;
pub(crate) mod format;
pub(crate) mod parse;
pub(crate) mod pattern;
pub(crate) mod unit;
pub(crate) mod zone;

/// Microseconds in a millisecond.
pub(crate) const MILLISECOND: i64 = 1_000;
/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000 * MILLISECOND;
/// Microseconds in a minute.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// Microseconds in an hour.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Microseconds in a day.
pub(crate) const DAY: i64 = 24 * HOUR;
