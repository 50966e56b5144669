//! The watermark of a task, from those of its input channels.

use std::collections::BTreeSet;

use eddyline_stream::{Element, Watermark};

/// Combines the watermarks of a task's input channels to the smallest of the active ones. Idle and ended channels do
/// not count. A channel is idle until its next watermark: see [`Element::Idle`].
///
/// Senders that the same source reader wakes do not wake at the same moment. So an idle channel counts while a channel
/// is active that has a reader in common with it: its sender may be about to wake, and the other channel's watermark
/// must not make its rows late. If another reader woke the active channel, event time is held back longer than needed.
///
/// While no channel is active, event time is the greatest watermark that any of them has reported. It therefore depends
/// neither on the order in which they became idle nor on how many channels share the splits of a source.
///
/// The methods return what changes for the task. A watermark is greater than all before, or equal to the last one when
/// the task wakes from idleness. At [`Element::Idle`], [`ChannelWatermarks::watermark`] may have risen too. Receivers
/// get every watermark, and operators only one that is greater than the last one.
#[derive(Debug)]
pub struct ChannelWatermarks {
    channels: Vec<Channel>,
    /// For each channel, the others that have a reader in common with it.
    woken_with: Vec<Vec<usize>>,
    watermark: Watermark,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: Watermark,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Active,
    Idle,
    Ended,
}

impl ChannelWatermarks {
    /// All channels are active and without a watermark. For each channel, `woken_by` has the source readers that wake
    /// its sender, as arbitrary numbers.
    pub fn new(woken_by: &[BTreeSet<usize>]) -> Self {
        let channel = Channel { watermark: Watermark::MIN, state: State::Active };
        let woken_with = |channel: usize| {
            let shares = |other: &usize| *other != channel && !woken_by[*other].is_disjoint(&woken_by[channel]);
            (0..woken_by.len()).filter(shares).collect()
        };
        Self {
            channels: vec![channel; woken_by.len()],
            woken_with: (0..woken_by.len()).map(woken_with).collect(),
            watermark: Watermark::MIN,
            idle: false,
        }
    }

    /// A watermark has arrived from a channel.
    pub fn advance(&mut self, channel: usize, watermark: Watermark) -> Option<Element> {
        let channel = &mut self.channels[channel];
        if channel.state == State::Ended {
            return None;
        }
        let was_idle = channel.state == State::Idle;
        let held_back = channel.watermark <= self.watermark;
        channel.state = State::Active;
        channel.watermark = channel.watermark.max(watermark);
        (was_idle || held_back).then(|| self.combine()).flatten()
    }

    /// A channel has become idle.
    pub fn idle(&mut self, channel: usize) -> Option<Element> {
        if self.channels[channel].state != State::Active {
            return None;
        }
        self.channels[channel].state = State::Idle;
        self.combine()
    }

    /// A channel has ended. The watermark is [`Watermark::MAX`] when all have.
    pub fn end(&mut self, channel: usize) -> Option<Element> {
        self.channels[channel].state = State::Ended;
        self.combine()
    }

    /// The watermark of the task.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Whether every channel has ended.
    pub fn is_ended(&self) -> bool {
        self.channels.iter().all(|channel| channel.state == State::Ended)
    }

    /// The greatest watermark that any channel has reported. Of channels with a reader in common, the smallest counts,
    /// because the others are about to follow.
    fn furthest(&self) -> Watermark {
        let reported = |channel: usize| self.channels[channel].watermark;
        let with_others = |channel: usize| {
            self.woken_with[channel].iter().map(|other| reported(*other)).fold(reported(channel), Ord::min)
        };
        (0..self.channels.len()).map(with_others).max().unwrap_or(Watermark::MIN)
    }

    fn combine(&mut self) -> Option<Element> {
        let is_active = |channel: &usize| self.channels[*channel].state == State::Active;
        let counts = |channel: &usize| match self.channels[*channel].state {
            State::Active => true,
            State::Idle => self.woken_with[*channel].iter().any(is_active),
            State::Ended => false,
        };
        let counting = (0..self.channels.len()).filter(counts);
        let minimum = match counting.map(|channel| self.channels[channel].watermark).min() {
            Some(minimum) => minimum,
            None if self.is_ended() => Watermark::MAX,
            None => {
                self.watermark = self.watermark.max(self.furthest());
                let falls_idle = !std::mem::replace(&mut self.idle, true);
                return falls_idle.then_some(Element::Idle);
            }
        };
        let woke = std::mem::replace(&mut self.idle, false);
        let risen = minimum > self.watermark;
        self.watermark = self.watermark.max(minimum);
        (risen || woke).then_some(Element::Watermark(self.watermark))
    }
}

#[cfg(test)]
mod tests;
