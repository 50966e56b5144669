//! What tasks count. Written by slot threads at each batch, read by the progress line and the metrics endpoint.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use eddyline_stream::{OperatorUid, SlotIndex, Watermark};

use super::task::Progress;

/// A number that only one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to it.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Sets it to a total counted elsewhere.
    pub fn set(&self, total: u64) {
        self.0.store(total, Ordering::Relaxed);
    }

    /// Adds a time, in nanoseconds.
    pub fn add_time(&self, time: Duration) {
        self.add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What kind of operator counts, where the difference matters to a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reads from outside.
    Source,
    /// Works inside.
    Operator,
    /// Writes to the outside.
    Sink,
}

/// One subtask of one operator.
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

    /// Rows taken in.
    pub rows_in: Counter,
    /// Rows given.
    pub rows_out: Counter,
    /// Bytes read from or written to the outside.
    pub bytes: Counter,
    /// Nanoseconds at work.
    pub busy_ns: Counter,
    /// Nanoseconds without input.
    pub idle_ns: Counter,
    /// Nanoseconds waiting for room downstream.
    pub backpressured_ns: Counter,
    /// Rows dropped as late.
    pub late_rows: Counter,
    /// Records that could not be read and were skipped.
    pub bad_records: Counter,
    /// Bytes of state.
    pub state_bytes: Counter,
    /// Records known and not yet read; `u64::MAX` where unknown.
    pub source_lag: Counter,
    watermark_ms: AtomicI64,
    trouble: Mutex<Option<String>>,
}

impl OperatorMetrics {
    /// Nothing counted yet.
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
            source_lag: Counter::default(),
            watermark_ms: AtomicI64::new(Watermark::MIN.time_ms()),
            trouble: Mutex::default(),
        };
        metrics.source_lag.set(u64::MAX);
        Arc::new(metrics)
    }

    /// Counts time in which the task did nothing, for the reason its last step gave.
    pub fn account(&self, progress: Progress, time: Duration) {
        match progress {
            Progress::Worked => {}
            Progress::Idle => self.idle_ns.add_time(time),
            Progress::Backpressured => self.backpressured_ns.add_time(time),
        }
    }

    /// Event time has come this far here.
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

    /// How far event time has come here.
    pub fn watermark(&self) -> Watermark {
        Watermark::new(self.watermark_ms.load(Ordering::Relaxed))
    }
}

/// What a job has done so far, over all subtasks of the running attempt.
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
    /// Records known and not yet read, if any source can tell.
    pub source_lag: Option<u64>,
    /// The smallest watermark of the sources that have one.
    pub watermark: Option<Watermark>,
}

impl Totals {
    /// Adds up what the subtasks count.
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
