//! A task that reads a source. It reads splits, computes columns, makes a watermark for each split, and sends barriers
//! on request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use eddyline_connectors::source::{Poll, SourceReader};
use eddyline_job_graph::WatermarkSpec;
use eddyline_operators::calc::CalcOperator;
use eddyline_operators::watermark::generators::Piece;
use eddyline_operators::watermark::{SplitGenerators, SplitWatermarks};
use eddyline_operators::{Collector, InputIndex, Operator};
use eddyline_stream::{Barrier, BarrierKind, Batch, CheckpointId, Element, SlotIndex, SplitId, Watermark};

use super::alignment_group::Member;
use super::listening_clock::ListeningClock;
use super::metrics::OperatorMetrics;
use super::pipeline::Pipeline;
use super::read_buffer::{Gathered, ReadBuffer};
use super::splits::{Outlook, SplitPool};
use super::task::{Error, Progress, Task};
use crate::memory::Governor;

/// The most reads of one step before the slot steps its other tasks.
const READS_PER_STEP: usize = 32;

/// The most reads that hand rows on, and the most pieces, of one step.
const BATCHES_PER_STEP: usize = 4;

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// There were no rows.
    Nothing,
    /// The rows wait for further rows.
    Gathered,
    /// Rows were handed to the chain.
    HandedOn,
}

/// A command of the coordinator to source tasks.
#[derive(Clone, Copy, Debug)]
pub enum Command {
    /// Send this barrier after the last row that was read.
    Barrier(Barrier),
    /// A checkpoint is complete.
    Completed(CheckpointId),
    /// Continue to read after a barrier that should have stopped the job.
    Resume,
}

/// The commands of the coordinator to a source task.
pub type Mailbox = Arc<Mutex<VecDeque<Command>>>;

/// Returns the time.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// The parts of a source task.
pub struct Parts {
    /// The slot it runs in.
    pub slot: SlotIndex,
    /// Reads the splits.
    pub reader: Box<dyn SourceReader>,
    /// Computes the table's columns from those of the reader.
    pub columns: CalcOperator,
    /// How watermarks are made. `None` if the table has no watermark.
    pub watermark: Option<WatermarkSpec>,
    /// The number of rows that are read at a time.
    pub rows_per_read: usize,
    /// The longest time that rows wait for further rows before they are handed on. `None`: no limit.
    pub buffer_timeout: Option<Duration>,
    /// The clock of the buffer timeout and of idleness.
    pub clock: Clock,
    /// The time without rows after which a split is idle, unless rows of it wait to be read. Zero: never.
    pub idle_timeout: Duration,
    /// The splits that no reader has yet.
    pub pool: Arc<Mutex<SplitPool>>,
    /// Holds back splits that are ahead, if watermark alignment is configured.
    pub alignment: Option<Member>,
    /// Says when too little memory is left to read.
    pub memory: Option<Arc<Governor>>,
    /// The commands of the coordinator.
    pub mailbox: Mailbox,
    /// The metrics of the source.
    pub metrics: Arc<OperatorMetrics>,
    /// The operators after it, and the output.
    pub pipeline: Pipeline,
}

/// A subtask of a chain that begins with a source.
pub struct SourceTask {
    parts: Parts,
    started: Instant,

    /// The clock of idleness.
    listening: ListeningClock,
    buffer: ReadBuffer,
    generators: SplitGenerators,
    watermarks: SplitWatermarks,
    columns_out: Collector,
    /// The number of open splits.
    open: usize,
    ended: bool,
    /// Whether a barrier that stops the job has passed. No rows may follow unless the stop is canceled.
    stopped: bool,
    /// Whether the last read found nothing.
    waits: bool,
}

impl SourceTask {
    /// Makes a task of these parts.
    pub fn new(parts: Parts) -> Self {
        let watermarks = SplitWatermarks::new(parts.idle_timeout);
        let started = (parts.clock)();
        Self {
            started,
            listening: ListeningClock::new(started),
            buffer: ReadBuffer::new(parts.rows_per_read, parts.buffer_timeout),
            generators: SplitGenerators::new(parts.watermark.clone()),
            parts,
            watermarks,
            columns_out: Collector::default(),
            open: 0,
            ended: false,
            stopped: false,
            waits: false,
        }
    }

    fn now(&self) -> Instant {
        (self.parts.clock)()
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.now().duration_since(self.started).as_millis()).unwrap_or(i64::MAX)
    }

    /// The time for which it could read, by the clock of idleness.
    pub(super) fn listening_ms(&self) -> i64 {
        self.listening.now_ms(self.now())
    }

    /// Whether too little memory is left to read, and what was read is processed.
    fn is_stalled(&self) -> bool {
        self.parts.memory.as_ref().is_some_and(|memory| memory.is_stalled()) && self.parts.pipeline.is_done()
    }

    /// Whether a read may begin.
    fn has_room(&mut self) -> Result<bool, Error> {
        let has_room = self.parts.pipeline.has_room()? && !self.is_stalled();
        self.listening.set_running(has_room, self.now());
        Ok(has_room)
    }

    fn pool(&self) -> MutexGuard<'_, SplitPool> {
        self.parts.pool.lock().expect("no holder of the pool panics")
    }

    fn mailbox(&self) -> MutexGuard<'_, VecDeque<Command>> {
        self.parts.mailbox.lock().expect("no holder of the mailbox panics")
    }

    fn failed(&self, source: eddyline_connectors::Error) -> Error {
        Error::Connector { operator: self.parts.metrics.uid.clone(), source: Box::new(source) }
    }

    fn commands(&mut self) -> Result<(), Error> {
        loop {
            let is_barrier_next = matches!(self.mailbox().front(), Some(Command::Barrier(_)));
            if is_barrier_next && !self.buffer.is_empty() && self.parts.pipeline.is_done() {
                // Positions are after everything that was read. So all of it is sent before the barrier, even if there
                // is no room.
                self.hand_on_all()?;
                self.parts.pipeline.run()?;
            }
            let (buffer, pipeline) = (&self.buffer, &self.parts.pipeline);
            let is_next = |command: &mut Command| match command {
                Command::Barrier(barrier) => buffer.is_empty() && pipeline.may_be_cut(barrier.kind),
                Command::Completed(_) | Command::Resume => true,
            };
            let command = self.mailbox().pop_front_if(is_next);
            match command {
                None => return Ok(()),
                Some(Command::Barrier(barrier)) => self.checkpoint(barrier)?,
                Some(Command::Completed(checkpoint)) => self.parts.reader.checkpoint_complete(checkpoint),
                Some(Command::Resume) => self.stopped = false,
            }
        }
    }

    fn checkpoint(&mut self, barrier: Barrier) -> Result<(), Error> {
        // A split that was assigned to this reader is in its snapshot, even if nothing of it was read.
        let splits = self.parts.reader.snapshot().map_err(|source| self.failed(source))?;
        self.stopped |= barrier.kind == BarrierKind::Savepoint { stop: true };
        self.parts.pipeline.checkpoint(barrier, Some((self.parts.metrics.uid.clone(), splits)), Duration::ZERO)
    }

    /// Takes splits from the pool: one at a time on demand, or all of this reader's. Returns whether more can come.
    ///
    /// Both are looked up under one lock. Otherwise a split that is discovered in between would make this reader report
    /// idle, and the watermark could reach the end of the input before that split is read.
    fn take_splits(&mut self) -> Result<Outlook, Error> {
        let subtask = self.parts.slot.index();
        let (found, outlook) = {
            let mut pool = self.pool();
            let mut found = Vec::new();
            let placement = pool.placement();
            while placement == eddyline_connectors::source::Placement::Spread || self.open + found.len() == 0 {
                let Some(split) = pool.next(subtask) else { break };
                found.push(split);
            }
            (found, pool.outlook(subtask))
        };
        for split in found {
            self.open += 1;
            if self.generators.has_watermarks() {
                self.generators.add(split.id.clone());
                let now = self.listening_ms();
                let combined = self.watermarks.add(split.id.clone(), Watermark::MIN, now);
                self.advance(combined);
            }
            self.parts.reader.add_split(split).map_err(|source| self.failed(source))?;
        }
        Ok(outlook)
    }

    /// Hands rows that are due to the chain. Returns whether there were any.
    fn hand_on(&mut self) -> Result<bool, Error> {
        let mut is_due = false;
        while let Some(gathered) =
            self.buffer.take(self.now()).map_err(|source| operator_failed(&self.parts.metrics, source.into()))?
        {
            self.send(gathered)?;
            is_due = true;
        }
        if is_due {
            // This is done at once, because a split could get any number of batches ahead before the next comparison.
            self.hold_back();
        }
        Ok(is_due)
    }

    /// Hands everything that was read to the chain.
    fn hand_on_all(&mut self) -> Result<(), Error> {
        self.buffer.flush();
        self.hand_on().map(|_| ())
    }

    fn send(&mut self, Gathered { rows, parts }: Gathered) -> Result<(), Error> {
        let started = Instant::now();
        let metrics = Arc::clone(&self.parts.metrics);
        metrics.rows_in.add(rows.num_rows() as u64);
        self.parts
            .columns
            .process(InputIndex::FIRST, rows, &mut self.columns_out)
            .map_err(|source| operator_failed(&metrics, source))?;
        let batches: Vec<Batch> = self.columns_out.drain().collect();
        let now = self.listening_ms();
        for (split, _) in &parts {
            let woken = self.watermarks.rows(split, now);
            self.advance(woken);
        }
        let mut pieces = Vec::new();
        for batch in batches {
            metrics.rows_out.add(batch.num_rows() as u64);
            let of_batch = self.generators.process(batch, &parts, wall_clock_ms());
            pieces.extend(of_batch.map_err(|source| operator_failed(&metrics, source))?);
        }
        metrics.busy_ns.add_time(started.elapsed());
        // Only the last of successive watermarks is sent.
        let mut combined = None;
        for piece in pieces {
            match piece {
                Piece::Rows(batch) => {
                    self.advance(combined.take());
                    self.parts.pipeline.rows(InputIndex::FIRST, batch);
                }
                Piece::Watermark(split, watermark) => {
                    combined = self.watermarks.advance(&split, watermark, now).or(combined);
                }
            }
        }
        self.advance(combined);
        Ok(())
    }

    /// Passes on the combined watermark or idleness of the splits, if it has changed.
    fn advance(&mut self, combined: Option<Element>) {
        let Some(combined) = combined else { return };
        let reached = self.watermarks.watermark();
        self.parts.metrics.set_watermark(reached);
        self.parts.pipeline.time(reached, combined);
    }

    /// Finds splits that have become idle. Each is judged alone, whether or not others have rows.
    fn find_idle_splits(&mut self) -> Result<(), Error> {
        let now = self.listening_ms();
        let (reader, buffer) = (&mut self.parts.reader, &self.buffer);
        let mut held = false;
        let combined = self.watermarks.tick(now, &mut |split| {
            held |= buffer.holds(split);
            !buffer.holds(split) && reader.is_empty(split)
        });
        self.advance(combined);
        if held { self.hand_on_all() } else { Ok(()) }
    }

    /// Compares the splits with those of the other readers, at intervals.
    fn align(&mut self) {
        if self.parts.alignment.is_none() {
            return;
        }
        let now = self.now_ms();
        let minimum = if self.ended { None } else { self.watermarks.minimum() };
        if self.parts.alignment.as_mut().is_some_and(|member| member.update(minimum, now)) {
            self.hold_back();
        }
    }

    /// Pauses splits that are too far ahead of the group's known watermark, and resumes those that are not.
    fn hold_back(&mut self) {
        let Some(member) = &self.parts.alignment else { return };
        let now = self.listening_ms();
        for (split, paused) in self.watermarks.align(member.minimum, member.drift_max, now) {
            self.parts.reader.pause(&split, paused);
        }
    }

    fn finished(&mut self, split: &SplitId) {
        self.open = self.open.saturating_sub(1);
        self.generators.remove(split);
        let combined = self.watermarks.finish(split);
        self.advance(combined);
    }

    fn end(&mut self) {
        self.ended = true;
        self.parts.metrics.set_watermark(Watermark::MAX);
        self.parts.pipeline.end();
    }

    fn without_splits(&mut self, outlook: Outlook) -> Read {
        match outlook {
            Outlook::Never => {
                self.end();
                return Read::HandedOn;
            }
            Outlook::Later if self.parts.watermark.is_some() => {
                let combined = self.watermarks.without_further_splits();
                self.advance(combined);
            }
            Outlook::Later | Outlook::Unknown => {}
        }
        Read::Nothing
    }

    fn read(&mut self) -> Result<Read, Error> {
        if self.open == 0 || self.pool().placement() == eddyline_connectors::source::Placement::Spread {
            let outlook = self.take_splits()?;
            if self.open == 0 {
                return Ok(self.without_splits(outlook));
            }
        }
        let started = Instant::now();
        let polled = self.parts.reader.poll(self.parts.rows_per_read).map_err(|source| self.failed(source))?;
        self.parts.metrics.busy_ns.add_time(started.elapsed());
        let waits = matches!(polled, Poll::Pending);
        if waits || self.waits {
            self.waits = waits;
            self.parts.metrics.set_trouble(self.parts.reader.trouble().filter(|_| waits));
        }
        match polled {
            Poll::Rows { split, rows } => self.buffer.push(split, rows, self.now()),
            Poll::Finished(split) => {
                self.hand_on_all()?;
                self.finished(&split);
            }
            Poll::Pending => {}
        }
        let handed_on = self.hand_on()?;
        self.find_idle_splits()?;
        Ok(match handed_on {
            true => Read::HandedOn,
            false if waits => Read::Nothing,
            false => Read::Gathered,
        })
    }

    fn publish_counters(&self) {
        let counters = self.parts.reader.counters();
        let metrics = &self.parts.metrics;
        metrics.bytes.set(counters.bytes);
        metrics.bad_records.set(counters.bad_records);
        metrics.source_lag.set(counters.lag_records.unwrap_or(u64::MAX));
        self.parts.pipeline.publish_counters();
    }
}

fn operator_failed(metrics: &OperatorMetrics, source: eddyline_operators::Error) -> Error {
    Error::Operator { operator: metrics.uid.clone(), label: metrics.label.clone(), source: Box::new(source) }
}

/// The time of the wall clock in milliseconds, for the check of times in the future.
fn wall_clock_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

impl Task for SourceTask {
    fn step(&mut self) -> Result<Progress, Error> {
        self.parts.pipeline.evict()?;
        self.align();
        self.parts.pipeline.look_at_clock();
        let mut progress = Progress::Idle;
        let mut batches = 0;
        for _ in 0..READS_PER_STEP {
            self.commands()?;
            let is_done = self.parts.pipeline.is_done();
            if is_done && (self.ended || self.stopped) {
                // A stop can be canceled. A split is not idle because the reader was stopped.
                self.listening.set_running(false, self.now());
                break;
            }
            if !self.has_room()? {
                if progress == Progress::Idle {
                    progress = Progress::Backpressured;
                }
                break;
            }
            let read = if is_done { self.read()? } else { Read::HandedOn };
            self.parts.pipeline.run()?;
            match read {
                Read::Nothing => break,
                Read::Gathered => {}
                Read::HandedOn => batches += 1,
            }
            progress = Progress::Worked;
            if batches == BATCHES_PER_STEP {
                break;
            }
        }
        self.publish_counters();
        Ok(progress)
    }

    fn due_at(&self) -> Option<Instant> {
        self.buffer.due_at()
    }

    fn account(&self, progress: Progress, time: Duration) {
        for metrics in self.parts.pipeline.metrics().chain([&self.parts.metrics]) {
            metrics.account(progress, time);
        }
    }
}
