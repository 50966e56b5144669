//! What a task does with what it has read: it drives its chain, a piece at a time, and sends on what comes out.
//!
//! Between two pieces the task may take a barrier, if what is in the middle is state:
//!
//! - Everything that the task has taken is with the operators: no rows and no watermark of it wait for their turn.
//! - Only one operator has more to say, it is in the middle of a watermark, and it keeps the rest in its state.
//! - The barrier does not stop the job: a stop waits until everything is said, because no rows may follow it.
//!
//! The snapshot then has that operator in the middle. A restored task first has it say the rest, then passes the watermark to
//! those behind it and sends it on; only then it reads. For this reason each task that restores event time says it first.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use eddyline_connectors::source::Split;
use eddyline_operators::{InputIndex, Progress};
use eddyline_state::SnapshotRequest;
use eddyline_stream::{Barrier, BarrierKind, Batch, Element, OperatorUid, SlotIndex, Watermark};

use super::chain::{Chain, Signal};
use super::metrics::OperatorMetrics;
use super::output::Output;
use super::task::{Error, Event, EventSender, TaskSnapshot};

/// What is still to be done, in order.
#[derive(Debug)]
enum Step {
    Rows(InputIndex, Batch),
    Signal(Signal),
    Send(Element),
    End,
}

/// A chain, its output, and what they still have to do.
pub struct Pipeline {
    slot: SlotIndex,
    events: EventSender,
    /// The time in milliseconds since the epoch, for timers.
    clock: Clock,

    chain: Chain,
    output: Output,
    /// The greatest watermark that the chain has received, or receives by a step.
    watermark: Watermark,
    steps: VecDeque<Step>,
    /// No timer may fire: the input has ended, or a barrier that stops the job has passed and nothing has come since.
    is_silent: bool,
}

/// Says the time in milliseconds since the epoch.
pub type Clock = Box<dyn Fn() -> i64 + Send>;

impl Pipeline {
    /// Drives a chain. What its operators have restored is said first.
    pub fn new(slot: SlotIndex, mut chain: Chain, output: Output, events: EventSender) -> Self {
        let restored = chain.begin_restored();
        let said = restored.filter(|watermark| *watermark < Watermark::MAX);
        let steps = said.map(|watermark| Step::Send(Element::Watermark(watermark))).into_iter().collect();
        let clock = Box::new(|| chrono::Utc::now().timestamp_millis());
        let watermark = restored.unwrap_or(Watermark::MIN);
        Self { slot, events, clock, chain, output, watermark, steps, is_silent: false }
    }

    /// The same with another clock.
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// Rows that have been read from an input.
    pub fn rows(&mut self, input: InputIndex, batch: Batch) {
        self.is_silent = false;
        self.steps.push_back(Step::Rows(input, batch));
    }

    /// The inputs together have come to `reached`, and say `combined`, which is a watermark or that they are idle.
    pub fn time(&mut self, reached: Watermark, combined: Element) {
        self.is_silent = false;
        let risen = self.rise(reached);
        match combined {
            Element::Idle => {
                self.steps.extend(risen.map(|watermark| Step::Send(Element::Watermark(watermark))));
                self.steps.extend([Step::Signal(Signal::Idle), Step::Send(Element::Idle)]);
            }
            Element::Watermark(watermark) => {
                // A restored task can be ahead of its inputs.
                let watermark = watermark.max(self.watermark);
                self.steps.push_back(Step::Send(Element::Watermark(watermark)));
            }
            other => self.steps.push_back(Step::Send(other)),
        }
    }

    /// All inputs have ended.
    pub fn end(&mut self) {
        self.rise(Watermark::MAX);
        self.steps.push_back(Step::End);
        self.is_silent = true;
    }

    /// Looks at the clock, if an operator has a timer for it.
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

    /// The greatest watermark that has been read.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Whether nothing is left to do.
    pub fn is_done(&self) -> bool {
        self.steps.is_empty() && self.chain.is_done()
    }

    /// Whether another piece may be said.
    pub fn has_room(&mut self) -> Result<bool, Error> {
        self.output.has_room()
    }

    /// Does what is to be done, up to the next place between two pieces.
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
                // The coordinator outlives its tasks; when it is gone, so is the job.
                let _gone = self.events.send(Event::Ended);
            }
        }
        Ok(Progress::Done)
    }

    /// Whether a barrier may pass now: see the module.
    pub fn may_be_cut(&self, kind: BarrierKind) -> bool {
        let is_taken =
            |step: &Step| matches!(step, Step::Send(_) | Step::Signal(Signal::Idle | Signal::Clock(_)) | Step::End);
        self.is_done()
            || kind != BarrierKind::Savepoint { stop: true }
                && self.steps.iter().all(is_taken)
                && self.chain.may_be_cut()
    }

    /// Takes the state at a barrier, forwards the barrier, and reports the state. `splits` are those of a source.
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

    /// Copies the operators' own totals into their metrics.
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
