//! The status of a job, as the API and the progress line show it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use eddyline_api::Phase;
use eddyline_api::savepoint::{Savepoint, SavepointState};
use eddyline_api::status::{CheckpointStatus, Failure, FailureCause, Rescale, Restore};
use eddyline_checkpoint::{CompletedCheckpoint, LocalCopies};

/// The number of checkpoints and of savepoints that are remembered.
const REMEMBERED: usize = 32;

/// The last checkpoint that was stored.
#[derive(Clone, Debug)]
pub struct LastCheckpoint {
    /// Its status.
    pub status: CheckpointStatus,
    /// When it was stored.
    pub at: Instant,
}

/// The status at one moment.
#[derive(Clone, Debug)]
pub struct State {
    /// The stage that the job has reached.
    pub phase: Phase,
    /// Why it is in this phase, if there is a reason.
    pub message: Option<String>,
    /// Whether it has failed because it restarted too often.
    pub is_restart_limit_reached: bool,
    /// The number of the running attempt. 0 before the first.
    pub attempt: u64,
    /// The number of slots that run the job, or ran it last.
    pub parallelism: u16,
    /// How often this process has restarted the job.
    pub restarts: u64,
    /// The checkpoint or savepoint that the running attempt restored, if any.
    pub restored_from: Option<String>,
    /// The latest checkpoint that this process has completed.
    pub checkpoint: Option<CheckpointStatus>,
    /// When this process stored it.
    pub checkpoint_at: Option<Instant>,
    /// Checkpoints of this process, newest first.
    pub checkpoints: VecDeque<CheckpointStatus>,
    /// The number of checkpoints that this process has completed.
    pub checkpoints_completed: u64,
    /// The number of checkpoints that this process has abandoned.
    pub checkpoints_failed: u64,
    /// The number of checkpoints abandoned since the last completed one.
    pub consecutive_failures: u32,
    /// Why the last one was abandoned.
    pub checkpoint_error: Option<String>,
    /// The last time that this process restored state.
    pub last_restore: Option<Restore>,
    /// The copies of run files on a local disk, if there is a place for them.
    pub local_copies: Option<LocalCopies>,
    /// The last change of parallelism.
    pub last_rescale: Option<Rescale>,
    /// The last failed attempt.
    pub last_failure: Option<Failure>,
    /// Requested savepoints, newest first.
    pub savepoints: VecDeque<Savepoint>,
    /// The savepoint that the job was stopped with.
    pub stopped_with: Option<Savepoint>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            phase: Phase::Starting,
            message: None,
            is_restart_limit_reached: false,
            attempt: 0,
            parallelism: 0,
            restarts: 0,
            restored_from: None,
            checkpoint: None,
            checkpoint_at: None,
            checkpoints: VecDeque::new(),
            checkpoints_completed: 0,
            checkpoints_failed: 0,
            consecutive_failures: 0,
            checkpoint_error: None,
            last_restore: None,
            local_copies: None,
            last_rescale: None,
            last_failure: None,
            savepoints: VecDeque::new(),
            stopped_with: None,
        }
    }
}

/// The status, shared between the coordinator and its readers.
#[derive(Debug, Default)]
pub struct Status {
    state: Mutex<State>,
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0)
}

impl Status {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the status panics")
    }

    /// A copy of the status.
    pub fn snapshot(&self) -> State {
        self.state().clone()
    }

    /// The job has entered another phase.
    pub fn enter(&self, phase: Phase, message: Option<String>) {
        let mut state = self.state();
        state.phase = phase;
        state.message = message;
    }

    /// The job has failed for good, because it restarted too often.
    pub fn restart_limit_reached(&self) {
        self.state().is_restart_limit_reached = true;
    }

    /// A checkpoint is stored.
    pub fn checkpoint_stored(&self, completed: &CompletedCheckpoint, times: CheckpointTimes) {
        let mut state = self.state();
        let status = checkpoint_status(completed, times);
        state.checkpoints_completed += 1;
        state.consecutive_failures = 0;
        state.checkpoint_error = None;
        state.checkpoints.push_front(status.clone());
        state.checkpoints.truncate(REMEMBERED);
        state.checkpoint = Some(status);
        state.checkpoint_at = Some(Instant::now());
    }

    /// A checkpoint was abandoned.
    pub fn checkpoint_failed(&self, consecutive: u32) {
        let mut state = self.state();
        state.checkpoints_failed += 1;
        state.consecutive_failures = consecutive;
        state.checkpoint_error.get_or_insert_with(|| "not all tasks acknowledged it in time".to_owned());
    }

    /// The staged output of a checkpoint is visible.
    pub fn checkpoint_committed(&self) {
        let mut state = self.state();
        state.consecutive_failures = 0;
        state.checkpoint_error = None;
    }

    /// A checkpoint takes longer than its timeout.
    pub fn checkpoint_overdue(&self, consecutive: u32) {
        let mut state = self.state();
        state.consecutive_failures = consecutive;
        state.checkpoint_error.get_or_insert_with(|| "it is not stored and committed in time".to_owned());
    }

    /// Records why a checkpoint could not be stored, before it is abandoned.
    pub fn checkpoint_error(&self, error: String) {
        self.state().checkpoint_error = Some(error);
    }

    /// An attempt starts.
    pub fn attempt_started(&self, attempt: u64, parallelism: u16) {
        let mut state = self.state();
        state.attempt = attempt;
        state.parallelism = parallelism;
        if let Some(checkpoint) = &mut state.checkpoint {
            checkpoint.is_of_this_attempt = false;
        }
    }

    /// Run files are copied to a local disk.
    pub fn copies_to(&self, copies: LocalCopies) {
        self.state().local_copies = Some(copies);
    }

    /// Records what the attempt restores.
    pub fn restored(&self, from: Option<String>) {
        self.state().restored_from = from;
    }

    /// The operators of the attempt have their state.
    pub fn state_restored(&self, restore: Restore) {
        self.state().last_restore = Some(restore);
    }

    /// The running attempt has failed.
    pub fn attempt_failed(&self, cause: FailureCause, message: String) {
        let mut state = self.state();
        state.last_failure = Some(Failure { at_ms: now_ms(), attempt: state.attempt, cause, message });
    }

    /// Another attempt follows a failed one.
    pub fn restarting(&self, message: String) {
        let mut state = self.state();
        state.restarts += 1;
        state.phase = Phase::Restarting;
        state.message = Some(message);
    }

    /// Another attempt follows one that could not begin because of an outage.
    pub fn waiting(&self, message: String) {
        self.enter(Phase::Restarting, Some(message));
    }

    /// The job runs on another number of slots.
    pub fn rescaled(&self, rescale: Rescale) {
        self.state().last_rescale = Some(rescale);
    }

    /// Records a request for a savepoint. False if there was already a request with this name.
    pub fn savepoint_requested(&self, name: &str) -> bool {
        let mut state = self.state();
        // A failed savepoint may be requested again.
        state.savepoints.retain(|known| known.name != name || known.state != SavepointState::Failed);
        if state.savepoints.iter().any(|known| known.name == name) {
            return false;
        }
        state.savepoints.push_front(Savepoint {
            name: name.to_owned(),
            state: SavepointState::InProgress,
            requested_at_ms: now_ms(),
            ended_at_ms: None,
            uri: None,
            checkpoint: None,
            error: None,
        });
        state.savepoints.truncate(REMEMBERED);
        true
    }

    /// Records a request to stop the job with a savepoint. An earlier complete savepoint with this name does not count:
    /// the job has run since then.
    pub fn savepoint_to_stop_with(&self, name: &str) {
        let is_open = |known: &Savepoint| known.state == SavepointState::InProgress;
        self.state().savepoints.retain(|known| known.name != name || is_open(known));
        self.savepoint_requested(name);
    }

    /// Records the end of a savepoint: complete or abandoned. The first record counts.
    pub fn savepoint_ended(&self, name: &str, checkpoint: Option<u64>, result: Result<String, String>) {
        let mut state = self.state();
        let is_open = |known: &&mut Savepoint| known.name == name && known.state == SavepointState::InProgress;
        let Some(savepoint) = state.savepoints.iter_mut().find(is_open) else { return };
        savepoint.ended_at_ms = Some(now_ms());
        savepoint.checkpoint = checkpoint;
        match result {
            Ok(uri) => {
                savepoint.state = SavepointState::Completed;
                savepoint.uri = Some(uri);
            }
            Err(error) => {
                savepoint.state = SavepointState::Failed;
                savepoint.error = Some(error);
            }
        }
    }

    /// Abandons all savepoints that are not complete.
    pub fn abandon_savepoints(&self, reason: &str) {
        let open: Vec<String> = {
            let state = self.state();
            let open = state.savepoints.iter().filter(|known| known.state == SavepointState::InProgress);
            open.map(|known| known.name.clone()).collect()
        };
        for name in open {
            self.savepoint_ended(&name, None, Err(reason.to_owned()));
        }
    }

    /// The job has been stopped on request, with the savepoint of this name and location if there is one.
    pub fn stopped(&self, savepoint: Option<(&str, &str)>) {
        let mut state = self.state();
        state.phase = Phase::Stopped;
        state.message = None;
        state.stopped_with = savepoint.and_then(|(name, uri)| {
            let known = state.savepoints.iter().find(|known| known.name == name)?.clone();
            Some(Savepoint { state: SavepointState::Completed, uri: Some(uri.to_owned()), ..known })
        });
    }

    /// The savepoint of this name.
    pub fn savepoint(&self, name: &str) -> Option<Savepoint> {
        self.state().savepoints.iter().find(|known| known.name == name).cloned()
    }

    /// The last checkpoint of this process.
    pub fn last_checkpoint(&self) -> Option<LastCheckpoint> {
        let state = self.state();
        Some(LastCheckpoint { status: state.checkpoint.clone()?, at: state.checkpoint_at? })
    }

    /// The stage that the job has reached.
    pub fn phase(&self) -> Phase {
        self.state().phase
    }
}

/// How long the steps of a checkpoint took.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckpointTimes {
    /// From the barrier until the checkpoint was stored.
    pub stored: Duration,
    /// Until the barrier had passed all tasks.
    pub passed: Duration,
    /// The longest alignment of a task.
    pub alignment: Duration,
}

fn checkpoint_status(completed: &CompletedCheckpoint, times: CheckpointTimes) -> CheckpointStatus {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    CheckpointStatus {
        id: completed.id.number(),
        attempt: completed.attempt.number(),
        completed_at_ms: now_ms(),
        duration_ms: millis(times.stored),
        barrier_ms: millis(times.passed),
        alignment_ms: millis(times.alignment),
        bytes: completed.bytes,
        uri: completed.uri.clone(),
        is_of_this_attempt: true,
    }
}
