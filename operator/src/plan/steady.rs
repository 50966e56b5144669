//! A job without an operation: it is kept running, at the right parallelism.

use eddyline_api::Phase as WorkerPhase;
use eddyline_crds::status::{OperationKind, Phase};

use super::pass::{AT_ONCE, Pass, SOON, UNREADY};
use super::{Step, change, pods, suspension};
use crate::events::Reason;

pub(super) fn decide(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return suspension::begin(pass);
    }
    if pass.wanted_change().is_some() {
        return change::begin(pass);
    }
    note_ready(pass);
    let unready = pass.patience(UNREADY, pass.waited());
    if pass.seen.has_missed {
        pass.look_again(UNREADY);
    }
    let Some(worker) = pass.worker() else {
        pass.wait(unready);
        return;
    };
    match worker.phase {
        WorkerPhase::Finished => finish(pass),
        // Somebody else stopped the job or runs it. A new process finds out what to do.
        WorkerPhase::Stopped | WorkerPhase::Canceled | WorkerPhase::Fenced => {
            pods::replace_workers(pass, &format!("its job is {}", worker.phase));
        }
        WorkerPhase::Running if worker.parallelism != pass.parallelism() => {
            let (from, to) = (worker.parallelism, pass.parallelism());
            pass.begin(OperationKind::Rescale, None, None);
            pass.emit(Reason::RescaleStarted, format!("from {from} to {to} slots"));
            rescale(pass);
        }
        // Only a new process or a new revision helps, and the controller notices both.
        WorkerPhase::Failed => {}
        _ if !pass.is_ready() => pass.wait(unready),
        _ => {}
    }
}

/// A change of parallelism in progress. The request is repeated until the change is done: a worker that was replaced
/// meanwhile starts with the parallelism of its ConfigMap, or does not know of the request.
pub(super) fn rescale(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return suspension::begin(pass);
    }
    if pass.wanted_change().is_some() {
        return change::begin(pass);
    }
    pass.look_again(pass.patience(SOON, pass.elapsed()));
    let Some(worker) = pass.worker() else { return };
    let wanted = pass.parallelism();
    match worker.phase {
        WorkerPhase::Running if worker.parallelism == wanted => {
            pass.status.operation = None;
            let message = match &worker.last_rescale {
                Some(last) if last.to == wanted => format!(
                    "from {} to {} slots in {} ms, of which {} ms without a running task; {} key groups moved",
                    last.from, last.to, last.duration_ms, last.pause_ms, last.moved_key_groups
                ),
                _ => format!("to {wanted} slots, with the start of a worker"),
            };
            pass.emit(Reason::RescaleCompleted, message);
        }
        WorkerPhase::Running => pass.step(Step::Rescale { parallelism: wanted }),
        WorkerPhase::Finished
        | WorkerPhase::Failed
        | WorkerPhase::Fenced
        | WorkerPhase::Stopped
        | WorkerPhase::Canceled => {
            pass.status.operation = None;
            pass.look_again(AT_ONCE);
        }
        WorkerPhase::Starting | WorkerPhase::Restarting | WorkerPhase::Rescaling | WorkerPhase::Stopping => {}
    }
}

/// Records that the revision has become Ready.
pub(super) fn note_ready(pass: &mut Pass<'_>) -> bool {
    let is_ready = pass.is_ready();
    if is_ready && let Some(revision) = &mut pass.status.revision {
        revision.was_ready = true;
    }
    if is_ready && let Some(back) = &mut pass.status.rolled_back {
        back.failure = None;
    }
    is_ready
}

/// Records that all input has been read.
pub(super) fn finish(pass: &mut Pass<'_>) {
    if let Some(revision) = &mut pass.status.revision {
        revision.was_ready = true;
    }
    pass.status.operation = None;
    pass.status.phase = Phase::Finished;
    pass.emit(Reason::Finished, "all input has been read and its output is visible");
}

pub(super) fn stay_finished(pass: &mut Pass<'_>) {
    if pass.wanted_change().is_some() && !pass.seen.wants_suspension() {
        pass.status.phase = Phase::Starting;
        change::begin(pass);
    }
}
