//! The NetworkPolicy of workers: the API is for the controller, health and metrics are for everybody.
//!
//! Egress is not restricted here: that is up to those who run the brokers and the storage.

use std::collections::BTreeMap;

use eddyline_api::mounts;
use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Inputs, pod_selector};
use crate::names;

pub(super) fn network_policy(inputs: Inputs<'_>) -> NetworkPolicy {
    let selects =
        |labels: BTreeMap<String, String>| LabelSelector { match_labels: Some(labels), ..LabelSelector::default() };
    let ports = |number: u16| {
        Some(vec![NetworkPolicyPort {
            port: Some(IntOrString::Int(i32::from(number))),
            protocol: Some("TCP".to_owned()),
            ..NetworkPolicyPort::default()
        }])
    };
    let controller = NetworkPolicyPeer {
        namespace_selector: Some(selects(BTreeMap::from([(
            "kubernetes.io/metadata.name".to_owned(),
            inputs.settings.namespace.clone(),
        )]))),
        pod_selector: Some(selects(BTreeMap::from([(
            "app.kubernetes.io/name".to_owned(),
            names::CONTROLLER_NAME.to_owned(),
        )]))),
        ..NetworkPolicyPeer::default()
    };
    NetworkPolicy {
        metadata: inputs.metadata(names::worker(inputs.name())),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selects(pod_selector(inputs.name()))),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule { from: Some(vec![controller]), ports: ports(mounts::API_PORT) },
                NetworkPolicyIngressRule { from: None, ports: ports(mounts::HEALTH_PORT) },
            ]),
            ..NetworkPolicySpec::default()
        }),
    }
}
