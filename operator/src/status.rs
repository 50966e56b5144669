//! The status of a job, in the form that users read, and how it is stored.
//!
//! Numbers come from the last answer of the worker. While no worker answers they stay, and the conditions say so.

use std::time::Duration;

use eddyline_api::message;
use eddyline_api::status as api;
use eddyline_api::{JobStatus, Phase as WorkerPhase};
use eddyline_crds::status::{
    CheckpointStatus, Failure, OperationKind, Phase, Process, Progress, Rescale, WorkersStatus,
};
use eddyline_crds::{Duration as Shown, StreamJob, StreamJobStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::clock::{Timestamp, at_ms, whole_seconds};
use crate::events::Reason;
use crate::names;
use crate::observed::{End, Pod, TroubleKind, Worker};
use crate::plan::Pass;

use conditions::Type;

pub mod conditions;
pub mod events;
pub mod reasons;
mod summary;

/// Whether a job runs and has shown that it can be recovered.
pub fn is_ready(worker: &JobStatus, has_storage: bool) -> bool {
    let is_saved = worker.checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.is_of_this_attempt);
    worker.phase == WorkerPhase::Running && (is_saved || !has_storage)
}

/// How old the figures in the status of a healthy job may get. They change with every reconcile, and each write goes to
/// everyone who watches the job.
const FIGURES_AGE_MAX: Duration = Duration::from_secs(30);

/// The fields of a status that hold only figures. No decision depends on them.
const FIGURES: [&str; 3] = ["checkpoint", "progress", "summary"];

/// The changes to store, given how long ago figures were stored. Null if there is nothing to store.
fn changes(before: Option<&StreamJobStatus>, next: &StreamJobStatus, stored_ago: Option<Duration>) -> Value {
    let is_figures = |changes: &Value| {
        changes.as_object().is_some_and(|all| all.keys().all(|field| FIGURES.contains(&field.as_str())))
    };
    let changes = difference(&before.map_or_else(|| json!({}), |status| json!(status)), &json!(next));
    let is_fresh = stored_ago.is_some_and(|ago| ago < FIGURES_AGE_MAX);
    if is_fresh && next.phase == Phase::Running && is_figures(&changes) { Value::Null } else { changes }
}

/// Stores the next status if it differs from the stored one in more than figures, or if the stored figures are old. The
/// patch carries the version of the observed object, so the API server refuses a decision on outdated data. Returns
/// whether something was stored.
///
/// # Errors
/// The API server refuses, or cannot be reached.
pub async fn record(
    api: &Api<StreamJob>,
    job: &StreamJob,
    next: &StreamJobStatus,
    stored_ago: Option<Duration>,
) -> Result<bool, kube::Error> {
    let changes = changes(job.status.as_ref(), next, stored_ago);
    if changes.is_null() {
        return Ok(false);
    }
    let changes = json!({
        "metadata": { "resourceVersion": job.metadata.resource_version, "uid": job.metadata.uid },
        "status": changes,
    });
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
    api.patch_status(name, &parameters, &Patch::Merge(&changes)).await?;
    Ok(true)
}

/// The merge patch from one value to another; null if there is no difference.
pub(crate) fn difference(before: &Value, after: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return if before == after { Value::Null } else { after.clone() };
    };
    let mut changes = serde_json::Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old) => {
                changes.insert(key.clone(), difference(old, value));
            }
            None => {
                changes.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        changes.insert(key.clone(), Value::Null);
    }
    if changes.is_empty() { Value::Null } else { Value::Object(changes) }
}

/// Completes the next status of a reconcile with what was observed.
pub(crate) fn describe(pass: &mut Pass<'_>) {
    let worker = pass.worker().cloned();
    pass.status.observed_generation = pass.seen.generation();
    pass.status.selector = names::selector(pass.seen.name());
    pass.status.phase = phase(pass, worker.as_ref());
    let is_at_rest = matches!(pass.status.phase, Phase::Pending | Phase::Suspended | Phase::Finished);
    if is_at_rest {
        pass.status.parallelism = 0;
    }
    let is_running = worker.as_ref().is_some_and(|worker| worker.phase == WorkerPhase::Running);
    pass.status.workers =
        WorkersStatus { desired: u32::from(!is_at_rest), ready: u32::from(is_running && !is_at_rest) };
    if let Some(worker) = &worker {
        note_restored_from(pass, worker);
        if let Some(from) = worker.restored_from.as_ref().filter(|_| worker.attempt > pass.status.attempt) {
            pass.emit(Reason::CheckpointRestored, format!("attempt {} resumes from {from}", worker.attempt));
        }
        follow(&mut pass.status, worker, pass.now);
        if is_at_rest {
            pass.status.parallelism = 0;
        }
    }
    if is_at_rest {
        pass.status.progress = None;
    }
    note_failures(pass);
    conditions::describe(pass, worker.as_ref());
    pass.status.summary = summary::summary(pass, worker.as_ref());
    let was = pass.seen.job.status.as_ref().map(|status| status.phase);
    if pass.status.phase == Phase::Failed && was != Some(Phase::Failed) {
        let is_limit = worker.is_some_and(|worker| worker.is_restart_limit_reached);
        let reason = match pass.rollback_failure() {
            Some(_) => Reason::RollbackFailed,
            None if is_limit => Reason::RestartLimitReached,
            None => Reason::JobFailed,
        };
        pass.emit(
            reason,
            conditions::find(&pass.status.conditions, Type::Stalled).map_or("", |why| &why.message).to_owned(),
        );
    }
}

fn phase(pass: &Pass<'_>, worker: Option<&JobStatus>) -> Phase {
    let now = pass.status.phase;
    match pass.status.operation.as_ref() {
        _ if now == Phase::Deleting => Phase::Deleting,
        Some(operation) => match operation.kind {
            OperationKind::Rescale => Phase::Rescaling,
            OperationKind::Stop if operation.savepoint.is_some() => Phase::Savepointing,
            OperationKind::Stop | OperationKind::Upgrade => Phase::Upgrading,
            OperationKind::Rollback => Phase::RollingBack,
            OperationKind::Suspend => Phase::Suspending,
            OperationKind::Resume => Phase::Starting,
            OperationKind::Finalize => Phase::Deleting,
        },
        None if pass.status.revision.is_none() => now,
        None if matches!(now, Phase::Suspended | Phase::Finished) => now,
        None if pass.rollback_failure().is_some() => Phase::Failed,
        None => match worker.map(|worker| worker.phase) {
            Some(WorkerPhase::Running) => Phase::Running,
            Some(WorkerPhase::Rescaling) => Phase::Rescaling,
            Some(WorkerPhase::Failed) => Phase::Failed,
            // A worker that does not answer may still run, and one that has failed is not repaired by its silence.
            None if now == Phase::Running && pass.seen.pods.iter().any(|pod| pod.is_ready) => Phase::Running,
            None if now == Phase::Failed && matches!(pass.seen.worker, Worker::Silent(_)) => Phase::Failed,
            _ => Phase::Starting,
        },
    }
}

/// Takes over the worker's answer.
fn follow(status: &mut StreamJobStatus, worker: &JobStatus, now: Timestamp) {
    status.parallelism = worker.parallelism;
    status.attempt = status.attempt.max(worker.attempt);
    count_restarts(status, worker);
    if let Some(latest) = &worker.checkpoint {
        status.checkpoint = Some(CheckpointStatus {
            last_id: latest.id,
            completed_at: time(latest.completed_at_ms),
            duration: Shown::from_millis(latest.duration_ms),
            bytes: latest.bytes,
            uri: latest.uri.clone(),
            consecutive_failures: worker.checkpoint_failures,
        });
    } else if let Some(known) = &mut status.checkpoint {
        known.consecutive_failures = worker.checkpoint_failures;
    }
    status.progress = Some(progress(&worker.progress));
    if let Some(last) = &worker.last_rescale {
        status.last_rescale = Some(Rescale {
            from: last.from,
            to: last.to,
            moved_key_groups: last.moved_key_groups,
            duration: Shown::from_millis(last.duration_ms),
            pause: Shown::from_millis(last.pause_ms),
            at: time(last.at_ms),
        });
    }
    if let Some(last) = &worker.last_failure {
        let reason = match last.cause {
            api::FailureCause::Source => "SourceUnreachable",
            api::FailureCause::Sink => "SinkUnreachable",
            api::FailureCause::Storage => "StorageUnreachable",
            api::FailureCause::Record => "BadRecord",
            api::FailureCause::Evaluation => "EvaluationFailed",
            api::FailureCause::State => "StateMismatch",
            api::FailureCause::Job => "JobFailed",
        };
        // If the clock of a node is ahead, its failure must not hide the next one.
        let at = Time(whole_seconds(at_ms(last.at_ms)).min(now));
        note_failure(status, Failure { at, worker: 0, reason: reason.to_owned(), message: last.message.clone() });
    }
}

/// Records what the revision first restored. Later attempts restore the revision's own checkpoints.
fn note_restored_from(pass: &mut Pass<'_>, worker: &JobStatus) {
    let has_own = pass.has_own_checkpoint();
    if let Some(revision) = &mut pass.status.revision
        && revision.restored_from.is_none()
        && !has_own
    {
        revision.restored_from.clone_from(&worker.restored_from);
    }
}

fn time(ms: u64) -> Time {
    Time(whole_seconds(at_ms(ms)))
}

/// Counts the restarts that the process reports, and one for each new process.
fn count_restarts(status: &mut StreamJobStatus, worker: &JobStatus) {
    if status.process.is_none() && worker.phase == WorkerPhase::Stopped {
        return;
    }
    let started_at = time(worker.started_at_ms);
    status.restarts = match &status.process {
        Some(known) if known.started_at == started_at => {
            status.restarts + worker.restarts.saturating_sub(known.restarts)
        }
        Some(_) => status.restarts + worker.restarts + 1,
        None => status.restarts.max(worker.restarts),
    };
    status.process = Some(Process { started_at, restarts: worker.restarts });
}

fn progress(seen: &api::Progress) -> Progress {
    Progress {
        watermark: seen.watermark_ms.and_then(|ms| Timestamp::from_millisecond(ms).ok()).map(Time),
        watermark_lag: seen.watermark_lag_ms.map(coarse),
        lag_records: seen.lag_records,
        records_in_per_second: rounded(seen.records_in_per_second),
        late_records: seen.late_records,
        bad_records: seen.bad_records,
    }
}

/// A duration rounded down to the unit that people would use. Smaller units change with every reconcile, and nobody
/// acts on them.
fn coarse(ms: u64) -> Shown {
    const UNITS: [(u64, u64); 3] = [(10 * 86_400, 86_400), (10 * 3_600, 3_600), (10 * 60, 60)];
    let seconds = ms / 1000;
    let unit = UNITS.iter().find(|(from, _)| seconds >= *from).map_or(1, |(_, unit)| *unit);
    Shown::from_secs(seconds / unit * unit)
}

/// A rate, rounded down to three significant digits.
fn rounded(rate: f64) -> u64 {
    let whole = rate.max(0.0).round().min(1e15);
    // Checked just above: it fits.
    let mut number = whole as u64;
    let mut scale = 1;
    while number >= 1000 {
        number /= 10;
        scale *= 10;
    }
    number * scale
}

/// Records how containers have ended, and what keeps pods from running.
fn note_failures(pass: &mut Pass<'_>) {
    let now = pass.now;
    for pod in &pass.seen.pods {
        if let Some(end) = pod.last_end.as_ref().filter(|end| end.code != 0) {
            note_failure(&mut pass.status, ended(pod, end));
        }
        let Some(trouble) = &pod.trouble else { continue };
        let reason = match trouble.kind {
            TroubleKind::Evicted => "Evicted",
            TroubleKind::NodeLost => "NodeLost",
            TroubleKind::ImagePullFailed => "ImageUnavailable",
            // How the container has ended reports these.
            TroubleKind::CrashLoopBackOff | TroubleKind::OutOfMemory => continue,
            TroubleKind::ContainerConfigInvalid | TroubleKind::Unschedulable => continue,
            TroubleKind::FailedCreate | TroubleKind::FailedMount | TroubleKind::FailedAttachVolume => continue,
        };
        let is_known = pass
            .status
            .last_failure
            .as_ref()
            .is_some_and(|known| known.reason == reason && known.message == message::shown(&trouble.message));
        if !is_known {
            let failure = Failure {
                at: Time(now),
                worker: pod.ordinal,
                reason: reason.to_owned(),
                message: trouble.message.clone(),
            };
            note_failure(&mut pass.status, failure);
        }
    }
}

fn ended(pod: &Pod, end: &End) -> Failure {
    let reason = match (end.reason.as_str(), end.code) {
        ("OOMKilled", _) => "OutOfMemory",
        (_, 137) => "Killed",
        _ => "Crashed",
    };
    let message = match reason {
        "OutOfMemory" => format!("{} needed more memory than its limit", pod.name),
        "Killed" => format!("{} was killed", pod.name),
        _ => format!("{} ended with code {}", pod.name, end.code),
    };
    // Whoever is killed has no time to say why.
    let last_words = end.last_words.as_ref().filter(|_| reason == "Crashed");
    let message = last_words.map_or(message.clone(), |words| format!("{message}: {words}"));
    Failure { at: Time(whole_seconds(end.at)), worker: pod.ordinal, reason: reason.to_owned(), message }
}

/// Keeps the latest failure.
fn note_failure(status: &mut StreamJobStatus, mut failure: Failure) {
    failure.message = message::shown(&failure.message);
    if status.last_failure.as_ref().is_none_or(|known| known.at.0 < failure.at.0) {
        status.last_failure = Some(failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_holds_what_differs_and_takes_out_what_is_gone() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "e": [1], "f": "x"});
        let after = json!({"a": 1, "b": {"c": 1, "d": 3}, "e": [1, 2]});
        assert_eq!(difference(&before, &after), json!({"b": {"d": 3}, "e": [1, 2], "f": null}));
        assert!(difference(&after, &after).is_null());
    }

    #[test]
    fn figures_alone_are_stored_once_they_are_old_and_everything_else_at_once() {
        let before = StreamJobStatus { phase: Phase::Running, ..StreamJobStatus::default() };
        let figures =
            StreamJobStatus { summary: "2/2 slots".to_owned(), progress: Some(Progress::default()), ..before.clone() };
        let after = |seconds| changes(Some(&before), &figures, Some(Duration::from_secs(seconds)));
        assert!(after(29).is_null(), "{}", after(29));
        assert!(after(30).is_object());
        assert!(changes(Some(&before), &figures, None).is_object(), "it is not known when they were stored");
        let restarted = StreamJobStatus { restarts: 1, ..figures.clone() };
        assert!(changes(Some(&before), &restarted, Some(Duration::ZERO)).is_object());
        let starting = StreamJobStatus { phase: Phase::Starting, ..figures.clone() };
        assert!(
            changes(
                Some(&starting),
                &StreamJobStatus { summary: "starting".to_owned(), ..starting.clone() },
                Some(Duration::ZERO)
            )
            .is_object()
        );
        assert!(changes(Some(&figures), &figures, None).is_null());
    }

    #[test]
    fn a_lag_is_shown_in_one_unit() {
        for (ms, shown) in
            [(900, "0ms"), (59_900, "59s"), (700_000, "11m"), (90_000_000, "25h"), (22_946_137_000, "265d")]
        {
            assert_eq!(coarse(ms).to_string(), shown);
        }
    }

    #[test]
    fn a_rate_has_three_digits() {
        for (rate, shown) in [(0.2, 0), (999.4, 999), (15_326.0, 15_300), (1_234_567.0, 1_230_000), (-1.0, 0)] {
            assert_eq!(rounded(rate), shown, "{rate}");
        }
        assert_eq!(rounded(f64::NAN), 0);
    }
}
