//! Events: what happened to a job, told once, when it happens.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Api;
use kube::api::PostParams;
use tracing::warn;

use crate::clock::Timestamp;
use crate::{causes, names};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub reason: Reason,
    /// The whole story.
    pub message: String,
}

/// What happens to jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The job runs for the first time.
    Started,
    /// An attempt goes on from a checkpoint.
    CheckpointRestored,
    /// A savepoint is in storage.
    SavepointCompleted,
    /// The number of slots is being changed.
    RescaleStarted,
    /// The number of slots was changed.
    RescaleCompleted,
    /// A new revision runs.
    Upgraded,
    /// An old revision runs again.
    RolledBack,
    /// The job is stopped and has no pods.
    Suspended,
    /// The job runs again.
    Resumed,
    /// All input was read.
    Finished,
    /// The spec was refused.
    SqlInvalid,
    /// A worker has failed.
    WorkerFailed,
    /// The job is started again.
    Restarting,
    /// A checkpoint was given up.
    CheckpointFailed,
    /// The checkpoint storage cannot be reached.
    StorageUnreachable,
    /// The job has failed too often.
    RestartLimitReached,
    /// A source cannot be reached.
    SourceUnreachable,
    /// A sink cannot be reached.
    SinkUnreachable,
}

impl Reason {
    /// Whether somebody should look at it.
    pub fn is_warning(self) -> bool {
        match self {
            Self::Started
            | Self::CheckpointRestored
            | Self::SavepointCompleted
            | Self::RescaleStarted
            | Self::RescaleCompleted
            | Self::Upgraded
            | Self::Suspended
            | Self::Resumed
            | Self::Finished => false,
            Self::RolledBack
            | Self::SqlInvalid
            | Self::WorkerFailed
            | Self::Restarting
            | Self::CheckpointFailed
            | Self::StorageUnreachable
            | Self::RestartLimitReached
            | Self::SourceUnreachable
            | Self::SinkUnreachable => true,
        }
    }
}

impl Event {
    /// An event.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}

/// The longest note that an event takes.
const NOTE_BYTES_MAX: usize = 1000;

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

    /// Publishes events about an object. A lost event is no reason to do anything again.
    pub async fn publish(&self, about: &ObjectReference, events: &[Event], now: Timestamp) {
        let namespace = about.namespace.as_deref().unwrap_or_default();
        let api: Api<v1::Event> = Api::namespaced(self.client.clone(), namespace);
        for (index, event) in events.iter().enumerate() {
            let published = self.describe(about, event, now, index);
            if let Err(error) = api.create(&PostParams::default(), &published).await {
                warn!(error = causes::of(&error), reason = ?event.reason, "event lost");
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
            reason: Some(format!("{:?}", event.reason)),
            note: Some(shortened(&event.message)),
            type_: Some(if event.reason.is_warning() { "Warning" } else { "Normal" }.to_owned()),
            action: Some("Reconcile".to_owned()),
            reporting_controller: Some(names::MANAGER.to_owned()),
            reporting_instance: Some(self.identity.clone()),
            ..v1::Event::default()
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= NOTE_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=NOTE_BYTES_MAX - 3).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = shortened(&"ä".repeat(1000));
        assert!(note.len() <= NOTE_BYTES_MAX && note.ends_with('…'), "{}", note.len());
        assert_eq!(shortened("short"), "short");
    }
}
