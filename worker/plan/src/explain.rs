//! EXPLAIN: a job graph as text, for people and for snapshot tests. It reads only the graph.

use std::fmt::Write as _;

use eddyline_job_graph::{JobGraph, Node, Partitioning};
use eddyline_stream::sql_type;

mod operator;
mod reuse;
mod text;

use operator::{details, state};
use reuse::Reuse;
use text::names;

/// The text of EXPLAIN: for each operator its uid, inputs, distribution, reuse, columns, changelog mode and state.
pub fn explain(graph: &JobGraph) -> String {
    let (mut text, mut reuse) = (String::new(), Reuse::of(graph));
    for (id, node) in graph.nodes.iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "[{id}] {}{}", node.label, reuse.declared(id));
        let _ = writeln!(text, "    uid: {}", node.uid);
        for edge in &node.inputs {
            let way = partitioning(&edge.partitioning, &graph.nodes, edge.from);
            let _ = writeln!(text, "    input: [{}] {way}{}", edge.from, reuse.referred(edge.from));
        }
        for line in details(node, graph) {
            let _ = writeln!(text, "    {line}");
        }
        let columns: Vec<String> = node.schema.fields().iter().map(|field| field_text(field)).collect();
        let _ = writeln!(text, "    columns: {}", columns.join(", "));
        let _ = writeln!(text, "    changelog: {}", changelog(node));
        let _ = writeln!(text, "    state: {}", state(node));
        if let Some(meaning) = &node.meaning {
            for fact in meaning.facts.iter().filter(|fact| !fact.values.is_empty()) {
                let _ = writeln!(text, "        {}: {}", fact.aspect, fact.values.join(", "));
            }
        }
    }
    text
}

fn changelog(node: &Node) -> String {
    if node.changelog.is_insert_only() { "insert-only".to_owned() } else { node.changelog.to_string() }
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
