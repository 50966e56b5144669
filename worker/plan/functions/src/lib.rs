//! Flink's scalar functions, with Flink's names, types and results.
//!
//! [`scalar_functions`] lists them, [`scalar_function`] finds one, [`flink_cast`] gives CAST where Arrow's differs.
//! Each module describes how SQL forms that are not plain calls arrive (`EXTRACT`, `POSITION`, `JSON_VALUE … ON EMPTY`).
//!
//! - Strings are Utf8, never Utf8View; a result has exactly the declared type.
//! - Functions of the current time or of random numbers are volatile; all others are pure.
//! - A literal that can never work (a unit, a date pattern, a look-ahead) is refused while planning.
//! - Aggregates, window functions and table functions are elsewhere. Of the operators only those of DECIMAL are here
//!   ([`decimal_operator`]); all others are nodes of an expression.

#![expect(
    clippy::unit_arg,
    reason = "a body that appends its value to the buffer reads best as `Some(out.push_str(…?))`"
)]

mod arguments;
mod arithmetic;
mod cast;
mod collection;
mod conditional;
mod context;
mod conversion;
mod decimal;
mod declared;
mod function;
mod json;
mod moments;
mod now;
mod packed;
mod parameters;
mod random;
mod rounding;
mod string;
mod temporal;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use eddyline_expression::ScalarFunction;

pub use cast::flink_cast;
pub use context::{Clock, FunctionContext};
pub use decimal::{DecimalType, decimal_operator};
pub use declared::{Constraint, Declared, Lengths, Reach, Shape, cut, enforce, is_whole};
pub use packed::{pack, unpack};
pub use parameters::{common, exact};

/// All scalar functions for one job, each under its lower-case name and aliases.
pub fn scalar_functions(context: &FunctionContext) -> Vec<Arc<dyn ScalarFunction>> {
    [
        arithmetic::functions(),
        rounding::functions(),
        random::functions(),
        string::functions(),
        temporal::functions(context),
        conversion::functions(context),
        now::functions(context),
        conditional::functions(),
        json::functions(),
        collection::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The scalar function with a name or alias, in upper or lower case. For many look-ups, keep [`scalar_functions`] in a
/// map.
pub fn scalar_function(name: &str, context: &FunctionContext) -> Option<Arc<dyn ScalarFunction>> {
    let name = name.to_lowercase();
    scalar_functions(context).into_iter().find(|function| function.name() == name || function.aliases().contains(&name))
}
