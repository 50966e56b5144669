//! The interface of a worker, as types: the files mounted into its pod, and its HTTP API. Also the form of texts for
//! people, which the worker and the controller both write.
//!
//! Times are milliseconds since 1970 in UTC, durations are milliseconds. A controller and a worker of neighbouring
//! versions must understand each other. So fields are only added, and readers ignore unknown fields.

pub mod config;
pub mod endpoint;
pub mod message;
pub mod mounts;
pub mod openapi;
pub mod savepoint;
pub mod secret;
pub mod status;

pub use config::{Start, StartFrom, WorkerConfig};
pub use savepoint::{Savepoint, SavepointRequest, SavepointState};
pub use status::{JobStatus, Phase};
