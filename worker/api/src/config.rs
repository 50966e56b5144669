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
    /// Settings by Flink's keys, as SET statements in front of the SQL would give them.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
    /// How many slots run the job when the process starts.
    pub parallelism: u16,
    /// How many key groups the state is cut into.
    pub max_parallelism: u32,
    /// What the revision starts from.
    pub start: Start,
    /// How checkpoints are taken.
    pub checkpoint: Checkpoint,
    /// How often a failing job is started again.
    pub restart: Restart,
}

/// One decision to run a job from a given state. It is carried out once, however often the process starts: a job that has
/// completed a checkpoint since then resumes from that checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// Distinguishes this decision from others about the same job.
    pub token: String,
    /// Which state.
    pub from: StartFrom,
    /// Operators whose state may be left behind where it fits no operator of the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_non_restored_state: Vec<String>,
}

/// The state that a revision starts from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StartFrom {
    /// The latest checkpoint of the job; nothing if there is none.
    Latest,
    /// Nothing.
    Empty,
    /// A savepoint or checkpoint.
    Savepoint {
        /// Where it is.
        uri: String,
    },
}

/// How checkpoints are taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoint {
    /// How often.
    pub interval_ms: u64,
    /// How long one may take.
    pub timeout_ms: u64,
    /// How many completed ones are kept.
    pub retain: u16,
    /// The folder they are kept under. Without it they are kept in memory and end with the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The endpoint of an S3 server that is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl WorkerConfig {
    /// The job's folder under [`Checkpoint::uri`]: no two jobs of a cluster have the same.
    pub fn folder(&self) -> String {
        format!("{}.{}", self.namespace, self.job)
    }

    /// The folder that savepoints go to unless something else is asked for.
    pub fn savepoint_folder(&self) -> Option<String> {
        let uri = self.checkpoint.uri.as_ref()?;
        Some(format!("{}/savepoints/{}", uri.trim_end_matches('/'), self.folder()))
    }
}

/// How often a failing job is started again within its process, and after which waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Restarts within a window after which the job has failed.
    pub max_per_window: u32,
    /// The window.
    pub window_ms: u64,
    /// The first wait; each further one is twice as long.
    pub backoff_initial_ms: u64,
    /// The longest wait.
    pub backoff_max_ms: u64,
}
