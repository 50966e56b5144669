//! Connectors: the sources and sinks of rows.
//!
//! Each connector is a folder with the same files: `config` (its WITH options, typed and checked), `source`, `sink`.
//! `config` needs no I/O crate and is what the planner uses to check a table (`default-features = false`); reading and
//! writing need the feature `io`.
//!
//! Readers and writers are synchronous and run on slot threads. Waiting for network and storage happens on the I/O
//! runtime, which is connected to them by bounded queues.

#[cfg(feature = "io")]
pub mod backoff;
pub mod blackhole;
pub mod config;
pub mod datagen;
pub mod filesystem;
pub mod kafka;
pub mod nexmark;
pub mod print;
pub mod table;

#[cfg(feature = "io")]
mod generated;
#[cfg(all(test, feature = "io"))]
mod harness;
#[cfg(feature = "io")]
mod open;
#[cfg(feature = "io")]
pub mod sink;
#[cfg(feature = "io")]
pub mod source;

pub use config::{SinkConfig, SourceConfig};
#[cfg(feature = "io")]
pub use open::{OpenContext, open_sink, open_source};
pub use table::{MetadataColumn, OptionError, OptionErrors, Options, TableDescriptor};

/// An error between a job and the systems that it reads and writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An external system has answered with an error, or not at all. The message names the topic, partition or object.
    #[error("{what}")]
    Unavailable {
        /// What was tried, and on which object.
        what: String,
        /// Why it failed.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
        /// Whether another attempt can succeed.
        retryable: bool,
    },
    /// A record that cannot be read, under the policy `fail`.
    #[error("{place}: {reason}")]
    BadRecord {
        /// Topic, partition and offset, or file and line.
        place: String,
        /// What is wrong with it and which option skips such records.
        reason: String,
    },
    /// A position in a checkpoint does not fit what exists now.
    #[error("cannot continue {split}: {reason}")]
    Restore {
        /// The split or committable.
        split: String,
        /// What does not fit and what to do.
        reason: String,
    },
}

#[cfg(feature = "io")]
impl Error {
    /// Whether an external system does not answer, has no room, or refuses access. The request succeeds once that is
    /// over. A bucket that does not exist is not an outage, nor is a request that the store refuses as invalid.
    pub fn is_outage(&self) -> bool {
        use eddyline_api::refusal::is_refusal;
        use object_store::Error as E;
        let Self::Unavailable { retryable: true, .. } = self else { return false };
        let mut causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.find_map(|error| error.downcast_ref::<E>()).is_none_or(|error| match error {
            E::Generic { .. } => !is_refusal(error),
            E::JoinError { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. } => true,
            _ => false,
        })
    }
}
