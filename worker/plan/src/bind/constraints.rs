//! The constraints of a sink table: NOT NULL and lengths, and their enforcement.
//!
//! As in Flink, they are enforced only before the sink. Upstream of it, a value may be longer than declared, or contain
//! NULL.

use std::sync::Arc;

use eddyline_functions::{Constraint, Declared, Lengths, Reach, enforce, is_whole};
use eddyline_job_graph::{NestedConstraintEnforcer, NotNullEnforcer, Projection, TypeLengthEnforcer};
use sqlparser::tokenizer::Span;

use super::calc::{both, calc, column};
use super::catalog::Table;
use super::expression::{ExpressionBinder, Place};
use super::relation::{Expression, Rel};
use super::scope::Scope;
use super::session::Session;
use crate::diagnostics::Result;
use crate::parse::ddl::ColumnKind;

/// The rows with constraints enforced, and the enforcers as EXPLAIN shows them.
pub(crate) fn constrain(session: &Session, table: &Table, rel: Rel, span: Span) -> Result<(Rel, Vec<String>)> {
    let settings = session.sink_constraints;
    let lengths = match settings.type_length {
        TypeLengthEnforcer::Ignore => Lengths::Ignore,
        TypeLengthEnforcer::TrimPad => Lengths::Fit,
        TypeLengthEnforcer::Error => Lengths::Refuse,
    };
    let drops = settings.not_null == NotNullEnforcer::Drop;
    let scope = Scope { fields: Vec::new(), schema: Arc::clone(&rel.schema) };
    let binder = ExpressionBinder { around: span, ..ExpressionBinder::new(session, &scope, Place::Scalar("INSERT")) };
    let mut columns: Vec<Expression> = (0..rel.schema.fields().len()).map(|index| column(&rel.schema, index)).collect();
    let (mut filter, mut not_null, mut limited, mut changes) = (None, Vec::new(), Vec::new(), false);
    for (index, constraint) in of_columns(session, table, &rel).into_iter().enumerate() {
        let bound = columns[index].clone();
        let whole = is_whole(bound.data_type(), &constraint);
        if whole.is_some() {
            not_null.push(constraint.column.clone());
        }
        if lengths != Lengths::Ignore && constraint.declared.shape.has_lengths(constraint.reach) {
            limited.push(constraint.column.clone());
        }
        if let Some(whole) = whole.filter(|_| drops) {
            let is_whole = binder.call_exact(whole, vec![bound.clone()], span)?;
            filter = both(filter, Some(is_whole));
        }
        if let Some(enforce) = enforce(bound.data_type(), &constraint, lengths, !drops) {
            columns[index] = binder.call_exact(enforce, vec![bound], span)?;
            changes = true;
        }
    }
    let named = |name: &str, fields: Vec<String>| {
        (!fields.is_empty()).then(|| format!("{name}(fields=[{}])", fields.join(", ")))
    };
    let enforcers = [named("NotNullEnforcer", not_null), named("LengthEnforcer", limited)];
    let enforcers = enforcers.into_iter().flatten().collect();
    if filter.is_none() && !changes {
        return Ok((rel, enforcers));
    }
    let names = rel.schema.fields().iter().map(|field| field.name().clone());
    let columns = columns.into_iter().zip(names);
    let columns = columns.map(|(expression, name)| Projection { expression, name }).collect();
    Ok((calc(rel, filter, columns), enforcers))
}

/// The constraints of the physical columns, in their order.
fn of_columns(session: &Session, table: &Table, rel: &Rel) -> Vec<Constraint> {
    let reach = match session.sink_constraints.nested {
        NestedConstraintEnforcer::Ignore => Reach::Column,
        NestedConstraintEnforcer::Rows => Reach::Rows,
        NestedConstraintEnforcer::RowsAndCollections => Reach::Collections,
    };
    let shapes = table.definition.columns.iter().filter_map(|column| match &column.kind {
        ColumnKind::Physical(sql_type) => Some(sql_type.shape.clone()),
        _ => None,
    });
    let fields = table.descriptor.schema.fields().iter().zip(shapes).zip(rel.schema.fields());
    fields
        .map(|((field, shape), given)| Constraint {
            table: table.descriptor.name.clone(),
            column: field.name().clone(),
            // A column that cannot be NULL needs no check.
            declared: Declared { not_null: !field.is_nullable() && given.is_nullable(), shape },
            reach,
        })
        .collect()
}
