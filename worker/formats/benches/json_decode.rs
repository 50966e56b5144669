//! How fast JSON lines become columns, one thread: the best of some runs over a buffer of lines.
//!
//! `cargo bench -p eddyline-formats`

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use eddyline_formats::{FormatConfig, RecordDecoder, json};

const ROWS: usize = 1_000_000;
const BATCH_ROWS: usize = 8_192;
const RUNS: usize = 7;

struct Case {
    name: &'static str,
    schema: SchemaRef,
    projection: Vec<usize>,
    lines: String,
}

fn main() {
    for case in [simple(), wide("all 6 of 6 fields", vec![0, 1, 2, 3, 4, 5]), wide("3 of 6 fields", vec![0, 2, 5])] {
        let config = FormatConfig::Json(json::Config::default());
        let mut decoder = config.decoder(&case.schema, &case.projection, BATCH_ROWS).expect("the types can be carried");
        let best = (0..RUNS).map(|_| run(decoder.as_mut(), case.lines.as_bytes())).min().expect("some runs");
        let seconds = best.as_secs_f64();
        println!(
            "{:<20} {:>6.2} M rows/s {:>6.2} GB/s {:>6.1} ns/row ({} bytes/row)",
            case.name,
            ROWS as f64 / seconds / 1e6,
            case.lines.len() as f64 / seconds / 1e9,
            seconds * 1e9 / ROWS as f64,
            case.lines.len() / ROWS
        );
    }
}

fn run(decoder: &mut dyn RecordDecoder, lines: &[u8]) -> Duration {
    let start = Instant::now();
    let mut rest = lines;
    let mut rows = 0;
    while !rest.is_empty() {
        let done = decoder.decode_lines(rest, BATCH_ROWS, true);
        assert_eq!(done.bad, None);
        rest = &rest[done.consumed..];
        rows += decoder.flush().expect("a batch").num_rows();
    }
    assert_eq!(rows, ROWS);
    start.elapsed()
}

/// A cheap sequence of numbers without a pattern.
fn scrambled(row: usize) -> u64 {
    (row as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn time(row: usize) -> String {
    let ms = row / 10;
    format!("2026-03-01 {:02}:{:02}:{:02}.{:03}", ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60, ms % 1_000)
}

fn simple() -> Case {
    let mut lines = String::new();
    for row in 0..ROWS {
        let (key, value) = (scrambled(row) % 1_000, scrambled(row) as i64 % 200 - 100);
        writeln!(lines, r#"{{"key":"k{key}","value":{value},"ts":"{}"}}"#, time(row)).expect("a String");
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("key", DataType::Utf8, true),
        Field::new("value", DataType::Int32, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    Case { name: "key, value, ts", schema, projection: vec![0, 1, 2], lines }
}

fn wide(name: &'static str, projection: Vec<usize>) -> Case {
    let mut lines = String::new();
    for row in 0..ROWS {
        let number = scrambled(row);
        writeln!(
            lines,
            r#"{{"auction":{},"bidder":{},"price":{},"channel":"channel-{}","url":"https://e.org/{}","ts":"{}"}}"#,
            number % 100_000,
            number % 9_999,
            number % 100_000_000,
            number % 10_000,
            number % 1_000,
            time(row)
        )
        .expect("a String");
    }
    let schema = Arc::new(Schema::new(vec![
        Field::new("auction", DataType::Int64, true),
        Field::new("bidder", DataType::Int64, true),
        Field::new("price", DataType::Int64, true),
        Field::new("channel", DataType::Utf8, true),
        Field::new("url", DataType::Utf8, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]));
    Case { name, schema, projection, lines }
}
