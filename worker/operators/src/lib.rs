//! Operators: synchronous machines that take batches and watermarks and give batches.
//!
//! An operator never waits, reads no clock and draws no random numbers: the same elements in the same order give the same
//! output. It sees the elements of all its channels merged, with the smallest watermark of them. Threads, channels,
//! alignment and metrics are the runtime's; expressions come from the planner already bound to column positions.
//!
//! - [`calc`]: filters and computes columns.
//! - [`decimals`]: division as averages of decimals need it.
//! - [`over`]: aggregates per row over the rows before it.
//! - [`watermark`]: makes watermarks from rows and combines those of splits and channels.
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
