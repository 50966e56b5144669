//! How generic tools interpret the health of an object: kstatus, as Flux, kpt and Helm use it, and Argo CD with the
//! health check of the guide.

use serde_json::Value;

/// The health of an object for a tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// kstatus: Current. Argo CD: Healthy.
    Good,
    /// Argo CD alone.
    Suspended,
    /// InProgress, Progressing.
    InProgress,
    /// Failed, Degraded.
    Bad,
    /// Terminating.
    Going,
}

fn is_observed(object: &Value) -> bool {
    let (generation, observed) = (&object["metadata"]["generation"], &object["status"]["observedGeneration"]);
    observed.is_null() || observed == generation
}

fn conditions(object: &Value) -> impl Iterator<Item = (&str, &str, &str)> {
    let all = object["status"]["conditions"].as_array().into_iter().flatten();
    all.filter_map(|one| Some((one["type"].as_str()?, one["status"].as_str()?, one["reason"].as_str()?)))
}

/// The rules of kstatus: deletion, then the generation, then the first of `Reconciling` and `Stalled` that is true,
/// then `Ready`. An object without these is current.
pub(crate) fn kstatus(object: &Value) -> Health {
    if object["metadata"]["deletionTimestamp"].is_string() {
        return Health::Going;
    }
    if !is_observed(object) {
        return Health::InProgress;
    }
    for (kind, status, _) in conditions(object) {
        match (kind, status) {
            ("Reconciling", "True") => return Health::InProgress,
            ("Stalled", "True") => return Health::Bad,
            _ => {}
        }
    }
    match conditions(object).find(|(kind, ..)| *kind == "Ready") {
        Some((_, "True", _)) | None => Health::Good,
        Some(_) => Health::InProgress,
    }
}

/// The rules of the script in `docs/kubernetes/gitops.md`.
pub(crate) fn argo_cd(object: &Value) -> Health {
    if object["status"]["conditions"].is_null() || !is_observed(object) {
        return Health::InProgress;
    }
    let is = |kind: &str| conditions(object).find(|known| known.0 == kind && known.1 == "True").map(|known| known.2);
    match (is("Stalled"), is("Ready")) {
        (Some(_), _) => Health::Bad,
        (None, Some("Suspended")) => Health::Suspended,
        (None, Some(_)) => Health::Good,
        (None, None) => Health::InProgress,
    }
}
