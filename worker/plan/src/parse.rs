//! The first stage: text becomes statements, as written. sqlparser reads queries and expressions; what it does not know
//! (Flink's DDL, window table functions) is read here, from the same tokens, so that every place is a place in the script.
//!
//! Nothing here knows which tables or functions there are.

pub(crate) mod ddl;
pub(crate) mod dialect;
pub(crate) mod interval;
mod json_syntax;
pub(crate) mod statements;
pub(crate) mod tokens;
pub(crate) mod types;
pub(crate) mod window_tvf;
