//! Single properties of windows, each with rows that show it.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use eddyline_job_graph::{
    AggregateCall, AggregateFunction, TimeColumn, WindowAggregate, WindowAssign, WindowAssigner, WindowColumn,
};
use eddyline_operators::{Collector, InputIndex, Operator, Progress};
use eddyline_state::Snapshot;
use eddyline_stream::{Batch, Watermark};

use super::aggregates::{distinct_values, invertible, mergeable, ordered};
use super::harness::{Job, Pieces, config, lines, snapshot_of};
use super::rows::{KEY, NAME, Row, WINDOW_MS};
use crate::output::BATCH_ROWS_MAX;
use crate::{Error, LocalWindowAggregate, WindowAggregateOperator, WindowAssignOperator};

fn row(key: i64, time: i64, value: i64) -> Row {
    Row { key: Some(key), time, value: Some(value), text: None, flag: Some(true) }
}

fn sum(argument: usize, data_type: DataType) -> AggregateCall {
    AggregateCall {
        function: AggregateFunction::Sum,
        argument: Some(argument),
        distinct: false,
        filter: None,
        argument_type: Some(data_type.clone()),
        result_type: data_type,
        name: "total".to_owned(),
    }
}

/// COUNT(*) and SUM over rows of (ts, value) without keys.
fn counted(assigner: WindowAssigner, time_zone: Option<&str>) -> (WindowAggregate, SchemaRef) {
    let zone = time_zone.map(|_| Arc::from("UTC"));
    let schema = Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, zone), true),
        Field::new("value", DataType::Int32, true),
    ]));
    let count = AggregateCall {
        function: AggregateFunction::CountStar,
        argument: None,
        distinct: false,
        filter: None,
        argument_type: None,
        result_type: DataType::Int64,
        name: "rows".to_owned(),
    };
    let config = WindowAggregate {
        assigner,
        time: Some(TimeColumn { column: 0, time_zone: time_zone.map(str::to_owned) }),
        keys: Vec::new(),
        aggregates: vec![count, sum(1, DataType::Int32)],
        window_columns: vec![WindowColumn::Start, WindowColumn::End, WindowColumn::Time],
    };
    (config, schema)
}

fn timed(schema: &SchemaRef, rows: &[(i64, i32)]) -> Batch {
    let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.0));
    let times = times.with_data_type(schema.field(0).data_type().clone());
    let values = Int32Array::from_iter_values(rows.iter().map(|row| row.1));
    Batch::new(RecordBatch::try_new(schema.clone(), vec![Arc::new(times), Arc::new(values)]).expect("fits"))
}

fn output(out: &mut Collector) -> Vec<String> {
    out.drain().flat_map(|batch| lines(batch.rows())).collect()
}

#[test]
fn a_row_late_for_one_hopping_window_counts_in_the_next() {
    let times = [(0, 1), (4_000, 2), (7_000, 3), (4_500, 4)];
    let run = |assigner| {
        let (config, schema) = counted(assigner, None);
        let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
        let mut out = Collector::default();
        operator.process(InputIndex::FIRST, timed(&schema, &times[..3]), &mut out).expect("rows");
        operator.on_watermark(Watermark::new(7_000), &mut out).expect("fires");
        operator.process(InputIndex::FIRST, timed(&schema, &times[3..]), &mut out).expect("rows");
        operator.on_watermark(Watermark::MAX, &mut out).expect("fires");
        (output(&mut out), operator.counters().late_rows)
    };
    let (tumble, late) = run(WindowAssigner::Tumble { size_ms: 5_000, offset_ms: 0 });
    assert_eq!(tumble, ["2|3|0|5000|4999|", "1|3|5000|10000|9999|"]);
    assert_eq!(late, 1);
    let (hop, late) = run(WindowAssigner::Hop { size_ms: 10_000, slide_ms: 5_000, offset_ms: 0 });
    assert_eq!(hop, ["2|3|-5000|5000|4999|", "4|10|0|10000|9999|", "1|3|5000|15000|14999|"]);
    assert_eq!(late, 0);
}

#[test]
fn a_window_fires_at_its_last_millisecond() {
    let (config, schema) = counted(WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 }, None);
    let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
    let mut out = Collector::default();
    operator.process(InputIndex::FIRST, timed(&schema, &[(3, 1)]), &mut out).expect("rows");
    operator.on_watermark(Watermark::new(8), &mut out).expect("waits");
    assert!(out.is_empty());
    operator.process(InputIndex::FIRST, timed(&schema, &[(4, 1)]), &mut out).expect("rows");
    operator.on_watermark(Watermark::new(9), &mut out).expect("fires");
    assert_eq!(output(&mut out), ["2|2|0|10|9|"]);
    operator.process(InputIndex::FIRST, timed(&schema, &[(5, 1)]), &mut out).expect("rows");
    assert_eq!(operator.counters().late_rows, 1);
}

#[test]
fn whole_number_sums_wrap_and_averages_truncate_toward_zero() {
    let (mut config, schema) = counted(WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 }, None);
    config.aggregates.push(AggregateCall { function: AggregateFunction::Avg, ..sum(1, DataType::Int32) });
    let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
    let mut out = Collector::default();
    operator
        .process(InputIndex::FIRST, timed(&schema, &[(1, i32::MAX), (2, 1), (11, -1634), (12, 0), (13, -1)]), &mut out)
        .expect("rows");
    operator.on_watermark(Watermark::MAX, &mut out).expect("fires");
    assert_eq!(output(&mut out), ["2|-2147483648|1073741824|0|10|9|", "3|-1635|-545|10|20|19|"]);
}

#[test]
fn a_null_time_is_an_error_that_says_what_to_do() {
    let (config, schema) = counted(WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 }, None);
    let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
    let columns: Vec<ArrayRef> =
        vec![Arc::new(TimestampMillisecondArray::from(vec![Some(1), None])), Arc::new(Int32Array::from(vec![1, 2]))];
    let batch = Batch::new(RecordBatch::try_new(schema, columns).expect("fits"));
    let error = operator.process(InputIndex::FIRST, batch, &mut Collector::default()).unwrap_err();
    assert!(error.to_string().contains("WHERE ts IS NOT NULL"), "{error}");
}

#[test]
fn days_of_a_time_zone_have_23_or_25_hours() {
    const HOUR: i64 = 3_600_000;
    let day = WindowAssigner::Tumble { size_ms: 24 * HOUR, offset_ms: 0 };
    let (config, schema) = counted(day, Some("Europe/Berlin"));
    let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
    let mut out = Collector::default();
    // 2024-03-31 in Berlin begins at 23:00 UTC the day before and lasts 23 hours.
    let start = 1_711_839_600_000;
    let times: Vec<(i64, i32)> = (-1..24).map(|hour| (start + hour * HOUR, 1)).collect();
    operator.process(InputIndex::FIRST, timed(&schema, &times), &mut out).expect("rows");
    operator.on_watermark(Watermark::new(start + 23 * HOUR - 2), &mut out).expect("fires the day before");
    assert_eq!(output(&mut out).len(), 1);
    operator.on_watermark(Watermark::new(start + 23 * HOUR - 1), &mut out).expect("fires");
    let batches: Vec<Batch> = out.drain().collect();
    let column = |index: usize| batches[0].rows().column(index).as_primitive::<TimestampMillisecondType>().value(0);
    assert_eq!(batches[0].rows().column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 23);
    assert_eq!(column(2), start + HOUR, "midnight on the clock of Berlin");
    assert_eq!(column(3) - column(2), 24 * HOUR, "a day on the clock");
    assert_eq!(column(4), start + 23 * HOUR - 1, "an instant");
    assert_eq!(batches[0].rows().column(4).data_type(), schema.field(0).data_type());
}

#[test]
fn keys_come_out_in_order_of_arrival_and_windows_in_order_of_end() {
    let calls = &invertible()[..1];
    let mut job =
        Job::new(config(WindowAssigner::Tumble { size_ms: WINDOW_MS, offset_ms: 0 }, &[KEY], calls), 1, false);
    job.rows(&[row(9, 13, 1), row(3, 1, 1), row(7, 14, 1), row(1, 2, 1), row(3, 3, 1)]);
    job.watermark(i64::MAX);
    let lines: Vec<String> = job.output.iter().flat_map(lines).collect();
    assert_eq!(lines, ["3|2|0|12|11|", "1|1|0|12|11|", "9|1|12|24|23|", "7|1|12|24|23|"]);
}

#[test]
fn memory_stays_flat_over_many_windows() {
    let assigners = [
        WindowAssigner::Tumble { size_ms: 12, offset_ms: 0 },
        WindowAssigner::Hop { size_ms: 48, slide_ms: 12, offset_ms: 0 },
        WindowAssigner::Cumulate { size_ms: 48, step_ms: 12, offset_ms: 0 },
        WindowAssigner::Session { gap_ms: 3 },
    ];
    for assigner in assigners {
        for calls in [&invertible()[..], &mergeable()[..]] {
            let mut job = Job::new(config(assigner.clone(), &[NAME], calls), 1, false);
            let mut largest = [0; 2];
            for window in 0..240 {
                // Keys change all the time. Keys without rows must not stay in the tables.
                let rows: Vec<Row> = (0..300).map(|i| row(window * 200 + i, window * 12 + i % 8, i)).collect();
                job.rows(&rows);
                job.watermark(window * 12 + 11);
                let half = &mut largest[usize::from(window >= 120)];
                *half = job.state_bytes().max(*half);
            }
            assert!(largest[1] <= largest[0], "{assigner:?}: {largest:?}");
        }
    }
}

#[test]
fn rows_that_do_not_repeat_their_keys_pass_the_local_aggregation() {
    let calls = &invertible()[..3];
    let config = config(WindowAssigner::Tumble { size_ms: 1_000_000, offset_ms: 0 }, &[KEY], calls);
    let rows: Vec<Row> = (0..22_000).map(|i| row(i, i, 1)).collect();
    let mut local = LocalWindowAggregate::new(&config, &super::rows::schema()).expect("can be computed in parts");
    let mut out = Collector::default();
    local.process(InputIndex::FIRST, Batch::new(super::rows::batch(&rows)), &mut out).expect("rows");
    assert_eq!(local.counters().state_rows, 0, "it stopped aggregating and sent what it had");
    local.process(InputIndex::FIRST, Batch::new(super::rows::batch(&rows[..10])), &mut out).expect("rows");
    let sent: Vec<usize> = out.drain().map(|batch| batch.num_rows()).collect();
    assert_eq!(sent, [8192, 8192, 5616, 10]);
}

#[test]
fn repeated_keys_are_aggregated_locally_until_the_watermark() {
    let calls = &invertible()[..3];
    let config = config(WindowAssigner::Tumble { size_ms: 12, offset_ms: 0 }, &[KEY], calls);
    let mut local = LocalWindowAggregate::new(&config, &super::rows::schema()).expect("can be computed in parts");
    let mut out = Collector::default();
    let rows: Vec<Row> = (0..1_000).map(|i| row(i % 5, i % 24, 1)).collect();
    local.process(InputIndex::FIRST, Batch::new(super::rows::batch(&rows)), &mut out).expect("rows");
    assert!(out.is_empty());
    local.on_watermark(Watermark::new(11), &mut out).expect("flushes");
    let batches: Vec<Batch> = out.drain().collect();
    assert_eq!(batches.iter().map(Batch::num_rows).sum::<usize>(), 5);
    assert!(batches[0].key_hashes().is_some());
    // The receiver may be about to fire this window, so nothing may wait here.
    local.process(InputIndex::FIRST, Batch::new(super::rows::batch(&rows[..1])), &mut out).expect("rows");
    assert_eq!(out.drain().map(|batch| batch.num_rows()).sum::<usize>(), 1);
    local.before_barrier(&mut out).expect("flushes");
    assert_eq!(out.drain().map(|batch| batch.num_rows()).sum::<usize>(), 5);
}

#[test]
fn the_plan_knows_what_can_be_aggregated_locally() {
    let schema = super::rows::schema();
    let tumble = WindowAssigner::Tumble { size_ms: 5, offset_ms: 0 };
    let calls = [invertible(), mergeable(), distinct_values(), ordered()].concat();
    let mut found = [false; 2];
    for (call, expected) in calls {
        for (assigner, distinct) in [(&tumble, false), (&tumble, true), (&WindowAssigner::Session { gap_ms: 5 }, false)]
        {
            let is_distinct = call.distinct || distinct && call.argument.is_some();
            let call = AggregateCall { distinct: is_distinct, ..call.clone() };
            let config = config(assigner.clone(), &[KEY], &[(call, expected)]);
            let is_local = LocalWindowAggregate::new(&config, &schema).is_ok();
            assert_eq!(config.has_two_phases(), is_local, "{config:?}");
            found[usize::from(is_local)] = true;
        }
    }
    assert_eq!(found, [true, true]);
}

#[test]
fn foreign_state_is_refused_by_name() {
    let calls = invertible();
    let tumble = WindowAssigner::Tumble { size_ms: 12, offset_ms: 0 };
    let schema = super::rows::schema();
    let new =
        |calls| WindowAggregateOperator::new(config(tumble.clone(), &[KEY], calls), schema.clone()).expect("valid");
    let mut operator = new(&calls);
    let mut out = Collector::default();
    operator.process(InputIndex::FIRST, Batch::new(super::rows::batch(&[row(1, 1, 1)])), &mut out).expect("rows");
    let snapshot = snapshot_of(&mut operator);
    let error = new(&calls[..1]).restore(snapshot).unwrap_err();
    assert!(error.to_string().starts_with("cannot restore state table groups"), "{error}");
    let short = Snapshot::of_all_rows(Vec::new(), vec![("watermark".to_owned(), vec![1])]);
    assert!(new(&calls).restore(short).is_err());
}

#[test]
fn a_restored_operator_judges_lateness_by_its_own_watermark() {
    let calls = &invertible()[..1];
    let mut job = Job::new(config(WindowAssigner::Tumble { size_ms: 12, offset_ms: 0 }, &[KEY], calls), 2, false);
    job.rows(&[row(1, 1, 1)]);
    job.watermark(11);
    job.rescale(3, 1);
    job.watermark(5);
    job.rows(&[row(1, 2, 1)]);
    assert_eq!(job.late_rows(), 1);
}

#[test]
fn extremes_order_floats_as_java_does() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("x", DataType::Float64, true),
    ]));
    let call = |function| AggregateCall { function, ..sum(1, DataType::Float64) };
    let config = WindowAggregate {
        assigner: WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 },
        time: Some(TimeColumn { column: 0, time_zone: None }),
        keys: Vec::new(),
        aggregates: vec![call(AggregateFunction::Min), call(AggregateFunction::Max)],
        window_columns: Vec::new(),
    };
    let mut operator = WindowAggregateOperator::new(config, schema.clone()).expect("valid");
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3])),
        Arc::new(Float64Array::from(vec![0.0, f64::NAN, -0.0])),
    ];
    let mut out = Collector::default();
    operator
        .process(InputIndex::FIRST, Batch::new(RecordBatch::try_new(schema, columns).expect("fits")), &mut out)
        .expect("rows");
    operator.on_watermark(Watermark::MAX, &mut out).expect("fires");
    let batches: Vec<Batch> = out.drain().collect();
    let value =
        |column: usize| batches[0].rows().column(column).as_primitive::<arrow::datatypes::Float64Type>().value(0);
    assert!(value(0) == 0.0 && value(0).is_sign_negative());
    assert!(value(1).is_nan());
}

#[test]
fn unusable_configurations_are_refused_before_they_run() {
    let refused = |assigner: WindowAssigner| {
        let (config, schema) = counted(assigner, None);
        WindowAggregateOperator::new(config, schema).unwrap_err().to_string()
    };
    assert!(refused(WindowAssigner::Hop { size_ms: 10, slide_ms: 3, offset_ms: 0 }).contains("multiple"));
    assert!(refused(WindowAssigner::Tumble { size_ms: 0, offset_ms: 0 }).contains("greater than 0"));
    let (mut config, schema) = counted(WindowAssigner::Tumble { size_ms: 5, offset_ms: 0 }, None);
    config.keys = vec![17];
    let error = WindowAggregateOperator::new(config, schema).unwrap_err();
    assert!(matches!(error, Error::NoSuchColumn { position: 17, columns: 2 }));
}

#[test]
fn assigned_windows_repeat_rows_of_hopping_windows() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    let rows = |times: Vec<i64>| {
        let names = StringArray::from_iter_values(times.iter().map(|time| format!("at {time}")));
        let columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(TimestampMillisecondArray::from(times))];
        Batch::new(RecordBatch::try_new(schema.clone(), columns).expect("fits"))
    };
    let assign = |assigner| {
        let config = WindowAssign { assigner, time: TimeColumn { column: 1, time_zone: None } };
        let mut operator = WindowAssignOperator::new(config, schema.clone()).expect("valid");
        let mut out = Collector::default();
        operator.process(InputIndex::FIRST, rows(vec![-1, 4]), &mut out).expect("rows");
        output(&mut out)
    };
    assert_eq!(assign(WindowAssigner::Tumble { size_ms: 4, offset_ms: 0 }), ["at -1|-1|-4|0|-1|", "at 4|4|4|8|7|"]);
    assert_eq!(
        assign(WindowAssigner::Hop { size_ms: 8, slide_ms: 4, offset_ms: 0 }),
        ["at -1|-1|-4|4|3|", "at -1|-1|-8|0|-1|", "at 4|4|4|12|11|", "at 4|4|0|8|7|"]
    );
    assert_eq!(
        assign(WindowAssigner::Cumulate { size_ms: 8, step_ms: 4, offset_ms: 0 }),
        ["at -1|-1|-8|0|-1|", "at 4|4|0|8|7|"]
    );
}

#[test]
fn a_join_of_sessions_keeps_what_both_have_seen() {
    let calls = &invertible()[..3];
    let mut job = Job::new(config(WindowAssigner::Session { gap_ms: 5 }, &[KEY], calls), 1, false);
    job.rows(&[row(1, 0, 1), row(1, 10, 2)]);
    assert_eq!(job.state_rows(), 2);
    job.rows(&[row(1, 5, 4)]);
    assert_eq!(job.state_rows(), 1, "a row at the end of one and the start of the other joins them");
    job.watermark(i64::MAX);
    let lines: Vec<String> = job.output.iter().flat_map(lines).collect();
    assert_eq!(lines, ["1|3|3|7|0|15|14|"]);
}

#[test]
fn a_dictionary_of_keys_comes_out_as_plain_strings() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("name", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("value", DataType::Int64, true),
    ]));
    let config = WindowAggregate {
        assigner: WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 },
        time: Some(TimeColumn { column: 1, time_zone: None }),
        keys: vec![0],
        aggregates: vec![sum(2, DataType::Int64)],
        window_columns: Vec::new(),
    };
    let mut operator = WindowAggregateOperator::new(config, schema).expect("valid");
    let names: arrow::array::DictionaryArray<arrow::datatypes::Int32Type> =
        [Some("b"), Some("a"), None, Some("b")].into_iter().collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("name", Arc::new(names)),
        ("ts", Arc::new(TimestampMillisecondArray::from(vec![1, 2, 3, 4]))),
        ("value", Arc::new(Int64Array::from(vec![1, 2, 4, 8]))),
    ];
    let mut out = Collector::default();
    operator
        .process(InputIndex::FIRST, Batch::new(RecordBatch::try_from_iter(columns).expect("fits")), &mut out)
        .expect("rows");
    operator.on_watermark(Watermark::MAX, &mut out).expect("fires");
    assert_eq!(output(&mut out), ["b|9|", "a|2|", "|4|"]);
}

#[test]
fn a_large_window_comes_in_pieces_of_a_batch_and_a_barrier_can_be_between_any_two() {
    const KEYS: i64 = 20_000;
    let rows: Vec<Row> = (0..KEYS).map(|key| row(key, 3, key % 7)).collect();
    let assigners = [
        WindowAssigner::Tumble { size_ms: 12, offset_ms: 0 },
        WindowAssigner::Hop { size_ms: 12, slide_ms: 6, offset_ms: 0 },
        WindowAssigner::Cumulate { size_ms: 12, step_ms: 6, offset_ms: 0 },
        WindowAssigner::Session { gap_ms: 4 },
    ];
    for assigner in assigners {
        for at in 0..2 {
            let pieces = Pieces { rows: BATCH_ROWS_MAX, cut: Some((at, 2, 1_000)) };
            let mut job = Job::new(config(assigner.clone(), &[KEY], &mergeable()), 1, false).in_pieces(pieces);
            job.rows(&rows);
            job.watermark(i64::MAX);
            let given: usize = job.output.iter().map(RecordBatch::num_rows).sum();
            let windows =
                if matches!(assigner, WindowAssigner::Hop { .. } | WindowAssigner::Cumulate { .. }) { 2 } else { 1 };
            assert_eq!(given, KEYS as usize * windows, "{assigner:?}");
        }
    }
}

#[test]
fn rows_in_many_windows_are_repeated_in_pieces() {
    let (_, schema) = counted(WindowAssigner::Tumble { size_ms: 10, offset_ms: 0 }, None);
    let config = WindowAssign {
        assigner: WindowAssigner::Hop { size_ms: 1_000, slide_ms: 10, offset_ms: 0 },
        time: TimeColumn { column: 0, time_zone: None },
    };
    let rows: Vec<(i64, i32)> = (0..50).map(|time| (time, 1)).collect();
    let assigned = |room: usize| {
        let mut operator = WindowAssignOperator::new(config.clone(), schema.clone()).expect("valid");
        let mut out = Collector::with_room(room);
        let mut progress = operator.process(InputIndex::FIRST, timed(&schema, &rows), &mut out).expect("rows");
        let mut texts = Vec::new();
        loop {
            assert!(out.rows() <= room);
            texts.extend(output(&mut out));
            if progress == Progress::Done {
                break;
            }
            progress = operator.resume(&mut out).expect("repeats");
        }
        texts
    };
    let whole = assigned(usize::MAX);
    assert_eq!(whole.len(), 50 * 100);
    assert_eq!(assigned(7), whole);
    assert_eq!(assigned(128), whole);
}
