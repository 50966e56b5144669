//! From one revision to the next, and back.
//!
//! A change with a savepoint has two operations: `Stop` while the old revision runs, and `Upgrade` once the new one is
//! recorded. If a revision does not become ready in time, `Rollback` replaces it with a third revision, which has the
//! spec of the first.

use std::sync::Arc;
use std::time::Duration;

use eddyline_api::{Phase as WorkerPhase, SavepointRequest, SavepointState};
use eddyline_crds::status::{OperationKind, Revision, RolledBack};
use eddyline_crds::stream_job::UpgradeMode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::pass::{AT_ONCE, Pass, SOON};
use super::{Step, steady, suspension};
use crate::events::Reason;
use crate::observed::{TroubleKind, Worker};
use crate::revision::From;

/// How long the controller waits for a silent worker before it acts without it.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Begins to replace the revision with the wanted spec.
pub(super) fn begin(pass: &mut Pass<'_>) {
    let next = pass.status.revision.as_ref().map_or(0, |revision| revision.number) + 1;
    let has_storage = pass.record.as_ref().is_some_and(|record| record.storage.is_some());
    match pass.seen.job.spec.upgrade.mode {
        UpgradeMode::LastState => replace(pass, without_savepoint(pass), None),
        UpgradeMode::Savepoint if has_storage => {
            pass.begin(OperationKind::Stop, Some(format!("rev-{next}")), None);
            stop(pass);
        }
        UpgradeMode::Savepoint | UpgradeMode::Stateless => {
            pass.begin(OperationKind::Stop, None, None);
            stop(pass);
        }
    }
}

/// The state of a job that should stop.
pub(super) enum Stopping {
    /// It is being asked, or is stopping.
    InProgress,
    /// It has stopped, with this savepoint if it has storage.
    Stopped(Option<String>),
    /// It has ended in another way before it could stop.
    Ended(WorkerPhase),
    /// It cannot be asked, with the reason.
    Hopeless(String),
}

/// Asks the job to stop, until it has stopped.
pub(super) fn stopping(pass: &mut Pass<'_>, savepoint: Option<String>) -> Stopping {
    if let Some(worker) = pass.worker() {
        if worker.phase == WorkerPhase::Stopped {
            let with = worker.stopped_with.as_ref();
            let uri = with.filter(|with| with.state == SavepointState::Completed).and_then(|with| with.uri.clone());
            return Stopping::Stopped(uri);
        }
        if !pass.can_be_stopped() {
            return Stopping::Ended(worker.phase);
        }
        let deadline = pass.seen.job.spec.upgrade.stop_deadline.get();
        let Some(left) = deadline.checked_sub(pass.elapsed()).filter(|left| !left.is_zero()) else {
            let why = worker.checkpoint_error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            return Stopping::Hopeless(format!("it has not stopped within {} s{why}", deadline.as_secs()));
        };
        // Only a running job can be asked. A job that starts is waited for, up to the deadline.
        match worker.phase {
            // A job whose checkpoints fail could not stop either. Until it is asked, it keeps reading.
            WorkerPhase::Running if worker.checkpoint_failures > 0 && has_storage(pass) => {
                pass.silence(false);
            }
            WorkerPhase::Running => {
                pass.silence(false);
                let savepoint = savepoint.filter(|_| has_storage(pass));
                let name = savepoint.map(|name| attempt_of(pass, &name));
                let savepoint = name.map(|name| SavepointRequest { name, folder: None });
                pass.step(Step::Stop { savepoint, timeout: left.min(attempt_max(pass)) });
            }
            WorkerPhase::Starting | WorkerPhase::Restarting if pass.silence(true) >= SILENCE_MAX => {
                let why = worker.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                return Stopping::Hopeless(format!("the job is {}{why}", worker.phase));
            }
            WorkerPhase::Starting | WorkerPhase::Restarting => {}
            _ => {
                pass.silence(false);
            }
        }
        return Stopping::InProgress;
    }
    let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
    if let Some(trouble) = pass.seen.trouble(number).filter(|trouble| trouble.kind.is_hopeless()) {
        return Stopping::Hopeless(trouble.message.clone());
    }
    if pass.seen.pods.is_empty() && pass.seen.stateful_set.as_ref().is_none_or(|set| set.replicas == 0) {
        return Stopping::Hopeless("there is no worker".to_owned());
    }
    if pass.silence(true) >= SILENCE_MAX {
        return Stopping::Hopeless(match &pass.seen.worker {
            Worker::Silent(why) => why.clone(),
            Worker::Absent | Worker::Says(_) => format!("no worker has answered for {} s", SILENCE_MAX.as_secs()),
        });
    }
    Stopping::InProgress
}

/// Whether the revision has checkpoint storage.
pub(super) fn has_storage(pass: &Pass<'_>) -> bool {
    pass.record.as_ref().is_some_and(|record| record.storage.is_some())
}

/// How long one attempt to stop may take. After that the worker resumes by itself, and is asked again.
fn attempt_max(pass: &Pass<'_>) -> Duration {
    let timeout = pass.record.as_ref().map_or(Duration::ZERO, |record| record.spec.checkpoint.timeout.get());
    timeout + Duration::from_secs(10)
}

/// The name of the savepoint to ask for. The same name asks for the same savepoint, even if that has failed. So the
/// name changes when the time for one attempt is over.
fn attempt_of(pass: &Pass<'_>, name: &str) -> String {
    let attempt = pass.elapsed().as_secs() / attempt_max(pass).as_secs();
    if attempt == 0 { name.to_owned() } else { format!("{name}-{}", attempt + 1) }
}

/// Resumes a job that should no longer stop, if it has not stopped yet. The operation lasts until the worker reads
/// again. While it lasts, a stop is known to be the controller's, and not that of a pod that ends.
pub(super) fn cancel_stop(pass: &mut Pass<'_>) -> bool {
    if !pass.can_be_stopped() {
        return false;
    }
    pass.step(Step::CancelStop);
    if pass.worker().is_some_and(|worker| worker.phase != WorkerPhase::Stopping) {
        pass.status.operation = None;
        pass.look_again(AT_ONCE);
    }
    true
}

/// The old revision is being stopped.
pub(super) fn stop(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return suspension::begin(pass);
    }
    pass.look_again(SOON);
    if pass.wanted_change().is_none() && cancel_stop(pass) {
        return;
    }
    let name = pass.status.operation.as_ref().and_then(|operation| operation.savepoint.clone());
    let is_stateless = pass.seen.job.spec.upgrade.mode == UpgradeMode::Stateless;
    let latest = |pass: &Pass<'_>| if is_stateless { From::Empty } else { without_savepoint(pass) };
    match stopping(pass, name) {
        Stopping::InProgress => {}
        Stopping::Stopped(Some(uri)) => {
            pass.savepoint_taken(&uri, "a new revision takes over");
            let from = if is_stateless { From::Empty } else { From::Savepoint(uri.clone()) };
            replace(pass, from, Some(uri));
        }
        Stopping::Stopped(None) => {
            let from = if has_storage(pass) { latest(pass) } else { From::Empty };
            replace(pass, from, None);
        }
        Stopping::Ended(phase) => {
            let from = latest(pass);
            if !matches!(phase, WorkerPhase::Finished) {
                let message = format!("{}: the job is {phase}", without(pass, &from));
                pass.emit(Reason::SavepointSkipped, message);
            }
            replace(pass, from, None);
        }
        Stopping::Hopeless(why) => {
            let from = latest(pass);
            let message = format!("{}: {why}", without(pass, &from));
            pass.emit(Reason::SavepointSkipped, message);
            replace(pass, from, None);
        }
    }
}

/// The message that the next revision starts without the intended savepoint.
fn without(pass: &Pass<'_>, from: &From) -> String {
    let next = pass.status.revision.as_ref().map_or(0, |revision| revision.number) + 1;
    let from = match from {
        From::Latest => "from the latest checkpoint",
        From::Empty => "without state",
        From::Savepoint(uri) => return format!("starting revision {next} from {uri} instead of from a new savepoint"),
    };
    format!("starting revision {next} {from} instead of from a savepoint")
}

/// What a job resumes from without a new savepoint. A revision that has never completed a checkpoint has left no state,
/// so its successor starts from what it started from.
pub(super) fn without_savepoint(pass: &Pass<'_>) -> From {
    let Some(revision) = &pass.status.revision else { return From::Empty };
    if pass.has_own_checkpoint() { From::Latest } else { From::of(revision) }
}

/// Makes the wanted spec the next revision. If the change was reverted, it is the running spec.
fn replace(pass: &mut Pass<'_>, from: From, savepoint: Option<String>) {
    let Some(previous) = pass.status.revision.clone() else { return };
    let (record, hash, generation) = match pass.wanted() {
        Some(wanted) => (Arc::new(wanted.record.clone()), wanted.hash.clone(), pass.seen.generation()),
        None => match &pass.record {
            Some(record) => (record.clone(), previous.hash.clone(), previous.generation),
            None => return,
        },
    };
    pass.begin(OperationKind::Upgrade, savepoint, Some(previous));
    pass.begin_revision(record, hash, generation, &from);
}

/// The new revision is being started.
pub(super) fn upgrade(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return suspension::begin(pass);
    }
    pass.wait(pass.patience(SOON, pass.elapsed()).min(until_deadline(pass)));
    if let Some(why) = started(pass, |pass, number| {
        let from = pass.status.revision.as_ref().map(|revision| revision.from.clone()).unwrap_or_default();
        (Reason::Upgraded, format!("revision {number} runs, started from {from}"))
    }) {
        begin_rollback(pass, why);
    }
}

/// Follows a starting revision until it runs, which is reported, or until another change replaces it. Returns why it
/// does not run, if it should be abandoned.
fn started(pass: &mut Pass<'_>, report: impl Fn(&Pass<'_>, u64) -> (Reason, String)) -> Option<String> {
    if steady::note_ready(pass) {
        let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
        let (reason, message) = report(pass, number);
        pass.emit(reason, message);
        pass.status.operation = None;
        pass.step(Step::PruneRevisions { keep: number });
        pass.look_again(AT_ONCE);
        return None;
    }
    if pass.worker().is_some_and(|worker| worker.phase == WorkerPhase::Finished) {
        steady::finish(pass);
        return None;
    }
    if change_again(pass) { None } else { failure(pass) }
}

/// The time left until the rollback deadline of a new revision; [`Duration::MAX`] after it.
fn until_deadline(pass: &Pass<'_>) -> Duration {
    let deadline = pass.seen.job.spec.upgrade.rollback.deadline.get();
    deadline.checked_sub(pass.elapsed()).filter(|left| !left.is_zero()).unwrap_or(Duration::MAX)
}

/// Handles a spec that changed again before its revision was ready. A revision that runs gets its time: it may already
/// have given results, and only its own savepoint keeps them.
fn change_again(pass: &mut Pass<'_>) -> bool {
    let is_running = pass.worker().is_some_and(|worker| worker.phase == WorkerPhase::Running);
    if is_running || pass.wanted_change().is_none() {
        return false;
    }
    let (Some(revision), Some(operation)) = (&pass.status.revision, pass.status.operation.clone()) else {
        return false;
    };
    let from = From::of(revision);
    replace(pass, from, operation.savepoint);
    // The revision that is known to work is still the one before the skipped one.
    if let (Some(now), Some(previous)) = (&mut pass.status.operation, operation.previous) {
        now.previous = Some(previous);
    }
    true
}

/// Why the new revision should be abandoned, if it should.
fn failure(pass: &Pass<'_>) -> Option<String> {
    let revision = pass.status.revision.as_ref()?;
    if let Some(worker) = pass.worker().filter(|worker| worker.phase == WorkerPhase::Failed) {
        return Some(worker.message.clone().unwrap_or_else(|| "the job has failed".to_owned()));
    }
    let trouble = pass.seen.trouble(revision.number);
    if let Some(trouble) = trouble.filter(|trouble| trouble.kind == TroubleKind::ImagePullFailed) {
        return Some(trouble.message.clone());
    }
    let deadline = pass.seen.job.spec.upgrade.rollback.deadline.get();
    (pass.elapsed() >= deadline).then(|| {
        let state = match (trouble, pass.worker()) {
            (Some(trouble), _) => trouble.message.clone(),
            (None, Some(worker)) => {
                let why = worker.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("its worker is {}{why}", worker.phase)
            }
            (None, None) => "its worker does not answer".to_owned(),
        };
        format!("not ready within {} s: {state}", deadline.as_secs())
    })
}

/// Returns to the previous revision.
fn begin_rollback(pass: &mut Pass<'_>, why: String) {
    let rules = &pass.seen.job.spec.upgrade.rollback;
    let (true, Some(operation), Some(failed)) =
        (rules.enabled, pass.status.operation.clone(), pass.status.revision.clone())
    else {
        return;
    };
    let previous = operation.previous.filter(|previous| previous.was_ready);
    let (Some(previous), Some(record)) = (previous, pass.seen.previous.clone()) else {
        // No working revision is known, so there is no rollback. The conditions say why the job does not run.
        pass.status.operation = None;
        return;
    };
    let back = match rollback_source(pass, &failed) {
        Ok(back) => back,
        Err(objection) => {
            let message = format!(
                "generation {} does not work: {why}. It is not rolled back, because revision {} cannot use the state that \
                 revision {} has written: {objection}. Correct the spec: any change of it is tried",
                failed.generation, previous.number, failed.number
            );
            pass.emit(Reason::RollbackFailed, message);
            pass.status.operation = None;
            return;
        }
    };
    let message = back.repeats.map_or(why.clone(), |repeats| format!("{why}. {repeats}"));
    pass.status.rolled_back = Some(RolledBack {
        generation: failed.generation,
        hash: failed.hash.clone(),
        message,
        failure: None,
        at: Time(pass.now),
    });
    pass.begin(OperationKind::Rollback, operation.savepoint, Some(previous.clone()));
    pass.begin_revision(record, previous.hash, previous.generation, &back.from);
}

/// What a rollback starts from.
struct RollbackSource {
    from: From,
    /// Which output is repeated, if the state is older than what the failed revision may have left.
    repeats: Option<String>,
}

/// What the previous revision resumes from. If the failed one was started from the latest checkpoint, so is the
/// previous one, and no committed output is repeated. If that checkpoint may hold the state of another computation, the
/// previous revision resumes from what the failed one first restored.
///
/// # Errors
/// The latest checkpoint cannot be used, and no earlier one is known.
fn rollback_source(pass: &Pass<'_>, failed: &Revision) -> Result<RollbackSource, String> {
    let has_own = pass.has_own_checkpoint();
    let earlier = |uri: &str, why: &str| {
        Some(format!("The previous revision resumes from {uri}{why}: output that was committed since then is repeated"))
    };
    match (From::of(failed), &pass.seen.objection_to_return, &failed.restored_from) {
        (From::Latest, Some(objection), Some(uri)) => {
            let why =
                format!(", because it cannot use the state that revision {} has written ({objection})", failed.number);
            Ok(RollbackSource { from: From::Savepoint(uri.clone()), repeats: earlier(uri, &why) })
        }
        (From::Latest, Some(objection), None) if has_own => Err(objection.clone()),
        (From::Savepoint(uri), _, _) if has_own => {
            let repeats = earlier(&uri, "");
            Ok(RollbackSource { from: From::Savepoint(uri), repeats })
        }
        (from, _, _) => Ok(RollbackSource { from, repeats: None }),
    }
}

/// The old revision is being started again.
pub(super) fn roll_back(pass: &mut Pass<'_>) {
    if pass.seen.wants_suspension() {
        return suspension::begin(pass);
    }
    pass.wait(pass.patience(SOON, pass.elapsed()));
    if let Some(why) = started(pass, |pass, number| {
        let why = pass.status.rolled_back.as_ref().map(|back| back.message.clone()).unwrap_or_default();
        (Reason::RolledBack, format!("revision {number} runs with the previous spec: {why}"))
    }) {
        // An even older revision may not fit the current state, so this is the last attempt.
        if let Some(back) = &mut pass.status.rolled_back {
            back.failure = Some(why);
        }
        pass.status.operation = None;
        pass.look_again(AT_ONCE);
    }
}
