//! Which kinds of rows each operator gives, and which it takes: one table of rules. A job in which an operator would get rows
//! that it cannot take is refused.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connectors::config::{SinkConfig, SourceConfig};
use eddyline_job_graph::{JobGraph, Node, NodeId, NodeKind};
use eddyline_stream::{ChangelogMode, RowKind};
use sqlparser::tokenizer::Span;

use crate::diagnostics::{Diagnostic, Result, all};

/// Says of every node which kinds of rows it gives. `places` has the places of those that do not take all.
///
/// # Errors
/// Names each operator that gets rows which it does not take, and the tables that they come from.
pub(crate) fn infer(graph: &mut JobGraph, places: &BTreeMap<NodeId, Span>) -> Result<()> {
    for id in 0..graph.nodes.len() {
        graph.nodes[id].changelog = gives(&graph.nodes[id].kind, input(graph, id));
    }
    let refused = (0..graph.nodes.len()).map(|id| {
        let more = input(graph, id).without(takes(&graph.nodes[id].kind));
        match more.kinds().next() {
            None => Ok(()),
            Some(_) => Err(refuse(graph, id, more, places.get(&id).copied().unwrap_or(Span::empty()))),
        }
    });
    all(refused.collect::<Vec<_>>()).map(|_| ())
}

/// The kinds of rows that come to a node.
fn input(graph: &JobGraph, id: NodeId) -> ChangelogMode {
    let inputs = graph.nodes[id].inputs.iter().map(|edge| graph.nodes[edge.from].changelog);
    inputs.fold(ChangelogMode::of([]), ChangelogMode::union)
}

/// The kinds of rows that an operator can take.
fn takes(kind: &NodeKind) -> ChangelogMode {
    match kind {
        NodeKind::Source(_) | NodeKind::Calc(_) | NodeKind::Union => ChangelogMode::ALL,
        NodeKind::WindowAssign(_)
        | NodeKind::LocalWindowAggregate(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::Over(_) => ChangelogMode::INSERT_ONLY,
        // Options are checked where their table is used, so that they have no errors here.
        NodeKind::Sink(sink) => {
            SinkConfig::parse(&sink.table).map_or(ChangelogMode::INSERT_ONLY, |config| config.changelog_mode())
        }
    }
}

/// The kinds of rows that an operator gives, from those that come to it; for a sink those that it gets.
fn gives(kind: &NodeKind, input: ChangelogMode) -> ChangelogMode {
    match kind {
        NodeKind::Source(source) => {
            SourceConfig::parse(&source.table).map_or(ChangelogMode::INSERT_ONLY, |config| config.changelog_mode())
        }
        // Half an update that passes a filter is an insert or a delete behind it.
        NodeKind::Calc(calc) if calc.filter.is_some() && input.contains(RowKind::UpdateAfter) => {
            input.union(ChangelogMode::of([RowKind::Insert, RowKind::Delete]))
        }
        NodeKind::Calc(_) | NodeKind::Union | NodeKind::Sink(_) => input,
        NodeKind::WindowAssign(_)
        | NodeKind::LocalWindowAggregate(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::Over(_) => ChangelogMode::INSERT_ONLY,
    }
}

/// The error about a node that gets `more` than it takes.
fn refuse(graph: &JobGraph, id: NodeId, more: ChangelogMode, span: Span) -> Diagnostic {
    let updates = more.contains(RowKind::UpdateBefore) || more.contains(RowKind::UpdateAfter);
    let changes = match (updates, more.contains(RowKind::Delete)) {
        (true, true) => "update and delete",
        (true, false) => "update",
        (false, _) => "delete",
    };
    let tables: Vec<String> = producers(graph, id).into_iter().map(|table| format!("'{table}'")).collect();
    let produced = match tables.as_slice() {
        [table] => format!("table {table} produces"),
        several => format!("tables {} produce", several.join(", ")),
    };
    let (who, help) = match &graph.nodes[id].kind {
        NodeKind::Sink(sink) => (
            format!("table '{}'", sink.table.name),
            "'connector' = 'print' takes them, and a table whose format is 'debezium-json', 'canal-json', 'maxwell-json' \
             or 'ogg-json'",
        ),
        NodeKind::Over(_) => ("OVER".to_owned(), "projections, filters and UNION ALL take them"),
        _ => ("a window".to_owned(), "projections, filters and UNION ALL take them"),
    };
    Diagnostic::at(span, format!("{who} doesn't support consuming {changes} changes, which {produced}")).help(help)
}

/// The tables below a node that give more than inserts.
fn producers(graph: &JobGraph, id: NodeId) -> BTreeSet<&str> {
    let node: &Node = &graph.nodes[id];
    match &node.kind {
        NodeKind::Source(source) => BTreeSet::from([source.table.name.as_str()]),
        _ => {
            let changing = node.inputs.iter().filter(|edge| !graph.nodes[edge.from].changelog.is_insert_only());
            changing.flat_map(|edge| producers(graph, edge.from)).collect()
        }
    }
}
