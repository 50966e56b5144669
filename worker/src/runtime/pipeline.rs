//! Processes what a task has read: drives its chain piece by piece, and sends the output.
//!
//! Between two pieces the task may handle a barrier, if the rest of the output is in state:
//!
//! - The operators have received everything that the task has read. No rows and no watermark wait in the task.
//! - Only one operator has more to emit. It is in the middle of a watermark, and has the rest in its state.
//! - The barrier does not stop the job. A stop waits until everything is emitted, because no rows may follow it.
//!
//! The snapshot has that operator in the middle of its output. After a restore the operator first emits the rest. Then
//! the watermark passes the operators after it and is sent to the next task. Only then the task reads. For this reason
//! each task that restores event time sends it first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connectors::source::Split;
use eddyline_operators::{InputIndex, Progress};
use eddyline_state::{SnapshotRequest, SpillDirectory};
use eddyline_stream::{Barrier, BarrierKind, Batch, Element, OperatorUid, SlotIndex, Watermark};

use super::chain::{Chain, Signal};
use super::metrics::OperatorMetrics;
use super::output::Output;
use super::task::{Error, Event, EventSender, TaskSnapshot};

/// A pending action.
#[derive(Debug)]
enum Step {
    Rows(InputIndex, Batch),
    Signal(Signal),
    Send(Element),
    End,
}

/// A chain, its output, and the pending actions.
pub struct Pipeline {
    slot: SlotIndex,
    events: EventSender,
    /// The clock of timers.
    clock: Clock,
    /// Where operators move state that does not fit in memory.
    disk: Option<SpillDirectory>,

    chain: Chain,
    output: Output,
    /// The largest watermark that the chain has received, including that of a pending action.
    watermark: Watermark,
    steps: VecDeque<Step>,
    /// Whether timers must not fire: the input has ended, or a barrier that stops the job has passed and nothing was
    /// received after it.
    is_silent: bool,
}

/// Returns the time in milliseconds since the epoch.
pub type Clock = Box<dyn Fn() -> i64 + Send>;

impl Pipeline {
    /// Makes a pipeline of a chain. It first emits what the operators have restored.
    pub fn new(slot: SlotIndex, mut chain: Chain, output: Output, events: EventSender) -> Self {
        let restored = chain.begin_restored();
        let said = restored.filter(|watermark| *watermark < Watermark::MAX);
        let steps = said.map(|watermark| Step::Send(Element::Watermark(watermark))).into_iter().collect();
        let clock = Box::new(|| chrono::Utc::now().timestamp_millis());
        let watermark = restored.unwrap_or(Watermark::MIN);
        Self { slot, events, clock, disk: None, chain, output, watermark, steps, is_silent: false }
    }

    /// The same with another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The same, with a place for state that does not fit in memory.
    pub fn with_disk(self, disk: Option<SpillDirectory>) -> Self {
        Self { disk, ..self }
    }

    /// Makes operators move state to the local disk that have been asked to.
    pub fn evict(&mut self) -> Result<(), Error> {
        self.disk.as_ref().map_or(Ok(()), |disk| self.chain.evict(disk))
    }

    /// Adds rows of an input.
    pub fn rows(&mut self, input: InputIndex, batch: Batch) {
        self.is_silent = false;
        self.steps.push_back(Step::Rows(input, batch));
    }

    /// Adds the event time of the inputs: their watermark `reached`, and `combined`, which is a watermark or that they
    /// are idle.
    pub fn time(&mut self, reached: Watermark, combined: Element) {
        self.is_silent = false;
        let risen = self.rise(reached);
        match combined {
            Element::Idle => {
                self.steps.extend(risen.map(|watermark| Step::Send(Element::Watermark(watermark))));
                self.steps.extend([Step::Signal(Signal::Idle), Step::Send(Element::Idle)]);
            }
            Element::Watermark(watermark) => {
                // The watermark of a restored task can be larger than that of its inputs.
                let watermark = watermark.max(self.watermark);
                self.steps.push_back(Step::Send(Element::Watermark(watermark)));
            }
            other => self.steps.push_back(Step::Send(other)),
        }
    }

    /// Adds the end of all inputs.
    pub fn end(&mut self) {
        self.rise(Watermark::MAX);
        self.steps.push_back(Step::End);
        self.is_silent = true;
    }

    /// Reads the clock if an operator has a processing-time timer.
    pub fn look_at_clock(&mut self) {
        if !self.is_silent
            && self.is_done()
            && let Some(time) = self.chain.next_timer()
        {
            let now_ms = (self.clock)();
            if time <= now_ms {
                self.steps.push_back(Step::Signal(Signal::Clock(now_ms)));
            }
        }
    }

    fn rise(&mut self, watermark: Watermark) -> Option<Watermark> {
        if watermark <= self.watermark {
            return None;
        }
        self.watermark = watermark;
        self.steps.push_back(Step::Signal(Signal::Watermark(watermark)));
        Some(watermark)
    }

    /// The largest watermark that was read.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.chain.is_done()
    }

    /// Whether there is room for another piece.
    pub fn has_room(&mut self) -> Result<bool, Error> {
        self.output.has_room()
    }

    /// Executes pending actions up to the end of the next piece.
    pub fn run(&mut self) -> Result<(), Error> {
        let output = &mut self.output;
        let mut progress = self.chain.resume(&mut |batch| output.send_batch(batch))?;
        while progress == Progress::Done
            && let Some(step) = self.steps.pop_front()
        {
            progress = self.step(step)?;
        }
        Ok(())
    }

    fn step(&mut self, step: Step) -> Result<Progress, Error> {
        let output = &mut self.output;
        match step {
            Step::Rows(input, batch) => return self.chain.process(input, batch, &mut |batch| output.send_batch(batch)),
            Step::Signal(signal) => return self.chain.signal(signal, &mut |batch| output.send_batch(batch)),
            Step::Send(element) => output.broadcast(&element),
            Step::End => {
                output.broadcast(&Element::EndOfInput);
                // The coordinator outlives its tasks. If it is gone, the job has ended.
                let _gone = self.events.send(Event::Ended);
            }
        }
        Ok(Progress::Done)
    }

    /// Whether a barrier may pass now, see the module's description.
    pub fn may_be_cut(&self, kind: BarrierKind) -> bool {
        let is_taken =
            |step: &Step| matches!(step, Step::Send(_) | Step::Signal(Signal::Idle | Signal::Clock(_)) | Step::End);
        self.is_done()
            || kind != BarrierKind::Savepoint { stop: true }
                && self.steps.iter().all(is_taken)
                && self.chain.may_be_cut()
    }

    /// Freezes the state at a barrier, forwards the barrier, and reports the state. `splits` are those of a source.
    pub fn checkpoint(
        &mut self,
        barrier: Barrier,
        splits: Option<(OperatorUid, Vec<Split>)>,
        alignment: Duration,
    ) -> Result<(), Error> {
        let output = &mut self.output;
        self.chain.before_barrier(&mut |batch| output.send_batch(batch))?;
        let operators = self.chain.snapshot(SnapshotRequest::from(barrier))?;
        let staged = self.output.prepare_commit(barrier.checkpoint);
        self.output.broadcast(&Element::Barrier(barrier));
        self.is_silent |= barrier.kind == BarrierKind::Savepoint { stop: true };
        let staged = staged.map(|(metrics, staged)| (metrics.uid.clone(), staged));
        let snapshot = TaskSnapshot { operators, splits, staged };
        let (checkpoint, slot) = (barrier.checkpoint, self.slot);
        let _gone = self.events.send(Event::Acknowledged { checkpoint, slot, snapshot, alignment });
        Ok(())
    }

    /// Copies the operators' own counters to their metrics.
    pub fn publish_counters(&self) {
        self.chain.publish_counters();
    }

    /// The metrics of the operators, and of the sink if there is one.
    pub fn metrics(&self) -> impl Iterator<Item = &Arc<OperatorMetrics>> {
        let sink = match &self.output {
            Output::Sink { metrics, .. } => Some(metrics),
            Output::Channels(_) => None,
        };
        self.chain.metrics().chain(sink)
    }
}
