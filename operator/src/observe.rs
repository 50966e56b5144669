//! Observes a job and its objects. Reads only.

use std::sync::Arc;

use eddyline_api::savepoint::{CopiedSavepoint, Problem};
use eddyline_crds::savepoint::DeletionPolicy;
use eddyline_crds::stream_job::OnDelete;
use eddyline_crds::{Savepoint, StreamJob, StreamJobStatus};
use k8s_openapi::api::apps::v1;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams};

use crate::context::{Context, Missed};
use crate::desired::config_map;
use crate::identity::Identity;
use crate::names;
use crate::observed::{BatchJob, Observed, Pod, Sql, StatefulSet, Trouble, TroubleKind, Worker};
use crate::ownership::{self, Ownership};
use crate::polls::Question;
use crate::revision::Record;
use crate::status::conditions::{self, Type};
use crate::validate;
use crate::worker_client::Address;

mod nodes;
mod pods;
mod troubles;

/// The result of observing a job.
#[derive(Debug)]
pub enum Look {
    /// The job is gone.
    Gone,
    /// The worker has to be asked first.
    Unasked(Question),
    /// Everything that a decision about the job needs.
    Seen(Box<Observed>),
}

/// Observes a job in order to decide about it.
///
/// # Errors
/// The API server does not answer. A worker that does not answer is an observation and not an error.
pub async fn observe(context: &Context, namespace: &str, name: &str) -> Result<Look, kube::Error> {
    look(context, namespace, name, true).await
}

/// Observes a job for a decision about something else. The worker's last answer is good enough for that.
///
/// # Errors
/// As for [`observe`].
pub async fn glance(context: &Context, namespace: &str, name: &str) -> Result<Look, kube::Error> {
    look(context, namespace, name, false).await
}

async fn look(context: &Context, namespace: &str, name: &str, is_decisive: bool) -> Result<Look, kube::Error> {
    let jobs: Api<StreamJob> = Api::namespaced(context.client.clone(), namespace);
    let Some(mut job) = jobs.get_opt(name).await? else { return Ok(Look::Gone) };
    job.metadata.managed_fields = None;
    let job = Arc::new(job);
    let uid = job.metadata.uid.clone().unwrap_or_default();
    let view = View { context, namespace, name, uid: &uid, job: &job };
    let status = job.status.clone().unwrap_or_default();
    let identity = view.identity().await?;
    let (mut pods, address) = pods::pods(context, namespace, name, known_pull_failure(&status)).await?;
    let address = address.map(|ip| Address { namespace: namespace.to_owned(), job: name.to_owned(), ip });
    let is_troubled = pods.iter().any(|pod| pod.trouble.is_some());
    let (worker, has_missed) = match view.worker(identity.as_ref(), address.as_ref(), is_troubled, is_decisive) {
        Ok(heard) => heard,
        Err(question) => return Ok(Look::Unasked(question)),
    };
    let record = view.record(status.revision.as_ref().map(|revision| revision.number)).await?;
    if let Some(record) = &record {
        view.note_missing_secrets(&mut pods, record).await?;
    }
    for pod in &mut pods {
        troubles::note_of_pod(context, namespace, pod).await?;
    }
    let (stateful_set, refusal) = view.stateful_set(pods.is_empty()).await?;
    let previous = status.operation.as_ref().and_then(|operation| operation.previous.as_ref());
    Ok(Look::Seen(Box::new(Observed {
        sql: view.sql().await?,
        stateful_set,
        refusal,
        pods,
        worker,
        has_missed,
        address,
        record,
        previous: view.record(previous.map(|revision| revision.number)).await?,
        objection_to_return: None,
        identity,
        restore_from: view.restore_from(status.checkpoint.is_some()).await?,
        scheduled: view.scheduled().await?,
        retained: view.retained().await?,
        cleanup: view.errand(OnDelete::Delete, names::cleanup(name, &uid)).await?,
        copy: view.errand(OnDelete::Final, names::last_savepoint(name, &uid)).await?,
        predecessors: view.predecessors().await?,
        applied: context.applied(&uid),
        objection: context.objection(&uid),
        is_namespace_going: false,
        job: job.clone(),
    })))
}

/// The last known trouble of the workers, if it is that their image cannot be pulled.
fn known_pull_failure(status: &StreamJobStatus) -> Option<&str> {
    let known = conditions::find(&status.conditions, Type::Running)?;
    (known.reason == TroubleKind::ImagePullFailed.as_str()).then_some(&*known.message)
}

struct View<'a> {
    context: &'a Context,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
    job: &'a StreamJob,
}

impl View<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.context.client.clone(), self.namespace)
    }

    async fn sql(&self) -> Result<Sql, kube::Error> {
        let spec = &self.job.spec;
        let Some(from) = &spec.sql_from else {
            return Ok(Sql::Text(spec.sql.clone().unwrap_or_default()));
        };
        let reference = &from.config_map_key_ref;
        let config_map = self.api::<ConfigMap>().get_opt(&reference.name).await?;
        Ok(match config_map.map(|config_map| config_map.data.unwrap_or_default().remove(&reference.key)) {
            Some(Some(text)) => Sql::Text(text),
            Some(None) => Sql::Missing(format!("the ConfigMap {} has no key {}", reference.name, reference.key)),
            None => Sql::Missing(format!("there is no ConfigMap {}", reference.name)),
        })
    }

    /// The StatefulSet. If it should have pods and has none: also why none can be created.
    async fn stateful_set(
        &self,
        has_no_pods: bool,
    ) -> Result<(Option<StatefulSet>, Option<(u64, Trouble)>), kube::Error> {
        let name = names::worker(self.name);
        let set = self.api::<v1::StatefulSet>().get_opt(&name).await?;
        // A StatefulSet of that name with another owner is not the job's.
        let set = set.filter(|set| ownership::of(&set.metadata, self.job) == Ownership::Own);
        let uid = set.as_ref().and_then(|set| set.metadata.uid.clone()).unwrap_or_default();
        let set = set.map(|set| {
            let is_going = set.metadata.deletion_timestamp.is_some();
            let spec = set.spec;
            let annotations = spec.template.metadata.unwrap_or_default().annotations.unwrap_or_default();
            StatefulSet {
                replicas: spec.replicas.unwrap_or(1),
                revision: annotations.get(names::REVISION_ANNOTATION).and_then(|text| text.parse().ok()),
                has_claims: spec.volume_claim_templates.is_some_and(|claims| !claims.is_empty()),
                is_going,
            }
        });
        let refusal = match set.as_ref().filter(|set| has_no_pods && set.replicas > 0 && !set.is_going) {
            Some(StatefulSet { revision: Some(revision), .. }) => {
                let trouble = troubles::of_set(self.context, self.namespace, &name, &uid).await?;
                trouble.map(|trouble| (*revision, trouble))
            }
            _ => None,
        };
        Ok((set, refusal))
    }

    async fn identity(&self) -> Result<Option<Arc<Identity>>, kube::Error> {
        if let Some(identity) = self.context.identity(self.uid) {
            return Ok(Some(identity));
        }
        if self.job.status.as_ref().is_none_or(|status| status.revision.is_none()) {
            return Ok(None);
        }
        let secret = self.api::<Secret>().get_opt(&names::identity(self.name)).await?;
        let identity = secret.as_ref().and_then(Identity::read).map(Arc::new);
        self.context.set_identity(self.uid, identity.clone());
        Ok(identity)
    }

    /// The worker's answer, and whether it is an earlier one because the worker does not answer now.
    ///
    /// # Errors
    /// The worker has to be asked first.
    fn worker(
        &self,
        identity: Option<&Arc<Identity>>,
        address: Option<&Address>,
        is_troubled: bool,
        is_decisive: bool,
    ) -> Result<(Worker, bool), Question> {
        let (Some(identity), Some(address)) = (identity, address) else {
            self.context.forget_worker(self.uid);
            return Ok((Worker::Absent, false));
        };
        let client = match self.context.worker(self.uid, address, identity) {
            Ok(client) => client,
            Err(error) => return Ok((Worker::Silent(error.to_string()), true)),
        };
        Ok(match self.context.heard(self.uid, address.ip, is_decisive) {
            Some(Ok(status)) => (Worker::Says(Box::new(status)), false),
            Some(Err(Missed { why, before })) => {
                // Kubernetes reports trouble with the pod, which explains the silence.
                let known = before.filter(|_| !is_troubled);
                (known.map_or(Worker::Silent(why), |known| Worker::Says(Box::new(known))), true)
            }
            None => return Err(Question { uid: self.uid.to_owned(), from: address.ip, client }),
        })
    }

    async fn record(&self, revision: Option<u64>) -> Result<Option<Arc<Record>>, kube::Error> {
        let Some(revision) = revision else { return Ok(None) };
        if let Some(record) = self.context.record(self.uid, revision) {
            return Ok(Some(record));
        }
        let config_map = self.api::<ConfigMap>().get_opt(&names::revision(self.name, revision)).await?;
        // Skip a ConfigMap of an earlier job of this name.
        let own = config_map.filter(|config_map| ownership::has_owner(&config_map.metadata, self.job));
        let record = own.as_ref().and_then(config_map::record).map(Arc::new);
        if let Some(record) = &record {
            self.context.set_record(self.uid, revision, record.clone());
        }
        Ok(record)
    }

    /// A pod waits silently for the Secrets that it mounts. So while it waits, this looks for them.
    async fn note_missing_secrets(&self, pods: &mut [Pod], record: &Record) -> Result<(), kube::Error> {
        let waits = |pod: &Pod| !pod.has_run && pod.trouble.is_none() && pod.node.is_some();
        if !pods.iter().any(waits) {
            return Ok(());
        }
        let mut names = validate::secrets(record.sql());
        names.extend(record.storage.iter().filter_map(|storage| Some(storage.secret_ref.as_ref()?.name.clone())));
        for name in names {
            if self.api::<Secret>().get_metadata_opt(&name).await?.is_none() {
                for pod in pods.iter_mut().filter(|pod| waits(pod)) {
                    let message = format!("{} waits for the Secret {name}, which does not exist", pod.name);
                    pod.trouble = Some(Trouble { kind: TroubleKind::ContainerConfigInvalid, message });
                }
            }
        }
        Ok(())
    }

    async fn restore_from(&self, has_run: bool) -> Result<Option<Savepoint>, kube::Error> {
        match &self.job.spec.restore_from.savepoint_ref {
            Some(reference) if !has_run => self.api::<Savepoint>().get_opt(&reference.name).await,
            _ => Ok(None),
        }
    }

    async fn scheduled(&self) -> Result<Vec<Savepoint>, kube::Error> {
        let rules = &self.job.spec.savepoints;
        // The rules for keeping scheduled savepoints also hold after the schedule was removed.
        if rules.schedule.is_none() && rules.keep.is_none() && rules.max_age.is_none() {
            return Ok(Vec::new());
        }
        let selector = format!("{}={}", names::SCHEDULED_FOR_LABEL, self.name);
        let found = self.savepoints(&ListParams::default().labels(&selector)).await?;
        Ok(found.into_iter().filter_map(|object| object.try_parse().ok()).collect())
    }

    /// Savepoint objects as they are stored. An object that this release cannot read must not hide the others.
    async fn savepoints(&self, which: &ListParams) -> Result<Vec<DynamicObject>, kube::Error> {
        let kind = ApiResource::erase::<Savepoint>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.context.client.clone(), self.namespace, &kind);
        Ok(api.list(which).await?.items)
    }

    /// The URIs of the savepoints that stay when the state of the job is deleted.
    async fn retained(&self) -> Result<Vec<String>, kube::Error> {
        if self.job.metadata.deletion_timestamp.is_none() || self.job.spec.savepoints.on_delete != OnDelete::Delete {
            return Ok(Vec::new());
        }
        let stays = |savepoint: &Savepoint| {
            savepoint.spec.job_ref.name == self.name && savepoint.spec.deletion_policy == DeletionPolicy::Retain
        };
        let uri = |object: DynamicObject| {
            let uri = object.data["status"]["uri"].as_str().map(str::to_owned);
            // A savepoint that cannot be read stays: nothing says that it may be deleted.
            object.try_parse().map_or(true, |savepoint| stays(&savepoint)).then_some(uri)?
        };
        Ok(self.savepoints(&ListParams::default()).await?.into_iter().filter_map(uri).collect())
    }

    /// One of the two batch jobs that the deletion of this job can start.
    async fn errand(&self, policy: OnDelete, name: String) -> Result<BatchJob, kube::Error> {
        if self.job.metadata.deletion_timestamp.is_none() || self.job.spec.savepoints.on_delete != policy {
            return Ok(BatchJob::Absent);
        }
        batch_job(self.context, self.namespace, &name).await
    }

    /// The batch jobs of deleted jobs of this name. They still work in the folder that this job will use.
    async fn predecessors(&self) -> Result<Vec<String>, kube::Error> {
        let is_new = self.job.status.as_ref().is_none_or(|status| status.revision.is_none());
        if !is_new || self.job.metadata.deletion_timestamp.is_some() {
            return Ok(Vec::new());
        }
        let selector =
            format!("app.kubernetes.io/name={},app.kubernetes.io/instance={}", names::CLEANUP_NAME, self.name);
        let jobs = self.api::<Job>().list(&ListParams::default().labels(&selector)).await?.items;
        let kinds = ["cleanup", "final"].map(|kind| format!("{}-{kind}-", self.name));
        let name = |job: &Job| job.metadata.name.clone().unwrap_or_default();
        let runs = |job: &Job| end_of(job).is_none() && kinds.iter().any(|kind| name(job).starts_with(kind));
        Ok(jobs.iter().filter(|job| runs(job)).map(name).collect())
    }
}

/// The state of a batch job.
///
/// # Errors
/// The API server does not answer.
pub async fn batch_job(context: &Context, namespace: &str, name: &str) -> Result<BatchJob, kube::Error> {
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let Some(job) = jobs.get_opt(name).await? else { return Ok(BatchJob::Absent) };
    let Some(end) = end_of(&job) else { return Ok(BatchJob::Running) };
    let words = pods::last_words_of_batch_job(context, namespace, name).await?;
    Ok(match end {
        Ok(()) => {
            let report = words.and_then(|words| serde_json::from_str::<CopiedSavepoint>(&words).ok());
            BatchJob::Done { checkpoint: report.map(|report| report.checkpoint) }
        }
        Err(why) => {
            let problem =
                |words: String| serde_json::from_str::<Problem>(&words).map(|problem| problem.message).unwrap_or(words);
            let why = words.map_or(why, problem);
            BatchJob::Failed(format!("the batch job {name} has failed: {why}"))
        }
    })
}

/// How a batch job has ended, if it has.
fn end_of(job: &Job) -> Option<Result<(), String>> {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds = |kind: &str| conditions.iter().find(|condition| condition.type_ == kind && condition.status == "True");
    match (holds("Complete"), holds("Failed")) {
        (Some(_), _) => Some(Ok(())),
        (None, Some(failed)) => Some(Err(failed.message.clone().unwrap_or_default())),
        (None, None) => None,
    }
}
