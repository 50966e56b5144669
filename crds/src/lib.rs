//! The custom resources of Eddyline, as types only.
//!
//! `eddyline run` reads the same manifests as a cluster, so these types are also the file format of a local job.
//! Doc comments here become the descriptions of the fields in the custom resource definition.

#![allow(clippy::duplicated_attributes, reason = "columns of a resource may have the same type")]

pub mod quantity;
pub mod rules;
pub mod savepoint;
pub mod status;
pub mod stream_job;

pub use quantity::Duration;
pub use savepoint::{Savepoint, SavepointSpec, SavepointStatus};
pub use status::StreamJobStatus;
pub use stream_job::{StreamJob, StreamJobSpec};
