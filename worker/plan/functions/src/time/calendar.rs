//! The proleptic Gregorian calendar over days since 1970-01-01.

/// A date of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: i64,
    /// 1 to 31.
    pub(crate) day: i64,
}

impl Civil {
    /// The date of a day.
    pub(crate) fn of(days: i64) -> Self {
        // Years start in March here, so that the leap day is the last day of its year. There are 719 468 days before
        // 1970.
        let shifted = days.saturating_add(719_468);
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        Self { year: year_of_era + era * 400 + i64::from(month <= 2), month, day }
    }

    /// The day of this date. Months and days may be out of their range and carry over.
    pub(crate) fn days(self) -> i64 {
        let months = self.year * 12 + self.month - 1;
        let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
        let shifted_year = if month <= 2 { year - 1 } else { year };
        let era = shifted_year.div_euclid(400);
        let year_of_era = shifted_year.rem_euclid(400);
        let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        era * 146_097 + day_of_era - 719_468 + self.day - 1
    }
}

/// The number of days of a month.
pub(crate) fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The day `months` later. A day that the month does not have becomes its last day.
pub(crate) fn add_months(days: i64, months: i64) -> i64 {
    let date = Civil::of(days);
    let count = (date.year * 12 + date.month - 1).saturating_add(months);
    let (year, month) = (count.div_euclid(12), count.rem_euclid(12) + 1);
    Civil { year, month, day: date.day.min(days_in_month(year, month)) }.days()
}

/// Whole months from one local time to another, in microseconds.
pub(crate) fn months_between(from: i64, to: i64) -> i64 {
    let (from_days, to_days) = (from.div_euclid(super::DAY), to.div_euclid(super::DAY));
    let months =
        if to_days < from_days { -months_of_days(to_days, from_days) } else { months_of_days(from_days, to_days) };
    // As in Flink, the same rule applies backwards, where an incomplete last day counts as a month more.
    let is_short = add_months(from_days, months) == to_days && to.rem_euclid(super::DAY) < from.rem_euclid(super::DAY);
    if is_short { months - 1 } else { months }
}

/// Whole months from one day to another that is not before it.
fn months_of_days(from: i64, to: i64) -> i64 {
    let (start, end) = (Civil::of(from), Civil::of(to));
    let months = (end.year - start.year) * 12 + end.month - start.month;
    if add_months(from, months) > to { months - 1 } else { months }
}

/// The day of the week: 1 for Monday to 7 for Sunday.
pub(crate) fn iso_weekday(days: i64) -> i64 {
    (days + 3).rem_euclid(7) + 1
}

/// The day of the year, from 1.
pub(crate) fn day_of_year(days: i64) -> i64 {
    let date = Civil::of(days);
    days - Civil { year: date.year, month: 1, day: 1 }.days() + 1
}

/// The ISO 8601 week and the year it belongs to.
pub(crate) fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - iso_weekday(days) + 4;
    let year = Civil::of(thursday).year;
    (year, (day_of_year(thursday) - 1) / 7 + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn iso_weeks_belong_to_the_year_of_their_thursday() {
        for (year, month, day, expected) in
            [(2026, 1, 1, (2026, 1)), (2027, 1, 1, (2026, 53)), (2024, 12, 30, (2025, 1)), (1994, 9, 27, (1994, 39))]
        {
            assert_eq!(iso_week(Civil { year, month, day }.days()), expected, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn a_month_is_counted_when_its_day_and_time_are_reached() {
        let at = |year, month, day, hours: i64| {
            Civil { year, month, day }.days() * super::super::DAY + hours * super::super::HOUR
        };
        assert_eq!(months_between(at(2026, 1, 31, 0), at(2026, 2, 28, 0)), 1);
        assert_eq!(months_between(at(2026, 1, 15, 12), at(2026, 2, 15, 11)), 0);
        assert_eq!(months_between(at(2026, 2, 15, 11), at(2026, 1, 15, 12)), -1);
        assert_eq!(months_between(at(2024, 2, 29, 12), at(2024, 2, 29, 0)), -1);
        assert_eq!(months_between(at(2024, 3, 31, 2), at(2024, 2, 29, 0)), -2);
        assert_eq!(months_between(at(2026, 3, 15, 0), at(2025, 3, 15, 0)), -12);
    }

    proptest! {
        #[test]
        fn a_day_and_its_date_are_the_same(days in -10_000_000_i64..10_000_000) {
            let date = Civil::of(days);
            prop_assert_eq!(date.days(), days);
            prop_assert!((1..=12).contains(&date.month) && (1..=days_in_month(date.year, date.month)).contains(&date.day));
        }
    }
}
