//! SQL/JSON: `JSON_VALUE`, `JSON_QUERY`, `JSON_EXISTS`, `IS JSON`, `JSON_STRING`, `JSON_OBJECT`, `JSON_ARRAY`.
//!
//! Conventions: clauses arrive as extra STRING literals after the path, in this order, those at the end may be left
//! out:
//!
//! - `json_value(json, path, returning, on_empty, default_on_empty, on_error, default_on_error)`: `returning` is `'STRING'`,
//!   `'BOOLEAN'`, `'INTEGER'`, `'BIGINT'` or `'DOUBLE'`; `on_…` are `'NULL'`, `'ERROR'` or `'DEFAULT'`; the defaults are any
//!   expression, NULL where there is none.
//! - `json_query(json, path, wrapper, on_empty, on_error)`: `wrapper` is `'WITHOUT'`, `'CONDITIONAL'` or `'UNCONDITIONAL'`;
//!   `on_…` are `'NULL'`, `'EMPTY ARRAY'`, `'EMPTY OBJECT'` or `'ERROR'`.
//! - `json_exists(json, path, on_error)`: `'TRUE'`, `'FALSE'`, `'UNKNOWN'` or `'ERROR'`.
//! - `is_json(text, kind)`: `'VALUE'`, `'SCALAR'`, `'ARRAY'` or `'OBJECT'`.
//! - `json_object(on_null, k1, v1, …)` and `json_array(on_null, v1, …)`: `'NULL'` or `'ABSENT'`.
//!
//! Paths: `$`, `.name`, `['name']`, `[0]`, `[*]`, `.*`, in `strict` mode (the default, as in Flink) or `lax`. Others
//! are refused, while planning if literal.

use std::sync::Arc;

use eddyline_expression::ScalarFunction;

mod build;
mod document;
mod path;
mod query;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    let mut functions = query::functions();
    functions.extend(build::functions());
    functions
}
