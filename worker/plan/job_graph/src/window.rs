//! Windows by event time: how rows are assigned to windows, and what is computed for each window.

use crate::AggregateCall;

/// How rows are assigned to windows. Lengths are in milliseconds. All but offsets are greater than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowAssigner {
    /// `TUMBLE`: windows of one size that follow each other without gaps.
    Tumble {
        /// The length of a window.
        size_ms: i64,
        /// The start of windows relative to the epoch.
        offset_ms: i64,
    },
    /// `HOP`: windows of one size, one starting at every slide. The size is a multiple of the slide.
    Hop {
        /// The length of a window.
        size_ms: i64,
        /// The distance from one start to the next.
        slide_ms: i64,
        /// The start of windows relative to the epoch.
        offset_ms: i64,
    },
    /// `CUMULATE`: windows that share a start and grow by a step up to the size. The size is a multiple of the step.
    Cumulate {
        /// The length of the longest window.
        size_ms: i64,
        /// The difference in length between a window and the next longer one.
        step_ms: i64,
        /// The start of windows relative to the epoch.
        offset_ms: i64,
    },
    /// `SESSION`: a window per key that ends `gap_ms` after its last row. PARTITION BY is the keys of the aggregation.
    Session {
        /// The time without rows that ends a session.
        gap_ms: i64,
    },
    /// Rows already have window columns, from a window aggregation or assignment upstream.
    Attached {
        /// The input column with the window's start.
        start: usize,
        /// The input column with the window's end.
        end: usize,
    },
}

/// The event-time attribute that assigns rows to windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeColumn {
    /// The input column: `Timestamp(Millisecond, None)` for TIMESTAMP(3), with time zone "UTC" for TIMESTAMP_LTZ(3).
    pub column: usize,
    /// For TIMESTAMP_LTZ: the session time zone (an IANA name) that windows align to. `None` for TIMESTAMP.
    pub time_zone: Option<String>,
}

/// A column about the window, added by an aggregation or assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowColumn {
    /// `window_start`: inclusive, TIMESTAMP(3).
    Start,
    /// `window_end`: exclusive, TIMESTAMP(3).
    End,
    /// `window_time`: the last millisecond of the window; the time attribute of the result. Has the type of the input's
    /// time attribute.
    Time,
}

/// Aggregates per key and window. Fires when the watermark reaches the last millisecond of a window.
///
/// Output columns: `keys` in order, then `aggregates` in order, then `window_columns` in order.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAggregate {
    /// How rows are assigned to windows.
    pub assigner: WindowAssigner,
    /// The event-time attribute. For [`WindowAssigner::Attached`] it is the column of the window's time, if there is
    /// one.
    pub time: Option<TimeColumn>,
    /// Input columns to group by, in addition to the window. The edge into the node is hashed by the same columns.
    pub keys: Vec<usize>,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
    /// The window columns of the result.
    pub window_columns: Vec<WindowColumn>,
}

impl WindowAggregate {
    /// Whether each subtask can aggregate its own rows before the exchange, and one subtask then merges the results.
    pub fn has_two_phases(&self) -> bool {
        // A row can connect two sessions whose other rows are in other subtasks.
        let is_cut_by_time = !matches!(self.assigner, WindowAssigner::Session { .. });
        is_cut_by_time && self.aggregates.iter().all(AggregateCall::is_mergeable)
    }
}

/// Adds window columns to every row, without state. A row is repeated for each of its windows.
///
/// Output columns: the input columns, then `window_start`, `window_end`, `window_time`. Never for sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct WindowAssign {
    /// How rows are assigned to windows.
    pub assigner: WindowAssigner,
    /// The event-time attribute.
    pub time: TimeColumn,
}
