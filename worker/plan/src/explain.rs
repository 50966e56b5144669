//! EXPLAIN: a job graph as text, for people and for snapshot tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use eddyline_expression::Kind;
use eddyline_job_graph::{
    AggregateCall, JobGraph, Node, NodeKind, OverFrame, Partitioning, Projection, SourceNode, TimeColumn,
    WindowAggregate, WindowAssigner, WindowColumn,
};
use eddyline_stream::sql_type;

use crate::interval::display;
use crate::relation::Expression;

/// The operators of a job: uids, distribution, changelog mode, state.
pub fn explain(graph: &JobGraph) -> String {
    let mut text = String::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{id}] {}", node.label);
        let _ = writeln!(text, "    uid: {}", node.uid);
        for edge in &node.inputs {
            let _ = writeln!(
                text,
                "    input: [{}] {}",
                edge.from,
                partitioning(&edge.partitioning, &graph.nodes, edge.from)
            );
        }
        for line in details(node, graph) {
            let _ = writeln!(text, "    {line}");
        }
        let columns: Vec<String> = node.schema.fields().iter().map(|field| field_text(field)).collect();
        let _ = writeln!(text, "    columns: {}", columns.join(", "));
        let _ = writeln!(text, "    changelog: insert-only");
        let _ = writeln!(text, "    state: {}", state(node));
        if let Some(meaning) = &node.meaning {
            for fact in meaning.facts.iter().filter(|fact| !fact.values.is_empty()) {
                let _ = writeln!(text, "        {}: {}", fact.aspect, fact.values.join(", "));
            }
        }
    }
    text
}

fn field_text(field: &arrow::datatypes::Field) -> String {
    let not_null = if field.is_nullable() { "" } else { " NOT NULL" };
    format!("{} {}{not_null}", field.name(), sql_type(field.data_type()))
}

fn partitioning(partitioning: &Partitioning, nodes: &[Node], from: usize) -> String {
    match partitioning {
        Partitioning::Forward => "forward".to_owned(),
        Partitioning::Hash(columns) if columns.is_empty() => "single".to_owned(),
        Partitioning::Hash(columns) => format!("hash({})", names(columns, nodes.get(from))),
    }
}

fn names(columns: &[usize], node: Option<&Node>) -> String {
    let name = |index: &usize| {
        node.and_then(|node| node.schema.fields().get(*index))
            .map_or_else(|| format!("#{index}"), |field| field.name().clone())
    };
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn details(node: &Node, graph: &JobGraph) -> Vec<String> {
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
        NodeKind::WindowAggregate(aggregate) => aggregate_details(aggregate, input),
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
    let columns: Vec<&str> = aggregate
        .window_columns
        .iter()
        .map(|column| match column {
            WindowColumn::Start => "window_start",
            WindowColumn::End => "window_end",
            WindowColumn::Time => "window_time",
        })
        .collect();
    if !columns.is_empty() {
        lines.push(format!("adds: {}", columns.join(", ")));
    }
    lines
}

fn time(column: &TimeColumn, input: Option<&Node>) -> String {
    let zone = column.time_zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
    format!("{}{zone}", names(&[column.column], input))
}

fn calls(calls: &[AggregateCall], input: Option<&Node>) -> String {
    calls.iter().map(|call| call_text(call, input)).collect::<Vec<_>>().join(", ")
}

fn call_text(call: &AggregateCall, input: Option<&Node>) -> String {
    let function = call.function.name();
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let argument = call.argument.map_or_else(|| "*".to_owned(), |index| names(&[index], input));
    let filter = call.filter.map_or_else(String::new, |index| format!(" FILTER {}", names(&[index], input)));
    format!("{function}({distinct}{argument}){filter} {}", sql_type(&call.result_type))
}

fn projections(columns: &[Projection]) -> String {
    columns
        .iter()
        .map(|projection| {
            let Projection { expression, name } = projection;
            match expression.kind() {
                Kind::Column { name: own, .. } if own == name => expression.to_string(),
                _ => format!("{expression} AS {name}"),
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn state(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Source(_) => "splits",
        NodeKind::WindowAggregate(_) => "keyed, until the window fires",
        NodeKind::Over(_) => "keyed",
        NodeKind::Sink(_) => "what is staged",
        NodeKind::Calc(_) | NodeKind::WindowAssign(_) | NodeKind::Union => "none",
    }
}

/// A Calc as its node is labelled.
pub(crate) fn calc_label(filter: Option<&Expression>, columns: &[Projection]) -> String {
    match filter {
        Some(_) => format!("Calc filter, {} columns", columns.len()),
        None => format!("Calc {} columns", columns.len()),
    }
}

/// An assigner as its node is labelled.
pub(crate) fn window_label(assigner: &WindowAssigner) -> String {
    let offset =
        |offset_ms: i64| if offset_ms == 0 { String::new() } else { format!(", offset {}", display(offset_ms)) };
    match assigner {
        WindowAssigner::Tumble { size_ms, offset_ms } => format!("TUMBLE({}{})", display(*size_ms), offset(*offset_ms)),
        WindowAssigner::Hop { size_ms, slide_ms, offset_ms } => {
            format!("HOP({} every {}{})", display(*size_ms), display(*slide_ms), offset(*offset_ms))
        }
        WindowAssigner::Cumulate { size_ms, step_ms, offset_ms } => {
            format!("CUMULATE({} by {}{})", display(*size_ms), display(*step_ms), offset(*offset_ms))
        }
        WindowAssigner::Session { gap_ms } => format!("SESSION(gap {})", display(*gap_ms)),
        WindowAssigner::Attached { .. } => "windows of the rows".to_owned(),
    }
}

/// A frame as its node is labelled.
pub(crate) fn over_label(frame: OverFrame) -> String {
    match frame {
        OverFrame::RowsUnbounded => "ROWS UNBOUNDED PRECEDING".to_owned(),
        OverFrame::Rows(rows) => format!("ROWS {rows} PRECEDING"),
        OverFrame::RangeUnbounded => "RANGE UNBOUNDED PRECEDING".to_owned(),
        OverFrame::Range(length) => format!("RANGE {} PRECEDING", display(length)),
    }
}
