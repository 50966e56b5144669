//! GROUP BY: aggregation over windows, if the windows are among its expressions, and over all rows otherwise.

use arrow::datatypes::Field;
use eddyline_expression::Kind;
use eddyline_functions::{pack, unpack};
use eddyline_job_graph::{
    AggregateCall, GroupAggregate, Projection, TimeColumn, WindowAggregate, WindowAssigner, WindowColumn,
};
use sqlparser::ast::{Expr, Ident};
use sqlparser::tokenizer::Span;
use std::collections::BTreeSet;

use super::aggregates::Draft;
use super::calc::{DEPTH_MAX, both, calc, column, field, measure};
use super::expression::ExpressionBinder;
use super::relation::{Expression, Rel, RelKind, Relation, Role, ScopeField, schema};
use super::scope::Scope;
use super::types::TIMESTAMP;
use crate::diagnostics::{Diagnostic, Result};

/// One expression of GROUP BY.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The expression, over the columns of the rows that are aggregated.
    pub bound: Expression,
    /// The key to group by instead: keys are flat, so an ARRAY, MAP or ROW is packed into BYTES.
    packed: Option<Expression>,
    /// Whether it is a window column.
    pub role: Role,
    /// The name of the key column.
    pub name: String,
}

impl Entry {
    pub(crate) fn new(
        binder: &ExpressionBinder<'_>,
        bound: Expression,
        role: Role,
        name: String,
        span: Span,
    ) -> Result<Self> {
        let is_nested = bound.data_type().is_nested();
        let packed = is_nested.then(|| binder.call_exact(pack(bound.data_type()), vec![bound.clone()], span));
        Ok(Self { bound, packed: packed.transpose()?, role, name })
    }

    fn key(&self) -> &Expression {
        self.packed.as_ref().unwrap_or(&self.bound)
    }

    /// The value of the entry, from its key column in the result of the aggregation.
    pub(crate) fn value(&self, binder: &ExpressionBinder<'_>, column: Expression, span: Span) -> Result<Expression> {
        if self.packed.is_none() {
            return Ok(column);
        }
        binder.call_exact(unpack(self.bound.data_type()), vec![column], span)
    }
}

/// A query with GROUP BY, while its SELECT and HAVING are bound.
#[derive(Clone, Debug)]
pub(crate) struct Grouping {
    /// The columns of the rows that are aggregated.
    pub input: Scope,
    /// The expressions of GROUP BY.
    pub entries: Vec<Entry>,
    /// The aggregates of SELECT and HAVING.
    pub drafts: Vec<Draft>,
}

impl Grouping {
    /// The columns of the aggregation's result: the entries, then the aggregates. They have a name that no script can
    /// contain.
    pub(crate) fn output(&self) -> Scope {
        let mut fields: Vec<Field> = self.entries.iter().map(|entry| field(&entry.name, entry.key())).collect();
        fields.extend(
            self.drafts.iter().map(|draft| Field::new(&draft.name, draft.computed.clone(), draft.is_nullable())),
        );
        let roles = self.entries.iter().map(|entry| entry.role).chain(self.drafts.iter().map(|_| Role::Plain));
        let names = roles.map(|role| ScopeField { qualifier: None, name: "\u{1}".to_owned(), role }).collect();
        Scope { fields: names, schema: schema(fields) }
    }

    /// The value of a GROUP BY expression, from the result of the aggregation. `None` for other expressions.
    pub(crate) fn key_of(&self, binder: &ExpressionBinder<'_>, expression: &Expr) -> Option<Expression> {
        if matches!(expression, Expr::Value(_) | Expr::Interval(_) | Expr::TypedString(_)) {
            return None;
        }
        let below = ExpressionBinder { scope: &self.input, ..binder.scalar("GROUP BY") };
        let bound = below.bind(expression).ok()?;
        let index = self.entries.iter().position(|entry| entry.bound == bound)?;
        self.entries[index].value(binder, column(&binder.scope.schema, index), binder.around).ok()
    }

    /// The error about a column that is not grouped.
    pub(crate) fn not_grouped(&self, path: &[Ident], span: Span) -> Diagnostic {
        match self.input.resolve(path, span) {
            Err(error) => error,
            Ok((index, _)) => {
                let name = &self.input.fields[index].name;
                Diagnostic::at(span, format!("column '{name}' is neither grouped nor inside an aggregate"))
                    .help(format!("add `{name}` to GROUP BY, or use MAX(`{name}`) or LAST_VALUE(`{name}`)"))
            }
        }
    }
}

/// Aggregates the rows of a relation. Returns the operator, and the position in its output of every column of
/// [`Grouping::output`].
pub(crate) fn aggregate(
    relation: &Relation,
    entries: &[Entry],
    drafts: &[Draft],
    time_zone: &str,
    span: Span,
) -> Result<(Rel, Vec<usize>)> {
    let has = |role| entries.iter().any(|entry| entry.role == role);
    if !has_windows(relation, has(Role::WindowStart), has(Role::WindowEnd), span)? {
        return Ok(aggregate_all(relation, entries, drafts, span));
    }
    let keys: Vec<&Entry> = entries.iter().filter(|entry| is_key(entry.role)).collect();
    let (filter, below, base) = peel(&relation.rel);
    let replace = |index: usize| below.get(index).cloned();
    let reads: Vec<Expression> = keys
        .iter()
        .map(|entry| entry.key())
        .chain(drafts.iter().flat_map(|draft| draft.argument.iter().chain(&draft.filter)))
        .map(|expression| expression.substitute(&replace))
        .collect();
    let direct = match &base.kind {
        RelKind::Window { input, assigner, time, partition, place } => {
            let columns = input.schema.fields().len();
            let mut read = BTreeSet::new();
            reads.iter().chain(&filter).for_each(|expression| read.extend(expression.columns()));
            let own = entries
                .iter()
                .filter(|entry| !is_key(entry.role))
                .all(|entry| entry.bound.substitute(&replace).as_column().is_some_and(|index| index >= columns));
            let untouched = own && read.iter().all(|index| *index < columns);
            untouched.then_some((input, assigner, time, partition, *place))
        }
        _ => None,
    };
    let mut front = Front { columns: Vec::new() };
    let (input, filter, assigner, time) = match direct {
        Some((input, assigner, time, partition, place)) => {
            let replaced = |bound: &Expression| bound.substitute(&replace);
            front.keys_and_arguments(&keys, drafts, &replaced);
            check_session(assigner, partition, keys.iter().map(|entry| replaced(&entry.bound)), place)?;
            let name = input.schema.field(time.column).name().clone();
            let column = front.add(column(&input.schema, time.column), &name);
            let time = TimeColumn { column, time_zone: time.time_zone.clone() };
            (input.as_ref().clone(), filter, assigner.clone(), Some(time))
        }
        None => {
            front.keys_and_arguments(&keys, drafts, &|bound| bound.clone());
            let position = |role| {
                relation
                    .with_role(role)
                    .map(|index| column(&relation.rel.schema, index))
                    .or_else(|| entries.iter().find(|entry| entry.role == role).map(|entry| entry.bound.clone()))
            };
            let (Some(start), Some(end)) = (position(Role::WindowStart), position(Role::WindowEnd)) else {
                return Err(Diagnostic::at(span, "the rows have no window_start and window_end"));
            };
            let (start, end) = (front.add(start, "window_start"), front.add(end, "window_end"));
            let time = position(Role::WindowTime).map(|expression| {
                let zone = match expression.data_type() {
                    arrow::datatypes::DataType::Timestamp(_, Some(_)) => Some(time_zone.to_owned()),
                    _ => None,
                };
                TimeColumn { column: front.add(expression, "window_time"), time_zone: zone }
            });
            (relation.rel.clone(), None, WindowAssigner::Attached { start, end }, time)
        }
    };
    let key_positions: Vec<usize> = keys
        .iter()
        .map(|entry| {
            front.position(entry.key(), direct.is_some().then_some(&replace as &dyn Fn(usize) -> Option<Expression>))
        })
        .collect();
    let substituted: Option<&dyn Fn(usize) -> Option<Expression>> = direct.is_some().then_some(&replace);
    let calls = front.calls(drafts, substituted);
    let window_columns: Vec<WindowColumn> = [
        (Role::WindowStart, WindowColumn::Start),
        (Role::WindowEnd, WindowColumn::End),
        (Role::WindowTime, WindowColumn::Time),
    ]
    .into_iter()
    .filter(|(role, _)| has(*role))
    .map(|(_, column)| column)
    .collect();
    let below = calc(input, filter, front.columns);
    let aggregate = WindowAggregate { assigner, time, keys: key_positions, aggregates: calls, window_columns };
    let place = direct.map_or(span, |(.., place)| place);
    Ok(finish(below, aggregate, (entries, drafts), place))
}

/// Aggregates all rows of a relation, not those of windows.
fn aggregate_all(relation: &Relation, entries: &[Entry], drafts: &[Draft], place: Span) -> (Rel, Vec<usize>) {
    let mut front = Front { columns: Vec::new() };
    let keys: Vec<&Entry> = entries.iter().collect();
    front.keys_and_arguments(&keys, drafts, &|bound| bound.clone());
    let aggregate = GroupAggregate {
        keys: entries.iter().map(|entry| front.position(entry.key(), None)).collect(),
        aggregates: front.calls(drafts, None),
    };
    let mut fields: Vec<Field> = entries.iter().map(|entry| field(&entry.name, entry.key())).collect();
    fields.extend(drafts.iter().map(|draft| Field::new(&draft.name, draft.computed.clone(), draft.is_nullable())));
    let positions = (0..fields.len()).collect();
    let input = Box::new(calc(relation.rel.clone(), None, front.columns));
    (Rel { schema: schema(fields), kind: RelKind::Group { input, aggregate, place } }, positions)
}

/// The operator with its schema, and the positions of the entries and aggregates in it.
fn finish(
    input: Rel,
    aggregate: WindowAggregate,
    (entries, drafts): (&[Entry], &[Draft]),
    place: Span,
) -> (Rel, Vec<usize>) {
    let keys: Vec<&Entry> = entries.iter().filter(|entry| is_key(entry.role)).collect();
    let mut fields: Vec<Field> = keys.iter().map(|entry| field(&entry.name, entry.key())).collect();
    fields.extend(drafts.iter().map(|draft| Field::new(&draft.name, draft.computed.clone(), draft.is_nullable())));
    let first_window = fields.len();
    for window_column in &aggregate.window_columns {
        let (name, role) = match window_column {
            WindowColumn::Start => ("window_start", Role::WindowStart),
            WindowColumn::End => ("window_end", Role::WindowEnd),
            WindowColumn::Time => ("window_time", Role::WindowTime),
        };
        let data_type =
            entries.iter().find(|entry| entry.role == role).map_or(TIMESTAMP, |entry| entry.bound.data_type().clone());
        fields.push(Field::new(name, data_type, false));
    }
    let window_position = |wanted: WindowColumn| {
        aggregate.window_columns.iter().position(|column| *column == wanted).map_or(0, |index| first_window + index)
    };
    let mut next_key = 0;
    let mut positions: Vec<usize> = entries
        .iter()
        .map(|entry| match entry.role {
            Role::WindowStart => window_position(WindowColumn::Start),
            Role::WindowEnd => window_position(WindowColumn::End),
            Role::WindowTime => window_position(WindowColumn::Time),
            _ => {
                next_key += 1;
                next_key - 1
            }
        })
        .collect();
    positions.extend((0..drafts.len()).map(|index| keys.len() + index));
    let rel = Rel { schema: schema(fields), kind: RelKind::Aggregate { input: Box::new(input), aggregate, place } };
    (rel, positions)
}

/// The columns that are computed before the aggregation, each expression once.
struct Front {
    columns: Vec<Projection>,
}

impl Front {
    fn keys_and_arguments(&mut self, keys: &[&Entry], drafts: &[Draft], replaced: &dyn Fn(&Expression) -> Expression) {
        for entry in keys {
            self.add(replaced(entry.key()), &entry.name);
        }
        for bound in drafts.iter().flat_map(|draft| draft.argument.iter().chain(&draft.filter)) {
            let name = match bound.kind() {
                Kind::Column { name, .. } => name.clone(),
                _ => format!("expression_{}", self.columns.len()),
            };
            self.add(replaced(bound), &name);
        }
    }

    /// The position of an expression, which is added if it is new. A volatile expression is always new.
    fn add(&mut self, expression: Expression, name: &str) -> usize {
        if !expression.is_volatile()
            && let Some(index) = self.columns.iter().position(|known| known.expression == expression)
        {
            return index;
        }
        self.columns.push(Projection { expression, name: name.to_owned() });
        self.columns.len() - 1
    }

    /// The calls of aggregates over these columns.
    fn calls(&self, drafts: &[Draft], replace: Option<&dyn Fn(usize) -> Option<Expression>>) -> Vec<AggregateCall> {
        let call = |draft: &Draft| AggregateCall {
            function: draft.function.clone(),
            argument: draft.argument.as_ref().map(|bound| self.position(bound, replace)),
            distinct: draft.distinct,
            filter: draft.filter.as_ref().map(|bound| self.position(bound, replace)),
            argument_type: draft.argument.as_ref().map(|bound| bound.data_type().clone()),
            result_type: draft.computed.clone(),
            name: draft.name.clone(),
        };
        drafts.iter().map(call).collect()
    }

    fn position(&self, bound: &Expression, replace: Option<&dyn Fn(usize) -> Option<Expression>>) -> usize {
        let expression = match replace {
            Some(replace) => bound.substitute(replace),
            None => bound.clone(),
        };
        self.columns.iter().position(|known| known.expression == expression).unwrap_or(0)
    }
}

fn is_key(role: Role) -> bool {
    !matches!(role, Role::WindowStart | Role::WindowEnd | Role::WindowTime)
}

/// Whether GROUP BY has windows. It has both of their columns or none.
fn has_windows(relation: &Relation, has_start: bool, has_end: bool, span: Span) -> Result<bool> {
    let (start, end) = (relation.with_role(Role::WindowStart), relation.with_role(Role::WindowEnd));
    match (has_start, has_end) {
        (true, true) => Ok(true),
        _ if start.is_some() || end.is_some() => {
            let missing = if has_start {
                "window_end"
            } else if has_end {
                "window_start"
            } else {
                "window_start and window_end"
            };
            Err(Diagnostic::at(span, format!("GROUP BY over windows needs {missing} too"))
                .help("write GROUP BY window_start, window_end, …"))
        }
        _ => Ok(false),
    }
}

/// Checks that the PARTITION BY of a session is what the query groups by, because sessions are per key.
fn check_session(
    assigner: &WindowAssigner,
    partition: &[usize],
    keys: impl Iterator<Item = Expression>,
    place: Span,
) -> Result<()> {
    if !matches!(assigner, WindowAssigner::Session { .. }) {
        return Ok(());
    }
    let grouped: Option<BTreeSet<usize>> = keys.map(|expression| expression.as_column()).collect();
    if grouped == Some(partition.iter().copied().collect()) {
        return Ok(());
    }
    Err(Diagnostic::at(place, "the PARTITION BY of a SESSION must be the columns of GROUP BY, besides the window")
        .help("write SESSION(TABLE t PARTITION BY k, …) and GROUP BY k, window_start, window_end"))
}

/// The maximum size of an expression before an aggregation after a substitution.
const SIZE_MAX: usize = 5_000;

/// Removes the Calcs on top of an operator. Returns their filter and columns, over the columns of the operator below
/// them.
fn peel(rel: &Rel) -> (Option<Expression>, Vec<Expression>, &Rel) {
    let mut columns: Vec<Expression> = (0..rel.schema.fields().len()).map(|index| column(&rel.schema, index)).collect();
    let mut filter: Option<Expression> = None;
    let mut current = rel;
    while let RelKind::Calc { input, filter: own, columns: computed } = &current.kind {
        if computed.iter().any(|projection| projection.expression.is_volatile())
            || own.as_ref().is_some_and(Expression::is_volatile)
        {
            break;
        }
        let sizes: Vec<(usize, usize)> =
            computed.iter().map(|projection| measure(&projection.expression, &[])).collect();
        let fits = |expression: &Expression| {
            let (size, depth) = measure(expression, &sizes);
            size <= SIZE_MAX && depth <= DEPTH_MAX
        };
        if !columns.iter().chain(&filter).all(fits) {
            break;
        }
        let replace = |index: usize| computed.get(index).map(|projection| projection.expression.clone());
        columns = columns.iter().map(|expression| expression.substitute(&replace)).collect();
        filter = both(own.clone(), filter.map(|filter| filter.substitute(&replace)));
        current = input;
    }
    (filter, columns, current)
}
