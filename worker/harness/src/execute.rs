//! Runs a job graph.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use eddyline_job_graph::{Calc, JobGraph, NodeId, NodeKind, SourceNode};

use crate::over::Overs;
use crate::row::{Row, cast, evaluate, milliseconds, rows_of};
use crate::window::{Windows, assign};

/// Runs a job graph over bounded input and gives the rows of every sink table, in the order in which they were written.
///
/// `inputs` holds the rows of each source table by its name: all physical columns in DDL order, then all metadata columns
/// in DDL order. Sources are read one after the other, each to its end, as one split; the watermark moves after every row
/// and is at its maximum at the end. `watermark.max-future-skew` is not looked at, because there is no clock.
///
/// # Errors
/// When a table has no input, an expression fails, or rows break the query's contract.
pub fn execute(
    graph: &JobGraph,
    inputs: &BTreeMap<String, Vec<RecordBatch>>,
) -> Result<BTreeMap<String, Vec<Row>>, String> {
    let mut job = Job::new(graph)?;
    for (node, source) in sources(graph) {
        let batches =
            inputs.get(&source.table.name).ok_or_else(|| format!("no input for table {}", source.table.name))?;
        job.read(node, source, batches)?;
    }
    Ok(job.written)
}

fn sources(graph: &JobGraph) -> impl Iterator<Item = (NodeId, &SourceNode)> {
    graph.nodes.iter().enumerate().filter_map(|(id, node)| match &node.kind {
        NodeKind::Source(source) => Some((id, source.as_ref())),
        _ => None,
    })
}

/// What flows between nodes.
#[derive(Clone)]
enum Element {
    Row(Row),
    Watermark(i64),
}

/// A graph while it runs.
struct Job<'a> {
    graph: &'a JobGraph,
    /// For each node, who takes its output: the node, and which of its inputs.
    receivers: Vec<Vec<(NodeId, usize)>>,
    nodes: Vec<State>,
    written: BTreeMap<String, Vec<Row>>,
}

/// What a node remembers.
struct State {
    /// The watermark of each input, and the smallest of them.
    watermarks: Vec<i64>,
    watermark: i64,
    operator: Operator,
}

enum Operator {
    Stateless,
    Windows(Box<Windows>),
    Over(Box<Overs>),
}

impl<'a> Job<'a> {
    fn new(graph: &'a JobGraph) -> Result<Self, String> {
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
                NodeKind::Over(config) => Operator::Over(Box::new(Overs::new(config.clone()))),
                NodeKind::Sink(sink) => {
                    written.insert(sink.table.name.clone(), Vec::new());
                    Operator::Stateless
                }
                _ => Operator::Stateless,
            };
            nodes.push(State { watermarks: vec![i64::MIN; node.inputs.len()], watermark: i64::MIN, operator });
        }
        Ok(Self { graph, receivers, nodes, written })
    }

    /// Reads a source to its end.
    fn read(&mut self, node: NodeId, source: &SourceNode, batches: &[RecordBatch]) -> Result<(), String> {
        let physical = source.table.schema.fields().len();
        let columns = source.projection.iter().copied().chain(source.metadata.iter().map(|column| physical + column));
        let columns: Vec<usize> = columns.collect();
        let schema = &self.graph.nodes[node].schema;
        let mut watermark = i64::MIN;
        for batch in batches {
            let batch = batch.project(&columns).map_err(|error| format!("table {}: {error}", source.table.name))?;
            for read in rows_of(&batch)? {
                let row = project(&source.columns, &read, &batch.schema(), schema)?;
                let risen = match &source.watermark {
                    Some(spec) => milliseconds(&evaluate(&spec.expression, &row, schema)?)?,
                    None => None,
                };
                self.send(node, Element::Row(row))?;
                if let Some(risen) = risen.filter(|risen| *risen > watermark) {
                    watermark = risen;
                    self.send(node, Element::Watermark(watermark))?;
                }
            }
        }
        self.send(node, Element::Watermark(i64::MAX))
    }

    /// Hands an element to all who take the output of a node.
    fn send(&mut self, from: NodeId, element: Element) -> Result<(), String> {
        for (to, input) in self.receivers[from].clone() {
            match element.clone() {
                Element::Row(row) => self.row(to, self.graph.nodes[from].schema.clone(), row)?,
                Element::Watermark(watermark) => self.watermark(to, input, watermark)?,
            }
        }
        Ok(())
    }

    fn row(&mut self, node: NodeId, input: SchemaRef, row: Row) -> Result<(), String> {
        let graph = self.graph;
        let schema = &graph.nodes[node].schema;
        let results = match (&graph.nodes[node].kind, &mut self.nodes[node].operator) {
            (NodeKind::Calc(calc), _) => compute(calc, &row, &input, schema)?.into_iter().collect(),
            (NodeKind::WindowAssign(config), _) => assign(config, &row, schema)?,
            (_, Operator::Windows(windows)) => return windows.row(row),
            (_, Operator::Over(over)) => return over.row(row),
            (NodeKind::Sink(sink), _) => {
                self.written.entry(sink.table.name.clone()).or_default().push(row);
                return Ok(());
            }
            _ => vec![row],
        };
        results.into_iter().try_for_each(|row| self.send(node, Element::Row(row)))
    }

    fn watermark(&mut self, node: NodeId, input: usize, watermark: i64) -> Result<(), String> {
        let state = &mut self.nodes[node];
        state.watermarks[input] = watermark;
        let smallest = state.watermarks.iter().copied().min().unwrap_or(i64::MAX);
        if smallest <= state.watermark {
            return Ok(());
        }
        state.watermark = smallest;
        let results = match &mut state.operator {
            Operator::Stateless => Vec::new(),
            Operator::Windows(windows) => windows.watermark(smallest)?,
            Operator::Over(over) => over.watermark(smallest)?,
        };
        results.into_iter().try_for_each(|row| self.send(node, Element::Row(row)))?;
        self.send(node, Element::Watermark(smallest))
    }
}

/// The row that a Calc makes of a row, unless its filter drops it.
fn compute(calc: &Calc, row: &Row, input: &SchemaRef, output: &SchemaRef) -> Result<Option<Row>, String> {
    if let Some(filter) = &calc.filter
        && evaluate(filter, row, input)? != ScalarValue::Boolean(Some(true))
    {
        return Ok(None);
    }
    project(&calc.columns, row, input, output).map(Some)
}

fn project(
    columns: &[eddyline_job_graph::Projection],
    row: &Row,
    input: &SchemaRef,
    output: &SchemaRef,
) -> Result<Row, String> {
    let column = |(column, field): (&eddyline_job_graph::Projection, &arrow::datatypes::FieldRef)| {
        cast(&evaluate(&column.expression, row, input)?, field.data_type())
    };
    columns.iter().zip(output.fields()).map(column).collect()
}

#[cfg(test)]
mod tests;
