//! Conversions between points in time, strings and numbers: `DATE_FORMAT`, `TO_TIMESTAMP`, `TO_TIMESTAMP_LTZ`,
//! `TO_DATE`, `FROM_UNIXTIME`, `UNIX_TIMESTAMP`, `CONVERT_TZ`.
//!
//! A text that does not fit its pattern gives NULL (`UNIX_TIMESTAMP`: the smallest BIGINT, as in Flink). A literal
//! pattern with an unknown letter is refused while planning. Session time zone: `FROM_UNIXTIME`, `UNIX_TIMESTAMP`, and
//! TIMESTAMP_LTZ.

use std::cell::RefCell;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit};
use eddyline_expression::{Expr, Result, ScalarFunction, plan_err, value_err};
use eddyline_stream::cast::cast;

use crate::arguments::Arguments;
use crate::arithmetic::as_double;
use crate::context::FunctionContext;
use crate::function::{Returns, function, literal_integer, literal_text};
use crate::moments::{instant_type, timestamp_type};
use crate::parameters::Parameter;
use crate::time::pattern::{Dialect, Pattern};
use crate::time::zone::{Overlap, Zone};
use crate::time::{DAY, MILLISECOND, SECOND, parse};

const SQL_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

/// '0000-01-01 00:00:00' and '9999-12-31 23:59:59.999' UTC, in milliseconds: the range of TO_TIMESTAMP_LTZ.
const EPOCH_MS_RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

/// The pattern of the previous row. The next row nearly always has the same one.
struct LastPattern {
    dialect: Dialect,
    last: RefCell<Option<(String, Arc<Pattern>)>>,
}

impl LastPattern {
    fn new(dialect: Dialect) -> Self {
        Self { dialect, last: RefCell::new(None) }
    }

    fn get(&self, pattern: &str) -> Result<Arc<Pattern>> {
        let mut last = self.last.borrow_mut();
        match &*last {
            Some((text, compiled)) if text == pattern => Ok(Arc::clone(compiled)),
            _ => {
                let compiled = Arc::new(Pattern::compile(pattern, self.dialect)?);
                *last = Some((pattern.to_owned(), Arc::clone(&compiled)));
                Ok(compiled)
            }
        }
    }
}

fn check_pattern(args: &[Expr], dialect: Dialect) -> Result<()> {
    match literal_text(args, 1) {
        Some(pattern) => Pattern::compile(pattern, dialect).map(|_| ()),
        None => Ok(()),
    }
}

fn check_formatter(args: &[Expr]) -> Result<()> {
    check_pattern(args, Dialect::Formatter)
}

fn check_simple(args: &[Expr]) -> Result<()> {
    check_pattern(args, Dialect::Simple)
}

/// The functions of this module.
pub(crate) fn functions(context: &FunctionContext) -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Int, Long, Moment, Number, Text};
    const TEXT: &[&[Parameter]] = &[&[Text], &[Text, Text]];
    let (zone, clock) = (Zone(context.time_zone), context.clock);
    vec![
        function("date_format", &[&[Moment, Text], &[Text, Text]], Returns::Type(DataType::Utf8), move |args| {
            date_format(args, zone)
        })
        .in_context(context)
        .check(check_formatter)
        .build(),
        function("to_timestamp", TEXT, Returns::Type(timestamp_type()), to_timestamp).check(check_formatter).build(),
        function(
            "to_timestamp_ltz",
            &[&[Number], &[Number, Int], &[Text], &[Text, Text], &[Text, Text, Text]],
            Returns::From(instant_of_precision),
            to_timestamp_ltz,
        )
        .check(check_precision)
        .build(),
        function("to_date", TEXT, Returns::Type(DataType::Date32), to_date).check(check_simple).build(),
        function("from_unixtime", &[&[Long], &[Long, Text]], Returns::Type(DataType::Utf8), move |args| {
            from_unixtime(args, zone)
        })
        .in_context(context)
        .check(check_simple)
        .build(),
        function("unix_timestamp", &[&[], &[Text], &[Text, Text]], Returns::Type(DataType::Int64), move |args| {
            if args.len() == 0 {
                let seconds = clock.epoch_ms().div_euclid(1_000);
                return args.write::<Int64Type>(|_| Some(seconds));
            }
            unix_timestamp(args, zone)
        })
        .in_context(context)
        .check(check_simple)
        .volatile()
        .build(),
        function("convert_tz", &[&[Text, Text, Text]], Returns::Type(DataType::Utf8), convert_tz).build(),
    ]
}

fn date_format(args: &Arguments, zone: Zone) -> Result<ArrayRef> {
    let pattern = args.text(1)?;
    if *args.data_type(0) == DataType::Utf8 {
        let text = args.text(0)?;
        let (from, last) = (Pattern::compile(SQL_PATTERN, Dialect::Simple)?, LastPattern::new(Dialect::Simple));
        return args.try_write_text(|row, out| {
            let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else { return Ok(None) };
            let compiled = last.get(pattern)?;
            Ok(from.parse_local(text).map(|local| compiled.format(local, Zone::UTC, out)))
        });
    }
    let moments = args.moments(0)?;
    let dialect = if *args.data_type(0) == DataType::Date32 { Dialect::Simple } else { Dialect::Formatter };
    let last = LastPattern::new(dialect);
    args.try_write_text(|row, out| match (moments.raw(row), pattern.get(row)) {
        (Some(raw), Some(pattern)) => {
            let compiled = last.get(pattern)?;
            if moments.is_instant {
                compiled.format_instant(raw, zone, out);
            } else {
                compiled.format(raw, Zone::UTC, out);
            }
            Ok(Some(()))
        }
        _ => Ok(None),
    })
}

fn to_timestamp(args: &Arguments) -> Result<ArrayRef> {
    let text = args.text(0)?;
    if args.len() == 1 {
        return args.write_moments(|row| parse::timestamp(text.get(row)?));
    }
    let (pattern, last) = (args.text(1)?, LastPattern::new(Dialect::Formatter));
    args.try_write_moments(|row| {
        let (Some(text), Some(pattern)) = (text.get(row), pattern.get(row)) else { return Ok(None) };
        Ok(last.get(pattern)?.parse_local(text).or_else(|| parse::lenient_timestamp(text)))
    })
}

fn check_precision(args: &[Expr]) -> Result<()> {
    match literal_integer(args, 1) {
        Some(precision) if !(0..=9).contains(&precision) => {
            plan_err!("TO_TIMESTAMP_LTZ: the precision is from 0 (seconds) to 9 (nanoseconds), not {precision}")
        }
        _ if args.first().is_some_and(|value| *value.data_type() == DataType::Utf8) => check_formatter(args),
        _ => Ok(()),
    }
}

/// TIMESTAMP_LTZ(3), or TIMESTAMP_LTZ(6) if the number is finer than milliseconds.
fn instant_of_precision(args: &[Expr]) -> Result<DataType> {
    let is_finer = literal_integer(args, 1).is_some_and(|precision| precision > 3);
    Ok(if is_finer { DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())) } else { instant_type() })
}

/// TO_TIMESTAMP_LTZ(number, precision). The number counts seconds (precision 0), milliseconds (3), microseconds (6), or
/// a unit between them.
fn to_timestamp_ltz(args: &Arguments) -> Result<ArrayRef> {
    if *args.data_type(0) == DataType::Utf8 {
        return to_timestamp_ltz_from_text(args);
    }
    let precision = if args.len() > 1 { Some(args.int(1)?) } else { None };
    let digits = |row: usize| match precision.as_ref().map_or(Some(3), |precision| precision.get(row)) {
        Some(digits @ 0..=9) => Ok(Some(digits)),
        Some(other) => {
            value_err!("TO_TIMESTAMP_LTZ: the precision is from 0 (seconds) to 9 (nanoseconds), not {other}")
        }
        None => Ok(None),
    };
    let in_range = |micros: i128| {
        let micros = i64::try_from(micros).ok()?;
        EPOCH_MS_RANGE.contains(&micros.div_euclid(MILLISECOND)).then_some(micros)
    };
    let of_whole = |number: i128, digits: i32| match u32::try_from(6 - digits) {
        Ok(more) => in_range(number.checked_mul(10_i128.pow(more))?),
        Err(_) => in_range(number.div_euclid(10_i128.pow(u32::try_from(digits - 6).ok()?))),
    };
    match args.data_type(0) {
        DataType::Float32 | DataType::Float64 => {
            let number = as_double(args, 0)?;
            args.try_write_moments(|row| {
                let micros = |digits: i32| in_range((number(row)? * 10_f64.powi(6 - digits)).floor() as i128);
                Ok(digits(row)?.and_then(micros))
            })
        }
        DataType::Decimal128(_, scale) => {
            let (number, divisor) =
                (args.primitive::<Decimal128Type>(0)?, 10_i128.pow(u32::from(scale.unsigned_abs())));
            args.try_write_moments(|row| {
                Ok(digits(row)?.and_then(|digits| of_whole(number.get(row)? / divisor, digits)))
            })
        }
        _ => {
            let widened = cast(args.columns[0].array(), &DataType::Int64)?;
            let widened = widened.as_any().downcast_ref::<arrow::array::Int64Array>();
            let constant = args.columns[0].is_constant();
            let number = |row: usize| {
                let (array, index) = (widened?, if constant { 0 } else { row });
                arrow::array::Array::is_valid(array, index).then(|| array.value(index))
            };
            args.try_write_moments(|row| Ok(digits(row)?.and_then(|digits| of_whole(i128::from(number(row)?), digits))))
        }
    }
}

/// TO_TIMESTAMP_LTZ(text[, pattern[, zone]]). The zone is UTC by default.
fn to_timestamp_ltz_from_text(args: &Arguments) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let pattern = if args.len() > 1 { Some(args.text(1)?) } else { None };
    let zone = if args.len() > 2 { Some(args.text(2)?) } else { None };
    let last = LastPattern::new(Dialect::Formatter);
    args.try_write_moments(|row| {
        let zone = zone.as_ref().map_or(Some("UTC"), |zone| zone.get(row));
        let (Some(text), Some(zone)) = (text.get(row), zone) else { return Ok(None) };
        let Some(zone) = Zone::parse(zone) else {
            return value_err!("TO_TIMESTAMP_LTZ: '{zone}' is not a time zone");
        };
        let pattern = match &pattern {
            Some(pattern) => match pattern.get(row) {
                Some(pattern) => Some(last.get(pattern)?),
                None => return Ok(None),
            },
            None => None,
        };
        Ok(match pattern {
            Some(pattern) => pattern
                .parse_instant(text, zone)
                .or_else(|| parse::lenient_timestamp(text).map(|local| zone.instant(local, Overlap::Earlier))),
            None => parse::timestamp(text).map(|local| zone.instant(local, Overlap::Earlier)),
        })
    })
}

fn to_date(args: &Arguments) -> Result<ArrayRef> {
    let text = args.text(0)?;
    if args.len() == 1 {
        return args.write_moments(|row| parse::date(text.get(row)?).map(|days| days * DAY));
    }
    let (pattern, last) = (args.text(1)?, LastPattern::new(Dialect::Simple));
    args.try_write_moments(|row| match (text.get(row), pattern.get(row)) {
        (Some(text), Some(pattern)) => Ok(last.get(pattern)?.parse_instant(text, Zone::UTC)),
        _ => Ok(None),
    })
}

fn from_unixtime(args: &Arguments, zone: Zone) -> Result<ArrayRef> {
    let seconds = args.long(0)?;
    let pattern = if args.len() > 1 { Some(args.text(1)?) } else { None };
    let last = LastPattern::new(Dialect::Simple);
    args.try_write_text(|row, out| {
        let pattern = pattern.as_ref().map_or(Some(SQL_PATTERN), |pattern| pattern.get(row));
        let (Some(seconds), Some(pattern)) = (seconds.get(row), pattern) else { return Ok(None) };
        let compiled = last.get(pattern)?;
        Ok(seconds.checked_mul(SECOND).map(|instant| compiled.format_instant(instant, zone, out)))
    })
}

fn unix_timestamp(args: &Arguments, zone: Zone) -> Result<ArrayRef> {
    let text = args.text(0)?;
    let pattern = if args.len() > 1 { Some(args.text(1)?) } else { None };
    let last = LastPattern::new(Dialect::Simple);
    args.try_write::<Int64Type>(|row| {
        let pattern = pattern.as_ref().map_or(Some(SQL_PATTERN), |pattern| pattern.get(row));
        let (Some(text), Some(pattern)) = (text.get(row), pattern) else { return Ok(None) };
        Ok(Some(last.get(pattern)?.parse_instant(text, zone).map_or(i64::MIN, |instant| instant / SECOND)))
    })
}

fn convert_tz(args: &Arguments) -> Result<ArrayRef> {
    let (text, from, to) = (args.text(0)?, args.text(1)?, args.text(2)?);
    let pattern = Pattern::compile(SQL_PATTERN, Dialect::Simple)?;
    args.write_text(|row, out| {
        let (text, from, to) = (text.get(row)?, Zone::of_java_id(from.get(row)?), Zone::of_java_id(to.get(row)?));
        let instant = pattern.parse_instant(text, from)?;
        Some(pattern.format_instant(instant, to, out))
    })
}
