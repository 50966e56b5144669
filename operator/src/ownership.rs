//! Who owns an object that has the name of a job's child. An object of another owner is neither changed nor deleted.

use eddyline_crds::StreamJob;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource as _;

use crate::names;

/// The owner of an object, from a job's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The job, or nobody: an earlier job of this name has orphaned it.
    Own,
    /// An earlier job of this name. The object is deleted with that job.
    Predecessor,
    /// Something else.
    Foreign,
}

/// Who owns an object.
pub fn of(metadata: &ObjectMeta, job: &StreamJob) -> Ownership {
    if has_owner(metadata, job) {
        return Ownership::Own;
    }
    let owners = metadata.owner_references.as_deref().unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let label = |key: &str| metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
    let is_of_this_name = |kind: &str, owner: &str| kind == StreamJob::kind(&()) && owner == name;
    if owners.iter().any(|owner| is_of_this_name(&owner.kind, &owner.name)) {
        Ownership::Predecessor
    } else if owners.is_empty()
        && label(names::MANAGED_BY_LABEL) == Some(names::MANAGER)
        && label(names::JOB_LABEL) == Some(name)
    {
        Ownership::Own
    } else {
        Ownership::Foreign
    }
}

/// Whether the job, and no other of its name, is an owner of the object.
pub fn has_owner(metadata: &ObjectMeta, job: &StreamJob) -> bool {
    metadata.owner_references.iter().flatten().any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;
    use crate::desired;
    use crate::testing;

    #[test]
    fn what_does_not_come_from_a_job_of_this_name_is_somebody_elses() {
        let job = testing::job("orders");
        let own = desired::owned(&job, "orders-worker".to_owned());
        assert_eq!(of(&own, &job), Ownership::Own);
        let left = ObjectMeta { owner_references: None, ..own.clone() };
        assert_eq!(of(&left, &job), Ownership::Own, "the job was deleted with its children orphaned");
        let before = OwnerReference { uid: "another".to_owned(), ..desired::owner(&job) };
        let predecessor = ObjectMeta { owner_references: Some(vec![before]), ..own.clone() };
        assert_eq!(of(&predecessor, &job), Ownership::Predecessor);
        assert_eq!(of(&ObjectMeta::default(), &job), Ownership::Foreign);
        let deployment = OwnerReference { kind: "Deployment".to_owned(), ..desired::owner(&job) };
        let deployment = OwnerReference { uid: "another".to_owned(), ..deployment };
        assert_eq!(of(&ObjectMeta { owner_references: Some(vec![deployment]), ..own }, &job), Ownership::Foreign);
    }
}
