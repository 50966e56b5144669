//! `+ - * / %` of numbers with Flink's result types: whole numbers stay whole, decimals follow Flink's precision rules.

use arrow::datatypes::DataType;
use eddyline_expression::Arithmetic;
use eddyline_functions::{DecimalType, decimal_operator, exact};
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::expression::{ExpressionBinder, refused};
use super::relation::Expression;
use super::types::{self, DAY_TIME, YEAR_MONTH};
use crate::diagnostics::{Diagnostic, Result};

impl ExpressionBinder<'_> {
    /// `left operator right`.
    pub(crate) fn arithmetic(
        &self,
        operator: Arithmetic,
        left: Expression,
        right: Expression,
        span: Span,
    ) -> Result<Expression> {
        let literals = left.as_literal().is_some() && right.as_literal().is_some();
        let result = self.arithmetic_unfolded(operator, left, right, span)?;
        Ok(if literals { self.fold(result) } else { result })
    }

    fn arithmetic_unfolded(
        &self,
        operator: Arithmetic,
        left: Expression,
        right: Expression,
        span: Span,
    ) -> Result<Expression> {
        let is_interval = |t: &DataType| *t == DAY_TIME || *t == YEAR_MONTH;
        if is_interval(left.data_type()) || is_interval(right.data_type()) {
            return self.move_in_time(operator, left, right, span);
        }
        let (left, right) = self.read_as_numbers(left, right, span)?;
        if !types::is_numeric(left.data_type()) || !types::is_numeric(right.data_type()) {
            let mut diagnostic = Diagnostic::at(
                span,
                format!(
                    "operator {operator} takes numbers, not {} and {}",
                    sql_type(left.data_type()),
                    sql_type(right.data_type())
                ),
            );
            if types::is_point_in_time(left.data_type()) && types::is_point_in_time(right.data_type()) {
                diagnostic = diagnostic.help("use TIMESTAMPDIFF(SECOND, a, b) for the time between two timestamps");
            } else if *left.data_type() == DataType::Utf8 && operator == Arithmetic::Plus {
                diagnostic = diagnostic.help("use || or CONCAT to put strings together");
            }
            return Err(diagnostic);
        }
        if operator == Arithmetic::Modulo && !types::is_approximate(left.data_type()) {
            return self.call("MOD", vec![left, right], span);
        }
        let decimals = (exact(left.data_type()), exact(right.data_type()));
        let both_whole = types::is_integer(left.data_type()) && types::is_integer(right.data_type());
        if let (false, (Some(l), Some(r))) = (both_whole, decimals) {
            return self.decimal_arithmetic(operator, (left, l), (right, r), span);
        }
        let Some(common) = eddyline_functions::common(left.data_type(), right.data_type()) else {
            return Err(Diagnostic::at(span, format!("operator {operator} is not defined for these types")));
        };
        // Flink gives FLOAT + DOUBLE the type of the left side.
        let narrows = *left.data_type() == DataType::Float32 && *right.data_type() == DataType::Float64;
        let (left, right) = (self.cast(left, &common, span)?, self.cast(right, &common, span)?);
        let result = self.binary(operator, left, right, span)?;
        if narrows { self.cast(result, &DataType::Float32, span) } else { Ok(result) }
    }

    /// A string operand is converted to a number if the other operand is one. NULL gets the type of the other operand.
    fn read_as_numbers(&self, left: Expression, right: Expression, span: Span) -> Result<(Expression, Expression)> {
        let adapt = |from: Expression, other: &DataType| match from.data_type() {
            DataType::Null if types::is_numeric(other) => self.cast(from, other, span),
            DataType::Null if *other == DataType::Null => self.cast(from, &DataType::Int32, span),
            DataType::Utf8 if types::is_numeric(other) => {
                let to = if types::is_approximate(other) { DataType::Float64 } else { DataType::Decimal128(38, 19) };
                self.cast(from, &to, span)
            }
            _ => Ok(from),
        };
        let (left_type, right_type) = (left.data_type().clone(), right.data_type().clone());
        Ok((adapt(left, &right_type)?, adapt(right, &left_type)?))
    }

    fn decimal_arithmetic(
        &self,
        operator: Arithmetic,
        (left, of_left): (Expression, DecimalType),
        (right, of_right): (Expression, DecimalType),
        span: Span,
    ) -> Result<Expression> {
        let result = result_type(operator, of_left, of_right);
        let left = self.cast(left, &DataType::Decimal128(of_left.0, of_left.1), span)?;
        let right = self.cast(right, &DataType::Decimal128(of_right.0, of_right.1), span)?;
        self.call_exact(decimal_operator(operator, of_left, of_right, result), vec![left, right], span)
    }

    /// Arrow's cast, which can differ from SQL's.
    pub(crate) fn cast_plain(&self, bound: Expression, to: &DataType, span: Span) -> Result<Expression> {
        let cast = Expression::cast(bound, to, false).map_err(|error| refused(&error, span))?;
        Ok(cast)
    }

    /// An operator on two operands of types that it accepts.
    pub(crate) fn binary(
        &self,
        operator: Arithmetic,
        left: Expression,
        right: Expression,
        span: Span,
    ) -> Result<Expression> {
        let result = Expression::calculate(operator, left, right);
        result.map_err(|error| refused(&error, span))
    }
}

/// Flink's type of a decimal result.
pub(crate) fn result_type(operator: Arithmetic, (p1, s1): DecimalType, (p2, s2): DecimalType) -> DecimalType {
    let (p1, s1, p2, s2) = (i16::from(p1), i16::from(s1), i16::from(p2), i16::from(s2));
    let (precision, scale) = match operator {
        Arithmetic::Multiply => (p1 + p2 + 1, s1 + s2),
        Arithmetic::Divide => {
            let scale = (s1 + p2 + 1).max(6);
            (p1 - s1 + s2 + scale, scale)
        }
        Arithmetic::Modulo => ((p1 - s1).min(p2 - s2) + s1.max(s2), s1.max(s2)),
        _ => {
            let scale = s1.max(s2);
            ((p1 - s1).max(p2 - s2) + scale + 1, scale)
        }
    };
    let (precision, scale) = if precision <= 38 {
        (precision.max(1), scale)
    } else {
        // As in Flink, the scale is reduced to keep the digits before the point, but not below 6.
        (38, (38 - (precision - scale)).max(scale.min(6)))
    };
    // Both are within 0..=38 now.
    (precision as u8, scale.clamp(0, 38) as i8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_types_follow_flink() {
        assert_eq!(result_type(Arithmetic::Multiply, (4, 3), (19, 0)), (24, 3));
        assert_eq!(result_type(Arithmetic::Plus, (10, 2), (10, 2)), (11, 2));
        assert_eq!(result_type(Arithmetic::Divide, (10, 2), (10, 2)), (23, 13));
        assert_eq!(result_type(Arithmetic::Multiply, (38, 18), (38, 18)), (38, 6));
        assert_eq!(result_type(Arithmetic::Modulo, (10, 2), (5, 3)), (5, 3));
    }
}
