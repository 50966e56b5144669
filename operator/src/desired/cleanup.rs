//! Batch jobs that work on stored data. They delete the folder of a job, delete a savepoint, or copy the latest
//! checkpoint of a job without a worker into a savepoint.
//!
//! They have no owner, so they outlive the object whose data they work on. Kubernetes deletes them some time after they
//! have ended.

use eddyline_api::mounts;
use eddyline_crds::Savepoint;
use eddyline_crds::savepoint::Origin;
use eddyline_crds::stream_job::CheckpointStorage;
use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Container, DownwardAPIVolumeFile, DownwardAPIVolumeSource, ObjectFieldSelector, PodSpec, PodTemplateSpec,
    ResourceRequirements, Volume,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::stateful_set::{WORKER, container, data_volume, mount, pod, storage_mounts, storage_volume};
use super::{Inputs, config_map, labels};
use crate::names;
use crate::settings::Settings;
use crate::validate;

/// How long a batch job may take, and how long its object stays after it has ended.
struct Times {
    max: i64,
    kept: i32,
}

const DELETION: Times = Times { max: 120, kept: 300 };
/// A copy reads and writes the whole state, so it may take longer. Its object stays longer, so that people see how it
/// ended.
const COPY: Times = Times { max: 3600, kept: 86_400 };
/// A batch job that could not read the storage is created again once it is gone.
const CHECK: Times = Times { max: 120, kept: 3600 };

/// The file from which Kubernetes reads the termination message of a container.
const TERMINATION_LOG: &str = "/dev/termination-log";

/// The batch job that deletes the folder of a job and its savepoints, except those in `keep`.
pub fn of_job(inputs: Inputs<'_>, keep: &[String]) -> Job {
    let mut arguments = with_config("cleanup");
    arguments.extend(keep.iter().map(|uri| format!("--keep={uri}")));
    let name = names::cleanup(inputs.name(), inputs.uid());
    errand_of(inputs, arguments).batch_job(name, inputs.job.metadata.namespace.clone(), &DELETION)
}

/// The batch job that copies the latest complete checkpoint of a job into a savepoint in the folder `to`.
pub fn copy_of_job(inputs: Inputs<'_>, to: &str) -> Job {
    let mut arguments = vec!["savepoint".to_owned()];
    arguments.extend(with_config("copy"));
    let report = ["--to", to, "--report", TERMINATION_LOG];
    arguments.extend(report.into_iter().map(str::to_owned));
    let name = names::last_savepoint(inputs.name(), inputs.uid());
    errand_of(inputs, arguments).batch_job(name, inputs.job.metadata.namespace.clone(), &COPY)
}

fn with_config(command: &str) -> Vec<String> {
    vec![command.to_owned(), "--config".to_owned(), format!("{}/{}", mounts::CONFIG, mounts::CONFIG_FILE)]
}

fn errand_of(inputs: Inputs<'_>, arguments: Vec<String>) -> Errand<'_> {
    // Only the folders matter here, and not what the job computes.
    let mut config = config_map::worker_config(inputs);
    config.config.clear();
    Errand {
        job: inputs.name(),
        image: &inputs.revision.image,
        storage: inputs.record.storage.as_ref(),
        template: inputs.record.spec.workers.template.as_ref(),
        config: Some(config_map::json(&config)),
        arguments,
        settings: inputs.settings,
    }
}

/// The batch job that deletes the data of a savepoint.
pub fn of_savepoint(savepoint: &Savepoint, uri: &str, origin: &Origin, settings: &Settings) -> Job {
    let arguments = ["cleanup", "--uri", uri];
    about_savepoint(savepoint, origin, &arguments, settings, names::savepoint_cleanup, &DELETION)
}

/// The batch job that checks whether a savepoint is in storage, and reports which checkpoint it holds. It copies the
/// savepoint onto itself: that changes nothing if the savepoint exists, and fails if it does not.
pub fn check_of_savepoint(savepoint: &Savepoint, uri: &str, origin: &Origin, settings: &Settings) -> Job {
    let arguments = ["savepoint", "copy", "--from", uri, "--to", uri, "--report", TERMINATION_LOG];
    about_savepoint(savepoint, origin, &arguments, settings, names::savepoint_check, &CHECK)
}

fn about_savepoint(
    savepoint: &Savepoint,
    origin: &Origin,
    arguments: &[&str],
    settings: &Settings,
    name: fn(&str, &str) -> String,
    times: &Times,
) -> Job {
    let mut arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    if let Some(endpoint) = &origin.storage.endpoint {
        arguments.extend(["--endpoint".to_owned(), endpoint.clone()]);
    }
    let errand = Errand {
        job: &savepoint.spec.job_ref.name,
        image: &origin.image,
        storage: Some(&origin.storage),
        template: origin.template.as_ref(),
        config: None,
        arguments,
        settings,
    };
    let metadata = &savepoint.metadata;
    let (own, uid) = (metadata.name.as_deref().unwrap_or_default(), metadata.uid.as_deref().unwrap_or_default());
    errand.batch_job(name(own, uid), metadata.namespace.clone(), times)
}

/// A command on stored data, and what its pod needs.
struct Errand<'a> {
    job: &'a str,
    image: &'a str,
    storage: Option<&'a CheckpointStorage>,
    template: Option<&'a Value>,
    /// The settings of a worker, as the file that a worker reads. The ConfigMap may be gone by now.
    config: Option<String>,
    arguments: Vec<String>,
    settings: &'a Settings,
}

impl Errand<'_> {
    fn batch_job(self, name: String, namespace: Option<String>, times: &Times) -> Job {
        // These pods are not workers, so no selector of workers may match them.
        let mut own = labels(self.job);
        own.remove(names::JOB_LABEL);
        own.insert("app.kubernetes.io/name".to_owned(), names::CLEANUP_NAME.to_owned());
        let mut template = self.template();
        let metadata = template.metadata.get_or_insert_default();
        let labels = metadata.labels.get_or_insert_default();
        labels.remove(names::JOB_LABEL);
        labels.extend(own.clone());
        if let Some(config) = self.config {
            metadata.annotations.get_or_insert_default().insert(names::CONFIG_ANNOTATION.to_owned(), config);
        }
        Job {
            metadata: ObjectMeta { name: Some(name), namespace, labels: Some(own), ..ObjectMeta::default() },
            spec: Some(JobSpec {
                backoff_limit: Some(3),
                active_deadline_seconds: Some(times.max),
                ttl_seconds_after_finished: Some(times.kept),
                template,
                ..JobSpec::default()
            }),
            ..Job::default()
        }
    }

    /// The pod. From the job's template it takes the service account, the image pull secrets, the nodes, and the access
    /// to storage.
    fn template(&self) -> PodTemplateSpec {
        let mut volumes = vec![data_volume()];
        volumes.extend(storage_volume(self.storage));
        let mut volume_mounts = storage_mounts(self.storage);
        if self.config.is_some() {
            volumes.push(annotation_volume());
            volume_mounts.push(mount("config", mounts::CONFIG, true));
        }
        let container = Container {
            name: WORKER.to_owned(),
            volume_mounts: Some(volume_mounts),
            resources: Some(resources()),
            termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
            ..container(self.image, self.settings, &self.arguments)
        };
        // The ServiceAccount of the workers may be gone by now.
        let spec = PodSpec {
            containers: vec![container],
            volumes: Some(volumes),
            service_account_name: None,
            termination_grace_period_seconds: None,
            ..pod("")
        };
        let mut template = PodTemplateSpec { metadata: None, spec: Some(spec) };
        if let Some(own) = self.template.and_then(|own| validate::pod_template(own).ok()) {
            template.merge_from(without_work(own));
        }
        let spec = template.spec.get_or_insert_default();
        spec.restart_policy = Some("OnFailure".to_owned());
        spec.termination_grace_period_seconds = Some(1);
        for container in &mut spec.containers {
            container.name = "cleanup".to_owned();
        }
        template
    }
}

/// The template of a worker, without the fields that only a worker needs.
fn without_work(mut template: PodTemplateSpec) -> PodTemplateSpec {
    if let Some(spec) = &mut template.spec {
        spec.init_containers = None;
        spec.containers.retain(|container| container.name == WORKER);
        for container in &mut spec.containers {
            *container = Container {
                name: WORKER.to_owned(),
                image: container.image.take(),
                image_pull_policy: container.image_pull_policy.take(),
                env: container.env.take(),
                env_from: container.env_from.take(),
                volume_mounts: container.volume_mounts.take(),
                security_context: container.security_context.take(),
                ..Container::default()
            };
        }
    }
    template
}

/// The resources are small. All are set, because a quota may refuse a pod without limits.
fn resources() -> ResourceRequirements {
    let quantities = |cpu: &str, memory: &str| {
        let pairs = [("cpu", cpu), ("memory", memory)];
        Some(pairs.into_iter().map(|(name, value)| (name.to_owned(), Quantity(value.to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities("50m", "64Mi"),
        limits: quantities("500m", "256Mi"),
        ..ResourceRequirements::default()
    }
}

/// The pod's own annotation, mounted as a file.
fn annotation_volume() -> Volume {
    let file = DownwardAPIVolumeFile {
        path: mounts::CONFIG_FILE.to_owned(),
        field_ref: Some(ObjectFieldSelector {
            field_path: format!("metadata.annotations['{}']", names::CONFIG_ANNOTATION),
            ..ObjectFieldSelector::default()
        }),
        ..DownwardAPIVolumeFile::default()
    };
    Volume {
        name: "config".to_owned(),
        downward_api: Some(DownwardAPIVolumeSource { items: Some(vec![file]), ..DownwardAPIVolumeSource::default() }),
        ..Volume::default()
    }
}
