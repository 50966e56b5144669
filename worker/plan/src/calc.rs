//! Building Calcs: adjacent ones become one by putting the lower one's expressions in place of its columns.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::{Field, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::Operator;
use datafusion_physical_expr::ScalarFunctionExpr;
use datafusion_physical_expr::expressions::{BinaryExpr, CaseExpr, CastExpr, Column, Literal};
use eddyline_functions::never_fails;
use eddyline_job_graph::Projection;

use crate::cast::evaluate;
use crate::relation::{Expression, Rel, RelKind, schema};

/// The column at a position.
pub(crate) fn column(schema: &SchemaRef, index: usize) -> Expression {
    Arc::new(Column::new(schema.field(index).name(), index))
}

/// The column that an expression is, if it is nothing else.
pub(crate) fn as_column(expression: &Expression) -> Option<usize> {
    expression.downcast_ref::<Column>().map(Column::index)
}

/// The value that an expression is, if it is a literal.
pub(crate) fn as_literal(expression: &Expression) -> Option<&ScalarValue> {
    expression.downcast_ref::<Literal>().map(Literal::value)
}

/// Whether two expressions compute the same.
pub(crate) fn same(a: &Expression, b: &Expression) -> bool {
    a.as_ref() == b.as_ref()
}

/// The columns that an expression reads.
pub(crate) fn columns_of(expression: &Expression, into: &mut BTreeSet<usize>) {
    // The closure never fails.
    let _ = expression.apply(|node| {
        into.extend(as_column(node));
        Ok(TreeNodeRecursion::Continue)
    });
}

/// The expression with every column replaced by what `replace` gives for its position.
pub(crate) fn substitute(expression: &Expression, replace: &dyn Fn(usize) -> Option<Expression>) -> Expression {
    Arc::clone(expression)
        .transform_up(|node| {
            let replaced = as_column(&node).and_then(replace);
            Ok(replaced.map_or_else(|| Transformed::no(node), Transformed::yes))
        })
        .map_or_else(|_| Arc::clone(expression), |transformed| transformed.data)
}

/// The expression with its columns moved to other positions; columns that are not in the map stay.
pub(crate) fn remap(expression: &Expression, positions: &BTreeMap<usize, usize>, schema: &SchemaRef) -> Expression {
    substitute(expression, &|index| {
        let position = *positions.get(&index)?;
        Some(column(schema, position))
    })
}

/// A Calc over `input`, merged with what is below, or `input` itself when nothing would be done.
pub(crate) fn calc(input: Rel, filter: Option<Expression>, columns: Vec<Projection>) -> Rel {
    let fields = columns.iter().map(|projection| field_of(projection, &input.schema));
    let output = schema(fields);
    if let RelKind::Calc { columns: below, .. } = &input.kind
        && can_merge(below, filter.as_ref(), &columns)
        && let RelKind::Calc { input: base, filter: filter_below, columns: below } = input.kind
    {
        let replace = |index: usize| below.get(index).map(|projection| Arc::clone(&projection.expression));
        let filter = filter.map(|filter| substitute(&filter, &replace));
        let columns = columns
            .into_iter()
            .map(|projection| Projection {
                expression: fold_casts(&substitute(&projection.expression, &replace)),
                name: projection.name,
            })
            .collect();
        let filter = both(filter_below, filter);
        return Rel { schema: output, kind: RelKind::Calc { input: base, filter, columns } };
    }
    Rel { schema: output, kind: RelKind::Calc { input: Box::new(input), filter, columns } }
}

/// The expression with conversions of literals done now. What cannot be converted stays, to fail when it runs.
fn fold_casts(expression: &Expression) -> Expression {
    Arc::clone(expression)
        .transform_up(|node| {
            let of_literal = node.downcast_ref::<CastExpr>().is_some_and(|cast| as_literal(cast.expr()).is_some());
            let value = if of_literal { evaluate(&node) } else { None };
            Ok(match value {
                Some(value) => Transformed::yes(Arc::new(Literal::new(value)) as Expression),
                None => Transformed::no(node),
            })
        })
        .map_or_else(|_| Arc::clone(expression), |transformed| transformed.data)
}

/// The field of a computed column.
pub(crate) fn field_of(projection: &Projection, input: &SchemaRef) -> Field {
    // Expressions are built with checked types, so both questions have an answer.
    let data_type = projection.expression.data_type(input).unwrap_or(arrow::datatypes::DataType::Null);
    let nullable = projection.expression.nullable(input).unwrap_or(true);
    Field::new(&projection.name, data_type, nullable)
}

/// Whether the lower Calc can be put into the upper one: not when it would compute something costly twice, or something
/// volatile at another place.
fn can_merge(below: &[Projection], filter: Option<&Expression>, above: &[Projection]) -> bool {
    let mut uses = vec![0usize; below.len()];
    for expression in filter.into_iter().chain(above.iter().map(|projection| &projection.expression)) {
        let _ = expression.apply(|node| {
            if let Some(count) = as_column(node).and_then(|index| uses.get_mut(index)) {
                *count += 1;
            }
            Ok(TreeNodeRecursion::Continue)
        });
    }
    let deepest = |expressions: &mut dyn Iterator<Item = &Expression>| expressions.map(depth).max().unwrap_or(0);
    let depth_below = deepest(&mut below.iter().map(|projection| &projection.expression));
    let depth_above = deepest(&mut above.iter().map(|projection| &projection.expression).chain(filter));
    depth_below + depth_above <= DEPTH_MAX
        && below.iter().zip(uses).all(|(projection, uses)| {
            !is_volatile(&projection.expression) && (uses <= 1 || is_cheap(&projection.expression))
        })
}

/// How deep an expression may become by putting others into it.
pub(crate) const DEPTH_MAX: usize = 400;

/// How deep an expression is.
pub(crate) fn depth(expression: &Expression) -> usize {
    1 + expression.children().into_iter().map(depth).max().unwrap_or(0)
}

/// How large and how deep an expression would be with `replacements` in place of its columns.
pub(crate) fn measure(expression: &Expression, replacements: &[(usize, usize)]) -> (usize, usize) {
    if let Some(replacement) = as_column(expression).and_then(|index| replacements.get(index)) {
        return *replacement;
    }
    let parts = expression.children().into_iter().map(|child| measure(child, replacements));
    let (size, depth) =
        parts.fold((0usize, 0usize), |(size, depth), part| (size.saturating_add(part.0), depth.max(part.1)));
    (size.saturating_add(1), depth + 1)
}

/// Whether computing it again costs nothing: columns, literals and fields of rows.
fn is_cheap(expression: &Expression) -> bool {
    let is_field = expression.downcast_ref::<ScalarFunctionExpr>().is_some_and(|call| call.fun().name() == "get_field");
    as_column(expression).is_some()
        || as_literal(expression).is_some()
        || (is_field && expression.children().into_iter().all(is_cheap))
}

/// Both filters. A row that the first drops never reaches the second if that could fail on it.
pub(crate) fn both(first: Option<Expression>, second: Option<Expression>) -> Option<Expression> {
    match (first, second) {
        (Some(first), Some(second)) if can_fail(&second) => {
            let no: Expression = Arc::new(Literal::new(ScalarValue::Boolean(Some(false))));
            CaseExpr::try_new(None, vec![(Arc::clone(&first), Arc::clone(&second))], Some(no))
                .map(|case| Arc::new(case) as Expression)
                .ok()
                .or_else(|| Some(Arc::new(BinaryExpr::new(first, Operator::And, second))))
        }
        (Some(first), Some(second)) => Some(Arc::new(BinaryExpr::new(first, Operator::And, second))),
        (first, second) => first.or(second),
    }
}

/// Whether evaluating it can fail: divisions, casts and functions can.
pub(crate) fn can_fail(expression: &Expression) -> bool {
    let own = if let Some(binary) = expression.downcast_ref::<BinaryExpr>() {
        matches!(binary.op(), Operator::Divide | Operator::Modulo)
    } else if let Some(call) = expression.downcast_ref::<ScalarFunctionExpr>() {
        call.fun().name() != "get_field" && !never_fails(call.fun().name())
    } else {
        expression.downcast_ref::<CastExpr>().is_some()
    };
    own || expression.children().into_iter().any(can_fail)
}

/// Whether a Calc would only hand on its input.
pub(crate) fn is_identity(filter: Option<&Expression>, columns: &[Projection], input: &SchemaRef) -> bool {
    filter.is_none()
        && columns.len() == input.fields().len()
        && columns.iter().enumerate().all(|(index, projection)| as_column(&projection.expression) == Some(index))
}

/// Whether it gives another result each time.
pub(crate) fn is_volatile(expression: &Expression) -> bool {
    expression.is_volatile_node() || expression.children().into_iter().any(is_volatile)
}
