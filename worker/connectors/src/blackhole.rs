//! `'connector' = 'blackhole'`: discards all rows, for measurements.

pub mod config;

#[cfg(feature = "io")]
pub(crate) mod sink;

pub use config::Config;
