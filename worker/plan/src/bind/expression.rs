//! Binds expressions: names become column positions, operators and functions get Flink's types.

use arrow::datatypes::DataType;
use eddyline_expression::{Arithmetic, Comparison, Error, Scalar, has_floats};
use eddyline_functions::cut;
use eddyline_stream::sql_type;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType as AstDataType, Expr, Ident, ObjectNamePart, Spanned, UnaryOperator,
    Value,
};
use sqlparser::tokenizer::Span;

use super::calc::column;
use super::grouping::Grouping;
use super::over::OverCalls;
use super::relation::Expression;
use super::scope::{Scope, row_field};
use super::session::Session;
use super::types::{self, DAY_TIME, YEAR_MONTH};
use crate::diagnostics::{Diagnostic, Result, all, both, is_empty};
use crate::parse::dialect::tokenize;
use crate::parse::interval::{self, Interval};
use crate::parse::tokens::Tokens;
use crate::parse::types::parse_type;

/// The maximum depth of an expression.
const DEPTH_MAX: usize = 400;

/// What an expression may contain in addition to columns and scalar functions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place<'a> {
    /// Nothing. The name of the clause is for messages.
    Scalar(&'static str),
    /// Aggregates. Of the columns, only the grouped ones are allowed.
    Grouped(&'a Grouping),
    /// Aggregates with OVER.
    Over(&'a OverCalls),
}

/// Binds the expressions of one clause.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpressionBinder<'a> {
    /// The functions.
    pub session: &'a Session,
    /// The columns.
    pub scope: &'a Scope,
    /// The clause.
    pub place: Place<'a>,
    /// The depth of the current expression.
    pub depth: usize,
    /// The place of the enclosing expression, for parts without a place of their own.
    pub around: Span,
}

impl<'a> ExpressionBinder<'a> {
    /// A binder for a clause.
    pub(crate) fn new(session: &'a Session, scope: &'a Scope, place: Place<'a>) -> Self {
        Self { session, scope, place, depth: 0, around: Span::empty() }
    }

    /// The same binder where only scalar expressions are allowed.
    pub(crate) fn scalar(&self, clause: &'static str) -> Self {
        Self { place: Place::Scalar(clause), ..*self }
    }

    /// Binds an expression.
    pub(crate) fn bind(&self, expression: &Expr) -> Result<Expression> {
        let own = expression.span();
        let span = if is_empty(own) { self.around } else { own };
        if self.depth >= DEPTH_MAX {
            return Err(Diagnostic::at(span, "the expression is nested too deeply"));
        }
        let binder = Self { depth: self.depth + 1, around: span, ..*self };
        if let Place::Grouped(grouping) = self.place
            && let Some(bound) = grouping.key_of(&binder, expression)
        {
            return Ok(bound);
        }
        binder.bind_node(expression, span)
    }

    /// Binds a condition.
    pub(crate) fn bind_condition(&self, expression: &Expr, clause: &str) -> Result<Expression> {
        let bound = self.bind(expression)?;
        let own = expression.span();
        self.boolean(bound, clause, if is_empty(own) { self.around } else { own })
    }

    fn boolean(&self, bound: Expression, what: &str, span: Span) -> Result<Expression> {
        match bound.data_type() {
            DataType::Boolean => Ok(bound),
            DataType::Null => self.null(&DataType::Boolean, span),
            other => Err(Diagnostic::at(span, format!("{what} takes a condition (BOOLEAN), not {}", sql_type(other)))),
        }
    }

    /// A literal.
    pub(crate) fn literal(&self, value: Scalar) -> Expression {
        Expression::literal(value)
    }

    fn bind_node(&self, expression: &Expr, span: Span) -> Result<Expression> {
        match expression {
            Expr::Nested(inner) => self.bind(inner),
            Expr::Identifier(name) => self.bind_path(std::slice::from_ref(name), span),
            Expr::CompoundIdentifier(path) => self.bind_path(path, span),
            Expr::Value(value) => self.bind_value(&value.value, span),
            Expr::TypedString(typed) => self.bind_typed_string(&typed.data_type, &typed.value.value, span),
            Expr::Interval(literal) => self.bind_interval(interval::of_literal(literal), span),
            Expr::BinaryOp { left, op, right } => self.bind_binary(left, op, right, span),
            Expr::UnaryOp { op, expr } => self.bind_unary(*op, expr, span),
            Expr::IsNull(inner) => {
                let inner = self.bind(inner)?;
                Ok(Expression::is_null(inner))
            }
            Expr::IsNotNull(inner) => {
                let inner = self.bind(inner)?;
                Ok(Expression::is_not_null(inner))
            }
            Expr::IsTrue(inner) => self.is_boolean(inner, Some(true), false, span),
            Expr::IsNotTrue(inner) => self.is_boolean(inner, Some(true), true, span),
            Expr::IsFalse(inner) => self.is_boolean(inner, Some(false), false, span),
            Expr::IsNotFalse(inner) => self.is_boolean(inner, Some(false), true, span),
            Expr::IsUnknown(inner) => self.is_boolean(inner, None, false, span),
            Expr::IsNotUnknown(inner) => self.is_boolean(inner, None, true, span),
            Expr::IsDistinctFrom(left, right) => self.compare(Comparison::Distinct, left, right, span),
            Expr::IsNotDistinctFrom(left, right) => self.compare(Comparison::NotDistinct, left, right, span),
            Expr::Between { expr, negated, low, high } => self.bind_between(expr, low, high, *negated, span),
            Expr::InList { expr, list, negated } => self.bind_in_list(expr, list, *negated, span),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.bind_case(operand.as_deref(), conditions, else_result.as_deref(), span)
            }
            Expr::Cast { kind, expr, data_type, .. } => self.bind_cast(kind, expr, data_type, span),
            other => self.bind_call_node(other, span),
        }
    }

    fn bind_path(&self, path: &[Ident], span: Span) -> Result<Expression> {
        if let Place::Grouped(grouping) = self.place {
            return Err(grouping.not_grouped(path, span));
        }
        let (index, taken) = match self.scope.resolve(path, span) {
            Ok(found) => found,
            // To the parser, functions without parentheses, such as CURRENT_DATE, are names.
            Err(error) => match path {
                [name] if name.quote_style.is_none() && is_niladic(&name.value) => {
                    return self.call(&name.value, Vec::new(), span);
                }
                _ => return Err(error),
            },
        };
        let mut bound = column(&self.scope.schema, index);
        for name in &path[taken..] {
            bound = self.field_of_row(bound, name)?;
        }
        Ok(bound)
    }

    /// `row.name`.
    pub(crate) fn field_of_row(&self, row: Expression, name: &Ident) -> Result<Expression> {
        row_field(row.data_type(), name)?;
        let is_literal = row.as_literal().is_some();
        let field = Expression::field(row, &name.value);
        let field = field.map_err(|error| refused(&error, name.span))?;
        Ok(if is_literal { self.fold(field) } else { field })
    }

    fn bind_value(&self, value: &Value, span: Span) -> Result<Expression> {
        match value {
            Value::Number(text, _) => {
                number(text).map(|value| self.literal(value)).map_err(|message| Diagnostic::at(span, message))
            }
            Value::SingleQuotedString(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => Ok(self.literal(Scalar::Utf8(Some(text.clone())))),
            Value::HexStringLiteral(text) => {
                let bytes: Option<Vec<u8>> = (text.len() % 2 == 0 && text.is_ascii())
                    .then(|| {
                        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
                    })
                    .flatten();
                let bytes = bytes.ok_or_else(|| Diagnostic::at(span, "expected pairs of hexadecimal digits"))?;
                Ok(self.literal(Scalar::Binary(Some(bytes))))
            }
            Value::Boolean(value) => Ok(self.literal(Scalar::Boolean(Some(*value)))),
            Value::Null => Ok(self.literal(Scalar::Null)),
            other => Err(Diagnostic::at(span, format!("literal {other} is not supported"))),
        }
    }

    /// `DATE '…'`, `TIME '…'`, `TIMESTAMP '…'`.
    fn bind_typed_string(&self, data_type: &AstDataType, value: &Value, span: Span) -> Result<Expression> {
        let Value::SingleQuotedString(text) = value else {
            return Err(Diagnostic::at(span, "expected a string in single quotes"));
        };
        let fraction = text.rsplit_once('.').map_or(0, |(_, digits)| digits.len());
        let to = match data_type {
            AstDataType::Date => DataType::Date32,
            AstDataType::Time(..) => DataType::Time32(arrow::datatypes::TimeUnit::Millisecond),
            AstDataType::Timestamp(..) if fraction > 3 => {
                DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)
            }
            AstDataType::Timestamp(..) => types::TIMESTAMP,
            other => return Err(Diagnostic::at(span, format!("literals of type {other} are not supported"))),
        };
        let bound = self.cast(self.literal(Scalar::Utf8(Some(text.clone()))), &to, span)?;
        match bound.as_literal() {
            Some(value) if !value.is_null() => Ok(bound),
            _ => Err(Diagnostic::at(span, format!("'{text}' is not a {}", sql_type(&to)))),
        }
    }

    fn bind_interval(&self, value: std::result::Result<Interval, String>, span: Span) -> Result<Expression> {
        Ok(match value.map_err(|message| Diagnostic::at(span, message))? {
            Interval::Milliseconds(value) => self.literal(Scalar::DurationMillisecond(Some(value))),
            Interval::Months(value) => self.literal(Scalar::IntervalYearMonth(Some(value))),
        })
    }

    fn bind_unary(&self, op: UnaryOperator, inner: &Expr, span: Span) -> Result<Expression> {
        match op {
            UnaryOperator::Plus => self.bind(inner),
            UnaryOperator::Not => {
                let bound = self.bind(inner)?;
                let bound = self.boolean(bound, "NOT", span)?;
                self.negated(bound, span)
            }
            UnaryOperator::Minus => {
                if let Expr::Value(value) = inner
                    && let Value::Number(text, _) = &value.value
                {
                    let negative = number(&format!("-{text}")).map_err(|message| Diagnostic::at(span, message))?;
                    return Ok(self.literal(negative));
                }
                let bound = self.bind(inner)?;
                let is_interval = *bound.data_type() == DAY_TIME || *bound.data_type() == YEAR_MONTH;
                if !types::is_numeric(bound.data_type()) && !is_interval {
                    let name = sql_type(bound.data_type());
                    return Err(Diagnostic::at(span, format!("'-' takes a number, not {name}")));
                }
                let is_literal = bound.as_literal().is_some();
                let negative = Expression::negate(bound).map_err(|error| refused(&error, span))?;
                Ok(if is_literal { self.fold(negative) } else { negative })
            }
            other => Err(Diagnostic::at(span, format!("operator {other} is not supported"))),
        }
    }

    fn bind_binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr, span: Span) -> Result<Expression> {
        let arithmetic = match op {
            BinaryOperator::Plus => Some(Arithmetic::Plus),
            BinaryOperator::Minus => Some(Arithmetic::Minus),
            BinaryOperator::Multiply => Some(Arithmetic::Multiply),
            BinaryOperator::Divide => Some(Arithmetic::Divide),
            BinaryOperator::Modulo => Some(Arithmetic::Modulo),
            _ => None,
        };
        if let Some(operator) = arithmetic {
            let (left, right) = both(self.bind(left), self.bind(right))?;
            return self.arithmetic(operator, left, right, span);
        }
        match op {
            BinaryOperator::Eq => self.compare(Comparison::Eq, left, right, span),
            BinaryOperator::NotEq => self.compare(Comparison::NotEq, left, right, span),
            BinaryOperator::Lt => self.compare(Comparison::Lt, left, right, span),
            BinaryOperator::LtEq => self.compare(Comparison::LtEq, left, right, span),
            BinaryOperator::Gt => self.compare(Comparison::Gt, left, right, span),
            BinaryOperator::GtEq => self.compare(Comparison::GtEq, left, right, span),
            BinaryOperator::And => {
                let (left, right) = both(self.bind_condition(left, "AND"), self.bind_condition(right, "AND"))?;
                self.both(left, right, span)
            }
            BinaryOperator::Or => {
                let (left, right) = both(self.bind_condition(left, "OR"), self.bind_condition(right, "OR"))?;
                self.either(left, right, span)
            }
            BinaryOperator::StringConcat => {
                let args = all([self.bind(left), self.bind(right)])?;
                self.call("CONCAT", args, span)
            }
            other => Err(Diagnostic::at(span, format!("operator {other} is not supported"))),
        }
    }

    fn compare(&self, operator: Comparison, left: &Expr, right: &Expr, span: Span) -> Result<Expression> {
        if let (Comparison::Eq, Expr::Tuple(left), Expr::Tuple(right)) = (operator, left, right)
            && left.len() == right.len()
        {
            return self.equal_fields(left, right, span);
        }
        let (left, right) = both(self.bind(left), self.bind(right))?;
        self.compare_bound(operator, left, right, span)
    }

    /// `(a, b) = (c, d)` means `a = c AND b = d`, with its NULL semantics.
    fn equal_fields(&self, left: &[Expr], right: &[Expr], span: Span) -> Result<Expression> {
        let mut all: Option<Expression> = None;
        for (left, right) in left.iter().zip(right) {
            let equal = self.compare(Comparison::Eq, left, right, span)?;
            all = Some(match all {
                Some(before) => self.both(before, equal, span)?,
                None => equal,
            });
        }
        all.ok_or_else(|| Diagnostic::at(span, "a row needs at least one field"))
    }

    /// `left operator right`, both converted to their common type.
    pub(crate) fn compare_bound(
        &self,
        operator: Comparison,
        left: Expression,
        right: Expression,
        span: Span,
    ) -> Result<Expression> {
        if *left.data_type() == DataType::Null && *right.data_type() == DataType::Null {
            return self.null(&DataType::Boolean, span);
        }
        let (left, right) = self.unify(left, right, &format!("operator {operator}"), span)?;
        if matches!(left.data_type(), DataType::Map(..)) {
            return Err(Diagnostic::at(span, format!("{} cannot be compared", sql_type(left.data_type()))));
        }
        let is_literal = |side: &Expression| side.as_literal().is_some();
        // Other comparisons are not folded, because the meanings in checkpoints contain them unfolded.
        let folds = has_floats(left.data_type()) && is_literal(&left) && is_literal(&right);
        let compared = compare(operator, left, right, span)?;
        Ok(if folds { self.fold(compared) } else { compared })
    }

    fn both(&self, left: Expression, right: Expression, span: Span) -> Result<Expression> {
        let both = Expression::and(left, right);
        both.map_err(|error| refused(&error, span))
    }

    fn either(&self, left: Expression, right: Expression, span: Span) -> Result<Expression> {
        let either = Expression::or(left, right);
        either.map_err(|error| refused(&error, span))
    }

    fn is_boolean(&self, inner: &Expr, value: Option<bool>, negated: bool, span: Span) -> Result<Expression> {
        let bound = self.bind(inner)?;
        let bound = self.boolean(bound, "IS", span)?;
        let operator = if negated { Comparison::Distinct } else { Comparison::NotDistinct };
        compare(operator, bound, self.literal(Scalar::Boolean(value)), span)
    }

    fn bind_between(&self, expr: &Expr, low: &Expr, high: &Expr, negated: bool, span: Span) -> Result<Expression> {
        let (value, (low, high)) = both(self.bind(expr), both(self.bind(low), self.bind(high)))?;
        let above =
            self.compare_bound(if negated { Comparison::Lt } else { Comparison::GtEq }, value.clone(), low, span)?;
        let below = self.compare_bound(if negated { Comparison::Gt } else { Comparison::LtEq }, value, high, span)?;
        if negated { self.either(above, below, span) } else { self.both(above, below, span) }
    }

    fn bind_in_list(&self, expr: &Expr, list: &[Expr], negated: bool, span: Span) -> Result<Expression> {
        if let Expr::Tuple(_) = expr {
            return self.bind_in_rows(expr, list, negated, span);
        }
        let values = all(std::iter::once(expr).chain(list).map(|value| self.bind(value)))?;
        let mut values = self.unify_all(values, "IN", span)?.into_iter();
        let Some(value) = values.next() else { return Err(Diagnostic::at(span, "IN takes a list of values")) };
        if has_floats(value.data_type()) {
            let list: Vec<Expression> = values.collect();
            let any = self.equals_any(&value, &list, span)?;
            return if negated { self.negated(any, span) } else { Ok(any) };
        }
        let list: Vec<Expression> = values.collect();
        let one_of = Expression::one_of(value, list, negated);
        one_of.map_err(|error| refused(&error, span))
    }

    /// `(a, b) IN ((c, d), …)`.
    fn bind_in_rows(&self, row: &Expr, list: &[Expr], negated: bool, span: Span) -> Result<Expression> {
        let mut any: Option<Expression> = None;
        for item in list {
            let equal = self.compare(Comparison::Eq, row, item, span)?;
            any = Some(match any {
                Some(before) => self.either(before, equal, span)?,
                None => equal,
            });
        }
        let any = any.ok_or_else(|| Diagnostic::at(span, "IN takes a list of values"))?;
        if negated { self.negated(any, span) } else { Ok(any) }
    }

    fn negated(&self, condition: Expression, span: Span) -> Result<Expression> {
        Expression::not(condition).map_err(|error| refused(&error, span))
    }

    /// Whether the value equals one in the list. The list is halved, so that a long list does not nest deeply.
    fn equals_any(&self, value: &Expression, list: &[Expression], span: Span) -> Result<Expression> {
        match list {
            [] => Ok(self.literal(Scalar::Boolean(Some(false)))),
            [item] => self.compare_bound(Comparison::Eq, value.clone(), item.clone(), span),
            _ => {
                let (first, second) = list.split_at(list.len() / 2);
                let (first, second) = (self.equals_any(value, first, span)?, self.equals_any(value, second, span)?);
                self.either(first, second, span)
            }
        }
    }

    fn bind_case(
        &self,
        operand: Option<&Expr>,
        conditions: &[CaseWhen],
        otherwise: Option<&Expr>,
        span: Span,
    ) -> Result<Expression> {
        let whens = conditions.iter().map(|CaseWhen { condition, .. }| match operand {
            Some(_) => self.bind(condition),
            None => self.bind_condition(condition, "WHEN"),
        });
        let results = conditions.iter().map(|CaseWhen { result, .. }| result).chain(otherwise);
        let (mut whens, results) = both(all(whens), all(results.map(|result| self.bind(result))))?;
        let operand = match operand {
            Some(operand) => {
                let mut values = vec![self.bind(operand)?];
                values.append(&mut whens);
                let mut values = self.unify_all(values, "CASE", span)?.into_iter();
                let operand = values.next();
                whens = values.collect();
                match operand {
                    // Arrow's comparison of floating-point numbers differs from Flink's.
                    Some(operand) if has_floats(operand.data_type()) => {
                        for when in &mut whens {
                            *when = self.compare_bound(Comparison::Eq, operand.clone(), when.clone(), span)?;
                        }
                        None
                    }
                    operand => operand,
                }
            }
            None => None,
        };
        if results.iter().all(|result| *result.data_type() == DataType::Null) {
            return Err(
                Diagnostic::at(span, "CASE has no result but NULL").help("give one a type with CAST(NULL AS …)")
            );
        }
        let mut results = self.unify_all(results, "CASE", span)?;
        let otherwise = if otherwise.is_some() { results.pop() } else { None };
        let branches = whens.into_iter().zip(results).collect();
        let case = Expression::case(operand, branches, otherwise);
        case.map_err(|error| refused(&error, span))
    }

    fn bind_cast(&self, kind: &CastKind, expr: &Expr, data_type: &AstDataType, span: Span) -> Result<Expression> {
        let AstDataType::Custom(name, _) = data_type else {
            return Err(Diagnostic::at(span, "expected CAST(… AS type)"));
        };
        let Some(ObjectNamePart::Identifier(name)) = name.0.first() else {
            return Err(Diagnostic::at(span, "expected CAST(… AS type)"));
        };
        // The dialect joined the tokens of the type by blanks, so their places are lost. Errors point at its start.
        let at_type = |diagnostic: Diagnostic| Diagnostic {
            help: diagnostic.help,
            ..Diagnostic::at(name.span, diagnostic.message)
        };
        let tokens = tokenize(&name.value).map_err(|error| Diagnostic::at(name.span, error.message))?;
        let mut tokens = Tokens::new(&tokens, name.span);
        let to = parse_type(&mut tokens).map_err(at_type)?;
        if !tokens.is_at_end() {
            return Err(at_type(tokens.expected("')' after the type")));
        }
        let bound = self.bind(expr)?;
        let from = bound.data_type().clone();
        if types::has_no_cast(&from, &to.data_type) {
            return Err(no_cast(&from, &to.data_type, span));
        }
        let cast = self.cast_as(bound, &to.data_type, *kind == CastKind::TryCast, span)?;
        match cut(cast.data_type(), &to.shape) {
            Some(udf) if from != DataType::Null => self.call_exact(udf, vec![cast], span),
            _ => Ok(cast),
        }
    }
}

/// The error about a CAST that Flink does not support.
fn no_cast(from: &DataType, to: &DataType, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::at(span, format!("{} cannot be converted to {}", sql_type(from), sql_type(to)));
    match (from, to) {
        (from, DataType::Timestamp(..)) if types::is_numeric(from) => {
            diagnostic.help("use TO_TIMESTAMP_LTZ(seconds, 0) or TO_TIMESTAMP_LTZ(milliseconds, 3)")
        }
        (DataType::Timestamp(..), to) if types::is_numeric(to) => {
            diagnostic.help("use UNIX_TIMESTAMP(CAST(x AS STRING)) for the seconds since 1970")
        }
        _ => diagnostic,
    }
}

/// A number literal: INT, or BIGINT or DECIMAL if it is larger; DECIMAL with a point; DOUBLE with an exponent.
fn number(text: &str) -> std::result::Result<Scalar, String> {
    let bad = || format!("number {text} is out of range");
    if text.contains(['e', 'E']) {
        return text
            .parse()
            .ok()
            .filter(|value: &f64| value.is_finite())
            .map(|value| Scalar::Float64(Some(value)))
            .ok_or_else(bad);
    }
    if let Some((whole, fraction)) = text.split_once('.') {
        let digits = whole.trim_start_matches('-').len() + fraction.len();
        let value: i128 = format!("{whole}{fraction}").parse().map_err(|_| bad())?;
        if digits > 38 || fraction.len() > 38 {
            return Err(bad());
        }
        // Both were checked to be at most 38.
        return Ok(Scalar::Decimal128(Some(value), digits.max(1) as u8, fraction.len() as i8));
    }
    if let Ok(value) = text.parse::<i32>() {
        return Ok(Scalar::Int32(Some(value)));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Scalar::Int64(Some(value)));
    }
    let digits = text.trim_start_matches('-').trim_start_matches('0').len();
    match text.parse::<i128>() {
        Ok(value) if digits <= 38 => Ok(Scalar::Decimal128(Some(value), digits.max(1) as u8, 0)),
        _ => Err(bad()),
    }
}

/// Whether a name is a function that may be called without parentheses.
fn is_niladic(name: &str) -> bool {
    ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIMESTAMP", "LOCALTIME", "PI"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

fn compare(operator: Comparison, left: Expression, right: Expression, span: Span) -> Result<Expression> {
    Expression::compare(operator, left, right).map_err(|error| refused(&error, span))
}

/// The error about an expression that cannot be built.
pub(crate) fn refused(error: &Error, span: Span) -> Diagnostic {
    Diagnostic::at(span, error.to_string())
}
