//! What the operators of a job graph compute, canonically: see [`eddyline_state::meaning`].
//!
//! Works on the finished graph, from the sources to the sinks. On the way it spells each column down to the columns of
//! sources, so that neither aliases nor the order of columns nor the way a query is cut into subqueries play a part.
//! What state holds is stated, and nothing that comes behind it.

use std::collections::{BTreeMap, BTreeSet};

use eddyline_connectors::config::{SERVERS, SourceConfig};
use eddyline_job_graph::{
    AggregateCall, AggregateFunction, JobGraph, Node, NodeId, NodeKind, Over, SourceNode, TimeColumn, WindowAggregate,
    WindowAssign, WindowAssigner, WindowColumn,
};
use eddyline_state::Meaning;
use eddyline_state::meaning::{Fact, Operator, Refusal, Rule, SOURCE, compare};
use eddyline_stream::{OperatorUid, sql_type};

use crate::canonical::{conditions, short, spell};
use crate::explain::{over_label, window_label};

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

const WINDOW_AGGREGATE: &str = "window-aggregate";
const OVER: &str = "over";

/// States what each operator of the graph computes, and names those with state after it. `tables` says which table the
/// insert of an operator writes.
pub(crate) fn state_meanings(graph: &mut JobGraph, tables: &BTreeMap<NodeId, String>) {
    let mut all: Vec<Rows> = Vec::with_capacity(graph.nodes.len());
    for node in &mut graph.nodes {
        let (meaning, rows) = match &node.kind {
            NodeKind::Source(source) => of_source(source, node),
            kind => {
                let mut inputs: Vec<&Rows> = node.inputs.iter().map(|edge| &all[edge.from]).collect();
                of_operator(kind, &mut inputs)
            }
        };
        node.origins.clone_from(&rows.columns);
        node.meaning = meaning;
        all.push(rows);
    }
    name_operators(graph, tables);
}

/// Names operators with state by what they compute: a name follows neither from the order of statements nor from what
/// else there is in them. Only operators that compute the same for the same table are numbered.
fn name_operators(graph: &mut JobGraph, tables: &BTreeMap<NodeId, String>) {
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (id, node) in graph.nodes.iter_mut().enumerate() {
        let (Some(meaning), Some(table)) = (&node.meaning, tables.get(&id)) else { continue };
        let name = format!("{table}/{}-{}", meaning.kind, meaning.digest());
        let numbered = (1..).map(|number| if number == 1 { name.clone() } else { format!("{name}#{number}") });
        let free = numbered.into_iter().find(|candidate| taken.insert(candidate.clone()));
        node.uid = OperatorUid::new(free.unwrap_or(name));
    }
}

/// The rows between two operators.
#[derive(Clone, Debug)]
struct Rows {
    /// Where they come from: sources, or results of operators with state.
    from: Vec<String>,
    /// The conditions that they have passed since.
    conditions: Vec<String>,
    /// The sources at the beginning.
    sources: Vec<OperatorUid>,
    /// What each column is.
    columns: Vec<String>,
}

impl Rows {
    fn column(&self, index: usize) -> String {
        self.columns.get(index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    fn all(&self, indices: &[usize]) -> Vec<String> {
        indices.iter().map(|index| self.column(*index)).collect()
    }

    fn time(&self, time: &TimeColumn) -> String {
        let zone = time.time_zone.as_ref().map_or_else(String::new, |zone| format!(" in {zone}"));
        format!("{}{zone}", self.column(time.column))
    }

    /// Which rows there are.
    fn facts(&self) -> [Fact; 2] {
        let unique: BTreeSet<&String> = self.conditions.iter().collect();
        let conditions = unique.into_iter().cloned().collect();
        [Fact::of("from", self.from.clone(), Rule::AnyOrder), Fact::of("where", conditions, Rule::AnyOrder)]
    }

    fn call(&self, call: &AggregateCall) -> String {
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
fn unique(values: impl IntoIterator<Item = String>) -> Vec<String> {
    values.into_iter().collect::<BTreeSet<_>>().into_iter().collect()
}

fn of_source(source: &SourceNode, node: &Node) -> (Option<Meaning>, Rows) {
    let table = &source.table;
    let typed = |name: &str, data_type| format!("{name} {}", sql_type(data_type));
    let physical = source.projection.iter().map(|index| {
        let field = table.schema.field(*index);
        typed(field.name(), field.data_type())
    });
    let metadata = source.metadata.iter().map(|index| {
        let column = &table.metadata[*index];
        typed(&format!("METADATA '{}'", column.key), &column.data_type)
    });
    let read: Vec<String> = physical.chain(metadata).collect();
    // The graph was built with these options, so they are right.
    let identity = SourceConfig::parse(table).map(|config| config.identity(table)).unwrap_or_default();
    let rule = |aspect| if aspect == SERVERS { Rule::OneInCommon } else { Rule::AnyOrder };
    let place = identity.iter().filter(|(aspect, _)| *aspect != SERVERS).flat_map(|(_, values)| values.clone());
    let rows = Rows {
        from: vec![short(place.collect::<Vec<_>>().join(" "))],
        conditions: Vec::new(),
        sources: vec![node.uid.clone()],
        columns: source.columns.iter().map(|projection| spell(&projection.expression, &read)).collect(),
    };
    let facts = identity.into_iter().map(|(aspect, values)| Fact::of(aspect, values, rule(aspect))).collect();
    (Some(Meaning { kind: SOURCE.to_owned(), facts, sources: Vec::new() }), rows)
}

fn of_operator(kind: &NodeKind, inputs: &mut Vec<&Rows>) -> (Option<Meaning>, Rows) {
    if let NodeKind::Union = kind {
        return (None, union(inputs));
    }
    let Some(input) = inputs.first() else {
        let (from, conditions, sources, columns) = Default::default();
        return (None, Rows { from, conditions, sources, columns });
    };
    let input = Rows::clone(input);
    match kind {
        NodeKind::Calc(calc) => {
            let mut rows = input.clone();
            if let Some(filter) = &calc.filter {
                conditions(filter, &input.columns, &mut rows.conditions);
            }
            rows.columns =
                calc.columns.iter().map(|projection| spell(&projection.expression, &input.columns)).collect();
            (None, rows)
        }
        NodeKind::WindowAssign(assign) => (None, assigned(assign, input)),
        NodeKind::WindowAggregate(aggregate) => of_window_aggregate(aggregate, &input),
        NodeKind::Over(over) => of_over(over, &input),
        NodeKind::Source(_) | NodeKind::Union | NodeKind::Sink(_) => (None, input),
    }
}

/// Rows of all inputs, whatever their order.
fn union(inputs: &mut Vec<&Rows>) -> Rows {
    let branch = |rows: &Rows| {
        let mut text = rows.from.join(" and ");
        if !rows.conditions.is_empty() {
            text.push_str(&format!(" where {}", unique(rows.conditions.clone()).join(" and ")));
        }
        short(text)
    };
    inputs.sort_by_cached_key(|rows| (branch(rows), rows.columns.clone(), rows.sources.clone()));
    let width = inputs.first().map_or(0, |rows| rows.columns.len());
    let column = |index: usize| {
        let of_branches: Vec<String> = inputs.iter().map(|rows| rows.column(index)).collect();
        let is_one = of_branches.iter().all(|text| *text == of_branches[0]);
        if is_one { of_branches[0].clone() } else { short(of_branches.join(" | ")) }
    };
    Rows {
        from: inputs.iter().map(|rows| branch(rows)).collect(),
        conditions: Vec::new(),
        sources: inputs.iter().flat_map(|rows| rows.sources.clone()).collect(),
        columns: (0..width).map(column).collect(),
    }
}

fn assigned(assign: &WindowAssign, input: Rows) -> Rows {
    let window = format!("{} by {}", window_label(&assign.assigner), input.time(&assign.time));
    let mut rows = input;
    // A row stands for itself once for each of its windows.
    rows.from = rows.from.iter().map(|from| short(format!("{from} in {window}"))).collect();
    let added = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];
    rows.columns.extend(added.map(|column| format!("{} of {window}", window_column(column))));
    rows
}

fn window_column(column: WindowColumn) -> &'static str {
    match column {
        WindowColumn::Start => "window_start",
        WindowColumn::End => "window_end",
        WindowColumn::Time => "window_time",
    }
}

fn of_window_aggregate(aggregate: &WindowAggregate, input: &Rows) -> (Option<Meaning>, Rows) {
    let window = match &aggregate.assigner {
        WindowAssigner::Attached { start, end } => {
            format!("from {} to {}", input.column(*start), input.column(*end))
        }
        cut => window_label(cut),
    };
    let calls = aggregate.aggregates.iter().map(|call| input.call(call));
    // A hopping window has another form of sums if values can be subtracted from all of its aggregates.
    let rule = if matches!(aggregate.assigner, WindowAssigner::Hop { .. }) { Rule::AnyOrder } else { Rule::Fewer };
    let keys = input.all(&aggregate.keys);
    let [from, conditions] = input.facts();
    let facts = vec![
        Fact::one("window", &window),
        Fact::of("time", aggregate.time.iter().map(|time| input.time(time)).collect(), Rule::Same),
        Fact::of("keys", keys.clone(), Rule::Same),
        from,
        conditions,
        Fact::of("aggregates", unique(calls.clone()), rule),
    ];
    let windows = aggregate.window_columns.iter().map(|column| window_column(*column).to_owned());
    let columns = keys.into_iter().chain(calls).chain(windows).collect();
    stateful(WINDOW_AGGREGATE, &window, facts, input, columns)
}

fn of_over(over: &Over, input: &Rows) -> (Option<Meaning>, Rows) {
    let frame = over_label(over.frame);
    let calls = over.aggregates.iter().map(|call| input.call(call));
    let [from, conditions] = input.facts();
    let facts = vec![
        Fact::one("frame", &frame),
        Fact::one("order by", input.time(&over.time)),
        Fact::of("partition by", input.all(&over.keys), Rule::Same),
        from,
        conditions,
        Fact::of("aggregates", unique(calls.clone()), Rule::Fewer),
        // Rows that wait for the watermark are kept with all of their columns.
        Fact::of("columns", unique(input.columns.clone()), Rule::Fewer),
    ];
    let columns = input.columns.iter().cloned().chain(calls).collect();
    stateful(OVER, &frame, facts, input, columns)
}

/// An operator with state, and its results. Those behind it name it by which rows it gives, whatever their columns are.
fn stateful(kind: &str, label: &str, facts: Vec<Fact>, input: &Rows, columns: Vec<String>) -> (Option<Meaning>, Rows) {
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
