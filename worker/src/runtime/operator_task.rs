//! A task that reads from channels: aligns barriers, merges watermarks, drives a chain.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use eddyline_operators::watermark::ChannelWatermarks;
use eddyline_state::SnapshotRequest;
use eddyline_stream::{Barrier, Element, SlotIndex, Watermark};

use super::chain::Chain;
use super::output::Output;
use super::task::{Error, Event, EventSender, Progress, Task, TaskSnapshot};
use crate::exchange::alignment::Alignment;
use crate::exchange::channel::Receiver;

/// Elements handled in one step before the slot looks at its other tasks.
const ELEMENTS_PER_STEP: usize = 16;

/// A channel into a task.
pub struct Input {
    /// What is read.
    pub channel: Receiver,
    /// Which source readers wake its sender.
    pub woken_by: BTreeSet<usize>,
}

/// A subtask of a chain whose first operator reads from channels.
pub struct OperatorTask {
    slot: SlotIndex,
    inputs: Vec<Receiver>,
    chain: Chain,
    output: Output,
    events: EventSender,

    alignment: Alignment,
    alignment_started: Option<Instant>,
    watermarks: ChannelWatermarks,
    /// The last watermark that the chain has received.
    watermark: Watermark,
    next_input: usize,
}

impl OperatorTask {
    /// A task that reads these channels.
    pub fn new(slot: SlotIndex, inputs: Vec<Input>, chain: Chain, output: Output, events: EventSender) -> Self {
        let (inputs, woken_by): (Vec<_>, Vec<_>) =
            inputs.into_iter().map(|input| (input.channel, input.woken_by)).unzip();
        Self {
            slot,
            chain,
            output,
            events,
            alignment: Alignment::new(inputs.len()),
            alignment_started: None,
            watermarks: ChannelWatermarks::new(&woken_by),
            watermark: Watermark::MIN,
            inputs,
            next_input: 0,
        }
    }

    /// The next element of a channel that may be read, fairly in turn.
    fn receive(&mut self) -> Option<(usize, Element)> {
        let channels = self.inputs.len();
        for offset in 0..channels {
            let input = (self.next_input + offset) % channels;
            if self.alignment.is_blocked(input) {
                continue;
            }
            if let Some(element) = self.inputs[input].receive() {
                self.next_input = (input + 1) % channels;
                return Some((input, element));
            }
        }
        None
    }

    fn handle(&mut self, input: usize, element: Element) -> Result<(), Error> {
        match element {
            Element::Data(batch) => {
                let output = &mut self.output;
                self.chain.process(batch, &mut |batch| output.send_batch(batch))
            }
            Element::Watermark(watermark) => match self.watermarks.advance(input, watermark) {
                Some(combined) => self.advance(combined),
                None => Ok(()),
            },
            Element::Idle => match self.watermarks.idle(input) {
                Some(combined) => self.advance(combined),
                None => Ok(()),
            },
            Element::EndOfInput => {
                let combined = self.watermarks.end(input);
                if !self.watermarks.is_ended() {
                    combined.map_or(Ok(()), |combined| self.advance(combined))?;
                } else {
                    self.advance_chain()?;
                    self.output.broadcast(&Element::EndOfInput);
                    // The coordinator outlives its tasks; when it is gone, so is the job.
                    let _gone = self.events.send(Event::Ended);
                }
                Ok(())
            }
            Element::Barrier(barrier) => {
                self.alignment_started.get_or_insert_with(Instant::now);
                match self.alignment.arrive(input, barrier) {
                    Some(barrier) => self.checkpoint(barrier),
                    None => Ok(()),
                }
            }
        }
    }

    /// Passes on what the channels together say about event time.
    fn advance(&mut self, combined: Element) -> Result<(), Error> {
        let risen = self.advance_chain()?;
        if matches!(combined, Element::Idle) {
            if let Some(watermark) = risen {
                self.output.broadcast(&Element::Watermark(watermark));
            }
            let output = &mut self.output;
            self.chain.idle(&mut |batch| output.send_batch(batch))?;
        }
        self.output.broadcast(&combined);
        Ok(())
    }

    /// Passes the watermark to the chain, if it has risen.
    fn advance_chain(&mut self) -> Result<Option<Watermark>, Error> {
        let watermark = self.watermarks.watermark();
        if watermark <= self.watermark {
            return Ok(None);
        }
        self.watermark = watermark;
        let output = &mut self.output;
        self.chain.watermark(watermark, &mut |batch| output.send_batch(batch))?;
        Ok(Some(watermark))
    }

    fn checkpoint(&mut self, barrier: Barrier) -> Result<(), Error> {
        let output = &mut self.output;
        self.chain.before_barrier(&mut |batch| output.send_batch(batch))?;
        let operators = self.chain.snapshot(SnapshotRequest::from(barrier))?;
        let staged = self.output.prepare_commit(barrier.checkpoint);
        self.output.broadcast(&Element::Barrier(barrier));
        let snapshot = TaskSnapshot {
            operators,
            splits: None,
            staged: staged.map(|(metrics, staged)| (metrics.uid.clone(), staged)),
        };
        let alignment = self.alignment_started.take().map_or(Duration::ZERO, |started| started.elapsed());
        let _gone = self.events.send(Event::Acknowledged {
            checkpoint: barrier.checkpoint,
            slot: self.slot,
            snapshot,
            alignment,
        });
        Ok(())
    }
}

impl Task for OperatorTask {
    fn step(&mut self) -> Result<Progress, Error> {
        if !self.output.has_room()? {
            return Ok(Progress::Backpressured);
        }
        let mut progress = Progress::Idle;
        for _ in 0..ELEMENTS_PER_STEP {
            let Some((input, element)) = self.receive() else { break };
            progress = Progress::Worked;
            let is_data = matches!(element, Element::Data(_));
            self.handle(input, element)?;
            if is_data && !self.output.has_room()? {
                break;
            }
        }
        if progress == Progress::Worked {
            self.chain.publish_counters();
        }
        Ok(progress)
    }

    fn account(&self, progress: Progress, time: Duration) {
        let sink = match &self.output {
            Output::Sink { metrics, .. } => Some(metrics),
            Output::Channels(_) => None,
        };
        for metrics in self.chain.metrics().chain(sink) {
            metrics.account(progress, time);
        }
    }
}
