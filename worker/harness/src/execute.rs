//! Executes a job graph.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use eddyline_expression::{Expr, Scalar};
use eddyline_job_graph::{Calc, JobGraph, NodeId, NodeKind, SourceNode};
use eddyline_stream::Batch;

use crate::change::{Change, Written};
use crate::group::GroupBy;
use crate::over::Overs;
use crate::row::{Row, cast, evaluate, milliseconds};
use crate::window::{Windows, assign};

/// Runs a job graph over bounded input. Returns the rows of every sink table, in the order in which they were written.
///
/// `inputs` has the rows of each source table by its name: all physical columns in DDL order, then all metadata columns
/// in DDL order. Sources are read one after the other, each to its end, as one split. The watermark advances after
/// every row (after both rows of an update), and reaches its maximum at the end. There is no clock, so
/// `watermark.max-future-skew` is ignored.
///
/// # Errors
/// When a table has no input, an expression fails, or rows break the query's contract.
pub fn execute(
    graph: &JobGraph,
    inputs: &BTreeMap<String, Vec<Batch>>,
) -> Result<BTreeMap<String, Vec<Written>>, String> {
    let mut reference = Reference::new(graph, 1)?;
    for (source, table) in reference.sources().into_iter().enumerate() {
        let batches = inputs.get(&table).ok_or_else(|| format!("no input for table {table}"))?;
        batches.iter().try_for_each(|batch| reference.rows(source, 0, batch))?;
        reference.end(source, 0)?;
    }
    Ok(reference.job.written)
}

/// A job graph that runs step by step: the caller decides which split of which source gets rows, becomes idle, or ends.
///
/// Event time is that of the slowest split that is neither idle nor ended. Without such a split, it is the greatest
/// watermark that any split has had. The same holds for the inputs of a node.
pub struct Reference<'a> {
    job: Job<'a>,
    /// The source nodes.
    sources: Vec<NodeId>,
}

impl<'a> Reference<'a> {
    /// Every source has `splits` splits, which are active and have no watermark.
    ///
    /// # Errors
    /// When a node of the graph cannot run.
    pub fn new(graph: &'a JobGraph, splits: usize) -> Result<Self, String> {
        let is_source = |id: &NodeId| matches!(graph.nodes[*id].kind, NodeKind::Source(_));
        let sources = (0..graph.nodes.len()).filter(is_source).collect();
        Ok(Self { job: Job::new(graph, splits)?, sources })
    }

    /// The table of each source. A table that is read twice can have two sources.
    pub fn sources(&self) -> Vec<String> {
        self.sources.iter().map(|node| self.source(*node).table.name.clone()).collect()
    }

    fn source(&self, node: NodeId) -> &'a SourceNode {
        match &self.job.graph.nodes[node].kind {
            NodeKind::Source(source) => source,
            _ => unreachable!("only sources are in the list of sources"),
        }
    }

    /// Reads rows of a split, in this order. The split becomes active.
    ///
    /// # Errors
    /// When an expression fails or rows break the query's contract.
    pub fn rows(&mut self, source: usize, split: usize, batch: &Batch) -> Result<(), String> {
        let node = self.sources[source];
        let source = self.source(node);
        let physical = source.table.schema.fields().len();
        let columns = source.projection.iter().copied().chain(source.metadata.iter().map(|column| physical + column));
        let columns: Vec<usize> = columns.collect();
        let schema = &self.job.graph.nodes[node].schema;
        let batch = batch.project(&columns).map_err(|error| format!("table {}: {error}", source.table.name))?;
        for read in Change::all_of(&batch)? {
            let mut time = Time { state: State::Active, ..self.job.nodes[node].inputs[split] };
            self.job.time(node, split, time)?;
            let change = read.through(|row| project(&source.columns, row, schema).map(Some))?;
            let Some(change) = change else { continue };
            for (_, row) in change.rows() {
                if let Some(spec) = &source.watermark
                    && let Some(risen) = milliseconds(&evaluate(&spec.expression, row)?)?
                {
                    time.watermark = risen.max(time.watermark);
                }
            }
            self.job.send(node, change)?;
            self.job.time(node, split, time)?;
        }
        Ok(())
    }

    /// Marks a split as idle.
    ///
    /// # Errors
    /// When a result that is due cannot be computed.
    pub fn idle(&mut self, source: usize, split: usize) -> Result<(), String> {
        self.change(source, split, State::Idle)
    }

    /// Ends a split.
    ///
    /// # Errors
    /// When a result that is due cannot be computed.
    pub fn end(&mut self, source: usize, split: usize) -> Result<(), String> {
        self.change(source, split, State::Ended)
    }

    fn change(&mut self, source: usize, split: usize, state: State) -> Result<(), String> {
        let node = self.sources[source];
        let time = Time { state, ..self.job.nodes[node].inputs[split] };
        self.job.time(node, split, time)
    }

    /// The rows of every sink table so far, in the order in which they were written.
    pub fn written(&self) -> &BTreeMap<String, Vec<Written>> {
        &self.job.written
    }
}

/// The event time of an input. The inputs of a source are its splits.
#[derive(Clone, Copy)]
struct Time {
    /// The watermark in milliseconds.
    watermark: i64,
    state: State,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Active,
    Idle,
    Ended,
}

/// Combines the event times of inputs. The last combined watermark was `before`, which never decreases.
fn combine(inputs: &[Time], before: i64) -> Time {
    let of = |state| inputs.iter().filter(move |input| input.state == state).map(|input| input.watermark);
    let furthest = inputs.iter().map(|input| input.watermark).max().unwrap_or(i64::MIN);
    let (watermark, state) = match (of(State::Active).min(), of(State::Idle).next()) {
        (Some(slowest), _) => (slowest, State::Active),
        (None, Some(_)) => (furthest, State::Idle),
        (None, None) => (i64::MAX, State::Ended),
    };
    Time { watermark: watermark.max(before), state }
}

/// A running graph.
struct Job<'a> {
    graph: &'a JobGraph,
    /// The receivers of each node's output: the node, and which of its inputs.
    receivers: Vec<Vec<(NodeId, usize)>>,
    nodes: Vec<Node>,
    written: BTreeMap<String, Vec<Written>>,
}

/// The state of a node.
struct Node {
    inputs: Vec<Time>,
    watermark: i64,
    operator: Operator,
}

enum Operator {
    Stateless,
    Windows(Box<Windows>),
    Groups(Box<GroupBy>),
    Over(Box<Overs>),
}

impl<'a> Job<'a> {
    fn new(graph: &'a JobGraph, splits: usize) -> Result<Self, String> {
        let mut receivers = vec![Vec::new(); graph.nodes.len()];
        let mut nodes = Vec::new();
        let mut written = BTreeMap::new();
        for (id, node) in graph.nodes.iter().enumerate() {
            for (input, edge) in node.inputs.iter().enumerate() {
                receivers[edge.from].push((id, input));
            }
            let operator = match &node.kind {
                NodeKind::WindowAggregate(config) => {
                    Operator::Windows(Box::new(Windows::new(config.clone(), node.schema.clone())?))
                }
                NodeKind::GroupAggregate(config) => Operator::Groups(Box::new(GroupBy::new(config.clone()))),
                NodeKind::Over(config) => Operator::Over(Box::new(Overs::new(config.clone()))),
                NodeKind::Sink(sink) => {
                    written.insert(sink.table.name.clone(), Vec::new());
                    Operator::Stateless
                }
                _ => Operator::Stateless,
            };
            let inputs = if matches!(node.kind, NodeKind::Source(_)) { splits } else { node.inputs.len() };
            let unknown = Time { watermark: i64::MIN, state: State::Active };
            nodes.push(Node { inputs: vec![unknown; inputs], watermark: i64::MIN, operator });
        }
        Ok(Self { graph, receivers, nodes, written })
    }

    /// Sends a change to all receivers of a node.
    fn send(&mut self, from: NodeId, change: Change) -> Result<(), String> {
        for (to, _) in self.receivers[from].clone() {
            self.change(to, change.clone())?;
        }
        Ok(())
    }

    fn change(&mut self, node: NodeId, change: Change) -> Result<(), String> {
        let graph = self.graph;
        let schema = &graph.nodes[node].schema;
        let results = match (&graph.nodes[node].kind, &mut self.nodes[node].operator) {
            (NodeKind::Calc(calc), _) => change.through(|row| compute(calc, row, schema))?.into_iter().collect(),
            (NodeKind::WindowAssign(config), _) => {
                assign(config, &change.into_insert()?, schema)?.into_iter().map(Change::Insert).collect()
            }
            (_, Operator::Windows(windows)) => return windows.row(change.into_insert()?),
            (_, Operator::Groups(groups)) => groups.change(change)?,
            (_, Operator::Over(over)) => return over.row(change.into_insert()?),
            (NodeKind::Sink(sink), _) => {
                let written = self.written.entry(sink.table.name.clone()).or_default();
                written.extend(change.rows().into_iter().map(|(kind, row)| (kind, row.clone())));
                return Ok(());
            }
            _ => vec![change],
        };
        results.into_iter().try_for_each(|change| self.send(node, change))
    }

    /// Updates the event time of an input of a node.
    fn time(&mut self, node: NodeId, input: usize, time: Time) -> Result<(), String> {
        let this = &mut self.nodes[node];
        this.inputs[input] = time;
        let combined = combine(&this.inputs, this.watermark);
        if combined.watermark > this.watermark {
            this.watermark = combined.watermark;
            let results = match &mut this.operator {
                Operator::Stateless | Operator::Groups(_) => Vec::new(),
                Operator::Windows(windows) => windows.watermark(combined.watermark)?,
                Operator::Over(over) => over.watermark(combined.watermark)?,
            };
            results.into_iter().try_for_each(|row| self.send(node, Change::Insert(row)))?;
        }
        for (to, input) in self.receivers[node].clone() {
            // An ended input keeps its last watermark, so that its end does not count as the greatest watermark.
            let known = self.nodes[to].inputs[input].watermark;
            let watermark = if combined.state == State::Ended { known } else { combined.watermark };
            self.time(to, input, Time { watermark, ..combined })?;
        }
        Ok(())
    }
}

/// The result row of a Calc; `None` if its filter drops the row.
fn compute(calc: &Calc, row: &Row, output: &SchemaRef) -> Result<Option<Row>, String> {
    // Conjuncts after one that does not hold are not evaluated.
    for condition in calc.filter.iter().flat_map(Expr::conjuncts) {
        if evaluate(condition, row)? != Scalar::Boolean(Some(true)) {
            return Ok(None);
        }
    }
    project(&calc.columns, row, output).map(Some)
}

fn project(columns: &[eddyline_job_graph::Projection], row: &Row, output: &SchemaRef) -> Result<Row, String> {
    let column = |(column, field): (&eddyline_job_graph::Projection, &arrow::datatypes::FieldRef)| {
        cast(&evaluate(&column.expression, row)?, field.data_type())
    };
    columns.iter().zip(output.fields()).map(column).collect()
}

#[cfg(test)]
mod tests;
