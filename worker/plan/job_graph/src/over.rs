//! `OVER (PARTITION BY … ORDER BY rowtime …)`.

use crate::{AggregateCall, TimeColumn};

/// Which rows before the current one an OVER aggregate takes in. The current row is always part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverFrame {
    /// `ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`.
    RowsUnbounded,
    /// `ROWS BETWEEN n PRECEDING AND CURRENT ROW`: the current row and the n before it.
    Rows(u64),
    /// `RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW`: all rows up to the current time, those of equal time too.
    RangeUnbounded,
    /// `RANGE BETWEEN INTERVAL … PRECEDING AND CURRENT ROW`, in milliseconds; both ends belong to it.
    Range(i64),
}

/// Aggregates for every row over the rows before it, per key, in order of event time.
///
/// Output columns: the input columns, then `aggregates` in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Over {
    /// Input columns of PARTITION BY. The edge into the node is hashed by the same columns.
    pub keys: Vec<usize>,
    /// The event-time attribute of ORDER BY.
    pub time: TimeColumn,
    /// Which rows are taken in.
    pub frame: OverFrame,
    /// What is computed.
    pub aggregates: Vec<AggregateCall>,
}
