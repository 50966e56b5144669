//! Reads checkpoints and savepoints.
//!
//! A handle has the manifest. Run files are opened when they are first needed, and only the blocks of the key groups
//! that are requested are read. All checksums are verified. An error names the object and the block.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use eddyline_state::{Snapshot, TableRows};
use eddyline_stream::{
    Assignment, Attempt, CheckpointId, KeyGroup, KeyGroupSet, MaxParallelism, OperatorUid, key_hash,
};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::{OnceCell, Semaphore};

use crate::control_log;
use crate::envelope;
use crate::error::{Error, Result};
use crate::fit::{self, Fit};
use crate::history;
use crate::local_copy::LocalCopies;
use crate::manifest::{Manifest, Run, Table};
use crate::operators::JobOperator;
use crate::paths;
use crate::record::{CheckpointRef, Record};
use crate::run_file::BlockEntry;
use crate::run_file::reader::{BlockRows, RunFile};
use crate::staged;
use crate::storage::Storage;

/// Blocks of a bucket are concatenated up to this size, in bytes, because each batch costs an operator something. Larger
/// blocks are returned as they are.
const PIECE_BYTES: u64 = 256 << 10;
/// The most requests for state that are in flight or whose blocks are being decoded. Each is at most 8 MiB or one
/// block.
const REQUESTS: usize = 16;
/// The number of runs that are read at the same time for one subtask.
const RUNS_AT_ONCE: usize = 8;

/// A checkpoint or savepoint that can be restored. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CheckpointHandle {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    uri: String,
    manifest: Manifest,
    /// The folder that the names of run files are relative to.
    base: Storage,
    /// Of the run files of the job that this is a checkpoint of.
    copies: Option<LocalCopies>,
    files: Vec<OnceCell<RunFile>>,
    reads: Reads,
}

/// The requests for state: their limit, and the bytes read.
#[derive(Debug)]
pub(crate) struct Reads {
    /// Limits the requests: each holds a permit.
    pub turns: Semaphore,
    from_copies: AtomicU64,
    from_storage: AtomicU64,
}

impl Reads {
    fn new() -> Self {
        let none = AtomicU64::default;
        Self { turns: Semaphore::new(REQUESTS), from_copies: none(), from_storage: none() }
    }

    pub(crate) fn add(&self, is_copy: bool, bytes: u64) {
        let counter = if is_copy { &self.from_copies } else { &self.from_storage };
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// How much of the run files has been read, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesRead {
    /// From copies on a local disk.
    pub from_copies: u64,
    /// From storage.
    pub from_storage: u64,
}

impl CheckpointHandle {
    /// Opens the manifest in a folder. `job` is the folder of the job, and the local copies of its run files. The file
    /// names of a checkpoint are relative to the folder.
    pub(crate) async fn open(
        folder: Storage,
        job: Option<(Storage, Option<LocalCopies>)>,
        manifest_crc: Option<u32>,
    ) -> Result<Self> {
        let object = folder.name_of(paths::MANIFEST);
        let Some(bytes) = folder.get(paths::MANIFEST).await? else {
            return Err(Error::MissingManifest { object });
        };
        let manifest = Manifest::open(&object, &bytes)?;
        if manifest_crc.is_some_and(|crc| crc != envelope::checksum(&bytes)) {
            return Err(Error::corrupt(object, "manifest", "it is not the one that the control record names"));
        }
        let uri = folder.uri();
        let (base, copies) = match (manifest.is_savepoint, job) {
            (true, _) => (folder, None),
            (false, Some(job)) => job,
            (false, None) => {
                // {job}/chk/{checkpoint}
                let job = uri.rsplitn(3, '/').nth(2).unwrap_or_default();
                (folder.open_beside(job)?, None)
            }
        };
        let files = manifest.files.iter().map(|_| OnceCell::new()).collect();
        Ok(Self { inner: Arc::new(Inner { uri, manifest, base, copies, files, reads: Reads::new() }) })
    }

    /// Opens a savepoint or a checkpoint by the location of its folder or its manifest, or the latest checkpoint of a
    /// job by the location of the job's folder.
    ///
    /// # Errors
    /// [`Error::MissingManifest`] when there is none of these. Errors of the manifest.
    pub async fn open_uri(uri: &str, options: &BTreeMap<String, String>) -> Result<Self> {
        Self::open_in(Storage::open(folder_of(uri), options)?).await
    }

    /// Does the same as [`CheckpointHandle::open_uri`] for a folder that is open already.
    pub async fn open_in(folder: Storage) -> Result<Self> {
        match Self::open(folder.clone(), None, None).await {
            Err(Error::MissingManifest { object }) => {
                let newest = control_log::newest(&folder).await?;
                let latest = newest.as_ref().and_then(Record::latest).ok_or(Error::MissingManifest { object })?;
                let of_latest = folder.under(&paths::checkpoint_folder(latest.checkpoint, latest.attempt));
                Self::open(of_latest, Some((folder, None)), Some(latest.manifest_crc)).await
            }
            other => other,
        }
    }

    /// The number of the checkpoint.
    pub fn id(&self) -> CheckpointId {
        self.inner.manifest.checkpoint
    }

    /// Its location.
    pub fn uri(&self) -> &str {
        &self.inner.uri
    }

    /// Whether it is a savepoint.
    pub fn is_savepoint(&self) -> bool {
        self.inner.manifest.is_savepoint
    }

    /// The job that wrote it.
    pub fn job(&self) -> &str {
        &self.inner.manifest.job
    }

    /// The attempt that wrote it.
    pub fn attempt(&self) -> Attempt {
        self.inner.manifest.attempt
    }

    /// The plan that wrote it. Empty if the job did not name one.
    pub fn plan_fingerprint(&self) -> &str {
        &self.inner.manifest.plan_fingerprint
    }

    /// The number of key groups.
    pub fn max_parallelism(&self) -> MaxParallelism {
        self.inner.manifest.max_parallelism
    }

    /// The slot that owned each key group.
    pub fn assignment(&self) -> &Assignment {
        &self.inner.manifest.assignment
    }

    /// The splits of a source, with their positions.
    pub fn splits(&self, operator: &OperatorUid) -> &[serde_json::Value] {
        self.inner.manifest.splits.get(operator).map_or(&[], Vec::as_slice)
    }

    /// The parts of a source that have been read to their end, as blocks in the connector's own format.
    pub fn finished(&self, operator: &OperatorUid) -> &[Bytes] {
        self.inner.manifest.finished.get(operator).map_or(&[], Vec::as_slice)
    }

    /// The committables of each sink.
    pub fn committables(&self) -> &BTreeMap<OperatorUid, Vec<serde_json::Value>> {
        &self.inner.manifest.committables
    }

    /// The history that its number belongs to, see [`crate::JobStore::history`]. `None` if it was not recorded, as in
    /// savepoints of earlier releases.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn history(&self) -> Result<Option<String>> {
        let folder = &self.inner.base;
        if !self.is_savepoint()
            && let Some(newest) = control_log::newest(folder).await?
            && let Some(kept) = self.listed_in(&newest)
            && kept.history != history::FIRST
        {
            return Ok(Some(history::text(kept.history)));
        }
        let named = folder.get(paths::HISTORY).await?;
        Ok(named.map(|named| String::from_utf8_lossy(&named).into_owned()))
    }

    /// The history of output that is not known to be visible. `None` if all output is visible. A job that restores this
    /// must commit that output before anything else, from the objects that [`CheckpointHandle::get_staged`] returns.
    ///
    /// # Errors
    /// When storage fails.
    pub async fn open_output(&self) -> Result<Option<String>> {
        let (manifest, folder) = (&self.inner.manifest, &self.inner.base);
        if manifest.committables.is_empty() {
            return Ok(None);
        }
        let is_committed = if manifest.is_savepoint {
            folder.get(paths::COMMITTED).await?.is_some()
        } else {
            match control_log::newest(folder).await? {
                Some(newest) => match self.listed_in(&newest) {
                    Some(kept) => !newest.is_open(kept),
                    None => self.id() <= newest.commits_done_upto,
                },
                None => false,
            }
        };
        if is_committed { Ok(None) } else { self.history().await }
    }

    fn listed_in<'a>(&self, record: &'a Record) -> Option<&'a CheckpointRef> {
        record.retained.iter().find(|kept| (kept.checkpoint, kept.attempt) == (self.id(), self.attempt()))
    }

    /// Reads a staged object of the savepoint or checkpoint.
    ///
    /// # Errors
    /// When there is no such object, and when storage fails.
    pub async fn get_staged(&self, name: &str) -> Result<Bytes> {
        staged::get(&self.inner.base, name).await
    }

    /// Records that the output is visible. Only savepoints can record that: the next job that restores a checkpoint
    /// commits its output again.
    ///
    /// # Errors
    /// When storage fails. The next job that restores the savepoint then commits its output again.
    pub async fn mark_committed(&self) -> Result<()> {
        if self.is_savepoint() { staged::mark_committed(&self.inner.base).await } else { Ok(()) }
    }

    /// How much has been read through this handle and its clones.
    pub fn bytes_read(&self) -> BytesRead {
        let Reads { from_copies, from_storage, .. } = &self.inner.reads;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        BytesRead { from_copies: read(from_copies), from_storage: read(from_storage) }
    }

    /// The folder that the names of run files are relative to.
    pub(crate) fn base(&self) -> &Storage {
        &self.inner.base
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.inner.manifest
    }

    /// Finds the state of a job's operators. `job` lists all of them, including sources and sinks. Operators that the
    /// checkpoint does not have start empty. State that fits no operator is refused, unless its own operator is in
    /// `may_be_left`.
    ///
    /// # Errors
    /// [`Error::StateMismatch`] with a list of everything that does not fit, and [`Error::KeyHashDiffers`].
    pub fn fit(&self, job: &[JobOperator], may_be_left: &BTreeSet<OperatorUid>) -> Result<Fit> {
        self.check_hash()?;
        Ok(fit::fit(&self.inner.uri, &self.inner.manifest, job, may_be_left)?)
    }

    /// Refuses a job with another number of key groups.
    pub fn check_max_parallelism(&self, job: MaxParallelism) -> Result<()> {
        let recorded = self.max_parallelism();
        if recorded == job { Ok(()) } else { Err(Error::MaxParallelismDiffers { recorded, job }) }
    }

    fn check_hash(&self) -> Result<()> {
        let recorded = self.inner.manifest.key_hash_version;
        if recorded == key_hash::VERSION {
            Ok(())
        } else {
            Err(Error::KeyHashDiffers { recorded, known: key_hash::VERSION })
        }
    }

    /// Splits key groups into parts for [`CheckpointHandle::restore`], in order: the rows of a part have at most
    /// `bytes_max` bytes before compression, unless a single key group has more. Key groups without rows are in no part.
    ///
    /// # Errors
    /// Those of [`CheckpointHandle::restore`].
    pub async fn parts(
        &self,
        operator: &OperatorUid,
        key_groups: &KeyGroupSet,
        bytes_max: u64,
    ) -> Result<Vec<KeyGroupSet>> {
        let mut bytes: BTreeMap<KeyGroup, u64> = BTreeMap::new();
        for table in self.inner.manifest.tables.iter().filter(|table| table.operator == *operator) {
            for run in &table.runs {
                for block in self.entries(table, run, key_groups).await? {
                    *bytes.entry(KeyGroup::new(block.key_group)).or_default() += u64::from(block.raw_bytes);
                }
            }
        }
        let mut parts: Vec<KeyGroupSet> = Vec::new();
        let mut filled = 0u64;
        for (key_group, bytes) in bytes {
            if parts.is_empty() || filled.saturating_add(bytes) > bytes_max {
                parts.push(KeyGroupSet::empty(self.max_parallelism()));
                filled = 0;
            }
            filled = filled.saturating_add(bytes);
            parts.last_mut().expect("there is one since the first").insert(key_group);
        }
        Ok(parts)
    }

    /// Reads what a subtask of an operator restores that owns these key groups: their rows, and the values of all
    /// former subtasks. Empty for an operator without state here. Reads no other rows, except in small gaps.
    ///
    /// If a row was written several times, the snapshot has all versions, oldest first. The last one is valid.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::MissingRunFile`], and other errors that name the object; [`Error::KeyHashDiffers`],
    /// [`Error::MaxParallelismDiffers`].
    pub async fn restore(&self, operator: &OperatorUid, key_groups: &KeyGroupSet) -> Result<Snapshot> {
        self.check_hash()?;
        self.check_max_parallelism(key_groups.max_parallelism())?;
        let manifest = &self.inner.manifest;
        let mut snapshot = Snapshot::default();
        for table in manifest.tables.iter().filter(|table| table.operator == *operator) {
            let is_wanted = |run: &&Run| key_groups.iter().any(|group| run.key_groups.contains(group));
            let runs = table.runs.iter().filter(is_wanted).map(|run| self.read_run(table, run, key_groups));
            // Collected, because the compiler cannot infer a lifetime for closures that are held over an await.
            let runs: Vec<_> = runs.collect();
            let read: Vec<Vec<BlockRows>> = futures::stream::iter(runs).buffered(RUNS_AT_ONCE).try_collect().await?;
            let blocks: Vec<BlockRows> = read.into_iter().flatten().collect();
            if !blocks.is_empty() {
                let (name, schema) = (table.name.clone(), table.schema.clone());
                let operator = operator.as_str().to_owned();
                let rows =
                    tokio::task::spawn_blocking(move || join_blocks(&operator, &name, &schema, blocks)).await??;
                snapshot.keyed.extend(rows);
            }
        }
        let of_operator = manifest.union_values.iter().filter(|value| value.operator == operator.as_str());
        snapshot.union = of_operator.map(|value| (value.name.clone(), value.value.clone())).collect();
        Ok(snapshot)
    }

    /// Reads the rows of these key groups in a run.
    pub(crate) async fn read_run(&self, table: &Table, run: &Run, key_groups: &KeyGroupSet) -> Result<Vec<BlockRows>> {
        let entries = self.entries(table, run, key_groups).await?;
        self.file(run.file).await?.read_blocks(entries, &self.inner.reads).await
    }

    /// The blocks of these key groups in a run.
    pub(crate) async fn entries(&self, table: &Table, run: &Run, key_groups: &KeyGroupSet) -> Result<Vec<BlockEntry>> {
        let file = self.file(run.file).await?;
        let mut tables = file.footer().tables.iter().zip(0u32..);
        let found = tables.find(|(own, _)| table.is(own, run.kind));
        let mismatch = |reason: String| Error::corrupt(self.file_name(run.file), "footer", reason);
        let Some((own, index)) = found else {
            return Err(mismatch(format!(
                "it has no table {} of {}, its manifest says it has",
                table.name, table.operator
            )));
        };
        if own.schema != table.schema {
            return Err(mismatch(format!(
                "table {} of {} has other columns than in the manifest",
                table.name, table.operator
            )));
        }
        let wanted = |block: &&BlockEntry| {
            let group = KeyGroup::new(block.key_group);
            block.table == index
                && key_groups.contains(group)
                && run.key_groups.contains(group)
                && run.buckets.binary_search(&block.bucket).is_ok()
        };
        Ok(file.footer().blocks.iter().filter(wanted).copied().collect())
    }

    fn file_name(&self, index: usize) -> String {
        let file = &self.inner.manifest.files[index];
        if file.name.is_empty() {
            format!("{}/{}, run file {index}", self.inner.uri, paths::MANIFEST)
        } else {
            self.inner.base.name_of(&file.name)
        }
    }

    /// A run file. It is opened at the first use.
    pub(crate) async fn file(&self, index: usize) -> Result<&RunFile> {
        let manifest = &self.inner.manifest;
        let open = || async {
            let listed = &manifest.files[index];
            let file = if listed.name.is_empty() {
                RunFile::from_bytes(&self.file_name(index), listed.inline.clone())?
            } else {
                let (storage, copies) = (&self.inner.base, self.inner.copies.as_ref());
                RunFile::open(storage, copies, listed, manifest.checkpoint, &self.inner.reads).await?
            };
            file.check_keys(manifest.max_parallelism, manifest.key_hash_version)?;
            Ok(file)
        };
        self.inner.files[index].get_or_try_init(open).await
    }
}

/// The folder of a checkpoint or savepoint. `uri` is the location of the folder or of its manifest.
pub(crate) fn folder_of(uri: &str) -> &str {
    let trimmed = uri.trim_end_matches('/');
    trimmed.strip_suffix("/manifest").unwrap_or(trimmed)
}

/// Concatenates the small blocks of a table by bucket, see [`PIECE_BYTES`]. Within a bucket, rows keep their order.
fn join_blocks(operator: &str, table: &str, schema: &SchemaRef, blocks: Vec<BlockRows>) -> Result<Vec<TableRows>> {
    #[derive(Default)]
    struct Open {
        key_hashes: Vec<u64>,
        rows: Vec<RecordBatch>,
        bytes: u64,
    }
    let close = |bucket: i64, open: Open| {
        let failed = |source| Error::Columns {
            action: "put together",
            operator: operator.to_owned(),
            table: table.to_owned(),
            source,
        };
        let rows = concat_batches(schema, &open.rows).map_err(failed)?;
        let key_hashes = open.key_hashes;
        Ok::<_, Error>(TableRows { table: table.to_owned(), bucket, is_whole: true, key_hashes, rows })
    };
    let mut pieces = Vec::new();
    let mut buckets: BTreeMap<i64, Open> = BTreeMap::new();
    for block in blocks {
        let (bucket, bytes) = (block.entry.bucket, u64::from(block.entry.raw_bytes));
        let open = buckets.entry(bucket).or_default();
        if bytes >= PIECE_BYTES && !open.rows.is_empty() {
            pieces.push(close(bucket, std::mem::take(open))?);
        }
        open.key_hashes.extend(block.key_hashes);
        open.rows.push(block.rows);
        open.bytes += bytes;
        if open.bytes >= PIECE_BYTES {
            pieces.push(close(bucket, std::mem::take(open))?);
        }
    }
    for (bucket, open) in buckets {
        if !open.rows.is_empty() {
            pieces.push(close(bucket, open)?);
        }
    }
    Ok(pieces)
}
