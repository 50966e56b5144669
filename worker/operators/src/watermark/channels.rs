//! The watermark of a task, from those of its input channels.

use eddyline_stream::{Element, Watermark};

/// Combines the watermarks of a task's input channels: the smallest of the active ones counts. Idle channels do not;
/// channels that have ended stand at [`Watermark::MAX`].
///
/// The methods return what changes for the task: a watermark, greater than all before, or equal to the last one when the
/// task wakes from idleness; or [`Element::Idle`]. Operators are to be told of a watermark only when it is greater
/// ([`ChannelWatermarks::watermark`] before and after), receivers in either case.
#[derive(Debug)]
pub struct ChannelWatermarks {
    channels: Vec<Channel>,
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
    /// For `channels` input channels, all active and without a watermark.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: Watermark::MIN, state: State::Active };
        Self { channels: vec![channel; channels], watermark: Watermark::MIN, idle: false }
    }

    /// Rows have come from a channel: it is active. To be called before the rows are handled.
    #[inline]
    pub fn rows(&mut self, channel: usize) -> Option<Element> {
        if self.channels[channel].state == State::Idle {
            self.channels[channel].state = State::Active;
            return self.combine();
        }
        None
    }

    /// A watermark has come from a channel.
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
        self.channels[channel] = Channel { watermark: Watermark::MAX, state: State::Ended };
        self.combine()
    }

    /// The watermark of the task.
    pub fn watermark(&self) -> Watermark {
        self.watermark
    }

    /// Whether every channel that has not ended is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Whether every channel has ended.
    pub fn is_ended(&self) -> bool {
        self.channels.iter().all(|channel| channel.state == State::Ended)
    }

    fn combine(&mut self) -> Option<Element> {
        let active = self.channels.iter().filter(|channel| channel.state == State::Active);
        let minimum = match active.map(|channel| channel.watermark).min() {
            Some(minimum) => minimum,
            None if self.is_ended() => Watermark::MAX,
            // All that could still say something is silent: event time stands, however far the ended channels were.
            None => {
                let falls_idle = !self.idle;
                self.idle = true;
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
