//! What the operators of a job graph compute, in a canonical form: see [`eddyline_state::meaning`].
//!
//! It is derived from the finished graph, from the sources to the sinks. Each column is spelled in terms of columns of
//! sources. So aliases, the order of columns and the way a query is cut into subqueries play no part. A meaning
//! describes what determines the state, and nothing downstream of it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use eddyline_job_graph::{AggregateCall, AggregateFunction, JobGraph, NodeId, NodeKind, TimeColumn};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Operator, Refusal, Rule, compare};
use eddyline_stream::OperatorUid;

use super::canonical::short;
use super::{calc, group, over, source, union, window};

/// Why the state of one script cannot be restored into another, as a text for people. `None` if it can. `may_be_left`
/// names the operators whose state may be dropped if no operator continues it.
pub fn objection_to_state(recorded: &[Operator], job: &[Operator], may_be_left: &[String]) -> Option<String> {
    let may_be_left = may_be_left.iter().map(OperatorUid::new).collect();
    let comparison = compare(recorded, job);
    let refused: Vec<&Refusal> = comparison.refused(&may_be_left).collect();
    if refused.is_empty() {
        return None;
    }
    // The remedies come first, because the text may be cut where it is shown.
    let names: Vec<&str> = refused.iter().map(|refusal| refusal.recorded.as_str()).collect();
    let mut text = format!(
        "the state of the running job does not fit this SQL. Revert the change; or name in \
         upgrade.allowNonRestoredState the operators whose state may be dropped: [{}]; or start without state, with \
         upgrade.mode: Stateless",
        names.join(", ")
    );
    refused.iter().for_each(|refusal| text.push_str(&format!("\n{refusal}")));
    Some(text)
}

/// Sets the meaning of each operator of the graph, and names operators with state after it. `identities` says what
/// sources read.
pub(super) fn state_meanings(graph: &mut JobGraph, identities: &BTreeMap<NodeId, source::Identity>) {
    let mut all: Vec<Rows> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.nodes.iter_mut().enumerate() {
        let (meaning, rows) = match &node.kind {
            NodeKind::Source(source) => source::meaning(source, node, identities.get(&id).map_or(&[], Vec::as_slice)),
            kind => {
                let mut inputs: Vec<&Rows> = node.inputs.iter().map(|edge| &all[edge.from]).collect();
                of_operator(kind, &mut inputs)
            }
        };
        node.origins.clone_from(&rows.columns);
        node.meaning = meaning;
        all.push(rows);
    }
    name_operators(graph);
}

/// Names operators with state by what they compute. So a name depends neither on the order of statements nor on other
/// statements. Operators that compute the same for the same table are numbered. An operator that several INSERTs share
/// is named for the first of them, so that an INSERT added after them changes no name.
fn name_operators(graph: &mut JobGraph) {
    let tables = tables_written(graph);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (id, node) in graph.nodes.iter_mut().enumerate() {
        let (Some(meaning), Some(table)) = (&node.meaning, tables.get(&id)) else { continue };
        let name = format!("{table}/{}-{}", meaning.kind, meaning.digest());
        let numbered = (1..).map(|number| if number == 1 { name.clone() } else { format!("{name}#{number}") });
        let free = numbered.into_iter().find(|candidate| taken.insert(candidate.clone()));
        node.uid = OperatorUid::new(free.unwrap_or(name));
    }
}

/// For each node but sources: the table that its rows reach. If there are several, the first of the script.
fn tables_written(graph: &JobGraph) -> BTreeMap<NodeId, String> {
    let mut tables = BTreeMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let NodeKind::Sink(sink) = &node.kind else { continue };
        let mut upstream = vec![id];
        while let Some(id) = upstream.pop() {
            if matches!(graph.nodes[id].kind, NodeKind::Source(_)) {
                continue;
            }
            // A node that has its table was visited with all nodes upstream of it.
            if let Entry::Vacant(entry) = tables.entry(id) {
                entry.insert(sink.table.name.clone());
                upstream.extend(graph.nodes[id].inputs.iter().map(|edge| edge.from));
            }
        }
    }
    tables
}

/// The rows between two operators.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Their origin: sources, or results of operators with state.
    pub from: Vec<String>,
    /// The filters that they have passed since.
    pub conditions: Vec<String>,
    /// The sources upstream.
    pub sources: Vec<OperatorUid>,
    /// The spelling of each column.
    pub columns: Vec<String>,
}

impl Rows {
    pub(super) fn column(&self, index: usize) -> String {
        self.columns.get(index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    pub(super) fn all(&self, indices: &[usize]) -> Vec<String> {
        indices.iter().map(|index| self.column(*index)).collect()
    }

    pub(super) fn time(&self, time: &TimeColumn) -> String {
        let zone = time.time_zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
        format!("{}{zone}", self.column(time.column))
    }

    /// The facts about which rows these are: origin and filters.
    pub(super) fn facts(&self) -> [Fact; 2] {
        let unique: BTreeSet<&String> = self.conditions.iter().collect();
        let conditions = unique.into_iter().cloned().collect();
        [Fact::of("from", self.from.clone(), Rule::AnyOrder), Fact::of("where", conditions, Rule::AnyOrder)]
    }

    pub(super) fn call(&self, call: &AggregateCall) -> String {
        let distinct = if call.distinct { "DISTINCT " } else { "" };
        let argument = call.argument.map_or_else(|| "*".to_owned(), |index| self.column(index));
        let separator = match &call.function {
            AggregateFunction::ListAgg { separator } => format!(", '{}'", separator.replace('\'', "''")),
            _ => String::new(),
        };
        let filter = call.filter.map_or_else(String::new, |index| format!(" FILTER (WHERE {})", self.column(index)));
        short(format!("{}({distinct}{argument}{separator}){filter}", call.function.name()))
    }
}

/// The distinct values, sorted.
pub(super) fn unique(values: impl IntoIterator<Item = String>) -> Vec<String> {
    values.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_operator(kind: &NodeKind, inputs: &mut Vec<&Rows>) -> (Option<Meaning>, Rows) {
    if let NodeKind::Union = kind {
        return (None, union::rows(inputs));
    }
    let input = inputs.first().map(|rows| Rows::clone(rows)).unwrap_or_default();
    match kind {
        NodeKind::Calc(calc) => (None, calc::rows(calc, input)),
        NodeKind::WindowAssign(assign) => (None, window::assigned(assign, input)),
        NodeKind::WindowAggregate(aggregate) => window::aggregated(aggregate, &input),
        NodeKind::GroupAggregate(aggregate) => group::aggregated(aggregate, &input),
        NodeKind::Over(over) => over::aggregated(over, &input),
        NodeKind::Source(_) | NodeKind::LocalWindowAggregate(_) | NodeKind::Union | NodeKind::Sink(_) => (None, input),
    }
}

/// The meaning of an operator with state, and its result rows. Downstream operators refer to the result by what
/// determines its rows, not by its aggregates and columns.
pub(super) fn stateful(
    kind: &str,
    label: &str,
    facts: Vec<Fact>,
    input: &Rows,
    columns: Vec<String>,
) -> (Option<Meaning>, Rows) {
    let which = facts.iter().filter(|fact| fact.aspect != "aggregates" && fact.aspect != "columns");
    let which = Meaning { kind: kind.to_owned(), facts: which.cloned().collect(), sources: Vec::new() };
    let rows = Rows {
        from: vec![format!("{kind} {label} #{}", which.digest())],
        conditions: Vec::new(),
        sources: input.sources.clone(),
        columns,
    };
    (Some(Meaning { kind: kind.to_owned(), facts, sources: input.sources.clone() }), rows)
}
