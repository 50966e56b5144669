//! Everything of one job in storage, and how a new attempt takes it over.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use eddyline_stream::{Attempt, CheckpointId};

use crate::contents::{CompletedCheckpoint, JobIdentity};
use crate::control_log;
use crate::error::{Error, Result};
use crate::handle::CheckpointHandle;
use crate::local_copy::LocalCopies;
use crate::operators::JobOperator;
use crate::paths;
use crate::record::{CheckpointRef, Leader, Record};
use crate::staged;
use crate::storage::{self, Storage};
use crate::writer::Writer;

/// The folder of one job. Cheap to clone.
#[derive(Clone, Debug)]
pub struct JobStore {
    storage: Storage,
    job: Arc<str>,
    plan_fingerprint: Arc<str>,
    operators: Arc<[JobOperator]>,
    start: Arc<str>,
    /// Whether that decision is to start from something else than the latest checkpoint.
    begins_anew: bool,
    /// Distinguishes this process from others that lead the job.
    process: u64,
    /// Where run files are copied to.
    copies: Option<LocalCopies>,

    /// The latest attempt that this process has started; 0 before the first.
    led: Arc<AtomicU64>,
    /// Whether this process has staged output in the folder.
    staged: Arc<AtomicBool>,
}

/// A new attempt.
#[derive(Debug)]
pub struct Started {
    /// Its number.
    pub attempt: Attempt,
    /// Writes its checkpoints.
    pub writer: Writer,
    /// The number of the latest completed checkpoint. New ones must have higher numbers.
    pub last_checkpoint: Option<CheckpointId>,
    /// The latest completed checkpoint, to restore from.
    pub latest: Option<CheckpointHandle>,
    /// The latest checkpoint when the decision to start was first carried out. Later checkpoints are progress since
    /// then, whatever the job started from.
    pub start_after: CheckpointId,
    /// Completed checkpoints whose commits are not known to be done, oldest first: the latest, and sometimes the one
    /// before it. Their commits must be repeated before anything else.
    pub uncommitted: Vec<CompletedCheckpoint>,
    /// Completed checkpoints whose commits are not known to be done, and that this or an earlier decision to start has
    /// skipped. A later decision may restore them, so the staged output that they name must stay.
    pub skipped: Vec<CompletedCheckpoint>,
}

/// A unique number: 128 bits from the hasher keys that the standard library draws at random.
fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(std::process::id()));
    half() << 64 | half()
}

impl JobStore {
    /// The folder of a job in the storage. The job's name can have any characters.
    pub fn open(storage: Storage, job: &str) -> Self {
        let folder = storage.under(&paths::job_folder(job));
        let process = random() as u64;
        let start = format!("{process:016x}").into();
        Self {
            storage: folder,
            job: job.into(),
            plan_fingerprint: "".into(),
            operators: Arc::default(),
            start,
            begins_anew: false,
            process,
            copies: None,
            led: Arc::default(),
            staged: Arc::default(),
        }
    }

    /// Names the decision to start that attempts carry out. All processes that carry out the same decision use the same
    /// name. Without a name, each process is a decision of its own.
    pub fn with_start(mut self, token: &str) -> Self {
        self.start = token.into();
        self
    }

    /// The decision is to start from something else than the latest checkpoint. Earlier checkpoints in the folder then
    /// only determine the next number: they are not opened and need not fit.
    pub fn beginning_anew(mut self) -> Self {
        self.begins_anew = true;
        self
    }

    /// Records in manifests what the operators of the job compute and what their tables hold. Control records also name
    /// the plan that wrote them, for people.
    pub fn with_operators(mut self, operators: Vec<JobOperator>, plan_fingerprint: &str) -> Self {
        self.operators = operators.into();
        self.plan_fingerprint = plan_fingerprint.into();
        self
    }

    /// Keeps copies of the run files of the latest checkpoint, and reads them where it would read storage.
    pub fn with_local_copies(mut self, copies: LocalCopies) -> Self {
        self.copies = Some(copies);
        self
    }

    /// The job's name.
    pub fn job(&self) -> &str {
        &self.job
    }

    /// The location of the job's folder.
    pub fn uri(&self) -> String {
        self.storage.uri()
    }

    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) fn local_copies(&self) -> Option<&LocalCopies> {
        self.copies.as_ref()
    }

    pub(crate) fn plan_fingerprint(&self) -> &str {
        &self.plan_fingerprint
    }

    pub(crate) fn operators(&self) -> &[JobOperator] {
        &self.operators
    }

    pub(crate) fn nonce() -> u128 {
        random()
    }

    /// Starts an attempt. Older ones can then no longer complete a checkpoint, so the latest one is known for certain.
    ///
    /// The first attempt of a process takes over from the current leader. Later ones only follow attempts of the same
    /// process: they fail if another process has taken over meanwhile.
    ///
    /// # Errors
    /// [`Error::Fenced`] when another process has taken over from this one. [`Error::Vanished`] when this process has
    /// led the job and its records are gone. [`Error::MaxParallelismDiffers`] and [`Error::KeyHashDiffers`] when the
    /// job has a checkpoint that was cut in another way, and errors of its manifest, without fencing anyone; but see
    /// [`JobStore::beginning_anew`]. [`Error::OverwritingStore`] when the store does not keep processes apart. When
    /// storage fails or the outcome is not known, the call can be repeated.
    pub async fn start_attempt(&self, identity: JobIdentity) -> Result<Started> {
        let led = self.led.load(Ordering::Relaxed);
        if led == 0 {
            self.refuse_overwriting_store().await?;
        }
        let before = control_log::newest(&self.storage).await?;
        let latest = before.as_ref().and_then(|before| self.latest_that_counts(before)).copied();
        let mut opened = match &latest {
            Some(latest) => Some(self.open_that_fits(latest, identity).await?),
            None => None,
        };
        let head = control_log::take_over(&self.storage, &self.job, |before| {
            if led != 0 && before.is_none() {
                return Err(control_log::vanished(&self.storage, &self.job));
            }
            if let Some(before) = before.filter(|before| led != 0 && before.process != self.process) {
                return Err(control_log::fenced(&self.job, led, before.id.attempt));
            }
            let leader = Leader {
                max_parallelism: identity.max_parallelism,
                key_hash_version: identity.hash_version,
                plan_fingerprint: &self.plan_fingerprint,
                start: &self.start,
                process: self.process,
            };
            Ok(Record::take_over(before, random(), leader))
        })
        .await?;
        self.led.store(head.id.attempt, Ordering::Relaxed);
        eddyline_stream::crash_point("checkpoint.attempt-started");
        let counts = self.latest_that_counts(&head).copied();
        if counts != latest {
            // The checkpoint was completed while this process took over.
            opened = match &counts {
                Some(counts) => Some(self.open_that_fits(counts, identity).await?),
                None => None,
            };
        }
        let last_checkpoint = head.latest().map(|latest| latest.checkpoint);
        let history = head.latest().map(|latest| latest.history);
        let is_open = |kept: &&CheckpointRef| head.is_open(kept);
        let is_skipped = |kept: &CheckpointRef| {
            Some(kept.history) != history || (self.begins_anew && kept.checkpoint <= head.start_after)
        };
        let (skipped, uncommitted): (Vec<_>, Vec<_>) =
            head.retained.iter().filter(is_open).partition(|kept| is_skipped(kept));
        let completed = |kept: Vec<&CheckpointRef>| kept.into_iter().map(|kept| self.completed(kept)).collect();
        Ok(Started {
            attempt: Attempt::new(head.id.attempt),
            last_checkpoint,
            start_after: head.start_after,
            uncommitted: completed(uncommitted),
            skipped: completed(skipped),
            latest: opened,
            writer: Writer::new(self.clone(), head, identity.retain),
        })
    }

    /// Checks that no other process has taken over from this one.
    ///
    /// # Errors
    /// [`Error::Fenced`] when one has. When storage fails, it is not known.
    pub async fn check_led(&self) -> Result<()> {
        let led = self.led.load(Ordering::Relaxed);
        match control_log::newest(&self.storage).await? {
            Some(newest) if led != 0 && newest.process != self.process => {
                Err(control_log::fenced(&self.job, led, newest.id.attempt))
            }
            _ => Ok(()),
        }
    }

    /// The latest checkpoint of a record, unless a later decision starts the job without it.
    fn latest_that_counts<'a>(&self, record: &'a Record) -> Option<&'a CheckpointRef> {
        let is_carried_out = record.start == *self.start;
        let counts =
            |latest: &&CheckpointRef| !self.begins_anew || (is_carried_out && latest.checkpoint > record.start_after);
        record.latest().filter(counts)
    }

    async fn open_that_fits(&self, kept: &CheckpointRef, identity: JobIdentity) -> Result<CheckpointHandle> {
        let handle = self.open_retained(kept).await?;
        handle.check_max_parallelism(identity.max_parallelism)?;
        let recorded = handle.manifest().key_hash_version;
        if recorded != identity.hash_version {
            return Err(Error::KeyHashDiffers { recorded, known: identity.hash_version });
        }
        Ok(handle)
    }

    /// Fencing relies on a name that can be created only once. A store that ignores this condition lets two processes
    /// create it and reports no error.
    async fn refuse_overwriting_store(&self) -> Result<()> {
        let name = format!("{}-{:032x}", paths::PROBE, random());
        self.storage.create(&name, Bytes::from_static(b"1")).await?;
        let second = self.storage.create(&name, Bytes::from_static(b"2")).await?;
        self.storage.delete(&name).await?;
        match second {
            storage::Created::Refused => Ok(()),
            storage::Created::Yes => Err(Error::OverwritingStore { folder: self.storage.uri() }),
        }
    }

    pub(crate) fn completed(&self, kept: &CheckpointRef) -> CompletedCheckpoint {
        let folder = paths::checkpoint_folder(kept.checkpoint, kept.attempt);
        CompletedCheckpoint {
            id: kept.checkpoint,
            attempt: kept.attempt,
            uri: self.storage.name_of(&folder),
            bytes: kept.bytes,
        }
    }

    pub(crate) async fn open_retained(&self, kept: &CheckpointRef) -> Result<CheckpointHandle> {
        self.open_checkpoint((kept.checkpoint, kept.attempt), Some(kept.manifest_crc)).await
    }

    /// The name of this folder's first history. It is drawn at random at the first call and stays the same.
    /// Checkpoint numbers have a meaning only within a history: a folder that was deleted counts from 1 again, and a
    /// start from anything but the latest checkpoint begins another history ([`Writer::settle_history`]).
    ///
    /// # Errors
    /// When storage fails.
    pub async fn history(&self) -> Result<String> {
        if let Some(known) = self.storage.get(paths::HISTORY).await? {
            return Ok(String::from_utf8_lossy(&known).into_owned());
        }
        let drawn = format!("{:08x}", random() as u32);
        match self.storage.create(paths::HISTORY, Bytes::from(drawn.clone().into_bytes())).await? {
            storage::Created::Yes => Ok(drawn),
            storage::Created::Refused => {
                let theirs = self.storage.get(paths::HISTORY).await?;
                Ok(theirs.map_or(drawn, |theirs| String::from_utf8_lossy(&theirs).into_owned()))
            }
        }
    }

    /// The latest completed checkpoint, without taking the job over; `None` if there is none.
    pub async fn latest(&self) -> Result<Option<CheckpointHandle>> {
        match control_log::newest(&self.storage).await?.as_ref().and_then(Record::latest) {
            None => Ok(None),
            Some(latest) => Ok(Some(self.open_retained(latest).await?)),
        }
    }

    /// A completed checkpoint of this job, such as one of [`Started::uncommitted`].
    pub async fn read(&self, completed: &CompletedCheckpoint) -> Result<CheckpointHandle> {
        self.open_checkpoint((completed.id, completed.attempt), None).await
    }

    async fn open_checkpoint(
        &self,
        (checkpoint, attempt): (CheckpointId, Attempt),
        manifest_crc: Option<u32>,
    ) -> Result<CheckpointHandle> {
        let folder = self.storage.under(&paths::checkpoint_folder(checkpoint, attempt));
        let job = Some((self.storage.clone(), self.copies.clone()));
        CheckpointHandle::open(folder, job, manifest_crc).await
    }

    /// Opens a savepoint or a checkpoint, of this job or another, by its location.
    ///
    /// # Errors
    /// [`Error::MissingManifest`] when there is neither; errors of the manifest.
    pub async fn open_uri(&self, uri: &str, options: &BTreeMap<String, String>) -> Result<CheckpointHandle> {
        CheckpointHandle::open_uri(uri, options).await
    }

    /// Stages output that a later commit makes visible.
    ///
    /// A committable refers to it by its name, as a text anywhere in the committable. Garbage collection removes it
    /// when the commits of the checkpoint that refers to it are known to be done. Output that no checkpoint refers to
    /// is removed when its attempt is dead. A part `attempt-{number}` of the name says which attempt that is.
    pub async fn put_staged(&self, name: &str, data: Bytes) -> Result<()> {
        self.staged.store(true, Ordering::Relaxed);
        Ok(self.storage.put(&paths::staged(name), data).await?)
    }

    /// Whether this process has staged output.
    pub(crate) fn has_staged(&self) -> bool {
        self.staged.load(Ordering::Relaxed)
    }

    /// Reads staged output.
    pub async fn get_staged(&self, name: &str) -> Result<Bytes> {
        staged::get(&self.storage, name).await
    }
}
