//! `StreamJob`, version v1alpha1: a job in SQL, and how to run it.
//!
//! Reading ignores unknown fields. The API server has already dropped or refused what its definition does not know, and
//! a controller that was rolled back reads objects of its successor.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::status::StreamJobStatus;
use crate::{Duration, rules};

/// The longest name of a job: its StatefulSet, pods and labels add to it, and labels have at most 63 characters.
pub const NAME_LENGTH_MAX: usize = 45;

/// A streaming job in Flink SQL.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "eddyline.io",
    version = "v1alpha1",
    kind = "StreamJob",
    namespaced,
    shortname = "sj",
    category = "eddyline",
    status = "StreamJobStatus",
    scale(
        spec_replicas_path = ".spec.parallelism",
        status_replicas_path = ".status.parallelism",
        label_selector_path = ".status.selector"
    ),
    derive = "PartialEq",
    validation = Rule::new(
        "self.spec.maxParallelism == oldSelf.spec.maxParallelism || !has(oldSelf.status) || !has(oldSelf.status.checkpoint)"
    ).message("maxParallelism is fixed once the job has a checkpoint: the job's state is divided into that many key groups. To change it, start another job with restoreFrom unset"),
    validation = rules::job_name(),
    printcolumn(name = "PHASE", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "READY", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status"),
    printcolumn(name = "REASON", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "PARALLELISM", type_ = "integer", json_path = ".status.parallelism"),
    printcolumn(name = "LAG", type_ = "integer", json_path = ".status.progress.lagRecords"),
    printcolumn(name = "WM-LAG", type_ = "string", json_path = ".status.progress.watermarkLag"),
    printcolumn(name = "CHECKPOINT", type_ = "date", json_path = ".status.checkpoint.completedAt"),
    printcolumn(name = "RESTARTS", type_ = "integer", json_path = ".status.restarts"),
    printcolumn(name = "AGE", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "RATE", type_ = "integer", json_path = ".status.progress.recordsInPerSecond", priority = 1),
    printcolumn(name = "ATTEMPT", type_ = "integer", json_path = ".status.attempt", priority = 1),
    printcolumn(name = "MESSAGE", type_ = "string", json_path = ".status.summary", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.sql) != has(self.sqlFrom)").message("set exactly one of sql and sqlFrom"),
    validation = Rule::new("self.parallelism <= self.maxParallelism").message("parallelism must not be greater than maxParallelism")
)]
pub struct StreamJobSpec {
    /// The SQL of the job. Set exactly one of `sql` and `sqlFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 262144))]
    pub sql: Option<String>,
    /// Where to read the SQL from, instead of `sql`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_from: Option<SqlSource>,
    /// The number of slots that run the job.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 32768))]
    pub parallelism: u16,
    /// The number of key groups that the state is divided into: a power of two, fixed once the job has a checkpoint.
    #[serde(default = "default_max_parallelism")]
    #[schemars(range(min = 1, max = 32768))]
    #[x_kube(validation = Rule::new(
        "self in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768]"
    ).message("maxParallelism must be a power of two, at most 32768"))]
    pub max_parallelism: u32,
    /// Whether the job should run.
    #[serde(default)]
    pub state: DesiredState,
    /// Settings by Flink's keys. They act as SET statements in front of the SQL.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// The pods that run the job.
    #[serde(default)]
    pub workers: Workers,
    /// When checkpoints are taken, and where they are stored.
    #[serde(default)]
    pub checkpoint: Checkpoint,
    /// Automatic savepoints.
    #[serde(default)]
    pub savepoints: Savepoints,
    /// How to change to a new SQL or image.
    #[serde(default)]
    pub upgrade: Upgrade,
    /// How often a failing job may restart.
    #[serde(default)]
    pub restart: Restart,
    /// The savepoint that the first start restores. Unset: the job starts without state.
    #[serde(default)]
    pub restore_from: RestoreFrom,
}

fn one() -> u16 {
    1
}

fn default_max_parallelism() -> u32 {
    256
}

/// Where to read the SQL from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SqlSource {
    /// A ConfigMap in the job's namespace, and its key.
    pub config_map_key_ref: ConfigMapKey,
}

/// A key of a ConfigMap.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigMapKey {
    /// The name of the ConfigMap.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// The key whose value is the SQL.
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

/// Whether a job should run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DesiredState {
    /// The job runs.
    #[default]
    Running,
    /// The job stops with a savepoint and has no pods.
    Suspended,
}

/// The pods that run a job.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Workers {
    /// The number of slots in a worker. 0: all slots are in one worker.
    pub slots: u16,
    /// The tag of the worker image. Empty: the controller's own version.
    #[schemars(extend("pattern" = "^([A-Za-z0-9_][A-Za-z0-9._-]{0,127})?$"))]
    pub version: String,
    /// The resources of each worker, as in a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<k8s_openapi::api::core::v1::ResourceRequirements>,
    /// A volume of each worker, for copies of the latest checkpoint. A container that restarts reads its state from there, and
    /// not from the checkpoint storage. The volume is created and deleted with the pod. Unset: no copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<LocalStorage>,
    /// A PodTemplateSpec. It is merged over the generated one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub template: Option<serde_json::Value>,
}

pub(crate) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A generic ephemeral volume of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalStorage {
    /// The size of the volume, as a quantity such as `5Gi`. Three times the size of a checkpoint is enough.
    #[schemars(length(max = 20), extend("pattern" = r"^[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"))]
    pub size: String,
    /// The StorageClass of the volume. Unset: the cluster's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub storage_class_name: Option<String>,
}

/// When checkpoints are taken, and where they are stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    rules::at_least("checkpoint.interval", "interval", "100ms"),
    rules::at_least("checkpoint.timeout", "timeout", "1s"),
]))]
pub struct Checkpoint {
    /// The time between two checkpoints. After a start the first waits are shorter: 1 s, 2 s, 4 s and so on, up to
    /// this.
    pub interval: Duration,
    /// How long a checkpoint may take. After that it is abandoned.
    pub timeout: Duration,
    /// The number of completed checkpoints to keep.
    #[schemars(range(min = 1))]
    pub retain: u16,
    /// Where checkpoints are stored. Unset: the chart's `defaultStorage`, or memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<CheckpointStorage>,
}

impl Default for Checkpoint {
    fn default() -> Self {
        Self { interval: Duration::from_secs(10), timeout: Duration::from_secs(120), retain: 3, storage: None }
    }
}

/// Object storage for checkpoints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStorage {
    /// A folder: `s3://bucket/path` or `file:///path`. Jobs may share it: each job has its own folder in it, by
    /// namespace and name.
    #[schemars(length(min = 1, max = 1024))]
    pub uri: String,
    /// The endpoint of the S3 server. Unset: Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024), extend("pattern" = "^https?://"))]
    pub endpoint: Option<String>,
    /// A Secret in the job's namespace with the keys `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. It may also have
    /// `AWS_SESSION_TOKEN` and `AWS_REGION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<NameRef>,
}

/// An object in the same namespace, by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NameRef {
    /// The object's name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Automatic savepoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::at_least_if_set("savepoints.maxAge", "maxAge", "1s")]))]
pub struct Savepoints {
    /// A cron expression with five fields, in UTC: `0 */6 * * *` is every six hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub schedule: Option<String>,
    /// The number of scheduled savepoints to keep. Unset: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub keep: Option<u16>,
    /// The maximum age of a scheduled savepoint. Unset: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// What happens to state when the job is deleted.
    pub on_delete: OnDelete,
}

/// What happens to state when a job is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OnDelete {
    /// Checkpoints and savepoints stay in storage.
    #[default]
    Retain,
    /// A last savepoint is taken. It stays in storage, as the checkpoints do.
    Final,
    /// Checkpoints and savepoints are deleted.
    Delete,
}

/// How to change to a new SQL or image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::at_least("upgrade.stopDeadline", "stopDeadline", "1s")]))]
pub struct Upgrade {
    /// What the new revision starts from.
    pub mode: UpgradeMode,
    /// How long a job may take to stop with a savepoint, for a new revision or a suspension. After that the job stops
    /// without a savepoint, and the next start resumes from the latest checkpoint.
    pub stop_deadline: Duration,
    /// Operators whose state may be dropped if it fits no operator of the new SQL. The message of `Accepted=False` has
    /// their names. All other state must fit. An operator of the new SQL that finds no state starts empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 512)))]
    pub allow_non_restored_state: Vec<String>,
    /// When to roll back a new revision.
    pub rollback: Rollback,
}

impl Default for Upgrade {
    fn default() -> Self {
        Self {
            mode: UpgradeMode::default(),
            stop_deadline: Duration::from_secs(600),
            allow_non_restored_state: Vec::new(),
            rollback: Rollback::default(),
        }
    }
}

/// What a new revision starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum UpgradeMode {
    /// A savepoint that the old revision takes as it stops.
    #[default]
    Savepoint,
    /// The latest checkpoint.
    LastState,
    /// No state.
    Stateless,
}

/// When to roll back a new revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::at_least("upgrade.rollback.deadline", "deadline", "1s")]))]
pub struct Rollback {
    /// Whether to roll back.
    pub enabled: bool,
    /// How long a new revision may take to become Ready.
    pub deadline: Duration,
}

impl Default for Rollback {
    fn default() -> Self {
        Self { enabled: true, deadline: Duration::from_secs(300) }
    }
}

/// How often a failing job may restart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::at_least("restart.window", "window", "1s")]))]
pub struct Restart {
    /// The maximum number of restarts within `window`. After one failure more the job has failed for good.
    #[serde(deserialize_with = "at_most_u32")]
    #[schemars(range(max = 1_000_000))]
    pub max_per_window: u32,
    /// The period over which restarts are counted.
    pub window: Duration,
    /// Exponential backoff between restarts.
    pub backoff: Backoff,
}

/// A number that may have been stored before the definition had a limit.
fn at_most_u32<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    Ok(u32::try_from(u64::deserialize(deserializer)?).unwrap_or(u32::MAX))
}

impl Default for Restart {
    fn default() -> Self {
        Self { max_per_window: 10, window: Duration::from_secs(600), backoff: Backoff::default() }
    }
}

/// Exponential backoff between restarts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::not_longer("restart.backoff", "initial", "max")]))]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// The longest wait.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(60) }
    }
}

/// The savepoint that the first start of a job restores. Set at most one of the two fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [rules::at_most_one("restoreFrom", "savepointRef", "uri")]))]
pub struct RestoreFrom {
    /// A Savepoint object in the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub savepoint_ref: Option<NameRef>,
    /// The URI of a savepoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub uri: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_reads_with_defaults() {
        let job: StreamJob = serde_norway::from_str(
            "apiVersion: eddyline.io/v1alpha1\nkind: StreamJob\nmetadata: {name: orders}\nspec: {sql: 'SELECT 1', checkpoint: {interval: 5s}}\n",
        )
        .expect("a manifest");
        assert_eq!(job.spec.sql.as_deref(), Some("SELECT 1"));
        assert_eq!((job.spec.parallelism, job.spec.max_parallelism), (1, 256));
        assert_eq!(job.spec.checkpoint.interval, Duration::from_secs(5));
        assert_eq!(job.spec.restart.backoff.max, Duration::from_secs(60));
    }

    #[test]
    fn what_a_later_or_an_earlier_release_has_stored_is_read() {
        let job: StreamJob = serde_norway::from_str(
            "apiVersion: eddyline.io/v1alpha1\nkind: StreamJob\nmetadata: {name: orders}\nspec: {sql: 'SELECT 1', autoscale: {max: 4}, restart: {jitter: 1s, maxPerWindow: 5000000000}}\n",
        )
        .expect("what is known of it");
        assert_eq!((job.spec.sql.as_deref(), job.spec.restart.max_per_window), (Some("SELECT 1"), u32::MAX));
    }
}
