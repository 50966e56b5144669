use std::collections::BTreeSet;

use eddyline_stream::{Element, Watermark};
use proptest::prelude::*;

use super::ChannelWatermarks;

fn at(time_ms: i64) -> Watermark {
    Watermark::new(time_ms)
}

/// Channels that each have a source reader of their own.
fn independent(channels: usize) -> ChannelWatermarks {
    let woken_by: Vec<_> = (0..channels).map(|channel| BTreeSet::from([channel])).collect();
    ChannelWatermarks::new(&woken_by)
}

fn reported(element: Option<Element>) -> Option<Watermark> {
    element.map(|element| match element {
        Element::Watermark(watermark) => watermark,
        other => panic!("a watermark was expected, not {other:?}"),
    })
}

#[test]
fn the_slowest_channel_counts() {
    let mut channels = independent(2);
    assert_eq!(reported(channels.advance(0, at(10))), None);
    assert_eq!(reported(channels.advance(1, at(5))), Some(at(5)));
    assert_eq!(reported(channels.advance(1, at(20))), Some(at(10)));
}

#[test]
fn an_idle_channel_does_not_count_until_its_next_watermark() {
    let mut channels = independent(2);
    channels.advance(0, at(10));
    assert_eq!(reported(channels.idle(1)), Some(at(10)));
    assert_eq!(reported(channels.advance(0, at(20))), Some(at(20)));
    // It becomes active again with its former watermark.
    assert_eq!(reported(channels.advance(1, at(5))), None);
    assert_eq!(reported(channels.advance(0, at(30))), None);
    assert_eq!(reported(channels.advance(1, at(25))), Some(at(25)));
}

#[test]
fn when_all_channels_are_idle_event_time_stands() {
    let mut channels = independent(2);
    channels.advance(0, at(10));
    channels.advance(1, at(3));
    channels.idle(1);
    assert!(matches!(channels.idle(0), Some(Element::Idle)));
    assert!(channels.idle);
    assert_eq!(channels.watermark(), at(10));
    assert_eq!(reported(channels.advance(1, at(3))), Some(at(10)));
}

#[test]
fn where_event_time_stands_does_not_depend_on_the_order_in_which_channels_fall_silent() {
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]] {
        let mut channels = independent(3);
        for (channel, time) in [(0, 10), (1, 40), (2, 20)] {
            channels.advance(channel, at(time));
        }
        let last = order.map(|channel| if channel == 2 { channels.end(channel) } else { channels.idle(channel) });
        assert!(matches!(last[2], Some(Element::Idle)), "{order:?}");
        assert_eq!(channels.watermark(), at(40), "{order:?}");
    }
}

#[test]
fn an_idle_channel_counts_while_another_one_is_active_that_the_same_reader_wakes() {
    let woken_by = [BTreeSet::from([0, 1]), BTreeSet::from([0, 1]), BTreeSet::from([2])];
    let mut channels = ChannelWatermarks::new(&woken_by);
    for channel in 0..3 {
        channels.advance(channel, at(10));
        channels.idle(channel);
    }
    assert!(channels.idle);
    // The first of two wakes, and the second is about to.
    assert_eq!(reported(channels.advance(0, at(10))), Some(at(10)));
    assert_eq!(reported(channels.advance(0, at(30))), None);
    assert_eq!(reported(channels.advance(1, at(10))), None);
    assert_eq!(reported(channels.advance(1, at(25))), Some(at(25)));
    // The first becomes idle, and the second is about to.
    assert_eq!(reported(channels.idle(1)), None);
    assert!(matches!(channels.idle(0), Some(Element::Idle)));
    // The second may have been idle all the time, and not have woken yet. Then its rows up to the first one's watermark
    // are still to come.
    assert_eq!(channels.watermark(), at(25));
    assert_eq!(reported(channels.advance(1, at(30))), Some(at(30)));
    channels.idle(1);
    // The third channel is independent of them.
    assert_eq!(reported(channels.advance(2, at(40))), Some(at(40)));
}

#[test]
fn ended_channels_leave_the_watermark_to_the_others_and_the_last_end_completes_it() {
    let mut channels = independent(2);
    channels.advance(0, at(10));
    assert_eq!(reported(channels.end(1)), Some(at(10)));
    assert!(!channels.is_ended());
    assert_eq!(reported(channels.end(0)), Some(Watermark::MAX));
    assert!(channels.is_ended());
}

#[test]
fn an_ended_channel_beside_an_idle_one_does_not_end_event_time() {
    let mut channels = independent(2);
    channels.advance(0, at(10));
    channels.idle(0);
    assert!(matches!(channels.end(1), None | Some(Element::Idle)));
    assert_eq!(channels.watermark(), at(10));
    assert_eq!(reported(channels.advance(0, at(12))), Some(at(12)));
}

proptest! {
    #[test]
    fn the_watermark_never_falls(steps in prop::collection::vec((0usize..3, 0u8..3, 0i64..50), 0..60)) {
        let mut channels = independent(3);
        let mut last = Watermark::MIN;
        for (channel, kind, time) in steps {
            let reported = match kind {
                0 => channels.idle(channel),
                1 if time == 0 => channels.end(channel),
                _ => channels.advance(channel, at(time)),
            };
            if let Some(Element::Watermark(watermark)) = reported {
                prop_assert!(watermark >= last);
                prop_assert_eq!(watermark, channels.watermark());
                last = watermark;
            }
        }
    }
}
