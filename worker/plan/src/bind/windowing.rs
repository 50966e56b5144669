//! Binds window table functions: the assigner and the time attribute.

use arrow::datatypes::{DataType, Field};
use eddyline_job_graph::{TimeColumn, WindowAssigner};
use eddyline_stream::sql_type;
use sqlparser::tokenizer::Span;

use super::query::{QueryBinder, Surroundings, place};
use super::relation::{Rel, RelKind, Relation, Role, ScopeField, schema};
use super::scope::Scope;
use super::types::TIMESTAMP;
use crate::diagnostics::{Diagnostic, Result};
use crate::parse::window_tvf::{WindowInput, WindowKind, WindowTvf};

/// Binds a call: its input rows with `window_start`, `window_end` and `window_time` appended.
pub(crate) fn bind(binder: &mut QueryBinder<'_>, call: &WindowTvf, around: Surroundings<'_>) -> Result<Relation> {
    let input = match &call.input {
        WindowInput::Table(parts) => {
            let span = parts.first().map_or(call.span, |part| place(part.span, call.span));
            binder.bind_name(parts, around, span)?
        }
        WindowInput::Query(parsed) => binder.bind_query(&parsed.query, Surroundings { parsed, with: around.with })?,
    };
    let scope = Scope::of(&input);
    let (time, taken) = scope.resolve(std::slice::from_ref(&call.time), call.time.span)?;
    debug_assert_eq!(taken, 1, "one identifier names one column");
    check_time(&input, time, &call.time.value, call.time.span)?;
    let mut partition = Vec::with_capacity(call.partition_by.len());
    for name in &call.partition_by {
        partition.push(scope.resolve(std::slice::from_ref(name), name.span)?.0);
    }
    let assigner = assigner(call)?;
    let time_zone = match input.data_type(time) {
        DataType::Timestamp(_, Some(_)) => Some(binder.session.functions.time_zone.to_string()),
        _ => None,
    };
    Ok(windowed(input, assigner, TimeColumn { column: time, time_zone }, partition, call.span))
}

fn check_time(input: &Relation, time: usize, name: &str, span: Span) -> Result<()> {
    match input.fields[time].role {
        Role::Proctime => Err(Diagnostic::at(span, "windows by processing time are not supported")
            .help("use an event-time column with a WATERMARK")),
        role if role.is_event_time() => Ok(()),
        _ => {
            let data_type = sql_type(input.data_type(time));
            let diagnostic = Diagnostic::at(span, format!("column '{name}' ({data_type}) is not a time attribute"));
            Err(diagnostic.help(format!(
                "declare it in CREATE TABLE: WATERMARK FOR {name} AS {name} - INTERVAL '5' SECOND; an expression over it is no time attribute"
            )))
        }
    }
}

fn windowed(
    input: Relation,
    assigner: WindowAssigner,
    time: TimeColumn,
    partition: Vec<usize>,
    place: Span,
) -> Relation {
    let mut fields = input.fields;
    for field in &mut fields {
        // The input's own window columns become plain columns. A time attribute stays one.
        field.role = match field.role {
            Role::WindowStart | Role::WindowEnd => Role::Plain,
            Role::WindowTime => Role::Rowtime,
            role => role,
        };
    }
    let time_type = input.rel.schema.field(time.column).data_type().clone();
    let mut columns: Vec<Field> = input.rel.schema.fields().iter().map(|field| field.as_ref().clone()).collect();
    for (name, role, data_type) in [
        ("window_start", Role::WindowStart, TIMESTAMP),
        ("window_end", Role::WindowEnd, TIMESTAMP),
        ("window_time", Role::WindowTime, time_type),
    ] {
        let name = unique(name, &fields);
        columns.push(Field::new(&name, data_type, false));
        fields.push(ScopeField { qualifier: fields.first().and_then(|field| field.qualifier.clone()), name, role });
    }
    let kind = RelKind::Window { input: Box::new(input.rel), assigner, time, partition, place };
    Relation { rel: Rel { schema: schema(columns), kind }, fields }
}

/// The name, with a number appended if the column already exists.
fn unique(name: &str, fields: &[ScopeField]) -> String {
    let taken = |candidate: &str| fields.iter().any(|field| field.name == candidate);
    if !taken(name) {
        return name.to_owned();
    }
    (0..).map(|number| format!("{name}{number}")).find(|candidate| !taken(candidate)).unwrap_or_else(|| name.to_owned())
}

fn assigner(call: &WindowTvf) -> Result<WindowAssigner> {
    let name = call.kind.name();
    let length = |index: usize, what: &str| match call.intervals.get(index).copied().flatten() {
        Some((length, _)) if length > 0 => Ok(length),
        Some((_, span)) => Err(Diagnostic::at(span, format!("the {what} of {name} must be greater than 0"))),
        None => Err(Diagnostic::at(call.span, format!("{name} needs its {what}"))),
    };
    let offset = |index: usize| call.intervals.get(index).copied().flatten().map_or(0, |(offset, _)| offset);
    let place = |index: usize| call.intervals.get(index).copied().flatten().map_or(call.span, |(_, span)| span);
    match call.kind {
        WindowKind::Tumble => {
            let size_ms = length(0, "size")?;
            let offset_ms = offset(1);
            if offset_ms.unsigned_abs() >= size_ms.unsigned_abs() {
                return Err(Diagnostic::at(place(1), "the offset of TUMBLE must be less than its size"));
            }
            Ok(WindowAssigner::Tumble { size_ms, offset_ms })
        }
        WindowKind::Hop => {
            let (slide_ms, size_ms) = (length(0, "slide")?, length(1, "size")?);
            if size_ms % slide_ms != 0 {
                return Err(Diagnostic::at(place(1), "the size of HOP must be a multiple of its slide")
                    .help("the arguments are slide, then size"));
            }
            Ok(WindowAssigner::Hop { size_ms, slide_ms, offset_ms: offset(2) })
        }
        WindowKind::Cumulate => {
            let (step_ms, size_ms) = (length(0, "step")?, length(1, "size")?);
            if size_ms % step_ms != 0 {
                return Err(Diagnostic::at(place(1), "the size of CUMULATE must be a multiple of its step")
                    .help("the arguments are step, then size"));
            }
            Ok(WindowAssigner::Cumulate { size_ms, step_ms, offset_ms: offset(2) })
        }
        WindowKind::Session => Ok(WindowAssigner::Session { gap_ms: length(0, "gap")? }),
    }
}
