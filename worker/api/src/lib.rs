//! What a worker and those who talk to it agree on: the files mounted into its pod, and its HTTP API, as types; the form of
//! texts for people that both write; and what an object store's answers mean.
//!
//! Times are milliseconds since 1970 in UTC, durations are milliseconds. A controller and a worker of neighbouring
//! versions must understand each other. So fields are only added, and readers ignore unknown fields.

pub mod config;
pub mod endpoint;
pub mod message;
pub mod mounts;
pub mod openapi;
pub mod refusal;
pub mod savepoint;
pub mod secret;
pub mod status;

pub use config::{Start, StartFrom, WorkerConfig};
pub use savepoint::{Savepoint, SavepointRequest, SavepointState};
pub use status::{JobStatus, Phase};
