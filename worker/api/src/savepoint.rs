//! Requests for savepoints, and their results.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A request for a savepoint. A request with the same name asks for the same savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointRequest {
    /// The name of the request.
    pub name: String,
    /// The folder in which the savepoint gets its own folder. Unset: the job's savepoint folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A requested savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Savepoint {
    /// The name of the request.
    pub name: String,
    /// Its state.
    pub state: SavepointState,
    /// When it was requested.
    pub requested_at_ms: u64,
    /// When it was completed or abandoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// Where it is, once it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The number of the checkpoint that it was taken with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The state of a requested savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SavepointState {
    /// It is being taken.
    InProgress,
    /// It is complete.
    Completed,
    /// It was abandoned.
    Failed,
}

/// A request to stop the job. The process stays, so that it can report the result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopRequest {
    /// The savepoint to stop with. Unset: the job stops with a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointRequest>,
    /// How long the stop may take. After that the worker cancels the stop as [`RESUME`](crate::endpoint::RESUME) does:
    /// the savepoint has failed, and the job keeps running. Unset: no limit. Sources read nothing while the job is
    /// being stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// The content of the file that `eddyline savepoint copy` writes with `--report`: the termination message of its pod.
/// If the copy fails, the content is a [`Problem`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopiedSavepoint {
    /// The URI of the savepoint.
    pub uri: String,
    /// The number of the checkpoint that it is a copy of.
    pub checkpoint: u64,
    /// When that checkpoint was stored, by the clock of the storage.
    pub taken_at_ms: i64,
}

/// A request to run the job on another number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RescaleRequest {
    /// The number of slots.
    pub parallelism: u16,
}

/// Why a request was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What is wrong, for people.
    pub message: String,
}
