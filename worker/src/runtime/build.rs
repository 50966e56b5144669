//! Builds the tasks of an attempt from a job graph: one for each chain in each slot that it runs in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use eddyline_checkpoint::JobOperator;
use eddyline_connectors::OpenContext;
use eddyline_connectors::sink::{Sink, SinkCommitter, Staging, WriterContext};
use eddyline_connectors::source::{ReaderContext, Source, Split, SplitEnumerator};
use eddyline_job_graph::{JobGraph, Node, NodeId, NodeKind, Partitioning, distributions};
use eddyline_operators::calc::CalcOperator;
use eddyline_operators::over::OverOperator;
use eddyline_operators::{InputIndex, Operator};
use eddyline_state::Snapshot;
use eddyline_stream::{Assignment, Attempt, OperatorUid, SlotIndex, SplitId, Watermark};
use eddyline_windows::{GroupAggregateOperator, LocalWindowAggregate, WindowAggregateOperator, WindowAssignOperator};

use super::alignment_group::{AlignmentGroup, Member};
use super::chain::Chain;
use super::connectors::{Connectors, OpenError};
use super::layout::{self, ChainLayout};
use super::metrics::{OperatorMetrics, Role};
use super::operator_task::{Input, OperatorTask};
use super::output::{Output, OutputEdge};
use super::pipeline::Pipeline;
use super::slot::Slot;
use super::source_task::{Mailbox, Parts, SourceTask};
use super::splits::SplitPool;
use super::task::{EventSender, Task};
use super::waker::SlotWaker;
use crate::exchange::channel::{Sender, channel};
use crate::exchange::partitioner::Partitioner;
use crate::memory::Governor;

/// Why an attempt could not be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A source or sink could not be opened.
    #[error("failed to open {operator}")]
    Open {
        /// The source or sink.
        operator: OperatorUid,
        /// Why.
        source: Box<OpenError>,
    },
    /// An operator could not be created or refuses its state.
    #[error("failed to start {operator}")]
    Operator {
        /// The operator.
        operator: OperatorUid,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// State could not be read.
    #[error(transparent)]
    State(Box<eddyline_checkpoint::Error>),
    /// The system could not start a thread.
    #[error("failed to start the thread of a slot")]
    Thread(#[from] std::io::Error),
}

/// The inputs from which an attempt is built, besides the graph.
pub struct Context {
    /// The job's name.
    pub job: String,
    /// The history that its checkpoint numbers belong to.
    pub history: String,
    /// The number of the attempt.
    pub attempt: Attempt,
    /// The slot of each key group. It also has the number of slots.
    pub assignment: Arc<Assignment>,
    /// Opens the job's tables.
    pub connectors: Arc<dyn Connectors>,
    /// The number of rows that sources read at a time.
    pub rows_per_read: usize,
    /// The number of rows that operators emit before their task checks for barriers and for room downstream.
    pub rows_per_piece: usize,
    /// The I/O runtime.
    pub io: tokio::runtime::Handle,
    /// The staging area of sinks for output that is not yet committed.
    pub staging: Arc<dyn Staging>,
    /// The memory of the process, if it is limited and there is a disk to move state to.
    pub memory: Option<Arc<Governor>>,
    /// Receives the errors of outages that sinks wait out.
    pub waits: Arc<dyn Fn(&eddyline_connectors::Error) + Send + Sync>,
    /// Sends the events of tasks to the coordinator.
    pub events: EventSender,
}

/// The state of a subtask in parts, as it is read. See [`Operator::restore`].
pub type StateParts = tokio::sync::mpsc::Receiver<eddyline_checkpoint::Result<Snapshot>>;

/// The state to start from.
#[derive(Default)]
pub struct Restored {
    /// The state of each subtask of an operator, for its key groups.
    pub operators: BTreeMap<(OperatorUid, SlotIndex), StateParts>,
    /// The splits of each source.
    pub splits: BTreeMap<OperatorUid, Vec<Split>>,
    /// The parts of each source that have been read to their end, in the connector's format.
    pub finished: BTreeMap<OperatorUid, Vec<Bytes>>,
}

/// A source of the running attempt.
pub struct RunningSource {
    /// Its operator.
    pub uid: OperatorUid,
    /// Finds its splits.
    pub enumerator: Box<dyn SplitEnumerator>,
    /// The interval between two discoveries. `None`: only one.
    pub discovery_interval: Option<Duration>,
    /// The splits that no reader has.
    pub pool: Arc<Mutex<SplitPool>>,
    /// Holds back splits that are ahead, if watermark alignment is configured.
    pub alignment: Option<Arc<AlignmentGroup>>,
    /// The mailboxes of its tasks.
    pub mailboxes: Vec<Mailbox>,
}

/// The threads and handles of an attempt.
pub struct Deployment {
    /// The slot threads. Dropping them ends the attempt.
    pub slots: Vec<Slot>,
    /// The sources.
    pub sources: Vec<RunningSource>,
    /// The committers of sinks.
    pub committers: BTreeMap<OperatorUid, Box<dyn SinkCommitter>>,
    /// The metrics of all subtasks.
    pub metrics: Vec<Arc<OperatorMetrics>>,
    /// The number of tasks that acknowledge each barrier.
    pub tasks: usize,
}

impl Drop for Deployment {
    /// Ends all slots at the same time, because each one closes its connections and that takes time.
    fn drop(&mut self) {
        self.slots.iter().for_each(Slot::request_stop);
    }
}

/// Describes what every operator of a job computes and which state it has. Checkpoints record that, and a restore
/// compares it.
///
/// # Errors
/// When an operator cannot be created from its configuration.
pub fn job_operators(graph: &JobGraph) -> Result<Vec<JobOperator>, Error> {
    let of = |node: &Node| {
        let inputs = node.inputs.first().map_or(&[][..], |edge| &graph.nodes[edge.from].origins);
        let tables = operator(graph, node, false)?.map(|operator| operator.state_tables(inputs)).unwrap_or_default();
        let (uid, former_uid, meaning) = (node.uid.clone(), node.former_uid.clone(), node.meaning.clone());
        Ok(JobOperator { uid, former_uid, meaning, tables })
    };
    graph.nodes.iter().map(of).collect()
}

/// Builds and starts an attempt.
///
/// # Errors
/// When a table cannot be opened or an operator refuses its state. Nothing runs then.
pub fn deploy(graph: &JobGraph, context: &Context, mut restored: Restored) -> Result<Deployment, Error> {
    let mut builder = Builder::new(graph, context);
    builder.restore_operators(std::mem::take(&mut restored.operators))?;
    builder.connect();
    for chain in 0..builder.chains.len() {
        builder.build_chain(chain, &mut restored)?;
    }
    builder.start()
}

/// An operator that has its state, and the event time of that state.
struct RestoredOperator {
    operator: Box<dyn Operator>,
    event_time: Option<Watermark>,
}

struct Builder<'a> {
    graph: &'a JobGraph,
    context: &'a Context,
    wakers: Vec<SlotWaker>,
    /// The chains, in the order in which rows pass them.
    chains: Vec<ChainLayout>,
    /// The channels into each subtask of each chain.
    inputs: Vec<Vec<Vec<Input>>>,
    edges: Vec<Vec<Vec<OutputEdge>>>,
    distributions: Vec<Option<Vec<usize>>>,
    /// Operators that have their state, until their chains are built.
    restored: BTreeMap<(NodeId, SlotIndex), RestoredOperator>,

    /// The groups of watermark alignment, by name.
    alignment_groups: BTreeMap<String, Arc<AlignmentGroup>>,
    tasks: Vec<Vec<Box<dyn Task>>>,
    deployment: Deployment,
}

impl<'a> Builder<'a> {
    fn new(graph: &'a JobGraph, context: &'a Context) -> Self {
        let slots = usize::from(context.assignment.slots());
        let chains = layout::chains(graph, slots);
        Self {
            graph,
            context,
            wakers: (0..slots).map(|_| SlotWaker::default()).collect(),
            inputs: chains.iter().map(|chain| (0..chain.subtasks).map(|_| Vec::new()).collect()).collect(),
            edges: chains.iter().map(|chain| (0..chain.subtasks).map(|_| Vec::new()).collect()).collect(),
            distributions: distributions(&graph.nodes),
            restored: BTreeMap::new(),
            alignment_groups: BTreeMap::new(),
            tasks: (0..slots).map(|_| Vec::new()).collect(),
            deployment: Deployment {
                slots: Vec::new(),
                sources: Vec::new(),
                committers: BTreeMap::new(),
                metrics: Vec::new(),
                tasks: chains.iter().map(|chain| chain.subtasks).sum(),
            },
            chains,
        }
    }

    fn slots(&self) -> usize {
        self.wakers.len()
    }

    /// Makes the operators that have state, each slot on a thread of its own: to rebuild tables takes as long as to read them.
    fn restore_operators(&mut self, state: BTreeMap<(OperatorUid, SlotIndex), StateParts>) -> Result<(), Error> {
        let mut by_slot: BTreeMap<SlotIndex, Vec<(NodeId, StateParts)>> = BTreeMap::new();
        for ((uid, slot), parts) in state {
            if let Some(id) = self.graph.nodes.iter().position(|node| node.uid == uid) {
                by_slot.entry(slot).or_default().push((id, parts));
            }
        }
        let (graph, distributions, memory) = (self.graph, &self.distributions, self.context.memory.as_ref());
        let restore = |(id, mut parts): (NodeId, StateParts)| {
            let node = &graph.nodes[id];
            let mut restored: Option<RestoredOperator> = None;
            while let Some(part) = parts.blocking_recv() {
                let part = part.map_err(|error| Error::State(Box::new(error)))?;
                if part.is_empty() {
                    continue;
                }
                let mut operator = match restored.take() {
                    Some(restored) => restored.operator,
                    None => match operator(graph, node, distributions[id].is_some())? {
                        Some(operator) => operator,
                        None => return Ok(None),
                    },
                };
                let event_time = operator.restore(part).map_err(|source| failed(node, source))?;
                if let Some(memory) = memory {
                    memory.relieve(operator.as_mut()).map_err(|source| failed(node, source))?;
                }
                restored = Some(RestoredOperator { operator, event_time });
            }
            Ok(restored.map(|restored| (id, restored)))
        };
        let restored = std::thread::scope(|scope| {
            let start = |(slot, state): (SlotIndex, Vec<(NodeId, StateParts)>)| {
                let all = move || state.into_iter().map(restore).collect::<Result<Vec<_>, Error>>();
                let thread = std::thread::Builder::new().name(format!("restore-{slot}"));
                Ok((slot, thread.spawn_scoped(scope, all)?))
            };
            let threads = by_slot.into_iter().map(start).collect::<Result<Vec<_>, Error>>()?;
            let join = |(slot, thread): (SlotIndex, std::thread::ScopedJoinHandle<'_, _>)| {
                Ok((slot, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?))
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
        })?;
        for (slot, operators) in restored {
            self.restored.extend(operators.into_iter().flatten().map(|(id, operator)| ((id, slot), operator)));
        }
        Ok(())
    }

    /// Makes the channels between chains.
    fn connect(&mut self) {
        for receiver in 0..self.chains.len() {
            let head = &self.graph.nodes[self.chains[receiver].nodes[0]];
            for (place, edge) in head.inputs.iter().enumerate() {
                let sender = self
                    .chains
                    .iter()
                    .position(|chain| chain.nodes.last() == Some(&edge.from))
                    .expect("the sender of an edge between chains ends its chain");
                let is_hashed = self.runs(edge.from) && is_local_aggregate(&self.graph.nodes[edge.from]);
                // All inputs of a union are one input.
                let input = if matches!(head.kind, NodeKind::Union) { 0 } else { place };
                let input = InputIndex::new(u8::try_from(input).expect("an operator has one input or two"));
                self.connect_edge(sender, (receiver, input), (&edge.partitioning, is_hashed));
            }
        }
    }

    /// Connects two chains. `is_hashed`: the sender's rows have hashes of the edge's key.
    fn connect_edge(
        &mut self,
        sender: usize,
        (receiver, input): (usize, InputIndex),
        (partitioning, is_hashed): (&Partitioning, bool),
    ) {
        let senders = self.chains[sender].subtasks;
        for from in 0..senders {
            let woken_by = self.woken_by(sender, from);
            let subtasks = self.chains[receiver].subtasks;
            let assignment = Arc::clone(&self.context.assignment);
            let partitioner = Partitioner::new(partitioning.clone(), assignment, from, subtasks).of_hashed(is_hashed);
            let channels: Vec<Option<Sender>> = (0..subtasks)
                .map(|to| {
                    if !partitioner.reaches(to) {
                        return None;
                    }
                    let senders = partitioner.senders_to_one(senders);
                    let (send, receive) = channel(self.wakers[from].clone(), self.wakers[to].clone(), senders);
                    self.inputs[receiver][to].push(Input {
                        index: input,
                        channel: receive,
                        woken_by: woken_by.clone(),
                    });
                    Some(send)
                })
                .collect();
            self.edges[sender][from].push(OutputEdge::new(partitioner, channels));
        }
    }

    /// The numbers of the source readers that wake a subtask. Its inputs must be connected.
    fn woken_by(&self, chain: usize, subtask: usize) -> BTreeSet<usize> {
        let inputs = &self.inputs[chain][subtask];
        if inputs.is_empty() {
            return BTreeSet::from([chain * self.slots() + subtask]);
        }
        inputs.iter().flat_map(|input| input.woken_by.iter().copied()).collect()
    }

    /// Whether a node runs. A local aggregation does not run in a job with one slot, because its rows do not change slots.
    fn runs(&self, node: NodeId) -> bool {
        self.slots() > 1 || !is_local_aggregate(&self.graph.nodes[node])
    }

    fn build_chain(&mut self, chain: usize, restored: &mut Restored) -> Result<(), Error> {
        let ChainLayout { nodes, subtasks } = self.chains[chain].clone();
        let head = &self.graph.nodes[nodes[0]];
        let tail = &self.graph.nodes[*nodes.last().expect("a chain has a node")];
        let source = match &head.kind {
            NodeKind::Source(source) => Some(self.open_source(head, source, subtasks, restored)?),
            _ => None,
        };
        let sink = match &tail.kind {
            NodeKind::Sink(sink) => Some(self.open_sink(tail, sink)?),
            _ => None,
        };
        for slot in 0..subtasks {
            let index = SlotIndex::new(u16::try_from(slot).expect("slots are counted in u16"));
            let operators = self.build_operators(chain, &nodes, index)?;
            let output = match &sink {
                Some(sink) => self.sink_output(tail, sink.as_ref(), (index, subtasks))?,
                None => Output::Channels(std::mem::take(&mut self.edges[chain][slot])),
            };
            let disk = self.context.memory.as_ref().map(|memory| memory.disk().clone());
            let pipeline = Pipeline::new(index, operators, output, self.context.events.clone()).with_disk(disk);
            let task: Box<dyn Task> = match &source {
                Some(source) => Box::new(self.source_task(head, source.as_ref(), (index, subtasks), pipeline)?),
                None => Box::new(OperatorTask::new(std::mem::take(&mut self.inputs[chain][slot]), pipeline)),
            };
            self.tasks[slot].push(task);
        }
        Ok(())
    }

    fn build_operators(&mut self, chain: usize, nodes: &[NodeId], slot: SlotIndex) -> Result<Chain, Error> {
        let mut operators = Chain::new(self.context.rows_per_piece, self.chains[chain].subtasks == 1);
        for &id in nodes {
            let node = &self.graph.nodes[id];
            if !self.runs(id) {
                continue;
            }
            let (operator, event_time) = match self.restored.remove(&(id, slot)) {
                Some(RestoredOperator { operator, event_time }) => (operator, event_time),
                None => match operator(self.graph, node, self.distributions[id].is_some())? {
                    Some(operator) => (operator, None),
                    None => continue,
                },
            };
            // Before a chain, the exchange has hashed rows by the right key. Rows before an exchange have hashes of
            // another key.
            let takes_hashes = !is_local_aggregate(node)
                && (id == nodes[0] || node.inputs.iter().all(|edge| edge.partitioning == Partitioning::Forward));
            operators.push(operator, self.metrics(node, Role::Operator, slot), event_time, takes_hashes);
        }
        Ok(operators)
    }

    fn metrics(&mut self, node: &Node, role: Role, slot: SlotIndex) -> Arc<OperatorMetrics> {
        let metrics = OperatorMetrics::new(node.uid.clone(), node.label.clone(), role, slot);
        self.deployment.metrics.push(Arc::clone(&metrics));
        metrics
    }

    fn open_context(&self, node: &Node) -> OpenContext {
        OpenContext {
            job: self.context.job.clone(),
            history: self.context.history.clone(),
            uid: node.uid.to_string(),
            attempt: self.context.attempt.number(),
            staging: Arc::clone(&self.context.staging),
        }
    }

    fn open_source(
        &mut self,
        node: &Node,
        source: &eddyline_job_graph::SourceNode,
        readers: usize,
        restored: &mut Restored,
    ) -> Result<Box<dyn Source>, Error> {
        let opened = self
            .context
            .connectors
            .open_source(source, &self.open_context(node))
            .map_err(|source| failed_to_open(node, source))?;
        let failed = |source: eddyline_connectors::Error| failed_to_open(node, source.into());
        let mut enumerator = opened.enumerator(self.context.io.clone()).map_err(failed)?;
        let (splits, blocks) = (restored.splits.remove(&node.uid), restored.finished.remove(&node.uid));
        let mut finished = opened.finished();
        finished.restore(&blocks.unwrap_or_default()).map_err(failed)?;
        let is_restored = splits.is_some();
        let splits = splits.unwrap_or_default();
        let known: Vec<SplitId> = splits.iter().map(|split| split.id.clone()).collect();
        let (ended, splits): (Vec<Split>, Vec<Split>) = splits.into_iter().partition(|split| split.finished);
        ended.into_iter().try_for_each(|split| finished.add(split)).map_err(failed)?;
        if is_restored {
            enumerator.restored(&known);
        }
        let alignment = source.alignment.as_ref().map(|alignment| match &alignment.group {
            Some(name) => Arc::clone(self.alignment_groups.entry(name.clone()).or_default()),
            None => Arc::default(),
        });
        self.deployment.sources.push(RunningSource {
            uid: node.uid.clone(),
            enumerator,
            discovery_interval: opened.discovery_interval(),
            pool: Arc::new(Mutex::new(SplitPool::new(opened.placement(), readers, splits, finished))),
            alignment,
            mailboxes: Vec::new(),
        });
        Ok(opened)
    }

    fn source_task(
        &mut self,
        node: &Node,
        source: &dyn Source,
        (slot, readers): (SlotIndex, usize),
        pipeline: Pipeline,
    ) -> Result<SourceTask, Error> {
        let NodeKind::Source(config) = &node.kind else { unreachable!("the caller has matched a source") };
        let context = ReaderContext {
            io: self.context.io.clone(),
            waker: self.wakers[slot.index()].as_function(),
            subtask: (slot.index(), readers),
        };
        let reader = source.reader(context).map_err(|source| failed_to_open(node, source.into()))?;
        let calc = eddyline_job_graph::Calc { filter: None, columns: config.columns.clone() };
        let columns = CalcOperator::new(calc, reader_schema(config), Arc::clone(&node.schema));
        let mailbox = Mailbox::default();
        let metrics = self.metrics(node, Role::Source, slot);
        let running = self.deployment.sources.last_mut().expect("the source of this chain was opened just before");
        running.mailboxes.push(Arc::clone(&mailbox));
        Ok(SourceTask::new(Parts {
            slot,
            reader,
            columns,
            watermark: config.watermark.clone(),
            rows_per_read: self.context.rows_per_read,
            buffer_timeout: self.graph.settings.buffer_timeout.limit(),
            clock: Arc::new(Instant::now),
            idle_timeout: self.graph.settings.source_idle_timeout,
            pool: Arc::clone(&running.pool),
            alignment: running
                .alignment
                .as_ref()
                .zip(config.alignment.as_ref())
                .map(|(group, alignment)| Member::new(Arc::clone(group), alignment)),
            memory: self.context.memory.clone(),
            mailbox,
            metrics,
            pipeline,
        }))
    }

    fn open_sink(&mut self, node: &Node, sink: &eddyline_job_graph::SinkNode) -> Result<Box<dyn Sink>, Error> {
        let opened = self
            .context
            .connectors
            .open_sink(sink, &self.open_context(node))
            .map_err(|source| failed_to_open(node, source))?;
        let failed = |source: eddyline_connectors::Error| failed_to_open(node, source.into());
        if let Some(committer) = opened.committer(self.context.io.clone()).map_err(failed)? {
            self.deployment.committers.insert(node.uid.clone(), committer);
        }
        Ok(opened)
    }

    fn sink_output(
        &mut self,
        node: &Node,
        sink: &dyn Sink,
        (slot, writers): (SlotIndex, usize),
    ) -> Result<Output, Error> {
        let context = WriterContext {
            io: self.context.io.clone(),
            waker: self.wakers[slot.index()].as_function(),
            subtask: (slot.index(), writers),
            attempt: self.context.attempt.number(),
            waits: Arc::clone(&self.context.waits),
        };
        let writer = sink.writer(context).map_err(|source| failed_to_open(node, source.into()))?;
        Ok(Output::Sink { writer, metrics: self.metrics(node, Role::Sink, slot) })
    }

    fn start(mut self) -> Result<Deployment, Error> {
        for (slot, tasks) in self.tasks.into_iter().enumerate() {
            let index = SlotIndex::new(u16::try_from(slot).expect("slots are counted in u16"));
            let started = Slot::start(index, tasks, self.wakers[slot].clone(), self.context.events.clone())?;
            self.deployment.slots.push(started);
        }
        Ok(self.deployment)
    }
}

fn failed_to_open(node: &Node, source: OpenError) -> Error {
    Error::Open { operator: node.uid.clone(), source: Box::new(source) }
}

/// The columns of a source's reader: the projected physical ones, then the metadata ones.
fn reader_schema(source: &eddyline_job_graph::SourceNode) -> SchemaRef {
    let physical = source.projection.iter().map(|&column| source.table.schema.field(column).clone());
    let metadata = source.metadata.iter().map(|&column| {
        let column = &source.table.metadata[column];
        arrow::datatypes::Field::new(&column.name, column.data_type.clone(), true)
    });
    Arc::new(arrow::datatypes::Schema::new(physical.chain(metadata).collect::<Vec<_>>()))
}

/// The operator of a node. Sources, sinks and unions have none. `keeps_key`: the key hashes of its input rows are those
/// of columns that it emits.
fn operator(graph: &JobGraph, node: &Node, keeps_key: bool) -> Result<Option<Box<dyn Operator>>, Error> {
    let Some(edge) = node.inputs.first() else { return Ok(None) };
    let input = Arc::clone(&graph.nodes[edge.from].schema);
    let operator: Box<dyn Operator> = match &node.kind {
        NodeKind::Source(_) | NodeKind::Union | NodeKind::Sink(_) => return Ok(None),
        NodeKind::Calc(calc) => {
            Box::new(CalcOperator::new(calc.clone(), input, Arc::clone(&node.schema)).keeping_key(keeps_key))
        }
        NodeKind::WindowAssign(config) => {
            let operator = WindowAssignOperator::new(config.clone(), input).map_err(|source| failed(node, source))?;
            Box::new(operator.with_output_schema(Arc::clone(&node.schema)))
        }
        NodeKind::LocalWindowAggregate(config) => {
            Box::new(LocalWindowAggregate::new(config, &input).map_err(|source| failed(node, source))?)
        }
        NodeKind::WindowAggregate(config) => {
            let operator =
                WindowAggregateOperator::new(config.clone(), input).map_err(|source| failed(node, source))?;
            Box::new(operator.with_output_schema(Arc::clone(&node.schema)))
        }
        NodeKind::GroupAggregate(config) => {
            let retracts = !graph.nodes[edge.from].changelog.is_insert_only();
            let operator = GroupAggregateOperator::new(config.clone(), &input, Arc::clone(&node.schema), retracts);
            Box::new(operator.map_err(|source| failed(node, source))?)
        }
        NodeKind::Over(config) => Box::new(
            OverOperator::new(config.clone(), input, Arc::clone(&node.schema))
                .map_err(|source| failed(node, source))?,
        ),
    };
    Ok(Some(operator))
}

fn is_local_aggregate(node: &Node) -> bool {
    matches!(node.kind, NodeKind::LocalWindowAggregate(_))
}

fn failed(node: &Node, source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Operator { operator: node.uid.clone(), source: Box::new(source) }
}
