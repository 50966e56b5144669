//! The deletion of a job. Kubernetes collects the children. Here it is decided what happens to the state.
//!
//! An object is always gone by its deadline. What could not be done by then is left and reported.

use std::time::Duration;

use eddyline_api::{Phase as WorkerPhase, SavepointRequest, SavepointState};
use eddyline_crds::savepoint::{DeletionPolicy, SavepointPhase};
use eddyline_crds::status::{OperationKind, Phase};
use eddyline_crds::stream_job::{NameRef, OnDelete};
use eddyline_crds::{Savepoint, SavepointSpec, SavepointStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::Step;
use super::pass::{Pass, SOON};
use super::pods;
use crate::clock::since;
use crate::desired::{cleanup, config_map, labels};
use crate::events::Reason;
use crate::names;
use crate::observed::BatchJob;

/// How long an object stays at most after its deletion was requested.
pub const DEADLINE: Duration = Duration::from_secs(45);
/// How long the controller waits for a silent worker.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long a worker may take for a last savepoint. After that the savepoint is made without the worker.
const STOP_MAX: Duration = Duration::from_secs(25);
/// The grace period in seconds in which a worker can take a checkpoint, before the latest one is copied.
const STOP_GRACE: u32 = 10;

pub(super) fn decide(pass: &mut Pass<'_>) {
    pass.status.phase = Phase::Deleting;
    pass.look_again(SOON);
    let finalizers = pass.seen.job.metadata.finalizers.as_deref().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == names::FINALIZER) {
        return;
    }
    let policy = pass.seen.job.spec.savepoints.on_delete;
    if policy == OnDelete::Retain || pass.status.revision.is_none() {
        return pass.step(Step::SetFinalizer(false));
    }
    if pass.status.operation.as_ref().is_none_or(|operation| operation.kind != OperationKind::Finalize) {
        pass.begin(OperationKind::Finalize, None, None);
    }
    if pass.seen.is_namespace_going {
        return leave_state(pass, "the namespace is being deleted");
    }
    // What was done in the last moment counts, and a copy outlives the job.
    let is_done = [&pass.seen.copy, &pass.seen.cleanup].iter().any(|job| matches!(job, BatchJob::Done { .. }));
    if asked_for_since(pass) >= DEADLINE && pass.seen.copy != BatchJob::Running && !is_done {
        return leave_state(pass, &format!("not done within {} s", DEADLINE.as_secs()));
    }
    match policy {
        OnDelete::Final => save(pass),
        OnDelete::Delete => delete(pass),
        OnDelete::Retain => {}
    }
}

fn asked_for_since(pass: &Pass<'_>) -> Duration {
    let asked = pass.seen.job.metadata.deletion_timestamp.as_ref();
    asked.map(|asked| since(asked.0, pass.now)).unwrap_or_default()
}

/// Takes a last savepoint, and leaves an object that says where it is. A worker that answers stops with the savepoint.
/// Otherwise the savepoint is a copy of the latest checkpoint.
fn save(pass: &mut Pass<'_>) {
    match has_storage(pass) {
        Some(true) => {}
        Some(false) => return pass.step(Step::SetFinalizer(false)),
        None => return leave_state(pass, "the record of its revision is missing"),
    }
    if pass.seen.copy != BatchJob::Absent {
        return copy(pass);
    }
    // Only the savepoint of the current suspension is the job's last state. After every other savepoint the job ran
    // again.
    if let Some(uri) = pass.status.suspended_with.clone() {
        return leave(pass, uri, SavepointPhase::Completed, None);
    }
    let waited = asked_for_since(pass);
    match pass.worker() {
        Some(worker) if worker.phase == WorkerPhase::Stopped => {
            let with = worker.stopped_with.as_ref().filter(|with| with.state == SavepointState::Completed);
            match with.and_then(|with| with.uri.clone().map(|uri| (uri, with.checkpoint))) {
                Some((uri, checkpoint)) => {
                    pass.savepoint_taken(&uri, "the job was deleted");
                    leave(pass, uri, SavepointPhase::Completed, checkpoint);
                }
                None => copy(pass),
            }
        }
        Some(worker) if pass.can_be_stopped() && waited < STOP_MAX => {
            if worker.phase == WorkerPhase::Running {
                let name = "final".to_owned();
                let savepoint = Some(SavepointRequest { name, folder: None });
                pass.step(Step::Stop { savepoint, timeout: DEADLINE });
            }
        }
        Some(_) => copy(pass),
        None => {
            let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
            let is_hopeless = pass.seen.trouble(number).is_some();
            let is_at_rest = pass.seen.stateful_set.as_ref().is_none_or(|set| set.replicas == 0 || set.is_going);
            if is_hopeless || is_at_rest || waited >= SILENCE_MAX {
                copy(pass);
            }
        }
    }
}

/// Whether the job has checkpoint storage. None if the record of its revision is missing.
fn has_storage(pass: &Pass<'_>) -> Option<bool> {
    pass.record.as_ref().map(|record| record.storage.is_some())
}

/// Copies the latest checkpoint into the last savepoint, once no worker writes there.
fn copy(pass: &mut Pass<'_>) {
    let Some(to) = pass.inputs().map(config_map::worker_config).and_then(|config| config.savepoint_folder()) else {
        return leave_state(pass, "the job has no folder for savepoints");
    };
    let to = format!("{to}/{}", names::last_savepoint(pass.seen.name(), pass.seen.uid()));
    match pass.seen.copy.clone() {
        BatchJob::Done { checkpoint } => {
            pass.savepoint_taken(&to, "the job was deleted; it is a copy of its latest checkpoint");
            leave(pass, to, SavepointPhase::Completed, checkpoint);
        }
        BatchJob::Failed(why) => leave_state(pass, &why),
        // The state may be large. So the job does not wait for the copy: the Savepoint that is left records how it
        // ends.
        BatchJob::Running if asked_for_since(pass) >= DEADLINE => leave(pass, to, SavepointPhase::InProgress, None),
        BatchJob::Running => {}
        BatchJob::Absent if pass.status.checkpoint.is_none() => {
            leave_state(pass, "the job has not completed a checkpoint")
        }
        BatchJob::Absent => {
            // A worker that only cannot be reached takes a checkpoint when its pod ends.
            stop_writing(pass, STOP_GRACE);
            if pass.seen.pods.is_empty()
                && let Some(inputs) = pass.inputs()
            {
                let job = cleanup::copy_of_job(inputs, &to);
                pass.step(Step::CreateBatchJob(Box::new(job)));
            }
        }
    }
}

fn leave(pass: &mut Pass<'_>, uri: String, phase: SavepointPhase, checkpoint: Option<u64>) {
    let job = pass.seen.name();
    let name = names::last_savepoint(job, pass.seen.uid());
    let spec =
        SavepointSpec { job_ref: NameRef { name: job.to_owned() }, uri: None, deletion_policy: DeletionPolicy::Retain };
    let mut savepoint = Savepoint::new(&name, spec);
    savepoint.metadata.namespace = pass.seen.job.metadata.namespace.clone();
    savepoint.metadata.labels = Some(labels(job));
    let is_complete = phase == SavepointPhase::Completed;
    let copied_by = (pass.seen.copy != BatchJob::Absent).then_some(name);
    let message = match (&copied_by, is_complete) {
        (None, _) => format!("the last savepoint of {job}, taken when it was deleted"),
        (Some(_), true) => format!("the last savepoint of {job}: its latest checkpoint when it was deleted"),
        (Some(by), false) => format!("the latest checkpoint of {job} is being copied by the batch job {by}"),
    };
    savepoint.status = Some(SavepointStatus {
        observed_generation: 1,
        phase,
        uri: Some(uri),
        checkpoint: checkpoint.and_then(|number| i64::try_from(number).ok()),
        completed_at: is_complete.then_some(Time(pass.now)),
        origin: if is_complete { None } else { pass.seen.origin() },
        copied_by,
        message: Some(message),
        ..SavepointStatus::default()
    });
    pass.step(Step::CreateSavepoint(Box::new(savepoint)));
    pass.step(Step::SetFinalizer(false));
}

/// Deletes the job's folder and its savepoints, once no worker can write there.
fn delete(pass: &mut Pass<'_>) {
    match has_storage(pass) {
        Some(true) => {}
        Some(false) => return pass.step(Step::SetFinalizer(false)),
        None => return leave_state(pass, "the record of its revision is missing"),
    }
    match pass.seen.cleanup.clone() {
        BatchJob::Done { .. } => pass.step(Step::SetFinalizer(false)),
        BatchJob::Failed(why) => leave_state(pass, &why),
        BatchJob::Running => {}
        BatchJob::Absent => {
            // A checkpoint that the worker takes now would be deleted right after.
            stop_writing(pass, 1);
            if pass.seen.pods.is_empty()
                && let Some(inputs) = pass.inputs()
            {
                let job = cleanup::of_job(inputs, &pass.seen.retained);
                pass.step(Step::CreateBatchJob(Box::new(job)));
            }
        }
    }
}

/// Deletes the StatefulSet and the pods. On a lost node, pods are deleted without waiting for them to end.
fn stop_writing(pass: &mut Pass<'_>, grace: u32) {
    if pass.seen.stateful_set.as_ref().is_some_and(|set| !set.is_going) {
        pass.step(Step::DeleteStatefulSet);
    }
    for pod in &pass.seen.pods {
        let is_lost = pod.is_lost(pass.now);
        if pod.going_since.is_none() || is_lost {
            pass.step(pods::delete(pod, Some(if is_lost { 0 } else { grace })));
        }
    }
}

/// Releases the object, and reports what stays in storage.
fn leave_state(pass: &mut Pass<'_>, why: &str) {
    let folder = pass.inputs().map(config_map::worker_config).and_then(|config| {
        Some((format!("{}/{}", config.checkpoint.uri.as_ref()?.trim_end_matches('/'), config.folder()), config))
    });
    let places = match &folder {
        Some((folder, config)) => match config.savepoint_folder() {
            Some(savepoints) => format!("{folder} and {savepoints}"),
            None => folder.clone(),
        },
        None => "the job's checkpoint storage".to_owned(),
    };
    let message = match pass.seen.job.spec.savepoints.on_delete {
        OnDelete::Final => format!(
            "no last savepoint was taken: {why}. The latest checkpoint is left in {places}{}",
            pass.status.checkpoint.as_ref().map(|latest| format!(": {}", latest.uri)).unwrap_or_default()
        ),
        OnDelete::Delete | OnDelete::Retain => format!("the state was not deleted: {why}. It is left in {places}"),
    };
    pass.emit(Reason::StateLeft, message);
    pass.step(Step::SetFinalizer(false));
}
