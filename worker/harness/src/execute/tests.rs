use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_connectors::TableDescriptor;
use eddyline_expression::{Comparison, Expr, Scalar};
use eddyline_job_graph::{
    AggregateCall, AggregateFunction, Calc, Edge, JobGraph, Node, NodeKind, Over, OverFrame, Partitioning, Projection,
    Settings, SinkNode, SourceNode, TimeColumn, WatermarkSpec, WindowAggregate, WindowAssign, WindowAssigner,
    WindowColumn,
};
use eddyline_stream::{Batch, ChangelogMode, KindsBuilder, OperatorUid, RowKind};

use super::{Reference, execute};
use crate::change::{Written, fold};
use crate::row::Row;

const MINUTE: i64 = 60_000;

fn timestamp(zone: Option<&str>) -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, zone.map(Into::into))
}

/// `key`, `ts`, `value`, and the watermark of the row.
fn input(zone: Option<&str>) -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("ts", timestamp(zone), true),
        Field::new("value", DataType::Int32, true),
        Field::new("wm", timestamp(zone), true),
    ]))
}

fn table(name: &str, schema: &SchemaRef) -> TableDescriptor {
    TableDescriptor {
        name: name.to_owned(),
        schema: Arc::clone(schema),
        metadata: Vec::new(),
        primary_key: Vec::new(),
        partition_keys: Vec::new(),
        options: BTreeMap::new(),
    }
}

fn columns(schema: &SchemaRef) -> Vec<Projection> {
    let fields = schema.fields().iter().enumerate();
    fields.map(|(i, field)| Projection { expression: Expr::column(i, field), name: field.name().clone() }).collect()
}

fn node(inputs: &[usize], kind: NodeKind, schema: SchemaRef) -> Node {
    let edge = |from: &usize| Edge { from: *from, partitioning: Partitioning::Forward };
    let label = "node".to_owned();
    let uid = OperatorUid::new("node");
    let (inputs, former_uid) = (inputs.iter().map(edge).collect(), uid.clone());
    let changelog = ChangelogMode::INSERT_ONLY;
    Node { uid, label, inputs, kind, schema, changelog, origins: Vec::new(), meaning: None, former_uid }
}

fn source(name: &str, zone: Option<&str>) -> Node {
    let schema = input(zone);
    let expression = Expr::column(3, schema.field(3));
    let source = SourceNode {
        table: table(name, &schema),
        projection: vec![0, 1, 2, 3],
        metadata: Vec::new(),
        columns: columns(&schema),
        watermark: Some(WatermarkSpec { column: 1, expression, delay_ms: None, future_skew_max: None }),
        alignment: None,
        parallelism: None,
    };
    node(&[], NodeKind::Source(Box::new(source)), schema)
}

/// Rows of key, time and value. The watermark of each is `delay` behind its time.
fn rows(rows: &[(&str, i64, i32)], delay: i64, zone: Option<&str>) -> Batch {
    let times = |delay| -> ArrayRef {
        let times: TimestampMillisecondArray = rows.iter().map(|(_, time, _)| Some(time - delay)).collect();
        Arc::new(times.with_timezone_opt(zone))
    };
    let columns = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|(key, ..)| key))) as ArrayRef,
        times(0),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|(.., value)| *value))),
        times(delay),
    ];
    Batch::new(RecordBatch::try_new(input(zone), columns).expect("columns fit the schema"))
}

/// Runs `middle` between a source and a sink.
fn run(middle: NodeKind, schema: SchemaRef, batch: Batch) -> Result<Vec<Row>, String> {
    let written = run_changes(middle, schema, batch)?;
    Ok(written.into_iter().map(|(_, row)| row).collect())
}

fn run_changes(middle: NodeKind, schema: SchemaRef, batch: Batch) -> Result<Vec<Written>, String> {
    let zone = match batch.rows().schema_ref().field(1).data_type() {
        DataType::Timestamp(_, zone) => zone.clone(),
        other => panic!("{other} is no time"),
    };
    let sink = NodeKind::Sink(Box::new(SinkNode {
        table: table("results", &schema),
        parallelism: None,
        constraints: Vec::new(),
    }));
    let nodes = vec![source("events", zone.as_deref()), node(&[0], middle, schema.clone()), node(&[1], sink, schema)];
    let graph = JobGraph { nodes, settings: Settings::default() };
    let inputs = BTreeMap::from([("events".to_owned(), vec![batch])]);
    execute(&graph, &inputs).map(|mut written| written.remove("results").unwrap_or_default())
}

fn call(function: AggregateFunction, argument: Option<usize>, result_type: DataType) -> AggregateCall {
    AggregateCall {
        function,
        argument,
        distinct: false,
        filter: None,
        argument_type: argument.map(|column| input(None).field(column).data_type().clone()),
        result_type,
        name: "result".to_owned(),
    }
}

fn sum() -> AggregateCall {
    call(AggregateFunction::Sum, Some(2), DataType::Int32)
}

/// Key, start and end of the window, sum.
fn window_sums(assigner: WindowAssigner, batch: Batch, time_zone: Option<&str>) -> Vec<(String, i64, i64, i32)> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("sum", DataType::Int32, true),
        Field::new("window_start", timestamp(None), true),
        Field::new("window_end", timestamp(None), true),
    ]));
    let config = WindowAggregate {
        assigner,
        time: Some(TimeColumn { column: 1, time_zone: time_zone.map(str::to_owned) }),
        keys: vec![0],
        aggregates: vec![sum()],
        window_columns: vec![WindowColumn::Start, WindowColumn::End],
    };
    let rows = run(NodeKind::WindowAggregate(config), schema, batch).expect("no failure");
    let result = |row: &Row| match row.as_slice() {
        [
            Scalar::Utf8(Some(key)),
            Scalar::Int32(Some(sum)),
            Scalar::TimestampMillisecond(Some(start), None),
            Scalar::TimestampMillisecond(Some(end), None),
        ] => (key.clone(), *start, *end, *sum),
        other => panic!("{other:?}"),
    };
    rows.iter().map(result).collect()
}

fn of(key: &str, start: i64, end: i64, sum: i32) -> (String, i64, i64, i32) {
    (key.to_owned(), start, end, sum)
}

#[test]
fn a_tumbling_window_takes_rows_until_its_last_millisecond_is_reached() {
    let assigner = WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 };
    // Row 18 advances the watermark to 8: the window up to 10 stays open. Row 19 advances it to 9: the window fires,
    // and row 4 is late.
    let batch = rows(&[("a", 3, 1), ("a", 18, 2), ("a", 9, 4), ("a", 19, 8), ("a", 4, 16)], 10, None);
    assert_eq!(window_sums(assigner, batch, None), [of("a", 0, 10, 5), of("a", 10, 20, 10)]);
}

#[test]
fn a_row_late_for_one_hopping_window_counts_in_the_next() {
    let assigner = WindowAssigner::Hop { size_ms: 10, slide_ms: 5, offset_ms: 0 };
    let batch = rows(&[("a", 1, 1), ("a", 7, 2), ("a", 4, 4)], 0, None);
    assert_eq!(window_sums(assigner, batch, None), [of("a", -5, 5, 1), of("a", 0, 10, 7), of("a", 5, 15, 2)]);
}

#[test]
fn cumulating_windows_share_their_start() {
    let assigner = WindowAssigner::Cumulate { size_ms: 15, step_ms: 5, offset_ms: 0 };
    let batch = rows(&[("a", 1, 1), ("a", 11, 2)], 0, None);
    assert_eq!(window_sums(assigner, batch, None), [of("a", 0, 5, 1), of("a", 0, 10, 1), of("a", 0, 15, 3)]);
}

#[test]
fn a_row_between_two_sessions_makes_them_one() {
    let assigner = WindowAssigner::Session { gap_ms: 5 };
    let batch = rows(&[("a", 0, 1), ("b", 1, 2), ("a", 8, 4), ("a", 4, 8), ("a", 30, 16)], 20, None);
    assert_eq!(window_sums(assigner, batch, None), [of("b", 1, 6, 2), of("a", 0, 13, 13), of("a", 30, 35, 16)]);
}

#[test]
fn local_days_have_23_or_25_hours_when_the_clock_changes() {
    let day = 24 * 60 * MINUTE;
    let assigner = WindowAssigner::Tumble { size_ms: day, offset_ms: 0 };
    // 2021-03-28 in Berlin begins at 23:00 UTC the day before and has 23 hours.
    let start = 1_616_886_000_000;
    let batch = rows(&[("a", start - 1, 1), ("a", start, 2), ("a", start + day - 60 * MINUTE, 4)], 0, Some("UTC"));
    let local = start + 60 * MINUTE;
    let expected =
        [of("a", local - day, local, 1), of("a", local, local + day, 2), of("a", local + day, local + 2 * day, 4)];
    assert_eq!(window_sums(assigner, batch, Some("Europe/Berlin")), expected);
}

#[test]
fn a_hopping_assignment_repeats_rows() {
    let mut fields = input(None).fields().to_vec();
    fields.extend(
        ["window_start", "window_end", "window_time"].map(|name| Arc::new(Field::new(name, timestamp(None), true))),
    );
    let assigner = WindowAssigner::Hop { size_ms: 10, slide_ms: 5, offset_ms: 0 };
    let config = WindowAssign { assigner, time: TimeColumn { column: 1, time_zone: None } };
    let written = run(NodeKind::WindowAssign(config), Arc::new(Schema::new(fields)), rows(&[("a", 7, 1)], 0, None));
    let time = |time| Scalar::TimestampMillisecond(Some(time), None);
    let windows: Vec<Row> = written.expect("no failure").into_iter().map(|row| row[4..].to_vec()).collect();
    assert_eq!(windows, [vec![time(5), time(15), time(14)], vec![time(0), time(10), time(9)]]);
}

fn over_sums(frame: OverFrame, batch: Batch) -> Vec<(i64, i32)> {
    let mut fields = input(None).fields().to_vec();
    fields.push(Arc::new(Field::new("sum", DataType::Int32, true)));
    let time = TimeColumn { column: 1, time_zone: None };
    let config = Over { keys: vec![0], time, frame, aggregates: vec![sum()] };
    let rows = run(NodeKind::Over(config), Arc::new(Schema::new(fields)), batch).expect("no failure");
    let result = |row: &Row| match (&row[1], &row[4]) {
        (Scalar::TimestampMillisecond(Some(time), None), Scalar::Int32(Some(sum))) => (*time, *sum),
        other => panic!("{other:?}"),
    };
    rows.iter().map(result).collect()
}

#[test]
fn over_takes_rows_in_order_of_time_and_judges_late_ones_by_its_frame() {
    // The watermark is at 5 when the row at 3 arrives.
    let batch = rows(&[("a", 1, 1), ("a", 4, 2), ("a", 9, 4), ("a", 3, 8), ("b", 3, 16), ("a", 8, 32)], 4, None);
    assert_eq!(over_sums(OverFrame::RowsUnbounded, batch.clone()), [(1, 1), (4, 3), (8, 35), (9, 39)]);
    assert_eq!(over_sums(OverFrame::Rows(1), batch.clone()), [(1, 1), (4, 3), (3, 16), (8, 34), (9, 36)]);
    assert_eq!(over_sums(OverFrame::Range(4), batch), [(1, 1), (4, 3), (3, 16), (8, 34), (9, 36)]);
}

#[test]
fn a_filter_drops_rows_and_a_union_waits_for_its_slowest_input() {
    let schema = input(None);
    let big = Expr::compare(Comparison::Gt, Expr::column(2, schema.field(2)), Expr::literal(1)).expect("types agree");
    let calc = NodeKind::Calc(Calc { filter: Some(big), columns: columns(&schema) });
    let sink = NodeKind::Sink(Box::new(SinkNode {
        table: table("results", &schema),
        parallelism: None,
        constraints: Vec::new(),
    }));
    let nodes = vec![
        source("left", None),
        source("right", None),
        node(&[0], calc, Arc::clone(&schema)),
        node(&[2, 1], NodeKind::Union, Arc::clone(&schema)),
        node(&[3], sink, schema),
    ];
    let graph = JobGraph { nodes, settings: Settings::default() };
    let left = rows(&[("a", 1, 1), ("a", 2, 2)], 0, None);
    let right = rows(&[("b", 1, 0)], 0, None);
    let inputs = BTreeMap::from([("left".to_owned(), vec![left]), ("right".to_owned(), vec![right])]);
    let written = execute(&graph, &inputs).expect("no failure");
    let values: Vec<&Scalar> = written["results"].iter().map(|(_, row)| &row[2]).collect();
    assert_eq!(values, [&Scalar::Int32(Some(2)), &Scalar::Int32(Some(0))]);
    let error = execute(&graph, &BTreeMap::new()).expect_err("no input");
    assert_eq!(error, "no input for table left");
}

/// A Calc that passes rows whose value is above 1.
fn above_one() -> NodeKind {
    let schema = input(None);
    let big = Expr::compare(Comparison::Gt, Expr::column(2, schema.field(2)), Expr::literal(1)).expect("types agree");
    NodeKind::Calc(Calc { filter: Some(big), columns: columns(&schema) })
}

#[test]
fn a_filtered_changelog_is_one_of_the_filtered_table() {
    let mut kinds = KindsBuilder::default();
    (0..3).for_each(|_| kinds.insert());
    (0..3).for_each(|_| kinds.update());
    kinds.delete();
    let values = [1, 2, 3, 1, 2, 2, 1, 3, 4, 4];
    let content: Vec<(&str, i64, i32)> = values.into_iter().map(|value| ("a", 0, value)).collect();
    let batch = Batch::with_kinds(rows(&content, 0, None).rows().clone(), kinds.finish());
    let written = run_changes(above_one(), input(None), batch).expect("no failure");
    let seen: Vec<(RowKind, Scalar)> = written.iter().map(|(kind, row)| (*kind, row[2].clone())).collect();
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    let expected =
        [(Insert, 2), (Insert, 3), (Insert, 2), (Delete, 2), (UpdateBefore, 3), (UpdateAfter, 4), (Delete, 4)];
    assert_eq!(seen, expected.map(|(kind, value)| (kind, Scalar::Int32(Some(value)))));
    assert_eq!(fold(&written).expect("a changelog").into_values().collect::<Vec<_>>(), [1]);
}

#[test]
fn an_aggregation_takes_inserts_only() {
    let mut kinds = KindsBuilder::default();
    kinds.delete();
    let batch = Batch::with_kinds(rows(&[("a", 1, 1)], 0, None).rows().clone(), kinds.finish());
    let time = TimeColumn { column: 1, time_zone: None };
    let config = Over { keys: vec![0], time, frame: OverFrame::RowsUnbounded, aggregates: vec![sum()] };
    let error = run(NodeKind::Over(config), input(None), batch).expect_err("a -D");
    assert!(error.contains("accepts only inserts"), "{error}");
}

#[test]
fn splits_that_are_idle_or_at_their_end_hold_nothing_back() {
    let windows = WindowAggregate {
        assigner: WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 },
        time: Some(TimeColumn { column: 1, time_zone: None }),
        keys: vec![0],
        aggregates: vec![sum()],
        window_columns: vec![WindowColumn::Start],
    };
    let results = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("sum", DataType::Int32, true),
        Field::new("window_start", timestamp(None), true),
    ]));
    let sink = NodeKind::Sink(Box::new(SinkNode {
        table: table("results", &results),
        parallelism: None,
        constraints: Vec::new(),
    }));
    let nodes = vec![
        source("input", None),
        node(&[0], NodeKind::WindowAggregate(windows), Arc::clone(&results)),
        node(&[1], sink, results),
    ];
    let graph = JobGraph { nodes, settings: Settings::default() };
    let mut reference = Reference::new(&graph, 3).expect("a graph that runs");
    let sums = |reference: &Reference<'_>| -> Vec<Scalar> {
        reference.written()["results"].iter().map(|(_, row)| row[1].clone()).collect()
    };
    let sum = |sum| Scalar::Int32(Some(sum));

    reference.rows(0, 0, &rows(&[("a", 3, 1), ("a", 12, 2)], 0, None)).expect("rows");
    reference.rows(0, 1, &rows(&[("a", 5, 4)], 0, None)).expect("rows");
    reference.idle(0, 2).expect("no rows");
    assert_eq!(sums(&reference), [], "the second split is at 5");
    reference.idle(0, 0).expect("no rows");
    assert_eq!(sums(&reference), [], "it still is");
    reference.idle(0, 1).expect("no rows");
    assert_eq!(sums(&reference), [sum(5)], "event time is 12, the greatest that any has reported");
    // It resumes behind the others, and its first row is late for the window that has fired.
    reference.rows(0, 1, &rows(&[("a", 6, 8), ("a", 13, 16)], 0, None)).expect("rows");
    reference.end(0, 1).expect("no rows");
    assert_eq!(sums(&reference), [sum(5)], "an end beside idle splits is not the end of event time");
    reference.rows(0, 2, &rows(&[("a", 15, 32), ("a", 25, 64)], 0, None)).expect("rows");
    assert_eq!(sums(&reference), [sum(5), sum(50)]);
    reference.end(0, 0).expect("no rows");
    reference.end(0, 2).expect("no rows");
    assert_eq!(sums(&reference), [sum(5), sum(50), sum(64)]);
}
