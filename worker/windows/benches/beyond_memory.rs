//! One tumbling window with more keys than memory: rows a second, with and without groups on disk.
//!
//! `cargo bench -p eddyline-windows --bench beyond_memory -- 4000000`: with so many keys. Adds ten rows for each key with SUM, AVG
//! and MAX, then fires. First all groups are in memory. Then the operator has an eighth of what all keys need, and is asked to move
//! the rest to a directory in the working directory. Keys are uniformly random, or nine rows of ten have a tenth of the keys.
//! The results of both are compared. Times are CPU-seconds of the thread, then seconds.

use std::sync::Arc;
use std::time::Instant;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Int64Type};
use eddyline_job_graph::AggregateFunction;
use eddyline_operators::{Collector, InputIndex, Operator, PIECE_ROWS, Progress};
use eddyline_state::SpillDirectory;
use eddyline_stream::key_hash::hash_columns;
use eddyline_stream::{Batch, Watermark};
use eddyline_windows::WindowAggregateOperator;

mod job;

use job::{config, schema};

const FUNCTIONS: [AggregateFunction; 3] = [AggregateFunction::Sum, AggregateFunction::Avg, AggregateFunction::Max];
const BATCH_ROWS: u64 = 8192;
const ROWS_PER_KEY: u64 = 10;
const WINDOW_MS: i64 = 86_400_000;

fn mix(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn uniform(row: u64, keys: u64) -> u64 {
    mix(row) % keys
}

fn skewed(row: u64, keys: u64) -> u64 {
    let (hot, random) = (keys / 10, mix(row));
    if random % 10 > 0 { (random >> 8) % hot } else { hot + (random >> 8) % (keys - hot) }
}

/// The seconds that this thread has had a processor.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    stat.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

#[derive(Debug, Default)]
struct Measured {
    add: (f64, f64),
    fire: (f64, f64),
    bytes_max: usize,
    disk_max: u64,
    evictions: usize,
    /// The number of groups, and a sum over all results.
    results: (u64, u64),
}

fn run(keys: u64, key_of: fn(u64, u64) -> u64, memory: Option<(usize, &SpillDirectory)>) -> Measured {
    let schema = schema(DataType::Int64);
    let mut operator =
        WindowAggregateOperator::new(config(WINDOW_MS, &FUNCTIONS), schema.clone()).expect("a valid configuration");
    let mut measured = Measured::default();
    let mut out = Collector::with_room(PIECE_ROWS);
    for batch in 0..(keys * ROWS_PER_KEY).div_ceil(BATCH_ROWS) {
        let rows = batch * BATCH_ROWS..(batch + 1) * BATCH_ROWS;
        let keys: Int64Array = rows.clone().map(|row| key_of(row, keys) as i64).collect();
        let hashes = hash_columns(&[&keys as &dyn Array], keys.len()).expect("a key type");
        let columns: Vec<ArrayRef> = vec![
            Arc::new(keys),
            Arc::new(TimestampMillisecondArray::from_value(1, BATCH_ROWS as usize)),
            Arc::new(Int64Array::from_iter_values(rows.map(|row| row as i64))),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns fit the schema");
        let batch = Batch::keyed(batch, hashes.into());
        let start = (cpu_seconds(), Instant::now());
        operator.process(InputIndex::FIRST, batch, &mut out).expect("valid rows");
        let bytes = operator.counters().state_bytes;
        measured.bytes_max = measured.bytes_max.max(bytes);
        if let Some((bytes_max, disk)) = memory
            && bytes > bytes_max
        {
            operator.evict(bytes - bytes_max, disk).expect("there is room");
            measured.evictions += 1;
        }
        measured.add.0 += cpu_seconds() - start.0;
        measured.add.1 += start.1.elapsed().as_secs_f64();
        measured.disk_max = measured.disk_max.max(operator.counters().spilled_bytes);
    }
    let start = (cpu_seconds(), Instant::now());
    let mut progress = operator.on_watermark(Watermark::new(WINDOW_MS), &mut out).expect("fires");
    loop {
        measured.bytes_max = measured.bytes_max.max(operator.counters().state_bytes);
        for batch in out.drain() {
            measured.results.0 += batch.num_rows() as u64;
            let sums = batch.rows().column(1).as_primitive::<Int64Type>().values();
            measured.results.1 = sums.iter().fold(measured.results.1, |sum, next| sum.wrapping_add(mix(*next as u64)));
        }
        if progress == Progress::Done {
            break;
        }
        progress = operator.resume(&mut out).expect("fires");
    }
    measured.fire = (cpu_seconds() - start.0, start.1.elapsed().as_secs_f64());
    measured
}

/// Gives the bytes of all groups in memory. `bytes_max` is what the operator may have.
fn measure(name: &str, keys: u64, key_of: fn(u64, u64) -> u64, bytes_max: Option<usize>) -> usize {
    let rate = |measured: &Measured| (keys * ROWS_PER_KEY) as f64 / (measured.add.0 + measured.fire.0);
    let whole = run(keys, key_of, None);
    let disk = SpillDirectory::new("beyond-memory-spilled", u64::MAX);
    let spilled = run(keys, key_of, Some((bytes_max.unwrap_or(whole.bytes_max / 8), &disk)));
    assert_eq!(whole.results, spilled.results, "the results differ");
    std::fs::remove_dir("beyond-memory-spilled").expect("nothing is left in the directory");
    for (place, measured) in [("in memory", &whole), ("beyond", &spilled)] {
        println!(
            "{name} {keys} keys {place}: {:.2} M rows a CPU-second; add {:.2} s ({:.2}), fire {:.2} s ({:.2}); at most {} MiB and {} MiB on disk, {} evictions",
            rate(measured) / 1e6,
            measured.add.0,
            measured.add.1,
            measured.fire.0,
            measured.fire.1,
            measured.bytes_max >> 20,
            measured.disk_max >> 20,
            measured.evictions,
        );
    }
    println!("{name}: {:.0} % of the throughput in memory", 100.0 * rate(&spilled) / rate(&whole));
    whole.bytes_max
}

fn main() {
    let asked: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let keys = if asked.is_empty() { vec![4_000_000] } else { asked };
    for keys in keys {
        let bytes = measure("uniform", keys, uniform, None);
        measure("90/10", keys, skewed, Some(bytes / 8));
    }
}
