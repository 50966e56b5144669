//! Binds function calls, and syntax that is equivalent to one: EXTRACT, SUBSTRING … FROM, LIKE, `array[i]`, `(a, b)`.

use std::sync::Arc;

use arrow::datatypes::DataType;
use eddyline_expression::{Comparison, Scalar, ScalarFunction};
use eddyline_stream::sql_type;
use sqlparser::ast::{
    AccessExpr, CeilFloorKind, DateTimeField, DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Spanned, Subscript, TrimWhereField, Value, ValueWithSpan,
};
use sqlparser::tokenizer::Span;

use super::aggregates;
use super::expression::{ExpressionBinder, Place, refused};
use super::relation::Expression;
use crate::diagnostics::{Diagnostic, Result, all, is_empty};
use crate::suggestion::nearest;

impl ExpressionBinder<'_> {
    /// Binds a call, or an expression that is equivalent to one.
    pub(crate) fn bind_call_node(&self, expression: &Expr, span: Span) -> Result<Expression> {
        match expression {
            Expr::Function(function) => self.bind_function(function, span),
            Expr::Extract { field, expr, .. } => self.call_with_unit("EXTRACT", field, &[expr], span),
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call_on("FLOOR", &[expr], span)
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) } => {
                self.call_on("CEIL", &[expr], span)
            }
            Expr::Floor { expr, field: CeilFloorKind::DateTimeField(unit) } => {
                self.call_with_unit("FLOOR_TO", unit, &[expr], span)
            }
            Expr::Ceil { expr, field: CeilFloorKind::DateTimeField(unit) } => {
                self.call_with_unit("CEIL_TO", unit, &[expr], span)
            }
            Expr::Position { expr, r#in } => self.call_on("POSITION", &[expr, r#in], span),
            Expr::Substring { expr, substring_from, substring_for, .. } => {
                let Some(from) = substring_from else {
                    return Err(Diagnostic::at(span, "SUBSTRING needs FROM"));
                };
                let mut args: Vec<&Expr> = vec![expr, from];
                args.extend(substring_for.as_deref());
                self.call_on("SUBSTRING", &args, span)
            }
            Expr::Trim { trim_where, trim_what, expr, trim_characters } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "LTRIM",
                    Some(TrimWhereField::Trailing) => "RTRIM",
                    Some(TrimWhereField::Both) | None => "BTRIM",
                };
                let mut args: Vec<&Expr> = vec![expr];
                args.extend(trim_what.as_deref());
                args.extend(trim_characters.iter().flatten());
                self.call_on(name, &args, span)
            }
            Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut args: Vec<&Expr> = vec![expr, overlay_what, overlay_from];
                args.extend(overlay_for.as_deref());
                self.call_on("OVERLAY", &args, span)
            }
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.bind_like(expr, pattern, escape_char.as_ref(), *negated, span)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char: None } => {
                self.bind_similar(expr, pattern, *negated, span)
            }
            Expr::Array(array) => self.call_on("ARRAY", &array.elem.iter().collect::<Vec<_>>(), span),
            Expr::Tuple(fields) => self.call_on("ROW", &fields.iter().collect::<Vec<_>>(), span),
            Expr::CompoundFieldAccess { root, access_chain } => self.bind_access(root, access_chain, span),
            other => Err(unsupported(other, span)),
        }
    }

    fn bind_function(&self, function: &Function, span: Span) -> Result<Expression> {
        let name = function_name(function, span)?;
        let upper = name.value.to_ascii_uppercase();
        let name_span = if is_empty(name.span) { span } else { name.span };
        if function.over.is_some() {
            return match self.place {
                Place::Over(calls) => aggregates::bind_over(self, calls, &upper, function, name_span),
                Place::Grouped(_) => Err(Diagnostic::at(name_span, "OVER in a query with GROUP BY is not supported")
                    .help("put the GROUP BY into a subquery")),
                Place::Scalar(clause) => {
                    Err(Diagnostic::at(name_span, format!("{upper} … OVER is not allowed in {clause}"))
                        .help("OVER belongs in the SELECT list of a query without GROUP BY"))
                }
            };
        }
        if aggregates::is_aggregate(&upper) {
            return match self.place {
                Place::Grouped(grouping) => aggregates::bind_grouped(self, grouping, &upper, function, name_span),
                Place::Over(_) => Err(Diagnostic::at(name_span, format!("{upper} needs GROUP BY or OVER here"))),
                Place::Scalar(clause) => {
                    Err(Diagnostic::at(name_span, format!("aggregate {upper} is not allowed in {clause}")))
                }
            };
        }
        if let Some(diagnostic) = aggregates::refused(&upper, name_span) {
            return Err(diagnostic);
        }
        // Reported before problems of its arguments, which may be valid for the function that was meant.
        if self.session.function(&name.value).is_none() {
            return Err(self.no_function(&name.value, name_span));
        }
        if function.filter.is_some() || !function.within_group.is_empty() || function.null_treatment.is_some() {
            return Err(Diagnostic::at(
                name_span,
                format!("{upper} is not an aggregate: it takes no FILTER, WITHIN GROUP or NULLS"),
            ));
        }
        let args = arguments(function, span)?;
        if let ("TIMESTAMPADD" | "TIMESTAMPDIFF", [Expr::Identifier(unit), rest @ ..]) =
            (upper.as_str(), args.as_slice())
        {
            let mut bound = vec![self.literal(Scalar::Utf8(Some(unit.value.clone())))];
            bound.extend(all(rest.iter().map(|arg| self.bind(arg)))?);
            return self.call_at(&name.value, bound, name_span, span);
        }
        let bound = all(args.iter().map(|arg| self.bind(arg)))?;
        if let ("NULLIF", [value, other]) = (upper.as_str(), bound.as_slice())
            && *value.data_type() != DataType::Null
        {
            return self.null_if(value.clone(), other.clone(), span);
        }
        self.call_at(&name.value, bound, name_span, span)
    }

    /// `NULLIF(value, other)`: compares both in a common type. The result has the type of the first.
    fn null_if(&self, value: Expression, other: Expression, span: Span) -> Result<Expression> {
        let equal = self.compare_bound(Comparison::Eq, value.clone(), other, span)?;
        let null = self.null(value.data_type(), span)?;
        let case = Expression::case(None, vec![(equal, null)], Some(value));
        case.map_err(|error| refused(&error, span))
    }

    fn call_on(&self, name: &str, args: &[&Expr], span: Span) -> Result<Expression> {
        let bound = all(args.iter().map(|arg| self.bind(arg)))?;
        self.call(name, bound, span)
    }

    fn call_with_unit(&self, name: &str, unit: &DateTimeField, args: &[&Expr], span: Span) -> Result<Expression> {
        let mut bound = vec![self.literal(Scalar::Utf8(Some(unit.to_string())))];
        bound.extend(all(args.iter().map(|arg| self.bind(arg)))?);
        self.call(name, bound, span)
    }

    /// A call of the scalar function `name`, with its arguments converted to the types that it accepts.
    pub(crate) fn call(&self, name: &str, args: Vec<Expression>, span: Span) -> Result<Expression> {
        self.call_at(name, args, span, span)
    }

    fn call_at(&self, name: &str, args: Vec<Expression>, name_span: Span, span: Span) -> Result<Expression> {
        let Some(function) = self.session.function(name) else { return Err(self.no_function(name, name_span)) };
        let given: Vec<DataType> = args.iter().map(|arg| arg.data_type().clone()).collect();
        let coerced = function.coerce(&given).map_err(|error| {
            let types: Vec<String> = given.iter().map(sql_type).collect();
            let call = format!("{} cannot be called with ({})", name.to_ascii_uppercase(), types.join(", "));
            Diagnostic::at(span, format!("function {call}")).help(error.to_string())
        })?;
        let mut converted = Vec::with_capacity(args.len());
        for (arg, data_type) in args.into_iter().zip(&coerced) {
            converted.push(self.cast(arg, data_type, span)?);
        }
        self.call_exact(function, converted, span)
    }

    /// The error about OVER after a function that is not an aggregate.
    pub(crate) fn not_over(&self, name: &str, span: Span) -> Diagnostic {
        match self.session.function(name) {
            Some(_) => Diagnostic::at(span, format!("{} cannot be used with OVER", name.to_ascii_uppercase())),
            None => self.no_function(name, span),
        }
    }

    /// The error about an unknown function.
    fn no_function(&self, name: &str, span: Span) -> Diagnostic {
        let names = self.session.function_names();
        let known = aggregates::NAMES.into_iter().chain(names.iter().map(String::as_str));
        let diagnostic = Diagnostic::at(span, format!("there is no function '{name}'"));
        match nearest(name, known) {
            Some(near) => diagnostic.help(format!("did you mean {}?", near.to_ascii_uppercase())),
            None => diagnostic,
        }
    }

    /// A call of a function with arguments that already have the types it accepts.
    pub(crate) fn call_exact(
        &self,
        function: Arc<dyn ScalarFunction>,
        args: Vec<Expression>,
        span: Span,
    ) -> Result<Expression> {
        // Nested JSON is recognized by the call that produces it. Folding the call to a literal would hide that.
        let makes_json = matches!(function.name(), "json_object" | "json_array");
        let is_literal = |arg: &Expression| arg.as_literal().is_some();
        let all_literals = !makes_json && !args.is_empty() && args.iter().all(is_literal);
        let call = Expression::call(function, args).map_err(|error| refused(&error, span))?;
        Ok(if all_literals { self.fold(call) } else { call })
    }

    fn bind_like(
        &self,
        expr: &Expr,
        pattern: &Expr,
        escape: Option<&ValueWithSpan>,
        negated: bool,
        span: Span,
    ) -> Result<Expression> {
        let value = self.string(expr, "LIKE", span)?;
        let pattern = self.string(pattern, "LIKE", span)?;
        let escape = match escape.map(|escape| &escape.value) {
            None => None,
            Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 => text.chars().next(),
            Some(_) => return Err(Diagnostic::at(span, "ESCAPE takes one character")),
        };
        // Arrow always escapes with a backslash. Flink escapes only with the character of ESCAPE.
        let pattern = match pattern.as_literal() {
            Some(Scalar::Utf8(Some(text))) => {
                let text = like_pattern(text, escape)
                    .ok_or_else(|| Diagnostic::at(span, "the escape character must be followed by %, _ or itself"))?;
                self.literal(Scalar::Utf8(Some(text)))
            }
            _ if escape.is_some() => {
                return Err(Diagnostic::at(span, "LIKE … ESCAPE takes a pattern that is a literal"));
            }
            _ => pattern,
        };
        let like = Expression::like(value, pattern, negated);
        like.map_err(|error| refused(&error, span))
    }

    fn bind_similar(&self, expr: &Expr, pattern: &Expr, negated: bool, span: Span) -> Result<Expression> {
        let value = self.string(expr, "SIMILAR TO", span)?;
        let pattern = self.string(pattern, "SIMILAR TO", span)?;
        let Some(Scalar::Utf8(Some(text))) = pattern.as_literal() else {
            return Err(Diagnostic::at(span, "SIMILAR TO takes a pattern that is a literal"));
        };
        let similar = Expression::similar(value, text.clone(), &similar_pattern(text), negated);
        similar.map_err(|error| refused(&error, span))
    }

    fn string(&self, expr: &Expr, what: &str, span: Span) -> Result<Expression> {
        let bound = self.bind(expr)?;
        match bound.data_type() {
            DataType::Utf8 => Ok(bound),
            DataType::Null => self.cast(bound, &DataType::Utf8, span),
            other => Err(Diagnostic::at(span, format!("{what} takes strings, not {}", sql_type(other)))),
        }
    }

    /// `a[1].b['c']`.
    fn bind_access(&self, root: &Expr, chain: &[AccessExpr], span: Span) -> Result<Expression> {
        let mut bound = self.bind(root)?;
        for access in chain {
            bound = match access {
                AccessExpr::Dot(Expr::Identifier(name)) => self.field_of_row(bound, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let index = self.bind(index)?;
                    let literals = [&bound, &index].iter().all(|part| part.as_literal().is_some());
                    let element = Expression::element(bound, index);
                    let element = element.map_err(|error| refused(&error, span))?;
                    if literals { self.fold(element) } else { element }
                }
                AccessExpr::Dot(_) | AccessExpr::Subscript(_) => {
                    return Err(Diagnostic::at(span, format!("'{access}' is not supported here")));
                }
            };
        }
        Ok(bound)
    }
}

/// The name of a function, which has no qualifier.
pub(crate) fn function_name(function: &Function, span: Span) -> Result<Ident> {
    match function.name.0.as_slice() {
        [part] => part.as_ident().cloned().ok_or_else(|| Diagnostic::at(span, "expected the name of a function")),
        _ => Err(Diagnostic::at(span, format!("there is no function '{}'", function.name))
            .help("functions have no qualifier: catalogs are not supported")),
    }
}

/// The arguments of a plain call.
fn arguments(function: &Function, span: Span) -> Result<Vec<&Expr>> {
    let name = function.name.to_string().to_ascii_uppercase();
    match &function.args {
        FunctionArguments::None => Ok(Vec::new()),
        FunctionArguments::Subquery(_) => Err(Diagnostic::at(span, format!("{name} does not take a subquery"))),
        FunctionArguments::List(list) => {
            if matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct)) {
                return Err(Diagnostic::at(span, format!("{name} is not an aggregate: it takes no DISTINCT")));
            }
            if !list.clauses.is_empty() {
                return Err(Diagnostic::at(span, format!("{name} does not take {}", list.clauses[0])));
            }
            list.args
                .iter()
                .map(|arg| match arg {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                    FunctionArg::Unnamed(_) => Err(Diagnostic::at(span, format!("{name}(*) is not a function"))),
                    other => Err(Diagnostic::at(other.span(), format!("{name} has no named arguments"))),
                })
                .collect()
        }
    }
}

/// The pattern with a backslash as its escape character. `None` if the escape character precedes a character that
/// cannot be escaped.
fn like_pattern(pattern: &str, escape: Option<char>) -> Option<String> {
    let mut result = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        if Some(c) == escape {
            match chars.next()? {
                special @ ('%' | '_') => result.extend(['\\', special]),
                same if Some(same) == escape => {
                    if same == '\\' {
                        result.push('\\');
                    }
                    result.push(same);
                }
                _ => return None,
            }
        } else if c == '\\' {
            result.push_str("\\\\");
        } else {
            result.push(c);
        }
    }
    Some(result)
}

/// The regular expression of a SIMILAR TO pattern.
fn similar_pattern(pattern: &str) -> String {
    let mut result = String::from("^(?s:");
    let mut in_class = false;
    for c in pattern.chars() {
        match c {
            '[' => in_class = true,
            ']' => in_class = false,
            _ => {}
        }
        match c {
            '%' if !in_class => result.push_str(".*"),
            '_' if !in_class => result.push('.'),
            '.' | '^' | '$' | '\\' if !in_class => result.extend(['\\', c]),
            _ => result.push(c),
        }
    }
    result.push_str(")$");
    result
}

/// The error about syntax that is not supported.
fn unsupported(expression: &Expr, span: Span) -> Diagnostic {
    let (what, help) = match expression {
        Expr::InSubquery { .. } => ("IN with a subquery", Some("joins are not supported yet")),
        Expr::Exists { .. } => ("EXISTS", Some("joins are not supported yet")),
        Expr::Subquery(_) => ("a subquery as a value", Some("joins are not supported yet")),
        Expr::AtTimeZone { .. } => ("AT TIME ZONE", Some("use CONVERT_TZ or SET 'table.local-time-zone'")),
        Expr::ILike { .. } => ("ILIKE", Some("use LOWER(x) LIKE …")),
        Expr::RLike { .. } => ("RLIKE", Some("use REGEXP(x, pattern)")),
        Expr::SimilarTo { .. } => ("SIMILAR TO … ESCAPE", None),
        Expr::Like { .. } => ("LIKE ANY", None),
        Expr::Floor { .. } | Expr::Ceil { .. } => ("FLOOR and CEIL with a scale", Some("use ROUND or TRUNCATE")),
        Expr::GroupingSets(_) | Expr::Cube(_) | Expr::Rollup(_) => ("GROUPING SETS, CUBE and ROLLUP", None),
        Expr::AnyOp { .. } | Expr::AllOp { .. } => ("ANY and ALL", None),
        Expr::Wildcard(_) | Expr::QualifiedWildcard(..) => ("'*' as a value", None),
        Expr::Collate { .. } => ("COLLATE", None),
        _ => ("this expression", None),
    };
    let diagnostic = Diagnostic::at(span, format!("{what} is not supported"));
    match help {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
