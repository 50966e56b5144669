//! Savepoints: asking for one, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a savepoint. Asking again under the same name asks for the same one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointRequest {
    /// Names the request.
    pub name: String,
    /// The folder that the savepoint's own folder is made in; the job's savepoint folder if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
}

/// A savepoint that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Savepoint {
    /// The name of the request.
    pub name: String,
    /// What became of it.
    pub state: SavepointState,
    /// When it was asked for.
    pub requested_at_ms: u64,
    /// When it was completed or abandoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// Where it is, once it is completed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The number of the checkpoint it was taken with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<u64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SavepointState {
    /// It is being taken.
    InProgress,
    /// It is complete.
    Completed,
    /// It was abandoned.
    Failed,
}

/// Asks to stop the job. The process stays, to be asked about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StopRequest {
    /// The savepoint to stop with; without it the job stops with a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<SavepointRequest>,
    /// How long the stop may take. When the time is over, the worker takes the stop back as
    /// [`RESUME`](crate::endpoint::RESUME) does: the savepoint has failed and the job runs on. Without it a stop has
    /// no limit, and sources read nothing meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// What `eddyline savepoint copy` writes into the file of `--report`: the termination message of its pod. When it fails, it
/// writes a [`Problem`] instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CopiedSavepoint {
    /// Where the savepoint is.
    pub uri: String,
    /// The number of the checkpoint that it is a copy of.
    pub checkpoint: u64,
    /// When that checkpoint was stored, by the clock of the storage.
    pub taken_at_ms: i64,
}

/// Asks to run the job on another number of slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RescaleRequest {
    /// How many slots.
    pub parallelism: u16,
}

/// Why a request was refused or failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What is wrong, for people.
    pub message: String,
}
