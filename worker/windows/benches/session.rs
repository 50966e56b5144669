//! Measures nanoseconds per row in the session window operator: SUM and AVG per key, batches of 8 192 rows.
//!
//! Run it with `cargo bench -p eddyline-windows --bench session`. It prints the best of several rounds: rows that are added
//! to sessions which stay open, and rows of which each opens a session that ends soon.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::DataType;
use eddyline_job_graph::{AggregateFunction, WindowAggregate, WindowAssigner};
use eddyline_operators::{Collector, InputIndex, Operator};
use eddyline_state::SnapshotRequest;
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Batch, CheckpointId, Watermark};
use eddyline_windows::WindowAggregateOperator;

mod job;

use job::{config, schema};

const FUNCTIONS: [AggregateFunction; 2] = [AggregateFunction::Sum, AggregateFunction::Avg];
const BATCH_ROWS: usize = 8192;
const BATCHES: usize = 200;
const ROUNDS: usize = 5;
/// Ten rows in a millisecond.
const ROWS_PER_MS: i64 = 10;

fn batch(first: i64, keys: u64) -> Batch {
    let numbers = first..first + BATCH_ROWS as i64;
    let key = |row: i64| ((row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys) as i64;
    let key_column: ArrayRef = Arc::new(Int64Array::from_iter_values(numbers.clone().map(key)));
    let times = numbers.clone().map(|row| row / ROWS_PER_MS);
    let columns: Vec<ArrayRef> = vec![
        key_column.clone(),
        Arc::new(TimestampMillisecondArray::from_iter_values(times)),
        Arc::new(Int64Array::from_iter_values(numbers)),
    ];
    let rows = RecordBatch::try_new(schema(DataType::Int64), columns).expect("columns fit the schema");
    let hashes = hash_columns(&[key_column.as_ref() as &dyn Array], BATCH_ROWS).expect("a key type");
    Batch::keyed(rows, hashes.into())
}

/// With `checkpoint_every` batches a checkpoint that completes; 0 for none.
fn measure(name: &str, keys: u64, gap_ms: i64, checkpoint_every: usize) {
    let config = WindowAggregate { assigner: WindowAssigner::Session { gap_ms }, ..config(1, &FUNCTIONS) };
    let mut operator = WindowAggregateOperator::new(config, schema(DataType::Int64)).expect("a valid configuration");
    let mut out = Collector::default();
    let rows = (BATCHES * BATCH_ROWS) as f64;
    let (mut best_add, mut best_fire) = (f64::MAX, f64::MAX);
    let (mut freeze_ms_max, mut handed, mut checkpoints) = (0f64, 0, 0);
    for round in 0..ROUNDS {
        let first = |number: usize| ((round * BATCHES + number) * BATCH_ROWS) as i64;
        let batches: Vec<Batch> = (0..BATCHES).map(|number| batch(first(number), keys)).collect();
        let (mut add, mut fire) = (0.0, 0.0);
        for (number, batch) in batches.into_iter().enumerate() {
            let start = Instant::now();
            operator.process(InputIndex::FIRST, batch, &mut out).expect("valid rows");
            add += start.elapsed().as_nanos() as f64;
            let start = Instant::now();
            operator.on_watermark(Watermark::new(first(number + 1) / ROWS_PER_MS - 1), &mut out).expect("fires");
            out.drain();
            fire += start.elapsed().as_nanos() as f64;
            if checkpoint_every > 0 && number % checkpoint_every == 0 {
                let since = (checkpoints > 0).then(|| CheckpointId::new(checkpoints));
                let part = (checkpoints % 8) as u8;
                checkpoints += 1;
                let request = SnapshotRequest { checkpoint: CheckpointId::new(checkpoints), since, part };
                let start = Instant::now();
                let frozen = operator.snapshot(request).expect("state").expect("it has some");
                let freeze_ms = start.elapsed().as_secs_f64() * 1e3;
                let snapshot = frozen.gather().expect("rows");
                if round + 1 == ROUNDS {
                    freeze_ms_max = freeze_ms_max.max(freeze_ms);
                    handed = snapshot.keyed.iter().map(|rows| rows.rows.num_rows()).sum();
                }
            }
        }
        best_add = best_add.min(add / rows);
        best_fire = best_fire.min(fire / rows);
    }
    println!(
        "{name:<40} {best_add:>6.1} ns/row to add, {best_fire:>6.1} ns/row to fire, {:>8} open, {} MiB, barrier {freeze_ms_max:.1} ms, {handed} rows handed over at the last",
        operator.counters().state_rows,
        operator.counters().state_bytes >> 20,
    );
}

fn main() {
    measure("1 000 keys, long sessions", 1_000, 1_000_000_000, 0);
    measure("100 000 keys, long sessions", 100_000, 1_000_000_000, 0);
    measure("1 000 000 keys, long sessions", 1_000_000, 1_000_000_000, 0);
    measure("1 000 keys that pause and come back", 1_000, 90, 0);
    measure("1 000 000 keys, a session for most rows", 1_000_000, 50_000, 0);
    measure("1 000 000 keys, with checkpoints", 1_000_000, 1_000_000_000, 20);
    measure("a session for most rows, checkpoints", 1_000_000, 50_000, 20);
}
