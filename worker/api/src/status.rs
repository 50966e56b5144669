//! What a worker says about its job.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::savepoint::Savepoint;

/// The state of a job as its leader knows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobStatus {
    /// The job's name.
    pub job: String,
    /// The token of the start that this process carries out.
    pub start: String,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is there, if that needs a word; the whole error of a failed job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it has failed because it was started again too often within the window of its restart strategy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_restart_limit_reached: bool,
    /// The fencing number of the running attempt; 0 before the first.
    pub attempt: u64,
    /// How many slots run the job.
    pub parallelism: u16,
    /// How many key groups its state is cut into.
    pub max_parallelism: u32,
    /// How often the job was started again by this process.
    pub restarts: u64,
    /// When this process started.
    pub started_at_ms: u64,
    /// What the running attempt was restored from, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// The latest completed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// Checkpoints abandoned since the last one that was completed.
    pub checkpoint_failures: u32,
    /// Why the last one was abandoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_error: Option<String>,
    /// How far it has come.
    pub progress: Progress,
    /// The last change of parallelism by this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rescale: Option<Rescale>,
    /// The last attempt of this process that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// What the job was stopped with, in the phase [`Phase::Stopped`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_with: Option<Savepoint>,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Tasks are being built and state restored.
    Starting,
    /// Tasks run.
    Running,
    /// An attempt has failed; another one follows after a wait.
    Restarting,
    /// The running tasks are replaced by more or fewer of them.
    Rescaling,
    /// A last checkpoint is on its way.
    Stopping,
    /// Stopped as asked, with everything committed.
    Stopped,
    /// Stopped as asked, without a checkpoint.
    Canceled,
    /// All input has been read and its output is visible.
    Finished,
    /// Failed for good. Only another revision or another process helps.
    Failed,
    /// Another process runs the job; this one does nothing any more.
    Fenced,
}

impl Phase {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Restarting => "Restarting",
            Self::Rescaling => "Rescaling",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Canceled => "Canceled",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Fenced => "Fenced",
        }
    }
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A completed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// Its number.
    pub id: u64,
    /// The attempt that took it.
    pub attempt: u64,
    /// When it was stored.
    pub completed_at_ms: u64,
    /// From barrier to storage.
    pub duration_ms: u64,
    /// The longest time that a task had channels blocked for it.
    pub alignment_ms: u64,
    /// Bytes written for it.
    pub bytes: u64,
    /// Where it is.
    pub uri: String,
    /// Whether it was taken by the running attempt.
    pub is_of_this_attempt: bool,
}

/// How far a job has come, seen at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Event time up to which results are complete: the least watermark of the operators that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// How far that is behind the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_lag_ms: Option<u64>,
    /// Since when it has not advanced although records were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_stuck_since_ms: Option<u64>,
    /// Records known to sources and not yet read; absent where no source can tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// Records read per second, over the last seconds.
    pub records_in_per_second: f64,
    /// Records read by this attempt.
    pub records_in: u64,
    /// Records written by this attempt.
    pub records_out: u64,
    /// Records dropped as late by this attempt.
    pub late_records: u64,
    /// Records skipped as unreadable by this attempt.
    pub bad_records: u64,
    /// The operator that holds up the others, and the share of time that it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backpressure: Option<Backpressure>,
    /// Which sources cannot be read at the moment, and why. They are tried again until they can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable_sources: Vec<String>,
}

/// An operator that cannot keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backpressure {
    /// Its name.
    pub operator: String,
    /// The share of the last seconds in which those before it waited, from 0 to 1.
    pub share: f64,
}

/// A change of parallelism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rescale {
    /// Slots before.
    pub from: u16,
    /// Slots after.
    pub to: u16,
    /// Key groups that have another slot than before.
    pub moved_key_groups: u32,
    /// From the request until the job ran again.
    pub duration_ms: u64,
    /// How long no task ran.
    pub pause_ms: u64,
    /// When it was done.
    pub at_ms: u64,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When.
    pub at_ms: u64,
    /// Which attempt.
    pub attempt: u64,
    /// The cause, if it is known.
    pub cause: FailureCause,
    /// Why, for people.
    pub message: String,
}

/// What a failure was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FailureCause {
    /// A source or what it reads from.
    Source,
    /// A sink or what it writes to.
    Sink,
    /// The checkpoint storage, or what is in it.
    Storage,
    /// A record that cannot be read, under the policy `fail`.
    Record,
    /// A row for which an expression has no value, such as a division by zero.
    Evaluation,
    /// State that does not fit the job: another `maxParallelism`, other operators, or a form of a newer release.
    State,
    /// The job itself.
    Job,
}

/// The operators of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// As `eddyline explain` prints it.
    pub text: String,
    /// One entry for each operator, in the order in which data passes them.
    pub operators: Vec<OperatorStatus>,
}

/// An operator, over all its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStatus {
    /// Its stable id.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// How many tasks it has.
    pub tasks: u32,
    /// Rows taken in.
    pub rows_in: u64,
    /// Rows given.
    pub rows_out: u64,
    /// Its state in memory.
    pub state_bytes: u64,
}

/// The checkpoints that a process has taken, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoints {
    /// How many were completed by this process.
    pub completed: u64,
    /// How many this process has abandoned.
    pub failed: u64,
    /// The latest ones.
    pub latest: Vec<CheckpointStatus>,
}

/// The savepoints that a process was asked for, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Savepoints {
    /// They.
    pub savepoints: Vec<Savepoint>,
}
