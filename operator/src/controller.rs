//! What starts reconciles: watches, a queue, and timers.
//!
//! Only metadata is watched. A reconcile reads what it needs, so a watch only has to say when to start one.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use eddyline_api::message;
use eddyline_crds::{Savepoint, StreamJob};
use futures::channel::mpsc;
use futures::stream::{self, BoxStream};
use futures::{FutureExt as _, StreamExt as _};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::controller::{self, Action, ReconcileRequest, applier, trigger_owners, trigger_self, trigger_with};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{WatchStreamExt as _, predicates};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tracing::{debug, warn};

use crate::context::Context;
use crate::reconcile::{self, Next};
use crate::{backoff, names, polls, savepoint};

/// The number of concurrent reconciles. Most of the time a reconcile waits for the API server.
const CONCURRENCY: u16 = 32;

type Meta<K> = PartialObjectMeta<K>;
type Requests<K> = BoxStream<'static, Result<ReconcileRequest<Meta<K>>, watcher::Error>>;

/// A kind of objects that can be watched in a namespace.
trait Watched:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watched for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Runs the controllers of jobs and savepoints until it is dropped.
pub async fn run(context: Arc<Context>) {
    let scopes: Vec<Option<String>> = match context.settings.watch_namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    };
    let all = scopes
        .into_iter()
        .flat_map(|scope| [jobs(context.clone(), scope.clone()).boxed(), savepoints(context.clone(), scope).boxed()]);
    futures::future::join_all(all).await;
}

fn api<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(
    client: &Client,
    namespace: Option<&String>,
) -> Api<K> {
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

async fn jobs(context: Arc<Context>, scope: Option<String>) {
    let (reader, changes) = main_stream::<StreamJob>(&context, scope.as_ref());
    let requests = stream::select_all([
        changes,
        owned::<StatefulSet>(&context, scope.as_ref()),
        owned::<ConfigMap>(&context, scope.as_ref()),
        pods(&context, scope.as_ref()),
    ]);
    reconcile_jobs(context, reader, requests.boxed()).await;
}

/// Reconciles jobs on request, and asks their workers in between.
async fn reconcile_jobs(context: Arc<Context>, reader: Store<Meta<StreamJob>>, requests: Requests<StreamJob>) {
    let (ask, questions) = mpsc::unbounded();
    let (answered, answers) = mpsc::unbounded();
    let asking = context.clone();
    let queue = stream::select(requests, answers.map(|job: ObjectRef<Meta<StreamJob>>| Ok(job.into())));
    let reconciling = run_queue("StreamJob", context, reader, queue, move |context, object| {
        let ask = ask.clone();
        async move {
            let next = reconcile::reconcile(&context, &object.namespace, &object.name, &object.uid).await;
            Ok(match next.map_err(Error::Job)? {
                Next::Nothing => Action::await_change(),
                Next::After(again) => Action::requeue(again),
                Next::Ask(question) => {
                    if context.begin_asking(&object.uid) {
                        let job = ObjectRef::new(&object.name).within(&object.namespace);
                        // No questions come after the queue has ended.
                        let _ = ask.unbounded_send((question, job));
                    }
                    Action::await_change()
                }
            })
        }
    });
    futures::future::join(reconciling, polls::run(&asking, questions, answered)).await;
}

async fn savepoints(context: Arc<Context>, scope: Option<String>) {
    let (reader, changes) = main_stream::<Savepoint>(&context, scope.as_ref());
    run_queue("Savepoint", context, reader, changes, |context, object| async move {
        let pass = savepoint::reconcile(&context, &object.namespace, &object.name).await;
        pass.map(|again| again.map_or_else(Action::await_change, Action::requeue)).map_err(Error::Savepoint)
    })
    .await;
}

/// A reconcile that was not finished.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Job(reconcile::Error),
    #[error(transparent)]
    Savepoint(savepoint::Error),
}

/// What a reconcile is about.
struct Object {
    namespace: String,
    name: String,
    uid: String,
}

async fn run_queue<K, Queue, Pass, Passing>(
    kind: &'static str,
    context: Arc<Context>,
    reader: Store<Meta<K>>,
    queue: Queue,
    pass: Pass,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    Queue: stream::Stream<Item = Result<ReconcileRequest<Meta<K>>, watcher::Error>> + Send + 'static,
    Pass: Fn(Arc<Context>, Object) -> Passing + Send + Sync + 'static,
    Passing: Future<Output = Result<Action, Error>> + Send + 'static,
{
    let reconciler = move |object: Arc<Meta<K>>, context: Arc<Context>| {
        let namespace = object.metadata.namespace.clone().unwrap_or_default();
        let name = object.metadata.name.clone().unwrap_or_default();
        let uid = object.metadata.uid.clone().unwrap_or_default();
        let begun = Instant::now();
        let passing = pass(context.clone(), Object { namespace, name, uid: uid.clone() });
        async move {
            let result = passing.await;
            context.metrics.reconciled(kind, result.is_ok(), begun.elapsed());
            if result.is_ok() {
                context.succeeded(&uid);
            }
            result
        }
        .boxed()
    };
    let error_policy = |object: Arc<Meta<K>>, _: &Error, context: Arc<Context>| {
        let uid = object.metadata.uid.clone().unwrap_or_default();
        Action::requeue(backoff::after(context.failed(&uid), &uid))
    };
    let config = controller::Config::default().concurrency(CONCURRENCY);
    let metrics = &context.metrics.clone();
    let queue = Box::pin(queue);
    Box::pin(applier(reconciler, error_policy, context, reader, queue, config))
        .for_each(|result| async move {
            match result {
                Ok((object, _)) => debug!(kind, %object, "reconciled"),
                Err(controller::Error::ObjectNotFound(object)) => {
                    // A reconcile that was running when its job was deleted may have exported the job again.
                    if kind == StreamJob::kind(&()) {
                        metrics.job_gone(object.namespace.as_deref().unwrap_or_default(), &object.name);
                    }
                    debug!(kind, %object, "gone");
                }
                Err(controller::Error::ReconcilerFailed(error, object)) => {
                    warn!(kind, %object, error = message::chain_of(&error), "reconcile failed");
                }
                Err(error) => warn!(kind, error = message::chain_of(&error), "watch failed"),
            }
        })
        .await;
}

/// The objects themselves. A change of the spec and a deletion start a reconcile. The controller's own write of the
/// status does not.
fn main_stream<K: Watched>(context: &Arc<Context>, scope: Option<&String>) -> (Store<Meta<K>>, Requests<K>) {
    let (reader, writer) = reflector::store();
    let (forgetting, known, of) = (context.clone(), reader.clone(), scope.cloned());
    let changes = watcher(api::<Meta<K>>(&context.client, scope), watcher::Config::default())
        .default_backoff()
        .modify(|object| slim(&mut object.metadata))
        .reflect(writer)
        .inspect(move |event| {
            if let Ok(event) = event {
                forget_what_is_gone(&forgetting, of.as_deref(), &known, event);
            }
        })
        .applied_objects()
        .predicate_filter(predicates::generation, Default::default());
    (reader, trigger_self(changes, ()).boxed())
}

/// Forgets a deleted object, and the metrics of deleted jobs.
fn forget_what_is_gone<K: Watched>(
    context: &Context,
    scope: Option<&str>,
    known: &Store<Meta<K>>,
    event: &watcher::Event<Meta<K>>,
) {
    let is_of_jobs = K::kind(&()) == StreamJob::kind(&());
    match event {
        watcher::Event::Delete(object) => {
            let metadata = &object.metadata;
            context.forget(metadata.uid.as_deref().unwrap_or_default());
            if is_of_jobs {
                let (namespace, name) = (metadata.namespace.as_deref(), metadata.name.as_deref());
                context.metrics.job_gone(namespace.unwrap_or_default(), name.unwrap_or_default());
            }
        }
        // Objects that were deleted while no watch ran are missing in the list with which a new watch begins.
        watcher::Event::InitDone if is_of_jobs => {
            let exists = |namespace: &str, name: &str| known.get(&ObjectRef::new(name).within(namespace)).is_some();
            context.metrics.jobs_left(scope, exists);
        }
        _ => {}
    }
}

/// Keeps only the metadata that decides when to reconcile.
fn slim(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.annotations = None;
}

/// The controller's own objects of a kind.
fn own<K: Watched>(
    context: &Arc<Context>,
    scope: Option<&String>,
) -> impl stream::Stream<Item = Result<watcher::Event<Meta<K>>, watcher::Error>> + Send + 'static {
    let selector = format!("{}={}", names::MANAGED_BY_LABEL, names::MANAGER);
    watcher(api::<Meta<K>>(&context.client, scope), watcher::Config::default().labels(&selector))
        .default_backoff()
        .modify(|object| slim(&mut object.metadata))
}

/// Children by owner. A deleted child has to be applied again.
fn owned<K: Watched>(context: &Arc<Context>, scope: Option<&String>) -> Requests<StreamJob> {
    let forgetting = context.clone();
    let touched = own::<K>(context, scope)
        .inspect(move |event| {
            if let Ok(watcher::Event::Delete(object)) = event {
                for owner in object.metadata.owner_references.iter().flatten() {
                    forgetting.set_applied(&owner.uid, None);
                }
            }
        })
        .touched_objects();
    trigger_owners(touched, (), ()).boxed()
}

/// Pods by label: their owner is the StatefulSet.
fn pods(context: &Arc<Context>, scope: Option<&String>) -> Requests<StreamJob> {
    let touched = own::<Pod>(context, scope).touched_objects();
    trigger_with(touched, |pod: Meta<Pod>| job_of(pod.metadata.labels.as_ref(), pod.metadata.namespace.as_deref()))
        .boxed()
}

fn job_of(labels: Option<&BTreeMap<String, String>>, namespace: Option<&str>) -> Option<ObjectRef<Meta<StreamJob>>> {
    Some(ObjectRef::new(labels?.get(names::JOB_LABEL)?).within(namespace?))
}

#[cfg(test)]
mod tests;
