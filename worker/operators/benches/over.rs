//! What an `OVER` costs for each row, and what its barriers cost.
//!
//! `cargo bench -p eddyline-operators --bench over -- "10 rows"`: the cases with this in their name; all without it. The time
//! of a row is that of the fastest of some runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_job_graph::{AggregateCall, AggregateFunction, Over, OverFrame, TimeColumn};
use eddyline_operators::{Collector, InputIndex, Operator, OverOperator, Progress};
use eddyline_state::{PARTS, SnapshotRequest};
use eddyline_stream::{Batch, CheckpointId, Watermark};

const ROWS: usize = 8192;
const BATCHES: usize = 200;
const RUNS: usize = 5;
/// Batches between two barriers.
const EPOCH: usize = 20;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), false),
        Field::new("value", DataType::Int64, false),
    ]))
}

fn operator(frame: OverFrame, functions: &[AggregateFunction]) -> OverOperator {
    let call = |function: &AggregateFunction| AggregateCall {
        function: function.clone(),
        argument: Some(2),
        distinct: false,
        filter: None,
        argument_type: Some(DataType::Int64),
        result_type: DataType::Int64,
        name: function.name().to_owned(),
    };
    let aggregates: Vec<AggregateCall> = functions.iter().map(call).collect();
    let mut fields = schema().fields().to_vec();
    fields.extend(aggregates.iter().map(|call| Arc::new(Field::new(&call.name, DataType::Int64, true))));
    let config = Over { keys: vec![0], time: TimeColumn { column: 1, time_zone: None }, frame, aggregates };
    OverOperator::new(config, schema(), Arc::new(Schema::new(fields))).expect("a plan that makes sense")
}

/// A millisecond each row, up to 100 ms out of order.
fn batch(number: usize, keys: u64) -> RecordBatch {
    let rows = || (0..ROWS).map(move |row| (number * ROWS + row) as u64);
    let mixed = |row: u64| row.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    let key: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| (mixed(row) % keys) as i64)));
    let times = rows().map(|row| row as i64 + 1_000 - (mixed(row * 3) % 100) as i64);
    let value: ArrayRef = Arc::new(Int64Array::from_iter_values(rows().map(|row| (row % 1000) as i64)));
    RecordBatch::try_new(schema(), vec![key, Arc::new(TimestampMillisecondArray::from_iter_values(times)), value])
        .expect("columns fit the schema")
}

/// The time of all rows, of the slowest barrier, and of gathering the last checkpoint, and the rows that it got.
fn run(
    operator: &mut OverOperator,
    batches: &[RecordBatch],
    with_barriers: bool,
) -> (Duration, Duration, Duration, usize) {
    let mut out = Collector::default();
    let (mut total, mut slowest, mut gathered, mut handed) = (Duration::ZERO, Duration::ZERO, Duration::ZERO, 0);
    let mut completed = 0;
    for (number, rows) in batches.iter().enumerate() {
        let start = Instant::now();
        let mut progress =
            operator.process(InputIndex::FIRST, Batch::new(rows.clone()), &mut out).expect("rows are fine");
        while progress == Progress::More {
            progress = operator.resume(&mut out).expect("no failure");
        }
        let watermark = Watermark::new((number * ROWS) as i64 + 800);
        let mut progress = operator.on_watermark(watermark, &mut out).expect("no failure");
        out.drain();
        while progress == Progress::More {
            progress = operator.resume(&mut out).expect("no failure");
            out.drain();
        }
        total += start.elapsed();
        if with_barriers && number % EPOCH == EPOCH - 1 {
            let since = (completed > 0).then(|| CheckpointId::new(completed));
            let part = (completed % u64::from(PARTS)) as u8;
            completed += 1;
            let request = SnapshotRequest { checkpoint: CheckpointId::new(completed), since, part };
            let start = Instant::now();
            let frozen = operator.snapshot(request).expect("no failure").expect("it has state");
            if completed > 1 {
                slowest = slowest.max(start.elapsed());
            }
            let start = Instant::now();
            let snapshot = frozen.gather().expect("no failure");
            (gathered, handed) = (start.elapsed(), snapshot.keyed.iter().map(|part| part.rows.num_rows()).sum());
        }
    }
    (total, slowest, gathered, handed)
}

fn main() {
    use AggregateFunction::{Count, LastValue, Max, Min, Sum};
    let frames = [
        ("all rows, SUM COUNT", OverFrame::RowsUnbounded, vec![Sum, Count]),
        ("all rows, MIN LAST_VALUE", OverFrame::RowsUnbounded, vec![Min, LastValue]),
        ("all times, SUM", OverFrame::RangeUnbounded, vec![Sum]),
        ("10 rows, SUM MAX", OverFrame::Rows(10), vec![Sum, Max]),
        ("100 s, SUM MAX", OverFrame::Range(100_000), vec![Sum, Max]),
    ];
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for keys in [1_000u64, 300_000] {
        let batches: Vec<RecordBatch> = (0..BATCHES).map(|number| batch(number, keys)).collect();
        for (name, frame, functions) in &frames {
            let name = format!("{name}, {keys} keys");
            if !name.contains(&wanted) {
                continue;
            }
            let rows = (BATCHES * ROWS) as f64;
            let plain = (0..RUNS).map(|_| run(&mut operator(*frame, functions), &batches, false).0).min();
            let plain = plain.expect("some runs").as_nanos() as f64 / rows;
            let (total, barrier, gather, handed) = run(&mut operator(*frame, functions), &batches, true);
            println!(
                "{name}: {plain:.0} ns a row; with barriers {:.0} ns, the slowest {:.1} ms, gathering {:.1} ms for {handed} rows",
                total.as_nanos() as f64 / rows,
                barrier.as_secs_f64() * 1e3,
                gather.as_secs_f64() * 1e3,
            );
        }
    }
}
