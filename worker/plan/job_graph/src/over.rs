//! `OVER (PARTITION BY … ORDER BY rowtime …)`.

use crate::{AggregateCall, TimeColumn};

/// The frame of an OVER aggregate. The current row is always part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverFrame {
    /// `ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`.
    RowsUnbounded,
    /// `ROWS BETWEEN n PRECEDING AND CURRENT ROW`: the current row and the n before it.
    Rows(u64),
    /// `RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`: all rows up to the current time, including those of equal
    /// time.
    RangeUnbounded,
    /// `RANGE BETWEEN INTERVAL … PRECEDING AND CURRENT ROW`, in milliseconds. Both ends belong to the frame.
    Range(i64),
}

/// Aggregates over a frame that ends at each row, per key, in order of event time.
///
/// Output columns: the input columns, then `aggregates` in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// Input columns of PARTITION BY. The edge into the node is hashed by the same columns.
    pub keys: Vec<usize>,
    /// The event-time attribute of ORDER BY.
    pub time: TimeColumn,
    /// The frame.
    pub frame: OverFrame,
    /// The aggregates.
    pub aggregates: Vec<AggregateCall>,
}
