//! A task under test: the test sends to its channels, steps it, and reads its output.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use eddyline_job_graph::Partitioning;
use eddyline_operators::InputIndex;
use eddyline_stream::{
    Assignment, Barrier, BarrierKind, Batch, CheckpointId, Element, MaxParallelism, SlotIndex, Watermark,
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::chain::Chain;
use super::operator_task::{Input, OperatorTask};
use super::output::{Output, OutputEdge};
use super::pipeline::{Clock, Pipeline};
use super::task::{Event, Progress as Step, Task, TaskSnapshot};
use crate::exchange::channel::{Receiver, Sender, channel};
use crate::exchange::partitioner::Partitioner;
use crate::runtime::waker::SlotWaker;

/// A batch with a row for each number.
pub(super) fn numbers(range: std::ops::Range<i64>) -> Batch {
    let column = Arc::new(Int64Array::from_iter_values(range));
    Batch::new(RecordBatch::try_from_iter([("n", column as _)]).expect("one column"))
}

/// A task, and the other ends of its channels.
pub(super) struct Driven {
    pub(super) task: OperatorTask,
    channels: Vec<Sender>,
    pub(super) sent: Receiver,
    events: UnboundedReceiver<Event>,
}

impl Driven {
    /// A task with two channels of one input.
    pub(super) fn of_two_channels(chain: Chain) -> Self {
        Self::new(chain, &[InputIndex::FIRST; 2])
    }

    /// A task with one channel and this clock.
    pub(super) fn with_clock(chain: Chain, clock: Clock) -> Self {
        Self::of(chain, &[InputIndex::FIRST], Some(clock))
    }

    /// A task with one channel for each of these inputs of the chain's first operator.
    pub(super) fn new(chain: Chain, inputs: &[InputIndex]) -> Self {
        Self::of(chain, inputs, None)
    }

    fn of(chain: Chain, inputs: &[InputIndex], clock: Option<Clock>) -> Self {
        let one = || channel(SlotWaker::default(), SlotWaker::default(), 1);
        let (sender, sent) = one();
        let assignment = Arc::new(Assignment::even(MaxParallelism::DEFAULT, 1));
        let partitioner = Partitioner::new(Partitioning::Forward, assignment, 0, 1);
        let output = Output::Channels(vec![OutputEdge::new(partitioner, vec![Some(sender)])]);
        let (channels, inputs) = inputs
            .iter()
            .enumerate()
            .map(|(reader, index)| {
                let (sender, channel) = one();
                (sender, Input { index: *index, channel, woken_by: [reader].into() })
            })
            .unzip();
        let (reports, events) = unbounded_channel();
        let pipeline = Pipeline::new(SlotIndex::new(0), chain, output, reports);
        let pipeline = match clock {
            Some(clock) => pipeline.with_clock(clock),
            None => pipeline,
        };
        let task = OperatorTask::new(inputs, pipeline);
        Self { task, channels, sent, events }
    }

    pub(super) fn send(&self, channel: usize, elements: impl IntoIterator<Item = Element>) {
        elements.into_iter().for_each(|element| self.channels[channel].send(element));
    }

    /// Steps until the task has nothing to do. Returns its output as text.
    pub(super) fn said(&mut self) -> Vec<String> {
        let mut said: Vec<Element> = Vec::new();
        while self.task.step().expect("nothing fails") == Step::Worked || !said.is_empty() {
            let sent: Vec<Element> = std::iter::from_fn(|| self.sent.receive()).collect();
            if sent.is_empty() {
                break;
            }
            said.extend(sent);
        }
        said.into_iter().map(text).collect()
    }

    pub(super) fn snapshot(&mut self) -> TaskSnapshot {
        match self.events.try_recv() {
            Ok(Event::Acknowledged { snapshot, .. }) => snapshot,
            _ => panic!("nothing was acknowledged"),
        }
    }
}

fn text(element: Element) -> String {
    match element {
        Element::Data(batch) => {
            let numbers = batch.rows().column(0).as_primitive::<Int64Type>().values();
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        }
        Element::Watermark(watermark) => format!("at {}", watermark.time_ms()),
        Element::Idle => "idle".to_owned(),
        Element::Barrier(_) => "barrier".to_owned(),
        Element::EndOfInput => "end".to_owned(),
    }
}

pub(super) fn at(time: i64) -> Element {
    Element::Watermark(Watermark::new(time))
}

pub(super) fn barrier(number: u64, kind: BarrierKind) -> Element {
    Element::Barrier(Barrier::of_all_state(CheckpointId::new(number), kind))
}
