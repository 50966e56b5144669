//! What the outside sees of a job that no single task knows.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use eddyline_checkpoint::CompletedCheckpoint;
use eddyline_stream::CheckpointId;

/// The last checkpoint that was stored.
#[derive(Clone, Copy, Debug)]
pub struct LastCheckpoint {
    /// Its number.
    pub id: CheckpointId,
    /// When it was stored.
    pub at: Instant,
    /// From barrier to storage.
    pub duration: Duration,
    /// The longest time a task had channels blocked for it.
    pub alignment: Duration,
    /// Bytes written for it.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct State {
    last_checkpoint: Option<LastCheckpoint>,
    checkpoints_completed: u64,
    checkpoints_failed: u64,
    consecutive_failures: u32,
    restarts: u64,
    attempt: u64,
}

/// Shared between the coordinator and those who look.
#[derive(Debug, Default)]
pub struct Status {
    state: Mutex<State>,
}

impl Status {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the status panics")
    }

    /// A checkpoint is stored.
    pub fn checkpoint_stored(&self, completed: &CompletedCheckpoint, duration: Duration, alignment: Duration) {
        let mut state = self.state();
        state.checkpoints_completed += 1;
        state.consecutive_failures = 0;
        state.last_checkpoint =
            Some(LastCheckpoint { id: completed.id, at: Instant::now(), duration, alignment, bytes: completed.bytes });
    }

    /// A checkpoint was given up.
    pub fn checkpoint_failed(&self, consecutive: u32) {
        let mut state = self.state();
        state.checkpoints_failed += 1;
        state.consecutive_failures = consecutive;
    }

    /// An attempt starts.
    pub fn attempt_started(&self, attempt: u64, is_restart: bool) {
        let mut state = self.state();
        state.attempt = attempt;
        state.restarts += u64::from(is_restart);
    }

    /// The last checkpoint of this process.
    pub fn last_checkpoint(&self) -> Option<LastCheckpoint> {
        self.state().last_checkpoint
    }

    /// Checkpoints completed and failed by this process.
    pub fn checkpoints(&self) -> (u64, u64) {
        let state = self.state();
        (state.checkpoints_completed, state.checkpoints_failed)
    }

    /// How often the job was restarted by this process.
    pub fn restarts(&self) -> u64 {
        self.state().restarts
    }

    /// The number of the running attempt.
    pub fn attempt(&self) -> u64 {
        self.state().attempt
    }
}
