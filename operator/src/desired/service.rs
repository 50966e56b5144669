//! The headless Service of workers. It also publishes workers that are not ready, because workers find each other
//! first.

use eddyline_api::mounts;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Inputs, pod_selector};
use crate::names;

pub(super) fn service(inputs: Inputs<'_>) -> Service {
    let port = |name: &str, number: u16| ServicePort {
        name: Some(name.to_owned()),
        port: i32::from(number),
        target_port: Some(IntOrString::String(name.to_owned())),
        ..ServicePort::default()
    };
    Service {
        metadata: inputs.metadata(names::worker(inputs.name())),
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(pod_selector(inputs.name())),
            ports: Some(vec![port("api", mounts::API_PORT), port("health", mounts::HEALTH_PORT)]),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}
