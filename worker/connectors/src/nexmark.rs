//! `'connector' = 'nexmark'`: the events of an auction site. They are the input of the Nexmark queries.
//!
//! Option keys and columns are those of the Nexmark project for Flink. The events are our own: each is a pure function
//! of seed and number, so any part of the set can be made anywhere and is always the same.

pub mod config;

#[cfg(feature = "io")]
mod columns;
#[cfg(feature = "io")]
mod generator;
#[cfg(feature = "io")]
mod source;
#[cfg(all(test, feature = "io"))]
mod tests;

pub use config::Config;
#[cfg(feature = "io")]
pub(crate) use source::open;
