//! The lines of EXPLAIN about one operator: what it does, and its state.

use std::collections::BTreeMap;

use eddyline_job_graph::{JobGraph, Node, NodeKind, SourceNode, WindowAggregate, WindowAssigner, WindowColumn};

use super::text::{calls, names, projections, time};
use crate::duration::display;

/// What an operator does, a line for each aspect.
pub(super) fn details(node: &Node, graph: &JobGraph) -> Vec<String> {
    let input = node.inputs.first().and_then(|edge| graph.nodes.get(edge.from));
    match &node.kind {
        NodeKind::Source(source) => source_details(source, node),
        NodeKind::Calc(calc) => {
            let mut lines = Vec::new();
            lines.extend(calc.filter.as_ref().map(|filter| format!("filter: {filter}")));
            lines.push(format!("select: {}", projections(&calc.columns)));
            lines
        }
        NodeKind::WindowAssign(assign) => vec![format!("time: {}", time(&assign.time, input))],
        NodeKind::LocalWindowAggregate(aggregate) => {
            let mut lines = aggregate_details(aggregate, input);
            lines.push(
                "gives: partial aggregates; rows as they are while keys hardly repeat; not run in one slot".to_owned(),
            );
            lines
        }
        NodeKind::WindowAggregate(aggregate) => {
            let mut lines = aggregate_details(aggregate, input);
            lines.extend(added(&aggregate.window_columns));
            lines
        }
        NodeKind::GroupAggregate(aggregate) => {
            let mut lines = Vec::new();
            if !aggregate.keys.is_empty() {
                lines.push(format!("keys: {}", names(&aggregate.keys, input)));
            }
            if !aggregate.aggregates.is_empty() {
                lines.push(format!("aggregates: {}", calls(&aggregate.aggregates, input)));
            }
            lines
        }
        NodeKind::Over(over) => vec![
            format!("partition by: {}", names(&over.keys, input)),
            format!("order by: {}", time(&over.time, input)),
            format!("aggregates: {}", calls(&over.aggregates, input)),
        ],
        NodeKind::Union => Vec::new(),
        NodeKind::Sink(sink) => {
            let mut lines = vec![format!("connector: {}", connector(&sink.table.options))];
            lines.extend(sink.parallelism.map(|writers| format!("writers: at most {writers}")));
            if !sink.constraints.is_empty() {
                lines.push(format!("ConstraintEnforcer[{}]", sink.constraints.join(", ")));
            }
            lines
        }
    }
}

fn connector(options: &BTreeMap<String, String>) -> &str {
    options.get("connector").map_or("", String::as_str)
}

fn source_details(source: &SourceNode, node: &Node) -> Vec<String> {
    let physical: Vec<&str> =
        source.projection.iter().map(|index| source.table.schema.field(*index).name().as_str()).collect();
    let mut lines =
        vec![format!("connector: {}", connector(&source.table.options)), format!("reads: {}", physical.join(", "))];
    if !source.metadata.is_empty() {
        let keys: Vec<&str> = source.metadata.iter().map(|index| source.table.metadata[*index].key.as_str()).collect();
        lines.push(format!("metadata: {}", keys.join(", ")));
    }
    lines.extend(source.parallelism.map(|readers| format!("readers: at most {readers}")));
    lines.push(format!("select: {}", projections(&source.columns)));
    if let Some(watermark) = &source.watermark {
        let delay = watermark.delay_ms.map_or_else(String::new, |delay| format!(" (delay {})", display(delay)));
        let name = node.schema.field(watermark.column).name();
        lines.push(format!("watermark: {name} as {}{delay}", watermark.expression));
    }
    lines
}

fn aggregate_details(aggregate: &WindowAggregate, input: Option<&Node>) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(aggregate.time.as_ref().map(|column| format!("time: {}", time(column, input))));
    if let WindowAssigner::Attached { start, end } = aggregate.assigner {
        lines.push(format!("window: {}", names(&[start, end], input)));
    }
    if !aggregate.keys.is_empty() {
        lines.push(format!("keys: {}", names(&aggregate.keys, input)));
    }
    if !aggregate.aggregates.is_empty() {
        lines.push(format!("aggregates: {}", calls(&aggregate.aggregates, input)));
    }
    lines
}

/// The window columns that an aggregation adds.
fn added(columns: &[WindowColumn]) -> Option<String> {
    let name = |column: &WindowColumn| match column {
        WindowColumn::Start => "window_start",
        WindowColumn::End => "window_end",
        WindowColumn::Time => "window_time",
    };
    let names: Vec<&str> = columns.iter().map(name).collect();
    (!names.is_empty()).then(|| format!("adds: {}", names.join(", ")))
}

/// The state that an operator keeps.
pub(super) fn state(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Source(_) => "splits",
        NodeKind::WindowAggregate(_) => "keyed, until the window fires",
        NodeKind::GroupAggregate(_) | NodeKind::Over(_) => "keyed",
        NodeKind::Sink(_) => "staged output",
        NodeKind::Calc(_) | NodeKind::WindowAssign(_) | NodeKind::LocalWindowAggregate(_) | NodeKind::Union => "none",
    }
}
