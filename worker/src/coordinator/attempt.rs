//! Runs one attempt of a job: carries out what [`super::rounds`] decides until the job ends or a task fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eddyline_api::Phase;
use eddyline_checkpoint::{HeldState, Writer};
use eddyline_connectors::source::{Discovery, FinishedSplits, Split, SplitEnumerator};
use eddyline_stream::{Assignment, Barrier, BarrierKind, CheckpointId, OperatorUid, SlotIndex};
use futures::FutureExt;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::request::{Request, SavepointOrder};
use super::rounds::{self, Rounds};
use super::status::{CheckpointTimes, Status};
use super::stop::Stop;
use super::storing::{self, BySink, Committers, StoreError, Stored, Written};
use crate::memory::Governor;
use crate::runtime::build::Deployment;
use crate::runtime::output::Staged;
use crate::runtime::source_task::Command as SourceCommand;
use crate::runtime::task::{self, Event, TaskSnapshot};

/// How often the clock is read.
const TICK: Duration = Duration::from_millis(50);
/// The number of failed checkpoints in a row from which the log reports an error instead of a warning.
const FAILURES_BEFORE_ALARM: u32 = 3;

/// Why an attempt ended without the job being done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A task failed.
    #[error(transparent)]
    Task(#[from] task::Error),
    /// A sink could not stage its rows, so neither this checkpoint nor a later one can be completed.
    #[error("sink {sink} failed to stage its output for checkpoint {checkpoint}")]
    Stage {
        /// Which sink.
        sink: OperatorUid,
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        source: Box<eddyline_connectors::Error>,
    },
    /// The state that was frozen at a barrier cannot be gathered into rows.
    #[error("failed to gather the state of {operator} for checkpoint {checkpoint}")]
    Gather {
        /// Whose state.
        operator: OperatorUid,
        /// For which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        source: arrow::error::ArrowError,
    },
    /// A completed checkpoint's output could not be made visible. The next attempt tries again.
    #[error("sink {sink} failed to commit checkpoint {checkpoint}")]
    Commit {
        /// Which sink.
        sink: OperatorUid,
        /// Which checkpoint.
        checkpoint: CheckpointId,
        /// Why.
        source: Box<eddyline_connectors::Error>,
    },
    /// The splits of a source could not be found.
    #[error("failed to look for the splits of {operator}")]
    Discover {
        /// Which source.
        operator: OperatorUid,
        /// Why.
        source: Box<eddyline_connectors::Error>,
    },
    /// Another process has taken over the job, or the job's records cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] Box<eddyline_checkpoint::Error>),
    /// A part of the process has ended, although it should run as long as the job.
    #[error("the tasks of the job have ended without a report; this is a defect of eddyline, please report it")]
    Lost,
}

/// How a successful attempt ended.
#[derive(Debug)]
pub enum Ending {
    /// All input has been read and its output is visible.
    Finished,
    /// Stopped on request, with the savepoint of this name and location, or with a checkpoint.
    Stopped(Option<(String, String)>),
    /// Stopped with a checkpoint because the savepoint could not be written: the job continues.
    SavepointFailed,
    /// Stopped with a checkpoint to continue with another number of slots.
    Rescaling(Rescaling),
}

/// A change of parallelism in progress.
#[derive(Debug)]
pub struct Rescaling {
    /// The number of slots afterwards.
    pub parallelism: u16,
    /// When it was requested.
    pub requested: Instant,
    /// When sources stopped reading.
    pub paused: Instant,
    /// The state that the job was stopped with.
    pub held: Option<HeldState>,
}

/// What to do once the attempt runs.
pub type OnRunning = Box<dyn FnOnce(&Status) + Send>;

/// What an attempt works with.
pub struct Attempt {
    /// Threads and handles.
    pub deployment: Deployment,
    /// Writes checkpoints of this attempt.
    pub writer: Arc<Writer>,
    /// Which slot owns which key group.
    pub assignment: Arc<Assignment>,
    /// The observable state of the job.
    pub status: Arc<Status>,
    /// Keeps the process below its memory limit.
    pub memory: Option<Arc<Governor>>,
    /// From tasks.
    pub events: UnboundedReceiver<Event>,
    /// Called when all sources have their first splits.
    pub on_running: OnRunning,
}

/// Work beside the loop has ended.
enum Done {
    Stored {
        checkpoint: CheckpointId,
        staged: BySink,
        result: Result<Stored, StoreError>,
    },
    Committed {
        checkpoint: CheckpointId,
        committers: Committers,
        result: Result<BTreeMap<String, String>, Error>,
    },
    /// The removal of old checkpoints. It is aborted when the job ends, and the next attempt continues it.
    Collected(Result<(), eddyline_checkpoint::Error>),
    Discovered {
        source: usize,
        enumerator: Box<dyn SplitEnumerator>,
        result: Result<Discovery, eddyline_connectors::Error>,
    },
}

struct Running {
    attempt: Attempt,
    started: Instant,
    rounds: Rounds,
    /// The snapshots and staged output for the checkpoint in flight.
    parts: Vec<(SlotIndex, TaskSnapshot)>,
    barrier_sent: Instant,
    /// The times of the checkpoint in flight.
    times: CheckpointTimes,
    /// What was staged for abandoned checkpoints. The next checkpoint contains it.
    carried: Vec<(OperatorUid, Staged)>,
    /// What was staged for the checkpoint that is stored and not yet committed.
    to_commit: BySink,
    committers: Option<Committers>,
    /// Requested savepoints that are not complete, in the order of the requests.
    orders: Vec<SavepointOrder>,
    stop: Option<Stop>,
    /// Savepoints of the checkpoint that is stored and not yet committed. They are complete when the checkpoint is.
    written: Written,
    /// The checkpoint that was in flight when a stop was canceled. A later stop does not end with its savepoint.
    canceled_stop: Option<CheckpointId>,
    /// The state that the job was stopped with, to continue with other slots.
    held: Option<HeldState>,
    /// The location of the savepoint that the job was stopped with.
    stopped_with: Option<(String, String)>,
    /// Sources that have not received their first splits.
    undiscovered: usize,
    on_running: Option<OnRunning>,
    background: JoinSet<Done>,
    timers: UnboundedSender<usize>,
}

/// Runs an attempt to its end.
///
/// # Errors
/// Why the attempt failed. Its threads have ended by then.
pub async fn run(
    mut attempt: Attempt,
    config: rounds::Config,
    last: CheckpointId,
    requests: &mut UnboundedReceiver<Request>,
) -> Result<Ending, Error> {
    let (timers, mut due) = tokio::sync::mpsc::unbounded_channel();
    let committers = std::mem::take(&mut attempt.deployment.committers);
    let on_running = std::mem::replace(&mut attempt.on_running, Box::new(|_| ()));
    let attempt_sources = attempt.deployment.sources.len();
    let mut running = Running {
        rounds: Rounds::new(config, last),
        attempt,
        started: Instant::now(),
        parts: Vec::new(),
        barrier_sent: Instant::now(),
        times: CheckpointTimes::default(),
        carried: Vec::new(),
        to_commit: BySink::new(),
        committers: Some(committers),
        orders: Vec::new(),
        stop: None,
        written: Written::new(),
        canceled_stop: None,
        held: None,
        stopped_with: None,
        undiscovered: attempt_sources,
        on_running: Some(on_running),
        background: JoinSet::new(),
        timers,
    };
    for source in 0..running.attempt.deployment.sources.len() {
        running.discover(source);
    }
    let mut tick = tokio::time::interval(TICK);
    loop {
        let event = tokio::select! {
            event = running.attempt.events.recv() => running.task_event(event.ok_or(Error::Lost)?)?,
            Some(done) = running.background.join_next(), if !running.background.is_empty() => {
                running.done(done.map_err(|_| Error::Lost)?)?
            }
            Some(source) = due.recv() => {
                running.discover(source);
                None
            }
            Some(request) = requests.recv() => running.request(request),
            _ = tick.tick() => running.tick(),
        };
        if let Some(event) = event
            && let Some(ending) = running.step(event)
        {
            return Ok(ending);
        }
    }
}

impl Drop for Running {
    /// An attempt that does not end as requested abandons its savepoints, so that nobody waits for them in vain. Idle
    /// committers close their connections in the background, so that the next attempt need not wait for that.
    fn drop(&mut self) {
        if let (Some(committers), Ok(runtime)) = (self.committers.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn_blocking(move || drop(committers));
        }
        let stop = self.stop.take();
        for order in self.orders.iter().chain(stop.as_ref().and_then(Stop::order)) {
            let error = "the attempt ended before the savepoint was complete".to_owned();
            self.attempt.status.savepoint_ended(&order.name, None, Err(error));
        }
    }
}

impl Running {
    fn request(&mut self, request: Request) -> Option<rounds::Event> {
        let stop = match request {
            Request::Savepoint(order) => {
                self.orders.push(order);
                return Some(rounds::Event::SavepointRequested { stop: false });
            }
            Request::Resume => return self.cancel_stop("the stop was canceled before the savepoint was complete"),
            Request::Stop { savepoint, deadline } => Stop::With { order: savepoint, deadline },
            Request::Rescale { parallelism } => Stop::Rescale { parallelism, requested: Instant::now() },
        };
        match &mut self.stop {
            // A requested savepoint is still written.
            Some(waiting) => self.orders.extend(waiting.join(stop)),
            None => self.stop = Some(stop),
        }
        let phase = if matches!(self.stop, Some(Stop::With { .. })) { Phase::Stopping } else { Phase::Rescaling };
        self.attempt.status.enter(phase, None);
        Some(rounds::Event::SavepointRequested { stop: true })
    }

    /// Cancels a stop, and the job resumes. A change of parallelism is not canceled, because it is not a request to stop.
    fn cancel_stop(&mut self, reason: &str) -> Option<rounds::Event> {
        let stop = self.stop.take_if(|stop| matches!(stop, Stop::With { .. }))?;
        warn!(reason, "the stop is canceled and the job keeps running");
        if let Some(order) = stop.order() {
            self.attempt.status.savepoint_ended(&order.name, None, Err(reason.to_owned()));
        }
        self.canceled_stop = self.rounds.in_flight();
        self.attempt.status.enter(Phase::Running, None);
        self.send_to_sources(SourceCommand::Resume);
        Some(rounds::Event::StopCanceled { savepoint: !self.orders.is_empty() })
    }

    fn tick(&mut self) -> Option<rounds::Event> {
        if self.stop.as_ref().is_some_and(|stop| stop.is_overdue(Instant::now())) {
            return self.cancel_stop("the job did not stop within the time limit of the request");
        }
        Some(rounds::Event::Tick)
    }

    fn stopped(&mut self) -> Ending {
        match self.stop.take() {
            Some(Stop::Rescale { parallelism, requested }) => {
                let (paused, held) = (self.barrier_sent, self.held.take());
                Ending::Rescaling(Rescaling { parallelism, requested, paused, held })
            }
            Some(Stop::With { order: None, .. }) | None => Ending::Stopped(None),
            Some(Stop::With { order: Some(order), .. }) => match self.stopped_with.take() {
                Some(savepoint) => Ending::Stopped(Some(savepoint)),
                None => {
                    let error = "another stop was in progress; ask again".to_owned();
                    self.attempt.status.savepoint_ended(&order.name, None, Err(error));
                    Ending::SavepointFailed
                }
            },
        }
    }

    fn step(&mut self, event: rounds::Event) -> Option<Ending> {
        for command in self.rounds.step(event, self.started.elapsed()) {
            match command {
                rounds::Command::Trigger(barrier) => self.trigger(barrier),
                rounds::Command::Store(barrier) => self.store(barrier),
                rounds::Command::Commit(checkpoint) => self.commit(checkpoint),
                rounds::Command::Abandon(checkpoint) => self.abandon(checkpoint),
                rounds::Command::Overdue(checkpoint) => self.overdue(checkpoint),
                rounds::Command::Stopped(_) => return Some(self.stopped()),
                rounds::Command::Finished(_) => return Some(Ending::Finished),
            }
        }
        None
    }

    fn send_to_sources(&self, command: SourceCommand) {
        for mailbox in self.attempt.deployment.sources.iter().flat_map(|source| &source.mailboxes) {
            mailbox.lock().expect("no holder of the mailbox panics").push_back(command);
        }
        self.attempt.deployment.slots.iter().for_each(crate::runtime::slot::Slot::wake);
    }

    fn trigger(&mut self, barrier: Barrier) {
        debug!(checkpoint = %barrier.checkpoint, "checkpoint triggered");
        self.barrier_sent = Instant::now();
        self.times = CheckpointTimes::default();
        self.parts.clear();
        self.send_to_sources(SourceCommand::Barrier(barrier));
    }

    fn abandon(&mut self, checkpoint: CheckpointId) {
        let failures = self.rounds.consecutive_failures();
        if failures >= FAILURES_BEFORE_ALARM {
            tracing::error!(%checkpoint, failures, "checkpoints keep failing; after a restart the job would read much input again");
        } else {
            warn!(%checkpoint, "checkpoint abandoned");
        }
        self.attempt.status.checkpoint_failed(failures);
        for (_, part) in std::mem::take(&mut self.parts) {
            self.carried.extend(part.staged);
        }
        if self.stop.is_some() {
            // Sources read until the next barrier stops them again, however long the savepoint takes.
            self.send_to_sources(SourceCommand::Resume);
        }
    }

    fn overdue(&mut self, checkpoint: CheckpointId) {
        if matches!(self.stop, Some(Stop::Rescale { .. })) {
            // Sources keep reading, however long the checkpoint takes. Another barrier stops the job when this
            // checkpoint is complete.
            self.send_to_sources(SourceCommand::Resume);
            let again = rounds::Event::SavepointRequested { stop: true };
            for event in [rounds::Event::StopCanceled { savepoint: !self.orders.is_empty() }, again] {
                let commands = self.rounds.step(event, self.started.elapsed());
                debug_assert!(commands.is_empty(), "nothing else begins while a checkpoint is in progress");
            }
        }
        let failures = self.rounds.consecutive_failures();
        let since_ms = self.barrier_sent.elapsed().as_millis() as u64;
        warn!(%checkpoint, failures, since_ms, "checkpoint was not stored and committed in time");
        self.attempt.status.checkpoint_overdue(failures);
    }

    fn task_event(&mut self, event: Event) -> Result<Option<rounds::Event>, Error> {
        match event {
            Event::Failed(error) => Err(error.into()),
            Event::Ended => Ok(Some(rounds::Event::TaskEnded)),
            Event::Acknowledged { checkpoint, slot, mut snapshot, alignment } => {
                self.finish_splits(&mut snapshot)?;
                if self.rounds.in_flight() != Some(checkpoint) {
                    self.carried.extend(snapshot.staged);
                    return Ok(None);
                }
                self.times.alignment = self.times.alignment.max(alignment);
                self.parts.push((slot, snapshot));
                Ok(Some(rounds::Event::Acknowledged(checkpoint)))
            }
        }
    }

    /// Records finished splits. A split that is finished at a barrier is finished at all later ones, and readers report
    /// it once. So it is recorded even if the checkpoint is abandoned.
    fn finish_splits(&mut self, snapshot: &mut TaskSnapshot) -> Result<(), Error> {
        let Some((operator, splits)) = &mut snapshot.splits else { return Ok(()) };
        let Some(source) = self.attempt.deployment.sources.iter().find(|source| source.uid == *operator) else {
            return Ok(());
        };
        let mut pool = source.pool.lock().expect("no holder of the pool panics");
        let (finished, open): (Vec<Split>, Vec<Split>) =
            std::mem::take(splits).into_iter().partition(|split| split.finished);
        *splits = open;
        let failed = |source| task::Error::Connector { operator: operator.clone(), source: Box::new(source) };
        finished.into_iter().try_for_each(|split| pool.finish(split)).map_err(failed)?;
        Ok(())
    }

    fn store(&mut self, barrier: Barrier) {
        eddyline_stream::crash_point("coordinator.acknowledged");
        self.times.passed = self.barrier_sent.elapsed();
        let mut frozen = Vec::new();
        let mut splits: BTreeMap<OperatorUid, Vec<Split>> = BTreeMap::new();
        let mut staged = std::mem::take(&mut self.carried);
        for (slot, part) in std::mem::take(&mut self.parts) {
            frozen.extend(part.operators.into_iter().map(|(uid, state)| (uid, slot, state)));
            if let Some((uid, part)) = part.splits {
                splits.entry(uid).or_default().extend(part);
            }
            staged.extend(part.staged);
        }
        let mut finished = BTreeMap::new();
        for source in &self.attempt.deployment.sources {
            let mut pool = source.pool.lock().expect("no holder of the pool panics");
            let splits = splits.entry(source.uid.clone()).or_default();
            pool.complete(splits);
            let FinishedSplits { splits: ended, blocks } = pool.finished();
            splits.extend(ended);
            if !blocks.is_empty() {
                finished.insert(source.uid.clone(), blocks);
            }
        }
        let value = |split: Split| serde_json::to_value(split).expect("a split is plain data");
        let splits = splits.into_iter().map(|(uid, splits)| (uid, splits.into_iter().map(value).collect())).collect();
        let writer = Arc::clone(&self.attempt.writer);
        // A savepoint that was requested while a checkpoint was in flight is taken with the next barrier.
        let mut orders = Vec::new();
        if barrier.kind != BarrierKind::Checkpoint {
            orders.clone_from(&self.orders);
            if barrier.kind == (BarrierKind::Savepoint { stop: true }) {
                orders.extend(self.stop.as_ref().and_then(Stop::order).cloned());
            }
        }
        let checkpoint = barrier.checkpoint;
        let is_last = barrier.kind == BarrierKind::Savepoint { stop: true };
        let continues = is_last && matches!(self.stop, Some(Stop::Rescale { .. }));
        let memory = self.attempt.memory.as_ref();
        let held_bytes_max = continues.then(|| memory.map_or(u64::MAX, |memory| memory.room() / 2));
        let assignment = Assignment::clone(&self.attempt.assignment);
        let parts = storing::Parts { barrier, frozen, splits, finished, staged, assignment, orders, held_bytes_max };
        let status = Arc::clone(&self.attempt.status);
        let storing = self.attempt.memory.as_ref().map(Governor::storing);
        self.background.spawn(async move {
            let (staged, result) = storing::store(parts, &writer, &status).await;
            drop(storing);
            Done::Stored { checkpoint, staged, result }
        });
    }

    fn commit(&mut self, checkpoint: CheckpointId) {
        eddyline_stream::crash_point("coordinator.stored");
        let mut committers = self.committers.take().expect("one checkpoint is committed at a time");
        let to_commit = std::mem::take(&mut self.to_commit);
        let writer = Arc::clone(&self.attempt.writer);
        let status = Arc::clone(&self.attempt.status);
        let savepoints: Vec<String> = self.written.iter().filter_map(|(_, written)| written.clone().ok()).collect();
        self.background.spawn(async move {
            let result = storing::commit(&mut committers, checkpoint, &to_commit, &writer, &savepoints, &status).await;
            Done::Committed { checkpoint, committers, result }
        });
    }

    fn discover(&mut self, source: usize) {
        let running = &mut self.attempt.deployment.sources[source];
        let mut enumerator = std::mem::replace(&mut running.enumerator, Box::new(Absent));
        self.background.spawn(async move {
            let result = enumerator.discover().await;
            Done::Discovered { source, enumerator, result }
        });
    }

    fn done(&mut self, done: Done) -> Result<Option<rounds::Event>, Error> {
        match done {
            Done::Stored { checkpoint, staged, result } => match result {
                Ok(stored) => {
                    let took = self.barrier_sent.elapsed();
                    info!(%checkpoint, bytes = stored.completed.bytes, duration_ms = took.as_millis() as u64, "checkpoint stored");
                    self.attempt
                        .status
                        .checkpoint_stored(&stored.completed, CheckpointTimes { stored: took, ..self.times });
                    self.written = stored.savepoints;
                    self.held = stored.held;
                    self.to_commit = staged;
                    Ok(Some(rounds::Event::Stored(checkpoint)))
                }
                Err(StoreError::Stage { sink, source }) => Err(Error::Stage { sink, checkpoint, source }),
                Err(StoreError::Gather { operator, source }) => Err(Error::Gather { operator, checkpoint, source }),
                Err(StoreError::Write(error)) if error.is_retryable() && !error.ends_attempt() => {
                    warn!(%checkpoint, error = %crate::chain_of(&*error), "checkpoint could not be stored");
                    self.attempt.status.checkpoint_error(crate::reason_of(&*error));
                    let ready = staged
                        .into_iter()
                        .map(|(sink, committables)| (sink, futures::future::ready(Ok(committables)).boxed()));
                    self.carried.extend(ready);
                    Ok(Some(rounds::Event::StoreFailed(checkpoint)))
                }
                Err(StoreError::Write(error)) => Err(Error::Checkpoint(error)),
            },
            Done::Committed { checkpoint, committers, result } => {
                self.committers = Some(committers);
                let lost = result?;
                self.attempt.status.checkpoint_committed();
                self.savepoints_complete(checkpoint, &lost);
                self.send_to_sources(SourceCommand::Completed(checkpoint));
                let writer = Arc::clone(&self.attempt.writer);
                self.background.spawn(async move { Done::Collected(writer.collect_garbage().await.map(|_| ())) });
                Ok(Some(rounds::Event::Committed(checkpoint)))
            }
            Done::Collected(result) => {
                if let Err(error) = result {
                    warn!(error = %crate::chain_of(&error), "garbage of old checkpoints could not be removed");
                }
                Ok(None)
            }
            Done::Discovered { source, enumerator, result } => {
                self.discovered(source, enumerator, result)?;
                Ok(None)
            }
        }
    }

    /// Completes savepoints. A savepoint is complete when its output is visible, not when it is stored: if the commit
    /// fails, the job restarts from before the savepoint, and a job restored from the savepoint would be ahead of it.
    fn savepoints_complete(&mut self, checkpoint: CheckpointId, lost: &BTreeMap<String, String>) {
        let mut written = std::mem::take(&mut self.written);
        for (_, result) in &mut written {
            if let Some(reason) = result.as_ref().ok().and_then(|uri| lost.get(uri)) {
                *result = Err(reason.clone());
            }
        }
        if self.canceled_stop == Some(checkpoint) {
            written.retain(|(order, _)| self.orders.contains(order));
        }
        self.orders.retain(|order| written.iter().all(|(done, _)| done != order));
        for (order, result) in written {
            match &result {
                Ok(uri) => info!(savepoint = %order.name, %uri, "savepoint complete"),
                Err(error) => warn!(savepoint = %order.name, %error, "savepoint could not be written"),
            }
            if let Ok(uri) = &result
                && self.stop.as_ref().and_then(Stop::order) == Some(&order)
            {
                self.stopped_with = Some((order.name.clone(), uri.clone()));
            }
            self.attempt.status.savepoint_ended(&order.name, Some(checkpoint.number()), result);
        }
    }

    fn discovered(
        &mut self,
        source: usize,
        enumerator: Box<dyn SplitEnumerator>,
        result: Result<Discovery, eddyline_connectors::Error>,
    ) -> Result<(), Error> {
        let running = &mut self.attempt.deployment.sources[source];
        running.enumerator = enumerator;
        let mut pool = running.pool.lock().expect("no holder of the pool panics");
        let is_first = !pool.is_discovered();
        let is_complete = match result {
            Ok(discovery) => {
                let is_complete = discovery.complete;
                let found = pool.discovered(discovery);
                debug!(source = %running.uid, found, "splits discovered");
                is_complete
            }
            // A failed discovery is repeated, because the known splits can be read meanwhile. Only the first one must
            // succeed.
            Err(error) if pool.is_discovered() => {
                warn!(source = %running.uid, error = %crate::chain_of(&error), "failed to look for new splits");
                false
            }
            Err(source) => {
                return Err(Error::Discover { operator: running.uid.clone(), source: Box::new(source) });
            }
        };
        drop(pool);
        if is_first {
            self.undiscovered -= 1;
            if self.undiscovered == 0
                && let Some(on_running) = self.on_running.take()
            {
                on_running(&self.attempt.status);
            }
        }
        self.attempt.deployment.slots.iter().for_each(crate::runtime::slot::Slot::wake);
        if let Some(interval) = running.discovery_interval.filter(|_| !is_complete) {
            let timers = self.timers.clone();
            tokio::spawn(async move {
                tokio::time::sleep(interval).await;
                let _gone = timers.send(source);
            });
        }
        Ok(())
    }
}

/// A placeholder while the enumerator looks for splits. It is never called.
struct Absent;

impl SplitEnumerator for Absent {
    fn discover(&mut self) -> futures::future::BoxFuture<'_, Result<Discovery, eddyline_connectors::Error>> {
        futures::future::ready(Ok(Discovery::default())).boxed()
    }
}
