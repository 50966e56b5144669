//! The names of the objects that the controller creates, and the labels by which it finds them.

use eddyline_crds::stream_job::NAME_LENGTH_MAX;

/// The field manager and the event reporter.
pub const MANAGER: &str = "eddyline-operator";
/// Names the job of an object.
pub const JOB_LABEL: &str = "eddyline.io/job";
/// Kubernetes' own label for who manages an object.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// The label of a scheduled savepoint: the name of its job.
pub const SCHEDULED_FOR_LABEL: &str = "eddyline.io/scheduled-for";
/// The revision that a pod runs.
pub const REVISION_ANNOTATION: &str = "eddyline.io/revision";
/// When the certificates of an identity are renewed.
pub const RENEW_AFTER_ANNOTATION: &str = "eddyline.io/renew-after";
/// The annotation with the settings of a worker, for a pod that works on its data after the ConfigMap is gone.
pub const CONFIG_ANNOTATION: &str = "eddyline.io/worker-config";
/// The finalizer: it keeps an object until the controller has handled what Kubernetes cannot collect.
pub const FINALIZER: &str = "eddyline.io/cleanup";
/// The name label of batch jobs that work on stored data, and of their pods.
pub const CLEANUP_NAME: &str = "eddyline-cleanup";
/// The name label of the controller's own pods.
pub const CONTROLLER_NAME: &str = "eddyline-operator";
/// The Lease that the leading controller holds, unless its release has another name.
pub const LEASE: &str = "eddyline-operator";
/// On a Lease: the namespaces that its holder serves, separated by commas; all if empty.
pub const NAMESPACES_ANNOTATION: &str = "eddyline.io/namespaces";

/// The name of the StatefulSet, the Service, the ServiceAccount and of other single objects for the workers of a job.
pub fn worker(job: &str) -> String {
    format!("{job}-worker")
}

/// The Secret with a job's identity.
pub fn identity(job: &str) -> String {
    format!("{job}-identity")
}

/// The ConfigMap of a revision.
pub fn revision(job: &str, number: u64) -> String {
    format!("{job}-rev-{number}")
}

/// The batch job that deletes a job's data. It may still run when a new job has that name.
pub fn cleanup(job: &str, uid: &str) -> String {
    format!("{job}-cleanup-{}", short(uid))
}

/// The batch job that deletes the data of a savepoint.
pub fn savepoint_cleanup(savepoint: &str, uid: &str) -> String {
    of_savepoint("svp", savepoint, uid)
}

/// The batch job that checks whether a savepoint is in storage.
pub fn savepoint_check(savepoint: &str, uid: &str) -> String {
    of_savepoint("svp-check", savepoint, uid)
}

fn of_savepoint(kind: &str, savepoint: &str, uid: &str) -> String {
    let end = format!("-{}", short(uid));
    let mut name = format!("{kind}-{savepoint}");
    // A batch job's name becomes a label of its pods.
    name.truncate(63 - end.len());
    format!("{}{end}", name.trim_end_matches(['-', '.']))
}

/// The name of the Savepoint object that outlives a job, of the batch job that copies it, and of its folder.
pub fn last_savepoint(job: &str, uid: &str) -> String {
    format!("{job}-final-{}", short(uid))
}

fn short(uid: &str) -> &str {
    uid.get(..8).unwrap_or(uid)
}

/// The token of a revision's start.
pub fn start_token(uid: &str, revision: u64) -> String {
    format!("{uid}/{revision}")
}

/// Selects the objects of a job.
pub fn selector(job: &str) -> String {
    format!("{JOB_LABEL}={job}")
}

/// Why a name cannot be the name of a job: Services and labels contain it.
pub fn objection_to_job_name(name: &str) -> Option<String> {
    let is_label = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !is_label {
        return Some(format!(
            "the name '{name}' must consist of lower-case letters, digits and '-', and start with a letter"
        ));
    }
    (name.len() > NAME_LENGTH_MAX)
        .then(|| format!("the name '{name}' has {} characters; at most {NAME_LENGTH_MAX} fit", name.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_no_service_are_refused() {
        for name in ["orders", "a", "orders-2"] {
            assert_eq!(objection_to_job_name(name), None, "{name}");
        }
        for name in ["2orders", "orders.eu", "orders-", &"o".repeat(46)] {
            assert!(objection_to_job_name(name).is_some(), "{name}");
        }
    }

    #[test]
    fn the_name_of_a_cleanup_fits_a_label() {
        let uid = "11111111-2222-3333-4444-555555555555";
        for name in [savepoint_cleanup(&"long-".repeat(40), uid), cleanup(&"o".repeat(45), uid)] {
            assert!(name.len() <= 63 && name.ends_with("-11111111"), "{name}");
        }
    }
}
