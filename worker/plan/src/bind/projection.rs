//! The SELECT list: expansion of `*`, names of columns, and the roles that they keep.

use eddyline_job_graph::Projection;
use sqlparser::ast::{Expr, Ident, SelectItem, SelectItemQualifiedWildcardKind, Spanned};
use sqlparser::tokenizer::Span;

use super::calc::{calc, column};
use super::expression::{ExpressionBinder, Place};
use super::query::place;
use super::relation::{Expression, Rel, Relation, Role, ScopeField};
use super::types;
use crate::diagnostics::{Diagnostic, Result, all};

/// An item of a SELECT list.
pub(crate) struct Item {
    /// The expression. `None` for a column of `*`.
    pub expression: Option<Expr>,
    /// The position of a column of `*`.
    column: usize,
    /// Its name in the result.
    pub name: String,
}

/// The items of a SELECT list, with `*` expanded.
pub(crate) fn expand(relation: &Relation, items: &[SelectItem], span: Span) -> Result<Vec<Item>> {
    let mut expanded = Vec::with_capacity(items.len());
    for item in items {
        match item {
            SelectItem::UnnamedExpr(expression) => {
                let name = name_of(expression).unwrap_or_else(|| format!("EXPR${}", expanded.len()));
                expanded.push(Item { expression: Some(expression.clone()), column: 0, name });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                expanded.push(Item { expression: Some(expr.clone()), column: 0, name: alias.value.clone() });
            }
            SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
                let own = place(options.wildcard_token.0.span, span);
                let plain = options.opt_ilike.is_none()
                    && options.opt_exclude.is_none()
                    && options.opt_except.is_none()
                    && options.opt_replace.is_none()
                    && options.opt_rename.is_none();
                if !plain {
                    return Err(Diagnostic::at(own, "EXCEPT, REPLACE and other modifiers after '*' are not supported")
                        .help("list the columns"));
                }
                let qualifier = match item {
                    SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
                        name.0.last().and_then(|part| part.as_ident()).cloned()
                    }
                    _ => None,
                };
                let before = expanded.len();
                for (index, field) in relation.fields.iter().enumerate() {
                    if qualifier.as_ref().is_none_or(|name| field.qualifier.as_deref() == Some(name.value.as_str())) {
                        expanded.push(Item { expression: None, column: index, name: field.name.clone() });
                    }
                }
                if let Some(name) = qualifier.filter(|_| expanded.len() == before) {
                    return Err(Diagnostic::at(
                        place(name.span, own),
                        format!("there is no table or alias '{}' here", name.value),
                    ));
                }
            }
            SelectItem::ExprWithAliases { .. } => {
                return Err(Diagnostic::at(
                    place(item.span(), span),
                    "several names for one expression are not supported",
                ));
            }
        }
    }
    Ok(expanded)
}

/// Computes the items of a SELECT list. `positions` maps the columns of the binder's scope to those of `rel`.
pub(crate) fn project(
    binder: &ExpressionBinder<'_>,
    rel: Rel,
    items: &[Item],
    positions: Option<&[usize]>,
) -> Result<Relation> {
    let columns = all(items.iter().map(|item| column_of(binder, &rel, item, positions)))?;
    let (columns, fields) = columns.into_iter().unzip();
    Ok(Relation { rel: calc(rel, None, columns), fields })
}

fn column_of(
    binder: &ExpressionBinder<'_>,
    rel: &Rel,
    item: &Item,
    positions: Option<&[usize]>,
) -> Result<(Projection, ScopeField)> {
    let bound = match (&item.expression, binder.place) {
        (Some(expression), _) => binder.bind(expression)?,
        (None, Place::Grouped(grouping)) => {
            let field = &grouping.input.fields[item.column];
            let name = Ident::with_span(binder.around, field.name.clone());
            let expression = match &field.qualifier {
                Some(qualifier) => {
                    Expr::CompoundIdentifier(vec![Ident::with_span(binder.around, qualifier.clone()), name])
                }
                None => Expr::Identifier(name),
            };
            binder.bind(&expression)?
        }
        (None, _) => column(&binder.scope.schema, item.column),
    };
    let span = item.expression.as_ref().map_or(binder.around, |expression| place(expression.span(), binder.around));
    if *bound.data_type() == types::DAY_TIME || *bound.data_type() == types::YEAR_MONTH {
        return Err(Diagnostic::at(span, "a column of type INTERVAL is not supported"));
    }
    let role = role_of(binder, item, &bound);
    let expression = match positions {
        Some(positions) => bound.substitute(&|index| Some(column(&rel.schema, *positions.get(index)?))),
        None => bound,
    };
    let field = ScopeField { qualifier: None, name: item.name.clone(), role };
    Ok((Projection { expression, name: item.name.clone() }, field))
}

/// The role of an item. A column keeps its role, and `PROCTIME()` gives a processing-time attribute.
fn role_of(binder: &ExpressionBinder<'_>, item: &Item, bound: &Expression) -> Role {
    if let Some(index) = bound.as_column() {
        return binder.scope.role(index);
    }
    match &item.expression {
        Some(expression) if is_proctime(expression) => Role::Proctime,
        _ => Role::Plain,
    }
}

/// Whether an expression is `PROCTIME()`.
pub(crate) fn is_proctime(expression: &Expr) -> bool {
    matches!(expression, Expr::Function(function) if function.name.to_string().eq_ignore_ascii_case("PROCTIME"))
}

/// The name that a column gets from its expression, if it gets one.
pub(crate) fn name_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Identifier(name) => Some(name.value.clone()),
        Expr::CompoundIdentifier(path) => path.last().map(|name| name.value.clone()),
        Expr::Nested(inner) => name_of(inner),
        _ => None,
    }
}
