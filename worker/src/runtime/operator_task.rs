//! A task that reads from channels: aligns barriers, merges watermarks, drives a chain.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use eddyline_operators::watermark::ChannelWatermarks;
use eddyline_stream::{Barrier, Element};

use super::pipeline::Pipeline;
use super::task::{Error, Progress, Task};
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
    inputs: Vec<Receiver>,
    pipeline: Pipeline,

    alignment: Alignment,
    alignment_started: Option<Instant>,
    watermarks: ChannelWatermarks,
    next_input: usize,
}

impl OperatorTask {
    /// A task that reads these channels.
    pub fn new(inputs: Vec<Input>, pipeline: Pipeline) -> Self {
        let (inputs, woken_by): (Vec<_>, Vec<_>) =
            inputs.into_iter().map(|input| (input.channel, input.woken_by)).unzip();
        Self {
            pipeline,
            alignment: Alignment::new(inputs.len()),
            alignment_started: None,
            watermarks: ChannelWatermarks::new(&woken_by),
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
            Element::Data(batch) => self.pipeline.rows(batch),
            Element::Watermark(watermark) => {
                let combined = self.watermarks.advance(input, watermark);
                self.advance(combined);
            }
            Element::Idle => {
                let combined = self.watermarks.idle(input);
                self.advance(combined);
            }
            Element::EndOfInput => {
                let combined = self.watermarks.end(input);
                if self.watermarks.is_ended() { self.pipeline.end() } else { self.advance(combined) }
            }
            Element::Barrier(barrier) => return self.barrier(input, barrier),
        }
        self.pipeline.run()
    }

    /// Passes on what the channels together say about event time, if it has changed.
    fn advance(&mut self, combined: Option<Element>) {
        if let Some(combined) = combined {
            self.pipeline.time(self.watermarks.watermark(), combined);
        }
    }

    fn barrier(&mut self, input: usize, barrier: Barrier) -> Result<(), Error> {
        self.alignment_started.get_or_insert_with(Instant::now);
        let Some(barrier) = self.alignment.arrive(input, barrier) else { return Ok(()) };
        let alignment = self.alignment_started.take().map_or(Duration::ZERO, |started| started.elapsed());
        self.pipeline.checkpoint(barrier, None, alignment)
    }

    /// Between two pieces: takes the barriers that come next in their channels. What is in front of a barrier has been taken
    /// then, so that the last one may pass.
    fn barriers_only(&mut self) -> Result<(), Error> {
        for input in 0..self.inputs.len() {
            if self.alignment.is_blocked(input) {
                continue;
            }
            let pipeline = &self.pipeline;
            if let Some(barrier) = self.inputs[input].receive_barrier(|barrier| pipeline.may_be_cut(barrier.kind)) {
                self.barrier(input, barrier)?;
            }
        }
        Ok(())
    }
}

impl Task for OperatorTask {
    fn step(&mut self) -> Result<Progress, Error> {
        if !self.pipeline.has_room()? {
            return Ok(Progress::Backpressured);
        }
        let mut progress = Progress::Idle;
        for _ in 0..ELEMENTS_PER_STEP {
            let emits = if self.pipeline.is_done() {
                let Some((input, element)) = self.receive() else { break };
                let is_data = matches!(element, Element::Data(_));
                self.handle(input, element)?;
                is_data || !self.pipeline.is_done()
            } else {
                self.barriers_only()?;
                self.pipeline.run()?;
                true
            };
            progress = Progress::Worked;
            if emits && !self.pipeline.has_room()? {
                break;
            }
        }
        if progress == Progress::Worked {
            self.pipeline.publish_counters();
        }
        Ok(progress)
    }

    fn account(&self, progress: Progress, time: Duration) {
        self.pipeline.metrics().for_each(|metrics| metrics.account(progress, time));
    }
}
