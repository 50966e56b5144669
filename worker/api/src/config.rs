//! The configuration that a worker reads when it starts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The settings of one revision of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerConfig {
    /// The job's name.
    pub job: String,
    /// The job's namespace.
    pub namespace: String,
    /// Settings by Flink's keys. They act as SET statements in front of the SQL.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// The number of slots that run the job when the process starts.
    pub parallelism: u16,
    /// The number of key groups that the state is divided into.
    pub max_parallelism: u32,
    /// What the revision starts from.
    pub start: Start,
    /// When checkpoints are taken, and where they are stored.
    pub checkpoint: Checkpoint,
    /// How often a failing job may restart.
    pub restart: Restart,
    /// The volume at [`DATA`](crate::mounts::DATA), if the job has one of its own. Unset: nothing is kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_storage: Option<LocalStorage>,
}

/// A volume of a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorage {
    /// Its size in bytes.
    pub bytes: u64,
}

/// A decision to run a job from a given state. It is carried out once, however often the process starts: once the job
/// has completed a checkpoint, it resumes from that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Distinguishes this decision from others about the same job.
    pub token: String,
    /// The state.
    pub from: StartFrom,
    /// Operators whose state may be dropped if it fits no operator of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_non_restored_state: Vec<String>,
}

/// The state that a revision starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StartFrom {
    /// The latest checkpoint of the job. If there is none, the revision starts without state.
    Latest,
    /// No state.
    Empty,
    /// A savepoint or checkpoint.
    Savepoint {
        /// Its URI.
        uri: String,
    },
}

/// When checkpoints are taken, and where they are stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// The time between two checkpoints.
    pub interval_ms: u64,
    /// How long a checkpoint may take.
    pub timeout_ms: u64,
    /// The number of completed checkpoints to keep.
    pub retain: u16,
    /// The folder of checkpoints. Unset: checkpoints are kept in memory and end with the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The endpoint of the S3 server. Unset: Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl WorkerConfig {
    /// The job's folder under [`Checkpoint::uri`]. No two jobs of a cluster have the same folder.
    pub fn folder(&self) -> String {
        format!("{}.{}", self.namespace, self.job)
    }

    /// The folder of savepoints, unless a request names another one.
    pub fn savepoint_folder(&self) -> Option<String> {
        let uri = self.checkpoint.uri.as_ref()?;
        Some(format!("{}/savepoints/{}", uri.trim_end_matches('/'), self.folder()))
    }
}

/// How often a failing job may restart within its process, and after which waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// The maximum number of restarts within `window`. After one failure more the job has failed for good.
    pub max_per_window: u32,
    /// The period over which restarts are counted.
    pub window_ms: u64,
    /// The first wait. Each further one is twice as long.
    pub backoff_initial_ms: u64,
    /// The longest wait.
    pub backoff_max_ms: u64,
}
