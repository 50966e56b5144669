//! The fourth stage: the trees of all inserts become one job graph: one source a table, then the operators of each insert
//! down to its sink.
//!
//! Each operator has a file: its node, its label, and what its state means ([`meaning`]). [`uid`] names operators.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::SchemaRef;
use eddyline_connectors::OptionErrors;
use eddyline_job_graph::{Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, Settings};
use eddyline_stream::OperatorUid;
use sqlparser::tokenizer::Span;

use crate::bind::catalog::Catalog;
use crate::bind::relation::{Rel, RelKind};
use crate::diagnostics::{Diagnostic, Result};
use crate::rewrite::Rewritten;

mod calc;
mod canonical;
pub(crate) mod meaning;
mod over;
mod sink;
mod source;
mod uid;
mod union;
mod window;

use uid::{Path, Uids};

/// Builds the graph of a job.
pub(crate) fn build(tables: &Catalog, rewritten: Rewritten, settings: Settings) -> Result<JobGraph> {
    let Rewritten { inserts, usage } = rewritten;
    let mut builder = Builder {
        graph: JobGraph { nodes: Vec::new(), settings },
        uids: Uids::default(),
        sources: BTreeMap::new(),
        calcs: BTreeSet::new(),
        tables: BTreeMap::new(),
    };
    for insert in &inserts {
        builder.add_sources(tables, &insert.rel, &usage, insert.span)?;
    }
    for insert in inserts {
        builder.add_insert(tables, insert)?;
    }
    meaning::state_meanings(&mut builder.graph, &builder.tables);
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

    /// Adds the operators of an insert, from its sources to its last one.
    fn add(&mut self, rel: Rel, path: &mut Path) -> Result<NodeId> {
        let output = rel.schema;
        match rel.kind {
            RelKind::Scan { table } => Ok(self.sources.get(&table).map_or(0, |(id, _)| *id)),
            RelKind::Calc { input, filter, columns } => self.add_calc(*input, filter, columns, output, path),
            RelKind::Window { input, assigner, time, place, .. } => {
                self.add_window(*input, assigner, time, place, output, path)
            }
            RelKind::Aggregate { input, aggregate } => self.add_window_aggregate(*input, aggregate, output, path),
            RelKind::Over { input, over } => self.add_over(*input, over, output, path),
            RelKind::Union { inputs } => self.add_union(inputs, output, path),
        }
    }
}

/// The input of an operator that works where the rows are.
fn forward(from: NodeId) -> Vec<Edge> {
    vec![Edge { from, partitioning: Partitioning::Forward }]
}

/// The input of an operator that works on the rows of a key.
fn by_key(from: NodeId, keys: &[usize]) -> Vec<Edge> {
    vec![Edge { from, partitioning: Partitioning::Hash(keys.to_vec()) }]
}
