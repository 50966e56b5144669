//! `'connector' = 'filesystem'`: files on a disk or in an S3 bucket, read in order and written exactly once.
//!
//! A source lists the files, cuts large ones into pieces ([`SplitEnumerator`](crate::source::SplitEnumerator)) and
//! reads them through a bounded queue that an I/O task fills; decoding happens on the slot thread. Files are immutable:
//! a file that was seen is not read again. A sink writes files in a hidden folder during an epoch and renames them when
//! the checkpoint is complete.

pub mod config;
pub mod location;
mod partition;

#[cfg(feature = "io")]
mod commit;
#[cfg(feature = "io")]
mod commit_note;
#[cfg(feature = "io")]
mod compression;
#[cfg(feature = "io")]
mod discovery;
#[cfg(feature = "io")]
mod fetch;
#[cfg(feature = "io")]
mod fields;
#[cfg(feature = "io")]
mod names;
#[cfg(feature = "io")]
mod object_upload;
#[cfg(feature = "io")]
mod part;
#[cfg(feature = "io")]
mod patience;
#[cfg(feature = "io")]
mod piece;
#[cfg(feature = "io")]
mod read_files;
#[cfg(feature = "io")]
mod read_lines;
#[cfg(feature = "io")]
mod read_parquet;
#[cfg(feature = "io")]
pub(crate) mod sink;
#[cfg(feature = "io")]
pub(crate) mod source;
#[cfg(feature = "io")]
mod store;
#[cfg(all(test, feature = "io"))]
mod tests;
#[cfg(feature = "io")]
mod upload;
#[cfg(feature = "io")]
mod writer;

pub use config::Config;
pub use location::Location;
