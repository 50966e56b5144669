use std::sync::Arc;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit, TimestampMillisecondType};
use eddyline_expression::Expr;
use eddyline_job_graph::WatermarkSpec;
use eddyline_stream::{Batch, Element, KindsBuilder, RowKind, Watermark};
use proptest::prelude::*;

use super::WatermarkGenerator;

/// The output for a batch: times of rows, and watermarks.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Rows(Vec<Option<i64>>),
    Watermark(i64),
}

/// Column 0 is the time. Column 1 is the watermark, for specs without a fixed delay.
fn batch(times: &[Option<i64>], delay_ms: i64) -> RecordBatch {
    let data_type = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = Schema::new(vec![Field::new("ts", data_type.clone(), true), Field::new("wm", data_type, true)]);
    let watermarks: TimestampMillisecondArray = times.iter().map(|time| time.map(|time| time - delay_ms)).collect();
    let times: TimestampMillisecondArray = times.iter().copied().collect();
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(times), Arc::new(watermarks)]).expect("columns fit the schema")
}

fn spec(delay_ms: Option<i64>) -> WatermarkSpec {
    let watermark = Field::new("wm", DataType::Timestamp(TimeUnit::Millisecond, None), true);
    WatermarkSpec { column: 0, expression: Expr::column(1, &watermark), delay_ms, future_skew_max: None }
}

fn seen(elements: Vec<Element>) -> Vec<Seen> {
    let one = |element| match element {
        Element::Data(batch) => {
            Seen::Rows(batch.rows().column(0).as_primitive::<TimestampMillisecondType>().iter().collect())
        }
        Element::Watermark(watermark) => Seen::Watermark(watermark.time_ms()),
        other => panic!("{other:?} does not come from rows"),
    };
    elements.into_iter().map(one).collect()
}

fn run(generator: &mut WatermarkGenerator, times: &[Option<i64>], delay_ms: i64) -> Vec<Seen> {
    let mut elements = Vec::new();
    generator.process(Batch::new(batch(times, delay_ms)), 0, &mut elements).expect("no failure");
    seen(elements)
}

fn some(times: &[i64]) -> Vec<Option<i64>> {
    times.iter().copied().map(Some).collect()
}

#[test]
fn ordered_rows_pass_whole_with_one_watermark_behind_them() {
    let mut generator = WatermarkGenerator::new(spec(Some(5)));
    let times = some(&[10, 20, 30]);
    assert_eq!(run(&mut generator, &times, 5), [Seen::Rows(times), Seen::Watermark(25)]);
}

#[test]
fn a_batch_is_cut_before_a_row_that_its_own_rows_made_late() {
    let mut generator = WatermarkGenerator::new(spec(Some(5)));
    let expected = [
        Seen::Rows(some(&[10, 30])),
        Seen::Watermark(25),
        Seen::Rows(some(&[25, 26, 24, 40])),
        Seen::Watermark(35),
        Seen::Rows(some(&[35])),
    ];
    assert_eq!(run(&mut generator, &some(&[10, 30, 25, 26, 24, 40, 35]), 5), expected);
}

#[test]
fn a_row_that_an_earlier_batch_made_late_does_not_cut() {
    let mut generator = WatermarkGenerator::new(spec(Some(0)));
    run(&mut generator, &some(&[100]), 0);
    assert_eq!(run(&mut generator, &some(&[50, 60]), 0), [Seen::Rows(some(&[50, 60]))]);
    assert_eq!(generator.watermark(), Watermark::new(100));
}

#[test]
fn null_leaves_the_watermark_and_the_row_is_forwarded() {
    for delay in [Some(5), None] {
        let mut generator = WatermarkGenerator::new(spec(delay));
        assert_eq!(run(&mut generator, &[None], 5), [Seen::Rows(vec![None])]);
        let times = vec![Some(10), None, Some(9)];
        assert_eq!(run(&mut generator, &times, 5), [Seen::Rows(times), Seen::Watermark(5)]);
    }
}

#[test]
fn a_row_too_far_in_the_future_does_not_move_the_watermark() {
    let mut spec = spec(Some(5));
    spec.future_skew_max = Some(Duration::from_millis(100));
    let mut generator = WatermarkGenerator::new(spec);
    let mut elements = Vec::new();
    generator.process(Batch::new(batch(&some(&[1_000, 1_101, 1_050]), 5)), 1_000, &mut elements).expect("no failure");
    assert_eq!(seen(elements), [Seen::Rows(some(&[1_000, 1_101, 1_050])), Seen::Watermark(1_045)]);
}

#[test]
fn no_row_can_announce_the_end_of_the_input() {
    let mut generator = WatermarkGenerator::new(spec(Some(0)));
    run(&mut generator, &some(&[i64::MAX]), 0);
    assert!(generator.watermark() < Watermark::MAX);
}

/// Updates: each has the time of its old content and that of its new content.
fn updates(generator: &mut WatermarkGenerator, times: &[i64], delay_ms: i64) -> Vec<Element> {
    let mut kinds = KindsBuilder::default();
    (0..times.len() / 2).for_each(|_| kinds.update());
    let (rows, mut elements) = (batch(&some(times), delay_ms), Vec::new());
    generator.process(Batch::with_kinds(rows, kinds.finish()), 0, &mut elements).expect("no failure");
    elements
}

#[test]
fn an_update_is_not_cut_by_a_watermark_of_its_own_or_of_rows_before_it() {
    for delay in [Some(0), None] {
        // The new content is older than the old one.
        let mut generator = WatermarkGenerator::new(spec(delay));
        let cut = updates(&mut generator, &[10, 5], 0);
        assert_eq!(seen(cut), [Seen::Rows(some(&[10, 5])), Seen::Watermark(10)]);
        // Only the new content is late, because of the update before.
        let cut = updates(&mut generator, &[20, 30, 40, 25], 0);
        let expected =
            [Seen::Rows(some(&[20, 30])), Seen::Watermark(30), Seen::Rows(some(&[40, 25])), Seen::Watermark(40)];
        assert_eq!(seen(cut.clone()), expected);
        for element in cut {
            if let Element::Data(batch) = element {
                let kinds: Vec<RowKind> = (0..batch.num_rows()).map(|row| batch.kind(row)).collect();
                assert_eq!(kinds, [RowKind::UpdateBefore, RowKind::UpdateAfter]);
            }
        }
    }
}

/// Flink's behaviour: a watermark after every row that advances it.
fn row_by_row(times: &[Option<i64>], delay_ms: i64) -> Vec<(Option<i64>, i64)> {
    let mut watermark = i64::MIN;
    let mut observed = Vec::new();
    for time in times {
        observed.push((*time, watermark));
        watermark = watermark.max(time.map_or(i64::MIN, |time| time - delay_ms));
    }
    observed
}

proptest! {
    #[test]
    fn every_row_is_observed_as_if_the_watermark_moved_after_each_row(
        batches in prop::collection::vec(prop::collection::vec(prop::option::weighted(0.9, 0i64..60), 0..12), 0..6),
        delay in 0i64..12,
        evaluated in any::<bool>(),
    ) {
        let mut generator = WatermarkGenerator::new(spec((!evaluated).then_some(delay)));
        let (mut observed, mut watermark) = (Vec::new(), i64::MIN);
        for times in &batches {
            for seen in run(&mut generator, times, delay) {
                match seen {
                    Seen::Rows(times) => observed.extend(times.into_iter().map(|time| (time, watermark))),
                    Seen::Watermark(risen) => {
                        prop_assert!(risen > watermark);
                        watermark = risen;
                    }
                }
            }
        }
        let expected = row_by_row(&batches.concat(), delay);
        prop_assert_eq!(observed.len(), expected.len());
        for ((time, coarse), (expected_time, exact)) in observed.into_iter().zip(expected) {
            prop_assert_eq!(time, expected_time);
            // A row may arrive with an older watermark, but only if that does not change whether it is late.
            prop_assert!(coarse <= exact);
            prop_assert!(coarse == exact || time.is_none_or(|time| time > exact));
        }
    }
}
