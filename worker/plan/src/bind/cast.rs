//! Conversions between types. Conversions of literals are evaluated by the planner.

use arrow::datatypes::DataType;
use eddyline_expression::Scalar;
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::expression::ExpressionBinder;
use super::relation::Expression;
use super::types;
use crate::diagnostics::{Diagnostic, Result};

impl ExpressionBinder<'_> {
    /// The value converted to a type, as `CAST` does it. NULL and literals are converted by the planner.
    pub(crate) fn cast(&self, bound: Expression, to: &DataType, span: Span) -> Result<Expression> {
        self.cast_as(bound, to, false, span)
    }

    /// The value converted to a type. With `or_null`, a value that cannot be converted becomes NULL.
    pub(crate) fn cast_as(&self, bound: Expression, to: &DataType, or_null: bool, span: Span) -> Result<Expression> {
        if *bound.data_type() == *to {
            return Ok(bound);
        }
        if bound.as_literal().is_some_and(Scalar::is_null) {
            return self.null(to, span);
        }
        let refuse =
            || Diagnostic::at(span, format!("{} cannot be converted to {}", sql_type(bound.data_type()), sql_type(to)));
        let cast = if let Some(udf) = self.session.flink_cast(bound.data_type(), to, or_null) {
            self.call_exact(udf, vec![bound.clone()], span)?
        } else if bound.data_type().is_nested() {
            // Arrow would match the fields of a ROW by name.
            return Err(refuse());
        } else {
            let cast = Expression::cast(bound.clone(), to, or_null);
            cast.map_err(|_| refuse())?
        };
        if cast.data_type() != to {
            return Err(refuse());
        }
        Ok(if bound.as_literal().is_some() { self.fold(cast) } else { cast })
    }

    /// NULL of a type.
    pub(crate) fn null(&self, data_type: &DataType, span: Span) -> Result<Expression> {
        let value = Scalar::null(data_type)
            .map_err(|_| Diagnostic::at(span, format!("NULL of type {} is not supported", sql_type(data_type))))?;
        Ok(Expression::literal(value))
    }

    /// The expression's value as a literal, if it has no columns and its evaluation does not fail.
    pub(crate) fn fold(&self, bound: Expression) -> Expression {
        bound.folded()
    }

    /// Both values converted to their common type, for comparisons and the branches of CASE. A string is converted to
    /// the type of the other value.
    pub(crate) fn unify(
        &self,
        left: Expression,
        right: Expression,
        what: &str,
        span: Span,
    ) -> Result<(Expression, Expression)> {
        let to = common_type(left.data_type(), right.data_type()).ok_or_else(|| {
            Diagnostic::at(
                span,
                format!(
                    "{what} takes values of one type, not {} and {}",
                    sql_type(left.data_type()),
                    sql_type(right.data_type())
                ),
            )
            .help("convert one of them with CAST")
        })?;
        Ok((self.cast_literal(left, &to, span)?, self.cast_literal(right, &to, span)?))
    }

    /// All values converted to their common type.
    pub(crate) fn unify_all(&self, values: Vec<Expression>, what: &str, span: Span) -> Result<Vec<Expression>> {
        let mut common = DataType::Null;
        for value in &values {
            common = common_type(&common, value.data_type()).ok_or_else(|| {
                let (a, b) = (sql_type(&common), sql_type(value.data_type()));
                Diagnostic::at(span, format!("{what} takes values of one type, not {a} and {b}"))
                    .help("convert one of them with CAST")
            })?;
        }
        values.into_iter().map(|value| self.cast_literal(value, &common, span)).collect()
    }

    /// Like [`Self::cast`], but a literal that cannot be converted is an error of planning, not of the running job. As
    /// in Flink, a string that is compared with a date or timestamp and cannot be converted is NULL.
    fn cast_literal(&self, bound: Expression, to: &DataType, span: Span) -> Result<Expression> {
        let literal = bound.as_literal().map(ToString::to_string);
        let or_null = literal.is_none() && *bound.data_type() == DataType::Utf8 && types::is_point_in_time(to);
        let cast = self.cast_as(bound, to, or_null, span)?;
        match literal {
            Some(text) if cast.as_literal().is_none() => {
                Err(Diagnostic::at(span, format!("{text} is not a {}", sql_type(to))))
            }
            _ => Ok(cast),
        }
    }
}

/// The common type of two values. A string is converted to the type of the other value.
fn common_type(left: &DataType, right: &DataType) -> Option<DataType> {
    let readable = |t: &DataType| {
        types::is_numeric(t) || types::is_point_in_time(t) || matches!(t, DataType::Time32(_) | DataType::Binary)
    };
    match (left, right) {
        (DataType::Utf8, other) | (other, DataType::Utf8) if readable(other) => Some(other.clone()),
        (a, b) => eddyline_functions::common(a, b),
    }
}
