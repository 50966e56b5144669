//! The watermark of a source reader, from those of its splits.

use std::collections::BTreeMap;
use std::time::Duration;

use eddyline_stream::{Element, SplitId, Watermark};

/// Combines the watermarks of the splits of one reader to the smallest one, so that a fast split cannot make the rows
/// of a slow one late. Idle splits do not count.
///
/// While no split counts, event time is the greatest watermark that any split has had, as in
/// [`ChannelWatermarks`](super::ChannelWatermarks) between tasks.
///
/// Methods that return an [`Element`] return what has to be sent. At [`Element::Idle`], [`SplitWatermarks::watermark`]
/// may have risen too. A watermark that was sent before is sent again when the reader wakes from idleness.
#[derive(Debug)]
pub struct SplitWatermarks {
    /// 0: splits never become idle.
    idle_timeout_ms: i64,
    splits: BTreeMap<SplitId, Split>,
    /// Whether a reader without splits expects one, and holds the watermark back until then.
    awaits_splits: bool,
    sent: Watermark,
    /// The greatest watermark of any split so far.
    furthest: Watermark,
    idle: bool,
    /// No split can become idle before this time.
    idle_not_before_ms: i64,
}

#[derive(Debug)]
struct Split {
    watermark: Watermark,
    /// When the last rows arrived, or the split was added or resumed.
    active_at_ms: i64,
    idle: bool,
    /// Paused by watermark alignment. Then a lack of rows is not idleness.
    paused: bool,
}

impl SplitWatermarks {
    /// A reader without splits that expects some. A split without rows for `idle_timeout` becomes idle. Zero: never.
    pub fn new(idle_timeout: Duration) -> Self {
        Self {
            idle_timeout_ms: i64::try_from(idle_timeout.as_millis()).unwrap_or(i64::MAX),
            splits: BTreeMap::new(),
            awaits_splits: true,
            sent: Watermark::MIN,
            furthest: Watermark::MIN,
            idle: false,
            idle_not_before_ms: i64::MIN,
        }
    }

    /// Adds a split. It counts at once, with `watermark` ([`Watermark::MIN`] for a new one). When it has ended, the
    /// reader waits for another one.
    pub fn add(&mut self, split: SplitId, watermark: Watermark, now_ms: i64) -> Option<Element> {
        self.splits.insert(split, Split { watermark, active_at_ms: now_ms, idle: false, paused: false });
        self.furthest = self.furthest.max(watermark);
        self.awaits_splits = true;
        self.idle_not_before_ms = i64::MIN;
        self.combine()
    }

    /// Rows of a split have arrived, so it is not idle. Call it before its rows are sent.
    pub fn rows(&mut self, split: &SplitId, now_ms: i64) -> Option<Element> {
        self.wake(split, now_ms).then(|| self.combine()).flatten()
    }

    /// The watermark of a split has risen.
    pub fn advance(&mut self, split: &SplitId, watermark: Watermark, now_ms: i64) -> Option<Element> {
        let was_idle = self.wake(split, now_ms);
        let split = self.splits.get_mut(split)?;
        let held_back = split.watermark <= self.sent;
        split.watermark = split.watermark.max(watermark);
        self.furthest = self.furthest.max(watermark);
        (was_idle || held_back).then(|| self.combine()).flatten()
    }

    /// Marks a split as active, and returns whether it was idle.
    fn wake(&mut self, split: &SplitId, now_ms: i64) -> bool {
        let Some(split) = self.splits.get_mut(split) else { return false };
        split.active_at_ms = now_ms;
        let was_idle = std::mem::replace(&mut split.idle, false);
        if was_idle {
            self.idle_not_before_ms = i64::MIN;
        }
        was_idle
    }

    /// A split has ended and no longer counts. The watermark does not fall.
    pub fn finish(&mut self, split: &SplitId) -> Option<Element> {
        self.splits.remove(split)?;
        self.combine()
    }

    /// There is no further split for this reader at the moment. Until it gets one, a reader without splits is idle.
    /// Without this call, a reader between two splits is not idle.
    pub fn without_further_splits(&mut self) -> Option<Element> {
        self.awaits_splits = false;
        self.combine()
    }

    /// Marks splits as idle that had no rows for the timeout and have none to be read, as reported by `is_empty`.
    /// `now_ms` is a clock that stops while the reader cannot read, so that back-pressure does not look like idleness.
    pub fn tick(&mut self, now_ms: i64, is_empty: &mut dyn FnMut(&SplitId) -> bool) -> Option<Element> {
        if self.idle_timeout_ms == 0 || now_ms < self.idle_not_before_ms {
            return None;
        }
        let mut found = false;
        for (id, split) in self.splits.iter_mut().filter(|(_, split)| !split.idle && !split.paused) {
            if split.active_at_ms.saturating_add(self.idle_timeout_ms) > now_ms {
                continue;
            }
            if is_empty(id) {
                split.idle = true;
                found = true;
            } else {
                // It has rows that the reader has not read yet.
                split.active_at_ms = now_ms;
            }
        }
        self.idle_not_before_ms = self.idle_at_ms().unwrap_or(i64::MAX);
        if found { self.combine() } else { None }
    }

    /// When the next split becomes idle if no rows arrive, by the clock of [`Self::tick`].
    fn idle_at_ms(&self) -> Option<i64> {
        let waiting = self.splits.values().filter(|split| !split.idle && !split.paused);
        waiting.map(|split| split.active_at_ms.saturating_add(self.idle_timeout_ms)).min()
    }

    /// The last watermark that was sent.
    pub fn watermark(&self) -> Watermark {
        self.sent
    }

    /// What this reader reports to its alignment group: the smallest watermark of its splits that are not idle.
    pub fn minimum(&self) -> Option<Watermark> {
        self.splits.values().filter(|split| !split.idle).map(|split| split.watermark).min()
    }

    /// Compares the splits with the smallest watermark of the alignment group, and returns those that must be paused
    /// (`true`) or resumed (`false`). A group without a watermark ([`Watermark::MIN`]) pauses no split.
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
                self.idle_not_before_ms = i64::MIN;
                changed.push((id.clone(), ahead));
            }
        }
        changed
    }

    fn combine(&mut self) -> Option<Element> {
        let Some(minimum) = self.minimum() else {
            if self.splits.is_empty() && self.awaits_splits {
                return None;
            }
            self.sent = self.furthest;
            let falls_idle = !std::mem::replace(&mut self.idle, true);
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
