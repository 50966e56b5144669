//! Functions of points in time.

use arrow::datatypes::{DataType, TimeUnit};

use super::{Body, Called};
use crate::evaluation::Value;
use crate::evaluation::arithmetic::cut;
use crate::evaluation::calendar::{self, Date, date_of, plus_months, split};
use crate::evaluation::text::read;
use crate::evaluation::value::DAY;
use crate::evaluation::zone::Zone;

const SECOND: i128 = 1_000_000;
const HOUR: i128 = 3_600 * SECOND;

/// The length of a unit of time in microseconds; `None` if it varies.
fn length(unit: &str) -> Option<i128> {
    Some(match unit {
        "WEEK" => 7 * DAY,
        "DAY" => DAY,
        "HOUR" => HOUR,
        "MINUTE" => 60 * SECOND,
        "SECOND" => SECOND,
        "MILLISECOND" => 1_000,
        "MICROSECOND" => 1,
        _ => return None,
    })
}

/// The number of months in a unit of time; `None` for units with a fixed length.
fn months(unit: &str) -> Option<i64> {
    Some(match unit {
        "MONTH" => 1,
        "QUARTER" => 3,
        "YEAR" => 12,
        "DECADE" => 120,
        "CENTURY" => 1_200,
        "MILLENNIUM" => 12_000,
        _ => return None,
    })
}

fn unit_of(called: &Called) -> Result<String, String> {
    match called.values.first() {
        Some(Value::Text(name)) => {
            let upper = name.to_uppercase();
            let short = upper.strip_prefix("SQL_TSI_").unwrap_or(&upper);
            Ok(short.strip_suffix('S').unwrap_or(short).to_owned())
        }
        _ => Err("the unit is not a literal".to_owned()),
    }
}

pub(super) fn of_times(name: &str) -> Option<Body> {
    Some(Body::Of(match name {
        "extract" => |called| match called.values {
            [_, Value::Moment(moment)] => part_of(called, &unit_of(called)?, *moment, called.type_of(1)?),
            _ => Ok(Value::Null),
        },
        "timestampadd" => |called| {
            let [_, Value::Whole(count), Value::Moment(moment)] = called.values else { return Ok(Value::Null) };
            moved(&unit_of(called)?, *count, *moment, called.data_type)
        },
        "timestampdiff" => |called| {
            let [_, Value::Moment(from), Value::Moment(to)] = called.values else { return Ok(Value::Null) };
            // Flink counts in milliseconds.
            let (from, to) = (from.div_euclid(1_000), to.div_euclid(1_000));
            let unit = unit_of(called)?;
            let count = match (length(&unit), months(&unit)) {
                (Some(length), _) => (to - from) / (length / 1_000).max(1),
                (_, Some(months)) => i128::from(months_between(from, to) / months),
                _ => return Err(format!("{unit} cannot be counted")),
            };
            Ok(Value::Whole(cut(count, &DataType::Int32)))
        },
        "date_format" => |called| {
            let [Value::Moment(moment), Value::Text(pattern)] = called.values else { return Ok(Value::Null) };
            let of = called.type_of(0)?;
            let is_instant = matches!(of, DataType::Timestamp(_, Some(_)));
            let local = if is_instant { called.zone()?.local(*moment) } else { *moment };
            formatted(local, pattern).map(Value::Text)
        },
        "floor_to" => |called| to_unit(called, |local, unit| Some(floor(local, unit)?.0)),
        "ceil_to" => |called| {
            to_unit(called, |local, unit| {
                let (floor, next) = floor(local, unit)?;
                Some(if floor == local { local } else { next })
            })
        },
        "from_unixtime" => |called| {
            let (seconds, pattern) = match called.values {
                [Value::Whole(seconds)] => (*seconds, "yyyy-MM-dd HH:mm:ss"),
                [Value::Whole(seconds), Value::Text(pattern)] => (*seconds, pattern.as_str()),
                _ => return Ok(Value::Null),
            };
            formatted(called.zone()?.local(i128::from(seconds) * SECOND), pattern).map(Value::Text)
        },
        // A text that cannot be parsed is NULL here, where a CAST would fail.
        "to_date" | "to_timestamp" => |called| match called.values {
            [Value::Text(text)] => Ok(read(text, called.data_type, Zone::UTC).ok().flatten().unwrap_or(Value::Null)),
            [Value::Null] => Ok(Value::Null),
            _ => Err("the reference does not know patterns".to_owned()),
        },
        "to_timestamp_ltz" => |called| {
            let (number, more) = match called.values {
                [Value::Whole(number)] => (*number, 3),
                [Value::Whole(number), Value::Whole(digits @ (0 | 3))] => (*number, 6 - *digits as u32),
                [Value::Null, ..] | [_, Value::Null] => return Ok(Value::Null),
                _ => return Err("the reference does not know this form".to_owned()),
            };
            let moment = i128::from(number) * 10_i128.pow(more);
            // The years 0 to 9999.
            let first = |year| i128::from(calendar::day_of(Date { year, month: 1, day: 1 })) * DAY;
            let is_there = (first(0)..first(10_000)).contains(&moment);
            Ok(if is_there { Value::Moment(moment - moment.rem_euclid(1_000)) } else { Value::Null })
        },
        _ => return None,
    }))
}

/// FLOOR and CEIL of the second argument, in local time of the session.
fn to_unit(called: &Called, round: fn(i128, &str) -> Option<i128>) -> Result<Value, String> {
    let [_, Value::Moment(moment)] = called.values else { return Ok(Value::Null) };
    let is_instant = matches!(called.data_type, DataType::Timestamp(_, Some(_)));
    let (unit, zone) = (unit_of(called)?, called.zone()?);
    let local = if is_instant { zone.local(*moment) } else { *moment };
    let rounded = round(local, &unit).ok_or_else(|| format!("the reference does not round to {unit}"))?;
    Ok(Value::Moment(if is_instant { zone.instant(rounded) } else { rounded }))
}

/// The start of the unit that a time is in, and the start of the next one.
fn floor(local: i128, unit: &str) -> Option<(i128, i128)> {
    let first_of = |month: i64| {
        let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
        i128::from(calendar::day_of(Date { year, month, day: 1 })) * DAY
    };
    if let Some(months) = months(unit).filter(|months| *months <= 12) {
        let date = date_of(split(local).0);
        let from = (date.year * 12 + date.month - 1).div_euclid(months) * months;
        return Some((first_of(from), first_of(from + months)));
    }
    let length = length(unit)?;
    // Weeks begin on Sunday. 1970-01-04 was a Sunday.
    let zero = if unit == "WEEK" { 3 * DAY } else { 0 };
    let from = local - (local - zero).rem_euclid(length);
    Some((from, from + length))
}

pub(super) fn part_of(called: &Called, unit: &str, moment: i128, of: &DataType) -> Result<Value, String> {
    let is_instant = matches!(of, DataType::Timestamp(_, Some(_)));
    let (day, of_day) = split(if is_instant { called.zone()?.local(moment) } else { moment });
    let date = date_of(day);
    let seconds = of_day / 1_000_000;
    Ok(Value::Whole(match unit.to_uppercase().as_str() {
        "YEAR" => date.year,
        "QUARTER" => (date.month - 1) / 3 + 1,
        "MONTH" => date.month,
        "DAY" => date.day,
        "WEEK" => calendar::iso_week(day).1,
        "ISOYEAR" => calendar::iso_week(day).0,
        "DOY" => calendar::day_of_year(day),
        // Counted from Sunday.
        "DOW" => calendar::weekday(day) % 7 + 1,
        "ISODOW" => calendar::weekday(day),
        "HOUR" => seconds / 3_600,
        "MINUTE" => seconds / 60 % 60,
        "SECOND" => seconds % 60,
        "MILLISECOND" => of_day / 1_000 % 1_000,
        "MICROSECOND" => of_day % 1_000_000,
        "EPOCH" => day * 86_400 + seconds,
        other => return Err(format!("the reference does not know the unit {other}")),
    }))
}

fn moved(unit: &str, count: i64, moment: i128, to: &DataType) -> Result<Value, String> {
    let out = || format!("{count} {unit} lead out of the range of times");
    let moved = match (length(unit), months(unit)) {
        (Some(length), _) => moment + i128::from(count) * length,
        (_, Some(months)) => {
            let months = count.checked_mul(months).filter(|months| months.abs() <= 12_000_000).ok_or_else(out)?;
            let (day, of_day) = split(moment);
            i128::from(plus_months(day, months)) * DAY + i128::from(of_day)
        }
        _ => return Err(format!("{unit} cannot be added")),
    };
    if i64::try_from(moved).is_err() {
        return Err(out());
    }
    let unit = match to {
        DataType::Date32 => DAY,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1,
        _ => 1_000,
    };
    let moved = if matches!(to, DataType::Time32(_)) { moved.rem_euclid(DAY) } else { moved };
    Ok(Value::Moment(moved - moved.rem_euclid(unit)))
}

/// Whole months from one time to another, both in milliseconds, like Calcite's `subtractMonths`. Backwards it counts
/// forwards from the earlier time, and subtracts one more month if the later time of day is earlier.
fn months_between(from: i128, to: i128) -> i64 {
    const DAY_MS: i128 = 86_400_000;
    fn of_days(later: i64, earlier: i64) -> i64 {
        if later < earlier {
            return -of_days(earlier, later);
        }
        let mut months = (later - earlier) / 31;
        while plus_months(earlier, months) < later && plus_months(earlier, months + 1) <= later {
            months += 1;
        }
        months
    }
    let (from_day, to_day) = (from.div_euclid(DAY_MS) as i64, to.div_euclid(DAY_MS) as i64);
    let months = of_days(to_day, from_day);
    let is_short = plus_months(from_day, months) == to_day && to.rem_euclid(DAY_MS) < from.rem_euclid(DAY_MS);
    months - i64::from(is_short)
}

/// Formats a time by a Java pattern. Supports the letters that the golden queries use.
fn formatted(local: i128, pattern: &str) -> Result<String, String> {
    let (day, of_day) = split(local);
    let (date, seconds) = (date_of(day), of_day / 1_000_000);
    let Date { year, month, day } = date;
    let mut text = String::new();
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let count = rest.chars().take_while(|other| *other == letter).count();
        let number = match letter {
            // The year of the era: the year before year 1 is year 1 BC.
            'y' if count == 2 => (if year > 0 { year } else { 1 - year }) % 100,
            'y' if year <= 0 => 1 - year,
            'y' => year,
            'M' if count <= 2 => month,
            'd' => day,
            'H' => seconds / 3_600,
            'm' => seconds / 60 % 60,
            's' => seconds % 60,
            'S' if count <= 6 => {
                text.push_str(&format!("{:06}", of_day % 1_000_000)[..count]);
                rest = &rest[count..];
                continue;
            }
            letter if letter.is_ascii_alphabetic() || letter == '\'' || letter == '[' || letter == ']' => {
                return Err(format!("the reference does not know the pattern {pattern}"));
            }
            other => {
                text.push(other);
                rest = &rest[other.len_utf8()..];
                continue;
            }
        };
        text.push_str(&format!("{number:0count$}"));
        rest = &rest[count..];
    }
    Ok(text)
}
