//! Scalar expressions: what a query computes of one row, evaluated for a batch at once.
//!
//! [`Expr`] is a closed set of nodes over Arrow's kernels. Each node knows its type; nothing here needs a schema or knows
//! SQL's names. The planner builds expressions, operators evaluate them, EXPLAIN and errors show them as SQL.
//!
//! - What can fail sees only the rows that it should: a branch of CASE those that take it, the right side of AND and OR
//!   those that the left side does not decide.
//! - A constant stays one value: it is never spread over the rows of a batch.
//! - Numbers are Java's: whole numbers wrap, FLOAT and DOUBLE follow IEEE 754 and have one NaN.
//! - Functions are not here: [`ScalarFunction`] is what one is to an expression, `eddyline-functions` has them.

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
