//! Savepoint objects: asks the job for the savepoint, follows it, and deletes its data if the object asks for that.

use std::sync::Arc;
use std::time::Duration;

use eddyline_api::SavepointRequest;
use eddyline_api::message;
use eddyline_crds::savepoint::DeletionPolicy;
use eddyline_crds::{Savepoint, SavepointStatus, StreamJob};
use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Resource as _};
use serde_json::json;
use tracing::info;

use crate::apply;
use crate::clock::whole_seconds;
use crate::context::Context;
use crate::desired::cleanup;
use crate::events::{Event, Reason};
use crate::names;
use crate::observe::{self, Look};
use crate::observed::{BatchJob, Observed, Worker};
use crate::reconcile;
use crate::status::difference;
use crate::worker_client::{self, WorkerClient};

pub(crate) mod conditions;
mod decision;

use decision::{Copy, Decision, Ending, Seen, Writing};

/// A reconcile that was not finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server does not answer, or has refused.
    #[error("failed to {action} for the savepoint {savepoint}")]
    Api {
        /// The savepoint.
        savepoint: String,
        /// What was tried.
        action: &'static str,
        /// Why.
        source: kube::Error,
    },
    /// The worker does not answer, or has refused.
    #[error("failed to ask for the savepoint {savepoint}")]
    Worker {
        /// The savepoint.
        savepoint: String,
        /// Why.
        source: worker_client::Error,
    },
}

/// The wait until the next reconcile of an object that changed during this one.
const CHANGED_MEANWHILE: Duration = Duration::from_millis(100);
/// The wait until the next reconcile if the worker has not been asked yet.
const UNASKED: Duration = Duration::from_secs(1);

/// One reconcile of a savepoint. Returns the wait until the next one. None if nothing is left to do.
///
/// # Errors
/// The reconcile was not finished. The next one continues.
pub async fn reconcile(context: &Context, namespace: &str, name: &str) -> Result<Option<Duration>, Error> {
    if context.claims.of(namespace).is_some() {
        return Ok(Some(reconcile::LEFT));
    }
    let api: Api<Savepoint> = Api::namespaced(context.client.clone(), namespace);
    let at = Place { context, api: &api, namespace, name };
    let found = api.get_opt(name).await;
    if let Err(kube::Error::SerdeError(_)) = found {
        let released = apply::release_unreadable(&api, name).await;
        released.map_err(|source| at.failed("take off the finalizer", source))?;
    }
    let Some(savepoint) = found.map_err(|source| at.failed("read the object", source))? else {
        return Ok(None);
    };
    if savepoint.metadata.deletion_timestamp.is_some() {
        return at.end(&savepoint).await;
    }
    let is_described = savepoint.status.as_ref().is_some_and(|status| !status.conditions.is_empty());
    if decision::is_over(&savepoint) && is_described {
        return Ok(None);
    }
    if let Some(by) = decision::copied_by(&savepoint).filter(|_| !decision::is_over(&savepoint)) {
        return at.follow_copy(&savepoint, by).await;
    }
    let job = &savepoint.spec.job_ref.name;
    let look = observe::glance(context, namespace, job).await;
    let seen = match look.map_err(|source| at.failed("observe the job", source))? {
        Look::Seen(seen) => Some(*seen),
        Look::Gone => None,
        // The reconcile of the job asks its worker.
        Look::Unasked(_) => return Ok(Some(UNASKED)),
    };
    let client = seen.as_ref().and_then(|seen| connected(context, seen));
    let uid = savepoint.metadata.uid.clone().unwrap_or_default();
    let taken = match &client {
        Some(client) if decision::is_asked_for(&savepoint) => {
            client.savepoint(uid.clone()).await.map_err(|source| at.unanswered(source))?
        }
        _ => None,
    };
    let view = Seen { savepoint: &savepoint, job: seen.as_ref(), taken, now: whole_seconds(context.clock.now()) };
    let Decision { status, ask, again } = decision::decide(&view);
    if !at.record(&savepoint, &status, seen.as_ref().map(|seen| &*seen.job)).await? {
        return Ok(Some(CHANGED_MEANWHILE));
    }
    if ask && let Some(client) = client {
        at.prepare(&savepoint).await?;
        let request = SavepointRequest { name: uid, folder: savepoint.spec.uri.clone() };
        client.take_savepoint(request).await.map_err(|source| at.unanswered(source))?;
    }
    Ok(again)
}

fn connected(context: &Context, seen: &Observed) -> Option<Arc<dyn WorkerClient>> {
    if !matches!(seen.worker, Worker::Says(_)) || seen.has_missed {
        return None;
    }
    context.worker(seen.uid(), seen.address.as_ref()?, seen.identity.as_ref()?).ok()
}

struct Place<'a> {
    context: &'a Context,
    api: &'a Api<Savepoint>,
    namespace: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn failed(&self, action: &'static str, source: kube::Error) -> Error {
        Error::Api { savepoint: format!("{}/{}", self.namespace, self.name), action, source }
    }

    fn unanswered(&self, source: worker_client::Error) -> Error {
        self.context.metrics.worker_call_failed("savepoint");
        Error::Worker { savepoint: format!("{}/{}", self.namespace, self.name), source }
    }

    /// A savepoint that a batch job makes.
    async fn follow_copy(&self, savepoint: &Savepoint, by: &str) -> Result<Option<Duration>, Error> {
        let uid = savepoint.metadata.uid.as_deref().unwrap_or_default();
        let job = self.batch_job(by).await?;
        let check = match job {
            BatchJob::Absent => self.batch_job(&names::savepoint_check(self.name, uid)).await?,
            _ => BatchJob::Absent,
        };
        let now = whole_seconds(self.context.clock.now());
        let (Decision { status, again, .. }, is_looked_for) =
            decision::follow_copy(savepoint, &Copy { by, job, check }, now);
        if !self.record(savepoint, &status, None).await? {
            return Ok(Some(CHANGED_MEANWHILE));
        }
        if is_looked_for && let (Some(uri), Some(origin)) = (&status.uri, &status.origin) {
            let job = cleanup::check_of_savepoint(savepoint, uri, origin, &self.context.settings);
            self.create(&job).await?;
        }
        Ok(again)
    }

    async fn batch_job(&self, name: &str) -> Result<BatchJob, Error> {
        let found = observe::batch_job(self.context, self.namespace, name).await;
        found.map_err(|source| self.failed("read the batch job", source))
    }

    /// Creates a batch job, unless it exists. Returns why the API server refuses every batch job, as in a namespace
    /// that is being deleted.
    async fn create(&self, job: &Job) -> Result<Option<String>, Error> {
        let jobs: Api<Job> = Api::namespaced(self.context.client.clone(), self.namespace);
        match jobs.create(&PostParams::default(), job).await {
            Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(None),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(Some(status.message.clone())),
            Err(source) => Err(self.failed("create the batch job", source)),
            Ok(_) => Ok(None),
        }
    }

    /// Makes sure that the data can be deleted even after its job is gone.
    async fn prepare(&self, savepoint: &Savepoint) -> Result<(), Error> {
        let finalizers = savepoint.metadata.finalizers.as_deref().unwrap_or_default();
        let is_set = finalizers.iter().any(|finalizer| finalizer == names::FINALIZER);
        if savepoint.spec.deletion_policy != DeletionPolicy::Delete || is_set {
            return Ok(());
        }
        let set = apply::finalizer(self.api, savepoint, true).await;
        set.map_err(|source| self.failed("prepare its deletion", source))
    }

    /// Stores the status. Returns `false` if the object has changed since it was read: then nothing is decided.
    async fn record(
        &self,
        savepoint: &Savepoint,
        next: &SavepointStatus,
        job: Option<&StreamJob>,
    ) -> Result<bool, Error> {
        let before = savepoint.status.as_ref().map_or_else(|| json!({}), |status| json!(status));
        let mut next = next.clone();
        next.message = next.message.as_deref().map(message::shown);
        next.conditions = conditions::conditions(&next, whole_seconds(self.context.clock.now()));
        let changes = difference(&before, &json!(next));
        if changes.is_null() {
            return Ok(true);
        }
        let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
        let metadata = json!({ "resourceVersion": savepoint.metadata.resource_version, "uid": savepoint.metadata.uid });
        let patch = Patch::Merge(json!({ "metadata": metadata, "status": changes }));
        match self.api.patch_status(self.name, &parameters, &patch).await {
            Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => return Ok(false),
            other => other.map_err(|source| self.failed("record the status", source))?,
        };
        let Some(job) = job else { return Ok(true) };
        if let Some((reason, message)) = decision::event(savepoint, &next) {
            info!(savepoint = self.name, message, "transition");
            let events = [Event::new(reason, message)];
            self.context.recorder.publish(&job.object_ref(&()), &events, self.context.clock.now()).await;
        }
        Ok(true)
    }

    /// Handles an object that is being deleted. Its data is deleted first, if that is wanted and possible.
    async fn end(&self, savepoint: &Savepoint) -> Result<Option<Duration>, Error> {
        let uid = savepoint.metadata.uid.as_deref().unwrap_or_default();
        let cleanup = self.batch_job(&names::savepoint_cleanup(self.name, uid)).await?;
        let writing = self.writing(savepoint).await?;
        let now = whole_seconds(self.context.clock.now());
        let (ending, again) = decision::end(savepoint, &cleanup, &writing, now);
        match ending {
            Ending::Wait => return Ok(again),
            Ending::Record(status) => {
                self.record(savepoint, &status, None).await?;
                return Ok(again);
            }
            Ending::Delete { uri, origin } => {
                let job = cleanup::of_savepoint(savepoint, &uri, &origin, &self.context.settings);
                let Some(refusal) = self.create(&job).await? else { return Ok(again) };
                self.leave(savepoint, &format!("{uri} was not deleted: {refusal}")).await;
            }
            Ending::Leave(message) => self.leave(savepoint, &message).await,
            Ending::LetGo => {}
        }
        let released = apply::finalizer(self.api, savepoint, false).await;
        released.map_err(|source| self.failed("take off the finalizer", source))?;
        Ok(None)
    }

    /// Asks the worker about a savepoint whose data should be deleted and whose end is not recorded.
    async fn writing(&self, savepoint: &Savepoint) -> Result<Writing, Error> {
        if !decision::is_asked_for(savepoint) || savepoint.spec.deletion_policy != DeletionPolicy::Delete {
            return Ok(Writing::Nothing);
        }
        let seen = match observe::glance(self.context, self.namespace, &savepoint.spec.job_ref.name).await {
            Ok(Look::Seen(seen)) => seen,
            Ok(Look::Gone) => return Ok(Writing::Nothing),
            Ok(Look::Unasked(_)) => return Ok(Writing::Silence),
            // A job of another release counts as silent, so that it cannot hold the object for ever.
            Err(kube::Error::SerdeError(_)) => return Ok(Writing::Silence),
            Err(source) => return Err(self.failed("observe the job", source)),
        };
        let uid = savepoint.metadata.uid.clone().unwrap_or_default();
        Ok(match (&seen.worker, connected(self.context, &seen)) {
            (Worker::Absent, _) => Writing::Nothing,
            (Worker::Silent(_), _) | (_, None) => Writing::Silence,
            (Worker::Says(_), Some(client)) => match client.savepoint(uid).await {
                Ok(Some(taken)) => Writing::Is(taken),
                Ok(None) => Writing::Nothing,
                Err(_) => Writing::Silence,
            },
        })
    }

    async fn leave(&self, savepoint: &Savepoint, message: &str) {
        let events = [Event::new(Reason::StateLeft, message)];
        self.context.recorder.publish(&savepoint.object_ref(&()), &events, self.context.clock.now()).await;
    }
}
