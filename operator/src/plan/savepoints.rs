//! Savepoints by schedule: requests them when they are due, and deletes them when they expire.

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_api::Phase as WorkerPhase;
use eddyline_crds::savepoint::DeletionPolicy;
use eddyline_crds::stream_job::{NameRef, OnDelete};
use eddyline_crds::{Savepoint, SavepointSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::Step;
use super::pass::Pass;
use crate::clock::{Timestamp, since};
use crate::desired::{labels, owner};
use crate::names;
use crate::schedule::{Schedule, expired, savepoint_name};

/// How late a scheduled savepoint may be requested. After that, the schedule's next time counts.
const LATENESS_MAX: Duration = Duration::from_secs(600);

pub(super) fn keep(pass: &mut Pass<'_>) {
    let rules = &pass.seen.job.spec.savepoints;
    for name in expired(&pass.seen.scheduled, rules, pass.now) {
        pass.step(Step::DeleteSavepoint { name });
    }
    let Some(schedule) = rules.schedule.as_deref().and_then(|text| Schedule::parse(text).ok()) else { return };
    if let Some(next) = schedule.next(pass.now) {
        // Half a second later, so that the time has come when the reconcile begins.
        pass.look_again(since(pass.now, next) + Duration::from_millis(500));
    }
    let is_running = pass.worker().is_some_and(|worker| worker.phase == WorkerPhase::Running);
    if !is_running || pass.status.operation.is_some() {
        return;
    }
    if let Some(due) = schedule.due(last(pass), pass.now)
        && since(due, pass.now) < LATENESS_MAX
    {
        let savepoint = scheduled(pass, due);
        pass.step(Step::CreateSavepoint(Box::new(savepoint)));
    }
}

/// When the last scheduled savepoint was requested. If there is none, when the job was created.
fn last(pass: &Pass<'_>) -> Timestamp {
    let created = |metadata: &kube::core::ObjectMeta| metadata.creation_timestamp.as_ref().map(|time| time.0);
    let of_job = created(&pass.seen.job.metadata);
    let of_savepoints = pass.seen.scheduled.iter().filter_map(|savepoint| created(&savepoint.metadata));
    of_savepoints.chain(of_job).max().unwrap_or(Timestamp::UNIX_EPOCH)
}

fn scheduled(pass: &Pass<'_>, at: Timestamp) -> Savepoint {
    let job = pass.seen.name();
    let spec =
        SavepointSpec { job_ref: NameRef { name: job.to_owned() }, uri: None, deletion_policy: DeletionPolicy::Delete };
    let mut savepoint = Savepoint::new(&savepoint_name(job, at), spec);
    savepoint.metadata.namespace = pass.seen.job.metadata.namespace.clone();
    let mut labels: BTreeMap<String, String> = labels(job);
    labels.insert(names::SCHEDULED_FOR_LABEL.to_owned(), job.to_owned());
    savepoint.metadata.labels = Some(labels);
    if pass.seen.job.spec.savepoints.on_delete != OnDelete::Retain {
        savepoint.metadata.owner_references =
            Some(vec![OwnerReference { controller: None, block_owner_deletion: None, ..owner(&pass.seen.job) }]);
    }
    savepoint
}
