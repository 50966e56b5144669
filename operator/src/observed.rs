//! What was observed of a job and its objects at one moment, as values only. `observe` makes them, decisions read them.

use std::sync::Arc;
use std::time::Duration;

use eddyline_api::JobStatus;
use eddyline_crds::savepoint::Origin;
use eddyline_crds::stream_job::DesiredState;
use eddyline_crds::{Savepoint, StreamJob};

use crate::clock::{Timestamp, since};
use crate::identity::Identity;
use crate::revision::Record;
use crate::vocabulary::named;
use crate::worker_client::Address;

/// Everything that was observed.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The job, fresh from the API server.
    pub job: Arc<StreamJob>,
    /// Its SQL.
    pub sql: Sql,
    /// Its StatefulSet.
    pub stateful_set: Option<StatefulSet>,
    /// Why no pod of a revision can be created.
    pub refusal: Option<(u64, Trouble)>,
    /// Its pods.
    pub pods: Vec<Pod>,
    /// The worker's answer. It may be a recent earlier one.
    pub worker: Worker,
    /// Whether the worker did not answer the last question.
    pub has_missed: bool,
    /// The address of its worker.
    pub address: Option<Address>,
    /// The record of the revision in the status, from its ConfigMap.
    pub record: Option<Arc<Record>>,
    /// The record of the revision that the operation in the status replaces.
    pub previous: Option<Arc<Record>>,
    /// Why that revision cannot use the state of its successor, if it cannot.
    pub objection_to_return: Option<String>,
    /// The identity in its Secret.
    pub identity: Option<Arc<Identity>>,
    /// The Savepoint object that the spec restores from.
    pub restore_from: Option<Savepoint>,
    /// The Savepoint objects of the schedule.
    pub scheduled: Vec<Savepoint>,
    /// The URIs of the savepoints that stay when the state of the job is deleted.
    pub retained: Vec<String>,
    /// The batch job that deletes the job's data.
    pub cleanup: BatchJob,
    /// The batch job that makes the last savepoint if no worker can.
    pub copy: BatchJob,
    /// Batch jobs that still delete or copy the data of an earlier job of this name.
    pub predecessors: Vec<String>,
    /// The children as this process last applied them.
    pub applied: Option<Applied>,
    /// Why the API server refused a child when it was last applied.
    pub objection: Option<String>,
    /// Whether the namespace is being deleted and refuses new objects.
    pub is_namespace_going: bool,
}

/// The SQL of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sql {
    /// The text.
    Text(String),
    /// The ConfigMap or key is missing, with a message.
    Missing(String),
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSet {
    /// The number of pods that it should have.
    pub replicas: i32,
    /// The revision of its pods.
    pub revision: Option<u64>,
    /// Whether it has volume claim templates, as earlier versions did. They cannot be changed in place.
    pub has_claims: bool,
    /// Whether it is being deleted.
    pub is_going: bool,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Distinguishes it from others of the same name.
    pub uid: String,
    /// Its number.
    pub ordinal: u32,
    /// The revision it runs.
    pub revision: Option<u64>,
    /// Whether it is ready.
    pub is_ready: bool,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// The node it is bound to.
    pub node: Option<String>,
    /// When it should be gone, if its deletion was requested.
    pub going_since: Option<Timestamp>,
    /// Since when its node has not answered or has been gone.
    pub node_lost_since: Option<Timestamp>,
    /// Whether its node certainly runs nothing: the Node object is gone or is marked as out of service.
    pub is_node_out: bool,
    /// Whether so many nodes are silent that the fault is probably between them and the API server.
    pub is_cut_off: bool,
    /// What keeps it from running.
    pub trouble: Option<Trouble>,
    /// How its container ended the last time.
    pub last_end: Option<End>,
    /// Whether its container was ever started.
    pub has_run: bool,
}

/// What keeps a pod from running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind.
    pub kind: TroubleKind,
    /// The details.
    pub message: String,
}

named! {
    /// What keeps a pod from running, by name.
    TroubleKind {
        /// The process ends repeatedly.
        CrashLoopBackOff = "CrashLoopBackOff",
        /// The process needed more memory than its limit.
        OutOfMemory = "OutOfMemory",
        /// The image cannot be pulled.
        ImagePullFailed = "ImagePullFailed",
        /// The container cannot be created, for example because a Secret is missing.
        ContainerConfigInvalid = "ContainerConfigInvalid",
        /// The pod was evicted.
        Evicted = "Evicted",
        /// The pod cannot be scheduled.
        Unschedulable = "Unschedulable",
        /// The node does not answer.
        NodeLost = "NodeLost",
        /// The pod is refused, by a quota or an admission rule.
        FailedCreate = "FailedCreate",
        /// A volume cannot be mounted.
        FailedMount = "FailedMount",
        /// A volume cannot be attached to the node.
        FailedAttachVolume = "FailedAttachVolume",
    }
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// When it ended.
    pub at: Timestamp,
    /// Kubernetes' reason, such as OOMKilled or Error.
    pub reason: String,
    /// The exit code.
    pub code: i32,
    /// The last line that it wrote.
    pub last_words: Option<String>,
}

/// A worker, as it was observed.
#[derive(Clone, Debug)]
pub enum Worker {
    /// There is no worker.
    Absent,
    /// The worker does not answer, with the reason.
    Silent(String),
    /// The worker reports the status of its job.
    Says(Box<JobStatus>),
}

/// A batch job that deletes or copies data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BatchJob {
    /// There is none.
    #[default]
    Absent,
    /// It runs.
    Running,
    /// It has completed. A copy reports the number of the checkpoint that it copied.
    Done {
        /// The number.
        checkpoint: Option<u64>,
    },
    /// It has failed for good.
    Failed(String),
}

/// Children as they were applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Their fingerprint.
    pub fingerprint: String,
    /// When they were applied.
    pub at: Timestamp,
}

impl Observed {
    /// The job's namespace.
    pub fn namespace(&self) -> &str {
        self.job.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// The job's name.
    pub fn name(&self) -> &str {
        self.job.metadata.name.as_deref().unwrap_or_default()
    }

    /// The job's uid.
    pub fn uid(&self) -> &str {
        self.job.metadata.uid.as_deref().unwrap_or_default()
    }

    /// The generation of the spec.
    pub fn generation(&self) -> i64 {
        self.job.metadata.generation.unwrap_or_default()
    }

    /// Whether the job should be suspended.
    pub fn wants_suspension(&self) -> bool {
        self.job.spec.state == DesiredState::Suspended
    }

    /// How to reach the data of the job after its deletion, if it has storage.
    pub fn origin(&self) -> Option<Origin> {
        let record = self.record.as_ref()?;
        let revision = self.job.status.as_ref()?.revision.as_ref()?;
        let template = record.spec.workers.template.clone();
        Some(Origin { image: revision.image.clone(), storage: record.storage.clone()?, template })
    }

    /// What keeps the pods of a revision from running, or from being created.
    pub fn trouble(&self, revision: u64) -> Option<&Trouble> {
        let of_pod = self.pods.iter().filter(|pod| pod.revision == Some(revision)).find_map(|pod| pod.trouble.as_ref());
        let refusal = self.refusal.as_ref().filter(|(refused, _)| *refused == revision);
        of_pod.or(refusal.map(|(_, trouble)| trouble))
    }
}

/// How long a node may be silent before its pods count as lost.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

impl Pod {
    /// Whether the pod counts as lost, because its node has been silent for too long. If the job has checkpoint
    /// storage, replacing such a pod is safe even while it runs, because the next attempt fences it. Without checkpoint
    /// storage it is safe only where the pod [no longer runs](Self::is_node_out).
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.is_node_out
            || !self.is_cut_off && self.node_lost_since.is_some_and(|then| since(then, now) >= NODE_PATIENCE)
    }
}

impl TroubleKind {
    /// Whether the pod will probably not run without help. A pod that waits for a node or a volume may still start.
    pub fn is_hopeless(self) -> bool {
        !matches!(self, Self::Unschedulable | Self::FailedMount | Self::FailedAttachVolume)
    }
}
