//! Carries out the steps of a plan, in order. Every step may be carried out again.

use std::fmt::Debug;
use std::sync::Arc;

use eddyline_api::savepoint::StopRequest;
use eddyline_crds::{Savepoint, StreamJob};
use futures::future::BoxFuture;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tracing::{info, warn};

use crate::clock::{Timestamp, whole_seconds};
use crate::context::Context;
use crate::desired::{self, Children};
use crate::identity::{self, Identity};
use crate::names;
use crate::observed::{Applied, Observed};
use crate::ownership::{self, Ownership};
use crate::plan::Step;
use crate::savepoint::conditions::conditions;
use crate::worker_client::{self, WorkerClient};

/// A step that could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server has refused, or does not answer.
    #[error("failed to {step}")]
    Api {
        /// The step.
        step: &'static str,
        /// Why.
        source: kube::Error,
    },
    /// The worker has refused, or does not answer.
    #[error("failed to {step}")]
    Worker {
        /// The step.
        step: &'static str,
        /// Why.
        source: worker_client::Error,
    },
    /// An object of that name exists, and it is not the job's.
    #[error(
        "{kind} {name} is not the job's, and the job needs that name: rename or delete it, or give the job another name"
    )]
    Foreign {
        /// The kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An object of that name belongs to an earlier job of this name, and is deleted with it.
    #[error("{kind} {name} belongs to a deleted job of the same name and is about to be deleted")]
    NotYetGone {
        /// The kind of the object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// No identity could be made.
    #[error(transparent)]
    Identity(#[from] identity::Error),
}

impl Error {
    /// Whether the namespace refuses new objects because it is being deleted.
    pub fn is_namespace_going(&self) -> bool {
        let Self::Api { source: kube::Error::Api(status), .. } = self else { return false };
        let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
        status.code == 403
            && (causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
                || status.message.contains("because it is being terminated"))
    }

    /// What the API server says about an object that it refuses for good.
    pub fn objection(&self) -> Option<String> {
        if let Self::Foreign { .. } = self {
            return Some(self.to_string());
        }
        let Self::Api { step, source: kube::Error::Api(status) } = self else { return None };
        matches!(status.code, 400 | 403 | 422).then(|| format!("failed to {step}: {}", status.message))
    }
}

/// Carries out steps.
///
/// # Errors
/// A step that has failed; those after it were not begun.
pub async fn apply(context: &Context, seen: &Observed, steps: &[Step]) -> Result<(), Error> {
    for step in steps {
        carry_out(context, seen, step).await?;
        if !matches!(step, Step::Apply(_)) {
            info!(namespace = seen.namespace(), job = seen.name(), step = step.name(), "step carried out");
        }
    }
    Ok(())
}

async fn carry_out(context: &Context, seen: &Observed, step: &Step) -> Result<(), Error> {
    let api = Apis { context, namespace: seen.namespace() };
    let failed = |source| Error::Api { step: step.name(), source };
    match step {
        Step::SetFinalizer(is_set) => set_finalizer(&api, seen, *is_set).await.map_err(failed),
        Step::EnsureIdentity => ensure_identity(context, &api, seen, step).await,
        Step::Apply(children) => {
            // Check that all objects are the job's before changing any.
            check_children(&api, seen, children, failed).await?;
            apply_children(&api, children).await.map_err(failed).map(|()| {
                let applied = Applied { fingerprint: children.fingerprint(), at: context.clock.now() };
                context.set_applied(seen.uid(), Some(applied));
                context.forget_records(seen.uid());
            })
        }
        Step::DeleteStatefulSet => {
            let all = DeleteParams::background();
            delete::<StatefulSet>(&api.of(), &names::worker(seen.name()), &all).await.map_err(failed)
        }
        Step::DeletePod { name, uid, grace } => {
            let parameters = DeleteParams {
                grace_period_seconds: *grace,
                preconditions: Some(Preconditions { uid: Some(uid.clone()), resource_version: None }),
                ..DeleteParams::default()
            };
            context.forget_worker(seen.uid());
            delete::<Pod>(&api.of(), name, &parameters).await.map_err(failed)
        }
        Step::Rescale { parallelism } => ask_worker(context, seen, step, |worker| worker.rescale(*parallelism)).await,
        Step::Stop { savepoint, timeout } => {
            let timeout_ms = u64::try_from(timeout.as_millis()).ok();
            let request = StopRequest { savepoint: savepoint.clone(), timeout_ms };
            ask_worker(context, seen, step, |worker| worker.stop(request)).await
        }
        Step::CancelStop => ask_worker(context, seen, step, |worker| worker.resume()).await,
        Step::CreateSavepoint(savepoint) => {
            create_savepoint(&api, savepoint, whole_seconds(context.clock.now())).await.map_err(failed)
        }
        Step::DeleteSavepoint { name } => {
            delete::<Savepoint>(&api.of(), name, &DeleteParams::default()).await.map_err(failed)
        }
        Step::CreateBatchJob(job) => create::<Job>(&api.of(), job).await.map_err(failed),
        Step::PruneRevisions { keep } => prune_revisions(&api, seen, *keep).await.map_err(failed),
    }
}

struct Apis<'a> {
    context: &'a Context,
    namespace: &'a str,
}

impl Apis<'_> {
    fn of<K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>>(&self) -> Api<K> {
        Api::namespaced(self.context.client.clone(), self.namespace)
    }
}

async fn check_children(
    api: &Apis<'_>,
    seen: &Observed,
    children: &Children,
    failed: impl Fn(kube::Error) -> Error + Copy,
) -> Result<(), Error> {
    let Children { service_account, service, config_map, network_policy, disruption_budget, stateful_set } = children;
    check(api.of(), seen, service_account, failed).await?;
    check(api.of(), seen, service, failed).await?;
    check(api.of(), seen, config_map, failed).await?;
    check(api.of(), seen, network_policy, failed).await?;
    check(api.of(), seen, disruption_budget, failed).await?;
    check(api.of(), seen, stateful_set, failed).await
}

/// Checks that a child's name is free, or that the object of that name is the job's.
async fn check<K>(api: Api<K>, seen: &Observed, child: &K, failed: impl Fn(kube::Error) -> Error) -> Result<(), Error>
where
    K: k8s_openapi::Resource + Resource + Clone + Debug + DeserializeOwned,
{
    let name = child.meta().name.as_deref().unwrap_or_default();
    let found = api.get_metadata_opt(name).await.map_err(failed)?;
    found.map_or(Ok(()), |found| own(K::KIND, &found.metadata, seen))
}

fn own(kind: &'static str, metadata: &ObjectMeta, seen: &Observed) -> Result<(), Error> {
    let name = metadata.name.clone().unwrap_or_default();
    match ownership::of(metadata, &seen.job) {
        Ownership::Own => Ok(()),
        Ownership::Predecessor => Err(Error::NotYetGone { kind, name }),
        Ownership::Foreign => Err(Error::Foreign { kind, name }),
    }
}

async fn apply_children(api: &Apis<'_>, children: &Children) -> Result<(), kube::Error> {
    let Children { service_account, service, config_map, network_policy, disruption_budget, stateful_set } = children;
    patch(&api.of(), service_account).await?;
    patch(&api.of(), service).await?;
    patch(&api.of(), config_map).await?;
    patch(&api.of(), network_policy).await?;
    patch(&api.of(), disruption_budget).await?;
    patch(&api.of(), stateful_set).await
}

async fn patch<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let name = object.meta().name.as_deref().unwrap_or_default();
    let parameters = PatchParams::apply(names::MANAGER).force();
    api.patch_metadata(name, &parameters, &Patch::Apply(object)).await.map(|_| ())
}

/// Creates an object, unless it exists.
async fn create<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + Serialize + DeserializeOwned,
{
    let parameters = PostParams { field_manager: Some(names::MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&parameters, object).await {
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Deletes an object, unless it is gone or another object has taken its place.
async fn delete<K>(api: &Api<K>, name: &str, parameters: &DeleteParams) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    match api.delete(name, parameters).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        other => other.map(|_| ()),
    }
}

async fn set_finalizer(api: &Apis<'_>, seen: &Observed, is_set: bool) -> Result<(), kube::Error> {
    finalizer(&api.of::<StreamJob>(), &*seen.job, is_set).await
}

/// Removes the finalizer of an object that is being deleted and that this release cannot read. Otherwise the object
/// would stay for ever.
///
/// # Errors
/// The API server has refused, or does not answer.
pub async fn release_unreadable<K>(api: &Api<K>, name: &str) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let Some(bare) = api.get_metadata_opt(name).await? else { return Ok(()) };
    if bare.metadata.deletion_timestamp.is_none() {
        return Ok(());
    }
    set_finalizer_of(api, bare.metadata, false).await
}

/// Adds or removes the project's finalizer of an object.
pub(crate) async fn finalizer<K>(api: &Api<K>, object: &K, is_set: bool) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let uid = object.meta().uid.as_deref();
    let name = object.meta().name.as_deref().unwrap_or_default();
    // The list is replaced as a whole, so it must start from the current one.
    let fresh = match api.get_metadata_opt(name).await? {
        Some(fresh) if fresh.metadata.uid.as_deref() == uid => fresh,
        _ => return Ok(()),
    };
    set_finalizer_of(api, fresh.metadata, is_set).await
}

async fn set_finalizer_of<K>(api: &Api<K>, fresh: ObjectMeta, is_set: bool) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let name = fresh.name.unwrap_or_default();
    let mut finalizers = fresh.finalizers.unwrap_or_default();
    if finalizers.iter().any(|finalizer| finalizer == names::FINALIZER) == is_set {
        return Ok(());
    }
    finalizers.retain(|finalizer| finalizer != names::FINALIZER);
    if is_set {
        finalizers.push(names::FINALIZER.to_owned());
    }
    let metadata = json!({ "resourceVersion": fresh.resource_version, "finalizers": finalizers });
    let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
    match api.patch_metadata(&name, &parameters, &Patch::Merge(json!({ "metadata": metadata }))).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Creates the Secret if there is none, and renews certificates that are due.
async fn ensure_identity(context: &Context, api: &Apis<'_>, seen: &Observed, step: &Step) -> Result<(), Error> {
    let failed = |source| Error::Api { step: step.name(), source };
    let secrets = api.of::<Secret>();
    let name = names::identity(seen.name());
    let known = secrets.get_opt(&name).await.map_err(failed)?;
    if let Some(known) = &known {
        own("Secret", &known.metadata, seen)?;
    }
    let old = known.as_ref().and_then(Identity::read);
    let now = context.clock.now();
    let identity = match old {
        Some(identity) if identity.renew_after() > now => identity,
        old => {
            let identity = Identity::make(seen.namespace(), seen.name(), old.as_ref(), now)?;
            let secret = desired::identity::secret(&seen.job, &identity);
            patch(&secrets, &secret).await.map_err(failed)?;
            identity
        }
    };
    context.set_identity(seen.uid(), Some(Arc::new(identity)));
    Ok(())
}

async fn ask_worker(
    context: &Context,
    seen: &Observed,
    step: &Step,
    ask: impl for<'a> FnOnce(&'a dyn WorkerClient) -> BoxFuture<'a, Result<(), worker_client::Error>>,
) -> Result<(), Error> {
    let Some(client) = connected(context, seen) else {
        // The decision was made on an earlier answer of the worker. The next reconcile asks the worker again, or finds
        // it gone.
        warn!(namespace = seen.namespace(), job = seen.name(), step = step.name(), "no worker can be asked");
        return Ok(());
    };
    ask(&*client).await.map_err(|source| {
        context.metrics.worker_call_failed(step.name());
        Error::Worker { step: step.name(), source }
    })
}

/// A client of the worker. None if the worker has just not answered: a reconcile does not wait for a worker that will
/// probably be silent.
fn connected(context: &Context, seen: &Observed) -> Option<Arc<dyn WorkerClient>> {
    if seen.has_missed {
        return None;
    }
    let identity = seen.identity.as_ref()?;
    let address = seen.address.clone()?;
    context.worker(seen.uid(), &address, identity).ok()
}

async fn create_savepoint(api: &Apis<'_>, savepoint: &Savepoint, now: Timestamp) -> Result<(), kube::Error> {
    let savepoints = api.of::<Savepoint>();
    let mut bare = savepoint.clone();
    let status = bare.status.take().map(|mut status| {
        status.conditions = conditions(&status, now);
        status
    });
    create(&savepoints, &bare).await?;
    let Some(status) = status else { return Ok(()) };
    let name = savepoint.metadata.name.as_deref().unwrap_or_default();
    let parameters = PatchParams { field_manager: Some(names::MANAGER.to_owned()), ..PatchParams::default() };
    savepoints.patch_status(name, &parameters, &Patch::Merge(json!({ "status": status }))).await.map(|_| ())
}

async fn prune_revisions(api: &Apis<'_>, seen: &Observed, keep: u64) -> Result<(), kube::Error> {
    let config_maps = api.of::<ConfigMap>();
    let stays = names::revision(seen.name(), keep);
    let prefix = stays.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    let selector = ListParams::default().labels(&names::selector(seen.name()));
    for config_map in config_maps.list_metadata(&selector).await?.items {
        let is_own = ownership::of(&config_map.metadata, &seen.job) == Ownership::Own;
        let name = config_map.metadata.name.unwrap_or_default();
        if is_own && name != stays && name.starts_with(&prefix) {
            delete(&config_maps, &name, &DeleteParams::default()).await?;
        }
    }
    Ok(())
}
