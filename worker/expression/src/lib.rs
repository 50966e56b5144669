//! Scalar expressions: what a query computes from one row, evaluated a batch at a time.
//!
//! [`Expr`] is a closed set of nodes over Arrow's kernels. Each node knows its type; nothing here needs a schema or
//! knows SQL's names. The planner builds expressions, operators evaluate them, EXPLAIN and errors show them as SQL.
//!
//! - A node that can fail is computed only for the rows that need it: a branch of CASE for those that take it, the right side
//!   of AND or OR for those that the left side does not decide.
//! - A constant stays one value. It is never repeated for the rows of a batch.
//! - Numbers are Java's: whole numbers wrap, FLOAT and DOUBLE follow IEEE 754 and have one NaN.
//! - Functions are in `eddyline-functions`. [`ScalarFunction`] is their interface.

mod error;
mod evaluate;
mod expr;
mod function;
mod scalar;
mod sql;
mod value;
mod walk;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use evaluate::equality::{Canonical, equality, has_floats};
pub use expr::{Arithmetic, Call, Case, Comparison, Expr, In, Kind, Literal, Similar};
pub use function::{Invocation, ScalarFunction, Syntax};
pub use scalar::Scalar;
pub use value::{Rows, Value};
