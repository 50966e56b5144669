//! Time units as SQL names them: `EXTRACT`, `FLOOR … TO`, `TIMESTAMPADD`, `TIMESTAMPDIFF`.

use eddyline_expression::{Result, plan_err};

use super::calendar::{self, Civil};
use super::{DAY, HOUR, MILLISECOND, MINUTE, SECOND};

/// A unit of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    Nanosecond,
    Epoch,
    DayOfYear,
    DayOfWeek,
    IsoDayOfWeek,
    IsoYear,
}

impl Unit {
    /// The unit with a name, in upper or lower case. `SQL_TSI_` spellings and plurals are accepted.
    pub(crate) fn named(name: &str) -> Result<Self> {
        let upper = name.trim().to_ascii_uppercase();
        let short = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
        Ok(match short.strip_suffix('S').unwrap_or(short) {
            "MILLENNIUM" => Self::Millennium,
            "CENTURY" => Self::Century,
            "DECADE" => Self::Decade,
            "YEAR" => Self::Year,
            "QUARTER" => Self::Quarter,
            "MONTH" => Self::Month,
            "WEEK" => Self::Week,
            "DAY" => Self::Day,
            "HOUR" => Self::Hour,
            "MINUTE" => Self::Minute,
            "SECOND" => Self::Second,
            "MILLISECOND" => Self::Millisecond,
            "MICROSECOND" => Self::Microsecond,
            "NANOSECOND" | "FRAC_SECOND" => Self::Nanosecond,
            "EPOCH" => Self::Epoch,
            "DOY" => Self::DayOfYear,
            "DOW" => Self::DayOfWeek,
            "ISODOW" => Self::IsoDayOfWeek,
            "ISOYEAR" => Self::IsoYear,
            _ => {
                return plan_err!(
                    "'{name}' is not a unit of time; YEAR, QUARTER, MONTH, WEEK, DAY, HOUR, MINUTE, SECOND are"
                );
            }
        })
    }

    /// The unit's fixed length in microseconds. `None` for calendar units and parts.
    pub(crate) fn length_us(self) -> Option<i64> {
        match self {
            Self::Week => Some(7 * DAY),
            Self::Day => Some(DAY),
            Self::Hour => Some(HOUR),
            Self::Minute => Some(MINUTE),
            Self::Second => Some(SECOND),
            Self::Millisecond => Some(MILLISECOND),
            Self::Microsecond => Some(1),
            _ => None,
        }
    }

    /// The unit's length in months. `None` for units shorter than a month and for parts.
    pub(crate) fn length_months(self) -> Option<i64> {
        match self {
            Self::Millennium => Some(12_000),
            Self::Century => Some(1_200),
            Self::Decade => Some(120),
            Self::Year => Some(12),
            Self::Quarter => Some(3),
            Self::Month => Some(1),
            _ => None,
        }
    }

    /// This part of a local time (microseconds), as `EXTRACT` gives it. DOW counts from Sunday = 1.
    pub(crate) fn extract(self, local: i64) -> i64 {
        let days = local.div_euclid(DAY);
        let of_day = local.rem_euclid(DAY);
        match self {
            Self::Hour => of_day / HOUR,
            Self::Minute => of_day % HOUR / MINUTE,
            Self::Second => of_day % MINUTE / SECOND,
            Self::Millisecond => of_day % SECOND / MILLISECOND,
            Self::Microsecond => of_day % SECOND,
            Self::Nanosecond => of_day % SECOND * 1_000,
            Self::Epoch => local.div_euclid(SECOND),
            Self::DayOfYear => calendar::day_of_year(days),
            Self::DayOfWeek => calendar::iso_weekday(days) % 7 + 1,
            Self::IsoDayOfWeek => calendar::iso_weekday(days),
            Self::Week => calendar::iso_week(days).1,
            Self::IsoYear => calendar::iso_week(days).0,
            _ => self.extract_from_date(Civil::of(days)),
        }
    }

    fn extract_from_date(self, date: Civil) -> i64 {
        let rounded_up = |size: i64| {
            if date.year > 0 { (date.year + size - 1) / size } else { (date.year - size + 1) / size }
        };
        match self {
            Self::Millennium => rounded_up(1_000),
            Self::Century => rounded_up(100),
            Self::Decade => date.year / 10,
            Self::Quarter => (date.month + 2) / 3,
            Self::Month => date.month,
            Self::Day => date.day,
            _ => date.year,
        }
    }

    /// The start of the unit that contains a local time. Weeks start on Sunday, as in Flink.
    pub(crate) fn floor(self, local: i64) -> i64 {
        let days = local.div_euclid(DAY);
        let date = Civil::of(days);
        let first_of = |year, month| Civil { year, month, day: 1 }.days().saturating_mul(DAY);
        match self {
            Self::Millennium => first_of((date.year + 999) / 1_000 * 1_000 - 999, 1),
            Self::Century => first_of((date.year + 99) / 100 * 100 - 99, 1),
            Self::Decade => first_of(date.year / 10 * 10, 1),
            Self::Year => first_of(date.year, 1),
            Self::Quarter => first_of(date.year, (date.month - 1) / 3 * 3 + 1),
            Self::Month => first_of(date.year, date.month),
            Self::Week => (days - calendar::iso_weekday(days) % 7).saturating_mul(DAY),
            _ => match self.length_us() {
                Some(length) => local.div_euclid(length).saturating_mul(length),
                None => local,
            },
        }
    }

    /// The first start of this unit that is not before a local time.
    pub(crate) fn ceil(self, local: i64) -> i64 {
        let floor = self.floor(local);
        if floor == local {
            return local;
        }
        match (self.length_us(), self.length_months()) {
            (Some(length), _) => floor.saturating_add(length),
            (None, Some(months)) => calendar::add_months(floor.div_euclid(DAY), months).saturating_mul(DAY),
            (None, None) => local,
        }
    }

    /// A local time moved by `count` units. `None` if it leaves the range of a timestamp or the unit is only a part.
    pub(crate) fn add(self, local: i64, count: i64) -> Option<i64> {
        if let Some(length) = self.length_us() {
            return local.checked_add(count.checked_mul(length)?);
        }
        let months = count.checked_mul(self.length_months()?)?;
        if !(-12_000_000..=12_000_000).contains(&months) {
            return None;
        }
        calendar::add_months(local.div_euclid(DAY), months).checked_mul(DAY)?.checked_add(local.rem_euclid(DAY))
    }

    /// The number of whole units from one local time to another. `None` for units that are only parts.
    pub(crate) fn between(self, from: i64, to: i64) -> Option<i64> {
        match self.length_us() {
            Some(length) => Some(to.checked_sub(from)? / length),
            None => Some(calendar::months_between(from, to) / self.length_months()?),
        }
    }
}
