//! The first stage: text becomes statements, as written. sqlparser parses queries and expressions. Flink's DDL and
//! window table functions, which it does not know, are parsed here from the same tokens, so that errors point into the
//! script.
//!
//! This stage knows neither tables nor functions.

pub(crate) mod ddl;
pub(crate) mod dialect;
pub(crate) mod interval;
mod json_syntax;
pub(crate) mod statements;
pub(crate) mod tokens;
pub(crate) mod types;
pub(crate) mod window_tvf;
