//! One reconcile of a job: observe, validate, plan, record, apply.

use std::time::Duration;

use eddyline_crds::StreamJob;
use kube::{Api, Resource as _};
use tracing::{debug, info};

use crate::apply;
use crate::context::Context;
use crate::events::{Event, Reason};
use crate::observe::{self, Look};
use crate::observed::Observed;
use crate::plan::{self, Plan};
use crate::polls::Question;
use crate::status;
use crate::validate::{self, Verdict};

/// A reconcile that was not finished.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The job could not be observed.
    #[error("failed to observe the job {job}")]
    Observe {
        /// The job.
        job: String,
        /// Why.
        source: kube::Error,
    },
    /// Its status could not be stored.
    #[error("failed to record the status of the job {job}")]
    Record {
        /// The job.
        job: String,
        /// Why.
        source: kube::Error,
    },
    /// A step could not be carried out.
    #[error("failed to carry out a step for the job {job}")]
    Apply {
        /// The job.
        job: String,
        /// Which and why.
        source: apply::Error,
    },
}

/// The wait until the next reconcile of an object that changed during this one.
const CHANGED_MEANWHILE: Duration = Duration::from_millis(100);

/// The wait until the next check whether another release still serves a job.
pub const LEFT: Duration = Duration::from_secs(30);

/// What follows a reconcile.
#[derive(Debug)]
pub enum Next {
    /// Nothing: the job is gone.
    Nothing,
    /// Another one, after this at the latest.
    After(Duration),
    /// Another one, once the worker has been asked.
    Ask(Question),
}

/// One reconcile of a job. Its uid leads to the worker that has to be asked first.
///
/// # Errors
/// The reconcile was not finished. The next one continues.
pub async fn reconcile(context: &Context, namespace: &str, name: &str, uid: &str) -> Result<Next, Error> {
    if let Some(lease) = context.claims.of(namespace) {
        return leave(context, namespace, name, &lease).await;
    }
    if let Some(question) = context.next_question(uid) {
        return Ok(Next::Ask(question));
    }
    decide(context, namespace, name).await
}

/// Leaves a job to an older release that also serves its namespace, and emits an event.
async fn leave(context: &Context, namespace: &str, name: &str, lease: &str) -> Result<Next, Error> {
    context.metrics.job_gone(namespace, name);
    let api: Api<StreamJob> = Api::namespaced(context.client.clone(), namespace);
    let found = api.get_metadata_opt(name).await;
    let found = found.map_err(|source| Error::Observe { job: format!("{namespace}/{name}"), source })?;
    let Some(job) = found else { return Ok(Next::Nothing) };
    if context.begin_leaving(job.metadata.uid.as_deref().unwrap_or_default(), lease) {
        let message = format!(
            "the release with the Lease {} leaves this job to the one with the Lease {lease}, which is older and serves the \
             namespace {namespace} too: give the two releases different watchNamespaces",
            context.settings.lease
        );
        let events = [Event::new(Reason::ReleasesOverlap, message)];
        context.recorder.publish(&job.object_ref(&()), &events, context.clock.now()).await;
    }
    Ok(Next::After(LEFT))
}

async fn decide(context: &Context, namespace: &str, name: &str) -> Result<Next, Error> {
    let job = || format!("{namespace}/{name}");
    let mut seen = match observe::observe(context, namespace, name).await {
        Ok(Look::Seen(seen)) => *seen,
        Ok(Look::Unasked(question)) => return Ok(Next::Ask(question)),
        Ok(Look::Gone) => {
            context.metrics.job_gone(namespace, name);
            return Ok(Next::Nothing);
        }
        Err(source) => {
            if matches!(source, kube::Error::SerdeError(_)) {
                let api: Api<StreamJob> = Api::namespaced(context.client.clone(), namespace);
                let released = apply::release_unreadable(&api, name).await;
                released.map_err(|source| Error::Observe { job: job(), source })?;
            }
            return Err(Error::Observe { job: job(), source });
        }
    };
    let verdict = validate::validate(&seen, &context.settings, &context.planner).await;
    seen.objection_to_return = validate::objection_to_return(&seen, &context.planner).await;
    match record_and_apply(context, &seen, &verdict).await {
        Err(Error::Apply { source, .. }) if source.is_namespace_going() => {
            // The namespace refuses new objects, so there is nothing to wait for.
            seen.is_namespace_going = true;
            if seen.job.metadata.deletion_timestamp.is_some() {
                let plan = plan::plan(&verdict, &seen, &context.settings, context.clock.now());
                carry_out(context, &seen, &plan).await?;
            }
            Ok(Next::After(Duration::from_secs(5)))
        }
        other => other,
    }
}

async fn record_and_apply(context: &Context, seen: &Observed, verdict: &Verdict) -> Result<Next, Error> {
    let plan = plan::plan(verdict, seen, &context.settings, context.clock.now());
    let job = || format!("{}/{}", seen.namespace(), seen.name());
    let api: Api<StreamJob> = Api::namespaced(context.client.clone(), seen.namespace());
    match status::record(&api, &seen.job, &plan.status, context.stored_ago(seen.uid())).await {
        Ok(true) => context.stored(seen.uid()),
        Ok(false) => {}
        Err(kube::Error::Api(status)) if status.code == 409 => {
            debug!(job = job(), "the job has changed meanwhile");
            return Ok(Next::After(CHANGED_MEANWHILE));
        }
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Next::Nothing),
        Err(source) => return Err(Error::Record { job: job(), source }),
    }
    context.metrics.job_seen(seen.namespace(), seen.name(), &plan.status);
    for event in &plan.events {
        info!(job = job(), reason = event.reason.as_str(), message = event.message, "transition");
    }
    context.recorder.publish(&seen.job.object_ref(&()), &plan.events, context.clock.now()).await;
    carry_out(context, seen, &plan).await?;
    Ok(Next::After(plan.requeue))
}

async fn carry_out(context: &Context, seen: &Observed, plan: &Plan) -> Result<(), Error> {
    let applied = apply::apply(context, seen, &plan.steps).await;
    let objection = applied.as_ref().err().and_then(apply::Error::objection);
    if applied.is_ok() || objection.is_some() {
        context.set_objection(seen.uid(), objection);
    }
    applied.map_err(|source| Error::Apply { job: format!("{}/{}", seen.namespace(), seen.name()), source })
}
