//! Aggregate calls: the functions, their arguments, and Flink's types of their results.

use arrow::datatypes::DataType;
use eddyline_expression::Scalar;
use eddyline_functions::{pack, unpack};
use eddyline_job_graph::AggregateFunction;
use eddyline_stream::sql_type;
use sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, NullTreatment,
    visit_expressions,
};
use sqlparser::tokenizer::Span;

use super::expression::ExpressionBinder;
use super::grouping::Grouping;
use super::over::OverCalls;
use super::relation::Expression;
use super::types;
use crate::diagnostics::{Diagnostic, Result};

/// An aggregate call, bound to the columns of its input. It is not yet split into columns of an operator.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The function.
    pub function: AggregateFunction,
    /// Its argument.
    pub argument: Option<Expression>,
    /// Whether equal arguments count once.
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expression>,
    /// The type that the operator computes.
    pub computed: DataType,
    /// The type that SQL requires. The result is converted if it differs.
    pub result: DataType,
    /// The call as EXPLAIN shows it.
    pub name: String,
}

impl Draft {
    /// Whether both compute the same.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.function == other.function
            && self.distinct == other.distinct
            && self.result == other.result
            && self.argument == other.argument
            && self.filter == other.filter
    }

    /// Whether the result can be NULL.
    pub(crate) fn is_nullable(&self) -> bool {
        !matches!(self.function, AggregateFunction::CountStar | AggregateFunction::Count)
    }
}

/// The names of the aggregates.
pub(crate) const NAMES: [&str; 14] = [
    "COUNT",
    "SUM",
    "AVG",
    "MIN",
    "MAX",
    "STDDEV_POP",
    "STDDEV_SAMP",
    "STDDEV",
    "VAR_POP",
    "VAR_SAMP",
    "VARIANCE",
    "FIRST_VALUE",
    "LAST_VALUE",
    "LISTAGG",
];

/// Whether there is an aggregate of this name (in capitals).
pub(crate) fn is_aggregate(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The error about a function of Flink that is not supported; `None` for other names.
pub(crate) fn refused(name: &str, span: Span) -> Option<Diagnostic> {
    let help = match name {
        "ROW_NUMBER" | "RANK" | "DENSE_RANK" | "NTILE" | "PERCENT_RANK" | "CUME_DIST" => {
            "Top-N and deduplication are not supported yet"
        }
        "LAG" | "LEAD" => "for preceding rows, use aggregates with OVER",
        "TUMBLE" | "HOP" | "SESSION" | "CUMULATE" | "TUMBLE_START" | "TUMBLE_END" | "TUMBLE_ROWTIME" | "HOP_START"
        | "HOP_END" | "HOP_ROWTIME" | "SESSION_START" | "SESSION_END" | "SESSION_ROWTIME" | "TUMBLE_PROCTIME"
        | "HOP_PROCTIME" | "SESSION_PROCTIME" => {
            "use a window table function: FROM TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
        }
        "COLLECT"
        | "ARRAY_AGG"
        | "JSON_OBJECTAGG"
        | "JSON_ARRAYAGG"
        | "APPROX_COUNT_DISTINCT"
        | "PERCENTILE"
        | "NTH_VALUE"
        | "SINGLE_VALUE"
        | "GROUPING"
        | "GROUPING_ID" => {
            "the aggregates are COUNT, SUM, AVG, MIN, MAX, STDDEV_POP, STDDEV_SAMP, VAR_POP, VAR_SAMP, FIRST_VALUE, LAST_VALUE, LISTAGG"
        }
        _ => return None,
    };
    Some(Diagnostic::at(span, format!("{name} is not supported")).help(help))
}

/// The aggregate calls in the expressions: those with OVER, or those without.
pub(crate) fn calls_in<'a>(expressions: impl IntoIterator<Item = &'a Expr>, over: bool) -> Vec<Function> {
    let mut calls = Vec::new();
    for expression in expressions {
        let _ = visit_expressions(expression, |node: &Expr| {
            if let Expr::Function(function) = node
                && function.over.is_some() == over
                && (over || is_aggregate(&function.name.to_string().to_ascii_uppercase()))
            {
                calls.push(function.clone());
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
    }
    calls
}

/// Binds an aggregate call. `binder` knows the columns of the rows that are aggregated.
pub(crate) fn bind(binder: &ExpressionBinder<'_>, name: &str, function: &Function, span: Span) -> Result<Draft> {
    let binder = binder.scalar("an aggregate");
    let FunctionArguments::List(list) = &function.args else {
        return Err(Diagnostic::at(span, format!("{name} needs an argument")));
    };
    if !function.within_group.is_empty() {
        return Err(Diagnostic::at(span, "WITHIN GROUP is not supported"));
    }
    if !list.clauses.is_empty() {
        return Err(Diagnostic::at(span, format!("{name} does not take {}", list.clauses[0])));
    }
    if matches!(function.null_treatment, Some(NullTreatment::RespectNulls)) {
        return Err(Diagnostic::at(span, "RESPECT NULLS is not supported"));
    }
    let distinct = matches!(list.duplicate_treatment, Some(DuplicateTreatment::Distinct));
    let filter = match &function.filter {
        Some(filter) => Some(binder.bind_condition(filter, "FILTER")?),
        None => None,
    };
    let text = display(function);
    let mut arguments = Vec::new();
    for arg in &list.args {
        match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Wildcard | FunctionArgExpr::WildcardWithOptions(_))
                if name == "COUNT" && !distinct && list.args.len() == 1 =>
            {
                return Ok(Draft {
                    function: AggregateFunction::CountStar,
                    argument: None,
                    distinct: false,
                    filter,
                    computed: DataType::Int64,
                    result: DataType::Int64,
                    name: text,
                });
            }
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => arguments.push(binder.bind(expr)?),
            _ => return Err(Diagnostic::at(span, format!("{name} does not take this argument"))),
        }
    }
    let mut arguments = arguments.into_iter();
    let Some(argument) = arguments.next() else {
        return Err(Diagnostic::at(span, format!("{name} needs an argument")));
    };
    let separator = arguments.next();
    if arguments.next().is_some() || (separator.is_some() && name != "LISTAGG") {
        return Err(Diagnostic::at(span, format!("{name} takes one argument")));
    }
    let argument =
        if *argument.data_type() == DataType::Null { binder.cast(argument, &DataType::Int32, span)? } else { argument };
    let (function, argument, computed, result) = typed(&binder, name, argument, separator, span)?;
    let (argument, computed) = flat(&binder, argument, computed, distinct, span)?;
    // COUNT of a column that is never NULL is COUNT(*). DISTINCT does not change a minimum or maximum.
    let distinct = distinct && !matches!(function, AggregateFunction::Min | AggregateFunction::Max);
    if function == AggregateFunction::Count && !distinct && !argument.nullable() {
        return Ok(Draft {
            function: AggregateFunction::CountStar,
            argument: None,
            distinct,
            filter,
            computed,
            result,
            name: text,
        });
    }
    Ok(Draft { function, argument: Some(argument), distinct, filter, computed, result, name: text })
}

/// Accumulators hold flat values. So an ARRAY, MAP or ROW that is kept, or compared with others, is packed into BYTES.
fn flat(
    binder: &ExpressionBinder<'_>,
    argument: Expression,
    computed: DataType,
    distinct: bool,
    span: Span,
) -> Result<(Expression, DataType)> {
    let is_kept = computed == *argument.data_type();
    if !argument.data_type().is_nested() || !(is_kept || distinct) {
        return Ok((argument, computed));
    }
    let packed = binder.call_exact(pack(argument.data_type()), vec![argument], span)?;
    Ok((packed, if is_kept { DataType::Binary } else { computed }))
}

/// The function, its argument in the type that the operator accepts, the type it computes, and the type SQL requires.
fn typed(
    binder: &ExpressionBinder<'_>,
    name: &str,
    argument: Expression,
    separator: Option<Expression>,
    span: Span,
) -> Result<(AggregateFunction, Expression, DataType, DataType)> {
    let data_type = argument.data_type().clone();
    let refuse = || Diagnostic::at(span, format!("{name} is not defined for {}", sql_type(&data_type)));
    let average = match &data_type {
        DataType::Decimal128(_, scale) => DataType::Decimal128(38, (*scale).max(6)),
        other => other.clone(),
    };
    Ok(match name {
        "COUNT" => (AggregateFunction::Count, argument, DataType::Int64, DataType::Int64),
        "FIRST_VALUE" => (AggregateFunction::FirstValue, argument, data_type.clone(), data_type),
        "LAST_VALUE" => (AggregateFunction::LastValue, argument, data_type.clone(), data_type),
        "MIN" | "MAX" => {
            if data_type.is_nested()
                || matches!(data_type, DataType::Binary | DataType::Duration(_) | DataType::Interval(_))
            {
                return Err(refuse());
            }
            let function = if name == "MIN" { AggregateFunction::Min } else { AggregateFunction::Max };
            (function, argument, data_type.clone(), data_type)
        }
        "LISTAGG" => {
            if data_type != DataType::Utf8 {
                return Err(refuse().help("convert the argument with CAST(… AS STRING)"));
            }
            let separator = match separator.as_ref().map(|bound| bound.as_literal()) {
                None => ",".to_owned(),
                Some(Some(Scalar::Utf8(Some(text)))) => text.clone(),
                Some(_) => return Err(Diagnostic::at(span, "the separator of LISTAGG must be a string literal")),
            };
            (AggregateFunction::ListAgg { separator }, argument, data_type.clone(), data_type)
        }
        _ if !types::is_numeric(&data_type) => return Err(refuse()),
        "SUM" => {
            let sum = match &data_type {
                DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
                other => other.clone(),
            };
            (AggregateFunction::Sum, argument, sum.clone(), sum)
        }
        "AVG" if data_type == DataType::Float32 => {
            let argument = binder.cast(argument, &DataType::Float64, span)?;
            (AggregateFunction::Avg, argument, DataType::Float64, DataType::Float32)
        }
        "AVG" => (AggregateFunction::Avg, argument, average.clone(), average),
        _ => {
            let function = match name {
                "STDDEV_POP" => AggregateFunction::StddevPop,
                "STDDEV_SAMP" | "STDDEV" => AggregateFunction::StddevSamp,
                "VAR_POP" => AggregateFunction::VarPop,
                _ => AggregateFunction::VarSamp,
            };
            let argument = binder.cast(argument, &DataType::Float64, span)?;
            (function, argument, DataType::Float64, average)
        }
    })
}

/// Binds a call in a query with GROUP BY: to the column with its result.
pub(crate) fn bind_grouped(
    binder: &ExpressionBinder<'_>,
    grouping: &Grouping,
    name: &str,
    function: &Function,
    span: Span,
) -> Result<Expression> {
    let below = ExpressionBinder { scope: &grouping.input, ..*binder };
    let draft = bind(&below, name, function, span)?;
    let Some(index) = grouping.drafts.iter().position(|known| known.is_same(&draft)) else {
        return Err(Diagnostic::at(span, format!("{name} is not allowed here")));
    };
    result_of(binder, grouping.entries.len() + index, &draft, span)
}

/// Binds a call with OVER: to the column with its result.
pub(crate) fn bind_over(
    binder: &ExpressionBinder<'_>,
    calls: &OverCalls,
    name: &str,
    function: &Function,
    span: Span,
) -> Result<Expression> {
    let below = ExpressionBinder { scope: &calls.input, ..*binder };
    if !is_aggregate(name) {
        return Err(refused(name, span).unwrap_or_else(|| binder.not_over(name, span)));
    }
    let draft = bind(&below, name, function, span)?;
    let Some(index) = calls.drafts.iter().position(|known| known.is_same(&draft)) else {
        return Err(Diagnostic::at(span, format!("{name} … OVER is not allowed here")));
    };
    result_of(binder, calls.input.fields.len() + index, &draft, span)
}

fn result_of(binder: &ExpressionBinder<'_>, column: usize, draft: &Draft, span: Span) -> Result<Expression> {
    let computed = super::calc::column(&binder.scope.schema, column);
    if draft.result.is_nested() {
        return binder.call_exact(unpack(&draft.result), vec![computed], span);
    }
    let is_whole = types::is_integer(&draft.result) && draft.computed == DataType::Float64;
    let computed = if is_whole { round_to_whole(binder, computed, span)? } else { computed };
    binder.cast(computed, &draft.result, span)
}

/// Rounds a result that is a whole number but for the error of its computation. A cast alone would truncate it to the
/// number below.
fn round_to_whole(binder: &ExpressionBinder<'_>, computed: Expression, span: Span) -> Result<Expression> {
    const DIGITS_KEPT: i32 = 6;
    let digits = binder.literal(Scalar::Int32(Some(DIGITS_KEPT)));
    binder.call("ROUND", vec![computed, digits], span)
}

/// The call without OVER and FILTER, as EXPLAIN shows it.
fn display(function: &Function) -> String {
    let bare = Function { over: None, filter: None, ..function.clone() };
    bare.to_string()
}
