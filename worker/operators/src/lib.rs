//! Operators: synchronous state machines that process batches and watermarks, and emit batches.
//!
//! An operator never waits, reads no clock and draws no random numbers: the same elements in the same order give the
//! same output. It sees the elements of all its channels merged, and the smallest of their watermarks. The runtime is
//! responsible for threads, channels, alignment and metrics. The planner has bound expressions to column positions.
//!
//! - [`calc`]: filters and computes columns.
//! - [`decimals`]: division for averages of decimals.
//! - [`over`]: aggregates over the rows before each row.
//! - [`watermark`]: generates watermarks from rows, and combines those of splits and channels.
//! - `testing` (feature `testing`): drives an operator through a script.

pub mod calc;
pub mod decimals;
pub mod operator;
pub mod over;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod watermark;

pub use calc::CalcOperator;
pub use operator::{Collector, Counters, Error, InputIndex, Operator, PIECE_ROWS, Progress, Result};
pub use over::OverOperator;
pub use watermark::{ChannelWatermarks, SplitWatermarks, WatermarkGenerator};
