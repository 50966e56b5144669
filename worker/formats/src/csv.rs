//! The format `csv`: each record is a line of separated fields. There is no header.
//!
//! Fields are matched to the table's columns by position. A field may be quoted. Inside quotes a quote is doubled, or
//! written with the escape character if there is one. The encoder quotes as Flink does: texts that are long, or have a
//! character up to the separator in ASCII order, which includes the space in a timestamp.
//!
//! NULL is written as the null literal, which is empty unless configured. When read, an empty field is NULL in columns
//! of all types but STRING, and a field that equals a configured null literal is NULL in all.

mod config;
#[cfg(feature = "io")]
mod decoder;
#[cfg(feature = "io")]
mod encoder;

pub use config::Config;
#[cfg(feature = "io")]
pub use decoder::Decoder;
#[cfg(feature = "io")]
pub use encoder::Encoder;

#[cfg(all(test, feature = "io"))]
mod tests;
