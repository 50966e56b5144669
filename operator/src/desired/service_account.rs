//! The ServiceAccount of workers. They send no requests to Kubernetes, so no token is mounted.

use k8s_openapi::api::core::v1::ServiceAccount;

use super::Inputs;
use crate::names;

pub(super) fn service_account(inputs: Inputs<'_>) -> ServiceAccount {
    ServiceAccount {
        metadata: inputs.metadata(names::worker(inputs.name())),
        automount_service_account_token: Some(false),
        ..ServiceAccount::default()
    }
}
