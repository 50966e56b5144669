//! Columns, calls and expressions as EXPLAIN shows them.

use eddyline_expression::Kind;
use eddyline_job_graph::{AggregateCall, Node, Projection, TimeColumn};
use eddyline_stream::sql_type;

/// The names of columns of a node.
pub(super) fn names(columns: &[usize], node: Option<&Node>) -> String {
    let name = |index: &usize| {
        node.and_then(|node| node.schema.fields().get(*index))
            .map_or_else(|| format!("#{index}"), |field| field.name().clone())
    };
    columns.iter().map(name).collect::<Vec<_>>().join(", ")
}

/// A time attribute, with the time zone that its windows align to.
pub(super) fn time(column: &TimeColumn, input: Option<&Node>) -> String {
    let zone = column.time_zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
    format!("{}{zone}", names(&[column.column], input))
}

/// Aggregate calls.
pub(super) fn calls(calls: &[AggregateCall], input: Option<&Node>) -> String {
    calls.iter().map(|call| call_text(call, input)).collect::<Vec<_>>().join(", ")
}

fn call_text(call: &AggregateCall, input: Option<&Node>) -> String {
    let function = call.function.name();
    let distinct = if call.distinct { "DISTINCT " } else { "" };
    let argument = call.argument.map_or_else(|| "*".to_owned(), |index| names(&[index], input));
    let filter = call.filter.map_or_else(String::new, |index| format!(" FILTER {}", names(&[index], input)));
    format!("{function}({distinct}{argument}){filter} {}", sql_type(&call.result_type))
}

/// Columns of a calculation.
pub(super) fn projections(columns: &[Projection]) -> String {
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
