//! Reads dates and times by a compiled Java pattern, and in SQL's forms without a pattern.

use super::calendar::{Civil, days_in_month};
use super::pattern::{Dialect, Item, MONTHS, Pattern, WEEKDAYS};
use eddyline_stream::TimeZone;
use eddyline_stream::time_zone::parse_offset;

use super::zone::{Overlap, Zone};
use super::{DAY, HOUR, MINUTE, SECOND};

/// What a pattern found in a text. Fields that it did not find are `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: Option<i64>,
    hour_of_half: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    micros: Option<i64>,
    zone: Option<Zone>,
}

impl Pattern {
    /// The local time of a text. Missing fields are those of 1970-01-01 00:00:00. `None` if the text does not match.
    pub(crate) fn parse_local(&self, text: &str) -> Option<i64> {
        let (rest, found) = parse_items(&self.items, self.dialect, text, Found::default())?;
        if self.dialect == Dialect::Formatter && !rest.is_empty() {
            return None;
        }
        found.local(self.dialect)
    }

    /// The instant of a text. If the text has a zone, that is used instead of `zone`.
    pub(crate) fn parse_instant(&self, text: &str, zone: Zone) -> Option<i64> {
        let (rest, found) = parse_items(&self.items, self.dialect, text, Found::default())?;
        if self.dialect == Dialect::Formatter && !rest.is_empty() {
            return None;
        }
        let overlap = if self.dialect == Dialect::Simple { Overlap::Later } else { Overlap::Earlier };
        Some(found.zone.unwrap_or(zone).instant(found.local(self.dialect)?, overlap))
    }
}

impl Found {
    fn local(&self, dialect: Dialect) -> Option<i64> {
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) => hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 },
            (None, None) => 0,
        };
        let year = self.year.unwrap_or(1970);
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let (minute, second) = (self.minute.unwrap_or(0), self.second.unwrap_or(0));
        let day = if dialect == Dialect::Formatter {
            let in_range = (1..=12).contains(&month)
                && (1..=31).contains(&day)
                && (0..24).contains(&hour)
                && (0..60).contains(&minute)
                && (0..60).contains(&second);
            if !in_range {
                return None;
            }
            // As in Java's smart resolution, 31 April is 30 April.
            day.min(days_in_month(year, month))
        } else {
            day
        };
        let days = match self.day_of_year {
            Some(day_of_year) => Civil { year, month: 1, day: 1 }.days() + day_of_year - 1,
            None => Civil { year, month, day }.days(),
        };
        let of_day = hour * HOUR + minute * MINUTE + second * SECOND + self.micros.unwrap_or(0);
        days.checked_mul(DAY)?.checked_add(of_day)
    }
}

fn parse_items<'a>(items: &[Item], dialect: Dialect, text: &'a str, found: Found) -> Option<(&'a str, Found)> {
    let (mut rest, mut found) = (text, found);
    for (position, item) in items.iter().enumerate() {
        match item {
            Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Item::Optional(inner) => {
                if let Some((after, more)) = parse_items(inner, dialect, rest, found.clone()) {
                    (rest, found) = (after, more);
                }
            }
            Item::Field { letter, count } => {
                let adjacent = matches!(items.get(position + 1), Some(Item::Field { letter, count })
                    if is_number(*letter, *count));
                rest = parse_field(*letter, *count, adjacent, dialect, rest, &mut found)?;
            }
        }
    }
    Some((rest, found))
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count <= 2,
        'E' | 'a' | 'G' | 'z' | 'Z' | 'X' | 'x' | 'V' | 'O' => false,
        _ => true,
    }
}

fn parse_field<'a>(
    letter: char,
    count: usize,
    adjacent: bool,
    dialect: Dialect,
    text: &'a str,
    found: &mut Found,
) -> Option<&'a str> {
    match letter {
        'M' | 'L' if count >= 3 => {
            let (month, rest) = name(&MONTHS, text)?;
            found.month = Some(month);
            return Some(rest);
        }
        'E' => return name(&WEEKDAYS, text).map(|(_, rest)| rest),
        'G' => return text.strip_prefix("AD").or_else(|| text.strip_prefix("BC")),
        'a' => {
            let half = text.get(..2)?;
            found.afternoon = Some(half.eq_ignore_ascii_case("PM"));
            return (half.eq_ignore_ascii_case("PM") || half.eq_ignore_ascii_case("AM")).then(|| &text[2..]);
        }
        'z' | 'Z' | 'X' | 'x' | 'V' | 'O' => return parse_zone(letter, text, found),
        'S' if dialect == Dialect::Formatter => {
            let digits = text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            found.micros = Some(fraction_micros(digits));
            return Some(&text[count..]);
        }
        _ => {}
    }
    let text = if dialect == Dialect::Simple { text.trim_start_matches([' ', '\t']) } else { text };
    let (value, digits, rest) = number(letter, count, adjacent, dialect, text)?;
    store(letter, count, value, digits, dialect, found);
    Some(rest)
}

fn number(letter: char, count: usize, adjacent: bool, dialect: Dialect, text: &str) -> Option<(i64, usize, &str)> {
    let signed = matches!(letter, 'y' | 'u' | 'Y') && text.starts_with('-');
    let body = if signed { &text[1..] } else { text };
    let available = body.bytes().take_while(u8::is_ascii_digit).count();
    let (least, most) = match dialect {
        Dialect::Simple if adjacent => (1, count),
        Dialect::Simple => (1, 18),
        Dialect::Formatter if matches!(letter, 'y' | 'u' | 'Y') && count == 4 && !adjacent => (4, 9),
        Dialect::Formatter if count == 1 && !adjacent => (1, 18),
        Dialect::Formatter => (count, count),
    };
    if available < least {
        return None;
    }
    let taken = available.min(most);
    // A field has at most nine significant digits. Larger numbers would overflow the calendar.
    let value = body[..taken].parse::<i64>().ok().filter(|value| *value <= 999_999_999)?;
    Some((if signed { -value } else { value }, taken, &body[taken..]))
}

fn store(letter: char, count: usize, value: i64, digits: usize, dialect: Dialect, found: &mut Found) {
    match letter {
        'y' | 'Y' if count == 2 && digits == 2 => {
            // SimpleDateFormat reads two digits as a year from 80 years ago to 20 years ahead, DateTimeFormatter as
            // 2000 to 2099.
            found.year = Some(if dialect == Dialect::Simple && value > 46 { 1900 + value } else { 2000 + value });
        }
        'y' | 'Y' => found.year = Some(value),
        'u' if dialect == Dialect::Formatter => found.year = Some(value),
        'M' | 'L' => found.month = Some(value),
        'd' => found.day = Some(value),
        'D' => found.day_of_year = Some(value),
        'H' => found.hour = Some(value),
        'k' => found.hour = Some(value % 24),
        'K' | 'h' => found.hour_of_half = Some(value),
        'm' => found.minute = Some(value),
        's' => found.second = Some(value),
        'S' => found.micros = Some(value.saturating_mul(1_000)),
        'n' => found.micros = Some(value / 1_000),
        _ => {}
    }
}

fn name<'a>(names: &[&str], text: &'a str) -> Option<(i64, &'a str)> {
    let matches = |length: fn(&str) -> usize| {
        names.iter().zip(1..).find_map(|(name, number)| {
            let candidate = text.get(..length(name))?;
            candidate.eq_ignore_ascii_case(&name[..length(name)]).then(|| (number, &text[length(name)..]))
        })
    };
    matches(str::len).or_else(|| matches(|_| 3))
}

fn parse_zone<'a>(letter: char, text: &'a str, found: &mut Found) -> Option<&'a str> {
    if matches!(letter, 'X' | 'V') && text.starts_with('Z') {
        found.zone = Zone::parse("Z");
        return Some(&text[1..]);
    }
    if letter == 'X' && !text.starts_with(['+', '-']) {
        return None;
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "+-:/_".contains(c))).unwrap_or(text.len());
    let id = &text[..end];
    let zone = match parse_offset(id) {
        Some(seconds) => chrono::FixedOffset::east_opt(seconds).map(|offset| Zone(TimeZone::Fixed(offset))),
        None => Zone::parse(id),
    };
    found.zone = Some(zone?);
    Some(&text[end..])
}

/// The microseconds of the digits of a fraction of a second. Digits after the sixth are cut.
fn fraction_micros(digits: &str) -> i64 {
    let mut micros = 0;
    for position in 0..6 {
        micros = micros * 10 + digits.as_bytes().get(position).map_or(0, |digit| i64::from(digit - b'0'));
    }
    micros
}

/// A timestamp as SQL writes it: `yyyy-[M]M-[d]d[ [H]H:[m]m:[s]s[.fraction]]`, in microseconds. A day that the month
/// does not have is its last.
pub(crate) fn timestamp(text: &str) -> Option<i64> {
    sql_fields(text)?.local(Dialect::Formatter)
}

/// Flink's reading of a text that does not fit the pattern: a timestamp as SQL writes it, but a day up to 31 that the
/// month does not have is a day of the next month.
pub(crate) fn lenient_timestamp(text: &str) -> Option<i64> {
    let found = sql_fields(text.trim())?;
    let day_too_many = found.day? - found.day?.min(days_in_month(found.year?, found.month?));
    Some(found.local(Dialect::Formatter)? + day_too_many * DAY)
}

fn sql_fields(text: &str) -> Option<Found> {
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = parts.next().filter(|part| part.len() == 4).and_then(plain_number)?;
    let month = parts.next().filter(|part| part.len() <= 2).and_then(plain_number)?;
    let day = parts.next().filter(|part| part.len() <= 2).and_then(plain_number)?;
    let mut found = Found { year: Some(year), month: Some(month), day: Some(day), ..Found::default() };
    if let Some(time) = time {
        let (clock, fraction) = match time.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (time, None),
        };
        let mut parts = clock.splitn(3, ':').map(|part| (part.len() <= 2).then(|| plain_number(part)).flatten());
        found.hour = Some(parts.next()??);
        found.minute = Some(parts.next()??);
        found.second = Some(parts.next()??);
        if let Some(fraction) = fraction {
            let digits = fraction.len() <= 9 && fraction.bytes().all(|byte| byte.is_ascii_digit());
            found.micros = Some(digits.then(|| fraction_micros(fraction))?);
        }
    }
    Some(found)
}

/// A date as SQL writes it: `yyyy[-M[-d]]`, in days since 1970-01-01. The text after the first blank is ignored.
pub(crate) fn date(text: &str) -> Option<i64> {
    let text = match text.find(' ') {
        Some(blank) if blank > 0 => &text[..blank],
        _ => text,
    };
    let mut parts = text.splitn(3, '-').map(|part| plain_number(part.trim()));
    let year = parts.next()??;
    let month = parts.next().unwrap_or(Some(1))?;
    let day = parts.next().unwrap_or(Some(1))?;
    let valid =
        (0..=9_999).contains(&year) && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    valid.then(|| Civil { year, month, day }.days())
}

/// A time of day as SQL writes it: `H[:m[:s[.fraction]]]`, in milliseconds.
pub(crate) fn time(text: &str) -> Option<i64> {
    let (clock, fraction) = match text.split_once('.') {
        Some((clock, fraction)) => (clock, fraction),
        None => (text, ""),
    };
    let mut parts = clock.splitn(3, ':').map(|part| plain_number(part.trim()));
    let hour = parts.next()??;
    let minute = parts.next().unwrap_or(Some(0))?;
    let second = parts.next().unwrap_or(Some(0))?;
    let digits = fraction.trim();
    let valid = hour < 24 && minute < 60 && second < 60 && digits.bytes().all(|byte| byte.is_ascii_digit());
    valid.then(|| hour * 3_600_000 + minute * 60_000 + second * 1_000 + fraction_micros(digits) / 1_000)
}

fn plain_number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
