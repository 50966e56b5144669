//! Carries out what the [`Budget`] decides: asks operators to move state to the local disk, stops and resumes sources,
//! and fails a job whose memory is used up.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use eddyline_operators::Operator;
use eddyline_state::SpillDirectory;
use tracing::{debug, warn};

use super::budget::{Account, Budget, Look};
use crate::runtime::metrics::OperatorMetrics;
use crate::runtime::task::{Error, Event, EventSender};

/// How often memory is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Memory that differs by less from one look to the next stands still.
const STILL_BYTES: u64 = 256 << 10;
/// How long sources may be stopped before the log says so.
const LONG_STALL: Duration = Duration::from_secs(5);

/// Keeps the process below its memory limit.
#[derive(Debug)]
pub struct Governor {
    limit: u64,
    disk: SpillDirectory,

    is_stalled: AtomicBool,
    /// Checkpoints that are being stored. Each holds the state that operators had at its barrier.
    storing: AtomicU32,
    restoring: Mutex<()>,
}

/// A checkpoint is being stored until this is dropped.
#[derive(Debug)]
pub struct Storing(Arc<Governor>);

impl Drop for Storing {
    fn drop(&mut self) {
        self.0.storing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Governor {
    /// Keeps the process below `limit` bytes. State that does not fit goes to `disk`.
    pub fn new(limit: u64, disk: SpillDirectory) -> Arc<Self> {
        if let Some(return_at_once) = super::RETURN_AT_ONCE.get() {
            return_at_once();
        }
        let (is_stalled, storing, restoring) = (AtomicBool::new(false), AtomicU32::new(0), Mutex::new(()));
        Arc::new(Self { limit, disk, is_stalled, storing, restoring })
    }

    /// Where operators move state that does not fit in memory.
    pub fn disk(&self) -> &SpillDirectory {
        &self.disk
    }

    /// Whether sources must not read, because too little memory is left.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled.load(Ordering::Relaxed)
    }

    /// Notes that a checkpoint is being stored.
    pub fn storing(self: &Arc<Self>) -> Storing {
        self.storing.fetch_add(1, Ordering::Relaxed);
        Storing(Arc::clone(self))
    }

    /// How many bytes of memory are left before operators must move state out.
    pub fn room(&self) -> u64 {
        super::anonymous().map_or(0, |anonymous| Budget::new(self.limit).room(anonymous))
    }

    /// The most bytes of state that each of so many subtasks restores at a time.
    pub fn part_bytes(&self, subtasks: u64) -> u64 {
        Budget::new(self.limit).part_bytes(subtasks)
    }

    /// Makes an operator that restores its state move it to disk, if memory gets short.
    ///
    /// # Errors
    /// Those of the operator.
    pub fn relieve(&self, operator: &mut dyn Operator) -> eddyline_operators::Result<()> {
        let budget = Budget::new(self.limit);
        if super::anonymous().and_then(|resident| budget.excess(resident)).is_none() {
            return Ok(());
        }
        // One after the other, so that not all subtasks move out the same excess.
        let _turn = self.restoring.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(excess) = super::anonymous().and_then(|resident| budget.excess(resident)) {
            operator.evict(usize::try_from(excess).unwrap_or(usize::MAX), &self.disk)?;
        }
        Ok(())
    }

    /// Watches over an attempt with these subtasks, until the future is dropped.
    pub async fn govern(self: Arc<Self>, subtasks: Vec<Arc<OperatorMetrics>>, events: EventSender) {
        let mut budget = Budget::new(self.limit);
        let began = Instant::now();
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let (mut rows_before, mut resident_before) = (0, 0);
        let mut stalled_since = None;
        self.is_stalled.store(false, Ordering::Relaxed);
        loop {
            ticks.tick().await;
            let Some(resident) = super::anonymous() else { return };
            let rows: u64 = subtasks.iter().map(|subtask| subtask.rows_in.get() + subtask.rows_out.get()).sum();
            // Operators merge and write state for a while without a row, and then memory rises and falls.
            let is_moving = rows != rows_before
                || resident.abs_diff(resident_before) > STILL_BYTES
                || self.storing.load(Ordering::Relaxed) > 0;
            (rows_before, resident_before) = (rows, resident);
            let account = |subtask: &Arc<OperatorMetrics>| Account {
                bytes: subtask.state_bytes.get(),
                last: subtask.eviction.last(),
            };
            let accounts = subtasks.iter().map(account).collect();
            let decision = budget.decide(&Look { now: began.elapsed(), resident, accounts, is_moving });
            for (subtask, bytes) in subtasks.iter().zip(&decision.evict).filter(|(_, bytes)| **bytes > 0) {
                debug!(operator = %subtask.uid, slot = %subtask.slot, bytes, resident, "state is moved to the local disk");
                subtask.eviction.ask(*bytes);
            }
            self.is_stalled.store(decision.is_stalled, Ordering::Relaxed);
            if decision.is_stalled {
                let (since, is_said) = stalled_since.get_or_insert((Instant::now(), false));
                if !*is_said && since.elapsed() >= LONG_STALL {
                    *is_said = true;
                    let (limit, operators) = (self.limit, super::largest(&subtasks));
                    warn!(resident, limit, operators, "sources do not read until there is memory again");
                }
            } else {
                stalled_since = None;
            }
            if decision.is_exhausted {
                let (limit, operators) = (self.limit, super::largest(&subtasks));
                let _gone = events.send(Event::Failed(Error::OutOfMemory { limit, resident, operators }));
                return;
            }
        }
    }
}
