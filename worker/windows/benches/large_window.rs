//! One tumbling window with many keys: nanoseconds a row, and what checkpoints cost.
//!
//! `cargo bench -p eddyline-windows --bench large_window -- 1000000 10000000`: with so many keys. Fills a window with SUM, AVG and
//! MAX per key, then adds rows of random keys. Then rounds: rows of a hundredth of the keys, and a checkpoint that completes.
//! Times are those of the lower quartile of all batches, so that other work on the machine does not count; the pause of a
//! checkpoint has what the barrier takes and what the first batch behind it takes longer than others.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, SchemaRef};
use eddyline_job_graph::AggregateFunction;
use eddyline_operators::{Collector, InputIndex, Operator};
use eddyline_state::{Frozen, PARTS, SnapshotRequest};
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Batch, CheckpointId};
use eddyline_windows::WindowAggregateOperator;

mod job;

use job::{config, schema};

const FUNCTIONS: [AggregateFunction; 3] = [AggregateFunction::Sum, AggregateFunction::Avg, AggregateFunction::Max];
const BATCH_ROWS: u64 = 8192;
const UPDATE_BATCHES: u64 = 600;

fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

struct Window {
    operator: WindowAggregateOperator,
    out: Collector,
    schema: SchemaRef,
}

impl Window {
    /// Adds rows; gives the nanoseconds that a row took.
    fn add(&mut self, keys: impl Iterator<Item = u64>) -> f64 {
        let keys: Int64Array = keys.map(|key| key as i64).collect();
        let rows = keys.len();
        let hashes = hash_columns(&[&keys as &dyn Array], rows).expect("a key type");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new(TimestampMillisecondArray::from_value(1, rows)),
            Arc::new(Int64Array::from_iter_values(0..rows as i64)),
        ];
        let batch = RecordBatch::try_new(self.schema.clone(), columns).expect("columns fit the schema");
        let batch = Batch::keyed(batch, hashes.into());
        let start = Instant::now();
        self.operator.process(InputIndex::FIRST, batch, &mut self.out).expect("valid rows");
        start.elapsed().as_nanos() as f64 / rows as f64
    }

    fn freeze(&mut self, request: SnapshotRequest) -> (Frozen, f64) {
        let start = Instant::now();
        let frozen = self.operator.snapshot(request).expect("state").expect("it has some");
        (frozen, start.elapsed().as_secs_f64() * 1e3)
    }
}

fn gather(frozen: Frozen) -> (usize, f64) {
    let start = Instant::now();
    let snapshot = frozen.gather().expect("rows");
    (snapshot.keyed.iter().map(|rows| rows.rows.num_rows()).sum(), start.elapsed().as_secs_f64() * 1e3)
}

fn lower_quartile(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 4]
}

fn measure(keys: u64) {
    let schema = schema(DataType::Int64);
    let operator =
        WindowAggregateOperator::new(config(86_400_000, &FUNCTIONS), schema.clone()).expect("a valid configuration");
    let mut window = Window { operator, out: Collector::default(), schema };
    let start = Instant::now();
    // Each key once, in an order in which neighbours are far apart.
    let stride = (keys / 8 * 5) | 1;
    let stride = (stride..).find(|stride| gcd(*stride, keys) == 1).expect("one of them has no common divisor");
    let batches = keys.div_ceil(BATCH_ROWS);
    let fill: Vec<f64> = (0..batches)
        .map(|batch| {
            window.add((batch * BATCH_ROWS..((batch + 1) * BATCH_ROWS).min(keys)).map(|row| row * stride % keys))
        })
        .collect();
    let (filled, all) = (lower_quartile(fill.clone()), fill.iter().sum::<f64>() / batches as f64);
    let random = |batch: u64| (0..BATCH_ROWS).map(move |row| mix(batch * BATCH_ROWS + row) % keys);
    let updates = lower_quartile((0..UPDATE_BATCHES).map(|batch| window.add(random(batch))).collect());
    let bytes = window.operator.counters().state_bytes;
    let mut checkpoint = CheckpointId::NONE.next();
    let (frozen, freeze) = window.freeze(SnapshotRequest::all(checkpoint));
    let first = window.add(random(1_000_000)) * BATCH_ROWS as f64 / 1e6;
    let (rows, gathered) = gather(frozen);
    println!(
        "{keys:>9} keys: {filled:>5.1} ns to add a key, {all:>5.1} on average; {updates:>5.1} ns to add a row; {} MiB; \
         all {rows}: frozen in {freeze:.1} ms, next batch {first:.1} ms, gathered in {gathered:.0} ms",
        bytes >> 20,
    );
    let (mut pauses, mut gathers, mut all_rows, mut times) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..u64::from(PARTS) {
        let touched = (keys / 100).max(1).div_ceil(BATCH_ROWS);
        times.extend((0..touched).map(|batch| window.add(random(2_000_000 + round * 10_000 + batch))));
        let since = Some(checkpoint);
        checkpoint = checkpoint.next();
        let (frozen, freeze) = window.freeze(SnapshotRequest { checkpoint, since, part: round as u8 });
        let first = window.add(random(3_000_000 + round)) * BATCH_ROWS as f64 / 1e6;
        let (rows, gathered) = gather(frozen);
        pauses.push(freeze + first - updates * BATCH_ROWS as f64 / 1e6);
        gathers.push(gathered);
        all_rows.push(rows);
    }
    println!(
        "          checkpoints of changes: pause {:.1} ms (most {:.1}), gathered in {:.0} ms, {:?} rows; {:.1} ns to add a row; {:.1} s",
        lower_quartile(pauses.clone()),
        pauses.iter().copied().fold(0.0, f64::max),
        lower_quartile(gathers),
        all_rows,
        lower_quartile(times),
        start.elapsed().as_secs_f64(),
    );
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let keys = if asked.is_empty() { vec![1_000, 100_000, 1_000_000, 10_000_000] } else { asked };
    keys.into_iter().for_each(measure);
}
