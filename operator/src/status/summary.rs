//! The one line about a job that people read first.

use eddyline_api::JobStatus;
use eddyline_api::message;
use eddyline_crds::status::Phase;

use super::reasons::Type;
use crate::observed::Worker;
use crate::plan::Pass;
use crate::validate::Verdict;

/// The longest summary.
const LENGTH_MAX: usize = 160;

pub(super) fn summary(pass: &Pass<'_>, worker: Option<&JobStatus>) -> String {
    let line = message::shown(&text(pass, worker));
    let first = line.lines().next().unwrap_or_default();
    if first.chars().count() <= LENGTH_MAX {
        return first.to_owned();
    }
    let cut: String = first.chars().take(LENGTH_MAX - 1).collect();
    format!("{cut}…")
}

fn text(pass: &Pass<'_>, worker: Option<&JobStatus>) -> String {
    let status = &pass.status;
    let number = status.revision.as_ref().map_or(0, |revision| revision.number);
    let trouble = pass.seen.trouble(number).map(|trouble| trouble.message.as_str());
    match status.phase {
        Phase::Pending => match pass.verdict {
            Verdict::Rejected(rejection) => rejection.message.clone(),
            Verdict::Accepted(_) => super::conditions::waiting(pass).unwrap_or_else(|| "not started yet".to_owned()),
        },
        Phase::Suspended => match (&status.suspended_with, &pass.record) {
            (Some(uri), _) => format!("suspended, resumes from {uri}"),
            (None, Some(record)) if record.storage.is_some() => {
                "suspended without a savepoint, resumes from its latest checkpoint".to_owned()
            }
            (None, Some(_)) => "suspended, resumes without state: it has no checkpoint storage".to_owned(),
            (None, None) => "suspended before its first start".to_owned(),
        },
        Phase::Finished => "all input has been read".to_owned(),
        Phase::Failed => super::conditions::find(&status.conditions, Type::Stalled)
            .map_or_else(|| "the job has failed".to_owned(), |stalled| stalled.message.clone()),
        Phase::Running | Phase::Rescaling => running(pass, worker),
        phase => match (trouble, worker) {
            (Some(trouble), _) => format!("{}: {trouble}", verb(phase)),
            (None, Some(worker)) => {
                let why = worker.message.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
                format!("{}, the worker is {}{why}", verb(phase), worker.phase)
            }
            (None, None) => match &pass.seen.worker {
                Worker::Silent(_) => format!("{}, the worker does not answer", verb(phase)),
                Worker::Absent | Worker::Says(_) => format!("{}, no worker yet", verb(phase)),
            },
        },
    }
}

fn verb(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Starting => "starting",
        Phase::Running => "running",
        Phase::Savepointing => "taking a savepoint",
        Phase::Rescaling => "rescaling",
        Phase::Upgrading => "upgrading",
        Phase::RollingBack => "rolling back",
        Phase::Suspending => "suspending",
        Phase::Suspended => "suspended",
        Phase::Finished => "finished",
        Phase::Failed => "failed",
        Phase::Deleting => "deleting",
    }
}

fn running(pass: &Pass<'_>, worker: Option<&JobStatus>) -> String {
    let status = &pass.status;
    let wanted = pass.parallelism();
    let Some(worker) = worker else {
        return format!("{}/{wanted} slots when last seen; the worker does not answer", status.parallelism);
    };
    let mut parts = vec![format!("{}/{wanted} slots", worker.parallelism)];
    if let Some(lag) = worker.progress.watermark_lag_ms {
        parts.push(format!("watermark lag {}", super::coarse(lag)));
    }
    if let Some(records) = worker.progress.lag_records {
        parts.push(format!("{records} records behind"));
    }
    match &status.checkpoint {
        Some(latest) if latest.consecutive_failures > 0 => {
            parts.push(format!("{} checkpoints failed in a row", latest.consecutive_failures));
        }
        Some(latest) => parts.push(format!("checkpoint {} at {}", latest.last_id, latest.completed_at.0)),
        None => parts.push("no checkpoint yet".to_owned()),
    }
    parts.join(", ")
}
