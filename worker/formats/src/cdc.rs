//! The formats of change data capture in JSON: `debezium-json`, `canal-json`, `maxwell-json` and `ogg-json`.
//!
//! A message says what has happened to rows of a table: an insert, an update with the old and the new content, a delete. It
//! becomes rows of these kinds. Written, a message is an insert or a delete: an update is a delete of the old row and an insert
//! of the new one, as in Flink. The rows inside are those of the format `json`.
//!
//! The tools put the same parts under other names ([`Dialect`]); Canal and Maxwell also leave out of the old row what has not
//! changed.

mod config;
#[cfg(feature = "io")]
mod decoder;
mod dialect;
#[cfg(feature = "io")]
mod encoder;
#[cfg(feature = "io")]
mod envelope;

pub use config::Config;
#[cfg(feature = "io")]
pub use decoder::Decoder;
pub use dialect::Dialect;
#[cfg(feature = "io")]
pub use encoder::Encoder;

#[cfg(all(test, feature = "io"))]
mod tests;
