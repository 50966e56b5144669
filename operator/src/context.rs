//! What every pass needs: the ways out of the process, and what is remembered between passes.
//!
//! Nothing that is remembered here is needed: a controller that starts anew only asks more often.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_api::JobStatus;
use kube::Client;

use crate::clock::{Clock, Timestamp, since};
use crate::events::Recorder;
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::observed::Applied;
use crate::revision::Record;
use crate::settings::Settings;
use crate::validate::Planner;
use crate::worker_client::{self, Address, Connect, WorkerClient};

/// How long an identity that was read is believed.
const IDENTITY_LIFE: Duration = Duration::from_secs(300);

/// What every pass needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The settings.
    pub settings: Settings,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where numbers about this process go.
    pub metrics: Metrics,
    /// Where events go.
    pub recorder: Recorder,
    /// Plans SQL.
    pub planner: Planner,
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
    objection: Option<String>,
    failures: u32,
    stored_at: Option<Timestamp>,
}

/// What a worker has answered the last time that it did.
struct Answer {
    from: IpAddr,
    status: JobStatus,
    /// How often it was asked in vain since, and since when.
    missed: u32,
    silent_since: Option<Timestamp>,
}

/// For how long and for how many questions in vain a worker's last answer stands for it.
const SILENCE_MAX: Duration = Duration::from_secs(20);
const MISSES_MAX: u32 = 3;

/// How many records of a job are remembered: what runs, and what it has replaced.
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

    /// Notes that children were applied; nothing, if that is not known any more.
    pub fn set_applied(&self, uid: &str, applied: Option<Applied>) {
        self.with(uid, |known| known.applied = applied);
    }

    /// What the API server had against a child when it was last applied.
    pub fn objection(&self, uid: &str) -> Option<String> {
        self.with(uid, |known| known.objection.clone())
    }

    /// Notes what the API server has against a child; nothing, if it has taken them.
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

    /// Notes the identity of a job; nothing, if it is to be read again.
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

    /// Notes the record of a revision.
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

    /// A client of a job's worker. Connections are kept as long as the pod and the identity stay the same.
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

    /// Notes what a worker has answered.
    pub fn answered(&self, uid: &str, from: IpAddr, status: &JobStatus) {
        let answer = Answer { from, status: status.clone(), missed: 0, silent_since: None };
        self.with(uid, |known| known.answer = Some(answer));
    }

    /// Notes that a worker has not answered. Gives what it has said before, while that stands for it: one answer that is
    /// lost says nothing about a job.
    pub fn missed(&self, uid: &str, from: IpAddr) -> Option<JobStatus> {
        let now = self.clock.now();
        self.with(uid, |known| {
            let answer = known.answer.as_mut().filter(|answer| answer.from == from)?;
            answer.missed = answer.missed.saturating_add(1);
            let silent_for = since(*answer.silent_since.get_or_insert(now), now);
            (answer.missed < MISSES_MAX || silent_for < SILENCE_MAX).then(|| answer.status.clone())
        })
    }

    /// How long ago the status of a job was stored, if this process has done it.
    pub fn stored_ago(&self, uid: &str) -> Option<Duration> {
        let now = self.clock.now();
        self.with(uid, |known| known.stored_at.map(|at| since(at, now)))
    }

    /// Notes that the status of a job was stored.
    pub fn stored(&self, uid: &str) {
        let now = self.clock.now();
        self.with(uid, |known| known.stored_at = Some(now));
    }

    /// Drops the connection to a job's worker, and reads its identity again: one of them may be why it does not answer.
    pub fn disconnect(&self, uid: &str) {
        self.with(uid, |known| {
            known.worker = None;
            known.identity = None;
        });
    }

    /// Counts passes that have failed in a row.
    pub fn failed(&self, uid: &str) -> u32 {
        self.with(uid, |known| {
            known.failures = known.failures.saturating_add(1);
            known.failures
        })
    }

    /// Begins to count anew.
    pub fn succeeded(&self, uid: &str) {
        self.with(uid, |known| known.failures = 0);
    }
}
