//! A task that reads from channels. It aligns barriers, merges watermarks, and drives a chain.
//!
//! The channels belong to one input of the chain's first operator, or to several inputs. Barriers are aligned over all
//! of them. The watermark is the smallest one of all channels that are not idle. Inputs are read in turn, whatever the
//! number of channels of each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use eddyline_operators::InputIndex;
use eddyline_operators::watermark::ChannelWatermarks;
use eddyline_stream::{Barrier, Element};

use super::pipeline::Pipeline;
use super::task::{Error, Progress, Task};
use crate::exchange::alignment::Alignment;
use crate::exchange::channel::Receiver;

/// The most elements that one step handles before the slot steps its other tasks.
const ELEMENTS_PER_STEP: usize = 16;

/// A channel into a task.
pub struct Input {
    /// The input of the first operator that it belongs to.
    pub index: InputIndex,
    /// The channel.
    pub channel: Receiver,
    /// The source readers that wake its sender.
    pub woken_by: BTreeSet<usize>,
}

/// A subtask of a chain whose first operator reads from channels.
pub struct OperatorTask {
    channels: Vec<Receiver>,
    /// The input that each channel belongs to.
    input_of: Vec<InputIndex>,
    pipeline: Pipeline,

    alignment: Alignment,
    alignment_started: Option<Instant>,
    watermarks: ChannelWatermarks,
    turns: Turns,
}

/// Decides which channel is read next. Inputs take turns, and so do the channels of an input.
#[derive(Debug)]
struct Turns {
    /// The channels of each input. Each input has at least one.
    inputs: Vec<Vec<usize>>,
    next_input: usize,
    next_channel: Vec<usize>,
}

impl Turns {
    fn new(input_of: &[InputIndex]) -> Self {
        let mut inputs: BTreeMap<InputIndex, Vec<usize>> = BTreeMap::new();
        for (channel, input) in input_of.iter().enumerate() {
            inputs.entry(*input).or_default().push(channel);
        }
        let inputs: Vec<Vec<usize>> = inputs.into_values().collect();
        Self { next_channel: vec![0; inputs.len()], inputs, next_input: 0 }
    }

    /// The first channel in turn for which `read` returns something, and the result.
    fn next<T>(&mut self, mut read: impl FnMut(usize) -> Option<T>) -> Option<(usize, T)> {
        for input_offset in 0..self.inputs.len() {
            let input = (self.next_input + input_offset) % self.inputs.len();
            let channels = &self.inputs[input];
            for offset in 0..channels.len() {
                let place = (self.next_channel[input] + offset) % channels.len();
                if let Some(read) = read(channels[place]) {
                    self.next_channel[input] = (place + 1) % channels.len();
                    self.next_input = (input + 1) % self.inputs.len();
                    return Some((channels[place], read));
                }
            }
        }
        None
    }
}

impl OperatorTask {
    /// Makes a task that reads these channels.
    pub fn new(inputs: Vec<Input>, pipeline: Pipeline) -> Self {
        let input_of: Vec<InputIndex> = inputs.iter().map(|input| input.index).collect();
        let (channels, woken_by): (Vec<_>, Vec<_>) =
            inputs.into_iter().map(|input| (input.channel, input.woken_by)).unzip();
        Self {
            pipeline,
            alignment: Alignment::new(channels.len()),
            alignment_started: None,
            watermarks: ChannelWatermarks::new(&woken_by),
            turns: Turns::new(&input_of),
            channels,
            input_of,
        }
    }

    /// Reads the next element of a channel that may be read. Channels take turns.
    fn receive(&mut self) -> Option<(usize, Element)> {
        let (alignment, channels) = (&self.alignment, &self.channels);
        self.turns.next(|channel| if alignment.is_blocked(channel) { None } else { channels[channel].receive() })
    }

    fn handle(&mut self, channel: usize, element: Element) -> Result<(), Error> {
        match element {
            Element::Data(batch) => self.pipeline.rows(self.input_of[channel], batch),
            Element::Watermark(watermark) => {
                let combined = self.watermarks.advance(channel, watermark);
                self.advance(combined);
            }
            Element::Idle => {
                let combined = self.watermarks.idle(channel);
                self.advance(combined);
            }
            Element::EndOfInput => {
                let combined = self.watermarks.end(channel);
                if self.watermarks.is_ended() { self.pipeline.end() } else { self.advance(combined) }
            }
            Element::Barrier(barrier) => return self.barrier(channel, barrier),
        }
        self.pipeline.run()
    }

    /// Passes on the combined watermark or idleness of the channels, if it has changed.
    fn advance(&mut self, combined: Option<Element>) {
        if let Some(combined) = combined {
            self.pipeline.time(self.watermarks.watermark(), combined);
        }
    }

    fn barrier(&mut self, channel: usize, barrier: Barrier) -> Result<(), Error> {
        self.alignment_started.get_or_insert_with(Instant::now);
        let Some(barrier) = self.alignment.arrive(channel, barrier) else { return Ok(()) };
        let alignment = self.alignment_started.take().map_or(Duration::ZERO, |started| started.elapsed());
        self.pipeline.checkpoint(barrier, None, alignment)
    }

    /// Reads only barriers, between two pieces: those that are next in their channels. Everything before such a barrier
    /// has been read, so the barrier may pass once it is aligned.
    fn barriers_only(&mut self) -> Result<(), Error> {
        for channel in 0..self.channels.len() {
            if self.alignment.is_blocked(channel) {
                continue;
            }
            let pipeline = &self.pipeline;
            if let Some(barrier) = self.channels[channel].receive_barrier(|barrier| pipeline.may_be_cut(barrier.kind)) {
                self.barrier(channel, barrier)?;
            }
        }
        Ok(())
    }
}

impl Task for OperatorTask {
    fn step(&mut self) -> Result<Progress, Error> {
        self.pipeline.evict()?;
        if !self.pipeline.has_room()? {
            return Ok(Progress::Backpressured);
        }
        let mut progress = Progress::Idle;
        self.pipeline.look_at_clock();
        for _ in 0..ELEMENTS_PER_STEP {
            let emits = if self.pipeline.is_done() {
                let Some((channel, element)) = self.receive() else { break };
                let is_data = matches!(element, Element::Data(_));
                self.handle(channel, element)?;
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
