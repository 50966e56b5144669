//! Aggregates with OVER: `SUM(x) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)`.

use arrow::datatypes::Field;
use eddyline_expression::Scalar;
use eddyline_functions::pack;
use eddyline_job_graph::{AggregateCall, Over, OverFrame, Projection, TimeColumn};
use eddyline_stream::sql_type;
use sqlparser::ast::{
    Expr, Function, NamedWindowDefinition, NamedWindowExpr, Spanned, WindowFrameBound, WindowFrameUnits, WindowSpec,
    WindowType,
};
use sqlparser::tokenizer::Span;

use super::aggregates::{self, Draft};
use super::calc::{calc, column};
use super::expression::{ExpressionBinder, Place};
use super::relation::{Expression, Rel, RelKind, Relation, Role, ScopeField, schema};
use super::scope::Scope;
use super::session::Session;
use super::types::{DAY_TIME, YEAR_MONTH};
use crate::diagnostics::{Diagnostic, Result, is_empty};

/// The OVER aggregates of a SELECT list, while the list is bound.
#[derive(Clone, Debug)]
pub(crate) struct OverCalls {
    /// The columns of the rows.
    pub input: Scope,
    /// The aggregates.
    pub drafts: Vec<Draft>,
}

impl OverCalls {
    /// The columns of the aggregation's result: those of the rows, then the aggregates. The aggregates have a name that
    /// no script can contain.
    pub(crate) fn output(&self) -> Scope {
        let mut fields: Vec<Field> = self.input.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
        fields.extend(
            self.drafts.iter().map(|draft| Field::new(&draft.name, draft.computed.clone(), draft.is_nullable())),
        );
        let mut names = self.input.fields.clone();
        names.extend(self.drafts.iter().map(|_| ScopeField {
            qualifier: None,
            name: "\u{1}".to_owned(),
            role: Role::Plain,
        }));
        Scope { fields: names, schema: schema(fields) }
    }
}

/// The bound window of an OVER clause.
struct Window {
    keys: Vec<Expression>,
    time: usize,
    frame: OverFrame,
}

/// Binds the calls with OVER in a SELECT list, and adds their operator. Returns the operator, the calls, and the
/// position in its output of every column of [`OverCalls::output`].
pub(crate) fn over(
    session: &Session,
    relation: &Relation,
    functions: &[Function],
    named: &[NamedWindowDefinition],
    around: Span,
) -> Result<(Rel, OverCalls, Vec<usize>)> {
    let scope = Scope::of(relation);
    let binder = ExpressionBinder { around, ..ExpressionBinder::new(session, &scope, Place::Scalar("OVER")) };
    let mut window: Option<Window> = None;
    let mut drafts: Vec<Draft> = Vec::new();
    for function in functions {
        let own = function.span();
        let span = if is_empty(own) { around } else { own };
        let name = super::calls::function_name(function, span)?;
        let upper = name.value.to_ascii_uppercase();
        if !aggregates::is_aggregate(&upper) {
            return Err(
                aggregates::refused(&upper, name.span).unwrap_or_else(|| binder.not_over(&name.value, name.span))
            );
        }
        let draft = aggregates::bind(&binder, &upper, function, name.span)?;
        if draft.distinct {
            return Err(Diagnostic::at(name.span, "DISTINCT with OVER is not supported"));
        }
        let spec = resolve(function.over.as_ref(), named, span)?;
        let bound = bind_window(&binder, spec, name.span)?;
        match &window {
            None => window = Some(bound),
            Some(first) if first.keys == bound.keys && first.time == bound.time && first.frame == bound.frame => {}
            Some(_) => {
                return Err(Diagnostic::at(name.span, "all OVER windows of a SELECT must be the same")
                    .help("compute the other one in a subquery"));
            }
        }
        if !drafts.iter().any(|known| known.is_same(&draft)) {
            drafts.push(draft);
        }
    }
    let Some(window) = window else { return Err(Diagnostic::at(around, "OVER needs a window")) };
    let place = functions.first().map_or(around, |function| function.name.span());
    Ok(build(session, relation, scope, (window, drafts), if is_empty(place) { around } else { place }))
}

fn build(
    session: &Session,
    relation: &Relation,
    scope: Scope,
    (window, drafts): (Window, Vec<Draft>),
    span: Span,
) -> (Rel, OverCalls, Vec<usize>) {
    let input_schema = &relation.rel.schema;
    let width = input_schema.fields().len();
    let mut columns: Vec<Projection> = (0..width)
        .map(|index| Projection {
            expression: column(input_schema, index),
            name: input_schema.field(index).name().clone(),
        })
        .collect();
    let mut place = |expression: &Expression| {
        expression.as_column().unwrap_or_else(|| {
            columns.push(Projection { expression: expression.clone(), name: format!("expression_{}", columns.len()) });
            columns.len() - 1
        })
    };
    let keys: Vec<usize> = window.keys.iter().map(&mut place).collect();
    let aggregates: Vec<AggregateCall> = drafts
        .iter()
        .map(|draft| AggregateCall {
            function: draft.function.clone(),
            argument: draft.argument.as_ref().map(&mut place),
            distinct: draft.distinct,
            filter: draft.filter.as_ref().map(&mut place),
            argument_type: draft.argument.as_ref().map(|bound| bound.data_type().clone()),
            result_type: draft.computed.clone(),
            name: draft.name.clone(),
        })
        .collect();
    let all = columns.len();
    let input = if all == width { relation.rel.clone() } else { calc(relation.rel.clone(), None, columns) };
    let zone = match input_schema.field(window.time).data_type() {
        arrow::datatypes::DataType::Timestamp(_, Some(_)) => Some(session.functions.time_zone.to_string()),
        _ => None,
    };
    let time = TimeColumn { column: window.time, time_zone: zone };
    let mut fields: Vec<Field> = input.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    fields.extend(drafts.iter().map(|draft| Field::new(&draft.name, draft.computed.clone(), draft.is_nullable())));
    let positions = (0..width).chain((0..drafts.len()).map(|index| all + index)).collect();
    let over = Over { keys, time, frame: window.frame, aggregates };
    let rel = Rel { schema: schema(fields), kind: RelKind::Over { input: Box::new(input), over, place: span } };
    (rel, OverCalls { input: scope, drafts }, positions)
}

fn resolve<'a>(over: Option<&'a WindowType>, named: &'a [NamedWindowDefinition], span: Span) -> Result<&'a WindowSpec> {
    let name = match over {
        Some(WindowType::WindowSpec(spec)) => match &spec.window_name {
            None => return Ok(spec),
            Some(name) => {
                return Err(Diagnostic::at(name.span, "a window that extends a named window is not supported")
                    .help("write it out, or use OVER name without parentheses"));
            }
        },
        Some(WindowType::NamedWindow(name)) => name,
        None => return Err(Diagnostic::at(span, "OVER needs a window")),
    };
    match named.iter().find(|NamedWindowDefinition(known, _)| known.value == name.value) {
        Some(NamedWindowDefinition(_, NamedWindowExpr::WindowSpec(spec))) if spec.window_name.is_none() => Ok(spec),
        Some(_) => Err(Diagnostic::at(name.span, "a window that extends a named window is not supported")),
        None => Err(Diagnostic::at(name.span, format!("there is no window '{}'", name.value))
            .help("define it with WINDOW name AS (…) after WHERE")),
    }
}

fn bind_window(binder: &ExpressionBinder<'_>, spec: &WindowSpec, span: Span) -> Result<Window> {
    let mut keys = Vec::new();
    for expression in &spec.partition_by {
        let place = place_of(expression, span);
        let bound = binder.bind(expression)?;
        let bound = match bound.data_type() {
            // Keys are flat, and are not part of the result.
            nested if nested.is_nested() => binder.call_exact(pack(nested), vec![bound], place)?,
            interval if *interval == DAY_TIME || *interval == YEAR_MONTH || interval.is_null() => {
                let name = sql_type(interval);
                return Err(Diagnostic::at(place, format!("PARTITION BY {name} is not supported")));
            }
            _ => bound,
        };
        if !keys.contains(&bound) {
            keys.push(bound);
        }
    }
    let [order] = spec.order_by.as_slice() else {
        return Err(
            Diagnostic::at(span, "OVER needs ORDER BY one time attribute").help("ORDER BY the column of WATERMARK FOR")
        );
    };
    let place = if is_empty(order.expr.span()) { span } else { order.expr.span() };
    if order.options.asc == Some(false) {
        return Err(Diagnostic::at(place, "OVER … ORDER BY … DESC is not supported").help("order by time, ascending"));
    }
    let bound = binder.bind(&order.expr)?;
    let time = bound.as_column();
    let role = time.map_or(Role::Plain, |index| binder.scope.role(index));
    if role == Role::Proctime {
        return Err(Diagnostic::at(place, "OVER by processing time is not supported")
            .help("use an event-time column with a WATERMARK"));
    }
    let Some(time) = time.filter(|_| role.is_event_time()) else {
        return Err(Diagnostic::at(place, "OVER must be ordered by an event-time attribute")
            .help("order by the column of WATERMARK FOR; an expression over it is no time attribute"));
    };
    let frame = bind_frame(binder, spec, span)?;
    Ok(Window { keys, time, frame })
}

fn bind_frame(binder: &ExpressionBinder<'_>, spec: &WindowSpec, span: Span) -> Result<OverFrame> {
    let Some(frame) = &spec.window_frame else { return Ok(OverFrame::RangeUnbounded) };
    if !matches!(frame.end_bound, None | Some(WindowFrameBound::CurrentRow)) {
        return Err(Diagnostic::at(span, "an OVER frame must end at CURRENT ROW"));
    }
    match (&frame.units, &frame.start_bound) {
        (WindowFrameUnits::Rows, WindowFrameBound::Preceding(None)) => Ok(OverFrame::RowsUnbounded),
        (WindowFrameUnits::Range, WindowFrameBound::Preceding(None)) => Ok(OverFrame::RangeUnbounded),
        (WindowFrameUnits::Rows, WindowFrameBound::CurrentRow) => Ok(OverFrame::Rows(0)),
        (WindowFrameUnits::Range, WindowFrameBound::CurrentRow) => Ok(OverFrame::Range(0)),
        (WindowFrameUnits::Rows, WindowFrameBound::Preceding(Some(count))) => {
            let bound = binder.bind(count)?;
            let rows = match bound.as_literal() {
                Some(Scalar::Int32(Some(rows))) => u64::try_from(*rows).ok(),
                Some(Scalar::Int64(Some(rows))) => u64::try_from(*rows).ok(),
                _ => None,
            };
            rows.map(OverFrame::Rows)
                .ok_or_else(|| Diagnostic::at(place_of(count, span), "ROWS … PRECEDING takes a whole number"))
        }
        (WindowFrameUnits::Range, WindowFrameBound::Preceding(Some(length))) => {
            let bound = binder.bind(length)?;
            match bound.as_literal() {
                Some(Scalar::DurationMillisecond(Some(length))) if *bound.data_type() == DAY_TIME && *length >= 0 => {
                    Ok(OverFrame::Range(*length))
                }
                _ => Err(Diagnostic::at(place_of(length, span), "RANGE … PRECEDING takes an interval")
                    .help("for example RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW")),
            }
        }
        (WindowFrameUnits::Groups, _) => {
            Err(Diagnostic::at(span, "GROUPS in OVER is not supported").help("use ROWS or RANGE"))
        }
        (_, WindowFrameBound::Following(_)) => Err(Diagnostic::at(span, "FOLLOWING in OVER is not supported")),
    }
}

fn place_of(expression: &Expr, around: Span) -> Span {
    if is_empty(expression.span()) { around } else { expression.span() }
}
