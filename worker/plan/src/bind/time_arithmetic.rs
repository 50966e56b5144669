//! `+ - *` with intervals: a point in time plus or minus an interval, sums of intervals, and multiples of intervals.

use arrow::datatypes::{DataType, TimeUnit};
use eddyline_expression::{Arithmetic, Scalar};
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::expression::ExpressionBinder;
use super::relation::Expression;
use super::types::{self, DAY_TIME, YEAR_MONTH};
use crate::diagnostics::{Diagnostic, Result};

const DAY_MS: i64 = 86_400_000;

impl ExpressionBinder<'_> {
    /// A point in time and an interval, two intervals, or an interval and a number.
    pub(crate) fn move_in_time(
        &self,
        operator: Arithmetic,
        left: Expression,
        right: Expression,
        span: Span,
    ) -> Result<Expression> {
        let is_moved = |t: &DataType| types::is_point_in_time(t) || matches!(t, DataType::Time32(_));
        let (left, right) =
            if operator == Arithmetic::Plus && is_moved(right.data_type()) { (right, left) } else { (left, right) };
        match operator {
            Arithmetic::Multiply if types::is_integer(left.data_type()) => self.times(right, left, span),
            Arithmetic::Multiply if types::is_integer(right.data_type()) => self.times(left, right, span),
            Arithmetic::Plus | Arithmetic::Minus => self.moved(operator, left, right, span),
            _ => refuse(operator, &left, &right, span),
        }
    }

    fn moved(&self, operator: Arithmetic, left: Expression, right: Expression, span: Span) -> Result<Expression> {
        let left = if *left.data_type() == DataType::Null { self.cast(left, &types::TIMESTAMP, span)? } else { left };
        match (left.data_type(), right.data_type()) {
            (a, b) if a == b && (*a == DAY_TIME) => self.binary(operator, left, right, span),
            (DataType::Timestamp(TimeUnit::Millisecond, _), b) if *b == DAY_TIME => {
                self.binary(operator, left, right, span)
            }
            (DataType::Timestamp(TimeUnit::Microsecond, _), b) if *b == DAY_TIME => {
                let right = self.fold(self.cast_plain(right, &DataType::Duration(TimeUnit::Microsecond), span)?);
                self.binary(operator, left, right, span)
            }
            (DataType::Date32, b) if *b == DAY_TIME => {
                // A DATE moves by whole days only.
                let milliseconds = self.cast_plain(right, &DataType::Int64, span)?;
                let day = self.literal(Scalar::Int64(Some(DAY_MS)));
                let days = self.binary(Arithmetic::Divide, milliseconds, day, span)?;
                let days = self.fold(self.cast_plain(days, &DataType::Int32, span)?);
                let left = self.cast_plain(left, &DataType::Int32, span)?;
                let sum = self.binary(operator, left, days, span)?;
                self.cast_plain(sum, &DataType::Date32, span)
            }
            (DataType::Time32(_), b) if *b == DAY_TIME => {
                let milliseconds = self.cast_plain(right, &DataType::Int64, span)?;
                let zero = self.literal(Scalar::Int64(Some(0)));
                let milliseconds = self.fold(self.binary(operator, zero, milliseconds, span)?);
                let unit = self.literal(Scalar::Utf8(Some("MILLISECOND".to_owned())));
                self.call("TIMESTAMPADD", vec![unit, milliseconds, left], span)
            }
            (DataType::Timestamp(..) | DataType::Date32, b) if *b == YEAR_MONTH => {
                self.binary(operator, left, right, span)
            }
            _ => refuse(operator, &left, &right, span),
        }
    }

    /// An interval multiplied by a whole number.
    fn times(&self, interval: Expression, count: Expression, span: Span) -> Result<Expression> {
        if *interval.data_type() == DAY_TIME {
            let milliseconds = self.cast_plain(interval, &DataType::Int64, span)?;
            let count = self.cast(count, &DataType::Int64, span)?;
            let product = self.binary(Arithmetic::Multiply, milliseconds, count, span)?;
            return Ok(self.fold(self.cast_plain(product, &DAY_TIME, span)?));
        }
        let Some(Scalar::IntervalYearMonth(Some(months))) = interval.as_literal() else {
            return refuse(Arithmetic::Multiply, &interval, &count, span);
        };
        let months = self.literal(Scalar::Int32(Some(*months)));
        let count = self.cast(count, &DataType::Int32, span)?;
        let product = self.binary(Arithmetic::Multiply, months, count, span)?;
        Ok(self.fold(self.cast_plain(product, &YEAR_MONTH, span)?))
    }
}

fn refuse(operator: Arithmetic, left: &Expression, right: &Expression, span: Span) -> Result<Expression> {
    let (left, right) = (sql_type(left.data_type()), sql_type(right.data_type()));
    Err(Diagnostic::at(span, format!("operator {operator} is not supported for {left} and {right}")))
}
