//! Finds the sessions that can have ended.
//!
//! Ends in the far future are in buckets of a quarter of the gap. When event time reaches a bucket, its sessions move
//! to a heap that is ordered by end. So a watermark examines the sessions that end, sessions that have grown since they
//! were added, and the sessions of buckets that it reaches. It does not examine all sessions that will end soon.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Session numbers, each at its end or at an earlier one, because ends only grow. The number of a session that is gone can
/// stay, and be that of another one by then. So a session can be due twice at the same time.
#[derive(Debug)]
pub(super) struct Ends {
    // Fixed at start.
    bucket_ms: i64,
    // Changing.
    far: BTreeMap<i64, Vec<u32>>,
    /// The sessions of buckets that event time has reached.
    near: BinaryHeap<Reverse<(i64, u32)>>,
    reached: i64,
    /// The number of sessions that watermarks have examined.
    #[cfg(test)]
    pub(super) looks: u64,
}

impl Ends {
    /// Makes an empty collection.
    pub(super) fn new(gap_ms: i64) -> Self {
        Self {
            bucket_ms: (gap_ms / 4).max(1),
            far: BTreeMap::new(),
            near: BinaryHeap::new(),
            reached: i64::MIN,
            #[cfg(test)]
            looks: 0,
        }
    }

    /// Adds a session that ends at `end`, or later if it grows.
    pub(super) fn add(&mut self, number: u32, end: i64) {
        let bucket = end.div_euclid(self.bucket_ms);
        if bucket <= self.reached {
            self.near.push(Reverse((end, number)));
        } else {
            self.far.entry(bucket).or_default().push(number);
        }
    }

    /// Removes and returns the sessions that have ended. `end_of` gives the current end of an open session. `is_due`
    /// tests whether event time has reached an end.
    pub(super) fn take_due(&mut self, end_of: impl Fn(u32) -> Option<i64>, is_due: impl Fn(i64) -> bool) -> Vec<u32> {
        while let Some(entry) = self.far.first_entry() {
            if !is_due(entry.key().saturating_mul(self.bucket_ms)) {
                break;
            }
            self.reached = *entry.key();
            let numbers = entry.remove();
            self.count(numbers.len());
            for number in numbers {
                if let Some(end) = end_of(number) {
                    self.add(number, end);
                }
            }
        }
        let mut due = Vec::new();
        while let Some(Reverse((end, number))) = self.near.peek().copied() {
            if !is_due(end) {
                break;
            }
            self.near.pop();
            self.count(1);
            match end_of(number) {
                Some(end) if is_due(end) => due.push(number),
                Some(end) => self.add(number, end),
                None => {}
            }
        }
        due
    }

    /// The size in memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let far: usize = self.far.values().map(|numbers| numbers.capacity() * 4 + 48).sum();
        far + self.near.capacity() * size_of::<(i64, u32)>()
    }

    #[cfg(test)]
    fn count(&mut self, looks: usize) {
        self.looks += looks as u64;
    }

    #[cfg(not(test))]
    fn count(&mut self, _: usize) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_looks_at_a_session_when_it_ends_and_not_at_all_that_end_soon() {
        const SESSIONS: u32 = 10_000;
        let ends: Vec<i64> = (0..SESSIONS).map(|number| 1_000_000 + i64::from(number % 1_000)).collect();
        let mut sessions = Ends::new(4_000_000);
        (0..SESSIONS).for_each(|number| sessions.add(number, ends[number as usize]));
        let mut ended = Vec::new();
        // All sessions end in the bucket that the first watermark reaches.
        for watermark in 999_000..1_001_000 {
            ended.extend(sessions.take_due(|number| Some(ends[number as usize]), |end| end <= watermark));
        }
        assert_eq!(ended.len(), SESSIONS as usize);
        assert!(ended.is_sorted_by_key(|number| ends[*number as usize]));
        assert_eq!(sessions.looks, 2 * u64::from(SESSIONS), "once at its bucket, once at its end");
    }

    #[test]
    fn a_session_that_has_grown_is_taken_at_its_new_end_and_one_that_is_closed_never() {
        let mut sessions = Ends::new(40);
        sessions.add(0, 15);
        sessions.add(1, 12);
        let due_at = |sessions: &mut Ends, grown_to: i64, watermark: i64| {
            sessions.take_due(|number| (number == 0).then_some(grown_to), |end| end <= watermark)
        };
        assert!(due_at(&mut sessions, 15, 14).is_empty());
        assert!(due_at(&mut sessions, 18, 16).is_empty());
        assert!(due_at(&mut sessions, 95, 40).is_empty());
        assert_eq!(due_at(&mut sessions, 95, 95), [0]);
    }
}
