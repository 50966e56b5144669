//! A reference for tests: runs a job graph row by row, in the simplest way that has Flink's semantics.
//!
//! Every row is kept, every aggregate is computed from the rows, the watermark moves after every row. It is slow and holds
//! everything in memory, and it shares nothing with the operators that it is compared with except the job graph. It also
//! evaluates expressions itself, a value at a time.
//!
//! [`execute`] runs a graph over given rows, [`Reference`] lets the splits of its sources speak and fall idle in turn,
//! [`compare_as_multisets`] compares what comes out with what a job wrote, and [`fold`] makes the table of a changelog.

mod aggregate;
mod change;
mod compare;
mod evaluation;
mod execute;
mod local_time;
mod over;
mod row;
mod window;

pub use change::{Change, Written, fold};
pub use compare::compare_as_multisets;
pub use execute::{Reference, execute};
