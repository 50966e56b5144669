//! The watermark of a source reader, from those of its splits.

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_stream::{Element, SplitId, Watermark};

/// Combines the watermarks of the splits that one reader reads: the smallest counts, so that a fast split cannot make the
/// rows of a slow one late.
///
/// Methods that return an [`Element`] return what has to be sent on: a watermark, or [`Element::Idle`]. A watermark that
/// was sent before is sent again when the reader wakes from idleness.
#[derive(Debug)]
pub struct SplitWatermarks {
    /// Zero is never.
    idle_timeout_ms: i64,
    splits: BTreeMap<SplitId, Split>,
    /// Whether a reader without splits waits for one and holds the watermark back.
    awaits_splits: bool,
    sent: Watermark,
    idle: bool,
}

#[derive(Debug)]
struct Split {
    watermark: Watermark,
    /// When the last rows came, or the split was added or let go.
    active_at_ms: i64,
    idle: bool,
    /// Held back by alignment: it has nothing to say because it may not.
    paused: bool,
}

impl SplitWatermarks {
    /// Without splits, and waiting for some. A split without rows for `idle_timeout` no longer counts; zero is never.
    pub fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout_ms: i64::try_from(idle_timeout.as_millis()).unwrap_or(i64::MAX),
            splits: BTreeMap::new(),
            awaits_splits: true,
            sent: Watermark::MIN,
            idle: false,
        }
    }

    /// Adds a split. It counts at once, with `watermark` ([`Watermark::MIN`] for a new one).
    pub fn add(&mut self, split: SplitId, watermark: Watermark, now_ms: i64) -> Option<Element> {
        self.splits.insert(split, Split { watermark, active_at_ms: now_ms, idle: false, paused: false });
        self.combine()
    }

    /// Rows of a split have come: it is not idle. To be called before its rows are sent on.
    pub fn rows(&mut self, split: &SplitId, now_ms: i64) -> Option<Element> {
        let split = self.splits.get_mut(split)?;
        split.active_at_ms = now_ms;
        std::mem::replace(&mut split.idle, false).then(|| self.combine()).flatten()
    }

    /// The watermark of a split has risen.
    pub fn advance(&mut self, split: &SplitId, watermark: Watermark, now_ms: i64) -> Option<Element> {
        let split = self.splits.get_mut(split)?;
        split.active_at_ms = now_ms;
        let was_idle = std::mem::replace(&mut split.idle, false);
        let held_back = split.watermark <= self.sent;
        split.watermark = split.watermark.max(watermark);
        (was_idle || held_back).then(|| self.combine()).flatten()
    }

    /// A split has come to its end: it no longer counts. The watermark does not fall by it.
    pub fn finish(&mut self, split: &SplitId) -> Option<Element> {
        self.splits.remove(split)?;
        self.combine()
    }

    /// Says whether further splits are on their way to this reader. While they are, a reader without splits holds the
    /// watermark back; otherwise it is idle.
    pub fn await_splits(&mut self, awaited: bool) -> Option<Element> {
        self.awaits_splits = awaited;
        self.combine()
    }

    /// Finds splits that have become idle by now. Not to be called while the reader is held up by back-pressure, which
    /// looks the same from here.
    pub fn tick(&mut self, now_ms: i64) -> Option<Element> {
        let due = self.idle_at_ms().is_some_and(|at| at <= now_ms);
        if !due {
            return None;
        }
        let timeout = self.idle_timeout_ms;
        for split in self.splits.values_mut().filter(|split| !split.paused) {
            split.idle |= split.active_at_ms.saturating_add(timeout) <= now_ms;
        }
        self.combine()
    }

    /// When the next split becomes idle if nothing comes, in milliseconds since the epoch.
    pub fn idle_at_ms(&self) -> Option<i64> {
        if self.idle_timeout_ms == 0 {
            return None;
        }
        let waiting = self.splits.values().filter(|split| !split.idle && !split.paused);
        waiting.map(|split| split.active_at_ms.saturating_add(self.idle_timeout_ms)).min()
    }

    /// The last watermark that was sent.
    pub fn watermark(&self) -> Watermark {
        self.sent
    }

    /// Whether the reader counts as idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// What this reader reports to its alignment group: the smallest watermark of its splits that are not idle.
    pub fn minimum(&self) -> Option<Watermark> {
        self.splits.values().filter(|split| !split.idle).map(|split| split.watermark).min()
    }

    /// Compares the splits with the smallest watermark of the whole alignment group, and returns those that have to be held
    /// back (`true`) or let go (`false`). A group that knows no watermark yet ([`Watermark::MIN`]) holds nobody back.
    pub fn align(&mut self, group_minimum: Watermark, drift_max: Duration, now_ms: i64) -> Vec<(SplitId, bool)> {
        let drift_ms = i64::try_from(drift_max.as_millis()).unwrap_or(i64::MAX);
        let watermark_max = match group_minimum {
            Watermark::MIN => Watermark::MAX,
            minimum => Watermark::new(minimum.time_ms().saturating_add(drift_ms)),
        };
        let mut changed = Vec::new();
        for (id, split) in &mut self.splits {
            let ahead = split.watermark > watermark_max;
            if split.paused != ahead {
                split.paused = ahead;
                split.active_at_ms = now_ms;
                changed.push((id.clone(), ahead));
            }
        }
        changed
    }

    fn combine(&mut self) -> Option<Element> {
        let Some(minimum) = self.minimum() else {
            let holds = self.splits.is_empty() && self.awaits_splits;
            let falls_idle = !holds && !self.idle;
            self.idle |= falls_idle;
            return falls_idle.then_some(Element::Idle);
        };
        let woke = std::mem::replace(&mut self.idle, false);
        let risen = minimum > self.sent;
        self.sent = self.sent.max(minimum);
        (risen || woke).then_some(Element::Watermark(self.sent))
    }
}

#[cfg(test)]
mod tests;
