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

/// A job that is being stopped. It is stopped whatever happens: where no savepoint can be had, because nothing is there
/// to take one, it resumes from its latest checkpoint.
pub(super) fn suspend(pass: &mut Pass<'_>) {
    pass.look_again(SOON);
    if !pass.seen.wants_suspension() && change::take_back_stop(pass) {
        if pass.status.operation.is_none() {
            pass.tell(Reason::Resumed, "runs on: it had not stopped yet");
        }
        return;
    }
    let name = pass.status.operation.as_ref().and_then(|operation| operation.savepoint.clone());
    match change::stopping(pass, name) {
        Stopping::UnderWay => {}
        Stopping::Stopped(uri) => {
            if let Some(uri) = &uri {
                pass.savepoint_taken(uri, "the job was suspended");
            }
            let story = match &uri {
                Some(uri) => format!("resumes from {uri}"),
                None if change::has_storage(pass) => "resumes from its latest checkpoint".to_owned(),
                None => "will start without state: no checkpoint storage".to_owned(),
            };
            suspended(pass, uri, &story);
        }
        Stopping::Ended(WorkerPhase::Finished) => steady::finish(pass),
        Stopping::Ended(phase) => {
            let story = format!("without a savepoint, because the job is {phase}; resumes from its latest checkpoint");
            suspended(pass, None, &story);
        }
        Stopping::Hopeless(why) => {
            let story = format!("without a savepoint, because {why}; resumes from its latest checkpoint");
            suspended(pass, None, &story);
        }
    }
}

fn suspended(pass: &mut Pass<'_>, savepoint: Option<String>, story: &str) {
    pass.status.operation = None;
    pass.status.phase = Phase::Suspended;
    pass.status.suspended_with = savepoint;
    pass.tell(Reason::Suspended, story);
}

/// A job that is suspended.
pub(super) fn stay(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return;
    }
    pass.status.phase = Phase::Starting;
    // From now on the job may have gone further than that.
    let suspended_with = pass.status.suspended_with.take();
    // The process that starts now is the first of its kind, and no restart.
    pass.status.process = None;
    let Some(wanted) = pass.wanted_change() else {
        pass.begin(OperationKind::Resume, None, None);
        return;
    };
    // A revision that does not work must not become what its successor starts from.
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
        pass.tell(Reason::Resumed, "runs again");
        return;
    }
    match pass.worker().map(|worker| worker.phase) {
        Some(WorkerPhase::Finished) => steady::finish(pass),
        // The pod that was suspended is still there.
        Some(phase @ (WorkerPhase::Stopped | WorkerPhase::Canceled)) => {
            pods::replace_workers(pass, &format!("its job is {phase}"));
        }
        _ => {}
    }
}

/// Why a job that was never started does not start, if it has to wait for something.
pub(crate) fn waits_for(pass: &Pass<'_>) -> Option<String> {
    if pass.status.revision.is_some() || pass.seen.wants_suspension() {
        return None;
    }
    match pass.seen.predecessors.first() {
        Some(job) => {
            Some(format!("waiting for the batch job {job}, which deals with the data of a job of this name before"))
        }
        None => start::source(pass).err(),
    }
}
