//! Batch jobs that delete data which Kubernetes cannot collect: a job's folder, or a savepoint.

use eddyline_api::mounts;
use eddyline_crds::Savepoint;
use eddyline_crds::stream_job::CheckpointStorage;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::{Deserialize, Serialize};

use super::stateful_set::{config_volume, container, data_volume, mount, pod, storage_mounts, storage_volume};
use super::{Inputs, labels};
use crate::names;
use crate::settings::Settings;

/// How a savepoint can be deleted when its job is gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The job's name.
    pub job: String,
    /// The image that can read it.
    pub image: String,
    /// The storage it is in.
    pub storage: CheckpointStorage,
}

/// The batch job that deletes the folder of a job and its savepoints, but those in `keep`.
pub fn of_job(inputs: Inputs<'_>, keep: &[String]) -> Job {
    let config = format!("{}/{}", mounts::CONFIG, mounts::CONFIG_FILE);
    let mut arguments = vec!["cleanup".to_owned(), "--config".to_owned(), config];
    arguments.extend(keep.iter().map(|uri| format!("--keep={uri}")));
    let mut metadata = inputs.metadata(names::cleanup(inputs.name()));
    relabel(&mut metadata, inputs.name());
    let (mut pod, mut container) =
        deleting(&inputs.revision.image, inputs.record.storage.as_ref(), &arguments, inputs.settings);
    container.volume_mounts.get_or_insert_default().push(mount("config", mounts::CONFIG, true));
    pod.volumes.get_or_insert_default().push(config_volume(inputs));
    batch(metadata, PodSpec { containers: vec![container], ..pod })
}

/// The batch job that deletes the data of a savepoint.
pub fn of_savepoint(savepoint: &Savepoint, uri: &str, origin: &Origin, settings: &Settings) -> Job {
    let mut arguments = vec!["cleanup".to_owned(), "--uri".to_owned(), uri.to_owned()];
    if let Some(endpoint) = &origin.storage.endpoint {
        arguments.extend(["--endpoint".to_owned(), endpoint.clone()]);
    }
    let name = savepoint.metadata.name.clone().unwrap_or_default();
    let mut metadata = ObjectMeta {
        name: Some(names::savepoint_cleanup(&name)),
        namespace: savepoint.metadata.namespace.clone(),
        owner_references: Some(vec![OwnerReference {
            api_version: Savepoint::api_version(&()).into_owned(),
            kind: Savepoint::kind(&()).into_owned(),
            name,
            uid: savepoint.metadata.uid.clone().unwrap_or_default(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    };
    relabel(&mut metadata, &origin.job);
    let (pod, container) = deleting(&origin.image, Some(&origin.storage), &arguments, settings);
    batch(metadata, PodSpec { containers: vec![container], ..pod })
}

fn deleting(
    image: &str,
    storage: Option<&CheckpointStorage>,
    arguments: &[String],
    settings: &Settings,
) -> (PodSpec, Container) {
    let mut volumes = vec![data_volume()];
    volumes.extend(storage_volume(storage));
    let container = Container {
        name: "cleanup".to_owned(),
        volume_mounts: Some(storage_mounts(storage)),
        ..container(image, settings, arguments)
    };
    // The ServiceAccount of the workers may be gone by now.
    (PodSpec { volumes: Some(volumes), service_account_name: None, ..pod("") }, container)
}

/// These pods are not workers: nothing that selects workers may select them.
fn relabel(metadata: &mut ObjectMeta, job: &str) {
    let mut labels = labels(job);
    labels.remove(names::JOB_LABEL);
    labels.insert("app.kubernetes.io/name".to_owned(), "eddyline-cleanup".to_owned());
    metadata.labels = Some(labels);
}

fn batch(metadata: ObjectMeta, pod: PodSpec) -> Job {
    let labels = metadata.labels.clone();
    Job {
        metadata,
        spec: Some(JobSpec {
            backoff_limit: Some(3),
            active_deadline_seconds: Some(120),
            ttl_seconds_after_finished: Some(300),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels, ..ObjectMeta::default() }),
                spec: Some(PodSpec {
                    restart_policy: Some("OnFailure".to_owned()),
                    termination_grace_period_seconds: Some(1),
                    ..pod
                }),
            },
            ..JobSpec::default()
        }),
        ..Job::default()
    }
}
