//! The formats of change data capture in JSON: `debezium-json`, `canal-json`, `maxwell-json` and `ogg-json`.
//!
//! A message describes a change of rows of a table: an insert, an update with the old and the new row, or a delete. It
//! is read as rows of these kinds. Each row is written as a message of an insert or a delete. So an update is a delete
//! of the old row and an insert of the new one, as in Flink. The rows inside of messages have the format `json`.
//!
//! The tools use different names for the parts of a message ([`Dialect`]). Canal and Maxwell leave unchanged fields out
//! of the old row.

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
