//! Which module decides about a job that is not being deleted.

use eddyline_crds::status::{OperationKind, Phase};
use eddyline_crds::stream_job::OnDelete;

use super::pass::{Pass, WAITING};
use super::{Step, change, pods, savepoints, start, steady, suspension};
use crate::names;

pub(super) fn decide(pass: &mut Pass<'_>) {
    ensure_finalizer(pass);
    forget_rolled_back_spec(pass);
    if pass.status.revision.is_none() {
        start::decide(pass);
        return;
    }
    if let Some(from) = start::corrected(pass) {
        start::again(pass, &from);
        pass.apply_children();
        pods::keep(pass);
        return;
    }
    match pass.status.operation.as_ref().map(|operation| operation.kind) {
        Some(OperationKind::Stop) => change::stop(pass),
        Some(OperationKind::Upgrade) => change::upgrade(pass),
        Some(OperationKind::Rollback) => change::roll_back(pass),
        Some(OperationKind::Suspend) => suspension::suspend(pass),
        Some(OperationKind::Resume) => suspension::resume(pass),
        Some(OperationKind::Rescale) => steady::rescale(pass),
        // A deletion cannot be undone. So this operation is that of an earlier job, from whose backup this one was
        // restored.
        Some(OperationKind::Finalize) => pass.status.operation = None,
        None if pass.status.phase == Phase::Suspended => suspension::stay(pass),
        None if pass.status.phase == Phase::Finished => steady::stay_finished(pass),
        None => steady::decide(pass),
    }
    pass.apply_children();
    pods::keep(pass);
    savepoints::keep(pass);
    if matches!(pass.status.phase, Phase::Suspended | Phase::Finished) && pass.status.operation.is_none() {
        pass.wait(WAITING);
    }
}

/// The finalizer is only for what Kubernetes cannot collect.
fn ensure_finalizer(pass: &mut Pass<'_>) {
    let is_needed = pass.seen.job.spec.savepoints.on_delete != OnDelete::Retain;
    let finalizers = pass.seen.job.metadata.finalizers.as_deref().unwrap_or_default();
    let is_present = finalizers.iter().any(|finalizer| finalizer == names::FINALIZER);
    if is_needed != is_present {
        pass.step(Step::SetFinalizer(is_needed));
    }
}

/// A spec that differs from the one that was rolled back is tried again.
fn forget_rolled_back_spec(pass: &mut Pass<'_>) {
    if let (Some(back), Some(accepted)) = (&pass.status.rolled_back, pass.verdict.accepted())
        && back.hash != accepted.hash
    {
        pass.status.rolled_back = None;
    }
}
