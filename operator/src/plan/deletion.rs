//! The end of a job. Kubernetes collects the children; what is decided here is what becomes of the state.
//!
//! Whatever happens, an object is gone in the time it is given: what could not be done by then is told and left.

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
use crate::observed::{Cleanup, Worker};

/// How long after the deletion was asked for the object stays at most.
pub const DEADLINE: Duration = Duration::from_secs(45);
/// When a worker that does not answer is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);

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
        return give_up(pass, "the namespace is being deleted");
    }
    if asked_for_since(pass) >= DEADLINE {
        return give_up(pass, &format!("not done within {} s", DEADLINE.as_secs()));
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

/// Takes a last savepoint, and leaves an object that says where it is.
fn save(pass: &mut Pass<'_>) {
    if pass.record.as_ref().is_none_or(|record| record.storage.is_none()) {
        return pass.step(Step::SetFinalizer(false));
    }
    let before = pass.seen.job.status.as_ref().map(|status| status.phase).unwrap_or_default();
    match pass.worker() {
        Some(worker) if worker.phase == WorkerPhase::Stopped => {
            let with = worker.stopped_with.as_ref().filter(|with| with.state == SavepointState::Completed);
            match with.and_then(|with| with.uri.clone().map(|uri| (uri, with.checkpoint))) {
                Some((uri, checkpoint)) => {
                    pass.savepoint_taken(&uri, "the job was deleted");
                    leave(pass, uri, checkpoint);
                }
                None => give_up(pass, "the worker has stopped without a savepoint"),
            }
        }
        Some(worker) if pass.can_be_stopped() => {
            if worker.phase == WorkerPhase::Running {
                let name = "final".to_owned();
                pass.step(Step::Stop { savepoint: Some(SavepointRequest { name, folder: None }) });
            }
        }
        Some(worker) => give_up(pass, &format!("the job is {:?}", worker.phase)),
        // Only the savepoint of a suspension that still lasts is the job's last state: after every other one it ran on.
        None if pass.seen.pods.is_empty() && is_at_rest(pass, before) => match pass.status.suspended_with.clone() {
            Some(uri) => leave(pass, uri, None),
            None => give_up(pass, "no worker runs"),
        },
        None => {
            let number = pass.status.revision.as_ref().map_or(0, |revision| revision.number);
            let trouble = pass.seen.trouble(number).map(|trouble| trouble.message.clone());
            let silence = match &pass.seen.worker {
                Worker::Silent(why) => why.clone(),
                Worker::Absent | Worker::Says(_) => "no worker runs".to_owned(),
            };
            if let Some(trouble) = trouble {
                give_up(pass, &trouble);
            } else if asked_for_since(pass) >= SILENCE_MAX {
                give_up(pass, &silence);
            }
        }
    }
}

/// Whether no worker is on its way.
fn is_at_rest(pass: &Pass<'_>, before: Phase) -> bool {
    matches!(before, Phase::Suspended | Phase::Finished)
        || pass.seen.stateful_set.as_ref().is_none_or(|set| set.replicas == 0 || set.is_going)
}

fn leave(pass: &mut Pass<'_>, uri: String, checkpoint: Option<u64>) {
    let job = pass.seen.name();
    let spec =
        SavepointSpec { job_ref: NameRef { name: job.to_owned() }, uri: None, deletion_policy: DeletionPolicy::Retain };
    let mut savepoint = Savepoint::new(&names::last_savepoint(job, pass.seen.uid()), spec);
    savepoint.metadata.namespace = pass.seen.job.metadata.namespace.clone();
    savepoint.metadata.labels = Some(labels(job));
    savepoint.status = Some(SavepointStatus {
        observed_generation: 1,
        phase: SavepointPhase::Completed,
        uri: Some(uri),
        checkpoint: checkpoint.and_then(|number| i64::try_from(number).ok()),
        started_at: None,
        completed_at: Some(Time(pass.now)),
        message: Some(format!("the last savepoint of {job}, taken when it was deleted")),
    });
    pass.step(Step::CreateSavepoint(Box::new(savepoint)));
    pass.step(Step::SetFinalizer(false));
}

/// Deletes the job's folder and its savepoints, once nothing can write there any more.
fn delete(pass: &mut Pass<'_>) {
    if pass.record.as_ref().is_none_or(|record| record.storage.is_none()) {
        return pass.step(Step::SetFinalizer(false));
    }
    match pass.seen.cleanup.clone() {
        Cleanup::Done => pass.step(Step::SetFinalizer(false)),
        Cleanup::Failed(why) => give_up(pass, &why),
        Cleanup::Running => {}
        Cleanup::Absent => {
            if pass.seen.stateful_set.as_ref().is_some_and(|set| !set.is_going) {
                pass.step(Step::DeleteStatefulSet);
            }
            for pod in &pass.seen.pods {
                // What a worker would still save is deleted right after; on a lost node nobody waits for its end.
                let grace = if pod.is_lost(pass.now) { 0 } else { 1 };
                if pod.going_since.is_none() || grace == 0 {
                    pass.step(pods::delete(pod, Some(grace)));
                }
            }
            if pass.seen.pods.is_empty()
                && let Some(inputs) = pass.inputs()
            {
                let job = cleanup::of_job(inputs, &pass.seen.retained);
                pass.step(Step::CreateCleanup(Box::new(job)));
            }
        }
    }
}

/// Lets the object go, and says what stays behind.
fn give_up(pass: &mut Pass<'_>, why: &str) {
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
    let story = match pass.seen.job.spec.savepoints.on_delete {
        OnDelete::Final => format!(
            "no last savepoint was taken: {why}. The latest checkpoint is left in {places}{}",
            pass.status.checkpoint.as_ref().map(|latest| format!(": {}", latest.uri)).unwrap_or_default()
        ),
        OnDelete::Delete | OnDelete::Retain => format!("the state was not deleted: {why}. It is left in {places}"),
    };
    pass.tell(Reason::StorageUnreachable, story);
    pass.step(Step::SetFinalizer(false));
}
