//! Interval literals: `INTERVAL '1' MINUTE`, `INTERVAL '1 02:30' DAY TO MINUTE`, `INTERVAL '1-6' YEAR TO MONTH`.

use sqlparser::ast::{self, DateTimeField, Expr, UnaryOperator, Value};

/// The value of an interval literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interval {
    /// Days and smaller units, in milliseconds.
    Milliseconds(i64),
    /// Years and months, in months.
    Months(i32),
}

/// The value of an expression that is an interval literal, with or without a sign; `None` for any other expression.
pub(crate) fn of_expression(expression: &Expr) -> Option<Result<Interval, String>> {
    match expression {
        Expr::Nested(inner) => of_expression(inner),
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => Some(of_expression(expr)?.map(|value| match value {
            Interval::Milliseconds(value) => Interval::Milliseconds(value.saturating_neg()),
            Interval::Months(value) => Interval::Months(value.saturating_neg()),
        })),
        Expr::UnaryOp { op: UnaryOperator::Plus, expr } => of_expression(expr),
        Expr::Interval(interval) => Some(of_literal(interval)),
        _ => None,
    }
}

/// The value of an interval literal.
pub(crate) fn of_literal(interval: &ast::Interval) -> Result<Interval, String> {
    let (negative, value) = match interval.value.as_ref() {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (true, expr.as_ref()),
        other => (false, other),
    };
    let text = match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.trim().to_owned(),
            _ => return Err("the value of an interval is written in single quotes".to_owned()),
        },
        _ => return Err("the value of an interval is written in single quotes".to_owned()),
    };
    let (minus, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.to_owned()),
        None => (false, text.strip_prefix('+').map_or(text.clone(), str::to_owned)),
    };
    let Some(first) = &interval.leading_field else {
        return Err("an interval needs a unit, such as SECOND or DAY TO SECOND".to_owned());
    };
    let first = unit_of(first)?;
    let last = interval.last_field.as_ref().map(unit_of).transpose()?.unwrap_or(first);
    let bad = || {
        format!(
            "'{text}' is not an interval of {first:?}{}",
            if last == first { String::new() } else { format!(" to {last:?}") }
        )
        .to_lowercase()
    };
    let total = value_of(&text, first, last).ok_or_else(bad)?;
    let total = if negative != minus { total.checked_neg().ok_or_else(bad)? } else { total };
    if first.is_year_month() {
        Ok(Interval::Months(i32::try_from(total).map_err(|_| bad())?))
    } else {
        Ok(Interval::Milliseconds(total))
    }
}

/// A unit of intervals, from long to short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Quarter,
    Month,
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Unit {
    fn is_year_month(self) -> bool {
        matches!(self, Self::Year | Self::Quarter | Self::Month)
    }

    /// The length of the unit in months, or in milliseconds.
    fn size(self) -> i64 {
        match self {
            Self::Year => 12,
            Self::Quarter => 3,
            Self::Month => 1,
            Self::Week => 7 * 86_400_000,
            Self::Day => 86_400_000,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1_000,
            Self::Millisecond => 1,
        }
    }
}

fn unit_of(field: &DateTimeField) -> Result<Unit, String> {
    use DateTimeField as F;
    match field {
        F::Year | F::Years => Ok(Unit::Year),
        F::Quarter => Ok(Unit::Quarter),
        F::Month | F::Months => Ok(Unit::Month),
        F::Week(None) | F::Weeks => Ok(Unit::Week),
        F::Day | F::Days => Ok(Unit::Day),
        F::Hour | F::Hours => Ok(Unit::Hour),
        F::Minute | F::Minutes => Ok(Unit::Minute),
        F::Second | F::Seconds => Ok(Unit::Second),
        F::Millisecond | F::Milliseconds => Ok(Unit::Millisecond),
        other => Err(format!("an interval cannot be in {other}")),
    }
}

/// The value of the text in months or milliseconds; `None` if it is malformed or out of range.
fn value_of(text: &str, first: Unit, last: Unit) -> Option<i64> {
    if first == last {
        if first == Unit::Second {
            return seconds(text);
        }
        return digits(text)?.checked_mul(first.size());
    }
    if first.is_year_month() != last.is_year_month() || first > last {
        return None;
    }
    if first.is_year_month() {
        let (years, months) = text.split_once('-')?;
        return digits(years)?.checked_mul(12)?.checked_add(digits(months)?);
    }
    let (mut total, rest) = match first {
        Unit::Day => {
            let (days, rest) = text.split_once(' ')?;
            (digits(days)?.checked_mul(Unit::Day.size())?, rest.trim())
        }
        Unit::Hour | Unit::Minute => (0, text),
        _ => return None,
    };
    let mut unit = if first == Unit::Day { Unit::Hour } else { first };
    for part in rest.split(':') {
        let value = match unit {
            Unit::Second => seconds(part)?,
            Unit::Hour | Unit::Minute => digits(part)?.checked_mul(unit.size())?,
            _ => return None,
        };
        total = total.checked_add(value)?;
        let next = match unit {
            Unit::Hour => Unit::Minute,
            Unit::Minute => Unit::Second,
            _ => Unit::Millisecond,
        };
        if unit == last {
            unit = Unit::Millisecond;
        } else {
            unit = next;
        }
    }
    (unit == Unit::Millisecond).then_some(total)
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// Seconds with an optional fraction, in milliseconds. Digits after the third are dropped.
fn seconds(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: String = fraction.chars().chain("00".chars()).take(3).collect();
    digits(whole)?.checked_mul(1_000)?.checked_add(digits(&thousandths)?)
}
