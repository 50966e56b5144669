//! What a worker reports about its job.

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
    /// The stage that the job has reached.
    pub phase: Phase,
    /// Why it is in this phase, if there is a reason; the whole error of a failed job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it has failed because it restarted too often within the window of its restart strategy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_restart_limit_reached: bool,
    /// The fencing number of the running attempt. 0 before the first.
    pub attempt: u64,
    /// The number of slots that run the job.
    pub parallelism: u16,
    /// The number of key groups that its state is divided into.
    pub max_parallelism: u32,
    /// How often this process has restarted the job.
    pub restarts: u64,
    /// When this process started.
    pub started_at_ms: u64,
    /// The checkpoint or savepoint that the running attempt restored, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// The latest completed checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// The number of checkpoints abandoned since the last completed one.
    pub checkpoint_failures: u32,
    /// Why the last one was abandoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_error: Option<String>,
    /// The progress of the job.
    pub progress: Progress,
    /// The memory of the worker. Absent in answers of earlier releases.
    #[serde(default)]
    pub memory: Memory,
    /// The last time that this process restored state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_restore: Option<Restore>,
    /// The last change of parallelism by this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rescale: Option<Rescale>,
    /// The last failed attempt of this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// The savepoint that the job was stopped with, in the phase [`Phase::Stopped`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_with: Option<Savepoint>,
}

/// The stage that a job has reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Tasks are being built and state restored.
    Starting,
    /// Tasks run.
    Running,
    /// An attempt has failed; another one follows after a wait.
    Restarting,
    /// The running tasks are being replaced by another number of tasks.
    Rescaling,
    /// A last checkpoint is in progress.
    Stopping,
    /// Stopped as asked, with everything committed.
    Stopped,
    /// Stopped as asked, without a checkpoint.
    Canceled,
    /// All input has been read and its output is visible.
    Finished,
    /// Failed for good. Only another revision or another process helps.
    Failed,
    /// Another process runs the job. This one does nothing.
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
    /// The time from the barrier until it was stored.
    pub duration_ms: u64,
    /// The time until the barrier had passed all tasks. Storage has no part in it.
    #[serde(default)]
    pub barrier_ms: u64,
    /// The longest time for which a task blocked channels for it.
    pub alignment_ms: u64,
    /// The number of bytes written for it.
    pub bytes: u64,
    /// Where it is.
    pub uri: String,
    /// Whether it was taken by the running attempt.
    pub is_of_this_attempt: bool,
}

/// The progress of a job at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Event time up to which results are complete: the least watermark of the operators.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_ms: Option<i64>,
    /// How far the watermark is behind the clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_lag_ms: Option<u64>,
    /// Since when the watermark has not advanced although records were read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark_stuck_since_ms: Option<u64>,
    /// The number of records that sources know of and have not read yet. Absent if no source knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// The number of records read per second, over the last seconds.
    pub records_in_per_second: f64,
    /// The number of records that this attempt has read.
    pub records_in: u64,
    /// The number of records that this attempt has written.
    pub records_out: u64,
    /// The number of late records that this attempt has dropped.
    pub late_records: u64,
    /// The number of unreadable records that this attempt has skipped.
    pub bad_records: u64,
    /// The operator that slows down the others, and the share of time in which it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backpressure: Option<Backpressure>,
    /// The sources that cannot be read at the moment, and why. The job tries again until it can read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unreachable_sources: Vec<String>,
}

/// How much memory a worker may have, and has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// The limit in bytes, above which the process is killed. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit_bytes: Option<u64>,
    /// The resident memory of the process, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_bytes: Option<u64>,
    /// The state of all operators in memory, in bytes. The plan has the share of each.
    pub state_bytes: u64,
    /// The state of all operators on the local disk, in bytes, because it does not fit in memory.
    #[serde(default)]
    pub spilled_bytes: u64,
}

/// An operator that cannot keep up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Backpressure {
    /// Its name.
    pub operator: String,
    /// The share of the last seconds in which the operators before it waited, from 0 to 1.
    pub share: f64,
}

/// A change of parallelism.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rescale {
    /// The number of slots before.
    pub from: u16,
    /// The number of slots after.
    pub to: u16,
    /// The number of key groups that moved to another slot.
    pub moved_key_groups: u32,
    /// The time from the request until the job ran again.
    pub duration_ms: u64,
    /// The time during which no task ran.
    pub pause_ms: u64,
    /// When the change was done.
    pub at_ms: u64,
}

/// State that was restored from a checkpoint or savepoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Restore {
    /// The checkpoint or savepoint.
    pub from: String,
    /// The number of bytes of state that were read from copies on a local disk.
    pub bytes_from_local_copies: u64,
    /// The number of bytes of state that were read from the checkpoint storage.
    pub bytes_from_storage: u64,
    /// The time from its manifest until operators had their state.
    pub duration_ms: u64,
    /// When that was done.
    pub at_ms: u64,
}

/// An attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it failed.
    pub at_ms: u64,
    /// The number of the attempt.
    pub attempt: u64,
    /// The cause, if it is known.
    pub cause: FailureCause,
    /// Why, for people.
    pub message: String,
}

/// The cause of a failure.
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
    /// A row on which an expression fails, such as a division by zero.
    Evaluation,
    /// State that does not fit the job: another `maxParallelism`, other operators, or the format of a newer release.
    State,
    /// The job itself.
    Job,
}

/// The operators of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The plan, as `eddyline explain` prints it.
    pub text: String,
    /// The operators, in the order in which data passes them.
    pub operators: Vec<OperatorStatus>,
}

/// An operator, over all its tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OperatorStatus {
    /// Its stable id.
    pub uid: String,
    /// Its name.
    pub name: String,
    /// The number of its tasks.
    pub tasks: u32,
    /// The number of rows it has received.
    pub rows_in: u64,
    /// The number of rows it has emitted.
    pub rows_out: u64,
    /// The size of its state in memory, in bytes.
    pub state_bytes: u64,
    /// The size of its state on the local disk, in bytes, because it does not fit in memory.
    #[serde(default)]
    pub spilled_bytes: u64,
}

/// The checkpoints that a process has taken, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Checkpoints {
    /// The number of checkpoints that this process has completed.
    pub completed: u64,
    /// The number of checkpoints that this process has abandoned.
    pub failed: u64,
    /// The latest ones.
    pub latest: Vec<CheckpointStatus>,
}

/// The requested savepoints of a process, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Savepoints {
    /// The savepoints.
    pub savepoints: Vec<Savepoint>,
}
