//! The counters of tasks. Slot threads write them at each batch. The progress line and the metrics endpoint read them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_stream::{OperatorUid, SlotIndex, Watermark};

use super::task::Progress;
use crate::memory::budget::Asked;

/// A number that one thread writes and any thread may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds a number.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets it to a total that is counted elsewhere.
    pub fn set(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// Adds a time, in nanoseconds.
    pub fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The current value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A request to a subtask to move state out of memory, and what has become of it.
#[derive(Debug, Default)]
pub struct Eviction {
    asked: AtomicU64,
    freed: AtomicU64,
}

impl Eviction {
    /// Asks the subtask to move out so many bytes.
    pub fn ask(&self, bytes: u64) {
        self.asked.store(bytes, Ordering::Release);
    }

    /// How many bytes the subtask has to move out, if it has.
    pub fn asked(&self) -> Option<u64> {
        Some(self.asked.load(Ordering::Acquire)).filter(|bytes| *bytes > 0)
    }

    /// The subtask has freed so many bytes.
    pub fn done(&self, freed: u64) {
        self.freed.store(freed, Ordering::Relaxed);
        self.asked.store(0, Ordering::Release);
    }

    /// How many bytes the last request has freed, once it is carried out.
    pub fn last(&self) -> Asked {
        if self.asked().is_some() { Asked::Waiting } else { Asked::Done(self.freed.load(Ordering::Relaxed)) }
    }
}

/// The role of an operator in the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads from an external system.
    Source,
    /// Processes rows inside the job.
    Operator,
    /// Writes to an external system.
    Sink,
}

/// The counters of one subtask of one operator.
#[derive(Debug)]
pub struct OperatorMetrics {
    /// The operator.
    pub uid: OperatorUid,
    /// Its label in EXPLAIN.
    pub label: String,
    /// Source, sink or neither.
    pub role: Role,
    /// The slot it runs in.
    pub slot: SlotIndex,

    /// Rows received.
    pub rows_in: Counter,
    /// Rows emitted.
    pub rows_out: Counter,
    /// Bytes read from or written to an external system.
    pub bytes: Counter,
    /// The time spent working, in nanoseconds.
    pub busy_ns: Counter,
    /// The time without input, in nanoseconds.
    pub idle_ns: Counter,
    /// The time spent waiting for room downstream, in nanoseconds.
    pub backpressured_ns: Counter,
    /// Rows dropped as late.
    pub late_rows: Counter,
    /// Records that could not be read and were skipped.
    pub bad_records: Counter,
    /// Bytes of state in memory.
    pub state_bytes: Counter,
    /// Bytes of state on the local disk.
    pub spilled_bytes: Counter,
    /// The request to move state to the local disk.
    pub eviction: Eviction,
    /// Records that exist and are not yet read. `u64::MAX` if that is unknown.
    pub source_lag: Counter,
    watermark_ms: AtomicI64,
    trouble: Mutex<Option<String>>,
}

impl OperatorMetrics {
    /// Makes counters that are 0.
    pub fn new(uid: OperatorUid, label: String, role: Role, slot: SlotIndex) -> Arc<Self> {
        let metrics = Self {
            uid,
            label,
            role,
            slot,
            rows_in: Counter::default(),
            rows_out: Counter::default(),
            bytes: Counter::default(),
            busy_ns: Counter::default(),
            idle_ns: Counter::default(),
            backpressured_ns: Counter::default(),
            late_rows: Counter::default(),
            bad_records: Counter::default(),
            state_bytes: Counter::default(),
            spilled_bytes: Counter::default(),
            eviction: Eviction::default(),
            source_lag: Counter::default(),
            watermark_ms: AtomicI64::new(Watermark::MIN.time_ms()),
            trouble: Mutex::default(),
        };
        metrics.source_lag.set(u64::MAX);
        Arc::new(metrics)
    }

    /// Counts time in which the task did nothing. `progress` is the result of its last step, which is the reason.
    pub fn account(&self, progress: Progress, time: Duration) {
        match progress {
            Progress::Worked => {}
            Progress::Idle => self.idle_ns.add_time(time),
            Progress::Backpressured => self.backpressured_ns.add_time(time),
        }
    }

    /// Records the watermark of the subtask.
    pub fn set_watermark(&self, watermark: Watermark) {
        self.watermark_ms.store(watermark.time_ms(), Ordering::Relaxed);
    }

    /// Why a source cannot be read at the moment, if it cannot.
    pub fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Why a source cannot be read at the moment, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The watermark of the subtask.
    pub fn watermark(&self) -> Watermark {
        Watermark::new(self.watermark_ms.load(Ordering::Relaxed))
    }
}

/// The totals of a job over all subtasks of the running attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows read by sources.
    pub rows_in: u64,
    /// Bytes read by sources.
    pub bytes_in: u64,
    /// Rows written by sinks.
    pub rows_out: u64,
    /// Bytes written by sinks.
    pub bytes_out: u64,
    /// Rows dropped as late.
    pub late_rows: u64,
    /// Records skipped as unreadable.
    pub bad_records: u64,
    /// Records that exist and are not yet read, if any source knows.
    pub source_lag: Option<u64>,
    /// The smallest watermark of the sources that have one.
    pub watermark: Option<Watermark>,
}

impl Totals {
    /// Adds up the counters of the subtasks.
    pub fn of(operators: &[Arc<OperatorMetrics>]) -> Self {
        let mut totals = Self::default();
        operators.iter().for_each(|metrics| totals.add(metrics));
        totals
    }

    fn add(&mut self, metrics: &OperatorMetrics) {
        match metrics.role {
            Role::Source => {
                self.rows_in += metrics.rows_in.get();
                self.bytes_in += metrics.bytes.get();
                self.bad_records += metrics.bad_records.get();
                let lag = metrics.source_lag.get();
                if lag != u64::MAX {
                    self.source_lag = Some(self.source_lag.unwrap_or(0) + lag);
                }
                let watermark = metrics.watermark();
                if watermark != Watermark::MIN {
                    self.watermark = Some(self.watermark.map_or(watermark, |known| known.min(watermark)));
                }
            }
            Role::Sink => {
                self.rows_out += metrics.rows_in.get();
                self.bytes_out += metrics.bytes.get();
            }
            Role::Operator => self.late_rows += metrics.late_rows.get(),
        }
    }
}
