//! The fourth stage: the trees of all inserts become one job graph: one source a table, then the operators of each insert
//! down to its sink. What gives the same rows as an operator that is there already is that operator; what is volatile, and
//! a sink, never is.
//!
//! Each operator has a file: its node, its label, and what its state means ([`meaning`]). [`uid`] names operators.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use eddyline_connectors::OptionErrors;
use eddyline_job_graph::{Edge, JobGraph, Node, NodeId, NodeKind, Partitioning, Settings, distribution};
use eddyline_stream::{ChangelogMode, OperatorUid};
use sqlparser::tokenizer::Span;

use crate::bind::catalog::Catalog;
use crate::bind::relation::{Rel, RelKind};
use crate::diagnostics::{Diagnostic, Result};
use crate::rewrite::Rewritten;

mod calc;
mod canonical;
mod changelog;
mod local_aggregate;
pub(crate) mod meaning;
mod over;
mod sink;
mod source;
mod uid;
mod union;
mod window;

use source::{Identity, TableSources};
use uid::{Path, Uids};

/// Builds the graph of a job.
pub(crate) fn build(tables: &Catalog, rewritten: Rewritten, settings: Settings) -> Result<JobGraph> {
    let Rewritten { inserts, usage } = rewritten;
    let mut builder = Builder {
        graph: JobGraph { nodes: Vec::new(), settings },
        uids: Uids::default(),
        sources: BTreeMap::new(),
        identities: BTreeMap::new(),
        places: BTreeMap::new(),
    };
    for insert in &inserts {
        builder.add_sources(tables, &insert.rel, &usage, insert.span)?;
    }
    for insert in inserts {
        builder.add_insert(tables, insert)?;
    }
    changelog::infer(&mut builder.graph, &builder.places)?;
    meaning::state_meanings(&mut builder.graph, &builder.identities);
    spare_exchanges(&mut builder.graph);
    Ok(local_aggregate::add_to(builder.graph))
}

/// Rows that are where an operator wants them stay there: operators in a row with the same key need one exchange.
fn spare_exchanges(graph: &mut JobGraph) {
    let mut known: Vec<Option<Vec<usize>>> = Vec::with_capacity(graph.nodes.len());
    for node in &mut graph.nodes {
        for edge in &mut node.inputs {
            if matches!(&edge.partitioning, Partitioning::Hash(keys) if known[edge.from].as_ref() == Some(keys)) {
                edge.partitioning = Partitioning::Forward;
            }
        }
        let found = distribution(node, |edge| known[edge.from].as_deref());
        known.push(found);
    }
}

/// Options are checked where their table is used, so they have no errors here.
fn unchecked(errors: &OptionErrors, span: Span) -> Diagnostic {
    Diagnostic::at(span, errors.to_string())
}

struct Builder {
    graph: JobGraph,
    uids: Uids,
    /// The sources of each table.
    sources: BTreeMap<String, TableSources>,
    /// What each source reads.
    identities: BTreeMap<NodeId, Identity>,
    /// Where the text of a node is, of those that do not take every row.
    places: BTreeMap<NodeId, Span>,
}

impl Builder {
    /// Adds a node, or finds the one that gives the same rows. Its uid is used up in either case, so that the uids of others
    /// do not depend on what is shared.
    fn push(
        &mut self,
        uid: OperatorUid,
        label: String,
        inputs: Vec<Edge>,
        kind: NodeKind,
        schema: SchemaRef,
    ) -> NodeId {
        if let Some(same) = self.same(&inputs, &kind, &schema) {
            return same;
        }
        let former_uid = uid.clone();
        self.graph.nodes.push(Node {
            uid,
            label,
            inputs,
            kind,
            schema,
            changelog: ChangelogMode::INSERT_ONLY,
            origins: Vec::new(),
            meaning: None,
            former_uid,
        });
        self.graph.nodes.len() - 1
    }

    /// Notes where the text of a node is: the first place, if several share it.
    fn at(&mut self, place: Span, id: NodeId) -> NodeId {
        self.places.entry(id).or_insert(place);
        id
    }

    /// The node that gives the same rows as one that would be added, if the job reuses them.
    fn same(&self, inputs: &[Edge], kind: &NodeKind, schema: &SchemaRef) -> Option<NodeId> {
        if !self.graph.settings.reuse_sub_plans || !can_be_shared(kind) {
            return None;
        }
        let is_same = |node: &Node| node.inputs == inputs && node.kind == *kind && node.schema == *schema;
        self.graph.nodes.iter().position(is_same)
    }

    /// Adds the operators of an insert, from its sources to its last one.
    fn add(&mut self, rel: Rel, path: &mut Path) -> Result<NodeId> {
        let output = rel.schema;
        match rel.kind {
            RelKind::Scan { table } => Ok(self.next_source(&table)),
            RelKind::Calc { input, filter, columns } => self.add_calc(*input, filter, columns, output, path),
            RelKind::Window { input, assigner, time, place, .. } => {
                let id = self.add_window(*input, assigner, time, place, output, path)?;
                Ok(self.at(place, id))
            }
            RelKind::Aggregate { input, aggregate, place } => {
                let id = self.add_window_aggregate(*input, aggregate, output, path)?;
                Ok(self.at(place, id))
            }
            RelKind::Over { input, over, place } => {
                let id = self.add_over(*input, over, output, path)?;
                Ok(self.at(place, id))
            }
            RelKind::Union { inputs } => self.add_union(inputs, output, path),
        }
    }
}

/// Whether one operator can stand for two of this kind over the same rows.
fn can_be_shared(kind: &NodeKind) -> bool {
    match kind {
        // One for each place of the script, or one for all: that is settled before.
        NodeKind::Source(_) => false,
        // Each draw is its own.
        NodeKind::Calc(calc) => !calc::is_volatile(calc),
        NodeKind::WindowAssign(_) | NodeKind::WindowAggregate(_) | NodeKind::Over(_) | NodeKind::Union => true,
        // Comes into the graph when all else is there.
        NodeKind::LocalWindowAggregate(_) => false,
        NodeKind::Sink(_) => false,
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
