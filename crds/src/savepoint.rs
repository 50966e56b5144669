//! `Savepoint`, version v1alpha1: a request for a savepoint, and where the savepoint is.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::status::known_or_default;
use crate::stream_job::{CheckpointStorage, NameRef, any_object};

/// A savepoint of a StreamJob: everything the job needs to resume from that moment, at any parallelism, in any cluster.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "eddyline.io",
    version = "v1alpha1",
    kind = "Savepoint",
    namespaced,
    shortname = "svp",
    category = "eddyline",
    status = "SavepointStatus",
    derive = "PartialEq",
    printcolumn(name = "JOB", type_ = "string", json_path = ".spec.jobRef.name"),
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "COMPLETED", type_ = "date", json_path = ".status.completedAt"),
    printcolumn(name = "URI", type_ = "string", json_path = ".status.uri", priority = 1),
    printcolumn(name = "MESSAGE", type_ = "string", json_path = ".status.message", priority = 1),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("the spec of a Savepoint cannot change: a Savepoint is one request. Create another one"))]
pub struct SavepointSpec {
    /// The StreamJob, in the same namespace.
    pub job_ref: NameRef,
    /// The folder in which the savepoint gets its own folder: `s3://bucket/path` or `file:///path`. Unset: the folder
    /// `savepoints` of the job's checkpoint storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub uri: Option<String>,
    /// What happens to the data when this object is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
}

/// What happens to a savepoint's data when its object is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum DeletionPolicy {
    /// The data stays in storage.
    #[default]
    Retain,
    /// The data is deleted too.
    Delete,
}

/// The state of a savepoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SavepointStatus {
    /// The generation of the spec that this status is about.
    pub observed_generation: i64,
    /// The stage that the savepoint has reached.
    #[serde(deserialize_with = "known_or_default")]
    pub phase: SavepointPhase,
    /// Where the data is, once the savepoint is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The number of the checkpoint that the savepoint was taken with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<i64>,
    /// When the job was asked for the savepoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When the savepoint was completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The batch job that copies the job's latest checkpoint, if no worker was there to take the savepoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copied_by: Option<String>,
    /// How to reach the data when the job is gone. Set only if the data is deleted with this object, or copied by a
    /// batch job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Why the savepoint waits or has failed, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The conditions of the savepoint: Ready, Stalled, Reconciling.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// How to reach the data of a savepoint: those settings of the worker that took it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Origin {
    /// An image that can read the data.
    pub image: String,
    /// The storage that holds the data.
    pub storage: CheckpointStorage,
    /// The job's `workers.template`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub template: Option<serde_json::Value>,
}

/// The stage that a savepoint has reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum SavepointPhase {
    /// The job does not run, so it has not been asked yet.
    #[default]
    Pending,
    /// The job is taking the savepoint.
    InProgress,
    /// The savepoint is in storage.
    Completed,
    /// The savepoint was abandoned.
    Failed,
}

impl SavepointPhase {
    /// The name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
        }
    }
}
