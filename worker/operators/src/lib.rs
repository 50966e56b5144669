//! Operators: synchronous machines that take batches and watermarks and give batches.
//!
//! An operator never waits, reads no clock and draws no random numbers: the same elements in the same order give the same
//! output. It sees the elements of all its channels merged, with the smallest watermark of them. Threads, channels,
//! alignment and metrics are the runtime's; expressions come from the planner already bound to column positions.

pub mod operator;

pub use operator::{Collector, Counters, Error, Operator, Result};
