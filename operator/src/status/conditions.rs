//! The conditions of a job.
//!
//! `Ready` is about what runs: all workers run and a checkpoint of this attempt is complete. `Accepted` is about the spec,
//! `Reconciling` and `Stalled` are about the way from one to the other, for tools that wait for it.

use eddyline_api::{JobStatus, Phase as WorkerPhase};
use eddyline_crds::status::{OperationKind, Phase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::observed::{TroubleKind, Worker};
use crate::plan::Pass;
use crate::validate::{NO_STORAGE, Verdict};

/// What conditions are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the module docs of the custom resource describe each")]
pub enum Type {
    Ready,
    Reconciling,
    Stalled,
    Accepted,
    WorkersReady,
    CheckpointHealthy,
    WatermarkAdvancing,
    Backpressured,
    Warning,
}

/// Why a condition is as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the operations guide describes each with what to do about it")]
pub enum Reason {
    // Ready and WorkersReady.
    Running,
    WaitingForCheckpoint,
    Starting,
    Restarting,
    Pending,
    Suspended,
    Finished,
    Deleting,
    WorkerNotReachable,
    // Accepted.
    Accepted,
    SqlInvalid,
    SqlNotFound,
    SpecInvalid,
    NotYetSupported,
    // Reconciling.
    Settled,
    WaitingForSavepoint,
    Savepointing,
    Rescaling,
    Upgrading,
    RollingBack,
    Suspending,
    Resuming,
    // Stalled.
    Progressing,
    RolledBack,
    CrashLoopBackOff,
    OutOfMemory,
    ImagePullFailed,
    ContainerConfigInvalid,
    Evicted,
    Unschedulable,
    NodeLost,
    JobFailed,
    ChildRefused,
    // CheckpointHealthy.
    Completing,
    Failing,
    Overdue,
    NoneYet,
    // WatermarkAdvancing.
    Advancing,
    Stuck,
    NoWatermark,
    // Backpressured.
    KeepingUp,
    SlowOperator,
    // Warning.
    NothingToReport,
    NoCheckpointStorage,
    SqlWarnings,
    SourceUnreachable,
}

/// A condition: what it says, why, and the whole story.
type Said = (&'static str, Reason, String);

const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// The share of time from which an operator is said to hold up the others.
const BACKPRESSURE_SHARE: f64 = 0.5;

pub(super) fn describe(pass: &mut Pass<'_>, worker: Option<&JobStatus>) {
    let said = [
        (Type::Ready, ready(pass, worker)),
        (Type::Reconciling, reconciling(pass, worker)),
        (Type::Stalled, stalled(pass, worker)),
        (Type::Accepted, accepted(pass)),
        (Type::WorkersReady, workers_ready(pass, worker)),
        (Type::CheckpointHealthy, checkpoint_healthy(pass, worker)),
        (Type::WatermarkAdvancing, watermark_advancing(worker)),
        (Type::Backpressured, backpressured(worker)),
        (Type::Warning, warning(pass)),
    ];
    let before = std::mem::take(&mut pass.status.conditions);
    let (generation, now) = (pass.seen.generation(), Time(pass.now));
    pass.status.conditions = said
        .into_iter()
        .map(|(kind, (status, reason, message))| {
            let name = format!("{kind:?}");
            let known = before.iter().find(|condition| condition.type_ == name && condition.status == status);
            Condition {
                type_: name,
                status: status.to_owned(),
                reason: format!("{reason:?}"),
                message,
                observed_generation: Some(generation),
                last_transition_time: known.map_or(now.clone(), |known| known.last_transition_time.clone()),
            }
        })
        .collect();
}

/// Whether a condition of a type is true.
pub fn is_true(conditions: &[Condition], kind: Type) -> bool {
    find(conditions, kind).is_some_and(|condition| condition.status == TRUE)
}

/// The condition of a type.
pub fn find(conditions: &[Condition], kind: Type) -> Option<&Condition> {
    let name = format!("{kind:?}");
    conditions.iter().find(|condition| condition.type_ == name)
}

/// What a job waits for before its first start.
pub(super) fn waiting(pass: &Pass<'_>) -> Option<String> {
    crate::plan::waits_for(pass)
}

fn at_rest(pass: &Pass<'_>) -> Option<Said> {
    match pass.status.phase {
        Phase::Pending => Some((FALSE, Reason::Pending, "the job was not started yet".to_owned())),
        Phase::Suspended => Some((FALSE, Reason::Suspended, "the job is suspended".to_owned())),
        Phase::Finished => Some((FALSE, Reason::Finished, "all input has been read".to_owned())),
        Phase::Deleting => Some((FALSE, Reason::Deleting, "the job is being deleted".to_owned())),
        _ => None,
    }
}

/// The operation that the job is in the middle of.
fn under_way(pass: &Pass<'_>) -> Option<(Reason, String)> {
    let operation = pass.status.operation.as_ref()?;
    let reason = match operation.kind {
        OperationKind::Rescale => Reason::Rescaling,
        OperationKind::Stop if operation.savepoint.is_some() => Reason::Savepointing,
        OperationKind::Stop | OperationKind::Upgrade => Reason::Upgrading,
        OperationKind::Rollback => Reason::RollingBack,
        OperationKind::Suspend => Reason::Suspending,
        OperationKind::Resume => Reason::Resuming,
        OperationKind::Finalize => Reason::Deleting,
    };
    Some((reason, format!("{reason:?} since {}", operation.started_at.0)))
}

fn ready(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Some(said) = at_rest(pass) {
        return said;
    }
    let (status, reason, message) = workers_ready(pass, worker);
    if status != TRUE {
        return (status, reason, message);
    }
    // What runs is not yet what the observed generation asks for.
    if let Some((reason, message)) = under_way(pass) {
        return (FALSE, reason, message);
    }
    if !pass.is_ready() {
        let message = "no checkpoint of this attempt is complete yet".to_owned();
        return (FALSE, Reason::WaitingForCheckpoint, message);
    }
    let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
    (TRUE, Reason::Running, format!("revision {number} runs, attempt {}", pass.status.attempt))
}

fn reconciling(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    let settled = || (FALSE, Reason::Settled, "nothing is under way".to_owned());
    if pass.status.phase == Phase::Deleting {
        return (TRUE, Reason::Deleting, "the job is being deleted".to_owned());
    }
    if let Some((reason, message)) = under_way(pass) {
        return (TRUE, reason, message);
    }
    match pass.status.phase {
        Phase::Suspended | Phase::Finished | Phase::Failed => settled(),
        Phase::Pending => match (pass.verdict, waiting(pass)) {
            (Verdict::Accepted(_), Some(story)) => (TRUE, Reason::WaitingForSavepoint, story),
            (Verdict::Accepted(_), None) => (TRUE, Reason::Pending, "the job is about to be started".to_owned()),
            (Verdict::Rejected(_), _) => settled(),
        },
        _ if pass.is_ready() => settled(),
        _ => match worker.map(|worker| worker.phase) {
            Some(WorkerPhase::Running) => {
                (TRUE, Reason::WaitingForCheckpoint, "no checkpoint of this attempt is complete yet".to_owned())
            }
            Some(WorkerPhase::Restarting) => (TRUE, Reason::Restarting, "the job is being started again".to_owned()),
            _ => (TRUE, Reason::Starting, "a worker is being started".to_owned()),
        },
    }
}

fn stalled(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Verdict::Rejected(rejection) = pass.verdict {
        return (TRUE, accepted(pass).1, rejection.message.clone());
    }
    if pass.status.phase == Phase::Suspended || pass.status.phase == Phase::Deleting {
        return (FALSE, Reason::Progressing, String::new());
    }
    if let Some(worker) = worker.filter(|worker| worker.phase == WorkerPhase::Failed) {
        let message = worker.message.clone().unwrap_or_else(|| "the job has failed".to_owned());
        return (TRUE, Reason::JobFailed, message);
    }
    let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
    let is_running = worker.is_some_and(|worker| worker.phase == WorkerPhase::Running);
    if let Some(trouble) = pass.seen.trouble(number).filter(|_| !is_running) {
        return (TRUE, reason_of(trouble.kind), trouble.message.clone());
    }
    if let Some(objection) = &pass.seen.objection {
        return (TRUE, Reason::ChildRefused, objection.clone());
    }
    if let Some(back) = &pass.status.rolled_back {
        return (TRUE, Reason::RolledBack, format!("generation {} was taken back: {}", back.generation, back.message));
    }
    (FALSE, Reason::Progressing, String::new())
}

fn reason_of(kind: TroubleKind) -> Reason {
    match kind {
        TroubleKind::CrashLoopBackOff => Reason::CrashLoopBackOff,
        TroubleKind::OutOfMemory => Reason::OutOfMemory,
        TroubleKind::ImagePullFailed => Reason::ImagePullFailed,
        TroubleKind::ContainerConfigInvalid => Reason::ContainerConfigInvalid,
        TroubleKind::Evicted => Reason::Evicted,
        TroubleKind::Unschedulable => Reason::Unschedulable,
        TroubleKind::NodeLost => Reason::NodeLost,
    }
}

fn accepted(pass: &Pass<'_>) -> Said {
    use crate::validate::Reason as Against;
    match pass.verdict {
        Verdict::Accepted(_) => (TRUE, Reason::Accepted, "the spec can be run".to_owned()),
        Verdict::Rejected(rejection) => {
            let reason = match rejection.reason {
                Against::SqlInvalid => Reason::SqlInvalid,
                Against::SqlNotFound => Reason::SqlNotFound,
                Against::SpecInvalid => Reason::SpecInvalid,
                Against::NotYetSupported => Reason::NotYetSupported,
            };
            (FALSE, reason, rejection.message.clone())
        }
    }
}

fn workers_ready(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    if let Some(said) = at_rest(pass) {
        return said;
    }
    let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
    if let Some(worker) = worker {
        let last = || Some(worker.last_failure.as_ref().filter(|_| worker.restarts > 0)?.message.clone());
        let why = worker.message.clone().or_else(last);
        return match worker.phase {
            WorkerPhase::Running => (TRUE, Reason::Running, "1 of 1 workers runs".to_owned()),
            WorkerPhase::Failed => (FALSE, Reason::JobFailed, why.unwrap_or_else(|| "the job has failed".to_owned())),
            WorkerPhase::Restarting => {
                (FALSE, Reason::Restarting, why.unwrap_or_else(|| "the job is being started again".to_owned()))
            }
            WorkerPhase::Rescaling => (FALSE, Reason::Rescaling, "the tasks are being replaced".to_owned()),
            phase => (FALSE, Reason::Starting, why.unwrap_or_else(|| format!("the worker is {phase:?}"))),
        };
    }
    if let Some(trouble) = pass.seen.trouble(number) {
        return (FALSE, reason_of(trouble.kind), trouble.message.clone());
    }
    match &pass.seen.worker {
        Worker::Silent(why) if pass.seen.pods.iter().any(|pod| pod.is_ready && pod.revision == Some(number)) => {
            (UNKNOWN, Reason::WorkerNotReachable, why.clone())
        }
        _ => (FALSE, Reason::Starting, "no worker of this revision runs yet".to_owned()),
    }
}

/// A checkpoint that is late by less than this is not worth a word.
const OVERDUE_AFTER_MS: u64 = 30_000;

fn checkpoint_healthy(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Said {
    let Some(worker) = worker else {
        return (UNKNOWN, Reason::WorkerNotReachable, "no worker tells".to_owned());
    };
    if worker.checkpoint_failures > 0 {
        let why = worker.checkpoint_error.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        return (FALSE, Reason::Failing, format!("{} given up since the last one{why}", worker.checkpoint_failures));
    }
    let interval = pass.seen.job.spec.checkpoint.interval.get();
    let patience = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).saturating_mul(3).max(OVERDUE_AFTER_MS);
    let now_ms = u64::try_from(pass.now.as_millisecond()).unwrap_or(0);
    match &worker.checkpoint {
        Some(latest)
            if worker.phase == WorkerPhase::Running && latest.completed_at_ms.saturating_add(patience) < now_ms =>
        {
            let due = eddyline_crds::Duration::from_millis(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX));
            let message = format!(
                "none was completed for more than {} s although one is due every {due}: storage or a sink does not answer",
                patience / 1000
            );
            (FALSE, Reason::Overdue, message)
        }
        Some(latest) => {
            (TRUE, Reason::Completing, format!("checkpoints complete, the latest in {}", folder_of(&latest.uri)))
        }
        None => (UNKNOWN, Reason::NoneYet, "no checkpoint was completed yet".to_owned()),
    }
}

/// The folder of a checkpoint: its last part changes with each one, which is no news.
fn folder_of(uri: &str) -> &str {
    uri.trim_end_matches('/').rsplit_once('/').map_or(uri, |(folder, _)| folder)
}

fn watermark_advancing(worker: Option<&JobStatus>) -> Said {
    let Some(worker) = worker else {
        return (UNKNOWN, Reason::WorkerNotReachable, "no worker tells".to_owned());
    };
    match (worker.progress.watermark_ms, worker.progress.watermark_stuck_since_ms) {
        (_, Some(since)) => {
            let since = super::time(since).0;
            (FALSE, Reason::Stuck, format!("records are read, and the watermark has not advanced since {since}"))
        }
        (Some(_), None) => (TRUE, Reason::Advancing, "results become complete".to_owned()),
        (None, None) => (UNKNOWN, Reason::NoWatermark, "no operator has a watermark".to_owned()),
    }
}

fn backpressured(worker: Option<&JobStatus>) -> Said {
    let Some(worker) = worker else {
        return (UNKNOWN, Reason::WorkerNotReachable, "no worker tells".to_owned());
    };
    match &worker.progress.backpressure {
        Some(pressure) if pressure.share >= BACKPRESSURE_SHARE => {
            (TRUE, Reason::SlowOperator, format!("{} holds up those before it", pressure.operator))
        }
        _ => (FALSE, Reason::KeepingUp, "every operator keeps up".to_owned()),
    }
}

fn warning(pass: &Pass<'_>) -> Said {
    let mut warnings = pass.verdict.accepted().map(|accepted| accepted.warnings.clone()).unwrap_or_default();
    let unreachable = pass.worker().map(|worker| worker.progress.unreachable_sources.clone()).unwrap_or_default();
    let is_cut_off = !unreachable.is_empty();
    warnings.splice(0..0, unreachable);
    match warnings.first() {
        Some(_) if is_cut_off => (TRUE, Reason::SourceUnreachable, warnings.join("\n")),
        None => (FALSE, Reason::NothingToReport, String::new()),
        Some(first) if first == NO_STORAGE => (TRUE, Reason::NoCheckpointStorage, warnings.join("\n")),
        Some(_) => (TRUE, Reason::SqlWarnings, warnings.join("\n")),
    }
}
