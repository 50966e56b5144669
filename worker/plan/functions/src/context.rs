//! The context of functions: the session's time zone and the time.

use std::time::{SystemTime, UNIX_EPOCH};

use eddyline_stream::TimeZone;

/// The source of the time for functions such as `NOW` and `PROCTIME`, and for the seed of `RAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Clock {
    /// The machine's clock, read once per batch, for streaming jobs.
    System,
    /// A fixed time: the start of a bounded job, and tests.
    Fixed {
        /// Milliseconds since 1970-01-01 00:00:00 UTC.
        epoch_ms: i64,
    },
}

impl Clock {
    /// Milliseconds since 1970-01-01 00:00:00 UTC.
    pub(crate) fn epoch_ms(self) -> i64 {
        match self {
            Self::Fixed { epoch_ms } => epoch_ms,
            Self::System => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
                Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
            },
        }
    }
}

/// The shared context of the functions of a job.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FunctionContext {
    /// The session time zone (`table.local-time-zone`), in which TIMESTAMP_LTZ is read and printed.
    pub time_zone: TimeZone,
    /// The source of the time.
    pub clock: Clock,
}

impl FunctionContext {
    /// The context of a job.
    pub fn new(time_zone: TimeZone, clock: Clock) -> Self {
        Self { time_zone, clock }
    }
}
