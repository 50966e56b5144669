//! Measures nanoseconds per row in the tumbling window operator: SUM and AVG per key, batches of 8 192 rows, ten
//! windows in each round.
//!
//! Run it with `cargo bench -p eddyline-windows`. It prints the best of several rounds, with and without key hashes on
//! the batches, and the cost of a snapshot of a full window.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use eddyline_job_graph::AggregateFunction;
use eddyline_operators::{Collector, InputIndex, Operator};
use eddyline_state::SnapshotRequest;
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Batch, CheckpointId, Watermark};
use eddyline_windows::WindowAggregateOperator;

mod job;

use job::{config, schema};

const FUNCTIONS: [AggregateFunction; 2] = [AggregateFunction::Sum, AggregateFunction::Avg];
const BATCH_ROWS: usize = 8192;
const BATCHES: usize = 400;
const WINDOW_MS: i64 = 10_000;
const WINDOWS: usize = 10;
const ROUNDS: usize = 5;

/// Batches with `keys` keys that cover all windows. The key is a hash of the row number.
fn batches(keys: u64, is_text: bool, is_hashed: bool) -> (SchemaRef, Vec<Batch>) {
    let schema = schema(if is_text { DataType::Utf8 } else { DataType::Int64 });
    let rows = (BATCHES * BATCH_ROWS) as i64;
    let batch = |number: usize| {
        let numbers = (number * BATCH_ROWS) as i64..((number + 1) * BATCH_ROWS) as i64;
        let key = |row: i64| (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys;
        let key_column: ArrayRef = if is_text {
            Arc::new(StringArray::from_iter_values(numbers.clone().map(|row| format!("k{}", key(row)))))
        } else {
            Arc::new(Int64Array::from_iter_values(numbers.clone().map(|row| key(row) as i64)))
        };
        let times = numbers.clone().map(|row| row * WINDOW_MS * WINDOWS as i64 / rows);
        let columns: Vec<ArrayRef> = vec![
            key_column.clone(),
            Arc::new(TimestampMillisecondArray::from_iter_values(times)),
            Arc::new(Int64Array::from_iter_values(numbers)),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns fit the schema");
        if is_hashed {
            let hashes = hash_columns(&[key_column.as_ref() as &dyn Array], BATCH_ROWS).expect("a key type");
            Batch::keyed(batch, hashes.into())
        } else {
            Batch::new(batch)
        }
    };
    let batches = (0..BATCHES).map(batch).collect();
    (schema, batches)
}

fn measure(keys: u64, is_text: bool, is_hashed: bool) {
    let (schema, batches) = batches(keys, is_text, is_hashed);
    let mut operator =
        WindowAggregateOperator::new(config(WINDOW_MS, &FUNCTIONS), schema).expect("a valid configuration");
    let mut out = Collector::default();
    let rows = (BATCHES * BATCH_ROWS) as f64;
    let (mut best_add, mut best_fire, mut groups) = (f64::MAX, f64::MAX, 0);
    let (mut freeze_ms, mut gather_ms) = (0.0, 0.0);
    for round in 0..ROUNDS as i64 {
        // Each round has later times than the one before. The times are moved outside the measurement.
        let moved: Vec<Batch> = batches.iter().map(|batch| later(batch, round * WINDOW_MS * WINDOWS as i64)).collect();
        let (mut add, mut fire) = (0.0, 0.0);
        for (number, batch) in moved.into_iter().enumerate() {
            let start = Instant::now();
            operator.process(InputIndex::FIRST, batch, &mut out).expect("valid rows");
            add += start.elapsed().as_nanos() as f64;
            if number + 1 == BATCHES / WINDOWS && round + 1 == ROUNDS as i64 {
                let start = Instant::now();
                let frozen =
                    operator.snapshot(SnapshotRequest::all(CheckpointId::NONE)).expect("state").expect("it has some");
                freeze_ms = start.elapsed().as_secs_f64() * 1e3;
                let start = Instant::now();
                let snapshot = frozen.gather().expect("rows");
                gather_ms = start.elapsed().as_secs_f64() * 1e3;
                groups = snapshot.keyed.iter().map(|rows| rows.rows.num_rows()).sum();
            }
            let end = (number + 1) as i64 * WINDOW_MS * WINDOWS as i64 / BATCHES as i64;
            let start = Instant::now();
            operator
                .on_watermark(Watermark::new(round * WINDOW_MS * WINDOWS as i64 + end - 1), &mut out)
                .expect("fires");
            out.drain();
            fire += start.elapsed().as_nanos() as f64;
        }
        best_add = best_add.min(add / rows);
        best_fire = best_fire.min(fire / rows);
    }
    println!(
        "{keys:>9} keys, {:<6} {:<8} {best_add:>6.1} ns/row to add, {best_fire:>5.1} ns/row to fire, {groups} groups frozen in {freeze_ms:.3} ms and gathered in {gather_ms:.1} ms, {} MiB",
        if is_text { "string" } else { "i64" },
        if is_hashed { "hashed" } else { "unhashed" },
        operator.counters().state_bytes >> 20,
    );
}

fn later(batch: &Batch, by_ms: i64) -> Batch {
    let times = batch.rows().column(1).as_any().downcast_ref::<TimestampMillisecondArray>().expect("the time column");
    let times = TimestampMillisecondArray::from_iter_values(times.values().iter().map(|time| time + by_ms));
    let mut columns = batch.rows().columns().to_vec();
    columns[1] = Arc::new(times);
    let rows = RecordBatch::try_new(batch.rows().schema(), columns).expect("columns fit the schema");
    match batch.key_hashes() {
        Some(hashes) => Batch::keyed(rows, hashes.to_vec().into()),
        None => Batch::new(rows),
    }
}

fn main() {
    for keys in [1_000, 100_000, 1_000_000] {
        for is_text in [false, true] {
            for is_hashed in [false, true] {
                measure(keys, is_text, is_hashed);
            }
        }
    }
}
