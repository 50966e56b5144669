//! What every reconcile needs: clients of other systems, and a memory between reconciles.
//!
//! The memory is a cache: losing it costs only extra requests.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_api::JobStatus;
use kube::Client;

use crate::claims::Claims;
use crate::clock::{Clock, Timestamp, since};
use crate::events::Recorder;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::observed::Applied;
use crate::polls::Question;
use crate::revision::Record;
use crate::settings::Settings;
use crate::validate::Planner;
use crate::worker_client::{self, Address, Connect, WorkerClient};

/// How long an identity counts as current after it was read.
const IDENTITY_LIFE: Duration = Duration::from_secs(300);

/// What every reconcile needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The settings.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The metrics of this process.
    pub metrics: Metrics,
    /// Where events go.
    pub recorder: Recorder,
    /// Plans SQL.
    pub planner: Planner,
    /// The namespaces that older releases serve.
    pub claims: Claims,
    connect: Arc<dyn Connect>,
    remembered: Mutex<HashMap<String, Remembered>>,
}

/// What is remembered of a job.
#[derive(Default)]
struct Remembered {
    applied: Option<Applied>,
    identity: Option<(Arc<Identity>, Timestamp)>,
    records: Vec<(u64, Arc<Record>)>,
    worker: Option<(IpAddr, Arc<Identity>, Arc<dyn WorkerClient>)>,
    answer: Option<Answer>,
    heard: Option<Heard>,
    is_asked: bool,
    objection: Option<String>,
    failures: u32,
    stored_at: Option<Timestamp>,
    left_to: Option<String>,
}

/// The last answer of a worker.
struct Answer {
    from: IpAddr,
    status: JobStatus,
    /// How often the worker has not answered since then, and since when.
    missed: u32,
    silent_since: Option<Timestamp>,
}

/// The result of the last question.
struct Heard {
    from: IpAddr,
    said: Result<JobStatus, Missed>,
    /// Whether a decision has used it.
    is_used: bool,
}

/// A worker has not answered.
#[derive(Clone, Debug)]
pub struct Missed {
    /// Why.
    pub why: String,
    /// The earlier answer, while it still counts: one lost answer says nothing about a job.
    pub before: Option<JobStatus>,
}

/// For how long, and for how many unanswered questions, the last answer of a worker still counts.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const MISSES_MAX: u32 = 3;

/// The number of records kept for a job: that of the running revision, and that of the one before.
const RECORDS_MAX: usize = 2;

impl Context {
    /// A context.
    pub fn new(
        client: Client,
        settings: Settings,
        clock: Arc<dyn Clock>,
        connect: Arc<dyn Connect>,
        metrics: Metrics,
    ) -> Self {
        let recorder = Recorder::new(client.clone(), &settings.identity);
        Self {
            client,
            settings,
            clock,
            metrics,
            recorder,
            planner: Planner::default(),
            claims: Claims::default(),
            connect,
            remembered: Mutex::default(),
        }
    }

    fn with<T>(&self, uid: &str, act: impl FnOnce(&mut Remembered) -> T) -> T {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remembered.get_mut(uid) {
            return act(known);
        }
        act(remembered.entry(uid.to_owned()).or_default())
    }

    /// Forgets a job.
    pub fn forget(&self, uid: &str) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets everything: another replica may have acted meanwhile.
    pub fn forget_all(&self) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The children as they were last applied.
    pub fn applied(&self, uid: &str) -> Option<Applied> {
        self.with(uid, |known| known.applied.clone())
    }

    /// Remembers that children were applied. None forgets it.
    pub fn set_applied(&self, uid: &str, applied: Option<Applied>) {
        self.with(uid, |known| known.applied = applied);
    }

    /// Why the API server refused a child when it was last applied.
    pub fn objection(&self, uid: &str) -> Option<String> {
        self.with(uid, |known| known.objection.clone())
    }

    /// Remembers why the API server refused a child. None: it has accepted all children.
    pub fn set_objection(&self, uid: &str, objection: Option<String>) {
        self.with(uid, |known| known.objection = objection);
    }

    /// The identity of a job, if it was read not long ago.
    pub fn identity(&self, uid: &str) -> Option<Arc<Identity>> {
        let now = self.clock.now();
        self.with(uid, |known| {
            let (identity, read_at) = known.identity.as_ref()?;
            (since(*read_at, now) < IDENTITY_LIFE).then(|| identity.clone())
        })
    }

    /// Remembers the identity of a job. None: read it again.
    pub fn set_identity(&self, uid: &str, identity: Option<Arc<Identity>>) {
        let now = self.clock.now();
        self.with(uid, |known| known.identity = identity.map(|identity| (identity, now)));
    }

    /// The record of a revision.
    pub fn record(&self, uid: &str, revision: u64) -> Option<Arc<Record>> {
        self.with(uid, |known| {
            known.records.iter().find(|(number, _)| *number == revision).map(|(_, record)| record.clone())
        })
    }

    /// Remembers the record of a revision.
    pub fn set_record(&self, uid: &str, revision: u64, record: Arc<Record>) {
        self.with(uid, |known| {
            known.records.retain(|(number, _)| *number != revision);
            known.records.push((revision, record));
            if known.records.len() > RECORDS_MAX {
                known.records.remove(0);
            }
        });
    }

    /// Forgets the records of a job.
    pub fn forget_records(&self, uid: &str) {
        self.with(uid, |known| known.records.clear());
    }

    /// A client of a job's worker. Its connections last as long as the pod and the identity stay the same.
    ///
    /// # Errors
    /// The identity cannot be used.
    pub fn worker(
        &self,
        uid: &str,
        address: &Address,
        identity: &Arc<Identity>,
    ) -> Result<Arc<dyn WorkerClient>, worker_client::Error> {
        let known = self.with(uid, |known| match &known.worker {
            Some((ip, with, client)) if *ip == address.ip && with == identity => Some(client.clone()),
            _ => None,
        });
        if let Some(client) = known {
            return Ok(client);
        }
        let client = self.connect.connect(address, &identity.credentials())?;
        self.with(uid, |known| known.worker = Some((address.ip, identity.clone(), client.clone())));
        Ok(client)
    }

    /// The worker that was asked last, if a decision has used its answer. It can be asked before anything is read.
    pub fn next_question(&self, uid: &str) -> Option<Question> {
        self.with(uid, |known| {
            let (ip, _, client) = known.worker.as_ref()?;
            let heard = known.heard.as_ref()?;
            let is_used_answer = heard.from == *ip && heard.said.is_ok() && heard.is_used;
            is_used_answer.then(|| Question { uid: uid.to_owned(), from: *ip, client: client.clone() })
        })
    }

    /// Remembers that a job's worker is being asked. Returns `false` if it was being asked already.
    pub fn begin_asking(&self, uid: &str) -> bool {
        self.with(uid, |known| !std::mem::replace(&mut known.is_asked, true))
    }

    /// Remembers the result of a question, unless the job was forgotten meanwhile.
    pub fn hear(&self, uid: &str, from: IpAddr, answer: Result<JobStatus, String>) {
        let now = self.clock.now();
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = remembered.get_mut(uid) else { return };
        known.is_asked = false;
        let said = match answer {
            Ok(status) => {
                known.answer = Some(Answer { from, status: status.clone(), missed: 0, silent_since: None });
                Ok(status)
            }
            Err(why) => {
                // The connection or the identity may be the reason for the silence.
                known.worker = None;
                known.identity = None;
                Err(Missed { why, before: missed(known, from, now) })
            }
        };
        known.heard = Some(Heard { from, said, is_used: false });
    }

    /// The result of the last question to the worker at this address. For a decision (`is_new`) it counts once.
    pub fn heard(&self, uid: &str, from: IpAddr, is_new: bool) -> Option<Result<JobStatus, Missed>> {
        self.with(uid, |known| {
            let heard = known.heard.as_mut().filter(|heard| heard.from == from && !(is_new && heard.is_used))?;
            heard.is_used |= is_new;
            Some(heard.said.clone())
        })
    }

    /// Remembers that a job has no worker to ask.
    pub fn forget_worker(&self, uid: &str) {
        self.with(uid, |known| (known.worker, known.heard) = (None, None));
    }

    /// How long ago this process stored the status of a job, if it has.
    pub fn stored_ago(&self, uid: &str) -> Option<Duration> {
        let now = self.clock.now();
        self.with(uid, |known| known.stored_at.map(|at| since(at, now)))
    }

    /// Remembers that the status of a job was stored.
    pub fn stored(&self, uid: &str) {
        let now = self.clock.now();
        self.with(uid, |known| known.stored_at = Some(now));
    }

    /// Remembers that a job is left to another release. Returns whether that is new.
    pub fn begin_leaving(&self, uid: &str, to: &str) -> bool {
        self.with(uid, |known| known.left_to.replace(to.to_owned()).as_deref() != Some(to))
    }

    /// Counts reconciles that have failed in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        self.with(uid, |known| {
            known.failures = known.failures.saturating_add(1);
            known.failures
        })
    }

    /// Resets the count of failures.
    pub fn succeeded(&self, uid: &str) {
        self.with(uid, |known| known.failures = 0);
    }
}

/// Counts an unanswered question. Returns the earlier answer of the worker, while it still counts.
fn missed(known: &mut Remembered, from: IpAddr, now: Timestamp) -> Option<JobStatus> {
    let answer = known.answer.as_mut().filter(|answer| answer.from == from)?;
    answer.missed = answer.missed.saturating_add(1);
    let silent_for = since(*answer.silent_since.get_or_insert(now), now);
    (answer.missed < MISSES_MAX || silent_for < SILENCE_MAX).then(|| answer.status.clone())
}
