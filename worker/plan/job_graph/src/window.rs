//! Windows by event time: which rows belong together, and what is computed for each group.

use crate::AggregateCall;

/// How windows are cut. Sizes in milliseconds, all greater than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowAssigner {
    /// `TUMBLE`: windows of one size, side by side.
    Tumble {
        /// The length of a window.
        size_ms: i64,
        /// Where windows start, relative to the epoch.
        offset_ms: i64,
    },
    /// `HOP`: windows of one size, one every slide. The size is a multiple of the slide.
    Hop {
        /// The length of a window.
        size_ms: i64,
        /// The distance from one start to the next.
        slide_ms: i64,
        /// Where windows start, relative to the epoch.
        offset_ms: i64,
    },
    /// `CUMULATE`: windows that share a start and grow by a step up to the size. The size is a multiple of the step.
    Cumulate {
        /// The length of the longest window.
        size_ms: i64,
        /// By how much each window is longer than the one before.
        step_ms: i64,
        /// Where windows start, relative to the epoch.
        offset_ms: i64,
    },
    /// `SESSION`: a window per key that ends `gap_ms` after its last row. What is partitioned by are the aggregate's keys.
    Session {
        /// The silence that ends a session.
        gap_ms: i64,
    },
    /// Rows already carry their window, from an aggregation over windows before.
    Attached {
        /// The input column with the window's start.
        start: usize,
        /// The input column with the window's end.
        end: usize,
    },
}

/// The event-time attribute that windows are cut by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeColumn {
    /// The input column: `Timestamp(Millisecond, None)` for TIMESTAMP(3), with time zone "UTC" for TIMESTAMP_LTZ(3).
    pub column: usize,
    /// For TIMESTAMP_LTZ: the session time zone (an IANA name), in which windows align. `None` for TIMESTAMP.
    pub time_zone: Option<String>,
}

/// A column that an aggregation or an assignment adds about the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowColumn {
    /// `window_start`: inclusive, TIMESTAMP(3).
    Start,
    /// `window_end`: exclusive, TIMESTAMP(3).
    End,
    /// `window_time`: the last millisecond of the window; the time attribute of the result. Has the type of the input's time
    /// attribute.
    Time,
}

/// Aggregates per key and window. Fires when the watermark reaches the last millisecond of a window.
///
/// Output columns: `keys` in order, then `aggregates` in order, then `window_columns` in order.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAggregate {
    /// How windows are cut.
    pub assigner: WindowAssigner,
    /// The event-time attribute; for [`WindowAssigner::Attached`] the column of the window's time (which may be absent).
    pub time: Option<TimeColumn>,
    /// Input columns to group by, besides the window. The edge into the node is hashed by the same columns.
    pub keys: Vec<usize>,
    /// What is computed.
    pub aggregates: Vec<AggregateCall>,
    /// Which window columns the result has.
    pub window_columns: Vec<WindowColumn>,
}

impl WindowAggregate {
    /// Whether each subtask can aggregate its own rows first, in front of the exchange, so that one merges the results.
    pub fn has_two_phases(&self) -> bool {
        // A row can join two sessions of other subtasks.
        let is_cut_by_time = !matches!(self.assigner, WindowAssigner::Session { .. });
        is_cut_by_time && self.aggregates.iter().all(AggregateCall::is_mergeable)
    }
}

/// Adds window columns to every row, without state; a row of a hopping window is repeated for each of its windows.
///
/// Output columns: the input columns, then `window_start`, `window_end`, `window_time`. Never for sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAssign {
    /// How windows are cut.
    pub assigner: WindowAssigner,
    /// The event-time attribute.
    pub time: TimeColumn,
}
