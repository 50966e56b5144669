//! `'connector' = 'print'`: one line for each row on standard output or standard error, as Flink prints rows.

pub mod config;

#[cfg(feature = "io")]
pub(crate) mod row;
#[cfg(feature = "io")]
pub mod screen;
#[cfg(feature = "io")]
pub(crate) mod sink;

pub use config::Config;
