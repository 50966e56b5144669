//! The Secret with the identity of a job.

use std::collections::BTreeMap;

use eddyline_crds::StreamJob;
use k8s_openapi::api::core::v1::Secret;

use super::owned;
use crate::identity::Identity;
use crate::names;

/// The Secret of an identity.
pub fn secret(job: &StreamJob, identity: &Identity) -> Secret {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let mut metadata = owned(job, names::identity(name));
    metadata.annotations =
        Some(BTreeMap::from([(names::RENEW_AFTER_ANNOTATION.to_owned(), identity.renew_after().to_string())]));
    Secret { metadata, type_: Some("Opaque".to_owned()), data: Some(identity.data()), ..Secret::default() }
}
