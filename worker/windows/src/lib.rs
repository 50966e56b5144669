//! Windowed aggregation by event time.
//!
//! Rows are collected in *slices*, the pieces that windows are made of: one table of groups for each slice, dropped whole
//! when the last window that contains the slice has fired. A tumbling window is one slice; hopping and cumulating windows
//! are made of several; sessions are kept per key. A row is late only when every window it belongs to has fired.
//!
//! [`LocalWindowAggregate`] aggregates in front of the exchange, [`WindowAggregateOperator`] behind it or alone;
//! [`WindowAssignOperator`] only adds window columns. None of them reads a clock, and none does I/O.

mod accumulator;
mod argument;
pub mod assign;
mod behind;
mod cumulate;
mod distinct;
pub mod error;
mod frozen_groups;
mod groups;
mod hop;
mod layout;
pub mod local;
pub mod operator;
mod output;
mod session;
mod shape;
mod slice;
mod slice_tables;
mod tumble;
mod zone;

#[cfg(test)]
mod tests;

pub use assign::WindowAssignOperator;
pub use error::Error;
pub use local::{LocalWindowAggregate, partial_schema};
pub use operator::WindowAggregateOperator;
