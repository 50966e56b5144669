//! The format `json`: one JSON object a record.
//!
//! The decoder is the hottest loop of the product and its own: see `decoder` for the technique. What it accepts is
//! standard JSON and nothing else, also in fields that nobody wants; what a value means in a column follows Flink.

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
