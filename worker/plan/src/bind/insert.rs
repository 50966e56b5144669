//! Binds `INSERT INTO`: matches the columns of the query by position, and converts them to those of the table.

use arrow::datatypes::{Field, SchemaRef};
use eddyline_job_graph::Projection;
use eddyline_stream::sql_type;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::calc::{calc, column};
use super::catalog::{Catalog, ColumnSource, Table};
use super::constraints;
use super::expression::{ExpressionBinder, Place};
use super::query::{QueryBinder, null_of};
use super::relation::{Rel, Relation, schema};
use super::scope::Scope;
use super::session::Session;
use super::types;
use crate::diagnostics::{Diagnostic, Result, both};
use crate::parse::statements::Insert;
use crate::suggestion::listed;

/// A bound INSERT. Its rows have the columns that the table's connector writes.
#[derive(Clone, Debug)]
pub(crate) struct BoundInsert {
    /// The table's name.
    pub table: String,
    /// The place of the name.
    pub span: Span,
    /// The rows: the physical columns, then the metadata columns that are not virtual.
    pub rel: Rel,
    /// The schema of the sink. The table's declaration decides which columns may be NULL.
    pub output: SchemaRef,
    /// The constraint enforcers of the table's columns, as EXPLAIN shows them.
    pub constraints: Vec<String>,
}

/// Binds an INSERT.
pub(crate) fn bind(session: &Session, catalog: &Catalog, insert: &Insert) -> Result<BoundInsert> {
    let span = insert.table.first().map_or(insert.query.span, |name| name.span);
    let table = catalog.resolve(&insert.table).and_then(|name| catalog.table(name, span));
    if let Ok(table) = table {
        catalog.record_use(&table.descriptor.name, true, span);
    }
    let (table, relation) = both(table, QueryBinder::new(session, catalog).bind(&insert.query))?;
    let targets = targets(table, insert.columns.as_deref())?;
    let given = relation.fields.len();
    if given != targets.len() {
        let names: Vec<&str> = targets.iter().map(|target| target.field.name().as_str()).collect();
        return Err(Diagnostic::at(
            insert.query.span,
            format!("the query has {given} columns, '{}' takes {}", table.descriptor.name, targets.len()),
        )
        .help(format!("it takes {}", listed(&names))));
    }
    let rel = convert(session, table, relation, &targets, insert.query.span)?;
    let (rel, constraints) = constraints::constrain(session, table, rel, insert.query.span)?;
    let output = schema(sink_fields(table));
    Ok(BoundInsert { table: table.descriptor.name.clone(), span, rel, output, constraints })
}

/// A column of the table that the INSERT writes.
struct Target {
    field: Field,
    /// Its position in the sink's schema.
    position: usize,
}

/// The columns of a sink of the table: the physical columns, then the metadata columns that are not virtual.
pub(crate) fn sink_fields(table: &Table) -> Vec<Field> {
    let physical = table.descriptor.schema.fields().iter().map(|field| field.as_ref().clone());
    let metadata = table
        .descriptor
        .metadata
        .iter()
        .filter(|column| !column.is_virtual)
        .map(|column| Field::new(&column.name, column.data_type.clone(), true));
    physical.chain(metadata).collect()
}

fn targets(table: &Table, listed_columns: Option<&[Ident]>) -> Result<Vec<Target>> {
    let fields = sink_fields(table);
    let target = |name: &str| {
        let position = fields.iter().position(|field| field.name() == name)?;
        Some(Target { field: fields[position].clone(), position })
    };
    match listed_columns {
        // Columns match in DDL order.
        None => Ok(table.columns.iter().filter_map(|column| target(column.field.name())).collect()),
        Some(columns) => {
            let mut targets: Vec<Target> = Vec::new();
            for name in columns {
                let found = target(&name.value).ok_or_else(|| {
                    let known = table.columns.iter().find(|column| *column.field.name() == name.value);
                    let message = match known.map(|column| &column.source) {
                        Some(ColumnSource::Computed(_)) => {
                            format!("column '{}' is computed: it cannot be written", name.value)
                        }
                        Some(_) => format!("column '{}' is VIRTUAL: it cannot be written", name.value),
                        None => format!("'{}' has no column '{}'", table.descriptor.name, name.value),
                    };
                    Diagnostic::at(name.span, message)
                })?;
                if targets.iter().any(|known| known.position == found.position) {
                    return Err(Diagnostic::at(name.span, format!("column '{}' is listed twice", name.value)));
                }
                targets.push(found);
            }
            if let Some(missing) = fields
                .iter()
                .find(|field| !field.is_nullable() && !targets.iter().any(|target| target.field.name() == field.name()))
            {
                let span = columns.first().map_or(Span::empty(), |name| name.span);
                return Err(Diagnostic::at(span, format!("column '{}' is NOT NULL and not listed", missing.name())));
            }
            Ok(targets)
        }
    }
}

fn convert(session: &Session, table: &Table, relation: Relation, targets: &[Target], span: Span) -> Result<Rel> {
    let scope = Scope::of(&relation);
    let binder = ExpressionBinder { around: span, ..ExpressionBinder::new(session, &scope, Place::Scalar("INSERT")) };
    let mut columns: Vec<Option<Projection>> = vec![None; sink_fields(table).len()];
    for (index, target) in targets.iter().enumerate() {
        let field = scope.schema.field(index);
        let (from, to) = (field.data_type(), target.field.data_type());
        if !types::converts_implicitly(from, to) {
            return Err(Diagnostic::at(
                span,
                format!(
                    "column {} of the query, '{}', is {}, but '{}' of '{}' is {}",
                    index + 1,
                    relation.fields[index].name,
                    sql_type(from),
                    target.field.name(),
                    table.descriptor.name,
                    sql_type(to)
                ),
            )
            .help(format!("write CAST(… AS {}) or change the type of the column", sql_type(to))));
        }
        let expression = binder.cast(column(&scope.schema, index), to, span)?;
        columns[target.position] = Some(Projection { expression, name: target.field.name().clone() });
    }
    let mut complete = Vec::with_capacity(columns.len());
    for (projection, field) in columns.into_iter().zip(sink_fields(table)) {
        complete.push(match projection {
            Some(projection) => projection,
            None => Projection {
                expression: null_of(field.data_type())
                    .ok_or_else(|| Diagnostic::at(span, format!("column '{}' must be given", field.name())))?,
                name: field.name().clone(),
            },
        });
    }
    Ok(calc(relation.rel, None, complete))
}
