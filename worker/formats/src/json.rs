//! The format `json`: each record is a JSON object.
//!
//! The decoder is written for this engine, because it is the hottest loop: see `decoder` for the technique. It accepts
//! only standard JSON, even in fields that no column reads. The meaning of a value in a column follows Flink.

mod config;
#[cfg(feature = "io")]
mod decoder;
#[cfg(feature = "io")]
mod encoder;
#[cfg(feature = "io")]
mod keys;
#[cfg(feature = "io")]
mod row_reader;
#[cfg(feature = "io")]
pub(crate) mod scan;
#[cfg(feature = "io")]
mod value;

pub use config::{Config, NullMapKeys, TimestampFormat};
#[cfg(feature = "io")]
pub use decoder::Decoder;
#[cfg(feature = "io")]
pub use encoder::Encoder;
#[cfg(feature = "io")]
pub(crate) use encoder::RowWriter;
#[cfg(feature = "io")]
pub(crate) use row_reader::RowReader;

#[cfg(all(test, feature = "io"))]
mod tests;
