//! Printing a local time by a compiled Java pattern.

use std::fmt::Write;

use super::calendar::{self, Civil};
use super::pattern::{Dialect, Item, MONTHS, Pattern, WEEKDAYS};
use eddyline_stream::time_zone::offset_text;

use super::zone::Zone;
use super::{DAY, HOUR, MILLISECOND, MINUTE, SECOND};

impl Pattern {
    /// Appends a local time in microseconds. `zone` is for the letters that print a zone.
    pub(crate) fn format(&self, local: i64, zone: Zone, out: &mut String) {
        let instant = zone.instant(local, super::zone::Overlap::Earlier);
        let moment = Moment::new(local, zone.offset_seconds(instant), zone);
        format_items(&self.items, self.dialect, &moment, out);
    }

    /// Appends the wall-clock time of an instant.
    pub(crate) fn format_instant(&self, instant: i64, zone: Zone, out: &mut String) {
        let offset = zone.offset_seconds(instant);
        let moment = Moment::new(instant.saturating_add(offset * SECOND), offset, zone);
        format_items(&self.items, self.dialect, &moment, out);
    }
}

struct Moment {
    days: i64,
    of_day: i64,
    date: Civil,
    offset_seconds: i64,
    zone: Zone,
}

impl Moment {
    fn new(local: i64, offset_seconds: i64, zone: Zone) -> Self {
        let days = local.div_euclid(DAY);
        Self { days, of_day: local.rem_euclid(DAY), date: Civil::of(days), offset_seconds, zone }
    }
}

fn format_items(items: &[Item], dialect: Dialect, moment: &Moment, out: &mut String) {
    for item in items {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Optional(inner) => format_items(inner, dialect, moment, out),
            Item::Field { letter, count } => format_field(*letter, *count, dialect, moment, out),
        }
    }
}

fn format_field(letter: char, count: usize, dialect: Dialect, moment: &Moment, out: &mut String) {
    let hour = moment.of_day / HOUR;
    let micros = moment.of_day % SECOND;
    match letter {
        'y' | 'u' if letter == 'y' || dialect == Dialect::Formatter => {
            let year = if letter == 'y' && moment.date.year <= 0 { 1 - moment.date.year } else { moment.date.year };
            format_year(year, count, out);
        }
        'Y' => format_year(calendar::iso_week(moment.days).0, count, out),
        'M' | 'L' if count >= 3 => push_name(MONTHS[index(moment.date.month)], count, out),
        'M' | 'L' => pad(moment.date.month, count, out),
        'Q' | 'q' => pad((moment.date.month + 2) / 3, count, out),
        'w' => pad(calendar::iso_week(moment.days).1, count, out),
        'W' | 'F' => pad((moment.date.day - 1) / 7 + 1, count, out),
        'D' => pad(calendar::day_of_year(moment.days), count, out),
        'd' => pad(moment.date.day, count, out),
        'e' | 'u' => pad(calendar::iso_weekday(moment.days), count, out),
        'E' => push_name(WEEKDAYS[index(calendar::iso_weekday(moment.days))], count, out),
        'G' => out.push_str(if moment.date.year > 0 { "AD" } else { "BC" }),
        'a' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        'H' => pad(hour, count, out),
        'k' => pad(if hour == 0 { 24 } else { hour }, count, out),
        'K' => pad(hour % 12, count, out),
        'h' => pad(if hour % 12 == 0 { 12 } else { hour % 12 }, count, out),
        'm' => pad(moment.of_day % HOUR / MINUTE, count, out),
        's' => pad(moment.of_day % MINUTE / SECOND, count, out),
        'S' if dialect == Dialect::Simple => pad(micros / MILLISECOND, count, out),
        'S' => push_fraction(micros, count, out),
        'A' => pad(moment.of_day / MILLISECOND, count, out),
        'n' => pad(micros * 1_000, count, out),
        'N' => pad(moment.of_day * 1_000, count, out),
        'z' | 'V' => out.push_str(&moment.zone.id()),
        'X' if moment.offset_seconds == 0 => out.push('Z'),
        'X' | 'x' if count == 1 && moment.offset_seconds % 3_600 == 0 => {
            out.push_str(&offset_text(moment.offset_seconds, false)[..3]);
        }
        'X' | 'x' => out.push_str(&offset_text(moment.offset_seconds, count >= 3)),
        'Z' => out.push_str(&offset_text(moment.offset_seconds, count >= 5)),
        'O' => {
            out.push_str("GMT");
            out.push_str(&offset_text(moment.offset_seconds, true));
        }
        _ => {}
    }
}

fn index(one_based: i64) -> usize {
    usize::try_from(one_based - 1).unwrap_or(0)
}

fn format_year(year: i64, count: usize, out: &mut String) {
    if count == 2 { pad(year.rem_euclid(100), 2, out) } else { pad(year, count, out) }
}

fn pad(value: i64, width: usize, out: &mut String) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value:0width$}");
}

fn push_name(name: &str, count: usize, out: &mut String) {
    out.push_str(if count >= 4 { name } else { &name[..3] });
}

/// Appends the first `digits` digits of a fraction of a second, given in microseconds.
pub(crate) fn push_fraction(micros: i64, digits: usize, out: &mut String) {
    let mut rest = micros;
    let mut scale = 100_000;
    for _ in 0..digits {
        out.push(char::from(b'0' + u8::try_from(if scale == 0 { 0 } else { rest / scale }).unwrap_or(0)));
        if scale > 0 {
            rest %= scale;
            scale /= 10;
        }
    }
}

/// Appends `yyyy-MM-dd`.
pub(crate) fn push_date(days: i64, out: &mut String) {
    let date = Civil::of(days);
    pad(date.year, 4, out);
    out.push('-');
    pad(date.month, 2, out);
    out.push('-');
    pad(date.day, 2, out);
}

/// Appends `HH:mm:ss` and `precision` digits of the second's fraction.
pub(crate) fn push_time(of_day: i64, precision: usize, out: &mut String) {
    pad(of_day / HOUR, 2, out);
    out.push(':');
    pad(of_day % HOUR / MINUTE, 2, out);
    out.push(':');
    pad(of_day % MINUTE / SECOND, 2, out);
    if precision > 0 {
        out.push('.');
        push_fraction(of_day % SECOND, precision, out);
    }
}
