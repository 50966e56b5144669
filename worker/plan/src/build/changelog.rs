//! The changelog mode of each operator: one table of the kinds of rows that operators produce and accept. A job is
//! refused if an operator would get rows that it does not accept.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connectors::config::{SinkConfig, SourceConfig};
use eddyline_job_graph::{JobGraph, NodeId, NodeKind};
use eddyline_stream::{ChangelogMode, RowKind};
use sqlparser::tokenizer::Span;

use crate::diagnostics::{Diagnostic, Result, all};

/// Sets the changelog mode of every node. `places` has the places of the nodes that do not accept every kind.
///
/// # Errors
/// Names each operator that would get rows which it does not accept, and the tables that they come from.
pub(crate) fn infer(graph: &mut JobGraph, places: &BTreeMap<NodeId, Span>) -> Result<()> {
    for id in 0..graph.nodes.len() {
        graph.nodes[id].changelog = produces(&graph.nodes[id].kind, input(graph, id));
    }
    let refused = (0..graph.nodes.len()).map(|id| {
        let more = input(graph, id).without(accepts(&graph.nodes[id].kind));
        match more.kinds().next() {
            None => Ok(()),
            Some(_) => Err(refuse(graph, id, more, places.get(&id).copied().unwrap_or(Span::empty()))),
        }
    });
    all(refused.collect::<Vec<_>>()).map(|_| ())
}

/// The kinds of rows that a node gets.
fn input(graph: &JobGraph, id: NodeId) -> ChangelogMode {
    let inputs = graph.nodes[id].inputs.iter().map(|edge| graph.nodes[edge.from].changelog);
    inputs.fold(ChangelogMode::of([]), ChangelogMode::union)
}

/// The kinds of rows that an operator accepts.
fn accepts(kind: &NodeKind) -> ChangelogMode {
    match kind {
        NodeKind::Source(_) | NodeKind::Calc(_) | NodeKind::Union => ChangelogMode::ALL,
        NodeKind::WindowAssign(_)
        | NodeKind::LocalWindowAggregate(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::Over(_) => ChangelogMode::INSERT_ONLY,
        NodeKind::GroupAggregate(aggregate) => match aggregate.not_retractable().next() {
            None => ChangelogMode::ALL,
            Some(_) => ChangelogMode::INSERT_ONLY,
        },
        // The planner checks options where their table is used, so they have no errors here.
        NodeKind::Sink(sink) => {
            SinkConfig::parse(&sink.table).map_or(ChangelogMode::INSERT_ONLY, |config| config.changelog_mode())
        }
    }
}

/// The kinds of rows that an operator produces from those that it gets. For a sink: those that it gets.
fn produces(kind: &NodeKind, input: ChangelogMode) -> ChangelogMode {
    match kind {
        NodeKind::Source(source) => {
            SourceConfig::parse(&source.table).map_or(ChangelogMode::INSERT_ONLY, |config| config.changelog_mode())
        }
        // If only one row of an update passes the filter, it becomes an insert or a delete.
        NodeKind::Calc(calc) if calc.filter.is_some() && input.contains(RowKind::UpdateAfter) => {
            input.union(ChangelogMode::of([RowKind::Insert, RowKind::Delete]))
        }
        NodeKind::Calc(_) | NodeKind::Union | NodeKind::Sink(_) => input,
        NodeKind::GroupAggregate(aggregate) => {
            let mut kinds = vec![RowKind::Insert];
            if !aggregate.aggregates.is_empty() {
                kinds.extend([RowKind::UpdateBefore, RowKind::UpdateAfter]);
            }
            if !input.is_insert_only() {
                kinds.push(RowKind::Delete);
            }
            ChangelogMode::of(kinds)
        }
        NodeKind::WindowAssign(_)
        | NodeKind::LocalWindowAggregate(_)
        | NodeKind::WindowAggregate(_)
        | NodeKind::Over(_) => ChangelogMode::INSERT_ONLY,
    }
}

/// The error about a node that gets the kinds in `more`, which it does not accept.
fn refuse(graph: &JobGraph, id: NodeId, more: ChangelogMode, span: Span) -> Diagnostic {
    let updates = more.contains(RowKind::UpdateBefore) || more.contains(RowKind::UpdateAfter);
    let changes = match (updates, more.contains(RowKind::Delete)) {
        (true, true) => "update and delete",
        (true, false) => "update",
        (false, _) => "delete",
    };
    let producers: Vec<String> = producers(graph, id).into_iter().collect();
    let verb = if producers.len() == 1 { "produces" } else { "produce" };
    let produced = format!("{} {verb}", producers.join(" and "));
    let (who, help) = match &graph.nodes[id].kind {
        NodeKind::Sink(sink) => (
            format!("table '{}'", sink.table.name),
            "'connector' = 'print' takes them, and a table whose format is 'debezium-json', 'canal-json', 'maxwell-json' \
             or 'ogg-json'",
        ),
        NodeKind::GroupAggregate(aggregate) => (
            aggregate.not_retractable().next().map_or("GROUP BY".to_owned(), |call| call.name.clone()),
            "COUNT, and SUM and AVG of whole numbers and DECIMAL, take them, without DISTINCT; the others do not yet",
        ),
        NodeKind::Over(_) => ("OVER".to_owned(), "projections, filters and UNION ALL take them"),
        _ => ("a window".to_owned(), "projections, filters and UNION ALL take them"),
    };
    Diagnostic::at(span, format!("{who} doesn't support consuming {changes} changes, which {produced}")).help(help)
}

/// What upstream of a node produces more than inserts.
fn producers(graph: &JobGraph, id: NodeId) -> BTreeSet<String> {
    let inputs = graph.nodes[id].inputs.iter().map(|edge| edge.from);
    let changing = inputs.filter(|from| !graph.nodes[*from].changelog.is_insert_only());
    changing
        .flat_map(|from| match &graph.nodes[from].kind {
            NodeKind::Source(source) => BTreeSet::from([format!("table '{}'", source.table.name)]),
            NodeKind::GroupAggregate(_) => BTreeSet::from(["GROUP BY without a window".to_owned()]),
            _ => producers(graph, from),
        })
        .collect()
}
