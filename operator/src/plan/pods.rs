//! The pods that a job must not have: those of another revision, on a lost node, or fenced by another process.

use std::collections::BTreeSet;

use eddyline_api::Phase as WorkerPhase;

use super::Step;
use super::pass::{Pass, SOON};
use crate::events::Reason;
use crate::observed::Pod;

/// Deletes pods that a job must not have. This comes after the children are applied, so that new pods are right.
pub(super) fn keep(pass: &mut Pass<'_>) {
    let Some(revision) = pass.status.revision.as_ref().map(|revision| revision.number) else { return };
    let is_fenced = pass.worker().is_some_and(|worker| worker.phase == WorkerPhase::Fenced);
    let has_fence = pass.record.as_ref().is_some_and(|record| record.storage.is_some());
    let mut deleted = BTreeSet::new();
    for pod in &pass.seen.pods {
        if pod.is_lost(pass.now) && (has_fence || pod.is_node_out) {
            // Nobody on that node can report that the pod has ended. With storage that does not matter: the pod is
            // fenced. Without storage two pods would both publish.
            let node = pod.node.as_deref().unwrap_or_default();
            pass.emit(Reason::WorkerFailed, format!("{} is replaced: its node {node} does not answer", pod.name));
            pass.step(delete(pod, Some(0)));
            deleted.insert(&pod.name);
        } else if pod.going_since.is_none() && (pod.revision != Some(revision) || is_fenced) {
            pass.step(delete(pod, None));
            deleted.insert(&pod.name);
        }
    }
    if !deleted.is_empty() {
        pass.look_again(SOON);
    }
}

/// Replaces the pods of the revision.
pub(super) fn replace_workers(pass: &mut Pass<'_>, why: &str) {
    let revision = pass.status.revision.as_ref().map(|revision| revision.number);
    let pods: Vec<&Pod> =
        pass.seen.pods.iter().filter(|pod| pod.going_since.is_none() && pod.revision == revision).collect();
    for pod in pods {
        pass.emit(Reason::Restarting, format!("{} is replaced: {why}", pod.name));
        pass.step(delete(pod, None));
    }
    pass.look_again(SOON);
}

/// Deletes a pod.
pub(super) fn delete(pod: &Pod, grace: Option<u32>) -> Step {
    Step::DeletePod { name: pod.name.clone(), uid: pod.uid.clone(), grace }
}
