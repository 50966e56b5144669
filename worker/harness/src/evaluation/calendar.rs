//! The proleptic Gregorian calendar, by counting days.

use super::value::DAY;

/// The days from the first day of year 1 to 1970.
const TO_1970: i64 = 719_162;

/// A date. Month and day are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date {
    pub year: i64,
    pub month: i64,
    pub day: i64,
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// The number of days in a month.
pub fn month_length(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// The days from 1970 to the first day of a year.
fn start_of_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - TO_1970
}

/// The days from 1970 to a date.
pub fn day_of(date: Date) -> i64 {
    let months = (1..date.month).map(|month| month_length(date.year, month));
    start_of_year(date.year) + months.sum::<i64>() + date.day - 1
}

/// The date that is `day` days after 1970-01-01.
pub fn date_of(day: i64) -> Date {
    // A first guess that is not too late, because a year has 365 or 366 days.
    let mut year = 1970 + day.div_euclid(if day < 0 { 365 } else { 366 });
    while start_of_year(year + 1) <= day {
        year += (day - start_of_year(year + 1)).div_euclid(366).max(1);
    }
    let mut rest = day - start_of_year(year);
    let mut month = 1;
    while rest >= month_length(year, month) {
        rest -= month_length(year, month);
        month += 1;
    }
    Date { year, month, day: rest + 1 }
}

/// The day that is `months` months later; the last day of the month if the month is too short.
pub fn plus_months(day: i64, months: i64) -> i64 {
    let date = date_of(day);
    let count = date.year * 12 + date.month - 1 + months;
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    day_of(Date { year, month, day: date.day.min(month_length(year, month)) })
}

/// The day of a time, and the microseconds since its midnight.
pub fn split(micros: i128) -> (i64, i64) {
    // A time has at most 64 bits, so both parts fit.
    (micros.div_euclid(DAY) as i64, micros.rem_euclid(DAY) as i64)
}

/// The day of the week: 1 for Monday to 7 for Sunday.
pub fn weekday(day: i64) -> i64 {
    (day + 3).rem_euclid(7) + 1
}

/// The day of the year, counted from 1.
pub fn day_of_year(day: i64) -> i64 {
    day - start_of_year(date_of(day).year) + 1
}

/// The year and week of ISO 8601. The first week of a year is the one with its first Thursday.
pub fn iso_week(day: i64) -> (i64, i64) {
    let monday = day - weekday(day) + 1;
    let first_of = |year| {
        let fourth = day_of(Date { year, month: 1, day: 4 });
        fourth - weekday(fourth) + 1
    };
    let mut year = date_of(day).year + 1;
    while first_of(year) > monday {
        year -= 1;
    }
    (year, (monday - first_of(year)) / 7 + 1)
}
