//! Builds Calcs. Adjacent Calcs are merged: the lower one's expressions replace the columns of the upper one.

use arrow::datatypes::{Field, SchemaRef};
use eddyline_expression::Kind;
use eddyline_job_graph::Projection;

use super::relation::{Expression, Rel, RelKind, schema};

/// The column at a position.
pub(crate) fn column(schema: &SchemaRef, index: usize) -> Expression {
    Expression::column(index, schema.field(index))
}

/// A Calc over `input`, merged with a Calc below it if possible.
pub(crate) fn calc(input: Rel, filter: Option<Expression>, columns: Vec<Projection>) -> Rel {
    let fields = columns.iter().map(|projection| field(&projection.name, &projection.expression));
    let output = schema(fields);
    if let RelKind::Calc { columns: below, .. } = &input.kind
        && can_merge(below, filter.as_ref(), &columns)
        && let RelKind::Calc { input: base, filter: filter_below, columns: below } = input.kind
    {
        let replace = |index: usize| below.get(index).map(|projection| projection.expression.clone());
        let filter = filter.map(|filter| filter.substitute(&replace));
        let columns = columns
            .into_iter()
            .map(|projection| Projection {
                expression: fold_casts(&projection.expression.substitute(&replace)),
                name: projection.name,
            })
            .collect();
        let filter = both(filter_below, filter);
        return Rel { schema: output, kind: RelKind::Calc { input: base, filter, columns } };
    }
    Rel { schema: output, kind: RelKind::Calc { input: Box::new(input), filter, columns } }
}

/// Folds casts of literals. A cast that fails stays, and fails when it runs.
fn fold_casts(expression: &Expression) -> Expression {
    expression.transform(&mut |node| match node.kind() {
        Kind::Cast { value, .. } if value.as_literal().is_some() => node.constant().map(Expression::literal),
        _ => None,
    })
}

/// The output column of an expression.
pub(crate) fn field(name: &str, expression: &Expression) -> Field {
    Field::new(name, expression.data_type().clone(), expression.nullable())
}

/// Whether the lower Calc can be merged into the upper one. It cannot if a costly expression would be computed twice,
/// or a volatile one at another place.
fn can_merge(below: &[Projection], filter: Option<&Expression>, above: &[Projection]) -> bool {
    let mut uses = vec![0usize; below.len()];
    for expression in filter.into_iter().chain(above.iter().map(|projection| &projection.expression)) {
        expression.visit(&mut |node| {
            if let Some(count) = node.as_column().and_then(|index| uses.get_mut(index)) {
                *count += 1;
            }
        });
    }
    let deepest =
        |expressions: &mut dyn Iterator<Item = &Expression>| expressions.map(Expression::depth).max().unwrap_or(0);
    let depth_below = deepest(&mut below.iter().map(|projection| &projection.expression));
    let depth_above = deepest(&mut above.iter().map(|projection| &projection.expression).chain(filter));
    depth_below + depth_above <= DEPTH_MAX
        && below.iter().zip(uses).all(|(projection, uses)| {
            !projection.expression.is_volatile() && (uses <= 1 || is_cheap(&projection.expression))
        })
}

/// The maximum depth of an expression after a substitution.
pub(crate) const DEPTH_MAX: usize = 400;

/// The size and depth that an expression would have after a substitution: `replacements` are the sizes and depths of
/// the expressions that replace its columns.
pub(crate) fn measure(expression: &Expression, replacements: &[(usize, usize)]) -> (usize, usize) {
    if let Some(replacement) = expression.as_column().and_then(|index| replacements.get(index)) {
        return *replacement;
    }
    let parts = expression.children().into_iter().map(|child| measure(child, replacements));
    let (size, depth) =
        parts.fold((0usize, 0usize), |(size, depth), part| (size.saturating_add(part.0), depth.max(part.1)));
    (size.saturating_add(1), depth + 1)
}

/// Whether it costs nothing to compute an expression again: columns, literals and fields of rows.
fn is_cheap(expression: &Expression) -> bool {
    match expression.kind() {
        Kind::Column { .. } | Kind::Literal(_) => true,
        Kind::Field { row, .. } => is_cheap(row),
        _ => false,
    }
}

/// The conjunction of both filters. The second is not evaluated for a row that the first drops if it could fail on it.
pub(crate) fn both(first: Option<Expression>, second: Option<Expression>) -> Option<Expression> {
    match (first, second) {
        (Some(first), Some(second)) => Some(Expression::and(first, second).expect("filters are BOOLEAN")),
        (first, second) => first.or(second),
    }
}

/// Whether a Calc would only forward its input.
pub(crate) fn is_identity(filter: Option<&Expression>, columns: &[Projection], input: &SchemaRef) -> bool {
    filter.is_none()
        && columns.len() == input.fields().len()
        && columns.iter().enumerate().all(|(index, projection)| projection.expression.as_column() == Some(index))
}
