//! The StatefulSet of a job's workers, and its pods.
//!
//! A pod is replaced when the controller deletes it (`OnDelete`): when to do so depends on the job's state.

use std::collections::BTreeMap;

use eddyline_api::mounts;
use eddyline_crds::stream_job::{CheckpointStorage, LocalStorage};
use k8s_openapi::DeepMerge as _;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapVolumeSource, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EphemeralVolumeSource,
    HTTPGetAction, KeyToPath, PersistentVolumeClaimSpec, PersistentVolumeClaimTemplate, PodSecurityContext, PodSpec,
    PodTemplateSpec, Probe, ResourceRequirements, SeccompProfile, SecretVolumeSource, SecurityContext, Toleration,
    Volume, VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Inputs, labels};
use crate::identity::MOUNTED;
use crate::names;
use crate::settings::Settings;
use crate::validate;

/// The user that workers run as.
const USER: i64 = 65532;
/// The container of a pod that runs the worker.
pub(super) const WORKER: &str = "worker";
/// The termination grace period of a pod, unless the job's template has another one. It is Kubernetes' default.
const GRACE_PERIOD_SECONDS: i64 = 30;
/// The name of the volume that a worker writes to.
pub(super) const DATA_VOLUME: &str = "data";

pub(super) fn stateful_set(inputs: Inputs<'_>) -> StatefulSet {
    StatefulSet {
        metadata: inputs.metadata(names::worker(inputs.name())),
        spec: StatefulSetSpec {
            replicas: Some(i32::from(inputs.replicas)),
            service_name: Some(names::worker(inputs.name())),
            pod_management_policy: Some("Parallel".to_owned()),
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            // The controller itself keeps the revisions of the job.
            revision_history_limit: Some(1),
            selector: LabelSelector {
                match_labels: Some(BTreeMap::from([(names::JOB_LABEL.to_owned(), inputs.name().to_owned())])),
                ..LabelSelector::default()
            },
            template: template(inputs),
            ..StatefulSetSpec::default()
        },
        ..StatefulSet::default()
    }
}

/// A volume that is created and deleted with the pod, so a new pod on another node does not wait for it.
fn ephemeral_volume(storage: &LocalStorage) -> Volume {
    Volume {
        name: DATA_VOLUME.to_owned(),
        ephemeral: Some(EphemeralVolumeSource {
            volume_claim_template: Some(PersistentVolumeClaimTemplate {
                metadata: None,
                spec: PersistentVolumeClaimSpec {
                    access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                    resources: Some(VolumeResourceRequirements {
                        requests: Some(BTreeMap::from([("storage".to_owned(), Quantity(storage.size.clone()))])),
                        ..VolumeResourceRequirements::default()
                    }),
                    storage_class_name: storage.storage_class_name.clone(),
                    ..PersistentVolumeClaimSpec::default()
                },
            }),
        }),
        ..Volume::default()
    }
}

fn template(inputs: Inputs<'_>) -> PodTemplateSpec {
    let mut template = PodTemplateSpec {
        metadata: None,
        spec: Some(PodSpec {
            containers: vec![worker(inputs)],
            volumes: Some(volumes(inputs)),
            tolerations: Some(tolerations()),
            ..pod(inputs.name())
        }),
    };
    if let Some(own) = &inputs.record.spec.workers.template
        && let Ok(own) = validate::pod_template(own)
    {
        template.merge_from(own);
    }
    pass_grace_period(&mut template);
    // The template must not change the labels by which the controller finds pods.
    let metadata = template.metadata.get_or_insert_default();
    metadata.labels.get_or_insert_default().extend(labels(inputs.name()));
    let revision = (names::REVISION_ANNOTATION.to_owned(), inputs.revision.number.to_string());
    metadata.annotations.get_or_insert_default().extend([revision]);
    template
}

/// Passes the termination grace period of the job's template to the worker, if the template has one.
fn pass_grace_period(template: &mut PodTemplateSpec) {
    let Some(pod) = &mut template.spec else { return };
    let Some(seconds) = pod.termination_grace_period_seconds.filter(|seconds| *seconds != GRACE_PERIOD_SECONDS) else {
        return;
    };
    let variable =
        EnvVar { name: mounts::GRACE_PERIOD.to_owned(), value: Some(seconds.to_string()), ..EnvVar::default() };
    for container in pod.containers.iter_mut().filter(|container| container.name == WORKER) {
        container.env.get_or_insert_default().push(variable.clone());
    }
}

/// What all pods of the project have in common: an unprivileged user, and no token for the API server.
pub(super) fn pod(job: &str) -> PodSpec {
    PodSpec {
        service_account_name: Some(names::worker(job)),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_PERIOD_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None }),
            ..PodSecurityContext::default()
        }),
        ..PodSpec::default()
    }
}

/// What all containers of the project have in common.
pub(super) fn container(image: &str, settings: &Settings, arguments: &[String]) -> Container {
    let variable =
        |name: &str, value: &str| EnvVar { name: name.to_owned(), value: Some(value.to_owned()), ..EnvVar::default() };
    Container {
        image: Some(image.to_owned()),
        image_pull_policy: settings.image_pull_policy.clone(),
        args: Some(arguments.to_vec()),
        env: Some(vec![
            // Free memory is returned to the kernel at once, so a worker with little to do stays small.
            variable("MIMALLOC_PURGE_DELAY", "0"),
            variable("RUST_LOG", "info"),
        ]),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        ..Container::default()
    }
}

fn worker(inputs: Inputs<'_>) -> Container {
    let port = |name: &str, number: u16| ContainerPort {
        name: Some(name.to_owned()),
        container_port: i32::from(number),
        ..ContainerPort::default()
    };
    let probe = |path: &str, period: i32, failures: i32| Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("health".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        failure_threshold: Some(failures),
        timeout_seconds: Some(2),
        ..Probe::default()
    };
    Container {
        name: WORKER.to_owned(),
        ports: Some(vec![port("api", mounts::API_PORT), port("health", mounts::HEALTH_PORT)]),
        resources: Some(inputs.record.spec.workers.resources.clone().unwrap_or_else(default_resources)),
        liveness_probe: Some(probe("/healthz", 5, 6)),
        readiness_probe: Some(probe("/readyz", 1, 3)),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(mounts_of(inputs)),
        ..container(&inputs.revision.image, inputs.settings, &["worker".to_owned()])
    }
}

fn default_resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned()))).collect())
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "100m"), ("memory", "64Mi")]),
        limits: quantities(&[("memory", "512Mi")]),
        ..ResourceRequirements::default()
    }
}

/// A worker whose node is unreachable or not ready for half a minute is replaced.
fn tolerations() -> Vec<Toleration> {
    ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"]
        .into_iter()
        .map(|key| Toleration {
            key: Some(key.to_owned()),
            operator: Some("Exists".to_owned()),
            effect: Some("NoExecute".to_owned()),
            toleration_seconds: Some(30),
            ..Toleration::default()
        })
        .collect()
}

pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

/// The mounts of a container that reads or writes the checkpoint storage of a job: credentials, and room for local
/// files.
pub(super) fn storage_mounts(storage: Option<&CheckpointStorage>) -> Vec<VolumeMount> {
    let mut mounts = vec![mount(DATA_VOLUME, mounts::DATA, false)];
    if storage.is_some_and(|storage| storage.secret_ref.is_some()) {
        mounts.push(mount("storage", mounts::STORAGE, true));
    }
    mounts
}

fn mounts_of(inputs: Inputs<'_>) -> Vec<VolumeMount> {
    let mut mounts = vec![mount("config", mounts::CONFIG, true), mount("identity", mounts::IDENTITY, true)];
    mounts.extend(storage_mounts(inputs.record.storage.as_ref()));
    for (index, secret) in validate::secrets(inputs.record.sql()).iter().enumerate() {
        mounts.push(mount(&format!("secret-{index}"), &format!("{}/{secret}", mounts::SECRETS), true));
    }
    mounts
}

fn volumes(inputs: Inputs<'_>) -> Vec<Volume> {
    let items = MOUNTED.iter().map(|file| KeyToPath {
        key: (*file).to_owned(),
        path: (*file).to_owned(),
        ..KeyToPath::default()
    });
    let mut volumes =
        vec![config_volume(inputs), secret_volume("identity", names::identity(inputs.name()), Some(items.collect()))];
    let storage = inputs.record.spec.workers.storage.as_ref();
    volumes.push(storage.map_or_else(data_volume, ephemeral_volume));
    for (index, secret) in validate::secrets(inputs.record.sql()).into_iter().enumerate() {
        volumes.push(secret_volume(&format!("secret-{index}"), secret, None));
    }
    volumes.extend(storage_volume(inputs.record.storage.as_ref()));
    volumes
}

fn config_volume(inputs: Inputs<'_>) -> Volume {
    Volume {
        name: "config".to_owned(),
        config_map: Some(ConfigMapVolumeSource {
            name: names::revision(inputs.name(), inputs.revision.number),
            ..ConfigMapVolumeSource::default()
        }),
        ..Volume::default()
    }
}

pub(super) fn data_volume() -> Volume {
    Volume { name: DATA_VOLUME.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

pub(super) fn storage_volume(storage: Option<&CheckpointStorage>) -> Option<Volume> {
    Some(secret_volume("storage", storage?.secret_ref.as_ref()?.name.clone(), None))
}

fn secret_volume(name: &str, secret: String, items: Option<Vec<KeyToPath>>) -> Volume {
    Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            default_mode: Some(0o440),
            items,
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    }
}
