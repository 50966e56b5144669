//! Aggregation: over windows by event time, and over all rows.
//!
//! Windows consist of *slices*. Each slice has one table of groups, which is dropped when the last window that contains
//! the slice has fired. A tumbling window is one slice. Hopping and cumulating windows consist of several. Sessions are
//! stored per key. A row is late only when every window it belongs to has fired.
//!
//! [`LocalWindowAggregate`] aggregates before the exchange. [`WindowAggregateOperator`] aggregates after it, or alone.
//! [`WindowAssignOperator`] only adds window columns. [`GroupAggregateOperator`] has one table, which is never dropped. None of them reads a clock or does I/O, with one exception: if memory is
//! short, groups of slices are written to a local disk and are read again when their window fires or a checkpoint is gathered.

mod accumulator;
mod argument;
pub mod assign;
mod behind;
mod cumulate;
mod distinct;
pub mod error;
mod frozen_groups;
pub mod group_aggregate;
mod groups;
mod hop;
mod layout;
pub mod local;
pub mod operator;
mod output;
mod ranges;
mod session;
mod shape;
mod slice;
mod slice_tables;
mod spilled;
mod tumble;
mod zone;

#[cfg(test)]
mod tests;

pub use assign::WindowAssignOperator;
pub use error::Error;
pub use group_aggregate::GroupAggregateOperator;
pub use local::LocalWindowAggregate;
pub use operator::WindowAggregateOperator;
