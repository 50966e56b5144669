//! The PodDisruptionBudget of workers: one at a time. It never blocks a drain, because a job survives the loss of any
//! worker.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Inputs, pod_selector};
use crate::names;

pub(super) fn disruption_budget(inputs: Inputs<'_>) -> PodDisruptionBudget {
    PodDisruptionBudget {
        metadata: inputs.metadata(names::worker(inputs.name())),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            selector: Some(LabelSelector {
                match_labels: Some(pod_selector(inputs.name())),
                ..LabelSelector::default()
            }),
            // A worker that is not ready may be evicted at any time.
            unhealthy_pod_eviction_policy: Some("AlwaysAllow".to_owned()),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    }
}
