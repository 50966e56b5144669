//! Events: each is emitted once, when something happens to a job.
//!
//! The API `events.k8s.io/v1` refuses new events with `deprecatedLastTimestamp`, `deprecatedFirstTimestamp` or
//! `deprecatedCount`, so those are unset.

use eddyline_api::message;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tracing::warn;

use crate::clock::Timestamp;
use crate::vocabulary::named;
use crate::{names, validate};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub reason: Reason,
    /// The details.
    pub message: String,
}

named! {
    /// The reasons of events.
    Reason {
        /// The job runs for the first time.
        Started = "Started",
        /// An attempt resumes from a checkpoint.
        CheckpointRestored = "CheckpointRestored",
        /// A savepoint is in storage.
        SavepointCompleted = "SavepointCompleted",
        /// The number of slots is being changed.
        RescaleStarted = "RescaleStarted",
        /// The number of slots was changed.
        RescaleCompleted = "RescaleCompleted",
        /// A new revision runs.
        Upgraded = "Upgraded",
        /// The job is stopped and has no pods.
        Suspended = "Suspended",
        /// The job runs again.
        Resumed = "Resumed",
        /// All input was read.
        Finished = "Finished",
        /// An old revision runs again.
        RolledBack = "RolledBack",
        /// Neither a new revision nor the previous one runs.
        RollbackFailed = "RollbackFailed",
        /// The SQL was refused.
        SqlInvalid = "SqlInvalid",
        /// The ConfigMap or key of the SQL is missing.
        SqlNotFound = "SqlNotFound",
        /// A field of the spec was refused.
        SpecInvalid = "SpecInvalid",
        /// The spec asks for what this version cannot do.
        NotYetSupported = "NotYetSupported",
        /// The state of the running job belongs to another computation than the new SQL has.
        StateIncompatible = "StateIncompatible",
        /// A worker has failed.
        WorkerFailed = "WorkerFailed",
        /// The job restarts.
        Restarting = "Restarting",
        /// A source cannot be reached.
        SourceUnreachable = "SourceUnreachable",
        /// A sink cannot be reached.
        SinkUnreachable = "SinkUnreachable",
        /// The checkpoint storage cannot be reached.
        StorageUnreachable = "StorageUnreachable",
        /// Checkpoints began to fail.
        CheckpointFailed = "CheckpointFailed",
        /// A Savepoint has failed.
        SavepointFailed = "SavepointFailed",
        /// The next revision starts without the intended savepoint.
        SavepointSkipped = "SavepointSkipped",
        /// The job has failed for good: another attempt would fail in the same way.
        JobFailed = "JobFailed",
        /// The job has failed for good: it has restarted too often.
        RestartLimitReached = "RestartLimitReached",
        /// Two releases serve the namespace of the job.
        ReleasesOverlap = "ReleasesOverlap",
        /// The state of a deleted job stays in storage: it could not be saved or deleted.
        StateLeft = "StateLeft",
    }
}

impl Reason {
    /// Whether the event is a warning.
    pub fn is_warning(self) -> bool {
        !matches!(
            self,
            Self::Started
                | Self::CheckpointRestored
                | Self::SavepointCompleted
                | Self::RescaleStarted
                | Self::RescaleCompleted
                | Self::Upgraded
                | Self::Suspended
                | Self::Resumed
                | Self::Finished
        )
    }

    /// The event of a refused spec.
    pub fn of_refusal(refusal: validate::Reason) -> Self {
        match refusal {
            validate::Reason::SqlInvalid => Self::SqlInvalid,
            validate::Reason::SqlNotFound => Self::SqlNotFound,
            validate::Reason::SpecInvalid => Self::SpecInvalid,
            validate::Reason::NotYetSupported => Self::NotYetSupported,
            validate::Reason::StateIncompatible => Self::StateIncompatible,
        }
    }
}

impl Event {
    /// An event.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// Publishes events.
#[derive(Clone)]
pub struct Recorder {
    client: kube::Client,
    identity: String,
}

impl Recorder {
    /// A recorder for this replica.
    pub fn new(client: kube::Client, identity: &str) -> Self {
        Self { client, identity: identity.to_owned() }
    }

    /// Publishes events about an object. A lost event is not a reason to repeat an action.
    pub async fn publish(&self, about: &ObjectReference, events: &[Event], now: Timestamp) {
        let namespace = about.namespace.as_deref().unwrap_or_default();
        let api: Api<v1::Event> = Api::namespaced(self.client.clone(), namespace);
        for (index, event) in events.iter().enumerate() {
            let published = self.describe(about, event, now, index);
            if let Err(error) = api.create(&PostParams::default(), &published).await {
                warn!(error = message::chain_of(&error), reason = event.reason.as_str(), "event lost");
            }
        }
    }

    fn describe(&self, about: &ObjectReference, event: &Event, now: Timestamp, index: usize) -> v1::Event {
        let number = now.as_nanosecond() + i128::try_from(index).unwrap_or_default();
        v1::Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{number:x}", about.name.as_deref().unwrap_or_default())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            regarding: Some(about.clone()),
            reason: Some(event.reason.as_str().to_owned()),
            note: Some(message::shown(&event.message)),
            type_: Some(if event.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
            action: Some("Reconcile".to_owned()),
            reporting_controller: Some(names::MANAGER.to_owned()),
            reporting_instance: Some(self.identity.clone()),
            ..v1::Event::default()
        }
    }
}
