//! Binds `CREATE TABLE`: LIKE, computed columns, watermark.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::Field;
use eddyline_connectors::table::parse_duration;
use eddyline_connectors::{MetadataColumn, TableDescriptor};
use eddyline_expression::{Arithmetic, Kind, Scalar};
use eddyline_job_graph::Alignment;
use eddyline_stream::sql_type;
use sqlparser::ast::Ident;
use sqlparser::tokenizer::Span;

use super::calc::{DEPTH_MAX, column, field, measure};
use super::catalog::{Catalog, Column, ColumnSource, Options, Table, Watermark, can_be_rowtime, reader_schema};
use super::expression::{ExpressionBinder, Place};
use super::projection::is_proctime;
use super::relation::{Expression, Role, ScopeField, schema};
use super::scope::Scope;
use super::session::Session;
use super::types;
use crate::diagnostics::{Diagnostic, Result};
use crate::parse::ddl::{ColumnKind, CreateTable, Like, LikeFeature, LikeStrategy, WatermarkDefinition};

const ALIGNMENT_DRIFT: &str = "scan.watermark.alignment.max-drift";
const ALIGNMENT_GROUP: &str = "scan.watermark.alignment.group";
const ALIGNMENT_INTERVAL: &str = "scan.watermark.alignment.update-interval";
const ALIGNMENT_INTERVAL_DEFAULT: Duration = Duration::from_millis(100);

/// Binds a `CREATE TABLE`.
pub(crate) fn bind(session: &Session, catalog: &Catalog, definition: CreateTable) -> Result<Table> {
    let definition = match definition.like.clone() {
        Some(like) => {
            let span = like.source.first().map_or(Span::empty(), |name| name.span);
            let source = catalog.table(catalog.resolve(&like.source)?, span)?;
            merge(&source.definition, definition, &like)?
        }
        None => definition,
    };
    let Some(name) = definition.name.last().cloned() else {
        return Err(Diagnostic::at(Span::empty(), "expected a table name"));
    };
    check_columns(&definition, &name)?;
    let mut descriptor = describe(&definition, &name);
    // These options are about event time, so they are removed before the connector sees the options.
    let future_skew_max = take_duration(&definition, &mut descriptor, "watermark.max-future-skew")?;
    let alignment = take_alignment(&definition, &mut descriptor)?;
    let mut columns = bind_columns(session, &definition, &descriptor)?;
    let watermark = match &definition.watermark {
        Some(watermark) => Some(bind_watermark(session, watermark, &mut columns)?),
        None => None,
    };
    if !definition.options.iter().any(|option| option.key == "connector") {
        return Err(Diagnostic::at(name.span, format!("table '{}' has no connector", name.value))
            .help("add WITH ('connector' = '…', …)"));
    }
    let (span, options) = (name.span, Options::default());
    Ok(Table { definition, descriptor, columns, watermark, future_skew_max, alignment, span, options })
}

fn take_duration(definition: &CreateTable, descriptor: &mut TableDescriptor, key: &str) -> Result<Option<Duration>> {
    let Some(text) = descriptor.options.remove(key) else { return Ok(None) };
    parse_duration(&text)
        .map(Some)
        .map_err(|reason| Diagnostic::at(span_of_option(definition, key), format!("'{key}' = '{text}': {reason}")))
}

fn span_of_option(definition: &CreateTable, key: &str) -> Span {
    definition.options.iter().find(|option| option.key == key).map_or(Span::empty(), |option| option.span)
}

fn take_alignment(definition: &CreateTable, descriptor: &mut TableDescriptor) -> Result<Option<Alignment>> {
    let drift_max = take_duration(definition, descriptor, ALIGNMENT_DRIFT)?;
    let group = descriptor.options.remove(ALIGNMENT_GROUP);
    let update_interval = take_duration(definition, descriptor, ALIGNMENT_INTERVAL)?;
    let Some(drift_max) = drift_max else {
        let given = [(ALIGNMENT_GROUP, group.is_some()), (ALIGNMENT_INTERVAL, update_interval.is_some())];
        return match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(None),
            Some((key, _)) => {
                let span = span_of_option(definition, key);
                let missing = format!("'{key}' has no effect without '{ALIGNMENT_DRIFT}'");
                Err(Diagnostic::at(span, missing).help("say how far a split may be ahead, such as '1 min'"))
            }
        };
    };
    if update_interval.is_some_and(|interval| interval.is_zero()) {
        let span = span_of_option(definition, ALIGNMENT_INTERVAL);
        return Err(Diagnostic::at(span, format!("'{ALIGNMENT_INTERVAL}' must be longer than 0")));
    }
    let update_interval = update_interval.unwrap_or(ALIGNMENT_INTERVAL_DEFAULT);
    Ok(Some(Alignment { group, drift_max, update_interval }))
}

fn check_columns(definition: &CreateTable, name: &Ident) -> Result<()> {
    for (index, column) in definition.columns.iter().enumerate() {
        if definition.columns[..index].iter().any(|known| known.name.value == column.name.value) {
            return Err(Diagnostic::at(column.name.span, format!("column '{}' is declared twice", column.name.value)));
        }
    }
    if definition.columns.is_empty() {
        return Err(Diagnostic::at(name.span, format!("table '{}' has no columns", name.value)));
    }
    let physical = |wanted: &Ident| {
        definition.columns.iter().any(|c| c.name.value == wanted.value && matches!(c.kind, ColumnKind::Physical(_)))
    };
    for (columns, clause) in [(&definition.primary_key, "PRIMARY KEY"), (&definition.partitioned_by, "PARTITIONED BY")]
    {
        for (index, column) in columns.iter().enumerate() {
            if !physical(column) {
                return Err(Diagnostic::at(
                    column.span,
                    format!("{clause}: '{}' is not a physical column of the table", column.value),
                ));
            }
            if columns[..index].iter().any(|known| known.value == column.value) {
                return Err(Diagnostic::at(column.span, format!("{clause} names '{}' twice", column.value)));
            }
        }
    }
    Ok(())
}

fn describe(definition: &CreateTable, name: &Ident) -> TableDescriptor {
    let names = |columns: &[Ident]| columns.iter().map(|column| column.value.clone()).collect::<Vec<_>>();
    let key = names(&definition.primary_key);
    let mut physical = Vec::new();
    let mut metadata = Vec::new();
    for column in &definition.columns {
        match &column.kind {
            ColumnKind::Physical(sql_type) => {
                let nullable = sql_type.nullable && !key.contains(&column.name.value);
                physical.push(Field::new(&column.name.value, sql_type.data_type.clone(), nullable));
            }
            ColumnKind::Metadata { sql_type, key, is_virtual } => metadata.push(MetadataColumn {
                name: column.name.value.clone(),
                key: key.clone().unwrap_or_else(|| column.name.value.clone()),
                data_type: sql_type.data_type.clone(),
                is_virtual: *is_virtual,
            }),
            ColumnKind::Computed(_) => {}
        }
    }
    TableDescriptor {
        name: name.value.clone(),
        schema: schema(physical),
        metadata,
        primary_key: key,
        partition_keys: names(&definition.partitioned_by),
        options: definition.options.iter().map(|option| (option.key.clone(), option.value.clone())).collect(),
    }
}

/// Binds all columns. A computed column can refer to the columns of the reader, and to the computed columns above it.
fn bind_columns(session: &Session, definition: &CreateTable, descriptor: &TableDescriptor) -> Result<Vec<Column>> {
    let reader = reader_schema(descriptor);
    let plain = |name: &str| ScopeField { qualifier: None, name: name.to_owned(), role: Role::Plain };
    let mut scope =
        Scope { fields: reader.fields().iter().map(|f| plain(f.name())).collect(), schema: Arc::clone(&reader) };
    // The expressions of the columns in `scope`, over the columns of the reader.
    let mut expressions: Vec<Expression> = (0..reader.fields().len()).map(|index| column(&reader, index)).collect();
    let mut columns = Vec::with_capacity(definition.columns.len());
    let (mut physical, mut metadata) = (0, 0);
    for definition in &definition.columns {
        let (field, source, role) = match &definition.kind {
            ColumnKind::Physical(_) => {
                physical += 1;
                (reader.field(physical - 1).clone(), ColumnSource::Physical(physical - 1), Role::Plain)
            }
            ColumnKind::Metadata { .. } => {
                metadata += 1;
                let index = descriptor.schema.fields().len() + metadata - 1;
                (reader.field(index).clone(), ColumnSource::Metadata(metadata - 1), Role::Plain)
            }
            ColumnKind::Computed(expression) => {
                let binder = ExpressionBinder {
                    around: definition.name.span,
                    ..ExpressionBinder::new(session, &scope, Place::Scalar("a computed column"))
                };
                let bound = binder.bind(expression)?;
                if matches!(bound.data_type(), arrow::datatypes::DataType::Null)
                    || *bound.data_type() == types::DAY_TIME
                    || *bound.data_type() == types::YEAR_MONTH
                {
                    let message = format!("a column of type {} is not supported", sql_type(bound.data_type()));
                    return Err(Diagnostic::at(definition.name.span, message));
                }
                let field = field(&definition.name.value, &bound);
                let sizes: Vec<(usize, usize)> = expressions.iter().map(|below| measure(below, &[])).collect();
                let (size, depth) = measure(&bound, &sizes);
                if size > 5_000 || depth > DEPTH_MAX {
                    return Err(Diagnostic::at(definition.name.span, "the computed column is too large"));
                }
                let over_reader = bound.substitute(&|index| expressions.get(index).cloned());
                let role = if is_proctime(expression) { Role::Proctime } else { Role::Plain };
                let mut fields: Vec<Field> = scope.schema.fields().iter().map(|f| f.as_ref().clone()).collect();
                fields.push(field.clone());
                scope = Scope { fields: [scope.fields, vec![plain(field.name())]].concat(), schema: schema(fields) };
                expressions.push(over_reader.clone());
                (field, ColumnSource::Computed(over_reader), role)
            }
        };
        columns.push(Column { field, source, role });
    }
    Ok(columns)
}

fn bind_watermark(session: &Session, definition: &WatermarkDefinition, columns: &mut [Column]) -> Result<Watermark> {
    let all = schema(columns.iter().map(|column| column.field.clone()));
    let fields = columns
        .iter()
        .map(|column| ScopeField { qualifier: None, name: column.field.name().clone(), role: column.role })
        .collect();
    let scope = Scope { fields, schema: Arc::clone(&all) };
    let place = definition.column.first().map_or(definition.span, |name| name.span);
    let (index, taken) = scope.resolve(&definition.column, place)?;
    if taken < definition.column.len() {
        return Err(Diagnostic::at(place, "WATERMARK FOR a field of a ROW is not supported")
            .help("make it a column first: ts AS row_column.field, WATERMARK FOR ts AS …"));
    }
    let field = all.field(index);
    if columns[index].role == Role::Proctime {
        return Err(Diagnostic::at(place, "a processing-time column has no watermark"));
    }
    if !can_be_rowtime(field.data_type()) {
        return Err(Diagnostic::at(
            place,
            format!(
                "WATERMARK FOR '{}': the column is {}, not TIMESTAMP(3) or TIMESTAMP_LTZ(3)",
                field.name(),
                sql_type(field.data_type())
            ),
        )
        .help(format!("declare it TIMESTAMP(3), or compute one: t AS CAST({} AS TIMESTAMP(3))", field.name())));
    }
    let binder = ExpressionBinder {
        around: definition.span,
        ..ExpressionBinder::new(session, &scope, Place::Scalar("WATERMARK"))
    };
    let bound = binder.bind(&definition.expression)?;
    if !matches!(bound.data_type(), arrow::datatypes::DataType::Timestamp(..)) {
        let message = format!("the watermark must be a timestamp, not {}", sql_type(bound.data_type()));
        return Err(Diagnostic::at(definition.span, message));
    }
    if bound.is_volatile() {
        return Err(Diagnostic::at(definition.span, "the watermark must depend only on the row")
            .help("for example ts - INTERVAL '5' SECOND"));
    }
    let bound = binder.cast(bound, &field.data_type().clone(), definition.span)?;
    let delay_ms = delay(&bound, index);
    columns[index].role = Role::Rowtime;
    Ok(Watermark { column: index, expression: bound, delay_ms })
}

/// The delay of an expression behind a column in milliseconds, if it is the column or the column minus an interval.
fn delay(expression: &Expression, time: usize) -> Option<i64> {
    if expression.as_column() == Some(time) {
        return Some(0);
    }
    match expression.kind() {
        Kind::Calculate { operator: Arithmetic::Minus, left, right } if left.as_column() == Some(time) => {
            match right.as_literal()? {
                Scalar::DurationMillisecond(delay) => delay.filter(|delay| *delay >= 0),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Merges a definition with what its LIKE includes from `source`.
fn merge(source: &CreateTable, own: CreateTable, like: &Like) -> Result<CreateTable> {
    let strategy = |feature: LikeFeature| {
        let default = if feature == LikeFeature::Options { LikeStrategy::Overwriting } else { LikeStrategy::Including };
        let of = |wanted| {
            like.strategies.iter().rev().find(|(known, _, _)| *known == wanted).map(|(_, strategy, _)| *strategy)
        };
        of(feature).or_else(|| of(LikeFeature::All)).unwrap_or(default)
    };
    let twice = |name: &Ident, what: &str| {
        Err(Diagnostic::at(name.span, format!("{what} '{}' is also in the table of LIKE", name.value))
            .help("use OVERWRITING or EXCLUDING in LIKE"))
    };
    let mut columns = Vec::new();
    for column in &source.columns {
        let redefined = own.columns.iter().find(|known| known.name.value == column.name.value);
        let strategy = match column.kind {
            ColumnKind::Physical(_) => {
                if let Some(redefined) = redefined {
                    return twice(&redefined.name, "column");
                }
                LikeStrategy::Including
            }
            ColumnKind::Computed(_) => strategy(LikeFeature::Generated),
            ColumnKind::Metadata { .. } => strategy(LikeFeature::Metadata),
        };
        match (strategy, redefined) {
            (LikeStrategy::Excluding, _) | (LikeStrategy::Overwriting, Some(_)) => {}
            (LikeStrategy::Including, Some(redefined)) => return twice(&redefined.name, "column"),
            (_, None) => columns.push(column.clone()),
        }
    }
    columns.extend(own.columns.iter().cloned());
    let mut options = Vec::new();
    for option in &source.options {
        let redefined = own.options.iter().find(|known| known.key == option.key);
        match (strategy(LikeFeature::Options), redefined) {
            (LikeStrategy::Excluding, _) | (LikeStrategy::Overwriting, Some(_)) => {}
            (LikeStrategy::Including, Some(redefined)) => {
                return Err(Diagnostic::at(
                    redefined.span,
                    format!("option '{}' is also in the table of LIKE", option.key),
                )
                .help("use OVERWRITING OPTIONS in LIKE"));
            }
            (_, None) => options.push(option.clone()),
        }
    }
    options.extend(own.options.iter().cloned());
    let watermark = match (&source.watermark, &own.watermark, strategy(LikeFeature::Watermarks)) {
        (_, own, LikeStrategy::Excluding) => own.clone(),
        (Some(_), Some(own), LikeStrategy::Including) => {
            return Err(Diagnostic::at(own.span, "the table of LIKE also has a WATERMARK")
                .help("use OVERWRITING WATERMARKS in LIKE"));
        }
        (inherited, own, _) => own.clone().or_else(|| inherited.clone()),
    };
    let inherit = |feature, own: &[Ident], inherited: &[Ident], what: &str| match strategy(feature) {
        LikeStrategy::Excluding => Ok(own.to_vec()),
        _ => match (own.first(), inherited.is_empty()) {
            (Some(first), false) => Err(Diagnostic::at(first.span, format!("the table of LIKE also has {what}"))),
            (Some(_), true) => Ok(own.to_vec()),
            (None, _) => Ok(inherited.to_vec()),
        },
    };
    Ok(CreateTable {
        primary_key: inherit(LikeFeature::Constraints, &own.primary_key, &source.primary_key, "a PRIMARY KEY")?,
        partitioned_by: inherit(
            LikeFeature::Partitions,
            &own.partitioned_by,
            &source.partitioned_by,
            "PARTITIONED BY",
        )?,
        columns,
        watermark,
        options,
        like: None,
        ..own
    })
}
