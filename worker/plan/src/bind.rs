//! The second stage: names become column positions, and operators and functions get Flink's types. The result is a tree
//! of relational operators ([`relation`]) for each INSERT.
//!
//! - [`tables`], [`catalog`]: tables and views.
//! - [`query`], [`projection`], [`union`], [`windowing`], [`grouping`], [`over`]: the clauses of a query.
//! - [`expression`] and its relatives: scalar expressions and calls.
//! - [`insert`], [`constraints`]: conversion to the columns of the table that is written.

pub(crate) mod aggregates;
mod arithmetic;
pub(crate) mod calc;
mod calls;
mod cast;
pub(crate) mod catalog;
pub(crate) mod constraints;
pub(crate) mod expression;
pub(crate) mod grouping;
pub(crate) mod insert;
pub(crate) mod over;
pub(crate) mod projection;
pub(crate) mod query;
pub(crate) mod relation;
pub(crate) mod scope;
pub(crate) mod session;
pub(crate) mod tables;
mod time_arithmetic;
mod types;
pub(crate) mod union;
pub(crate) mod windowing;
