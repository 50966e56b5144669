//! Column pruning: removes columns that nobody reads, down to the sources.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::Field;
use eddyline_job_graph::{
    AggregateCall, GroupAggregate, Over, Projection, TimeColumn, WindowAggregate, WindowAssigner,
};
use sqlparser::tokenizer::Span;

use crate::bind::calc::{calc, column};
use crate::bind::relation::{Rel, RelKind, schema};

/// The columns of each table that are read, by the table's name.
pub(crate) type Usage = BTreeMap<String, BTreeSet<usize>>;

/// Prunes an operator to exactly the columns `required`, in this order. Adds the columns that it reads of tables to
/// `usage`.
pub(crate) fn prune(rel: Rel, required: &[usize], usage: &mut Usage) -> Rel {
    let Rel { schema: own, kind } = rel;
    match kind {
        RelKind::Scan { table } => {
            usage.entry(table.clone()).or_default().extend(required);
            project(Rel { schema: own, kind: RelKind::Scan { table } }, required)
        }
        RelKind::Calc { input, filter, columns } => {
            let kept: Vec<Projection> = required.iter().filter_map(|index| columns.get(*index).cloned()).collect();
            let mut read = BTreeSet::new();
            kept.iter().map(|projection| &projection.expression).chain(&filter).for_each(|e| read.extend(e.columns()));
            let (input, positions) = prune_to(*input, &read, usage);
            let filter = filter.map(|filter| filter.remap(&positions));
            let columns = kept
                .into_iter()
                .map(|projection| Projection {
                    expression: projection.expression.remap(&positions),
                    name: projection.name,
                })
                .collect();
            calc(input, filter, columns)
        }
        RelKind::Window { input, assigner, time, partition, place } => {
            let width = input.schema.fields().len();
            let mut read: BTreeSet<usize> = required.iter().copied().filter(|index| *index < width).collect();
            read.insert(time.column);
            read.extend(&partition);
            let (input, positions) = prune_to(*input, &read, usage);
            let new_width = input.schema.fields().len();
            let moved = |index: usize| position(&positions, index);
            let mut fields: Vec<Field> = input.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
            fields.extend((width..width + 3).map(|index| own.field(index).clone()));
            let kind = RelKind::Window {
                input: Box::new(input),
                assigner,
                time: TimeColumn { column: moved(time.column), ..time },
                partition: partition.into_iter().map(moved).collect(),
                place,
            };
            let wanted: Vec<usize> = required
                .iter()
                .map(|index| if *index < width { moved(*index) } else { index - width + new_width })
                .collect();
            project(Rel { schema: schema(fields), kind }, &wanted)
        }
        RelKind::Aggregate { input, aggregate, place } => {
            prune_aggregate(&own, *input, (aggregate, place), required, usage)
        }
        RelKind::Group { input, aggregate, place } => prune_group(&own, *input, (aggregate, place), required, usage),
        RelKind::Over { input, over, place } => {
            let width = input.schema.fields().len();
            let kept: Vec<usize> =
                (0..over.aggregates.len()).filter(|index| required.contains(&(width + index))).collect();
            let mut read: BTreeSet<usize> = required.iter().copied().filter(|index| *index < width).collect();
            read.insert(over.time.column);
            read.extend(&over.keys);
            for call in kept.iter().map(|index| &over.aggregates[*index]) {
                read.extend(call.argument);
                read.extend(call.filter);
            }
            let (input, positions) = prune_to(*input, &read, usage);
            let new_width = input.schema.fields().len();
            let moved = |index: usize| position(&positions, index);
            let mut fields: Vec<Field> = input.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
            fields.extend(kept.iter().map(|index| own.field(width + index).clone()));
            let mut aggregates: Vec<_> = kept.iter().map(|index| over.aggregates[*index].clone()).collect();
            for call in &mut aggregates {
                call.argument = call.argument.map(moved);
                call.filter = call.filter.map(moved);
            }
            let over = Over {
                keys: over.keys.iter().map(|index| moved(*index)).collect(),
                time: TimeColumn { column: moved(over.time.column), ..over.time },
                frame: over.frame,
                aggregates,
            };
            let wanted: Vec<usize> = required
                .iter()
                .map(|index| match index.checked_sub(width) {
                    None => moved(*index),
                    Some(call) => new_width + kept.iter().position(|known| *known == call).unwrap_or(0),
                })
                .collect();
            if over.aggregates.is_empty() {
                // Nobody reads a result, so the operator is not needed.
                return project(input, &wanted);
            }
            let kind = RelKind::Over { input: Box::new(input), over, place };
            project(Rel { schema: schema(fields), kind }, &wanted)
        }
        RelKind::Union { inputs } => {
            let fields: Vec<Field> = required.iter().map(|index| own.field(*index).clone()).collect();
            let inputs = inputs.into_iter().map(|input| prune(input, required, usage)).collect();
            Rel { schema: schema(fields), kind: RelKind::Union { inputs } }
        }
    }
}

fn prune_aggregate(
    own: &arrow::datatypes::SchemaRef,
    input: Rel,
    (aggregate, place): (WindowAggregate, Span),
    required: &[usize],
    usage: &mut Usage,
) -> Rel {
    let (keys, calls) = (aggregate.keys.len(), aggregate.aggregates.len());
    let kept_calls: Vec<usize> = (0..calls).filter(|index| required.contains(&(keys + index))).collect();
    let kept_windows: Vec<usize> =
        (0..aggregate.window_columns.len()).filter(|index| required.contains(&(keys + calls + index))).collect();
    let mut read: BTreeSet<usize> = aggregate.keys.iter().copied().collect();
    read.extend(aggregate.time.as_ref().map(|time| time.column));
    if let WindowAssigner::Attached { start, end } = aggregate.assigner {
        read.extend([start, end]);
    }
    for call in kept_calls.iter().map(|index| &aggregate.aggregates[*index]) {
        read.extend(call.argument);
        read.extend(call.filter);
    }
    let (input, positions) = prune_to(input, &read, usage);
    let moved = |index: usize| position(&positions, index);
    let old: Vec<usize> = (0..keys)
        .chain(kept_calls.iter().map(|index| keys + index))
        .chain(kept_windows.iter().map(|index| keys + calls + index))
        .collect();
    let fields: Vec<Field> = old.iter().map(|index| own.field(*index).clone()).collect();
    let mut aggregates: Vec<_> = kept_calls.iter().map(|index| aggregate.aggregates[*index].clone()).collect();
    for call in &mut aggregates {
        call.argument = call.argument.map(moved);
        call.filter = call.filter.map(moved);
    }
    let pruned = WindowAggregate {
        assigner: match aggregate.assigner {
            WindowAssigner::Attached { start, end } => {
                WindowAssigner::Attached { start: moved(start), end: moved(end) }
            }
            other => other,
        },
        time: aggregate.time.map(|time| TimeColumn { column: moved(time.column), ..time }),
        keys: aggregate.keys.iter().map(|index| moved(*index)).collect(),
        aggregates,
        window_columns: kept_windows.iter().map(|index| aggregate.window_columns[*index]).collect(),
    };
    let wanted: Vec<usize> =
        required.iter().map(|index| old.iter().position(|known| known == index).unwrap_or(0)).collect();
    let kind = RelKind::Aggregate { input: Box::new(input), aggregate: pruned, place };
    project(Rel { schema: schema(fields), kind }, &wanted)
}

fn prune_group(
    own: &arrow::datatypes::SchemaRef,
    input: Rel,
    (aggregate, place): (GroupAggregate, Span),
    required: &[usize],
    usage: &mut Usage,
) -> Rel {
    let (keys, calls) = (aggregate.keys.len(), aggregate.aggregates.len());
    let mut kept_calls: Vec<usize> = (0..calls).filter(|index| required.contains(&(keys + index))).collect();
    if keys == 0 && kept_calls.is_empty() {
        // The one row of the result needs a column.
        kept_calls.push(0);
    }
    let mut read: BTreeSet<usize> = aggregate.keys.iter().copied().collect();
    let kept = || kept_calls.iter().map(|index| &aggregate.aggregates[*index]);
    kept().for_each(|call| read.extend(call.argument.iter().chain(&call.filter)));
    let (input, positions) = prune_to(input, &read, usage);
    let moved = |index: usize| position(&positions, index);
    let old: Vec<usize> = (0..keys).chain(kept_calls.iter().map(|index| keys + index)).collect();
    let fields: Vec<Field> = old.iter().map(|index| own.field(*index).clone()).collect();
    let aggregates = kept().map(|call| AggregateCall {
        argument: call.argument.map(moved),
        filter: call.filter.map(moved),
        ..call.clone()
    });
    let pruned = GroupAggregate {
        aggregates: aggregates.collect(),
        keys: aggregate.keys.iter().map(|index| moved(*index)).collect(),
    };
    let wanted: Vec<usize> =
        required.iter().map(|index| old.iter().position(|known| known == index).unwrap_or(0)).collect();
    let kind = RelKind::Group { input: Box::new(input), aggregate: pruned, place };
    project(Rel { schema: schema(fields), kind }, &wanted)
}

/// Prunes an operator to the columns in `read`. Also returns the new position of each of them.
fn prune_to(rel: Rel, read: &BTreeSet<usize>, usage: &mut Usage) -> (Rel, BTreeMap<usize, usize>) {
    let mut required: Vec<usize> = read.iter().copied().collect();
    if required.is_empty() && !rel.schema.fields().is_empty() {
        // A batch without columns would lose its row count.
        required.push(0);
    }
    let positions = required.iter().enumerate().map(|(new, old)| (*old, new)).collect();
    (prune(rel, &required, usage), positions)
}

fn position(positions: &BTreeMap<usize, usize>, index: usize) -> usize {
    positions.get(&index).copied().unwrap_or(index)
}

/// Selects columns of an operator. The result is the operator itself if it already has exactly these columns in this
/// order.
fn project(rel: Rel, columns: &[usize]) -> Rel {
    let same = columns.len() == rel.schema.fields().len() && columns.iter().enumerate().all(|(new, old)| new == *old);
    if same && !matches!(rel.kind, RelKind::Scan { .. }) {
        return rel;
    }
    let columns = columns
        .iter()
        .map(|index| Projection {
            expression: column(&rel.schema, *index),
            name: rel.schema.field(*index).name().clone(),
        })
        .collect();
    calc(rel, None, columns)
}
