use std::time::Duration;

use eddyline_stream::{Element, SplitId, Watermark};

use super::SplitWatermarks;

fn split(name: &str) -> SplitId {
    SplitId::new(name)
}

fn at(time_ms: i64) -> Watermark {
    Watermark::new(time_ms)
}

fn sent(element: Option<Element>) -> Option<i64> {
    element.map(|element| match element {
        Element::Watermark(watermark) => watermark.time_ms(),
        other => panic!("a watermark was expected, not {other:?}"),
    })
}

fn is_idle(element: &Option<Element>) -> bool {
    matches!(element, Some(Element::Idle))
}

/// Two splits that are added at 0 and become idle after a second.
fn two() -> SplitWatermarks {
    let mut splits = SplitWatermarks::new(Duration::from_secs(1));
    splits.add(split("a"), Watermark::MIN, 0);
    splits.add(split("b"), Watermark::MIN, 0);
    splits
}

#[test]
fn the_slowest_split_counts() {
    let mut splits = two();
    assert_eq!(sent(splits.advance(&split("a"), at(50), 0)), None);
    assert_eq!(sent(splits.advance(&split("b"), at(20), 0)), Some(20));
    assert_eq!(sent(splits.advance(&split("b"), at(90), 0)), Some(50));
}

/// No split has rows to be read.
fn dry(_: &SplitId) -> bool {
    true
}

#[test]
fn an_idle_split_does_not_hold_the_others_back() {
    let mut splits = two();
    splits.advance(&split("a"), at(50), 900);
    assert_eq!(sent(splits.tick(999, &mut dry)), None);
    assert_eq!(sent(splits.tick(1_000, &mut dry)), Some(50));
    // It resumes behind the others: the watermark waits for it, but does not decrease.
    assert_eq!(sent(splits.advance(&split("b"), at(10), 1_100)), None);
    assert_eq!(sent(splits.advance(&split("a"), at(70), 1_100)), None);
    assert_eq!(sent(splits.advance(&split("b"), at(60), 1_100)), Some(60));
}

#[test]
fn a_split_whose_rows_wait_to_be_read_is_not_idle() {
    let mut splits = two();
    splits.advance(&split("a"), at(50), 0);
    let mut asked = Vec::new();
    let reported = splits.tick(1_000, &mut |id| {
        asked.push(id.clone());
        *id == split("b")
    });
    assert_eq!(sent(reported), Some(50), "b is empty, a is not");
    assert_eq!(asked, [split("a"), split("b")]);
    // It is asked again after it has produced no rows for another timeout.
    assert!(splits.tick(1_999, &mut |_| panic!("asked before the timeout")).is_none());
    assert!(is_idle(&splits.tick(2_000, &mut dry)));
}

#[test]
fn a_split_falls_idle_while_another_one_gives_rows_all_the_time() {
    let mut splits = two();
    splits.advance(&split("a"), at(1), 0);
    let mut reported = Vec::new();
    for now in (0..3_000).step_by(100) {
        reported.extend(sent(splits.rows(&split("a"), now)));
        reported.extend(sent(splits.advance(&split("a"), at(now), now)));
        reported.extend(sent(splits.tick(now, &mut |id| *id == split("b"))));
    }
    assert_eq!(reported.first(), Some(&1_000));
    assert_eq!(reported.last(), Some(&2_900));
}

#[test]
fn a_reader_whose_splits_are_all_idle_says_so_once_and_wakes_with_its_watermark() {
    let mut splits = two();
    splits.advance(&split("a"), at(50), 0);
    splits.advance(&split("b"), at(40), 0);
    assert!(is_idle(&splits.tick(1_000, &mut dry)));
    assert!(splits.idle);
    assert_eq!(splits.watermark(), at(50), "nobody holds back what the furthest of them has said");
    assert!(splits.tick(5_000, &mut dry).is_none());
    assert_eq!(sent(splits.rows(&split("b"), 5_000)), Some(50));
    assert!(!splits.idle);
    // It becomes idle again.
    assert!(splits.tick(5_999, &mut dry).is_none());
    assert!(is_idle(&splits.tick(6_000, &mut dry)));
}

#[test]
fn where_event_time_stands_does_not_depend_on_the_order_in_which_splits_fall_idle() {
    for (a, b) in [(0, 500), (500, 0), (0, 0)] {
        let mut splits = two();
        splits.advance(&split("a"), at(50), a);
        splits.advance(&split("b"), at(40), b);
        splits.tick(1_000, &mut dry);
        splits.tick(1_500, &mut dry);
        assert!(splits.idle);
        assert_eq!(splits.watermark(), at(50));
    }
}

#[test]
fn a_zero_timeout_means_that_no_split_is_ever_idle() {
    let mut splits = SplitWatermarks::new(Duration::ZERO);
    splits.add(split("a"), Watermark::MIN, 0);
    assert!(splits.tick(i64::MAX, &mut dry).is_none());
}

#[test]
fn a_finished_split_frees_the_others_and_the_watermark_never_falls() {
    let mut splits = two();
    splits.advance(&split("a"), at(50), 0);
    splits.advance(&split("b"), at(20), 0);
    assert_eq!(sent(splits.finish(&split("b"))), Some(50));
    assert_eq!(sent(splits.add(split("c"), Watermark::MIN, 0)), None);
    splits.advance(&split("c"), at(10), 0);
    assert_eq!(splits.watermark(), at(50));
}

#[test]
fn a_reader_without_splits_is_idle_only_when_none_will_come() {
    let mut splits = SplitWatermarks::new(Duration::ZERO);
    splits.add(split("a"), Watermark::MIN, 0);
    assert!(splits.finish(&split("a")).is_none());
    assert!(is_idle(&splits.without_further_splits()));
    assert_eq!(sent(splits.add(split("b"), at(7), 0)), Some(7));
}

#[test]
fn a_reader_is_not_idle_between_two_splits_after_it_once_had_none() {
    let mut splits = SplitWatermarks::new(Duration::ZERO);
    splits.add(split("a"), Watermark::MIN, 0);
    splits.finish(&split("a"));
    assert!(is_idle(&splits.without_further_splits()));
    splits.add(split("b"), Watermark::MIN, 0);
    assert!(splits.finish(&split("b")).is_none(), "the next one may follow");
    assert!(splits.add(split("c"), Watermark::MIN, 0).is_none());
    splits.finish(&split("c"));
    assert!(is_idle(&splits.without_further_splits()));
}

#[test]
fn a_split_too_far_ahead_of_its_group_is_held_back_and_let_go() {
    let mut splits = two();
    splits.advance(&split("a"), at(500), 0);
    splits.advance(&split("b"), at(100), 0);
    assert_eq!(splits.minimum(), Some(at(100)));
    let drift = Duration::from_millis(300);
    assert_eq!(splits.align(Watermark::MIN, drift, 0), []);
    assert_eq!(splits.align(at(100), drift, 0), [(split("a"), true)]);
    assert_eq!(splits.align(at(150), drift, 0), []);
    // A paused split has no rows, but is not idle.
    splits.rows(&split("b"), 2_000);
    assert!(splits.tick(2_000, &mut dry).is_none());
    assert_eq!(splits.align(at(200), drift, 2_500), [(split("a"), false)]);
    assert_eq!(sent(splits.tick(3_000, &mut dry)), Some(500), "only b is idle");
    assert!(splits.tick(3_499, &mut dry).is_none());
    assert!(is_idle(&splits.tick(3_500, &mut dry)));
}
