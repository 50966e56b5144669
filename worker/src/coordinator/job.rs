//! Runs a job: one attempt after the other, until one succeeds or another one would not help.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use eddyline_api::Phase;
use eddyline_api::status::{self, Rescale};
use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{BytesRead, CheckpointHandle, JobIdentity, JobOperator, JobStore, LocalCopies, Storage};
use eddyline_job_graph::JobGraph;
use eddyline_state::SpillDirectory;
use eddyline_stream::{Assignment, CheckpointId, OperatorUid, key_hash};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tracing::{info, warn};

use super::attempt::{self, Attempt, Ending, Rescaling};
use super::request::{Request, SavepointOrder};
pub use super::restarts::RestartStrategy;
use super::restarts::{Next, Restarts};
use super::staging::CheckpointStaging;
use super::status::{Status, now_ms};
use super::verdict::Verdict;
use super::{recovery, rounds, storing, verdict};
use crate::memory::Governor;
use crate::runtime::build::{self, Context, Deployment, Restored};
use crate::runtime::connectors::Connectors;
use crate::runtime::metrics::OperatorMetrics;

/// The number of rows that sources read at a time, except in tests.
pub const ROWS_PER_READ: usize = 8192;

/// The folder of state that does not fit in memory, in the local directory.
const SPILLED: &str = "spilled";

/// How a job is started and restarted.
#[derive(Clone, Debug)]
pub struct Config {
    /// The job's name. Its checkpoints are in a folder of that name.
    pub name: String,
    /// The number of slots.
    pub parallelism: u16,
    /// The number of rows that sources read at a time.
    pub rows_per_read: usize,
    /// How many rows operators emit before their task looks at barriers, and at room downstream.
    pub rows_per_piece: usize,
    /// The memory that the process may have, in bytes. With a local directory, state that does not fit goes there.
    pub memory_limit: Option<u64>,
    /// The most bytes of state that a subtask restores at a time, except in tests: what fits in memory.
    pub restore_part_bytes: Option<u64>,
    /// The folder of the checkpoints. Without it, checkpoints are in memory and end with the process. They are still
    /// taken, because sinks commit with them.
    pub checkpoint_dir: Option<String>,
    /// Options of the checkpoint storage, such as `s3.endpoint`.
    pub storage_options: BTreeMap<String, String>,
    /// The time between two checkpoints.
    pub checkpoint_interval: Option<Duration>,
    /// When an attempt takes its first checkpoint, see [`rounds::Config::first_after`].
    pub first_checkpoint_after: Duration,
    /// Where state goes that does not fit in memory. With `checkpoint_dir`, run files of the latest checkpoint are also
    /// copied there, for faster restores.
    pub local_directory: Option<LocalDirectory>,
    /// The start token, for [`JobStore::with_start`]. Without it each process is a start of its own.
    pub start: Option<String>,
    /// What to start from.
    pub restore: Restore,
    /// What [`Restore::Latest`] starts from while the job has no checkpoint of its own.
    pub restore_first: Option<String>,
    /// Operators whose state may be dropped if it fits no operator of the job.
    pub allow_non_restored: BTreeSet<OperatorUid>,
    /// How often and when the job restarts after a failure.
    pub restart: RestartStrategy,
}

/// A folder on a disk of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalDirectory {
    /// The folder. Several jobs may use the same.
    pub path: PathBuf,
    /// The most bytes that the job may have there.
    pub bytes_max: u64,
}

/// What the first attempt starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The latest checkpoint of the job, if there is one.
    Latest,
    /// No state.
    None,
    /// A savepoint or checkpoint by its URI.
    Uri(String),
}

/// Why a job has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint storage cannot be used, or its content does not fit the job.
    #[error(transparent)]
    Checkpoint(#[from] eddyline_checkpoint::Error),
    /// A part of a checkpoint cannot be read by this version.
    #[error("{what} in the checkpoint cannot be read")]
    Decode {
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The restored checkpoint has output that is not visible yet, of a sink that the job does not have.
    #[error(
        "{uri} holds output of {sink} that is not visible yet, and this job has no exactly-once sink of that name: run the \
         SQL that wrote it again, or also write to that table here, or name {sink} in allowNonRestoredState to drop \
         that output"
    )]
    OpenOutput {
        /// The checkpoint or savepoint.
        uri: String,
        /// The sink.
        sink: OperatorUid,
    },
    /// A checkpoint of another job has output that is not visible yet. This job cannot commit it: the other job might
    /// do so too.
    #[error(
        "checkpoint {uri} of another job has output that is not visible yet. Copy it while that job does not run \
         (eddyline savepoint copy --from {uri} --to FOLDER), and restore the copy: it brings that output along"
    )]
    ForeignOutput {
        /// The checkpoint.
        uri: String,
    },
    /// The tasks could not be built.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// The last attempt failed.
    #[error(transparent)]
    Attempt(#[from] attempt::Error),
}

impl Error {
    /// Whether another process has taken over the job.
    pub fn is_fenced(&self) -> bool {
        let error = match self {
            Error::Checkpoint(error) => error,
            Error::Attempt(attempt::Error::Checkpoint(error)) => error,
            _ => return false,
        };
        matches!(error, eddyline_checkpoint::Error::Fenced { .. })
    }
}

/// How a successful job ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All input has been read and its output is visible.
    Finished,
    /// Stopped on request.
    Stopped {
        /// The location of the savepoint. None: it stopped with a checkpoint.
        savepoint: Option<String>,
    },
}

/// The observable state of a running job.
#[derive(Debug, Default)]
pub struct View {
    /// The status.
    pub status: Arc<Status>,
    /// What the subtasks of the running attempt count.
    pub operators: RwLock<Vec<Arc<OperatorMetrics>>>,
    /// The memory that the process may have, in bytes, if that is limited.
    pub memory_limit: Option<u64>,
    /// Whether state that does not fit in memory goes to a local disk.
    pub is_governed: AtomicBool,
}

impl View {
    /// What the subtasks of the running attempt count.
    pub fn operators(&self) -> Vec<Arc<OperatorMetrics>> {
        self.operators.read().expect("no holder of the metrics panics").clone()
    }
}

/// Runs a job to its end.
///
/// # Errors
/// When an attempt fails for a reason that the next attempt would meet too, or when attempts fail too often.
pub async fn run(
    graph: &JobGraph,
    config: &Config,
    connectors: &Arc<dyn Connectors>,
    view: &View,
    mut requests: UnboundedReceiver<Request>,
) -> Result<Outcome, Error> {
    let storage = match &config.checkpoint_dir {
        Some(uri) => Storage::open(uri, &config.storage_options).map_err(eddyline_checkpoint::Error::Storage)?,
        None => Storage::in_memory(Memory::default()),
    };
    let operators = build::job_operators(graph)?;
    let mut store = JobStore::open(storage, &config.name).with_operators(operators.clone(), &graph.fingerprint());
    if let Some(copies) = local_copies(config, &store).await {
        view.status.copies_to(copies.clone());
        store = store.with_local_copies(copies);
    }
    if let Some(token) = &config.start {
        store = store.with_start(token);
    }
    if config.restore != Restore::Latest {
        store = store.beginning_anew();
    }
    let memory = governor(config);
    view.is_governed.store(memory.is_some(), Ordering::Relaxed);
    let mut runner =
        Runner { graph, operators, config, connectors, view, store, memory, parallelism: config.parallelism };
    let mut restarts = Restarts::new(config.restart);
    let mut rescaling = None;
    loop {
        let error = match runner.run_attempt(&mut requests, rescaling.take()).await {
            Ok(Ending::Finished) => {
                view.status.enter(Phase::Finished, None);
                return Ok(Outcome::Finished);
            }
            Ok(Ending::Stopped(savepoint)) => {
                view.status.stopped(savepoint.as_ref().map(|(name, uri)| (name.as_str(), uri.as_str())));
                return Ok(Outcome::Stopped { savepoint: savepoint.map(|(_, uri)| uri) });
            }
            Ok(Ending::SavepointFailed) => continue,
            Ok(Ending::Rescaling(wanted)) => {
                runner.parallelism = wanted.parallelism;
                rescaling = Some(wanted);
                continue;
            }
            Err(error) => runner.or_fenced(error).await,
        };
        let wait = match runner.after(&error, &mut restarts) {
            Some(wait) => wait,
            None => return Err(error),
        };
        let next = tokio::time::sleep(wait);
        tokio::pin!(next);
        loop {
            let request = tokio::select! {
                () = &mut next => break,
                Some(request) = requests.recv() => request,
            };
            if let Some(outcome) = runner.request_between_attempts(request) {
                return Ok(outcome);
            }
        }
    }
}

/// Keeps the process below its memory limit, if it has one and there is a place for state that does not fit.
fn governor(config: &Config) -> Option<Arc<Governor>> {
    let LocalDirectory { path, bytes_max } = config.local_directory.as_ref()?;
    let disk = SpillDirectory::new(path.join(SPILLED), bytes_max - copies_bytes(config, *bytes_max));
    Some(Governor::new(config.memory_limit?, disk))
}

/// The part of a local directory that copies of run files may take. State that does not fit in memory has the rest: a
/// run file has at most what there is of state.
fn copies_bytes(config: &Config, bytes_max: u64) -> u64 {
    if config.memory_limit.is_some() { bytes_max / 2 } else { bytes_max }
}

/// The copies of run files that the job has on a local disk, if there is a place for them.
async fn local_copies(config: &Config, store: &JobStore) -> Option<LocalCopies> {
    let LocalDirectory { path, bytes_max } =
        config.local_directory.clone().filter(|_| config.checkpoint_dir.is_some())?;
    let (job, uri) = (store.job().to_owned(), store.uri());
    let bytes_max = copies_bytes(config, bytes_max);
    tokio::task::spawn_blocking(move || LocalCopies::open(&path, bytes_max, &job, &uri)).await.ok()
}

/// Runs the attempts of a job.
struct Runner<'a> {
    graph: &'a JobGraph,
    operators: Vec<JobOperator>,
    config: &'a Config,
    connectors: &'a Arc<dyn Connectors>,
    view: &'a View,
    store: JobStore,
    memory: Option<Arc<Governor>>,

    parallelism: u16,
}

impl Runner<'_> {
    /// The reason for a failure. If another process has taken over, that is the reason, whatever failed: the new attempt removes
    /// what this one had staged, for example.
    async fn or_fenced(&self, error: Error) -> Error {
        if verdict::verdict(&error) != Verdict::Mistake || error.is_fenced() {
            return error;
        }
        match self.store.check_led().await {
            Err(fenced @ eddyline_checkpoint::Error::Fenced { .. }) => {
                warn!(error = %crate::chain_of(&error), "attempt failed after another process had taken over");
                Error::Checkpoint(fenced)
            }
            _ => error,
        }
    }

    /// The wait between a failed attempt and the next one. `None` if the job has failed.
    fn after(&self, error: &Error, restarts: &mut Restarts) -> Option<Duration> {
        let status = &self.view.status;
        let (text, reason) = (crate::chain_of(error), crate::reason_of(error));
        status.attempt_failed(verdict::cause(error, self.graph), reason.clone());
        let ran = matches!(status.phase(), Phase::Running | Phase::Rescaling | Phase::Stopping);
        let verdict = verdict::verdict(error);
        match restarts.failed(verdict, ran, Instant::now()) {
            Next::Fail => {
                if verdict != Verdict::Mistake {
                    status.restart_limit_reached();
                }
                // The log has the whole error. The status cuts it.
                tracing::error!(error = %text, "the job has failed with its last attempt");
                status.enter(if error.is_fenced() { Phase::Fenced } else { Phase::Failed }, Some(reason));
                None
            }
            Next::Attempt(wait) => {
                let wait_ms = wait.as_millis() as u64;
                warn!(error = %text, wait_ms, "attempt failed, restarting from the latest checkpoint");
                status.restarting(reason);
                Some(wait)
            }
            Next::AttemptWhenBack(wait) => {
                let wait_ms = wait.as_millis() as u64;
                warn!(error = %text, wait_ms, "an external system does not answer; retrying until it does");
                if ran {
                    status.restarting(reason)
                } else {
                    status.waiting(reason)
                }
                Some(wait)
            }
        }
    }

    /// Answers a request while no attempt runs.
    fn request_between_attempts(&mut self, request: Request) -> Option<Outcome> {
        let status = &self.view.status;
        match request {
            Request::Savepoint(order) | Request::Stop { savepoint: Some(order), .. } => {
                let SavepointOrder { name, .. } = order;
                warn!(savepoint = %name, "no savepoint can be written while an attempt has failed; ask again when the job runs");
                status.savepoint_ended(&name, None, Err("the job does not run: an attempt has failed".to_owned()));
                None
            }
            // The stop to cancel has ended with its attempt.
            Request::Resume => None,
            Request::Stop { savepoint: None, .. } => {
                status.stopped(None);
                Some(Outcome::Stopped { savepoint: None })
            }
            Request::Rescale { parallelism } => {
                self.parallelism = parallelism;
                None
            }
        }
    }

    async fn run_attempt(
        &self,
        requests: &mut UnboundedReceiver<Request>,
        mut rescaling: Option<Rescaling>,
    ) -> Result<Ending, Error> {
        let Self { graph, operators, config, view, store, .. } = self;
        let identity = JobIdentity {
            max_parallelism: graph.settings.max_parallelism,
            hash_version: key_hash::VERSION,
            retain: graph.settings.checkpoints_retained,
        };
        view.status.enter(if rescaling.is_some() { Phase::Rescaling } else { Phase::Starting }, None);
        let started = store.start_attempt(identity).await?;
        view.status.attempt_started(started.attempt.number(), self.parallelism);
        let writer = Arc::new(started.writer);
        let (handle, is_latest) =
            recovery::starting_point(config, store, started.latest.clone(), started.start_after).await?;
        // Checkpoint numbers continue after that of the restored state, even in a folder without checkpoints.
        let last = started.last_checkpoint.max(handle.as_ref().map(CheckpointHandle::id)).unwrap_or(CheckpointId::NONE);
        let assignment = assignment(handle.as_ref(), graph, self.parallelism);
        let held = rescaling.as_mut().and_then(|rescaling| rescaling.held.take());
        let restoring = Instant::now();
        let of_attempt = (&*assignment, started.attempt);
        let part_bytes = config.restore_part_bytes.unwrap_or_else(|| {
            let subtasks = u64::from(self.parallelism);
            self.memory.as_ref().map_or(u64::MAX, |memory| memory.part_bytes(subtasks))
        });
        let restored = recovery::restore(graph, operators, config, handle.as_ref(), held, of_attempt, part_bytes)?;
        view.status.restored(handle.as_ref().map(|handle| handle.uri().to_owned()));
        let (events_sender, events) = unbounded_channel();
        // Dropped with this attempt, however it ends.
        let (_attempt, running) = tokio::sync::watch::channel(());
        let context = Context {
            job: config.name.clone(),
            history: writer.settle_history(handle.as_ref()).await?,
            attempt: started.attempt,
            assignment: Arc::clone(&assignment),
            connectors: Arc::clone(self.connectors),
            rows_per_read: config.rows_per_read,
            rows_per_piece: config.rows_per_piece,
            io: tokio::runtime::Handle::current(),
            memory: self.memory.clone(),
            waits: waits_reported_to(&view.status),
            staging: Arc::new(CheckpointStaging::new(store.clone(), Arc::clone(&view.status), running)),
            events: events_sender.clone(),
        };
        let mut deployment = deploy(JobGraph::clone(graph), context, restored).await?;
        if let Some(handle) = &handle {
            view.status.state_restored(restore_status(handle, restoring));
        }
        let governing = self.memory.clone().map(|memory| memory.govern(deployment.metrics.clone(), events_sender));
        let mut governing_task = JoinSet::new();
        if let Some(governing) = governing {
            governing_task.spawn(governing);
        }
        *view.operators.write().expect("no holder of the metrics panics") = deployment.metrics.clone();

        // Recovery first commits what was complete. Sources get no splits until this is done.
        if let Some(restored) = handle.as_ref().filter(|_| !is_latest) {
            let is_own = started.skipped.iter().any(|skipped| skipped.uri == restored.uri());
            recovery::commit_restored(graph, (restored, is_own), self.connectors, &config.allow_non_restored).await?;
            if restored.is_savepoint() {
                writer.hand_over_savepoint(restored.uri()).await?;
            }
        }
        for completed in started.uncommitted.iter().filter(|_| is_latest) {
            info!(checkpoint = %completed.id, "committing the open output of a checkpoint");
            let checkpoint = store.read(completed).await?;
            let to_commit = recovery::open_output(&checkpoint, &deployment.committers, &config.allow_non_restored)?;
            storing::commit_all(&mut deployment.committers, completed.id, &to_commit, &writer).await?;
        }
        recovery::abort_stale(&mut deployment.committers, store, &started.skipped, last).await?;
        let rounds = rounds::Config {
            interval: config.checkpoint_interval,
            first_after: config.first_checkpoint_after,
            timeout: graph.settings.checkpoint_timeout,
            tasks: deployment.tasks,
        };
        let rescaled = rescaling.map(|rescaling| Rescaled {
            moved_key_groups: handle.as_ref().map_or(0, |handle| handle.assignment().moved(&assignment)),
            from: handle.as_ref().map_or(self.parallelism, |handle| handle.assignment().slots()),
            rescaling,
        });
        let attempt = Attempt {
            deployment,
            writer,
            assignment,
            status: Arc::clone(&view.status),
            memory: self.memory.clone(),
            events,
            on_running: Box::new(move |status| enter_running(status, rescaled)),
        };
        let finished = Arc::clone(&attempt.writer);
        let ending = attempt::run(attempt, rounds, last, requests).await?;
        // With this record the next start need not repeat the last commit. Without it the next start repeats the
        // commit, which changes nothing.
        if let Err(error) = finished.flush().await {
            warn!(error = %crate::chain_of(&error), "the last commit could not be recorded as done");
        }
        Ok(ending)
    }
}

/// Reports an outage that sinks wait out as the reason why the next checkpoint cannot be stored.
fn waits_reported_to(status: &Arc<Status>) -> Arc<dyn Fn(&eddyline_connectors::Error) + Send + Sync> {
    let status = Arc::clone(status);
    Arc::new(move |error| status.checkpoint_error(crate::reason_of(error)))
}

/// Builds and starts an attempt on a blocking thread, because it waits for brokers and restores all state.
async fn deploy(graph: JobGraph, context: Context, restored: Restored) -> Result<Deployment, Error> {
    let built = tokio::task::spawn_blocking(move || build::deploy(&graph, &context, restored));
    match built.await.map_err(|_| attempt::Error::Lost)? {
        Ok(deployment) => Ok(deployment),
        Err(build::Error::State(error)) => Err(Error::Checkpoint(*error)),
        Err(error) => Err(error.into()),
    }
}

/// What a restore that began then has read, now that it is done.
fn restore_status(handle: &CheckpointHandle, began: Instant) -> status::Restore {
    let BytesRead { from_copies, from_storage } = handle.bytes_read();
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    info!(from_copies, from_storage, duration_ms, "operators have their state");
    status::Restore {
        from: handle.uri().to_owned(),
        bytes_from_local_copies: from_copies,
        bytes_from_storage: from_storage,
        duration_ms,
        at_ms: now_ms(),
    }
}

/// A change of parallelism that the attempt completes as soon as it runs.
struct Rescaled {
    rescaling: Rescaling,
    from: u16,
    moved_key_groups: usize,
}

/// The attempt runs: its sources have their first splits.
fn enter_running(status: &Status, rescaled: Option<Rescaled>) {
    status.enter(Phase::Running, None);
    let Some(Rescaled { rescaling, from, moved_key_groups }) = rescaled else { return };
    let millis = |since: Instant| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
    let rescale = Rescale {
        from,
        to: rescaling.parallelism,
        moved_key_groups: u32::try_from(moved_key_groups).unwrap_or(u32::MAX),
        duration_ms: millis(rescaling.requested),
        pause_ms: millis(rescaling.paused),
        at_ms: now_ms(),
    };
    info!(from, to = rescale.to, moved_key_groups, pause_ms = rescale.pause_ms, "rescaled");
    status.rescaled(rescale);
}

fn assignment(handle: Option<&CheckpointHandle>, graph: &JobGraph, parallelism: u16) -> Arc<Assignment> {
    Arc::new(match handle {
        Some(handle) => handle.assignment().rescaled(parallelism),
        None => Assignment::even(graph.settings.max_parallelism, parallelism),
    })
}
