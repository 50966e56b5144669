//! SET statements and `spec.config`: known keys become [`Settings`], unknown ones a warning.

use std::num::NonZeroU16;
use std::time::Duration;

use eddyline_connectors::table::parse_duration;
use eddyline_job_graph::{NestedConstraintEnforcer, NotNullEnforcer, Settings, TypeLengthEnforcer};
use eddyline_stream::{MaxParallelism, TimeZone};
use sqlparser::tokenizer::Span;

use crate::diagnostics::{Diagnostic, Result, point};
use crate::suggestion::nearest;

/// The supported keys.
const KEYS: [&str; 23] = [
    "pipeline.name",
    "parallelism.default",
    "table.exec.resource.default-parallelism",
    "pipeline.max-parallelism",
    "execution.checkpointing.interval",
    "execution.checkpointing.timeout",
    "execution.checkpointing.dir",
    "state.checkpoints.dir",
    "state.checkpoints.num-retained",
    "execution.checkpointing.num-retained",
    "execution.buffer-timeout.interval",
    "execution.buffer-timeout.enabled",
    "table.exec.source.idle-timeout",
    "table.local-time-zone",
    "table.optimizer.reuse-sub-plan-enabled",
    "table.optimizer.reuse-source-enabled",
    "table.optimizer.agg-phase-strategy",
    "table.exec.sink.not-null-enforcer",
    "table.exec.sink.type-length-enforcer",
    "table.exec.sink.nested-constraint-enforcer",
    "execution.runtime-mode",
    "execution.checkpointing.mode",
    "pipeline.auto-watermark-interval",
];

/// The place of a setting in the script, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// The key.
    pub key: Span,
    /// The value.
    pub value: Span,
}

impl Origin {
    /// The origin of settings from the configuration. They have no place in the script, so they get its start.
    pub(crate) fn config() -> Self {
        Self { key: point(1, 1), value: point(1, 1) }
    }
}

/// Applies a setting. Returns a warning if the key has no effect.
pub(crate) fn apply(settings: &mut Settings, key: &str, value: &str, origin: Origin) -> Result<Option<Diagnostic>> {
    let wrong = |reason: &str| Diagnostic::at(origin.value, format!("'{key}' = '{value}': {reason}"));
    let duration = || parse_duration(value).map_err(|reason| wrong(&reason));
    let is_true = || match value.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(wrong("expected true or false")),
    };
    let value_or_none = || (!value.trim().is_empty()).then(|| value.to_owned());
    match key {
        "pipeline.name" => settings.name = value_or_none(),
        "parallelism.default" | "table.exec.resource.default-parallelism" => {
            let number: i64 = value.trim().parse().map_err(|_| wrong("expected a whole number"))?;
            settings.parallelism = match u16::try_from(number) {
                // As in Flink, -1 means that the parallelism is not set.
                _ if number == -1 => None,
                Ok(number) if number > 0 => Some(number),
                _ => return Err(wrong("expected a number from 1 to 65535")),
            };
        }
        "pipeline.max-parallelism" => {
            let number: u32 = value.trim().parse().map_err(|_| wrong("expected a whole number"))?;
            settings.max_parallelism = MaxParallelism::try_from(number).map_err(|error| wrong(&error.to_string()))?;
        }
        "execution.checkpointing.interval" => {
            let interval = duration()?;
            settings.checkpoint_interval = (interval > Duration::ZERO).then_some(interval);
        }
        "execution.checkpointing.timeout" => settings.checkpoint_timeout = duration()?,
        "execution.checkpointing.dir" | "state.checkpoints.dir" => settings.checkpoint_dir = value_or_none(),
        "state.checkpoints.num-retained" | "execution.checkpointing.num-retained" => {
            let number: NonZeroU16 = value.trim().parse().map_err(|_| wrong("expected a number from 1 to 65535"))?;
            settings.checkpoints_retained = usize::from(number.get());
        }
        "execution.buffer-timeout.interval" => settings.buffer_timeout.interval = duration()?,
        "execution.buffer-timeout.enabled" => {
            settings.buffer_timeout.is_enabled = match value.trim().to_ascii_lowercase().as_str() {
                "true" => true,
                "false" => false,
                _ => return Err(wrong("expected true or false")),
            };
        }
        "table.exec.source.idle-timeout" => settings.source_idle_timeout = duration()?,
        "table.local-time-zone" => {
            let zone = match value {
                "default" => TimeZone::UTC,
                other => other.parse().map_err(|_| {
                    wrong("expected the name of a time zone, such as Europe/Berlin")
                        .help("or an offset, such as GMT+08:00")
                })?,
            };
            settings.local_time_zone = zone.to_string();
        }
        "table.optimizer.reuse-sub-plan-enabled" => settings.reuse_sub_plans = is_true()?,
        "table.optimizer.reuse-source-enabled" => settings.reuse_sources = is_true()?,
        "table.optimizer.agg-phase-strategy" => {
            settings.two_phase_aggregation = match value.trim().to_ascii_uppercase().as_str() {
                "AUTO" | "TWO_PHASE" => true,
                "ONE_PHASE" => false,
                _ => return Err(wrong("expected AUTO, TWO_PHASE or ONE_PHASE")),
            };
        }
        "table.exec.sink.not-null-enforcer" => {
            settings.sink_constraints.not_null = match value.trim().to_ascii_uppercase().as_str() {
                "ERROR" => NotNullEnforcer::Error,
                "DROP" => NotNullEnforcer::Drop,
                _ => return Err(wrong("expected ERROR or DROP")),
            };
        }
        "table.exec.sink.type-length-enforcer" => {
            settings.sink_constraints.type_length = match value.trim().to_ascii_uppercase().as_str() {
                "IGNORE" => TypeLengthEnforcer::Ignore,
                "TRIM_PAD" => TypeLengthEnforcer::TrimPad,
                "ERROR" => TypeLengthEnforcer::Error,
                _ => return Err(wrong("expected IGNORE, TRIM_PAD or ERROR")),
            };
        }
        "table.exec.sink.nested-constraint-enforcer" => {
            settings.sink_constraints.nested = match value.trim().to_ascii_uppercase().as_str() {
                "IGNORE" => NestedConstraintEnforcer::Ignore,
                "ROWS" => NestedConstraintEnforcer::Rows,
                "ROWS_AND_COLLECTIONS" => NestedConstraintEnforcer::RowsAndCollections,
                _ => return Err(wrong("expected IGNORE, ROWS or ROWS_AND_COLLECTIONS")),
            };
        }
        "execution.runtime-mode" => match value.trim().to_ascii_lowercase().as_str() {
            "streaming" | "automatic" => {}
            "batch" => {
                return Err(
                    wrong("only streaming is supported").help("bounded sources end the job in streaming mode too")
                );
            }
            _ => return Err(wrong("expected streaming")),
        },
        "execution.checkpointing.mode" => match value.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "exactly_once" => {}
            "at_least_once" => return Ok(Some(wrong("checkpoints are always exactly-once"))),
            _ => return Err(wrong("expected EXACTLY_ONCE")),
        },
        "pipeline.auto-watermark-interval" => {
            duration()?;
            let message = format!("'{key}' has no effect: watermarks advance after every row");
            return Ok(
                (value.trim() != "0" && !value.trim().starts_with("0 ")).then(|| Diagnostic::at(origin.key, message))
            );
        }
        _ => {
            let warning = Diagnostic::at(origin.key, format!("unknown setting '{key}' has no effect"));
            return Ok(Some(match nearest(key, KEYS.into_iter()) {
                Some(near) => warning.help(format!("did you mean '{near}'?")),
                None => warning,
            }));
        }
    }
    Ok(None)
}
