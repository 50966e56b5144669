//! Printing and parsing of values, in the forms of Flink's CAST.

use arrow::datatypes::{DataType, TimeUnit};

use super::arithmetic::Exact;
use super::calendar::{Date, date_of, day_of, month_length, split};
use super::value::{DAY, Value};
use super::zone::Zone;

/// A value as CAST prints it. NULL inside of ARRAY, MAP and ROW is `NULL`.
pub fn print(value: &Value, data_type: &DataType, zone: Zone) -> Result<String, String> {
    let inside = |value: &Value, data_type: &DataType| match value {
        Value::Null => Ok("NULL".to_owned()),
        value => print(value, data_type, zone),
    };
    Ok(match (value, data_type) {
        (Value::Boolean(truth), _) => if *truth { "TRUE" } else { "FALSE" }.to_owned(),
        (Value::Whole(number), _) => number.to_string(),
        (Value::Float(number), _) => floating(f64::from(*number), &format!("{number:e}")),
        (Value::Double(number), _) => floating(*number, &format!("{number:e}")),
        (Value::Decimal(unscaled), DataType::Decimal128(_, scale)) => decimal(*unscaled, *scale),
        (Value::Text(text), _) => text.clone(),
        (Value::Bytes(bytes), _) => String::from_utf8_lossy(bytes).into_owned(),
        (Value::Moment(moment), DataType::Date32) => date(split(*moment).0),
        (Value::Moment(moment), DataType::Time32(_)) => {
            // The fraction is printed only if it is not zero, and without trailing zeros.
            let (_, of_day) = split(*moment);
            let clock = clock(of_day);
            match of_day / 1_000 % 1_000 {
                0 => clock,
                fraction => format!("{clock}.{}", format!("{fraction:03}").trim_end_matches('0')),
            }
        }
        (Value::Moment(moment), DataType::Timestamp(unit, is_instant)) => {
            let local = if is_instant.is_some() { zone.local(*moment) } else { *moment };
            let (day, of_day) = split(local);
            let micros = of_day % 1_000_000;
            let fraction = match unit {
                TimeUnit::Microsecond => format!("{micros:06}"),
                _ => format!("{:03}", micros / 1_000),
            };
            format!("{} {}.{fraction}", date(day), clock(of_day))
        }
        (Value::Array(elements), DataType::List(field)) => {
            let elements = elements.iter().map(|element| inside(element, field.data_type()));
            format!("[{}]", elements.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        (Value::Map(entries), DataType::Map(field, _)) => {
            let DataType::Struct(fields) = field.data_type() else { return Err("a map without entries".to_owned()) };
            let entries = entries.iter().map(|(key, value)| {
                Ok(format!("{}={}", inside(key, fields[0].data_type())?, inside(value, fields[1].data_type())?))
            });
            format!("{{{}}}", entries.collect::<Result<Vec<_>, String>>()?.join(", "))
        }
        (Value::Row(parts), DataType::Struct(fields)) => {
            let parts = parts.iter().zip(fields).map(|(part, field)| inside(part, field.data_type()));
            format!("({})", parts.collect::<Result<Vec<_>, _>>()?.join(", "))
        }
        _ => return Err(format!("{value:?} of type {data_type} has no text")),
    })
}

/// `yyyy-MM-dd`
pub fn date(day: i64) -> String {
    let date = date_of(day);
    format!("{:04}-{:02}-{:02}", date.year, date.month, date.day)
}

/// `HH:mm:ss`
fn clock(of_day: i64) -> String {
    let seconds = of_day / 1_000_000;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

fn decimal(unscaled: i128, scale: i8) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    let places = usize::from(scale.unsigned_abs());
    let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    if places == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// Java's form of a number whose shortest form is `d.dde-x`: positional from a thousandth to ten million.
fn floating(number: f64, shortest: &str) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = shortest.trim_start_matches('-').split_once('e').unwrap_or((shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let exponent: i64 = exponent.parse().unwrap_or(0);
    if number == 0.0 {
        return format!("{sign}0.0");
    }
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    if (1e-3..1e7).contains(&number.abs()) {
        let before = exponent + 1;
        return match usize::try_from(before) {
            Ok(before) if before > 0 => {
                let padded = format!("{digits:0<before$}");
                format!("{sign}{}.{}", &padded[..before], or_zero(&padded[before..]))
            }
            _ => format!("{sign}0.{}{digits}", "0".repeat(usize::try_from(-before).unwrap_or(0))),
        };
    }
    format!("{sign}{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..]))
}

/// Parses a text after trimming. Dates and times: all whitespace is trimmed. Whole numbers: spaces. DECIMAL: spaces,
/// tabs and newlines. FLOAT and DOUBLE: what `String.trim` removes. `Ok(None)`: a DECIMAL with too many digits.
///
/// # Errors
/// When the text is not a value of the type.
pub fn read(text: &str, to: &DataType, zone: Zone) -> Result<Option<Value>, String> {
    let (trimmed, java_trimmed) = (text.trim(), text.trim_matches(|character| character <= ' '));
    let value = match to {
        DataType::Boolean => match trimmed.to_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "1" => Some(Value::Boolean(true)),
            "f" | "false" | "n" | "no" | "0" => Some(Value::Boolean(false)),
            _ => None,
        },
        DataType::Int8 => whole(text.trim_matches(' '), i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => whole(text.trim_matches(' '), i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 => whole(text.trim_matches(' '), i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => whole(text.trim_matches(' '), i64::MIN, i64::MAX),
        DataType::Float32 => java_number(java_trimmed).and_then(|text| text.parse().ok()).map(Value::Float),
        DataType::Float64 => java_number(java_trimmed).and_then(|text| text.parse().ok()).map(Value::Double),
        DataType::Decimal128(precision, scale) => match Exact::of_text(text.trim_matches([' ', '\t', '\n'])) {
            Some(number) => return Ok(number.as_decimal(*precision, *scale).map(Value::Decimal)),
            None => None,
        },
        DataType::Binary => return Ok(Some(Value::Bytes(text.as_bytes().to_vec()))),
        DataType::Date32 => read_date(trimmed).map(|day| Value::Moment(i128::from(day) * DAY)),
        DataType::Time32(_) => read_time(trimmed).map(|of_day| Value::Moment((of_day - of_day % 1_000).into())),
        DataType::Timestamp(unit, is_instant) => read_timestamp(trimmed).map(|local| {
            let moment = if is_instant.is_some() { zone.instant(local) } else { local };
            Value::Moment(if *unit == TimeUnit::Microsecond { moment } else { moment - moment.rem_euclid(1_000) })
        }),
        _ => None,
    };
    value.map(Some).ok_or_else(|| format!("'{text}' is not a {to}"))
}

/// A whole number with an optional sign. Digits after a point are dropped.
fn whole(text: &str, least: i64, most: i64) -> Option<Value> {
    let (is_negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if unsigned.is_empty() {
        return None;
    }
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut number: i128 = 0;
    for digit in whole.bytes() {
        number = (number * 10 + i128::from(digit - b'0')).min(i128::from(u64::MAX));
    }
    let number = if is_negative { -number } else { number };
    (i128::from(least)..=i128::from(most)).contains(&number).then_some(Value::Whole(number as i64))
}

/// Whether `Double.parseDouble` accepts a text.
pub fn is_java_number(text: &str) -> bool {
    java_number(text.trim_matches(|character| character <= ' ')).is_some()
}

/// A text that `Double.parseDouble` accepts, in Rust's form. A type suffix may follow.
fn java_number(text: &str) -> Option<&str> {
    match text.trim_start_matches(['+', '-']) {
        "NaN" if text.len() <= 4 => return Some("NaN"),
        "Infinity" if text.len() <= 9 => return Some(text),
        _ => {}
    }
    let number = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    Exact::of_text(number).map(|_| number)
}

fn digits(text: &str, most: usize) -> Option<i64> {
    let are_digits = !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit());
    if are_digits { text.parse().ok() } else { None }
}

/// The fraction of a second in microseconds. Digits after the sixth are dropped.
fn micros(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{fraction:0<6}")[..6].parse().ok()
}

/// `yyyy[-M[-d]]`. Text after a blank is ignored.
pub fn read_date(text: &str) -> Option<i64> {
    let mut parts = text.split(' ').next()?.splitn(3, '-');
    let year = digits(parts.next()?, 9)?;
    let month = parts.next().map_or(Some(1), |month| digits(month, 9))?;
    let day = parts.next().map_or(Some(1), |day| digits(day, 9))?;
    let is_date = year <= 9_999 && (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    is_date.then(|| day_of(Date { year, month, day }))
}

/// `H[:m[:s[.fraction]]]`, as microseconds of the day.
fn read_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':');
    let hour = digits(parts.next()?.trim(), 9)?;
    let minute = parts.next().map_or(Some(0), |minute| digits(minute.trim(), 9))?;
    let second = parts.next().map_or(Some(0), |second| digits(second.trim(), 9))?;
    let is_time = hour < 24 && minute < 60 && second < 60;
    if !is_time {
        return None;
    }
    Some((hour * 3_600 + minute * 60 + second) * 1_000_000 + micros(fraction.trim())?)
}

/// `yyyy-[M]M-[d]d[ [H]H:[m]m:[s]s[.fraction]]`. A day up to 31 that the month does not have becomes its last day.
pub fn read_timestamp(text: &str) -> Option<i128> {
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = parts.next().filter(|year| year.len() == 4)?;
    let (year, month, day) = (digits(year, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let day = day_of(Date { year, month, day: day.min(month_length(year, month)) });
    let mut of_day = 0;
    if let Some(time) = time {
        let (clock, fraction) = match time.split_once('.') {
            Some((clock, fraction)) => (clock, Some(fraction)),
            None => (time, None),
        };
        let mut parts = clock.splitn(3, ':');
        let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
        let second = digits(parts.next()?, 2)?;
        if hour > 23 || minute > 59 || second > 59 || fraction.is_some_and(|fraction| fraction.len() > 9) {
            return None;
        }
        of_day = (hour * 3_600 + minute * 60 + second) * 1_000_000 + micros(fraction.unwrap_or(""))?;
    }
    Some(i128::from(day) * DAY + i128::from(of_day))
}
