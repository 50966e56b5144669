//! Dates and times.
//!
//! Conventions: a unit is the first argument, a STRING literal in any case. `EXTRACT(u FROM x)` arrives as
//! `extract('U', x)` (also `date_part`), `FLOOR(x TO u)` as `floor_to('U', x)`, `CEIL(x TO u)` as `ceil_to('U', x)`,
//! `TIMESTAMPADD(u, n, x)` as `timestampadd('U', n, x)`, `TIMESTAMPDIFF(u, a, b)` as `timestampdiff('U', a, b)`.
//! TIMESTAMP_LTZ is read in the session time zone by everything but `timestampadd` and `timestampdiff`, which count in
//! UTC as Flink does. Functions of the current time are in [`crate::now`]. Patterns are Java's, in
//! [`crate::time::pattern`].

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimeUnit};
use eddyline_expression::{Expr, Result, ScalarFunction, Syntax, plan_err, value_err};

use crate::arguments::Arguments;
use crate::context::FunctionContext;
use crate::function::{Returns, function, literal_text};
use crate::parameters::Parameter;
use crate::time::unit::Unit;
use crate::time::zone::{Overlap, Zone};

/// The functions of this module.
pub(crate) fn functions(context: &FunctionContext) -> Vec<Arc<dyn ScalarFunction>> {
    use Parameter::{Long, Moment, Text};
    const OF_UNIT: &[&[Parameter]] = &[&[Text, Moment]];
    let zone = Zone(context.time_zone);
    let mut functions: Vec<_> = PARTS
        .into_iter()
        .map(|(name, unit)| {
            function(name, &[&[Moment]], Returns::Type(DataType::Int64), move |args| {
                let moments = args.moments(0)?;
                args.write::<Int64Type>(|row| Some(unit.extract(moments.local(row, zone)?)))
            })
            .in_context(context)
            .build()
        })
        .collect();
    functions.extend([
        function("extract", OF_UNIT, Returns::Type(DataType::Int64), move |args| {
            let (unit, moments) = (unit(args)?, args.moments(1)?);
            args.write::<Int64Type>(|row| Some(unit.extract(moments.local(row, zone)?)))
        })
        .aliases(&["date_part"])
        .in_context(context)
        .check(check_unit)
        .syntax(Syntax::From)
        .build(),
        function("floor_to", OF_UNIT, Returns::Argument(1), move |args| round_to(args, zone, Unit::floor))
            .in_context(context)
            .check(check_unit)
            .syntax(Syntax::To("FLOOR"))
            .build(),
        function("ceil_to", OF_UNIT, Returns::Argument(1), move |args| round_to(args, zone, Unit::ceil))
            .in_context(context)
            .check(check_unit)
            .syntax(Syntax::To("CEIL"))
            .build(),
        function("timestampadd", &[&[Text, Long, Moment]], Returns::From(added_type), timestampadd)
            .check(check_unit)
            .syntax(Syntax::Unit)
            .build(),
        function("timestampdiff", &[&[Text, Moment, Moment]], Returns::Type(DataType::Int32), timestampdiff)
            .check(check_unit)
            .syntax(Syntax::Unit)
            .build(),
    ]);
    functions
}

const PARTS: [(&str, Unit); 10] = [
    ("year", Unit::Year),
    ("quarter", Unit::Quarter),
    ("month", Unit::Month),
    ("week", Unit::Week),
    ("dayofyear", Unit::DayOfYear),
    ("dayofmonth", Unit::Day),
    ("dayofweek", Unit::DayOfWeek),
    ("hour", Unit::Hour),
    ("minute", Unit::Minute),
    ("second", Unit::Second),
];

fn check_unit(args: &[Expr]) -> Result<()> {
    match literal_text(args, 0) {
        Some(name) => Unit::named(name).map(|_| ()),
        None => Ok(()),
    }
}

fn unit(args: &Arguments) -> Result<Unit> {
    match args.constant_text(0) {
        Some(name) => Unit::named(name),
        None => value_err!("the unit of time must be a literal"),
    }
}

fn round_to(args: &Arguments, zone: Zone, round: fn(Unit, i64) -> i64) -> Result<ArrayRef> {
    let (unit, moments) = (unit(args)?, args.moments(1)?);
    args.write_moments(|row| {
        let rounded = round(unit, moments.local(row, zone)?);
        Some(if moments.is_instant { zone.instant(rounded, Overlap::Earlier) } else { rounded })
    })
}

/// The type of the point in time. A DATE becomes a TIMESTAMP(6) if the unit is shorter than a day.
fn added_type(args: &[Expr]) -> Result<DataType> {
    let Some(moment) = args.get(2) else {
        return plan_err!("TIMESTAMPADD takes a unit, a number and a point in time");
    };
    let shorter_than_day = match literal_text(args, 0) {
        Some(name) => Unit::named(name)?.length_us().is_some_and(|length| length < crate::time::DAY),
        None => false,
    };
    Ok(if *moment.data_type() == DataType::Date32 && shorter_than_day {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    } else {
        moment.data_type().clone()
    })
}

fn timestampadd(args: &Arguments) -> Result<ArrayRef> {
    let (unit, count, moments) = (unit(args)?, args.long(1)?, args.moments(2)?);
    let is_time = matches!(args.return_type, DataType::Time32(_));
    args.try_write_moments(|row| {
        let (Some(count), Some(moment)) = (count.get(row), moments.raw(row)) else { return Ok(None) };
        match unit.add(moment, count) {
            // A time of day wraps around at midnight.
            Some(moved) if is_time => Ok(Some(moved.rem_euclid(crate::time::DAY))),
            Some(moved) => Ok(Some(moved)),
            None => value_err!("TIMESTAMPADD: {count} {unit:?} exceed the range of a timestamp"),
        }
    })
}

/// A time in microseconds, cut to milliseconds.
fn to_millisecond(moment: i64) -> i64 {
    moment - moment.rem_euclid(crate::time::MILLISECOND)
}

fn timestampdiff(args: &Arguments) -> Result<ArrayRef> {
    let (unit, from, to) = (unit(args)?, args.moments(1)?, args.moments(2)?);
    args.try_write::<Int32Type>(|row| match (from.raw(row), to.raw(row)) {
        // Flink counts in milliseconds, although a TIMESTAMP can be finer.
        (Some(from), Some(to)) => match unit.between(to_millisecond(from), to_millisecond(to)) {
            // Java narrows by cutting bits.
            Some(count) => Ok(Some(count as i32)),
            None => value_err!("TIMESTAMPDIFF: {unit:?} cannot be counted"),
        },
        _ => Ok(None),
    })
}
