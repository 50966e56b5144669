//! Decides about a savepoint. Pure.

use std::time::Duration;

use eddyline_api::{Phase, SavepointState};
use eddyline_crds::savepoint::{DeletionPolicy, Origin, SavepointPhase};
use eddyline_crds::status::Phase as JobPhase;
use eddyline_crds::{Savepoint, SavepointStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::clock::{Timestamp, at_ms, since, whole_seconds};
use crate::events::Reason;
use crate::names;
use crate::observed::{BatchJob, Observed, Worker};

/// How long an object stays at most after its deletion was requested.
const DEADLINE: Duration = Duration::from_secs(45);
const SOON: Duration = Duration::from_secs(1);
/// The wait until the next reconcile of a savepoint whose job does not run.
const PENDING: Duration = Duration::from_secs(2);
const PENDING_MAX: Duration = Duration::from_secs(30);

/// The wait until the next search for a savepoint that was not found in storage. By then the batch job is gone.
const CHECK_AGAIN: Duration = Duration::from_secs(1800);

/// What was observed of a savepoint.
pub(super) struct Seen<'a> {
    pub savepoint: &'a Savepoint,
    pub job: Option<&'a Observed>,
    /// What the worker knows of it, if it was asked.
    pub taken: Option<eddyline_api::Savepoint>,
    pub now: Timestamp,
}

/// What to do about a savepoint.
#[derive(Debug, PartialEq)]
pub(super) struct Decision {
    pub status: SavepointStatus,
    /// Whether to ask the job for it, once the status is recorded.
    pub ask: bool,
    pub again: Option<Duration>,
}

/// What the worker reports about a savepoint that it was asked for.
#[derive(Debug, PartialEq)]
pub(super) enum Writing {
    /// The worker is not taking it, or there is no worker.
    Nothing,
    /// It does not answer.
    Silence,
    Is(eddyline_api::Savepoint),
}

/// What to do about a savepoint whose object is being deleted.
#[derive(Debug, PartialEq)]
pub(super) enum Ending {
    Wait,
    /// It was completed meanwhile. That is recorded before its data is deleted.
    Record(Box<SavepointStatus>),
    Delete {
        uri: String,
        origin: Origin,
    },
    Leave(String),
    LetGo,
}

fn phase(savepoint: &Savepoint) -> SavepointPhase {
    savepoint.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

pub(super) fn is_over(savepoint: &Savepoint) -> bool {
    matches!(phase(savepoint), SavepointPhase::Completed | SavepointPhase::Failed)
}

pub(super) fn is_asked_for(savepoint: &Savepoint) -> bool {
    phase(savepoint) == SavepointPhase::InProgress
}

/// The batch job that makes a savepoint, if one does.
pub(super) fn copied_by(savepoint: &Savepoint) -> Option<&str> {
    savepoint.status.as_ref()?.copied_by.as_deref()
}

/// The batch jobs about a savepoint that is a copy of a checkpoint.
pub(super) struct Copy<'a> {
    /// The one that makes it, by name.
    pub by: &'a str,
    pub job: BatchJob,
    /// The one that checks whether it is in storage.
    pub check: BatchJob,
}

/// Follows a savepoint that a batch job copies from a checkpoint. Returns whether to look for it in storage: a batch
/// job that has ended is deleted after a day, with its result, and the savepoint stays.
pub(super) fn follow_copy(savepoint: &Savepoint, copy: &Copy<'_>, now: Timestamp) -> (Decision, bool) {
    let mut status = savepoint.status.clone().unwrap_or_default();
    status.observed_generation = savepoint.metadata.generation.unwrap_or_default();
    let by = copy.by;
    let wait = |mut status: SavepointStatus, message: Option<String>, again: Option<Duration>| {
        status.message = message.or(status.message);
        Decision { status, ask: false, again }
    };
    let unknown = format!("the batch job {by} that made it is gone");
    match (&copy.job, &copy.check) {
        (BatchJob::Running, _) => return (wait(status, None, Some(PENDING)), false),
        (BatchJob::Absent, BatchJob::Absent) if status.origin.is_none() => {
            let message = format!("{unknown}; `eddyline savepoint inspect` shows whether it is complete");
            return (wait(status, Some(message), None), false);
        }
        (BatchJob::Absent, BatchJob::Absent) => {
            let message = format!("{unknown}; the controller looks for it in storage");
            return (wait(status, Some(message), Some(SOON)), true);
        }
        (BatchJob::Absent, BatchJob::Running) => return (wait(status, None, Some(PENDING)), false),
        (BatchJob::Absent, BatchJob::Failed(why)) => {
            let message = format!("{unknown}, and it is not in storage: {why}. The controller looks for it every hour");
            return (wait(status, Some(message), Some(CHECK_AGAIN)), false);
        }
        (BatchJob::Done { checkpoint }, _) | (BatchJob::Absent, BatchJob::Done { checkpoint }) => {
            status.phase = SavepointPhase::Completed;
            status.checkpoint = checkpoint.and_then(|number| i64::try_from(number).ok());
            status.completed_at = Some(Time(now));
            status.message = Some("a copy of the latest checkpoint of a job that was deleted".to_owned());
        }
        (BatchJob::Failed(why), _) => {
            status.phase = SavepointPhase::Failed;
            status.message = Some(format!("{why}. The checkpoint that it was to copy stays where it is"));
        }
    }
    (Decision { status, ask: false, again: None }, false)
}

pub(super) fn decide(seen: &Seen<'_>) -> Decision {
    let mut status = seen.savepoint.status.clone().unwrap_or_default();
    status.observed_generation = seen.savepoint.metadata.generation.unwrap_or_default();
    if is_over(seen.savepoint) {
        return Decision { status, ask: false, again: None };
    }
    if let Some(taken) = &seen.taken {
        return follow(status, taken, seen.now);
    }
    let job = &seen.savepoint.spec.job_ref.name;
    let again = pending(seen.savepoint, seen.now);
    let wait = |mut status: SavepointStatus, message: String| {
        status.message = Some(message);
        Decision { status, ask: false, again: Some(again) }
    };
    let Some(observed) = seen.job else { return wait(status, format!("there is no StreamJob {job}")) };
    let has_folder =
        seen.savepoint.spec.uri.is_some() || observed.record.as_ref().is_none_or(|record| record.storage.is_some());
    if !has_folder {
        status.phase = SavepointPhase::Failed;
        status.message = Some(format!("{job} has no checkpoint storage, and the Savepoint has no uri"));
        return Decision { status, ask: false, again: None };
    }
    let phase = observed.job.status.as_ref().map(|status| status.phase);
    if phase == Some(JobPhase::Finished) {
        status.phase = SavepointPhase::Failed;
        status.message =
            Some(format!("{job} is Finished: all its input has been read, and no worker is left to save it"));
        return Decision { status, ask: false, again: None };
    }
    match &observed.worker {
        Worker::Says(worker) if worker.phase == Phase::Running => {
            status.phase = SavepointPhase::InProgress;
            status.started_at = status.started_at.or(Some(Time(seen.now)));
            if seen.savepoint.spec.deletion_policy == DeletionPolicy::Delete {
                status.origin = observed.origin();
            }
            status.message = None;
            Decision { status, ask: true, again: Some(SOON) }
        }
        Worker::Says(worker) => wait(status, format!("{job} does not run: it is {}", worker.phase)),
        Worker::Silent(why) => wait(status, format!("{job} does not answer: {why}")),
        Worker::Absent => {
            let phase = phase.map_or("not started", JobPhase::as_str);
            wait(status, format!("{job} has no worker: it is {phase}"))
        }
    }
}

fn follow(mut status: SavepointStatus, taken: &eddyline_api::Savepoint, now: Timestamp) -> Decision {
    match taken.state {
        SavepointState::InProgress => Decision { status, ask: false, again: Some(SOON) },
        SavepointState::Completed => {
            let ended = taken.ended_at_ms.map_or(now, |ms| whole_seconds(at_ms(ms)));
            status.phase = SavepointPhase::Completed;
            status.uri.clone_from(&taken.uri);
            status.checkpoint = taken.checkpoint.and_then(|number| i64::try_from(number).ok());
            status.completed_at = Some(Time(ended));
            status.message = None;
            Decision { status, ask: false, again: None }
        }
        SavepointState::Failed => {
            status.phase = SavepointPhase::Failed;
            status.message = Some(taken.error.clone().unwrap_or_else(|| "the job has abandoned it".to_owned()));
            Decision { status, ask: false, again: None }
        }
    }
}

/// The wait until the next reconcile of a savepoint that cannot be taken yet. It grows with the time waited.
fn pending(savepoint: &Savepoint, now: Timestamp) -> Duration {
    let waiting = savepoint.metadata.creation_timestamp.as_ref().map(|created| since(created.0, now));
    (waiting.unwrap_or_default() / 8).clamp(PENDING, PENDING_MAX)
}

/// The event that follows from the difference between the status and the previous one.
pub(super) fn event(savepoint: &Savepoint, next: &SavepointStatus) -> Option<(Reason, String)> {
    let name = savepoint.metadata.name.as_deref().unwrap_or_default();
    if phase(savepoint) == next.phase {
        return None;
    }
    match next.phase {
        SavepointPhase::Completed => {
            let uri = next.uri.as_deref().unwrap_or_default();
            Some((Reason::SavepointCompleted, format!("savepoint {name} is complete: {uri}")))
        }
        SavepointPhase::Failed => {
            let why = next.message.as_deref().unwrap_or_default();
            Some((Reason::SavepointFailed, format!("savepoint {name} has failed: {why}")))
        }
        SavepointPhase::Pending | SavepointPhase::InProgress => None,
    }
}

pub(super) fn end(
    savepoint: &Savepoint,
    cleanup: &BatchJob,
    writing: &Writing,
    now: Timestamp,
) -> (Ending, Option<Duration>) {
    let finalizers = savepoint.metadata.finalizers.as_deref().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == names::FINALIZER) {
        return (Ending::Wait, None);
    }
    if savepoint.spec.deletion_policy != DeletionPolicy::Delete {
        return (Ending::LetGo, None);
    }
    let asked = savepoint.metadata.deletion_timestamp.as_ref().map(|asked| since(asked.0, now)).unwrap_or_default();
    let Some(uri) = savepoint.status.as_ref().and_then(|status| status.uri.clone()) else {
        return match writing {
            Writing::Is(taken) if taken.state == SavepointState::Completed => {
                let status = savepoint.status.clone().unwrap_or_default();
                (Ending::Record(Box::new(follow(status, taken, now).status)), Some(SOON))
            }
            Writing::Is(taken) if taken.state == SavepointState::Failed => (Ending::LetGo, None),
            Writing::Nothing => (Ending::LetGo, None),
            Writing::Is(_) | Writing::Silence if asked < DEADLINE => (Ending::Wait, Some(SOON)),
            Writing::Is(_) | Writing::Silence => {
                let waited = DEADLINE.as_secs();
                (
                    Ending::Leave(format!("it was still in progress after {waited} s; what was written of it stays")),
                    None,
                )
            }
        };
    };
    let Some(origin) = savepoint.status.as_ref().and_then(|status| status.origin.as_ref()) else {
        return (Ending::Leave(format!("{uri} was not deleted: the controller does not know how to reach it")), None);
    };
    match cleanup {
        BatchJob::Done { .. } => (Ending::LetGo, None),
        BatchJob::Failed(why) => (Ending::Leave(format!("{uri} was not deleted: {why}")), None),
        _ if asked >= DEADLINE => {
            (Ending::Leave(format!("{uri} was not deleted within {} s", DEADLINE.as_secs())), None)
        }
        BatchJob::Running => (Ending::Wait, Some(SOON)),
        BatchJob::Absent => (Ending::Delete { uri, origin: origin.clone() }, Some(SOON)),
    }
}
