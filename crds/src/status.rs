//! The status of a `StreamJob`: what was seen of it, and what is meant with it.
//!
//! A phase or an operation that another release has written and this one does not know never makes a job unreadable.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::Duration;

/// What was seen of a job, and what the controller means to do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct StreamJobStatus {
    /// The generation of the spec that the controller has seen.
    pub observed_generation: i64,
    /// Where the job is in its life.
    #[serde(deserialize_with = "known_or_starting")]
    pub phase: Phase,
    /// One line about the job, for people.
    pub summary: String,
    /// How many slots run the job.
    pub parallelism: u16,
    /// Selects the job's pods.
    pub selector: String,
    /// The job's pods.
    pub workers: WorkersStatus,
    /// The fencing number of the running attempt.
    pub attempt: u64,
    /// The latest completed checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointStatus>,
    /// How far the job has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// The last change of parallelism.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rescale: Option<Rescale>,
    /// The last failure of a worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<Failure>,
    /// How often the job was restarted, within its processes and with new ones, since the running revision was started.
    pub restarts: u64,
    /// The process that the worker was last seen in, by which restarts are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// The latest savepoint that the controller has taken of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_savepoint: Option<SavepointTaken>,
    /// The savepoint that the job was suspended with, until it resumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspended_with: Option<String>,
    /// The revision that runs or is meant to run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
    /// What the controller is doing. Recorded before it acts, so that another controller can continue.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "known_or_default")]
    pub operation: Option<Operation>,
    /// A change of the spec that was taken back because it did not work; it is not tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<RolledBack>,
    /// What can be said about the job by type: Ready, Stalled, Reconciling, Accepted, Running, WorkersReady,
    /// CheckpointHealthy, WatermarkAdvancing, Backpressured, Warning.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A value; the default in place of one that this release does not know.
pub(crate) fn known_or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A phase. A phase that this release does not know is read as that of a job that starts.
fn known_or_starting<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Phase, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or(Phase::Starting))
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    /// Nothing was started yet.
    #[default]
    Pending,
    /// A worker starts and restores the job's state.
    Starting,
    /// The job runs.
    Running,
    /// A savepoint is being taken for the controller.
    Savepointing,
    /// The number of slots is being changed.
    Rescaling,
    /// A new revision takes the place of the old one.
    Upgrading,
    /// The old revision takes the place of the new one, which did not work.
    RollingBack,
    /// The job is being stopped with a savepoint.
    Suspending,
    /// The job is stopped and has no pods.
    Suspended,
    /// All input has been read and its output is visible.
    Finished,
    /// The job has failed for good: it waits for a change of its spec.
    Failed,
    /// The job is being deleted.
    Deleting,
}

impl Phase {
    /// All phases, in the order in which jobs meet them.
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

/// The pods of a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkersStatus {
    /// How many there should be.
    pub desired: u32,
    /// How many run their part of the job.
    pub ready: u32,
}

/// A completed checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// Its number.
    pub last_id: u64,
    /// When it was stored.
    pub completed_at: Time,
    /// From barrier to storage.
    pub duration: Duration,
    /// Bytes written for it.
    pub bytes: u64,
    /// Where it is.
    pub uri: String,
    /// Checkpoints abandoned since.
    #[serde(default)]
    pub consecutive_failures: u32,
}

/// How far a job has come, seen at one moment while it ran.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Progress {
    /// Event time up to which results are complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Time>,
    /// How far that is behind the clock. A job that reads old data shows how old that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark_lag: Option<Duration>,
    /// Records known to sources and not yet read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_records: Option<u64>,
    /// Records read per second, over the last seconds.
    pub records_in_per_second: u64,
    /// Records dropped as late by the running attempt.
    pub late_records: u64,
    /// Records skipped as unreadable by the running attempt.
    pub bad_records: u64,
}

/// A change of parallelism.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rescale {
    /// Slots before.
    pub from: u16,
    /// Slots after.
    pub to: u16,
    /// Key groups that have another slot than before.
    pub moved_key_groups: u32,
    /// From the request until the job ran again.
    pub duration: Duration,
    /// How long no task ran.
    pub pause: Duration,
    /// When it was done.
    pub at: Time,
}

/// A failure of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When it was.
    pub at: Time,
    /// The ordinal of the pod.
    pub worker: u32,
    /// What happened: Killed, OutOfMemory, Crashed, Evicted, NodeLost, ImageUnavailable, JobFailed, SourceUnreachable,
    /// SinkUnreachable, StorageUnreachable, BadRecord, EvaluationFailed or StateMismatch.
    pub reason: String,
    /// The whole story, for people.
    pub message: String,
}

/// A process of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// When it was started.
    pub started_at: Time,
    /// How often it has started the job again.
    pub restarts: u64,
}

/// A savepoint that the controller has taken, for an upgrade, for a suspension or before deletion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SavepointTaken {
    /// Where it is.
    pub uri: String,
    /// When it was completed.
    pub at: Time,
    /// What for.
    pub reason: String,
}

/// A spec that was accepted, and the state it was started from. The ConfigMap of the revision holds the spec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Counts the revisions of the job, from 1.
    pub number: u64,
    /// The generation of the spec that it was made of.
    pub generation: i64,
    /// Fingerprint of that part of the spec which a running worker cannot change.
    pub hash: String,
    /// The image of its workers.
    pub image: String,
    /// The state it was started from: `latest`, `empty`, or the URI of a savepoint.
    pub from: String,
    /// When it was decided to start it.
    pub started_at: Time,
    /// The checkpoint or savepoint that it was restored from before it had completed a checkpoint of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_from: Option<String>,
    /// Whether it has ever been Ready.
    #[serde(default)]
    pub was_ready: bool,
    /// Whether no revision before it has ever been Ready.
    #[serde(default)]
    pub is_first: bool,
}

/// Something that takes several steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// What is being done.
    pub kind: OperationKind,
    /// When it was begun.
    pub started_at: Time,
    /// Since when the worker has given no answer that the operation can continue with; unset while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_since: Option<Time>,
    /// The savepoint that it takes or has taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub savepoint: Option<String>,
    /// The revision that it replaces, to return to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Revision>,
}

/// What is being done with a job.
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

/// A change of the spec that was taken back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBack {
    /// The generation of the spec.
    pub generation: i64,
    /// Its fingerprint.
    pub hash: String,
    /// Why it did not work; and which output is repeated, if the revision before resumes from an earlier state.
    pub message: String,
    /// Why the revision before does not run either; unset while it is being started and once it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was taken back.
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
