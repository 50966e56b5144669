//! Suspending a job, and resuming it.

use std::sync::Arc;

use eddyline_api::Phase as WorkerPhase;
use eddyline_crds::status::{OperationKind, Phase};
use eddyline_crds::stream_job::UpgradeMode;

use super::change::{self, Stopping};
use super::pass::{Pass, SOON};
use super::{pods, start, steady};
use crate::events::Reason;
use crate::revision::From;

pub(super) fn begin(pass: &mut Pass<'_>) {
    let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
    let name = format!("suspend-{number}-{}", pass.now.as_second());
    pass.begin(OperationKind::Suspend, Some(name), None);
    suspend(pass);
}

/// A job that is being stopped. It always stops: if no worker can take a savepoint, the job later resumes from its
/// latest checkpoint.
pub(super) fn suspend(pass: &mut Pass<'_>) {
    pass.look_again(SOON);
    if !pass.seen.wants_suspension() && change::cancel_stop(pass) {
        if pass.status.operation.is_none() {
            pass.emit(Reason::Resumed, "keeps running: it had not stopped yet");
        }
        return;
    }
    let name = pass.status.operation.as_ref().and_then(|operation| operation.savepoint.clone());
    match change::stopping(pass, name) {
        Stopping::InProgress => {}
        Stopping::Stopped(uri) => {
            if let Some(uri) = &uri {
                pass.savepoint_taken(uri, "the job was suspended");
            }
            let message = match &uri {
                Some(uri) => format!("resumes from {uri}"),
                None if change::has_storage(pass) => "resumes from its latest checkpoint".to_owned(),
                None => "will start without state: no checkpoint storage".to_owned(),
            };
            suspended(pass, uri, &message);
        }
        Stopping::Ended(WorkerPhase::Finished) => steady::finish(pass),
        Stopping::Ended(phase) => {
            let message =
                format!("without a savepoint, because the job is {phase}; resumes from its latest checkpoint");
            suspended(pass, None, &message);
        }
        Stopping::Hopeless(why) => {
            let message = format!("without a savepoint, because {why}; resumes from its latest checkpoint");
            suspended(pass, None, &message);
        }
    }
}

fn suspended(pass: &mut Pass<'_>, savepoint: Option<String>, message: &str) {
    pass.status.operation = None;
    pass.status.phase = Phase::Suspended;
    pass.status.suspended_with = savepoint;
    pass.emit(Reason::Suspended, message);
}

/// A job that is suspended.
pub(super) fn stay(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return;
    }
    pass.status.phase = Phase::Starting;
    // From now on the job may be ahead of that savepoint.
    let suspended_with = pass.status.suspended_with.take();
    // The process that starts now counts as the first one, not as a restart.
    pass.status.process = None;
    let Some(wanted) = pass.wanted_change() else {
        pass.begin(OperationKind::Resume, None, None);
        return;
    };
    // If this revision does not work, its successor must still start from the savepoint of the suspension.
    let from = match pass.seen.job.spec.upgrade.mode {
        UpgradeMode::Stateless => From::Empty,
        UpgradeMode::Savepoint | UpgradeMode::LastState => {
            suspended_with.map_or_else(|| change::without_savepoint(pass), From::Savepoint)
        }
    };
    let previous = pass.status.revision.clone();
    pass.begin(OperationKind::Upgrade, None, previous);
    pass.begin_revision(Arc::new(wanted.record.clone()), wanted.hash.clone(), pass.seen.generation(), &from);
}

/// A job that resumes.
pub(super) fn resume(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return begin(pass);
    }
    if pass.wanted_change().is_some() {
        return change::begin(pass);
    }
    pass.wait(pass.patience(SOON, pass.elapsed()));
    if steady::note_ready(pass) {
        pass.status.operation = None;
        pass.emit(Reason::Resumed, "runs again");
        return;
    }
    match pass.worker().map(|worker| worker.phase) {
        Some(WorkerPhase::Finished) => steady::finish(pass),
        // The pod of the suspended job still exists.
        Some(phase @ (WorkerPhase::Stopped | WorkerPhase::Canceled)) => {
            pods::replace_workers(pass, &format!("its job is {phase}"));
        }
        _ => {}
    }
}

/// What a job waits for before its first start, if it waits.
pub(crate) fn waits_for(pass: &Pass<'_>) -> Option<String> {
    if pass.status.revision.is_some() || pass.seen.wants_suspension() {
        return None;
    }
    match pass.seen.predecessors.first() {
        Some(job) => Some(format!(
            "waiting for the batch job {job}, which deletes or copies the data of an earlier job of this name"
        )),
        None => start::source(pass).err(),
    }
}
