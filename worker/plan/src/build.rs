//! The fourth stage: the trees of all INSERTs become one job graph: the sources of each table, then the operators of
//! each INSERT down to its sink. An operator that would produce the same rows as an existing one is that existing one.
//! Volatile operators and sinks are never shared.
//!
//! Each kind of operator has a file with its node, its label, and the meaning of its state ([`meaning`]). [`uid`] names
//! operators.

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
mod group;
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
    remove_redundant_exchanges(&mut builder.graph);
    Ok(local_aggregate::add_to(builder.graph))
}

/// Removes redundant exchanges: rows that are already distributed by the key of the next operator stay in their slot.
fn remove_redundant_exchanges(graph: &mut JobGraph) {
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

/// The error about a table's options. The planner checks options where their table is used, so this does not occur.
fn unchecked(errors: &OptionErrors, span: Span) -> Diagnostic {
    Diagnostic::at(span, errors.to_string())
}

struct Builder {
    graph: JobGraph,
    uids: Uids,
    /// The sources of each table.
    sources: BTreeMap<String, TableSources>,
    /// What each source reads, for its meaning.
    identities: BTreeMap<NodeId, Identity>,
    /// The places in the script of the nodes that do not accept every kind of row.
    places: BTreeMap<NodeId, Span>,
}

impl Builder {
    /// Adds a node, or finds an existing one that produces the same rows. The uid counts as used in either case, so
    /// that other uids do not depend on what is shared.
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

    /// Records the place of a node in the script. A shared node keeps its first place.
    fn at(&mut self, place: Span, id: NodeId) -> NodeId {
        self.places.entry(id).or_insert(place);
        id
    }

    /// An existing node that produces the same rows as the given one would, if the job reuses sub-plans.
    fn same(&self, inputs: &[Edge], kind: &NodeKind, schema: &SchemaRef) -> Option<NodeId> {
        if !self.graph.settings.reuse_sub_plans || !can_be_shared(kind) {
            return None;
        }
        let is_same = |node: &Node| node.inputs == inputs && node.kind == *kind && node.schema == *schema;
        self.graph.nodes.iter().position(is_same)
    }

    /// Adds the operators of a tree, from the sources to its root.
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
            RelKind::Group { input, aggregate, place } => {
                let id = self.add_group_aggregate(*input, aggregate, output, path)?;
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

/// Whether two operators of this kind with the same inputs can be one.
fn can_be_shared(kind: &NodeKind) -> bool {
    match kind {
        // `add_sources` decides whether places that read a table share a source.
        NodeKind::Source(_) => false,
        // Each evaluation of a volatile expression gives its own value.
        NodeKind::Calc(calc) => !calc::is_volatile(calc),
        NodeKind::WindowAssign(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::GroupAggregate(_)
        | NodeKind::Over(_)
        | NodeKind::Union => true,
        // These are added after everything else.
        NodeKind::LocalWindowAggregate(_) => false,
        NodeKind::Sink(_) => false,
    }
}

/// The input of an operator that processes rows in the slot that they are in.
fn forward(from: NodeId) -> Vec<Edge> {
    vec![Edge { from, partitioning: Partitioning::Forward }]
}

/// The input of a keyed operator.
fn by_key(from: NodeId, keys: &[usize]) -> Vec<Edge> {
    vec![Edge { from, partitioning: Partitioning::Hash(keys.to_vec()) }]
}
