//! Which rows are late, following Flink's three rules.
//!
//! - Frames without a lower bound drop every row that is not after the watermark.
//! - `ROWS n PRECEDING` drops a row that is not after the last time that fired *for its key*.
//! - `RANGE` with an interval does the same, but drops the state of a key once its range has passed. A cleanup is
//!   scheduled one and a half intervals after a row. It is scheduled again only if a later row's interval ends after
//!   it. A superseded cleanup still counts as a time that fired. After a cleanup, rows of the key are accepted, however
//!   old they are.
//!
//! When several watermarks are merged into one, a row between them extends a cleanup that Flink would already have
//! done. This is visible only to a later row of the same key that is older than that cleanup, after more than one and a
//! half intervals without rows: Flink accepts the row, and here it is dropped.

use std::collections::BTreeSet;

use eddyline_job_graph::OverFrame;
use eddyline_stream::Watermark;

/// The times of each key that decide about late rows.
pub struct Lateness {
    frame: OverFrame,
    keys: Vec<KeyTimes>,
    /// Scheduled cleanups, by time.
    cleanups: BTreeSet<(i64, u32)>,
    /// Those that are not the current one of their key, by key.
    superseded: BTreeSet<(u32, i64)>,
    /// Keys that were cleaned up, and whose state must still be dropped.
    cleaned: Vec<u32>,
    /// Keys for which a superseded cleanup was executed.
    changed: Vec<u32>,
}

/// The times of a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTimes {
    /// The last time that fired.
    pub last_fired: Option<i64>,
    /// The current cleanup.
    pub cleanup: Option<i64>,
}

impl Lateness {
    /// The lateness rule of a frame.
    pub fn new(frame: OverFrame) -> Self {
        Self {
            frame,
            keys: Vec::new(),
            cleanups: BTreeSet::new(),
            superseded: BTreeSet::new(),
            cleaned: Vec::new(),
            changed: Vec::new(),
        }
    }

    fn key(&mut self, key: u32) -> &mut KeyTimes {
        let index = key as usize;
        if self.keys.len() <= index {
            self.keys.resize(index + 1, KeyTimes::default());
        }
        &mut self.keys[index]
    }

    /// Whether an arriving row is accepted. If it is, it will fire at its time.
    pub fn admit(&mut self, key: u32, time: i64, watermark: Watermark) -> bool {
        match self.frame {
            OverFrame::RowsUnbounded | OverFrame::RangeUnbounded => time > watermark.time_ms(),
            OverFrame::Rows(_) => self.key(key).last_fired.is_none_or(|last| time > last),
            OverFrame::Range(interval_ms) => {
                let times = self.key(key);
                if times.last_fired.is_some_and(|last| time <= last) {
                    return false;
                }
                let earliest = time.saturating_add(interval_ms).saturating_add(1);
                if times.cleanup.is_none_or(|cleanup| cleanup < earliest) {
                    let cleanup = time.saturating_add(one_and_a_half(interval_ms)).saturating_add(1);
                    if let Some(superseded) = times.cleanup.replace(cleanup) {
                        self.superseded.insert((key, superseded));
                    }
                    self.cleanups.insert((cleanup, key));
                }
                true
            }
        }
    }

    /// Records that a row of a key fires.
    pub fn fired(&mut self, key: u32, time: i64) {
        if matches!(self.frame, OverFrame::Rows(_) | OverFrame::Range(_)) {
            self.key(key).last_fired = Some(time);
        }
    }

    /// Executes the cleanups that are due before `time`.
    pub fn pass(&mut self, time: i64) {
        while let Some(&(due, key)) = self.cleanups.first()
            && due < time
        {
            self.execute(due, key);
        }
    }

    /// Executes the cleanups that are due before `time`, except those of these keys.
    pub fn pass_others(&mut self, time: i64, keys: &BTreeSet<u32>) {
        let due = self.cleanups.range(..(time, 0)).filter(|(_, key)| !keys.contains(key)).copied();
        for (due, key) in due.collect::<Vec<_>>() {
            self.execute(due, key);
        }
    }

    fn execute(&mut self, due: i64, key: u32) {
        self.cleanups.remove(&(due, key));
        let times = self.key(key);
        if times.cleanup.is_some_and(|cleanup| cleanup <= due) {
            *times = KeyTimes::default();
            self.cleaned.push(key);
        } else {
            times.last_fired = Some(due);
            self.changed.push(key);
        }
        self.superseded.remove(&(key, due));
    }

    /// The keys that were cleaned up since the last call.
    pub fn take_cleaned(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.cleaned)
    }

    /// The keys whose times superseded cleanups have changed since the last call.
    pub fn take_changed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.changed)
    }

    /// The times of a key.
    pub fn times(&self, key: u32) -> KeyTimes {
        self.keys.get(key as usize).copied().unwrap_or_default()
    }

    /// Superseded cleanups of a key that are still scheduled, in order.
    pub fn superseded(&self, key: u32) -> impl Iterator<Item = i64> {
        self.superseded.range((key, i64::MIN)..=(key, i64::MAX)).map(|(_, due)| *due)
    }

    /// Restores what [`Self::times`] and [`Self::superseded`] returned.
    pub fn restore(&mut self, key: u32, times: KeyTimes, superseded: impl Iterator<Item = i64>) {
        *self.key(key) = times;
        self.cleanups.extend(times.cleanup.map(|cleanup| (cleanup, key)));
        for due in superseded {
            self.cleanups.insert((due, key));
            self.superseded.insert((key, due));
        }
    }

    /// Keeps these keys, in order, which get the numbers from 0 on. The others have no times.
    pub fn renumber(&mut self, kept: &[u32]) {
        debug_assert!(self.cleaned.is_empty() && self.changed.is_empty(), "they have been taken");
        let number = |key: u32| kept.binary_search(&key).ok().map(|number| number as u32);
        self.keys = kept.iter().map(|key| self.times(*key)).collect();
        let cleanups = self.cleanups.iter().filter_map(|(due, key)| Some((*due, number(*key)?)));
        self.cleanups = cleanups.collect();
        let superseded = self.superseded.iter().filter_map(|(key, due)| Some((number(*key)?, *due)));
        self.superseded = superseded.collect();
    }
}

/// One and a half times the interval, as Flink computes it.
fn one_and_a_half(interval_ms: i64) -> i64 {
    interval_ms.saturating_add(interval_ms / 2)
}
