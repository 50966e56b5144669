//! Functions of the current time.
//!
//! Conventions: called with or without parentheses and never with arguments. All are volatile: a planner must neither
//! fold nor share nor move them. The clock is read once for each batch.

use std::sync::Arc;

use arrow::datatypes::{DataType, TimeUnit};
use eddyline_expression::ScalarFunction;

use crate::context::FunctionContext;
use crate::function::{Returns, function};
use crate::moments::{instant_type, timestamp_type};
use crate::time::zone::Zone;
use crate::time::{DAY, MILLISECOND, SECOND};

/// The functions of this module.
pub(crate) fn functions(context: &FunctionContext) -> Vec<Arc<dyn ScalarFunction>> {
    let (zone, clock) = (Zone(context.time_zone), context.clock);
    let tell = |name: &'static str, aliases: &[&str], data_type: DataType, read: fn(i64, Zone) -> i64| {
        function(name, &[&[]], Returns::Type(data_type), move |args| {
            let now = read(clock.epoch_ms().saturating_mul(MILLISECOND), zone);
            args.write_moments(|_| Some(now))
        })
        .aliases(aliases)
        .in_context(context)
        .volatile()
        .build()
    };
    let time_type = DataType::Time32(TimeUnit::Millisecond);
    vec![
        tell("current_timestamp", &["now", "current_row_timestamp"], instant_type(), |instant, _| instant),
        tell("proctime", &[], instant_type(), |instant, _| instant),
        tell("localtimestamp", &[], timestamp_type(), |instant, zone| zone.local(instant)),
        tell("current_date", &[], DataType::Date32, |instant, zone| zone.local(instant)),
        // The type is TIME(0), which has whole seconds.
        tell("localtime", &["current_time"], time_type, |instant, zone| {
            zone.local(instant).rem_euclid(DAY) / SECOND * SECOND
        }),
    ]
}
