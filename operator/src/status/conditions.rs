//! The conditions of a job.
//!
//! `Ready` says whether what runs is what the spec asks for: all workers run and a checkpoint of this attempt is
//! complete, or the job is at rest as the spec asks. `Accepted` is about the spec. `Reconciling` and `Stalled` are for
//! tools that wait until the spec is carried out. `Running` and the following conditions are about the job itself.

use eddyline_api::message;
use eddyline_api::{JobStatus, Phase as WorkerPhase};
use eddyline_crds::status::{OperationKind, Phase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::reasons::{
    Accepted, Checkpoints, Operations, Pressure, Ready, Reconciling, Rest, Stalled, Unknown, Warning, Watermark,
    Workers,
};
use crate::clock::Timestamp;
use crate::observed::Worker;
use crate::plan::Pass;
use crate::validate::{NO_STORAGE, Verdict};

pub use super::reasons::Type;

/// A condition: its status, reason and message.
pub(crate) struct Said {
    status: &'static str,
    reason: &'static str,
    message: String,
}

pub(crate) fn said(status: &'static str, reason: &'static str, message: impl Into<String>) -> Said {
    Said { status, reason, message: message.into() }
}

pub(crate) const TRUE: &str = "True";
pub(crate) const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// The share of time from which an operator counts as slow.
const BACKPRESSURE_SHARE: f64 = 0.5;

pub(super) fn describe(pass: &mut Pass<'_>, worker: Option<&JobStatus>) {
    let all = Type::ALL.iter().map(|kind| (kind.as_str(), about(*kind, pass, worker)));
    let next = listed(all, &pass.status.conditions, pass.seen.generation(), pass.now);
    pass.status.conditions = next;
}

fn about(kind: Type, pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    match kind {
        Type::Ready => ready(pass, worker),
        Type::Stalled => stalled(pass, worker),
        Type::Reconciling => reconciling(pass, worker),
        Type::Accepted => accepted(pass),
        Type::Running => running(pass, worker),
        Type::WorkersReady => workers_ready(pass, worker),
        Type::CheckpointHealthy => checkpoint_healthy(pass, worker),
        Type::WatermarkAdvancing => watermark_advancing(pass, worker),
        Type::Backpressured => backpressured(pass, worker),
        Type::Warning => warning(pass, worker),
    }
}

/// Conditions in the form in which they are stored, each with the time of its last transition.
pub(crate) fn listed(
    all: impl Iterator<Item = (&'static str, Said)>,
    before: &[Condition],
    generation: i64,
    now: Timestamp,
) -> Vec<Condition> {
    all.map(|(name, said)| {
        let known = before.iter().find(|known| known.type_ == name && known.status == said.status);
        Condition {
            type_: name.to_owned(),
            status: said.status.to_owned(),
            reason: said.reason.to_owned(),
            message: message::shown(&said.message),
            observed_generation: Some(generation),
            last_transition_time: known.map_or(Time(now), |known| known.last_transition_time.clone()),
        }
    })
    .collect()
}

/// Whether a condition of a type is true.
pub fn is_true(conditions: &[Condition], kind: Type) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == TRUE)
}

/// The condition of a type.
pub fn find(conditions: &[Condition], kind: Type) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.type_ == kind.as_str())
}

/// What a job waits for before its first start.
pub(super) fn waiting(pass: &Pass<'_>) -> Option<String> {
    crate::plan::waits_for(pass)
}

/// Why a job has no worker, if it needs none.
fn rest(pass: &Pass<'_>) -> Option<(Rest, &'static str)> {
    match pass.status.phase {
        Phase::Pending => Some((Rest::Pending, "the job has not started yet")),
        Phase::Suspended => Some((Rest::Suspended, "the job is suspended")),
        Phase::Finished => Some((Rest::Finished, "all input has been read")),
        Phase::Deleting => Some((Rest::Deleting, "the job is being deleted")),
        _ => None,
    }
}

/// The condition of a job at rest: true if the spec asks for that.
fn at_rest(pass: &Pass<'_>) -> Option<Said> {
    let (reason, message) = rest(pass)?;
    let status = if matches!(reason, Rest::Suspended | Rest::Finished) { TRUE } else { FALSE };
    Some(said(status, reason.as_str(), message))
}

/// The operation that is in progress.
fn operation_in_progress(pass: &Pass<'_>) -> Option<(Operations, String)> {
    let operation = pass.status.operation.as_ref()?;
    let reason = match operation.kind {
        OperationKind::Rescale => Operations::Rescaling,
        OperationKind::Stop if operation.savepoint.is_some() => Operations::Savepointing,
        OperationKind::Stop | OperationKind::Upgrade => Operations::Upgrading,
        OperationKind::Rollback => Operations::RollingBack,
        OperationKind::Suspend => Operations::Suspending,
        OperationKind::Resume => Operations::Resuming,
        OperationKind::Finalize => Operations::Deleting,
    };
    Some((reason, format!("since {}", operation.started_at.0)))
}

const NO_CHECKPOINT_YET: &str = "no checkpoint of this attempt is complete yet";

fn ready(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Some(at_rest) = at_rest(pass) {
        return at_rest;
    }
    let workers = workers(pass, worker);
    if workers.status != TRUE {
        return workers;
    }
    // What runs is not yet what the observed generation asks for.
    if let Some((reason, message)) = operation_in_progress(pass) {
        return said(FALSE, reason.as_str(), message);
    }
    if !pass.is_ready() {
        return said(FALSE, Ready::WaitingForCheckpoint.as_str(), NO_CHECKPOINT_YET);
    }
    let message = format!("revision {} runs, attempt {}", number(pass), pass.status.attempt);
    said(TRUE, Ready::Running.as_str(), message)
}

fn number(pass: &Pass<'_>) -> u64 {
    pass.status.revision.as_ref().map_or(0, |revision| revision.number)
}

fn reconciling(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    let settled = || said(FALSE, Reconciling::Settled.as_str(), "nothing is in progress");
    let in_progress = |reason: Reconciling, message: String| said(TRUE, reason.as_str(), message);
    if pass.status.phase == Phase::Deleting {
        return said(TRUE, Operations::Deleting.as_str(), "the job is being deleted");
    }
    if let Some((reason, message)) = operation_in_progress(pass) {
        return said(TRUE, reason.as_str(), message);
    }
    match pass.status.phase {
        Phase::Suspended | Phase::Finished | Phase::Failed => settled(),
        Phase::Pending => match (pass.verdict, waiting(pass)) {
            (Verdict::Accepted(_), Some(message)) if !pass.seen.predecessors.is_empty() => {
                in_progress(Reconciling::WaitingForCleanup, message)
            }
            (Verdict::Accepted(_), Some(message)) => in_progress(Reconciling::WaitingForSavepoint, message),
            (Verdict::Accepted(_), None) => in_progress(Reconciling::Pending, "the job is about to start".into()),
            (Verdict::Rejected(_), _) => settled(),
        },
        _ if pass.is_ready() => settled(),
        _ => match worker.map(|worker| worker.phase) {
            Some(WorkerPhase::Running) => in_progress(Reconciling::WaitingForCheckpoint, NO_CHECKPOINT_YET.into()),
            Some(WorkerPhase::Restarting) => in_progress(Reconciling::Restarting, "the job is restarting".into()),
            // As far as is known the job runs, so nothing is starting.
            None if pass.status.phase == Phase::Running => settled(),
            _ => in_progress(Reconciling::Starting, "a worker is starting".into()),
        },
    }
}

fn stalled(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Verdict::Rejected(rejection) = pass.verdict {
        return said(TRUE, rejection.reason.as_str(), refusal(pass, &rejection.message));
    }
    let progressing = said(FALSE, Stalled::Progressing.as_str(), "");
    if matches!(pass.status.phase, Phase::Suspended | Phase::Finished | Phase::Deleting) {
        return progressing;
    }
    if pass.rollback_failure().is_some() {
        return said(TRUE, Stalled::RollbackFailed.as_str(), failure(pass, worker));
    }
    if pass.status.phase == Phase::Failed || worker.is_some_and(|worker| worker.phase == WorkerPhase::Failed) {
        return said(TRUE, Stalled::JobFailed.as_str(), failure(pass, worker));
    }
    let is_running = worker.is_some_and(|worker| worker.phase == WorkerPhase::Running);
    if let Some(trouble) = pass.seen.trouble(number(pass)).filter(|_| !is_running) {
        return said(TRUE, trouble.kind.as_str(), trouble.message.clone());
    }
    if let Some(objection) = &pass.seen.objection {
        return said(TRUE, Stalled::ChildRefused.as_str(), objection.clone());
    }
    if let Some(back) = &pass.status.rolled_back {
        let message = format!("generation {} was rolled back: {}", back.generation, back.message);
        return said(TRUE, Stalled::RolledBack.as_str(), message);
    }
    progressing
}

/// Why a job has failed. The reason stays known while the worker does not answer.
fn failure(pass: &Pass<'_>, worker: Option<&JobStatus>) -> String {
    if let Some((back, why)) = pass.rollback_failure() {
        return format!(
            "generation {} was rolled back: {}. The previous revision does not run either: {why}. Correct the spec: any change \
             of it is tried",
            back.generation, back.message
        );
    }
    let known = || {
        let stalled = find(&pass.status.conditions, Type::Stalled)?;
        (stalled.reason == Stalled::JobFailed.as_str()).then(|| stalled.message.clone())
    };
    let message = worker.and_then(|worker| worker.message.clone());
    message.or_else(known).unwrap_or_else(|| "the job has failed".to_owned())
}

/// Why a spec is refused, and what runs meanwhile.
fn refusal(pass: &Pass<'_>, why: &str) -> String {
    if pass.record.is_none() || rest(pass).is_some() {
        return why.to_owned();
    }
    let (asked, given) = (pass.seen.job.spec.parallelism, pass.parallelism());
    if asked == given {
        format!("{why}\nThe accepted revision keeps running; its parallelism can still be changed")
    } else {
        format!("{why}\nThe accepted revision keeps running with parallelism {given}: it cannot use {asked}")
    }
}

fn accepted(pass: &Pass<'_>) -> Said {
    match pass.verdict {
        Verdict::Accepted(_) => said(TRUE, Accepted::Accepted.as_str(), "the spec can be run"),
        Verdict::Rejected(rejection) => said(FALSE, rejection.reason.as_str(), refusal(pass, &rejection.message)),
    }
}

fn running(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    match rest(pass) {
        Some((reason, message)) => said(FALSE, reason.as_str(), message),
        None => workers(pass, worker),
    }
}

fn workers_ready(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    at_rest(pass).unwrap_or_else(|| workers(pass, worker))
}

/// The condition of the workers of a job that needs some.
fn workers(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Some(worker) = worker {
        let last = || Some(worker.last_failure.as_ref().filter(|_| worker.restarts > 0)?.message.clone());
        let why = worker.message.clone().or_else(last);
        let said = |status, reason: Workers, without: &str| {
            said(status, reason.as_str(), why.clone().unwrap_or_else(|| without.to_owned()))
        };
        return match worker.phase {
            WorkerPhase::Running => {
                Said { message: "1/1 workers running".to_owned(), ..said(TRUE, Workers::Running, "") }
            }
            WorkerPhase::Failed => said(FALSE, Workers::JobFailed, "the job has failed"),
            WorkerPhase::Restarting => said(FALSE, Workers::Restarting, "the job is restarting"),
            WorkerPhase::Rescaling => said(FALSE, Workers::Rescaling, "the tasks are being replaced"),
            WorkerPhase::Stopping | WorkerPhase::Stopped | WorkerPhase::Canceled => {
                said(FALSE, Workers::Stopping, &format!("the worker is {}", worker.phase))
            }
            WorkerPhase::Starting | WorkerPhase::Finished | WorkerPhase::Fenced => {
                said(FALSE, Workers::Starting, &format!("the worker is {}", worker.phase))
            }
        };
    }
    if pass.status.phase == Phase::Failed {
        return said(FALSE, Workers::JobFailed.as_str(), failure(pass, worker));
    }
    if let Some(trouble) = pass.seen.trouble(number(pass)) {
        return said(FALSE, trouble.kind.as_str(), trouble.message.clone());
    }
    match &pass.seen.worker {
        Worker::Silent(why) if pass.seen.pods.iter().any(|pod| pod.is_ready && pod.revision == Some(number(pass))) => {
            said(UNKNOWN, Workers::WorkerNotReachable.as_str(), why.clone())
        }
        _ => said(FALSE, Workers::Starting.as_str(), "no worker of this revision runs yet"),
    }
}

/// A condition that only a worker can give. It is Unknown while no worker of the job answers.
fn by_worker(pass: &Pass<'_>, worker: Option<&JobStatus>, says: impl FnOnce(&JobStatus) -> Said) -> Said {
    let not_running = |message: &str| said(UNKNOWN, Unknown::NotRunning.as_str(), message);
    if let Some((_, message)) = rest(pass) {
        return not_running(message);
    }
    match (worker, &pass.seen.worker) {
        _ if pass.status.phase == Phase::Failed => not_running("the job has failed"),
        (Some(worker), _) => says(worker),
        (None, Worker::Silent(why)) => said(UNKNOWN, Unknown::WorkerNotReachable.as_str(), why.clone()),
        (None, Worker::Absent | Worker::Says(_)) => not_running("no worker of this revision runs yet"),
    }
}

/// A checkpoint that is late by less than this is not reported.
const OVERDUE_AFTER_MS: u64 = 30_000;

fn checkpoint_healthy(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    by_worker(pass, worker, |worker| {
        if worker.checkpoint_failures > 0 {
            let why = worker.checkpoint_error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            let message = format!("{} abandoned since the last complete one{why}", worker.checkpoint_failures);
            return said(FALSE, Checkpoints::Failing.as_str(), message);
        }
        let Some(latest) = &worker.checkpoint else {
            return said(UNKNOWN, Checkpoints::NoneYet.as_str(), "no checkpoint is complete yet");
        };
        let interval = pass.seen.job.spec.checkpoint.interval;
        let patience = interval.millis().saturating_mul(3).max(OVERDUE_AFTER_MS);
        let now_ms = u64::try_from(pass.now.as_millisecond()).unwrap_or(0);
        if worker.phase == WorkerPhase::Running && latest.completed_at_ms.saturating_add(patience) < now_ms {
            let message = format!(
                "none was completed for more than {} s although one is due every {interval}: storage or a sink does not \
                 answer",
                patience / 1000
            );
            return said(FALSE, Checkpoints::Overdue.as_str(), message);
        }
        let message = format!("checkpoints complete, the latest in {}", folder_of(&latest.uri));
        said(TRUE, Checkpoints::Completing.as_str(), message)
    })
}

/// The folder that holds a checkpoint. The last part of the URI changes with each checkpoint, so the message leaves it
/// out.
fn folder_of(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit_once('/').map_or(uri, |(folder, _)| folder)
}

fn watermark_advancing(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    by_worker(pass, worker, |worker| match (worker.progress.watermark_ms, worker.progress.watermark_stuck_since_ms) {
        (_, Some(since)) => {
            let since = super::time(since).0;
            let message = format!("records are read, but the watermark has not advanced since {since}");
            said(FALSE, Watermark::Stuck.as_str(), message)
        }
        (Some(_), None) => said(TRUE, Watermark::Advancing.as_str(), "results become complete"),
        (None, None) => said(UNKNOWN, Watermark::NoWatermark.as_str(), "no source has a watermark"),
    })
}

fn backpressured(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    by_worker(pass, worker, |worker| match &worker.progress.backpressure {
        Some(pressure) if pressure.share >= BACKPRESSURE_SHARE => said(
            TRUE,
            Pressure::SlowOperator.as_str(),
            format!("{} slows down the operators before it", pressure.operator),
        ),
        _ => said(FALSE, Pressure::KeepingUp.as_str(), "every operator keeps up"),
    })
}

fn warning(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    let unreachable = worker.map(|worker| worker.progress.unreachable_sources.clone()).unwrap_or_default();
    let warnings = match pass.verdict {
        Verdict::Accepted(accepted) => accepted.warnings.clone(),
        // The spec that runs is the one that was accepted before.
        Verdict::Rejected(_) => warnings_before(pass),
    };
    let reason = match warnings.first() {
        _ if !unreachable.is_empty() => Warning::SourceUnreachable,
        Some(first) if first == NO_STORAGE => Warning::NoCheckpointStorage,
        Some(_) => Warning::SqlWarnings,
        None => return said(FALSE, Warning::NothingToReport.as_str(), ""),
    };
    let lines: Vec<String> = unreachable.into_iter().chain(warnings).collect();
    said(TRUE, reason.as_str(), lines.join("\n"))
}

/// The warnings about the spec that keeps running while a newer one is refused.
fn warnings_before(pass: &Pass<'_>) -> Vec<String> {
    let Some(record) = &pass.record else { return Vec::new() };
    let of_sql = find(&pass.status.conditions, Type::Warning)
        .filter(|known| {
            [Warning::SqlWarnings, Warning::NoCheckpointStorage].iter().any(|reason| known.reason == reason.as_str())
        })
        .map(|known| known.message.as_str())
        .unwrap_or_default();
    let no_storage = record.storage.is_none().then_some(NO_STORAGE);
    no_storage.into_iter().chain(of_sql.lines().filter(|line| *line != NO_STORAGE)).map(str::to_owned).collect()
}
