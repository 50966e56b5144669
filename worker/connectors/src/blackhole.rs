//! `'connector' = 'blackhole'`: takes all rows and keeps none, for measuring.

pub mod config;

#[cfg(feature = "io")]
pub(crate) mod sink;

pub use config::Config;
