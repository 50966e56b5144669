//! Sessions in checkpoints: what is handed over, and the form that earlier releases wrote.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use eddyline_job_graph::WindowAssigner;
use eddyline_operators::{Collector, InputIndex, Operator};
use eddyline_state::{NO_BUCKET, Snapshot, TableRows};
use eddyline_stream::{Batch, Watermark};

use super::aggregates::{distinct_values, invertible, mergeable, ordered};
use super::harness::{Job, config, lines, snapshot_of};
use super::rows::{KEY, NAME, Row, batch, schema};
use crate::WindowAggregateOperator;

fn row(key: i64, time: i64, value: i64) -> Row {
    Row { key: Some(key).filter(|key| *key != 3), time, value: Some(value), text: None, flag: Some(value % 2 == 0) }
}

/// State in the form of earlier releases: all open sessions in no bucket, and with each value the start of its session.
fn earlier(snapshot: &Snapshot, keys: usize) -> Snapshot {
    let key_of = |rows: &TableRows, row: usize| {
        let columns = &rows.rows.columns()[..keys];
        let key: Vec<String> =
            columns.iter().map(|column| array_value_to_string(column, row).expect("printable")).collect();
        (rows.bucket, key)
    };
    let mut starts = BTreeMap::new();
    let mut tables: BTreeMap<String, (Vec<RecordBatch>, Vec<u64>)> = BTreeMap::new();
    let mut gone = 0;
    let (sessions, values): (Vec<_>, Vec<_>) = snapshot.keyed.iter().partition(|rows| rows.table == "sessions");
    for rows in sessions {
        let start = rows.rows.column(keys).as_primitive::<TimestampMillisecondType>();
        let open: Vec<u32> = (0..rows.rows.num_rows() as u32).filter(|row| start.is_valid(*row as usize)).collect();
        gone += rows.rows.num_rows() - open.len();
        for row in &open {
            starts.insert(key_of(rows, *row as usize), start.value(*row as usize));
        }
        let into = tables.entry(rows.table.clone()).or_default();
        into.1.extend(open.iter().map(|row| rows.key_hashes[*row as usize]));
        into.0.push(take_record_batch(&rows.rows, &UInt32Array::from(open)).expect("rows"));
    }
    assert!(gone > 0, "some sessions are gone");
    for rows in values {
        let known: Vec<u32> =
            (0..rows.rows.num_rows() as u32).filter(|row| starts.contains_key(&key_of(rows, *row as usize))).collect();
        let of_value = known.iter().map(|row| starts[&key_of(rows, *row as usize)]);
        let of_value: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(of_value));
        let into = tables.entry(rows.table.replace("session_", "")).or_default();
        into.1.extend(known.iter().map(|row| rows.key_hashes[*row as usize]));
        let taken = take_record_batch(&rows.rows, &UInt32Array::from(known)).expect("rows");
        let (mut columns, fields) = (taken.columns().to_vec(), taken.schema());
        columns.insert(keys, of_value);
        let mut fields: Vec<_> = fields.fields().iter().cloned().collect();
        fields.insert(keys, Arc::new(Field::new("window_start", columns[keys].data_type().clone(), false)));
        into.0.push(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns"));
    }
    let keyed = tables.into_iter().map(|(table, (batches, key_hashes))| {
        let rows = concat_batches(&batches[0].schema(), &batches).expect("one schema");
        TableRows { table, bucket: NO_BUCKET, is_whole: true, key_hashes, rows }
    });
    Snapshot::of_all_rows(keyed.collect(), snapshot.union.clone())
}

fn given(operator: &mut WindowAggregateOperator, rows: &[Row], watermark: Watermark) -> Vec<String> {
    let mut out = Collector::default();
    operator.process(InputIndex::FIRST, Batch::new(batch(rows)), &mut out).expect("valid rows");
    operator.on_watermark(watermark, &mut out).expect("fires");
    let mut lines: Vec<String> = out.drain().flat_map(|batch| lines(batch.rows())).collect();
    lines.sort();
    lines
}

#[test]
fn sessions_in_the_form_of_earlier_releases_are_restored() {
    for keys in [vec![KEY], vec![KEY, NAME], vec![]] {
        for calls in [mergeable(), distinct_values(), ordered()] {
            let config = config(WindowAssigner::Session { gap_ms: 8 }, &keys, &calls);
            let new = || WindowAggregateOperator::new(config.clone(), schema()).expect("a valid configuration");
            let mut operator = new();
            let first: Vec<Row> = (0..60).map(|number| row(number % 7, number * 2 - number % 5, number % 11)).collect();
            given(&mut operator, &first[..30], Watermark::new(20));
            // Two sessions of one key, out of order, and one that ends with this watermark.
            let pause = [row(1, 90, 4), row(1, 70, 5), row(9, 67, 5)];
            given(&mut operator, &pause, Watermark::new(74));
            let mut restored = new();
            restored.restore(earlier(&snapshot_of(&mut operator), keys.len())).expect("the form of earlier releases");
            assert_eq!(restored.counters().state_rows, operator.counters().state_rows);
            let later: Vec<Row> = (0..20).map(|number| row(number % 5, 76 + number, number)).collect();
            for (rows, watermark) in [(&later[..], Watermark::new(95)), (&[row(2, 300, 1)], Watermark::MAX)] {
                let lines = given(&mut operator, rows, watermark);
                assert!(watermark < Watermark::MAX || !lines.is_empty());
                assert_eq!(given(&mut restored, rows, watermark), lines, "{keys:?}");
            }
        }
    }
}

#[test]
fn a_checkpoint_gets_sessions_that_have_changed_and_an_eighth_of_the_others() {
    const KEYS: i64 = 4_000;
    let mut job = Job::new(config(WindowAssigner::Session { gap_ms: 100_000 }, &[KEY], &distinct_values()), 1, false);
    let rows: Vec<Row> = (10..KEYS + 10).map(|key| row(key, key % 900, key % 5)).collect();
    job.add(batch(&rows));
    job.checked_checkpoint();
    for round in 0..20 {
        let rows: Vec<Row> = (0..10).map(|number| row(10 + round * 150 + number * 7, 1_000 + round, number)).collect();
        job.add(batch(&rows));
        job.checked_checkpoint();
        let handed = job.last_rows("sessions");
        assert!((10..=KEYS as usize / 8 + 60).contains(&handed), "{handed} sessions in round {round}");
        let values = job.last_rows("session_distinct_0");
        assert!(values <= KEYS as usize / 8 + 60, "{values} values in round {round}");
    }
}

#[test]
fn sessions_that_come_and_go_leave_no_rows_behind() {
    let mut job = Job::new(config(WindowAssigner::Session { gap_ms: 40 }, &[KEY], &distinct_values()), 1, false);
    let mut bytes = Vec::new();
    for round in 0..60 {
        let rows: Vec<Row> =
            (0..200).map(|number| row(round * 100 + number, round * 30 + number % 30, number)).collect();
        job.rows(&rows);
        job.checked_checkpoint();
        job.watermark(round * 30);
        bytes.push(job.state_bytes());
    }
    assert!(bytes[59] <= 2 * bytes[10], "{bytes:?}");
    job.watermark(i64::MAX);
    assert_eq!(job.state_rows(), 0);
    job.checked_checkpoint();
    assert_eq!(job.last_rows("sessions"), 0);
}

#[test]
fn a_late_row_leaves_no_key_behind() {
    let mut job = Job::new(config(WindowAssigner::Session { gap_ms: 10 }, &[KEY], &invertible()), 1, false);
    job.rows(&[row(1, 95, 1)]);
    job.watermark(100);
    let late: Vec<Row> = (100..200).map(|key| row(key, 5, 1)).collect();
    job.rows(&late);
    assert_eq!((job.late_rows(), job.state_rows()), (100, 1));
    job.checked_checkpoint();
    assert_eq!(job.last_rows("sessions"), 1);
}
