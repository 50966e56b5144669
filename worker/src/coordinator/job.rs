//! Runs a job: attempts, one after the other, until one ends well or there is no use in another.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use eddyline_checkpoint::storage::Memory;
use eddyline_checkpoint::{CheckpointHandle, JobIdentity, JobStore, Storage};
use eddyline_connectors::sink::Committable;
use eddyline_connectors::source::Split;
use eddyline_job_graph::JobGraph;
use eddyline_stream::{Assignment, CheckpointId, OperatorUid, SlotIndex, key_hash};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tracing::{info, warn};

use super::attempt::{self, Attempt, Outcome, Request};
use super::rounds;
use super::staging::CheckpointStaging;
use super::status::Status;
use crate::runtime::build::{self, Context, Restored};
use crate::runtime::connectors::{Connectors, OpenError};
use crate::runtime::metrics::OperatorMetrics;

/// How a job is started and started again.
#[derive(Clone, Debug)]
pub struct Config {
    /// The job's name; its checkpoints are kept under it.
    pub name: String,
    /// How many slots run it.
    pub parallelism: u16,
    /// How many rows sources read at a time.
    pub rows_per_read: usize,
    /// Where checkpoints are kept. Without it they are taken all the same, because sinks commit with them, but are kept
    /// in memory and end with the process.
    pub checkpoint_dir: Option<String>,
    /// Options of the checkpoint storage, such as `s3.endpoint`.
    pub storage_options: BTreeMap<String, String>,
    /// Where savepoints go.
    pub savepoint_dir: String,
    /// How often a checkpoint is taken.
    pub checkpoint_interval: Option<Duration>,
    /// What to start from.
    pub restore: Restore,
    /// What [`Restore::Latest`] starts from while the job has no checkpoint of its own.
    pub restore_first: Option<String>,
    /// When to give up.
    pub restart: RestartStrategy,
}

/// What the first attempt starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restore {
    /// The latest checkpoint of the job, if there is one.
    Latest,
    /// Nothing.
    None,
    /// A savepoint or checkpoint by its URI.
    Uri(String),
}

/// How often a failing job is started again, and after which waits.
#[derive(Clone, Copy, Debug)]
pub struct RestartStrategy {
    /// Restarts within the window after which the job has failed.
    pub max_per_window: usize,
    /// The window.
    pub window: Duration,
    /// The first wait; each further one is twice as long.
    pub backoff_initial: Duration,
    /// The longest wait.
    pub backoff_max: Duration,
}

impl Default for RestartStrategy {
    fn default() -> Self {
        Self {
            max_per_window: 10,
            window: Duration::from_secs(600),
            backoff_initial: Duration::from_secs(1),
            backoff_max: Duration::from_secs(60),
        }
    }
}

/// Why a job has failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint storage cannot be used, or what is in it does not fit the job.
    #[error(transparent)]
    Checkpoint(#[from] eddyline_checkpoint::Error),
    /// A checkpoint holds something this version cannot read.
    #[error("{what} in the checkpoint cannot be read")]
    Decode {
        /// What.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The tasks could not be built.
    #[error(transparent)]
    Build(#[from] build::Error),
    /// The last attempt failed.
    #[error(transparent)]
    Attempt(#[from] attempt::Error),
}

impl Error {
    fn is_retryable(&self) -> bool {
        match self {
            Error::Checkpoint(error) => error.is_retryable(),
            Error::Build(build::Error::Open { source, .. }) => matches!(
                **source,
                OpenError::Connector(eddyline_connectors::Error::Unavailable { retryable: true, .. })
            ),
            Error::Attempt(error) => error.is_retryable(),
            Error::Build(_) | Error::Decode { .. } => false,
        }
    }
}

/// What can be seen of a running job from outside.
#[derive(Debug, Default)]
pub struct View {
    /// What the coordinator knows.
    pub status: Arc<Status>,
    /// What the subtasks of the running attempt count.
    pub operators: RwLock<Vec<Arc<OperatorMetrics>>>,
}

/// Runs a job to its end.
///
/// # Errors
/// When an attempt fails for a reason that another attempt would meet again, or too often.
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
    let store = JobStore::open(storage, &config.name);
    let mut failures: Vec<Instant> = Vec::new();
    let mut baseline = None;
    loop {
        let error = match run_attempt(graph, config, connectors, view, &store, &mut requests, &mut baseline).await {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        let now = Instant::now();
        failures.retain(|at| now.duration_since(*at) < config.restart.window);
        failures.push(now);
        if !error.is_retryable() || failures.len() > config.restart.max_per_window {
            return Err(error);
        }
        let doubled = config.restart.backoff_initial.saturating_mul(1 << (failures.len() - 1).min(16));
        let wait = doubled.min(config.restart.backoff_max);
        warn!(error = %crate::chain_of(&error), wait_ms = wait.as_millis() as u64, "attempt failed, restarting from the latest checkpoint");
        tokio::time::sleep(wait).await;
    }
}

/// What an attempt restores, and whether that is the latest checkpoint of the job's own folder. `baseline` is the latest
/// checkpoint that was there when this run began: those count only if it was asked to go on from them.
async fn starting_point(
    config: &Config,
    store: &JobStore,
    latest: Option<CheckpointHandle>,
    baseline: Option<CheckpointId>,
) -> Result<(Option<CheckpointHandle>, bool), Error> {
    let latest = latest
        .filter(|latest| config.restore == Restore::Latest || baseline.is_some_and(|baseline| latest.id() > baseline));
    if latest.is_some() {
        return Ok((latest, true));
    }
    let uri = match &config.restore {
        Restore::Uri(uri) => Some(uri),
        Restore::Latest => config.restore_first.as_ref(),
        Restore::None => None,
    };
    Ok(match uri {
        Some(uri) => (Some(store.open_uri(uri, &config.storage_options).await?), false),
        None => (None, false),
    })
}

async fn run_attempt(
    graph: &JobGraph,
    config: &Config,
    connectors: &Arc<dyn Connectors>,
    view: &View,
    store: &JobStore,
    requests: &mut UnboundedReceiver<Request>,
    baseline: &mut Option<CheckpointId>,
) -> Result<Outcome, Error> {
    let identity = JobIdentity {
        max_parallelism: graph.settings.max_parallelism,
        hash_version: key_hash::VERSION,
        retain: graph.settings.checkpoints_retained,
    };
    let started = store.start_attempt(identity).await?;
    view.status.attempt_started(started.attempt.number(), baseline.is_some());
    let writer = Arc::new(started.writer);
    let (handle, is_latest) = starting_point(config, store, started.latest.clone(), *baseline).await?;
    baseline.get_or_insert(started.last_checkpoint.unwrap_or(CheckpointId::NONE));
    // Numbers go on behind those of the state that is restored, also in a folder that has no checkpoint of its own yet.
    let last = started.last_checkpoint.max(handle.as_ref().map(CheckpointHandle::id)).unwrap_or(CheckpointId::NONE);
    let assignment = assignment(handle.as_ref(), graph, config.parallelism);
    let restored = restore(graph, handle.as_ref(), &assignment, started.attempt).await?;
    let (events_sender, events) = unbounded_channel();
    let context = Context {
        job: config.name.clone(),
        history: store.history().await?,
        attempt: started.attempt,
        assignment: Arc::clone(&assignment),
        connectors: Arc::clone(connectors),
        rows_per_read: config.rows_per_read,
        io: tokio::runtime::Handle::current(),
        staging: Arc::new(CheckpointStaging::new(store.clone())),
        events: events_sender,
    };
    let mut deployment = build::deploy(graph, &context, restored)?;
    *view.operators.write().expect("no holder of the metrics panics") = deployment.metrics.clone();

    // Recovery finishes what was complete before it starts anything new: sources have no splits until this is done.
    for completed in started.uncommitted.iter().filter(|_| is_latest) {
        info!(checkpoint = %completed.id, "finishing the commits of a checkpoint");
        let to_commit = committables(&store.read(completed).await?)?;
        attempt::commit_all(&mut deployment.committers, completed.id, &to_commit, &writer).await?;
    }
    for (sink, committer) in &mut deployment.committers {
        committer.abort_stale(last).await.map_err(|source| attempt::Error::Commit {
            sink: sink.clone(),
            checkpoint: last,
            source: Box::new(source),
        })?;
    }
    let rounds = rounds::Config {
        interval: config.checkpoint_interval,
        timeout: graph.settings.checkpoint_timeout,
        tasks: deployment.tasks,
    };
    let attempt = Attempt {
        deployment,
        writer,
        assignment,
        savepoint_dir: Some(config.savepoint_dir.clone()),
        status: Arc::clone(&view.status),
        events,
    };
    let finished = Arc::clone(&attempt.writer);
    let outcome = attempt::run(attempt, rounds, last, requests).await?;
    // The next start need not repeat the last commit.
    finished.flush().await?;
    Ok(outcome)
}

fn assignment(handle: Option<&CheckpointHandle>, graph: &JobGraph, parallelism: u16) -> Arc<Assignment> {
    Arc::new(match handle {
        Some(handle) => handle.assignment().rescaled(parallelism),
        None => Assignment::even(graph.settings.max_parallelism, parallelism),
    })
}

/// Reads what every subtask needs; refuses state that does not fit the job.
async fn restore(
    graph: &JobGraph,
    handle: Option<&CheckpointHandle>,
    assignment: &Assignment,
    attempt: eddyline_stream::Attempt,
) -> Result<Restored, Error> {
    let parallelism = assignment.slots();
    let mut restored = Restored::default();
    let Some(handle) = handle else {
        info!(%attempt, parallelism, "starting without state");
        return Ok(restored);
    };
    handle.check_max_parallelism(graph.settings.max_parallelism)?;
    handle.check(&build::state_tables(graph)?)?;
    info!(%attempt, parallelism, checkpoint = %handle.id(), from = %handle.uri(), "restoring");
    for node in &graph.nodes {
        for slot in (0..parallelism).map(SlotIndex::new) {
            let snapshot = handle.restore(&node.uid, &assignment.key_groups_of(slot)).await?;
            if !snapshot.is_empty() {
                restored.operators.insert((node.uid.clone(), slot), snapshot);
            }
        }
        let splits: Vec<Split> = decode(handle.splits(&node.uid), "a source split")?;
        if !splits.is_empty() {
            restored.splits.insert(node.uid.clone(), splits);
        }
    }
    let mut splits = restored.splits.values().flatten().peekable();
    if splits.peek().is_some() && splits.all(|split| split.finished) {
        info!("all input that is known has been read already; `--restore none` begins anew");
    }
    Ok(restored)
}

fn committables(handle: &CheckpointHandle) -> Result<BTreeMap<OperatorUid, Vec<Committable>>, Error> {
    handle
        .committables()
        .iter()
        .map(|(sink, values)| Ok((sink.clone(), decode(values, "a sink's committable")?)))
        .collect()
}

fn decode<T: serde::de::DeserializeOwned>(values: &[serde_json::Value], what: &'static str) -> Result<Vec<T>, Error> {
    values
        .iter()
        .map(|value| serde_json::from_value(value.clone()).map_err(|source| Error::Decode { what, source }))
        .collect()
}
