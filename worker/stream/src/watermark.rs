//! Watermarks: the progress of event time.

use std::fmt;

/// States that no more rows with this time or an earlier one are expected. Milliseconds since the Unix epoch.
///
/// Later rows at or before it are *late*. Each operator decides how it treats late rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Watermark(i64);

impl Watermark {
    /// No watermark yet.
    pub const MIN: Watermark = Watermark(i64::MIN);
    /// The end of a bounded input: every event-time window fires.
    pub const MAX: Watermark = Watermark(i64::MAX);

    /// The watermark at this time in milliseconds since the epoch.
    pub const fn new(time_ms: i64) -> Self {
        Self(time_ms)
    }

    /// Milliseconds since the epoch.
    pub const fn time_ms(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Watermark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Watermark::MIN => f.write_str("none"),
            Watermark::MAX => f.write_str("end of input"),
            Watermark(time_ms) => write!(f, "{time_ms}"),
        }
    }
}
