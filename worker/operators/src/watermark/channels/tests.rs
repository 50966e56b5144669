use eddyline_stream::{Element, Watermark};
use proptest::prelude::*;

use super::ChannelWatermarks;

fn at(time_ms: i64) -> Watermark {
    Watermark::new(time_ms)
}

fn told(element: Option<Element>) -> Option<Watermark> {
    element.map(|element| match element {
        Element::Watermark(watermark) => watermark,
        other => panic!("a watermark was expected, not {other:?}"),
    })
}

#[test]
fn the_slowest_channel_counts() {
    let mut channels = ChannelWatermarks::new(2);
    assert_eq!(told(channels.advance(0, at(10))), None);
    assert_eq!(told(channels.advance(1, at(5))), Some(at(5)));
    assert_eq!(told(channels.advance(1, at(20))), Some(at(10)));
}

#[test]
fn an_idle_channel_does_not_count_until_its_next_element() {
    let mut channels = ChannelWatermarks::new(2);
    channels.advance(0, at(10));
    assert_eq!(told(channels.idle(1)), Some(at(10)));
    assert!(channels.rows(1).is_none());
    assert_eq!(told(channels.advance(0, at(30))), None);
    assert_eq!(told(channels.advance(1, at(5))), None);
    assert_eq!(told(channels.advance(1, at(25))), Some(at(25)));
}

#[test]
fn when_all_channels_are_idle_event_time_stands() {
    let mut channels = ChannelWatermarks::new(2);
    channels.advance(0, at(10));
    channels.advance(1, at(3));
    channels.idle(1);
    assert!(matches!(channels.idle(0), Some(Element::Idle)));
    assert!(channels.is_idle());
    assert_eq!(channels.watermark(), at(10));
    assert_eq!(told(channels.rows(1)), Some(at(10)));
}

#[test]
fn ended_channels_leave_the_watermark_to_the_others_and_the_last_end_completes_it() {
    let mut channels = ChannelWatermarks::new(2);
    channels.advance(0, at(10));
    assert_eq!(told(channels.end(1)), Some(at(10)));
    assert!(!channels.is_ended());
    assert_eq!(told(channels.end(0)), Some(Watermark::MAX));
    assert!(channels.is_ended());
}

#[test]
fn an_ended_channel_beside_an_idle_one_does_not_end_event_time() {
    let mut channels = ChannelWatermarks::new(2);
    channels.advance(0, at(10));
    channels.idle(0);
    assert!(matches!(channels.end(1), None | Some(Element::Idle)));
    assert_eq!(told(channels.advance(0, at(12))), Some(at(12)));
}

proptest! {
    #[test]
    fn the_watermark_never_falls(steps in prop::collection::vec((0usize..3, 0u8..4, 0i64..50), 0..60)) {
        let mut channels = ChannelWatermarks::new(3);
        let mut last = Watermark::MIN;
        for (channel, kind, time) in steps {
            let told = match kind {
                0 => channels.rows(channel),
                1 => channels.idle(channel),
                2 if time == 0 => channels.end(channel),
                _ => channels.advance(channel, at(time)),
            };
            if let Some(Element::Watermark(watermark)) = told {
                prop_assert!(watermark >= last);
                prop_assert_eq!(watermark, channels.watermark());
                last = watermark;
            }
        }
    }
}
