//! A reference for tests: runs a job graph row by row, in the simplest way that has Flink's semantics.
//!
//! It keeps every row, computes every aggregate from the rows, and advances the watermark after every row. It is slow
//! and holds everything in memory. It shares nothing with the operators that it is compared with except the job graph,
//! and evaluates expressions itself, a value at a time.
//!
//! [`execute`] runs a graph over given rows. [`Reference`] runs it step by step, so that a test decides when splits
//! have rows, become idle or end. [`compare_as_multisets`] compares the result with what a job wrote. [`fold`] computes
//! the table that a changelog describes.

mod aggregate;
mod change;
mod compare;
mod evaluation;
mod execute;
mod group;
mod local_time;
mod over;
mod row;
mod window;

pub use change::{Change, Written, fold};
pub use compare::compare_as_multisets;
pub use execute::{Reference, execute};
