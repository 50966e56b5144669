//! The format `json`: one JSON object a record.
//!
//! The decoder is written for this engine, because it is its hottest loop: see `decoder` for the technique. It accepts
//! standard JSON and nothing else, also in fields that no column reads. What a value means in a column follows Flink.

mod config;
#[cfg(feature = "io")]
mod decoder;
#[cfg(feature = "io")]
mod encoder;
#[cfg(feature = "io")]
mod keys;
#[cfg(feature = "io")]
mod scan;
#[cfg(feature = "io")]
mod value;

pub use config::{Config, NullMapKeys, TimestampFormat};
#[cfg(feature = "io")]
pub use decoder::Decoder;
#[cfg(feature = "io")]
pub use encoder::Encoder;

#[cfg(all(test, feature = "io"))]
mod tests;
