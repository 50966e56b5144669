//! One reconcile of a job: what was observed, and the plan as it grows.

use std::sync::Arc;
use std::time::Duration;

use eddyline_api::{JobStatus, Phase as WorkerPhase};
use eddyline_crds::StreamJobStatus;
use eddyline_crds::status::{Operation, OperationKind, Phase, Revision, RolledBack, SavepointTaken};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::{Plan, Step, start};
use crate::clock::{Timestamp, since, whole_seconds};
use crate::desired::{Children, Inputs};
use crate::events::{Event, Reason};
use crate::names;
use crate::observed::{Observed, Worker};
use crate::revision::{From, Record};
use crate::settings::Settings;
use crate::status;
use crate::status::conditions::{self, Type};
use crate::validate::{Accepted, Verdict};

/// The wait until the next reconcile while an operation is in progress.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// The wait until the next reconcile after a decision that others follow.
pub(super) const AT_ONCE: Duration = Duration::from_millis(50);
/// The wait until the next reconcile of a job that is not Ready.
pub(super) const UNREADY: Duration = Duration::from_secs(2);
/// The wait until the next reconcile of a healthy job, to keep its status fresh.
pub(super) const SETTLED: Duration = Duration::from_secs(8);
/// The longest wait until the next reconcile while an operation takes long.
const LATER: Duration = Duration::from_secs(30);
/// The wait until the next reconcile of a job that waits for a change of its spec.
pub(super) const WAITING: Duration = Duration::from_secs(120);
/// How often unchanged children are applied again.
const APPLY_AGAIN: Duration = Duration::from_secs(600);

/// One reconcile of a job.
#[derive(Debug)]
pub struct Pass<'a> {
    /// The verdict on the spec.
    pub verdict: &'a Verdict,
    /// What was observed.
    pub seen: &'a Observed,
    /// The controller's settings.
    pub settings: &'a Settings,
    /// The time.
    pub now: Timestamp,
    /// The next status.
    pub status: StreamJobStatus,
    /// The record of the revision in the next status.
    pub record: Option<Arc<Record>>,
    steps: Vec<Step>,
    events: Vec<Event>,
    requeue: Duration,
}

impl<'a> Pass<'a> {
    /// A reconcile without a decision so far.
    pub fn new(verdict: &'a Verdict, seen: &'a Observed, settings: &'a Settings, now: Timestamp) -> Self {
        let status = seen.job.status.clone().unwrap_or_default();
        let record = Self::record_of(&status, verdict, seen);
        Self {
            verdict,
            seen,
            settings,
            now: whole_seconds(now),
            status,
            record,
            steps: Vec::new(),
            events: Vec::new(),
            requeue: SETTLED,
        }
    }

    /// The record of the revision in a status. If the revision has no ConfigMap yet, the record comes from the spec,
    /// unless that has changed since.
    fn record_of(status: &StreamJobStatus, verdict: &Verdict, seen: &Observed) -> Option<Arc<Record>> {
        let revision = status.revision.as_ref()?;
        if let Some(record) = &seen.record {
            return Some(record.clone());
        }
        let rolled_back_to = seen.previous.iter().find(|record| record.hash() == revision.hash);
        let accepted = verdict.accepted().filter(|accepted| accepted.hash == revision.hash);
        let record = rolled_back_to
            .map(|record| Record::clone(record))
            .or_else(|| accepted.map(|accepted| accepted.record.clone()))?;
        Some(Arc::new(Record { image: revision.image.clone(), ..record }))
    }

    /// Adds a step.
    pub fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// Adds an event.
    pub fn emit(&mut self, reason: Reason, message: impl Into<String>) {
        self.events.push(Event::new(reason, message));
    }

    /// Reconciles again after this time at the latest.
    pub fn look_again(&mut self, after: Duration) {
        self.requeue = self.requeue.min(after);
    }

    /// Reconciles again after this time, and not sooner.
    pub fn wait(&mut self, after: Duration) {
        self.requeue = after;
    }

    /// The accepted spec, unless it was rolled back.
    pub fn wanted(&self) -> Option<&'a Accepted> {
        let accepted = self.verdict.accepted()?;
        let is_rolled_back = self.status.rolled_back.as_ref().is_some_and(|back| back.hash == accepted.hash);
        (!is_rolled_back).then_some(accepted)
    }

    /// The accepted spec, if it needs a new revision.
    pub fn wanted_change(&self) -> Option<&'a Accepted> {
        let wanted = self.wanted()?;
        let revision = self.status.revision.as_ref()?;
        // The hash is computed again from the record: a newer controller may know more fields than the one that wrote
        // it.
        let is_same =
            wanted.hash == revision.hash || self.record.as_ref().is_some_and(|record| record.hash() == wanted.hash);
        (!is_same).then_some(wanted)
    }

    /// The number of slots that the job should have.
    pub fn parallelism(&self) -> u16 {
        match (self.verdict, &self.record) {
            (Verdict::Accepted(accepted), _) => accepted.record.spec.parallelism,
            // Parallelism is not part of a revision. So it is followed even now, up to the maxParallelism of the running
            // revision.
            (Verdict::Rejected(_), Some(record)) => {
                let (asked, known) = (self.seen.job.spec.parallelism, &record.spec);
                let fits_keys = u32::from(asked) <= known.max_parallelism;
                let fits_worker = known.workers.slots == 0 || asked <= known.workers.slots;
                if fits_keys && fits_worker { asked } else { known.parallelism }
            }
            (Verdict::Rejected(_), None) => self.seen.job.spec.parallelism,
        }
    }

    /// The answer of the worker. None if the worker runs another revision.
    pub fn worker(&self) -> Option<&'a JobStatus> {
        let revision = self.status.revision.as_ref()?;
        match &self.seen.worker {
            Worker::Says(says) if says.start == names::start_token(self.seen.uid(), revision.number) => Some(says),
            _ => None,
        }
    }

    /// Whether the revision runs and, if it has storage, has completed a checkpoint.
    pub fn is_ready(&self) -> bool {
        let has_storage = self.record.as_ref().is_some_and(|record| record.storage.is_some());
        self.worker().is_some_and(|worker| status::is_ready(worker, has_storage))
    }

    /// Whether the revision has completed a checkpoint, as far as is known.
    pub fn has_own_checkpoint(&self) -> bool {
        let Some(revision) = &self.status.revision else { return false };
        let completed_at = self.status.checkpoint.as_ref().map(|checkpoint| checkpoint.completed_at.0);
        revision.was_ready
            || completed_at.is_some_and(|at| at > revision.started_at.0)
            || self.worker().is_some_and(|worker| worker.checkpoint.is_some())
    }

    /// If a rollback has failed: the change that was rolled back, and why the previous revision does not run either. A
    /// job that runs after all may still lack a checkpoint.
    pub fn rollback_failure(&self) -> Option<(&RolledBack, &str)> {
        if self.worker().is_some_and(|worker| worker.phase == WorkerPhase::Running) {
            return None;
        }
        let back = self.status.rolled_back.as_ref()?;
        Some((back, back.failure.as_deref()?))
    }

    /// Whether the job can be asked to stop, now or soon.
    pub fn can_be_stopped(&self) -> bool {
        self.worker().is_some_and(|worker| {
            matches!(
                worker.phase,
                WorkerPhase::Starting
                    | WorkerPhase::Running
                    | WorkerPhase::Restarting
                    | WorkerPhase::Rescaling
                    | WorkerPhase::Stopping
            )
        })
    }

    /// Begins an operation.
    pub fn begin(&mut self, kind: OperationKind, savepoint: Option<String>, previous: Option<Revision>) {
        self.status.operation =
            Some(Operation { kind, started_at: Time(self.now), silent_since: None, savepoint, previous });
        self.look_again(AT_ONCE);
    }

    /// The time since the operation began.
    pub fn elapsed(&self) -> Duration {
        self.status.operation.as_ref().map(|operation| since(operation.started_at.0, self.now)).unwrap_or_default()
    }

    /// Records whether the worker gives an answer that the operation can continue with. Returns how long there has been
    /// none.
    pub fn silence(&mut self, is_silent: bool) -> Duration {
        let now = self.now;
        let Some(operation) = &mut self.status.operation else { return Duration::ZERO };
        if !is_silent {
            operation.silent_since = None;
            return Duration::ZERO;
        }
        since(operation.silent_since.get_or_insert(Time(now)).0, now)
    }

    /// The wait until the next reconcile of something that takes time: it grows with the time taken.
    pub fn patience(&self, first: Duration, waiting: Duration) -> Duration {
        (waiting / 8).clamp(first, LATER)
    }

    /// The time since the job last began or stopped running, or since its revision began.
    pub fn waited(&self) -> Duration {
        let running =
            conditions::find(&self.status.conditions, Type::Running).map(|known| known.last_transition_time.0);
        let begun = self.status.revision.as_ref().map(|revision| revision.started_at.0);
        running.into_iter().chain(begun).max().map(|at| since(at, self.now)).unwrap_or_default()
    }

    /// Makes the next revision the one that should run.
    pub fn begin_revision(&mut self, record: Arc<Record>, hash: String, generation: i64, from: &From) {
        let before = self.status.revision.as_ref();
        let number = before.map_or(0, |revision| revision.number) + 1;
        let is_first = before.is_none_or(start::is_untried);
        self.status.revision = Some(Revision {
            number,
            generation,
            hash,
            image: record.image.clone(),
            from: from.to_string(),
            started_at: Time(self.now),
            restored_from: None,
            was_ready: false,
            is_first,
        });
        self.status.restarts = 0;
        self.status.process = None;
        self.record = Some(record);
        self.look_again(SOON);
    }

    /// Records a savepoint.
    pub fn savepoint_taken(&mut self, uri: &str, reason: &str) {
        self.status.last_savepoint =
            Some(SavepointTaken { uri: uri.to_owned(), at: Time(self.now), reason: reason.to_owned() });
        self.emit(Reason::SavepointCompleted, format!("savepoint {uri} taken: {reason}"));
    }

    /// The inputs of the children, if the record of the revision is known.
    pub fn inputs(&self) -> Option<Inputs<'_>> {
        Some(Inputs {
            job: &self.seen.job,
            record: self.record.as_deref()?,
            revision: self.status.revision.as_ref()?,
            parallelism: self.parallelism(),
            replicas: u16::from(!matches!(self.status.phase, Phase::Suspended | Phase::Finished)),
            settings: self.settings,
        })
    }

    /// Applies the children if they differ from what they should be.
    pub fn apply_children(&mut self) {
        let Some(inputs) = self.inputs() else { return };
        let children = Children::of(inputs);
        let fingerprint = children.fingerprint();
        let is_applied = self
            .seen
            .applied
            .as_ref()
            .is_some_and(|applied| applied.fingerprint == fingerprint && since(applied.at, self.now) < APPLY_AGAIN);
        let (replicas, revision) = (i32::from(inputs.replicas), inputs.revision.number);
        let stateful_set = self.seen.stateful_set.as_ref();
        let is_present = stateful_set.is_some_and(|set| set.replicas == replicas && set.revision == Some(revision));
        let renews_identity = self.seen.identity.as_ref().is_none_or(|identity| identity.renew_after() <= self.now);
        if renews_identity {
            self.step(Step::EnsureIdentity);
        }
        if is_applied && is_present {
            return;
        }
        if stateful_set.is_some_and(|set| set.has_claims) {
            self.step(Step::DeleteStatefulSet);
        }
        self.step(Step::Apply(Box::new(children)));
    }

    /// The plan, with a complete status.
    pub fn into_plan(mut self) -> Plan {
        status::describe(&mut self);
        Plan { status: self.status, events: self.events, steps: self.steps, requeue: self.requeue }
    }
}
