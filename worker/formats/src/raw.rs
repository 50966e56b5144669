//! The format `raw`: the bytes of a record are the value of the only column.
//!
//! Texts are UTF-8, byte strings are as they are, booleans are one byte, numbers are their bytes in the configured
//! order. NULL is a record without a value.

mod config;
#[cfg(feature = "io")]
mod decoder;
#[cfg(feature = "io")]
mod encoder;

pub use config::{Config, Endianness};
#[cfg(feature = "io")]
pub use decoder::Decoder;
#[cfg(feature = "io")]
pub use encoder::Encoder;

#[cfg(all(test, feature = "io"))]
mod tests;
