//! The status of a `StreamJob`: what the controller has seen, and what it is about to do.
//!
//! A job stays readable even if another release has written a phase or operation that this one does not know.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Duration;

/// What the controller has seen of a job, and what it is about to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamJobStatus {
    /// The latest generation of the spec that the controller has seen.
    pub observed_generation: i64,
    /// The stage that the job has reached, in one word for people.
    #[serde(deserialize_with = "known_or_starting")]
    pub phase: Phase,
    /// One line about the job, for people.
    pub summary: String,
    /// The number of slots that run the job.
    pub parallelism: u16,
    /// The label selector of the job's pods.
    pub selector: String,
    /// The number of the job's pods.
    pub workers: WorkersStatus,
    /// The fencing number of the running attempt.
    pub attempt: u64,
    /// The latest completed checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// The progress of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last change of parallelism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rescale: Option<Rescale>,
    /// The last failure of a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// The number of restarts since the running revision started, within a process and by a new process.
    pub restarts: u64,
    /// The last known process of the worker. Restarts are counted by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The latest savepoint that the controller took of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_savepoint: Option<SavepointTaken>,
    /// The savepoint that the job was suspended with, until it resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended_with: Option<String>,
    /// The revision that runs or is being started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What the controller is doing. It is recorded first, so that another controller can continue.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "known_or_default")]
    pub operation: Option<Operation>,
    /// A change of the spec that was rolled back. It is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// The conditions of the job: Ready, Stalled, Reconciling, Accepted, Running, WorkersReady, CheckpointHealthy,
    /// WatermarkAdvancing, Backpressured, Warning.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Reads a value. Where this release does not know the value, it is the default.
pub(crate) fn known_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Reads a phase. A phase that this release does not know is read as `Starting`.
fn known_or_starting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Phase, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or(Phase::Starting))
}

/// The stage that a job has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// The job has not started yet.
    #[default]
    Pending,
    /// A worker starts and restores the job's state.
    Starting,
    /// The job runs.
    Running,
    /// The controller has the job take a savepoint.
    Savepointing,
    /// The number of slots is being changed.
    Rescaling,
    /// A new revision replaces the old one.
    Upgrading,
    /// The old revision replaces the new one, which did not work.
    RollingBack,
    /// The job is being stopped with a savepoint.
    Suspending,
    /// The job is stopped and has no pods.
    Suspended,
    /// All input has been read and its output is visible.
    Finished,
    /// The job has failed for good. It waits for a change of its spec.
    Failed,
    /// The job is being deleted.
    Deleting,
}

impl Phase {
    /// All phases, in the order in which a job passes through them.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Starting,
        Self::Running,
        Self::Savepointing,
        Self::Rescaling,
        Self::Upgrading,
        Self::RollingBack,
        Self::Suspending,
        Self::Suspended,
        Self::Finished,
        Self::Failed,
        Self::Deleting,
    ];

    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Savepointing => "Savepointing",
            Self::Rescaling => "Rescaling",
            Self::Upgrading => "Upgrading",
            Self::RollingBack => "RollingBack",
            Self::Suspending => "Suspending",
            Self::Suspended => "Suspended",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
        }
    }
}

/// The number of pods of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkersStatus {
    /// The number of pods that there should be.
    pub desired: u32,
    /// The number of pods that run their part of the job.
    pub ready: u32,
}

/// A completed checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// The number of the checkpoint.
    pub last_id: u64,
    /// When the checkpoint was stored.
    pub completed_at: Time,
    /// The time from the barrier until the checkpoint was stored.
    pub duration: Duration,
    /// The number of bytes written for the checkpoint.
    pub bytes: u64,
    /// Where the checkpoint is.
    pub uri: String,
    /// The number of checkpoints abandoned since then.
    #[serde(default)]
    pub consecutive_failures: u32,
}

/// The progress of a job, as seen at one moment while it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Event time up to which results are complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
    /// How far the watermark is behind the clock. If a job reads old data, this is the age of that data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark_lag: Option<Duration>,
    /// The number of records that sources know of and have not read yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// The number of records read per second, over the last seconds.
    pub records_in_per_second: u64,
    /// The number of late records that the running attempt has dropped.
    pub late_records: u64,
    /// The number of unreadable records that the running attempt has skipped.
    pub bad_records: u64,
}

/// A change of parallelism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rescale {
    /// The number of slots before.
    pub from: u16,
    /// The number of slots after.
    pub to: u16,
    /// The number of key groups that moved to another slot.
    pub moved_key_groups: u32,
    /// The time from the request until the job ran again.
    pub duration: Duration,
    /// The time during which no task ran.
    pub pause: Duration,
    /// When the change was done.
    pub at: Time,
}

/// A failure of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When the failure happened.
    pub at: Time,
    /// The ordinal of the pod.
    pub worker: u32,
    /// What happened: Killed, OutOfMemory, Crashed, Evicted, NodeLost, ImageUnavailable, JobFailed, SourceUnreachable,
    /// SinkUnreachable, StorageUnreachable, BadRecord, EvaluationFailed or StateMismatch.
    pub reason: String,
    /// The details, for people.
    pub message: String,
}

/// A process of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// When the process started.
    pub started_at: Time,
    /// How often the process has restarted the job.
    pub restarts: u64,
}

/// A savepoint that the controller took, for an upgrade, for a suspension or before deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointTaken {
    /// Where the savepoint is.
    pub uri: String,
    /// When the savepoint was completed.
    pub at: Time,
    /// Why the savepoint was taken.
    pub reason: String,
}

/// An accepted spec, and the state that it started from. The ConfigMap of the revision holds the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// The number of the revision, from 1.
    pub number: u64,
    /// The generation of the spec.
    pub generation: i64,
    /// The fingerprint of those fields of the spec that need a new worker.
    pub hash: String,
    /// The image of the workers.
    pub image: String,
    /// The state that it started from: `latest`, `empty`, or the URI of a savepoint.
    pub from: String,
    /// When the controller decided to start the revision.
    pub started_at: Time,
    /// The checkpoint or savepoint that it restored before it had completed a checkpoint of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Whether the revision has ever been Ready.
    #[serde(default)]
    pub was_ready: bool,
    /// Whether no earlier revision has ever been Ready.
    #[serde(default)]
    pub is_first: bool,
}

/// Something that takes several steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What is being done.
    pub kind: OperationKind,
    /// When the operation began.
    pub started_at: Time,
    /// Since when the worker has given no answer that the operation can continue with. Unset while the worker answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Time>,
    /// The savepoint that the operation takes or has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// The revision that is being replaced. A rollback returns to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Revision>,
}

/// What the controller does with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OperationKind {
    /// The number of slots is being changed.
    Rescale,
    /// The running revision is being stopped for a new one.
    Stop,
    /// A new revision is being started in place of the previous one.
    Upgrade,
    /// The previous revision is being started again.
    Rollback,
    /// The job is being stopped with a savepoint.
    Suspend,
    /// The job is being started again.
    Resume,
    /// A last savepoint is being taken.
    Finalize,
}

/// A change of the spec that was rolled back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// The generation of the spec.
    pub generation: i64,
    /// The fingerprint of the spec.
    pub hash: String,
    /// Why the spec did not work. If the previous revision resumes from an earlier state: also which output is
    /// repeated.
    pub message: String,
    /// Why the previous revision does not run either. Unset while it starts and once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When the change was rolled back.
    pub at: Time,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_phase_is_written_by_its_name() {
        for phase in Phase::ALL {
            assert_eq!(json!(phase), json!(phase.as_str()));
        }
    }

    #[test]
    fn what_another_release_has_written_is_read_as_far_as_it_is_known() {
        let status: StreamJobStatus = serde_json::from_value(json!({
            "phase": "Thinking",
            "operation": {"kind": "Think", "startedAt": "2026-05-01T12:00:00Z"},
            "attempt": 3,
            "mood": "good",
        }))
        .expect("a status");
        assert_eq!((status.phase, status.operation, status.attempt), (Phase::Starting, None, 3));
        let known: StreamJobStatus = serde_json::from_value(json!({
            "phase": "Suspended",
            "operation": {"kind": "Stop", "startedAt": "2026-05-01T12:00:00Z"},
        }))
        .expect("a status");
        assert_eq!(
            (known.phase, known.operation.map(|known| known.kind)),
            (Phase::Suspended, Some(OperationKind::Stop))
        );
    }
}
