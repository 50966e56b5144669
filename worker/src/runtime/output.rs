//! The output of a task: channels or a sink.

use std::sync::Arc;
use std::time::Instant;

use eddyline_connectors::sink::{Committable, SinkWriter};
use eddyline_stream::{Batch, CheckpointId, Element};
use futures::FutureExt;
use futures::future::BoxFuture;

use super::metrics::OperatorMetrics;
use super::task::Error;
use crate::exchange::channel::Sender;
use crate::exchange::partitioner::Partitioner;

/// An edge to all subtasks of a receiver.
#[derive(Debug)]
pub struct OutputEdge {
    partitioner: Partitioner,
    /// The channel to each slot. A forward edge has only the channel to its own slot.
    channels: Vec<Option<Sender>>,
}

impl OutputEdge {
    /// Makes an edge with these channels, one entry for each slot.
    pub fn new(partitioner: Partitioner, channels: Vec<Option<Sender>>) -> Self {
        Self { partitioner, channels }
    }
}

/// The end of a chain.
pub enum Output {
    /// Channels to other tasks.
    Channels(Vec<OutputEdge>),
    /// A table.
    Sink {
        /// Writes the rows.
        writer: Box<dyn SinkWriter>,
        /// The metrics of the sink.
        metrics: Arc<OperatorMetrics>,
    },
}

/// The committables of a sink's subtask. They are ready when everything is staged.
pub type Staged = BoxFuture<'static, Result<Vec<Committable>, eddyline_connectors::Error>>;

impl Output {
    /// Whether the task may start another step.
    pub fn has_room(&mut self) -> Result<bool, Error> {
        match self {
            Output::Channels(edges) => {
                Ok(edges.iter().flat_map(|edge| edge.channels.iter().flatten()).all(Sender::has_room))
            }
            Output::Sink { writer, metrics } => writer.is_ready().map_err(|source| sink_failed(metrics, source)),
        }
    }

    /// Sends rows to their receivers, or writes them to the sink.
    pub fn send_batch(&mut self, batch: Batch) -> Result<(), Error> {
        match self {
            Output::Channels(edges) => {
                let Some((last, others)) = edges.split_last_mut() else { return Ok(()) };
                for edge in others {
                    edge.send(batch.clone())?;
                }
                last.send(batch)
            }
            Output::Sink { writer, metrics } => {
                let started = Instant::now();
                writer.write(&batch).map_err(|source| sink_failed(metrics, source))?;
                metrics.rows_in.add(batch.num_rows() as u64);
                metrics.bytes.set(writer.bytes());
                metrics.busy_ns.add_time(started.elapsed());
                Ok(())
            }
        }
    }

    /// Sends an element without rows to every channel. A sink ignores it.
    pub fn broadcast(&mut self, element: &Element) {
        if let Output::Channels(edges) = self {
            for channel in edges.iter().flat_map(|edge| edge.channels.iter().flatten()) {
                channel.send(element.clone());
            }
        }
    }

    /// Makes a sink stage the rows that it received before this barrier.
    pub fn prepare_commit(&mut self, checkpoint: CheckpointId) -> Option<(Arc<OperatorMetrics>, Staged)> {
        match self {
            Output::Channels(_) => None,
            Output::Sink { writer, metrics } => Some((Arc::clone(metrics), writer.prepare_commit(checkpoint).boxed())),
        }
    }
}

impl OutputEdge {
    fn send(&mut self, batch: Batch) -> Result<(), Error> {
        let channels = &self.channels;
        self.partitioner
            .partition(batch, |slot, part| {
                if let Some(channel) = &channels[slot] {
                    channel.send(Element::Data(part));
                }
            })
            .map_err(Error::Partition)
    }
}

fn sink_failed(metrics: &OperatorMetrics, source: eddyline_connectors::Error) -> Error {
    Error::Connector { operator: metrics.uid.clone(), source: Box::new(source) }
}
