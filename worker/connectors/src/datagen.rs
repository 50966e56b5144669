//! `'connector' = 'datagen'`: rows made up by rules, for trying out queries and for load tests.
//!
//! Options are Flink's. Rows are a pure function of seed and row number, so a restored job continues with exactly the
//! rows it would have made.

pub mod config;

#[cfg(feature = "io")]
mod columns;
#[cfg(feature = "io")]
mod source;
#[cfg(all(test, feature = "io"))]
mod tests;

pub use config::Config;
#[cfg(feature = "io")]
pub(crate) use source::open;
