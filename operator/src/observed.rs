//! What was seen of a job and of what belongs to it, at one moment: values only. `observe` fills them in, decisions read
//! them.

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

/// Everything that was seen.
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
    /// What its worker says, or has said not long ago.
    pub worker: Worker,
    /// Whether the worker was asked and has not answered this time.
    pub has_missed: bool,
    /// Where its worker is.
    pub address: Option<Address>,
    /// The record of the revision in the status, from its ConfigMap.
    pub record: Option<Arc<Record>>,
    /// The record of the revision that the operation in the status replaces.
    pub previous: Option<Arc<Record>>,
    /// Why that revision cannot use the state of the one that replaces it, if it cannot.
    pub objection_to_return: Option<String>,
    /// The identity in its Secret.
    pub identity: Option<Arc<Identity>>,
    /// The Savepoint object that the spec restores from.
    pub restore_from: Option<Savepoint>,
    /// The Savepoint objects that were made by schedule.
    pub scheduled: Vec<Savepoint>,
    /// Where the savepoints are that stay when the state of the job is deleted.
    pub retained: Vec<String>,
    /// The batch job that deletes the job's data.
    pub cleanup: BatchJob,
    /// The batch job that makes the last savepoint where no worker does.
    pub copy: BatchJob,
    /// Batch jobs that still deal with the data of a job that had this name before.
    pub predecessors: Vec<String>,
    /// The children as this process has last applied them.
    pub applied: Option<Applied>,
    /// What the API server had against a child when it was last applied.
    pub objection: Option<String>,
    /// Whether the namespace takes nothing new any more.
    pub is_namespace_going: bool,
}

/// The SQL of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sql {
    /// The text.
    Text(String),
    /// It is not where the spec says.
    Missing(String),
}

/// A StatefulSet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatefulSet {
    /// How many pods it should have.
    pub replicas: i32,
    /// The revision of its pods.
    pub revision: Option<u64>,
    /// Whether it makes claims for volumes, as earlier versions did. That cannot be changed in place.
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
    /// When it is or was to be gone, once its deletion was asked for.
    pub going_since: Option<Timestamp>,
    /// Since when its node does not answer, or is gone.
    pub node_lost_since: Option<Timestamp>,
    /// Whether its node is known to run nothing any more: its Node object is gone, or somebody has marked it as out of
    /// service.
    pub is_node_out: bool,
    /// Whether so many nodes do not answer that the trouble is more likely between them and the API server.
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
    /// By name.
    pub kind: TroubleKind,
    /// The whole story.
    pub message: String,
}

named! {
    /// What keeps a pod from running, by name.
    TroubleKind {
        /// The process ends again and again.
        CrashLoopBackOff = "CrashLoopBackOff",
        /// The process needed more memory than its limit.
        OutOfMemory = "OutOfMemory",
        /// The image is not to be had.
        ImagePullFailed = "ImagePullFailed",
        /// The container cannot be made, for example because a Secret is missing.
        ContainerConfigInvalid = "ContainerConfigInvalid",
        /// The pod was evicted.
        Evicted = "Evicted",
        /// No node takes the pod.
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
    /// When.
    pub at: Timestamp,
    /// Kubernetes' word for it, such as OOMKilled or Error.
    pub reason: String,
    /// The exit code.
    pub code: i32,
    /// The last thing it said.
    pub last_words: Option<String>,
}

/// What a worker says.
#[derive(Clone, Debug)]
pub enum Worker {
    /// There is none to ask.
    Absent,
    /// It does not answer.
    Silent(String),
    /// Its job's status.
    Says(Box<JobStatus>),
}

/// A batch job that deletes data, or makes a savepoint of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BatchJob {
    /// There is none.
    #[default]
    Absent,
    /// It runs.
    Running,
    /// All is done. A copy reports the number of the checkpoint that it has copied.
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
    /// When.
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

    /// What reaches the data of the job when it is gone, if it has storage.
    pub fn origin(&self) -> Option<Origin> {
        let record = self.record.as_ref()?;
        let revision = self.job.status.as_ref()?.revision.as_ref()?;
        let template = record.spec.workers.template.clone();
        Some(Origin { image: revision.image.clone(), storage: record.storage.clone()?, template })
    }

    /// The worst that keeps a pod of a revision from running.
    pub fn trouble(&self, revision: u64) -> Option<&Trouble> {
        let of_pod = self.pods.iter().filter(|pod| pod.revision == Some(revision)).find_map(|pod| pod.trouble.as_ref());
        let refusal = self.refusal.as_ref().filter(|(refused, _)| *refused == revision);
        of_pod.or(refusal.map(|(_, trouble)| trouble))
    }
}

/// How long a node may not answer until its pods are taken for lost.
const NODE_PATIENCE: Duration = Duration::from_secs(30);

impl Pod {
    /// Whether the pod is bound to a node that has not answered for so long that nothing is to be expected of it.
    /// Replacing it is safe even if it runs on, if the job has checkpoint storage: the next attempt fences it. Without,
    /// it is safe only where the pod [cannot run any more](Self::is_node_out).
    pub fn is_lost(&self, now: Timestamp) -> bool {
        self.is_node_out
            || !self.is_cut_off && self.node_lost_since.is_some_and(|then| since(then, now) >= NODE_PATIENCE)
    }
}

impl TroubleKind {
    /// Whether nothing is to be expected of the pod, as far as can be seen. A node that takes it, or its volume, may still
    /// come.
    pub fn is_hopeless(self) -> bool {
        !matches!(self, Self::Unschedulable | Self::FailedMount | Self::FailedAttachVolume)
    }
}
