//! UNION ALL: matches columns by position, and converts them to their common types.

use eddyline_job_graph::Projection;
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::calc::{calc, column};
use super::expression::{ExpressionBinder, Place};
use super::relation::{Rel, RelKind, Relation, Role, ScopeField, schema};
use super::scope::Scope;
use super::session::Session;
use crate::diagnostics::{Diagnostic, Result};

/// All rows of all inputs. Columns have the names of the first input and common types.
pub(crate) fn union(session: &Session, inputs: Vec<(Relation, Span)>) -> Result<Relation> {
    let Some((first, span)) = inputs.first() else {
        return Err(Diagnostic::at(Span::empty(), "UNION ALL needs queries"));
    };
    let width = first.fields.len();
    let mut common: Vec<arrow::datatypes::DataType> = (0..width).map(|index| first.data_type(index).clone()).collect();
    let mut nullable: Vec<bool> = first.rel.schema.fields().iter().map(|field| field.is_nullable()).collect();
    let mut roles: Vec<Role> = first.fields.iter().map(|field| field.role).collect();
    for (input, span) in &inputs[1..] {
        if input.fields.len() != width {
            return Err(Diagnostic::at(*span, format!("UNION ALL of {width} and {} columns", input.fields.len())));
        }
        for index in 0..width {
            common[index] = eddyline_functions::common(&common[index], input.data_type(index)).ok_or_else(|| {
                Diagnostic::at(
                    *span,
                    format!(
                        "UNION ALL: column {} is {} here and {} above",
                        index + 1,
                        sql_type(input.data_type(index)),
                        sql_type(&common[index])
                    ),
                )
                .help("convert one of them with CAST")
            })?;
            nullable[index] |= input.rel.schema.field(index).is_nullable();
            if input.fields[index].role != roles[index] {
                let both = roles[index].is_event_time() && input.fields[index].role.is_event_time();
                roles[index] = if both { Role::Rowtime } else { Role::Plain };
            }
        }
    }
    let names: Vec<String> = first.fields.iter().map(|field| field.name.clone()).collect();
    let fields = names
        .iter()
        .zip(&roles)
        .map(|(name, role)| ScopeField { qualifier: None, name: name.clone(), role: *role })
        .collect();
    let output = schema(
        names
            .iter()
            .zip(&common)
            .zip(&nullable)
            .map(|((name, data_type), nullable)| arrow::datatypes::Field::new(name, data_type.clone(), *nullable)),
    );
    let span = *span;
    let mut converted = Vec::with_capacity(inputs.len());
    for (input, _) in inputs {
        converted.push(convert(session, input, &names, &common, span)?);
    }
    Ok(Relation { rel: Rel { schema: output, kind: RelKind::Union { inputs: converted } }, fields })
}

/// The relation with its columns renamed and converted.
fn convert(
    session: &Session,
    input: Relation,
    names: &[String],
    to: &[arrow::datatypes::DataType],
    span: Span,
) -> Result<Rel> {
    let scope = Scope::of(&input);
    let binder =
        ExpressionBinder { around: span, ..ExpressionBinder::new(session, &scope, Place::Scalar("UNION ALL")) };
    let mut columns = Vec::with_capacity(names.len());
    for (index, (name, data_type)) in names.iter().zip(to).enumerate() {
        let expression = binder.cast(column(&scope.schema, index), data_type, span)?;
        columns.push(Projection { expression, name: name.clone() });
    }
    Ok(calc(input.rel, None, columns))
}
