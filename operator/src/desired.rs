//! What a running job consists of in the cluster. Pure: the same job gives the same objects.
//!
//! The Secret with the identity is not among the [`Children`], because making it needs randomness: see [`identity`].

use std::collections::BTreeMap;

use eddyline_crds::StreamJob;
use eddyline_crds::status::Revision;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde_json::json;

use crate::names;
use crate::revision::{Record, fingerprint};
use crate::settings::Settings;

pub mod cleanup;
pub mod config_map;
mod disruption_budget;
pub mod identity;
mod network_policy;
mod service;
mod service_account;
mod stateful_set;

/// What the children of a job are made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The job.
    pub job: &'a StreamJob,
    /// The accepted spec of the revision.
    pub record: &'a Record,
    /// The revision.
    pub revision: &'a Revision,
    /// The number of slots that a worker starts with.
    pub parallelism: u16,
    /// The number of pods that there should be.
    pub replicas: u16,
    /// The controller's settings.
    pub settings: &'a Settings,
}

/// The children of a job, in the order in which they are applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Children {
    /// The service account of the workers. It has no permissions.
    pub service_account: ServiceAccount,
    /// Gives each worker a name.
    pub service: Service,
    /// The revision.
    pub config_map: ConfigMap,
    /// Who may talk to the workers.
    pub network_policy: NetworkPolicy,
    /// The number of workers that may be evicted at a time.
    pub disruption_budget: PodDisruptionBudget,
    /// The workers.
    pub stateful_set: StatefulSet,
}

impl Children {
    /// The children of a job.
    pub fn of(inputs: Inputs<'_>) -> Self {
        Self {
            service_account: service_account::service_account(inputs),
            service: service::service(inputs),
            config_map: config_map::config_map(inputs),
            network_policy: network_policy::network_policy(inputs),
            disruption_budget: disruption_budget::disruption_budget(inputs),
            stateful_set: stateful_set::stateful_set(inputs),
        }
    }

    /// A fingerprint: different children have different ones.
    pub fn fingerprint(&self) -> String {
        let Self { service_account, service, config_map, network_policy, disruption_budget, stateful_set } = self;
        fingerprint(&json!([service_account, service, config_map, network_policy, disruption_budget, stateful_set]))
    }
}

impl<'a> Inputs<'a> {
    fn name(self) -> &'a str {
        self.job.metadata.name.as_deref().unwrap_or_default()
    }

    fn uid(self) -> &'a str {
        self.job.metadata.uid.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.job.metadata.namespace.as_deref().unwrap_or_default()
    }

    fn metadata(&self, name: String) -> ObjectMeta {
        owned(self.job, name)
    }
}

/// The metadata of an object that belongs to a job.
pub fn owned(job: &StreamJob, name: String) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: job.metadata.namespace.clone(),
        labels: Some(labels(job.metadata.name.as_deref().unwrap_or_default())),
        owner_references: Some(vec![owner(job)]),
        ..ObjectMeta::default()
    }
}

/// An owner reference to a job, as the controller of the object.
pub fn owner(job: &StreamJob) -> OwnerReference {
    OwnerReference {
        api_version: StreamJob::api_version(&()).into_owned(),
        kind: StreamJob::kind(&()).into_owned(),
        name: job.metadata.name.clone().unwrap_or_default(),
        uid: job.metadata.uid.clone().unwrap_or_default(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The labels of everything that belongs to a job.
pub fn labels(job: &str) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "eddyline-worker"),
        ("app.kubernetes.io/instance", job),
        (names::MANAGED_BY_LABEL, names::MANAGER),
        (names::JOB_LABEL, job),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// The labels that select the pods of a job.
fn pod_selector(job: &str) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "eddyline-worker".to_owned()),
        (names::JOB_LABEL.to_owned(), job.to_owned()),
    ])
}

#[cfg(test)]
mod tests;
