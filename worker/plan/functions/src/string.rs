//! String functions.
//!
//! Conventions: positions count characters (Unicode code points) from 1. A function returns NULL if an argument is NULL
//! unless its text says otherwise. `POSITION(a IN b)` arrives as `position(a, b)`, `SUBSTRING(s FROM i FOR n)` as
//! `substring(s, i, n)`, `TRIM(LEADING c FROM s)` as `ltrim(s, c)`, `OVERLAY(s PLACING r FROM i FOR n)` as
//! `overlay(s, r, i, n)`, `a || b` as `concat(a, b)`.

use std::sync::Arc;

use eddyline_expression::ScalarFunction;

pub(crate) mod case;
pub(crate) mod classify;
pub(crate) mod encoding;
pub(crate) mod hashing;
pub(crate) mod join;
pub(crate) mod pad;
pub(crate) mod pieces;
pub(crate) mod regular_expression;
pub(crate) mod search;
pub(crate) mod url;

/// The functions of this module.
pub(crate) fn functions() -> Vec<Arc<dyn ScalarFunction>> {
    [
        case::functions(),
        classify::functions(),
        encoding::functions(),
        hashing::functions(),
        join::functions(),
        pad::functions(),
        pieces::functions(),
        regular_expression::functions(),
        search::functions(),
        url::functions(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
