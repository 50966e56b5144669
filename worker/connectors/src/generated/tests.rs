//! Positions, splits and pace of generated rows, with a generator that gives out row numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::datatypes::UInt64Type;

use super::*;
use crate::harness::Harness;
use crate::source::Poll;

struct Numbers;

impl Generator for Numbers {
    fn rows(&mut self, first: u64, step: u64, count: usize) -> Result<RecordBatch, Error> {
        let numbers: ArrayRef =
            Arc::new(UInt64Array::from_iter_values((0..count as u64).map(|row| first + row * step)));
        Ok(RecordBatch::try_from_iter([("number", numbers)]).expect("one column"))
    }
}

fn source(rows: Option<u64>, rows_per_second: Option<u64>) -> GeneratedSource {
    GeneratedSource::new(Extent { rows, rows_per_second }, || Box::new(Numbers))
}

fn numbers(rows: &RecordBatch) -> Vec<u64> {
    rows.column(0).as_primitive::<UInt64Type>().values().to_vec()
}

#[test]
fn a_bounded_source_gives_every_row_once_and_in_order() {
    let harness = Harness::new();
    let source = source(Some(250_001), None);
    let rows = harness.read(&source, 7_000).expect("it reads");
    assert_eq!(numbers(&rows), (0..250_001).collect::<Vec<_>>());
    assert_eq!(harness.discover(&source).expect("splits").len(), 3);
    assert_eq!(source.placement(), Placement::OnDemand);
}

#[test]
fn a_restored_reader_continues_behind_the_last_row() {
    let harness = Harness::new();
    let source = source(Some(1_000), None);
    let mut reader = harness.reader(&source);
    for split in harness.discover(&source).expect("splits") {
        reader.add_split(split).expect("a split");
    }
    let first = harness.next(reader.as_mut(), 333).expect("rows").expect("rows");
    let mut restored = harness.reader(&source);
    for split in reader.snapshot().expect("a snapshot") {
        restored.add_split(split).expect("a split");
    }
    let rest = harness.drain(restored.as_mut(), 100).expect("rows");
    assert_eq!([numbers(&first), numbers(&rest)].concat(), (0..1_000).collect::<Vec<_>>());
}

#[test]
fn an_unbounded_source_keeps_its_lanes_side_by_side() {
    let harness = Harness::new();
    let source = source(None, None);
    let splits = harness.discover(&source).expect("splits");
    assert_eq!(splits.len() as u64, LANES);
    assert_eq!(source.placement(), Placement::Spread);
    let mut reader = harness.reader(&source);
    for split in splits {
        reader.add_split(split).expect("a split");
    }
    let mut seen = Vec::new();
    for _ in 0..2 * LANES {
        seen.extend(numbers(&harness.next(reader.as_mut(), 10).expect("rows").expect("rows")));
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..20 * LANES).collect::<Vec<_>>());
}

#[test]
fn a_paced_reader_says_pending_and_wakes_when_rows_are_due() {
    let harness = Harness::new();
    let source = source(Some(3), Some(50));
    let mut reader = harness.reader(&source);
    for split in harness.discover(&source).expect("splits") {
        reader.add_split(split).expect("a split");
    }
    assert!(matches!(reader.poll(100).expect("rows"), Poll::Rows { rows, .. } if rows.num_rows() == 1));
    assert!(matches!(reader.poll(100).expect("nothing yet"), Poll::Pending));
    let rest = harness.drain(reader.as_mut(), 100).expect("rows");
    assert_eq!(numbers(&rest), [1, 2]);
}

#[test]
fn a_foreign_position_is_refused() {
    let harness = Harness::new();
    let split = Split { id: SplitId::new("x"), position: serde_json::json!({"offset": 1}), finished: false };
    let error = harness.reader(&source(None, None)).add_split(split).expect_err("not a row number").to_string();
    assert!(error.contains("cannot continue x"), "{error}");
}
