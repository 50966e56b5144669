//! The format `parquet`: whole files of columns.
//!
//! Columns of a file and of the table are matched by name. A file may have further columns, other units of time and
//! narrower numbers. It must have every column that is read, and each type must fit without loss, except that times are
//! cut to the table's unit. The connector provides the bytes: a file, or ranges fetched from an object store.

#[cfg(feature = "io")]
mod columns;
mod config;
#[cfg(feature = "io")]
mod pages;
#[cfg(feature = "io")]
mod reader;
#[cfg(feature = "io")]
mod writer;

pub use config::{Compression, Config};
#[cfg(feature = "io")]
pub use pages::SharedPages;
#[cfg(feature = "io")]
pub use reader::{FOOTER_GUESS_BYTES, FetchedRanges, FileReader, FileRows, Footer, footer};
#[cfg(feature = "io")]
pub use writer::FileWriter;

#[cfg(all(test, feature = "io"))]
mod tests;
