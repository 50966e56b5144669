//! Writes checkpoints: run file, manifest, control record, in this order.
//!
//! Each step is durable before the next one begins, and only the control record completes the checkpoint. So a crash
//! between two steps leaves files that nothing refers to. A writer belongs to one attempt. When another attempt has
//! taken over, its writes have no effect.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use eddyline_stream::{Attempt, CheckpointId, MaxParallelism, crash_point};
use tokio::sync::Mutex;

use crate::collector::{Collector, Contents, Notes};
use crate::contents::{CheckpointContents, CompletedCheckpoint};
use crate::control_log::{self, Appended};
use crate::encode::{Earlier, Encoded, EncodedState, EncodedTable, StateEncoder, TableKey};
use crate::envelope;
use crate::error::{Error, Result};
use crate::handle::CheckpointHandle;
use crate::history;
use crate::job::JobStore;
use crate::kept::{Asked, Kept, Next, Referred};
use crate::local_copy::LocalCopies;
use crate::manifest::{self, FileProto, ManifestProto};
use crate::paths;
use crate::record::{CheckpointRef, Record};
use crate::retention::Collected;
use crate::run_file::RunIdentity;
use crate::staged;
use crate::storage::{PART_BYTES, Storage};
use crate::upload;

/// The most bytes of run files in a manifest. A run file that would exceed this is an object of its own.
const INLINE_BYTES: u64 = 64 << 10;
/// The worker in the names of run files. The leader writes them for all workers.
const WORKER: &str = "leader";

/// Writes the checkpoints of one attempt. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Writer {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: JobStore,
    attempt: Attempt,
    retain: usize,
    head: Mutex<Head>,
    written: Mutex<Written>,
    collector: Mutex<Collector>,
    notes: std::sync::Mutex<Notes>,
}

/// The end of the control log, as this attempt knows it.
#[derive(Debug)]
struct Head {
    record: Record,
    /// The value of this field in the next record.
    commits_done_upto: CheckpointId,
    /// The history that the attempt's checkpoints belong to.
    history: u32,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    Fenced(u64),
    /// It is unknown whether this record is part of the log.
    Unresolved(Box<Record>),
}

/// What the attempt has written.
#[derive(Debug)]
struct Written {
    last_tried: CheckpointId,
    kept: Kept,
    pending: Option<Pending>,
}

/// The checkpoint whose record is being appended.
#[derive(Debug)]
struct Pending {
    completed: CheckpointRef,
    /// The next state of `kept`.
    next: Next,
    /// What the manifest names.
    contents: Contents,
    files: Vec<FileProto>,
}

impl Written {
    /// Makes the pending checkpoint the latest one, because its record was appended.
    fn pending_counts(&mut self, notes: &mut Notes, copies: Option<&LocalCopies>) {
        if let Some(Pending { completed, next, contents, files }) = self.pending.take() {
            self.kept.completed(next);
            notes.completed.push((completed.checkpoint, contents));
            if let Some(copies) = copies {
                copies.keep(&files);
            }
        }
    }
}

impl Writer {
    pub(crate) fn new(store: JobStore, record: Record, retain: usize) -> Self {
        let last_tried = record.latest().map_or(CheckpointId::NONE, |latest| latest.checkpoint);
        let history = record.latest().map_or(history::FIRST, |latest| latest.history);
        let head = Head { commits_done_upto: record.commits_done_upto, history, record, end: None };
        let attempt = Attempt::new(head.record.id.attempt);
        let written = Written { last_tried, kept: Kept::default(), pending: None };
        let (head, written) = (Mutex::new(head), Mutex::new(written));
        let (collector, notes) = (Mutex::default(), std::sync::Mutex::default());
        Self { inner: Arc::new(Inner { store, attempt, retain, head, written, collector, notes }) }
    }

    /// The attempt.
    pub fn attempt(&self) -> Attempt {
        self.inner.attempt
    }

    /// Determines the history of the attempt's checkpoints from what the attempt restores, and returns its name: see
    /// [`JobStore::history`]. Call this before the first checkpoint is written.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn settle_history(&self, restored: Option<&CheckpointHandle>) -> Result<String> {
        let store = &self.inner.store;
        let mut head = self.inner.head.lock().await;
        head.history = match head.record.latest() {
            None => history::FIRST,
            Some(latest) => match restored {
                Some(restored) if history::is_of(store, latest, restored).await? => latest.history,
                _ => history::drawn(),
            },
        };
        history::name(store, head.history).await
    }

    /// Begins to encode the state of a checkpoint.
    pub fn state_encoder(&self, max_parallelism: MaxParallelism) -> StateEncoder {
        StateEncoder::new(max_parallelism, self.inner.store.local_copies().map(LocalCopies::room))
    }

    /// Writes a checkpoint. When this returns `Ok` it is complete: recovery starts from it.
    ///
    /// # Errors
    /// If the error does not [end the attempt](Error::ends_attempt), the checkpoint never counts, and the attempt
    /// continues with a higher number. If it does, only a new attempt finds out whether the checkpoint counts. The
    /// exception is [`Error::Unresolved`], for which [`Writer::resolve`] may find out.
    pub async fn write(&self, checkpoint: CheckpointId, contents: CheckpointContents) -> Result<CompletedCheckpoint> {
        let inner = &*self.inner;
        // The lock is held to the end, so checkpoints are written one after the other.
        let mut written = inner.written.lock().await;
        let (max_parallelism, key_hash_version) = inner.check(&contents).await?;
        if checkpoint <= written.last_tried {
            let reason = format!("checkpoint {} has been written or tried before", written.last_tried);
            return Err(Error::InvalidCheckpoint { checkpoint, reason });
        }
        let asked = Asked { checkpoint, since: contents.since, part: contents.part };
        written.kept.check(asked)?;
        written.last_tried = checkpoint;
        let identity = inner.run_identity(checkpoint, max_parallelism, key_hash_version);
        let storage = inner.store.storage();
        let CheckpointContents { state, splits, finished, committables, assignment, .. } = contents;
        let union_values = state.union.clone();
        let earlier = written.kept.earlier(&inner.store);
        let inline_bytes = INLINE_BYTES.saturating_sub(written.kept.inline_bytes());
        crash_point("checkpoint.before-run-file");
        let name = paths::run_file(inner.attempt, WORKER, checkpoint);
        let folder = paths::checkpoint_folder(checkpoint, inner.attempt);
        let manifest = format!("{folder}/{}", paths::MANIFEST);
        inner.notes().written.extend([name.clone(), manifest.clone()]);
        let (encoded, file) =
            store_run((storage, inner.store.local_copies()), &name, &identity, state, earlier, inline_bytes).await?;
        if file.as_ref().is_none_or(|file| file.name.is_empty()) {
            inner.notes().written.remove(&name);
        }

        let Referred { files, tables, bytes, next } = written.kept.refer(asked, encoded, file, &inner.store)?;
        let mut proto = manifest_proto(inner, &identity, manifest::CHECKPOINT);
        (proto.slots, proto.owners) = owners(&assignment);
        proto.files = files;
        proto.tables = tables;
        proto.union_values = union_values;
        proto.splits = manifest::values_proto(&splits);
        proto.finished = manifest::finished_proto(&finished);
        proto.committables = manifest::values_proto(&committables);
        let contents = Contents::new(&proto.files, &committables);
        let sealed = proto.seal();
        let manifest_crc = envelope::checksum(&sealed);
        crash_point("checkpoint.before-manifest");
        storage.put_once(&manifest, sealed).await?;
        crash_point("checkpoint.before-control-record");
        let history = inner.head.lock().await.history;
        let completed =
            CheckpointRef { checkpoint, attempt: inner.attempt, manifest_crc, bytes, history, is_skipped: false };
        written.pending = Some(Pending { completed, next, contents, files: proto.files });
        inner.append(|record| record.with_checkpoint(completed, inner.retain)).await?;
        crash_point("checkpoint.after-control-record");
        written.pending_counts(&mut inner.notes(), inner.store.local_copies());
        Ok(inner.store.completed(&completed))
    }

    /// Finds out whether a checkpoint is complete whose [`Writer::write`] ended with [`Error::Unresolved`]. Completes
    /// it if no other process leads the job. Each call appends the same record, so the log has it at most once.
    ///
    /// # Errors
    /// [`Error::Unresolved`] when the storage still gives no answer. It may be called again. Otherwise the errors of
    /// [`Writer::write`].
    pub async fn resolve(&self, checkpoint: CheckpointId) -> Result<CompletedCheckpoint> {
        let inner = &*self.inner;
        let mut written = inner.written.lock().await;
        let pending = written.pending.as_ref().map(|pending| pending.completed);
        let Some(completed) = pending.filter(|pending| pending.checkpoint == checkpoint) else {
            return Err(Error::InvalidCheckpoint { checkpoint, reason: "its record is not being appended".to_owned() });
        };
        inner.append_again().await?;
        written.pending_counts(&mut inner.notes(), inner.store.local_copies());
        Ok(inner.store.completed(&completed))
    }

    /// Writes a savepoint to a new folder below `dir`. The folder is self-contained and may be copied anywhere. Returns
    /// its location. A savepoint does not count as a checkpoint.
    ///
    /// It holds a copy of the staged output, so that a job that restores it can commit that output even if this job
    /// dies before its own commit. [`Writer::mark_savepoint_committed`] records that this job has committed it.
    ///
    /// # Errors
    /// When storage fails. A folder without a manifest may remain. It is not a savepoint.
    ///
    /// Garbage collection removes the folder of a savepoint that failed or whose attempt has ended, unless
    /// [`Writer::hand_over_savepoint`] was called.
    pub async fn write_savepoint(
        &self,
        dir: &str,
        checkpoint: CheckpointId,
        contents: &CheckpointContents,
    ) -> Result<String> {
        let inner = &*self.inner;
        let (max_parallelism, key_hash_version) = inner.check(contents).await?;
        if let Some(since) = contents.since {
            let reason = format!("a savepoint needs all rows, and these are what has changed since {since}");
            return Err(Error::InvalidCheckpoint { checkpoint, reason });
        }
        let identity = inner.run_identity(checkpoint, max_parallelism, key_hash_version);
        let job = paths::job_folder(inner.store.job());
        // Another job of this name, or an earlier run of this one, may have written there with the same numbers.
        let unique = JobStore::nonce() as u32;
        let folder = format!("savepoint-{job}-{:010}-{}-{unique:08x}", checkpoint.number(), inner.attempt);
        let storage = inner.store.storage().open_beside(dir)?.under(&folder);
        let uri = storage.uri();
        let note = paths::savepoint_note(&uri).expect("the name has the form of such names");
        inner.notes().savepoint = true;
        inner.store.storage().put_once(&note, Bytes::from(uri.clone().into_bytes())).await?;
        crash_point("savepoint.noted");
        let union_values = contents.state.union.clone();
        let state = Arc::clone(&contents.state);
        let (encoded, file) = store_run((&storage, None), "state.run", &identity, state, BTreeMap::new(), 0).await?;
        let asked = Asked { checkpoint, since: None, part: contents.part };
        let Referred { files, tables, .. } = Kept::default().refer(asked, encoded, file, &inner.store)?;
        let mut proto = manifest_proto(inner, &identity, manifest::SAVEPOINT);
        (proto.slots, proto.owners) = owners(&contents.assignment);
        proto.files = files;
        proto.tables = tables;
        proto.union_values = union_values;
        proto.splits = manifest::values_proto(&contents.splits);
        proto.finished = manifest::finished_proto(&contents.finished);
        proto.committables = manifest::values_proto(&contents.committables);
        let history = inner.head.lock().await.history;
        let history = history::name(&inner.store, history).await?;
        storage.put_once(paths::HISTORY, history.into_bytes().into()).await?;
        staged::copy(inner.store.storage(), &storage, &contents.committables).await?;
        crash_point("savepoint.before-manifest");
        storage.put_once(paths::MANIFEST, proto.seal()).await?;
        crash_point("savepoint.after-manifest");
        Ok(uri)
    }

    /// Makes whoever requested the savepoint its owner. Nothing else removes it after this. Call this before the
    /// savepoint is reported, and when a job restores a savepoint that was not reported.
    ///
    /// # Errors
    /// [`Error::SavepointLocation`] when it was removed, because another attempt has taken this one for dead. When
    /// storage fails: the call can be repeated.
    pub async fn hand_over_savepoint(&self, uri: &str) -> Result<()> {
        let folder = self.inner.store.storage().open_beside(uri)?;
        if folder.get(paths::MANIFEST).await?.is_none() {
            let reason = "it was removed: another attempt runs the job".to_owned();
            return Err(Error::SavepointLocation { uri: uri.to_owned(), reason });
        }
        match paths::savepoint_note(uri) {
            Some(note) => Ok(self.inner.store.storage().delete(&note).await?),
            None => Ok(()),
        }
    }

    /// Records that the output of a savepoint is visible: a job that restores it need not commit it.
    ///
    /// # Errors
    /// When storage fails. A job that restores the savepoint then commits its output again, which changes nothing.
    pub async fn mark_savepoint_committed(&self, uri: &str) -> Result<()> {
        staged::mark_committed(&self.inner.store.storage().open_beside(uri)?).await
    }

    /// Notes that the commits of a checkpoint and of all earlier ones are done. This becomes durable with the next
    /// checkpoint or with [`Writer::flush`]. Until then a new attempt would commit again, so commits must be
    /// idempotent.
    ///
    /// # Errors
    /// When no such checkpoint is complete, and when the attempt has ended.
    pub async fn mark_committed(&self, checkpoint: CheckpointId) -> Result<()> {
        let mut head = self.inner.head.lock().await;
        self.inner.check_open(&head)?;
        if head.record.latest().is_none_or(|latest| checkpoint > latest.checkpoint) {
            return Err(Error::InvalidCheckpoint { checkpoint, reason: "it is not complete".to_owned() });
        }
        head.commits_done_upto = head.commits_done_upto.max(checkpoint);
        Ok(())
    }

    /// Makes durable what [`Writer::mark_committed`] has noted. It is for the end of a job, when no checkpoint follows.
    pub async fn flush(&self) -> Result<()> {
        {
            let head = self.inner.head.lock().await;
            self.inner.check_open(&head)?;
            if head.commits_done_upto == head.record.commits_done_upto {
                return Ok(());
            }
        }
        self.inner.append(|record| record).await
    }

    /// Removes what no kept checkpoint needs: run files, then manifests, oldest first, then old control records. Files
    /// of dead attempts are removed when they are [`AGE_MS`](crate::retention::AGE_MS) old. The first call and then
    /// every [`LOOK_EVERY`](crate::collector::LOOK_EVERY)-th call look for them.
    ///
    /// # Errors
    /// When storage fails or a kept manifest cannot be read. Nothing that is needed is removed, and the next call
    /// continues.
    pub async fn collect_garbage(&self) -> Result<Collected> {
        let Ok(mut collector) = self.inner.collector.try_lock() else { return Ok(Collected::default()) };
        let head = {
            let head = self.inner.head.lock().await;
            self.inner.check_open(&head)?;
            head.record.clone()
        };
        let notes = std::mem::take(&mut *self.inner.notes());
        collector.collect(&self.inner.store, &head, notes).await
    }
}

impl Inner {
    fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().expect("no holder of the notes panics")
    }

    /// Refuses contents that do not fit the job, and requests of an attempt that has ended.
    async fn check(&self, contents: &CheckpointContents) -> Result<(MaxParallelism, u32)> {
        let head = self.head.lock().await;
        self.check_open(&head)?;
        let recorded = head.record.max_parallelism;
        for job in [contents.assignment.max_parallelism(), contents.state.max_parallelism] {
            if recorded != job {
                return Err(Error::MaxParallelismDiffers { recorded, job });
            }
        }
        Ok((recorded, head.record.key_hash_version))
    }

    fn check_open(&self, head: &Head) -> Result<()> {
        match &head.end {
            None => Ok(()),
            Some(End::Fenced(other)) => Err(control_log::fenced(self.store.job(), head.record.id.attempt, *other)),
            Some(End::Unresolved(record)) => {
                let record = paths::control_record(record.id.sequence);
                Err(Error::Unresolved { record: self.store.storage().name_of(&record), source: None })
            }
        }
    }

    async fn append(&self, change: impl FnOnce(Record) -> Record) -> Result<()> {
        let mut head = self.head.lock().await;
        self.check_open(&head)?;
        let record = change(head.record.next(JobStore::nonce(), head.commits_done_upto));
        self.append_record(&mut head, record).await
    }

    /// Appends the same record again. Another record must not take the place of one that may be part of the log; the
    /// nonce shows that the record is this leader's own.
    async fn append_again(&self) -> Result<()> {
        let mut head = self.head.lock().await;
        let record = match &head.end {
            Some(End::Unresolved(record)) => Record::clone(record),
            _ => return self.check_open(&head),
        };
        self.append_record(&mut head, record).await
    }

    async fn append_record(&self, head: &mut Head, record: Record) -> Result<()> {
        // This remains if the future is dropped while it waits.
        head.end = Some(End::Unresolved(Box::new(record.clone())));
        match control_log::append(self.store.storage(), self.store.job(), &record).await? {
            Appended::Done => {
                head.record = record;
                head.end = None;
                Ok(())
            }
            // A leader appends one record after the other, so none of its own records can exist at this number.
            Appended::Fenced(by) if by.leader_epoch == head.record.id.leader_epoch => Err(Error::BrokenLog {
                job: self.store.job().to_owned(),
                reason: format!("record {} has the epoch of this leader, who has not written it", by.sequence),
            }),
            Appended::Fenced(by) => {
                head.end = Some(End::Fenced(by.attempt));
                Err(control_log::fenced(self.store.job(), head.record.id.attempt, by.attempt))
            }
        }
    }

    fn run_identity(
        &self,
        checkpoint: CheckpointId,
        max_parallelism: MaxParallelism,
        key_hash_version: u32,
    ) -> RunIdentity {
        RunIdentity {
            job: self.store.job().to_owned(),
            attempt: self.attempt,
            worker: WORKER.to_owned(),
            checkpoint,
            max_parallelism,
            key_hash_version,
        }
    }
}

fn manifest_proto(inner: &Inner, identity: &RunIdentity, kind: u32) -> ManifestProto {
    ManifestProto {
        kind,
        job: identity.job.clone(),
        checkpoint: identity.checkpoint.number(),
        attempt: identity.attempt.number(),
        plan_fingerprint: inner.store.plan_fingerprint().to_owned(),
        max_parallelism: u32::from(identity.max_parallelism.get()),
        key_hash_version: identity.key_hash_version,
        written_by: concat!("eddyline ", env!("CARGO_PKG_VERSION")).to_owned(),
        operators: manifest::operators_proto(inner.store.operators()),
        ..ManifestProto::default()
    }
}

fn owners(assignment: &eddyline_stream::Assignment) -> (u32, Vec<u32>) {
    let owner = |group| u32::try_from(assignment.owner(group).index()).expect("a slot index fits in a u32");
    (u32::from(assignment.slots()), assignment.max_parallelism().key_groups().map(owner).collect())
}

/// Writes and uploads encoded state, with a copy if there is a place for it. A file smaller than
/// `inline_bytes` is returned instead, as part of the manifest.
async fn store_run(
    (storage, copies): (&Storage, Option<&LocalCopies>),
    name: &str,
    identity: &RunIdentity,
    state: Arc<EncodedState>,
    earlier: BTreeMap<TableKey, Earlier>,
    inline_bytes: u64,
) -> Result<(Vec<EncodedTable>, Option<FileProto>)> {
    let identity = identity.clone();
    let encode = move |emit: upload::Emit<'_>| {
        let Encoded { tables, file } = state.write(&identity, &earlier, PART_BYTES, emit)?;
        Ok((tables, file))
    };
    upload::upload(storage, name, inline_bytes, copies, encode).await
}
