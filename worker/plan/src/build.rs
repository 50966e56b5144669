//! Makes the job graph from bound inserts: one source a table, then the operators of each insert down to its sink.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use eddyline_connectors::OptionErrors;
use eddyline_connectors::config::{SinkConfig, SourceConfig};
use eddyline_job_graph::{
    Calc, Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, Projection, Settings, SinkNode, SourceNode,
    WatermarkSpec, WindowAssign, WindowAssigner,
};
use eddyline_stream::OperatorUid;
use sqlparser::tokenizer::Span;

use crate::calc::{column, is_identity};
use crate::catalog::{Catalog, ColumnSource, Object, Table};
use crate::diagnostics::{Diagnostic, Result};
use crate::explain::{calc_label, over_label, window_label};
use crate::insert::BoundInsert;
use crate::meaning::state_meanings;
use crate::prune::{Usage, prune};
use crate::relation::{Expression, Rel, RelKind, schema};
use crate::uid::{Path, Uids};

/// Builds the graph of a job.
pub(crate) fn build(tables: &Catalog, inserts: Vec<BoundInsert>, settings: Settings) -> Result<JobGraph> {
    let mut usage = Usage::new();
    let mut pruned = Vec::with_capacity(inserts.len());
    for insert in inserts {
        let all: Vec<usize> = (0..insert.rel.schema.fields().len()).collect();
        let output = Arc::clone(&insert.rel.schema);
        let rel = prune(insert.rel, &all, &mut usage);
        pruned.push((BoundInsert { rel, ..insert }, output));
    }
    let mut builder = Builder {
        graph: JobGraph { nodes: Vec::new(), settings },
        uids: Uids::default(),
        sources: BTreeMap::new(),
        calcs: BTreeSet::new(),
        tables: BTreeMap::new(),
    };
    for (insert, _) in &pruned {
        builder.add_sources(tables, &insert.rel, &usage, insert.span)?;
    }
    for (insert, output) in pruned {
        builder.add_insert(tables, insert, output)?;
    }
    state_meanings(&mut builder.graph, &builder.tables);
    Ok(builder.graph)
}

/// Options are checked where their table is used, so they have no errors here.
fn unchecked(errors: &OptionErrors, span: Span) -> Diagnostic {
    Diagnostic::at(span, errors.to_string())
}

struct Builder {
    graph: JobGraph,
    uids: Uids,
    /// The node of each table, and where each of the table's columns is in its output.
    sources: BTreeMap<String, (NodeId, BTreeMap<usize, usize>)>,
    /// Nodes that are Calcs.
    calcs: BTreeSet<NodeId>,
    /// The tables that the nodes of inserts write.
    tables: BTreeMap<NodeId, String>,
}

impl Builder {
    fn push(
        &mut self,
        uid: OperatorUid,
        label: String,
        inputs: Vec<Edge>,
        kind: NodeKind,
        schema: SchemaRef,
    ) -> NodeId {
        let former_uid = uid.clone();
        self.graph.nodes.push(Node {
            uid,
            label,
            inputs,
            kind,
            schema,
            origins: Vec::new(),
            meaning: None,
            former_uid,
        });
        self.graph.nodes.len() - 1
    }

    fn add_sources(&mut self, tables: &Catalog, rel: &Rel, usage: &Usage, span: Span) -> Result<()> {
        match &rel.kind {
            RelKind::Scan { table } => {
                if self.sources.contains_key(table) {
                    return Ok(());
                }
                let Object::Table(found) = tables.get(table, span)? else {
                    return Err(Diagnostic::at(span, format!("'{table}' is not a table")));
                };
                let config = SourceConfig::parse(&found.descriptor).map_err(|error| unchecked(&error, span))?;
                let none = BTreeSet::new();
                let (node, output, positions) = source(found, config.parallelism(), usage.get(table).unwrap_or(&none));
                let uid = self.uids.source(table);
                let id =
                    self.push(uid, format!("Source {table}"), Vec::new(), NodeKind::Source(Box::new(node)), output);
                self.sources.insert(table.clone(), (id, positions));
                Ok(())
            }
            RelKind::Calc { input, .. }
            | RelKind::Window { input, .. }
            | RelKind::Aggregate { input, .. }
            | RelKind::Over { input, .. } => self.add_sources(tables, input, usage, span),
            RelKind::Union { inputs } => {
                inputs.iter().try_for_each(|input| self.add_sources(tables, input, usage, span))
            }
        }
    }

    fn add_insert(&mut self, tables: &Catalog, insert: BoundInsert, output: SchemaRef) -> Result<()> {
        let table = tables.table(&insert.table, insert.span)?;
        let config = SinkConfig::parse(&table.descriptor).map_err(|error| unchecked(&error, insert.span))?;
        let mut path = self.uids.path(&insert.table);
        let first = self.graph.nodes.len();
        let last = self.add(insert.rel, &mut path)?;
        let last = self.with_schema(last, &output, &mut path);
        let uid = self.uids.sink(&path);
        let (table, constraints) = (table.descriptor.clone(), insert.constraints);
        let node = SinkNode { table, parallelism: config.parallelism(), constraints };
        let inputs = vec![Edge { from: last, partitioning: Partitioning::Forward }];
        self.push(uid, format!("Sink {}", insert.table), inputs, NodeKind::Sink(Box::new(node)), output);
        self.tables.extend((first..self.graph.nodes.len()).map(|id| (id, insert.table.clone())));
        Ok(())
    }

    /// The rows of a node under exactly these names and with this NOT NULL.
    fn with_schema(&mut self, from: NodeId, output: &SchemaRef, path: &mut Path) -> NodeId {
        let node = &mut self.graph.nodes[from];
        if node.schema == *output {
            return from;
        }
        if self.calcs.contains(&from) {
            for (projection, field) in calc_columns(node).iter_mut().zip(output.fields()) {
                projection.name.clone_from(field.name());
            }
            node.schema = Arc::clone(output);
            return from;
        }
        let columns: Vec<Projection> = output
            .fields()
            .iter()
            .enumerate()
            .map(|(index, field)| Projection { expression: column(&node.schema, index), name: field.name().clone() })
            .collect();
        let label = calc_label(None, &columns);
        let uid = self.uids.operator(path, "calc");
        let inputs = vec![Edge { from, partitioning: Partitioning::Forward }];
        let id = self.push(uid, label, inputs, NodeKind::Calc(Calc { filter: None, columns }), Arc::clone(output));
        self.calcs.insert(id);
        id
    }

    fn add(&mut self, rel: Rel, path: &mut Path) -> Result<NodeId> {
        let output = rel.schema;
        match rel.kind {
            RelKind::Scan { table } => Ok(self.sources.get(&table).map_or(0, |(id, _)| *id)),
            RelKind::Calc { input, filter, columns } => {
                let positions = match &input.kind {
                    RelKind::Scan { table } => self.sources.get(table).map(|(_, positions)| positions.clone()),
                    _ => None,
                };
                let from = self.add(*input, path)?;
                let input_schema = Arc::clone(&self.graph.nodes[from].schema);
                let moved = |expression: &Expression| match &positions {
                    Some(positions) => expression.remap(positions),
                    None => expression.clone(),
                };
                let filter = filter.as_ref().map(moved);
                let columns: Vec<Projection> = columns
                    .into_iter()
                    .map(|projection| Projection { expression: moved(&projection.expression), name: projection.name })
                    .collect();
                if is_identity(filter.as_ref(), &columns, &input_schema) && output == input_schema {
                    return Ok(from);
                }
                let label = calc_label(filter.as_ref(), &columns);
                let uid = self.uids.operator(path, "calc");
                let inputs = vec![Edge { from, partitioning: Partitioning::Forward }];
                let id = self.push(uid, label, inputs, NodeKind::Calc(Calc { filter, columns }), output);
                self.calcs.insert(id);
                Ok(id)
            }
            RelKind::Window { input, assigner, time, place, .. } => {
                if matches!(assigner, WindowAssigner::Session { .. }) {
                    return Err(Diagnostic::at(place, "SESSION without GROUP BY window_start, window_end is not supported")
                        .help("aggregate its rows; expressions in front of it must not use window_start, window_end or window_time"));
                }
                let from = self.add(*input, path)?;
                let uid = self.uids.operator(path, "window-assign");
                let label = format!("WindowAssign {}", window_label(&assigner));
                let inputs = vec![Edge { from, partitioning: Partitioning::Forward }];
                Ok(self.push(uid, label, inputs, NodeKind::WindowAssign(WindowAssign { assigner, time }), output))
            }
            RelKind::Aggregate { input, aggregate } => {
                let from = self.add(*input, path)?;
                let uid = self.uids.operator(path, "window-aggregate");
                let label = format!("WindowAggregate {}", window_label(&aggregate.assigner));
                let inputs = vec![Edge { from, partitioning: Partitioning::Hash(aggregate.keys.clone()) }];
                Ok(self.push(uid, label, inputs, NodeKind::WindowAggregate(aggregate), output))
            }
            RelKind::Over { input, over } => {
                let from = self.add(*input, path)?;
                let uid = self.uids.operator(path, "over");
                let label = format!("Over {}", over_label(over.frame));
                let inputs = vec![Edge { from, partitioning: Partitioning::Hash(over.keys.clone()) }];
                Ok(self.push(uid, label, inputs, NodeKind::Over(over), output))
            }
            RelKind::Union { inputs } => {
                let mut edges = Vec::with_capacity(inputs.len());
                for input in inputs {
                    let from = self.add(input, path)?;
                    let from = self.with_schema(from, &output, path);
                    edges.push(Edge { from, partitioning: Partitioning::Forward });
                }
                let uid = self.uids.operator(path, "union");
                Ok(self.push(uid, "Union".to_owned(), edges, NodeKind::Union, output))
            }
        }
    }
}

fn calc_columns(node: &mut Node) -> &mut [Projection] {
    match &mut node.kind {
        NodeKind::Calc(calc) => &mut calc.columns,
        _ => &mut [],
    }
}

/// The source of a table that gives the columns in `used`, and those of its watermark.
fn source(
    table: &Table,
    parallelism: Option<NonZeroU16>,
    used: &BTreeSet<usize>,
) -> (SourceNode, SchemaRef, BTreeMap<usize, usize>) {
    let mut needed = used.clone();
    if let Some(watermark) = &table.watermark {
        needed.insert(watermark.column);
        needed.extend(watermark.expression.columns());
    }
    // Columns of the reader that the needed columns are made of.
    let physical = table.descriptor.schema.fields().len();
    let reader = table.reader_schema();
    let expression_of = |index: usize| match &table.columns[index].source {
        ColumnSource::Physical(position) => column(&reader, *position),
        ColumnSource::Metadata(position) => column(&reader, physical + position),
        ColumnSource::Computed(expression) => expression.clone(),
    };
    let mut read = BTreeSet::new();
    needed.iter().for_each(|index| read.extend(expression_of(*index).columns()));
    let projection: Vec<usize> = read.iter().copied().filter(|index| *index < physical).collect();
    let metadata: Vec<usize> = read.iter().filter_map(|index| index.checked_sub(physical)).collect();
    let reader_positions: BTreeMap<usize, usize> = read.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let columns = needed
        .iter()
        .map(|index| Projection {
            expression: expression_of(*index).remap(&reader_positions),
            name: table.columns[*index].field.name().clone(),
        })
        .collect();
    let output = schema(needed.iter().map(|index| table.columns[*index].field.clone()));
    let positions: BTreeMap<usize, usize> = needed.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    let watermark = table.watermark.as_ref().map(|watermark| WatermarkSpec {
        column: positions.get(&watermark.column).copied().unwrap_or(0),
        expression: watermark.expression.remap(&positions),
        delay_ms: watermark.delay_ms,
        future_skew_max: table.future_skew_max,
    });
    let node = SourceNode {
        table: table.descriptor.clone(),
        projection,
        metadata,
        columns,
        watermark,
        alignment: table.alignment.clone(),
        parallelism,
    };
    (node, output, positions)
}
