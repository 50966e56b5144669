//! What the operators of a job graph compute, canonically: see [`eddyline_state::meaning`].
//!
//! Works on the finished graph, from the sources to the sinks. On the way it spells each column down to the columns of
//! sources, so that neither aliases nor the order of columns nor the way a query is cut into subqueries play a part. What
//! state holds is stated, and nothing that comes behind it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use eddyline_job_graph::{AggregateCall, AggregateFunction, JobGraph, NodeId, NodeKind, TimeColumn};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Operator, Refusal, Rule, compare};
use eddyline_stream::OperatorUid;

use super::canonical::short;
use super::{calc, over, source, union, window};

/// What stands against restoring the state of one script into another, as a person reads it; nothing if it fits. The
/// state of operators in `may_be_left` may be left behind where it fits nobody.
pub fn objection_to_state(recorded: &[Operator], job: &[Operator], may_be_left: &[String]) -> Option<String> {
    let may_be_left = may_be_left.iter().map(OperatorUid::new).collect();
    let comparison = compare(recorded, job);
    let refused: Vec<&Refusal> = comparison.refused(&may_be_left).collect();
    if refused.is_empty() {
        return None;
    }
    // The ways out come first: who shows the text may cut it.
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

/// States what each operator of the graph computes, and names those with state after it. `identities` are what sources read.
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

/// Names operators with state by what they compute: a name follows neither from the order of statements nor from what
/// else there is in them. Only operators that compute the same for the same table are numbered. One that several inserts
/// share is named for the first of them: an insert that is added behind it changes no name.
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

/// For each node but sources the table that its rows reach, the first of the script if there are several.
fn tables_written(graph: &JobGraph) -> BTreeMap<NodeId, String> {
    let mut tables = BTreeMap::new();
    for (id, node) in graph.nodes.iter().enumerate() {
        let NodeKind::Sink(sink) = &node.kind else { continue };
        let mut behind = vec![id];
        while let Some(id) = behind.pop() {
            if matches!(graph.nodes[id].kind, NodeKind::Source(_)) {
                continue;
            }
            // What is in front of a node that has its table has one too.
            if let Entry::Vacant(entry) = tables.entry(id) {
                entry.insert(sink.table.name.clone());
                behind.extend(graph.nodes[id].inputs.iter().map(|edge| edge.from));
            }
        }
    }
    tables
}

/// The rows between two operators.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Where they come from: sources, or results of operators with state.
    pub from: Vec<String>,
    /// The conditions that they have passed since.
    pub conditions: Vec<String>,
    /// The sources at the beginning.
    pub sources: Vec<OperatorUid>,
    /// What each column is.
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

    /// Which rows there are.
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

/// Values that mean something once, however often they are asked for.
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
        NodeKind::Over(over) => over::aggregated(over, &input),
        NodeKind::Source(_) | NodeKind::LocalWindowAggregate(_) | NodeKind::Union | NodeKind::Sink(_) => (None, input),
    }
}

/// An operator with state, and its results. Those behind it name it by which rows it gives, whatever their columns are.
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
